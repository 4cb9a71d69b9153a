package study_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gomlx/compute"
	"github.com/stretchr/testify/require"

	"vitdecompose/data/scenes"
	"vitdecompose/decompose"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/statistics"
	"vitdecompose/experiments/study"
	"vitdecompose/experiments/tiny"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/zoo"
)

// xla is the backend for models of the zoo: one for all tests, as tensors do not move between two.
var xla = sync.OnceValues(func() (compute.Backend, error) { return backend.Open("") })

// smallStudy is a study of a model of the zoo on a few scenes, aligned on a few hundred.
func smallStudy(t testing.TB, name, store string) *study.Study {
	t.Helper()
	b, err := xla()
	require.NoError(t, err)
	model := tiny.Shipped(t, name)
	config := decompose.DefaultAlignConfig(300)
	config.Epochs = 20
	return &study.Study{
		Extraction: extraction.Extraction{
			Backend: b, Model: model, Data: scenes.New(0, 150), Batch: 50, CacheDir: store, Options: extraction.PaperOptions(model),
		},
		Reference: tiny.Shipped(t, zoo.Reference), Training: scenes.New(1, 300), Align: config,
	}
}

func openStudy(t testing.TB, s *study.Study) *study.Reading {
	t.Helper()
	r, err := s.Open(context.Background())
	require.NoError(t, err)
	return r
}

func TestStudy(t *testing.T) {
	store := t.TempDir()
	s := smallStudy(t, "deit-mini", store)
	heard := &tiny.Stages{}
	s.Progress = heard
	r := openStudy(t, s)
	require.Equal(t, 150, r.Pictures)
	require.Len(t, r.Components, 26, "init and, in each of the last 5 blocks, 4 heads and an MLP; biases are shared")
	require.Contains(t, heard.Begun, "aligning")
	require.Less(t, r.Exactness, 1e-5)

	// Chance is what the mean picture has: of held-out pictures, the alignment must know more.
	mean := make([]float32, len(r.Embeddings))
	for i := range mean {
		for p := range r.Pictures {
			mean[i] += r.Embeddings[p*r.Aligned.Dim+i%r.Aligned.Dim] / float32(r.Pictures)
		}
	}
	chance, quality := statistics.Mean(decompose.Cosines(mean, r.Embeddings, r.Aligned.Dim)), statistics.Mean(r.Quality())
	t.Logf("held-out cosine similarity %.3f, of the mean picture %.3f", quality, chance)
	require.Greater(t, quality, 0.6)
	require.Less(t, chance, 0.5)

	t.Run("again, from the cache", func(t *testing.T) {
		again := smallStudy(t, "deit-mini", store)
		heard := &tiny.Stages{}
		again.Progress = heard
		require.Equal(t, r.Aligned.Values, openStudy(t, again).Aligned.Values)
		require.Empty(t, heard.Begun, "nothing is decomposed and nothing trained")
	})
	t.Run("another lambda is another alignment", func(t *testing.T) {
		other := smallStudy(t, "deit-mini", store)
		other.Align.Lambda = 0
		require.NotEqual(t, r.Aligned.Values, openStudy(t, other).Aligned.Values)
	})
	t.Run("a warm start", func(t *testing.T) {
		warm := smallStudy(t, "deit-mini", store)
		near, err := warm.Read(t.Context())
		require.NoError(t, err)
		config := warm.Align.Warm(300)
		config.Lambda = 0.5
		aligner, err := warm.AlignmentWith(t.Context(), config, r.Aligner)
		require.NoError(t, err)
		require.LessOrEqual(t, aligner.Steps, r.Aligner.Steps)
		require.NoError(t, near.Through(t.Context(), aligner))
		require.Greater(t, statistics.Mean(near.Quality()), quality-0.05)

		again, err := warm.Near(t.Context(), 0.5, []float64{1, 10})
		require.NoError(t, err)
		require.Equal(t, aligner, again, "1 is nearer than 10, and both are in the cache")
		same, err := warm.Near(t.Context(), 1, []float64{1, 10})
		require.NoError(t, err)
		require.Equal(t, r.Aligner, same)
	})
	t.Run("a damaged alignment is trained again", func(t *testing.T) {
		files, err := filepath.Glob(filepath.Join(store, "alignments", "*"))
		require.NoError(t, err)
		require.Len(t, files, 3)
		for _, file := range files {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			content[len(content)-20] ^= 1
			require.NoError(t, os.WriteFile(file, content, 0o666))
		}
		again := smallStudy(t, "deit-mini", store)
		var warned []string
		again.Warn = func(err error) { warned = append(warned, err.Error()) }
		require.Equal(t, r.Aligned.Values, openStudy(t, again).Aligned.Values)
		require.Len(t, warned, 1)
		require.Contains(t, warned[0], "is damaged")
	})
	t.Run("from a file, which fits nothing else", func(t *testing.T) {
		origin, err := s.Origin()
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "aligner.safetensors")
		require.NoError(t, r.Aligner.WriteFile(file, origin, "scenes"))
		given := smallStudy(t, "deit-mini", store)
		given.AlignerFile, given.Training = file, nil
		require.Equal(t, r.Aligned.Values, openStudy(t, given).Aligned.Values)

		for want, change := range map[string]func(*study.Study){
			"the model": func(s *study.Study) {
				s.Model = tiny.Shipped(t, "dino-mini")
				s.Options = extraction.PaperOptions(s.Model)
			},
			"the blocks: 1..5 there":    func(s *study.Study) { s.Options.First = 3 },
			"the split of attention":    func(s *study.Study) { s.Options.Split = decompose.Attns },
			"the treatment of biases":   func(s *study.Study) { s.Options.Biases = decompose.BiasesApart },
			"the reference CLIP":        func(s *study.Study) { s.Reference = tiny.Shipped(t, "clip-mini") },
			"the preprocessing":         func(s *study.Study) { s.Orient = true },
			"no such file or directory": func(s *study.Study) { s.AlignerFile += "x" },
		} {
			other := smallStudy(t, "deit-mini", store)
			other.AlignerFile = file
			change(other)
			_, err := other.Open(t.Context())
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, file)
		}
	})
}

// A CLIP's contributions are in the space of its texts already.
func TestStudyOfCLIP(t *testing.T) {
	s := smallStudy(t, "clip-mini", t.TempDir())
	s.Reference, s.Training = nil, nil
	r := openStudy(t, s)
	require.Nil(t, r.Aligner)
	require.Equal(t, r.Values, r.Aligned.Values)
	for _, cosine := range r.Quality() {
		require.InDelta(t, 1, cosine, 1e-5)
	}
	_, err := s.Alignment(t.Context())
	require.ErrorContains(t, err, "is a CLIP")
}

func TestStudyRefuses(t *testing.T) {
	store := t.TempDir()
	for want, change := range map[string]func(*study.Study){
		"give one as the reference":             func(s *study.Study) { s.Reference = nil },
		"has no text tower":                     func(s *study.Study) { s.Reference = tiny.Shipped(t, "swin-mini") },
		"no pictures to train the alignment on": func(s *study.Study) { s.Training = nil },
		"lambda -1":                             func(s *study.Study) { s.Align.Lambda = -1 },
		"too large to be stored":                func(s *study.Study) { s.Options = decompose.Options{Split: decompose.Tokens} },
	} {
		s := smallStudy(t, "deit-mini", store)
		change(s)
		_, err := s.Open(t.Context())
		require.ErrorContains(t, err, want)
	}
}
