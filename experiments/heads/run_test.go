package heads_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/heads"
	"vitdecompose/experiments/tiny"
)

// headless is the extraction of a model without a head.
func headless(t testing.TB, ds tiny.Noise) extraction.Extraction {
	model := tiny.Model(t, func(args map[string]any) { args["num_classes"] = 0.0 })
	return extraction.Extraction{Backend: tiny.Backend(t), Model: model, Data: ds, Batch: 4, CacheDir: t.TempDir()}
}

// headFiles lists the files of heads in a cache.
func headFiles(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "heads", "*"))
	require.NoError(t, err)
	return files
}

func TestTrainLinearHead(t *testing.T) {
	drawn := 0
	ds := tiny.Noise{N: 18, Label: func(i int) int { return i%4 - 1 }} // one in four has none
	e := headless(t, ds)
	config := heads.Config{Epochs: 3, LearningRate: 0.01, Batch: 5, Seed: 9}
	head, err := heads.Train(t.Context(), e, config)
	require.NoError(t, err)
	require.Equal(t, 18, head.Pictures)
	require.Equal(t, 13, head.Labelled)
	require.Len(t, head.Weight, 3*tiny.Dim)
	require.Len(t, head.Bias, 3)
	require.Nil(t, head.ClassNames)
	require.Positive(t, head.Loss)
	files := headFiles(t, e.CacheDir)
	require.Len(t, files, 1)

	train := func(t *testing.T, e extraction.Extraction, config heads.Config) *heads.Linear {
		t.Helper()
		head, err := heads.Train(t.Context(), e, config)
		require.NoError(t, err)
		return head
	}
	t.Run("the same seed gives the same head", func(t *testing.T) {
		elsewhere := e
		elsewhere.CacheDir = t.TempDir()
		require.Equal(t, head, train(t, elsewhere, config))
	})
	t.Run("another seed, learning rate or labels give another head", func(t *testing.T) {
		other := config
		other.Seed++
		require.NotEqual(t, head.Weight, train(t, e, other).Weight)
		other = config
		other.LearningRate /= 2
		require.NotEqual(t, head.Weight, train(t, e, other).Weight)
		relabelled := e
		relabelled.Data = tiny.Noise{N: 18, Label: func(i int) int { return i % 3 }}
		require.NotEqual(t, head.Weight, train(t, relabelled, config).Weight)
		require.Len(t, headFiles(t, e.CacheDir), 4)
	})
	t.Run("from the disk", func(t *testing.T) {
		// Nothing but the head is left: no representation to train on, and no picture may be looked at.
		stores, err := filepath.Glob(filepath.Join(e.CacheDir, "*", "chunk-*"))
		require.NoError(t, err)
		require.NotEmpty(t, stores)
		for _, chunk := range stores {
			require.NoError(t, os.Remove(chunk))
		}
		watched := e
		watched.Data = tiny.Noise{N: 18, Label: ds.Label, Drawn: func(int) { drawn++ }}
		require.Equal(t, head, train(t, watched, config))
		require.Zero(t, drawn)
	})
	t.Run("damaged", func(t *testing.T) {
		content, err := os.ReadFile(files[0])
		require.NoError(t, err)
		flipped := append([]byte{}, content...)
		flipped[len(flipped)-2] ^= 1
		for name, damaged := range map[string][]byte{"empty": nil, "cut": content[:len(content)-3], "a flipped bit": flipped, "text": []byte("a head")} {
			require.NoError(t, os.WriteFile(files[0], damaged, 0o666))
			var warned []error
			warning := e
			warning.Warn = func(err error) { warned = append(warned, err) }
			require.Equal(t, head, train(t, warning, config), name)
			require.Len(t, warned, 1, name)
			require.ErrorContains(t, warned[0], files[0], name)
			again, err := os.ReadFile(files[0])
			require.NoError(t, err)
			require.Equal(t, content, again, name)
		}
	})
	t.Run("the head of other data in its place", func(t *testing.T) {
		for _, other := range headFiles(t, e.CacheDir) {
			if other == files[0] {
				continue
			}
			content, err := os.ReadFile(other)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(files[0], content, 0o666))
			require.Equal(t, head, train(t, e, config))
		}
	})
	t.Run("on the model", func(t *testing.T) {
		model, err := head.ApplyTo(e.Model)
		require.NoError(t, err)
		require.Equal(t, 3, model.Arch.NumClasses())
		require.NotEqual(t, e.Model.Hash, model.Hash)
		require.Zero(t, e.Model.Arch.NumClasses(), "the model itself stays")
		z := make([]float32, tiny.Dim)
		for d := range z {
			z[d] = float32(d) - 4
		}
		compiled, err := heads.Of(e.Backend, model)
		require.NoError(t, err)
		defer compiled.Close()
		logits, err := compiled.Logits(z)
		require.NoError(t, err)
		require.Len(t, logits, 3)
		for class, logit := range logits {
			want := float64(head.Bias[class])
			for d := range z {
				want += float64(head.Weight[class*tiny.Dim+d]) * float64(z[d])
			}
			require.InDelta(t, want, logit, 1e-5)
		}

		for _, c := range []struct {
			weight, bias []float32
			names        []string
			says         string
		}{
			{nil, nil, nil, "needs classes"},
			{head.Weight[1:], head.Bias, nil, "needs 36 weights"},
			{head.Weight, head.Bias, []string{"a"}, "1 names for the 3 classes"},
		} {
			_, err := e.Model.WithLinearHead(c.weight, c.bias, c.names)
			require.ErrorContains(t, err, c.says)
		}
	})
}

func TestTrainLinearHeadMistakes(t *testing.T) {
	drawn := func(i int) { t.Errorf("picture %d was asked for before the labels were looked at", i) }
	for _, c := range []struct {
		name   string
		data   tiny.Noise
		config heads.Config
		says   string
	}{
		{"nothing", tiny.Noise{}, heads.Config{}, "no pictures"},
		{"no labels", tiny.Noise{N: 6, Label: func(int) int { return -1 }, Drawn: drawn}, heads.Config{}, "no picture to train on has a label"},
		{"one class", tiny.Noise{N: 6, Label: func(int) int { return 2 }, Drawn: drawn}, heads.Config{}, "the same label"},
		{"a label beyond the names", tiny.Noise{N: 6, ClassNames: []string{"a", "b", "c"}, Drawn: drawn}, heads.Config{}, "noise-3 has label 3"},
		{"a label beyond all", tiny.Noise{N: 6, Label: func(i int) int { return 1 << 30 * i }, Drawn: drawn}, heads.Config{}, "noise-1 has label 1073741824"},
		{"none can be read", tiny.Noise{N: 2, Bad: map[int]bool{0: true, 1: true}}, heads.Config{}, "none of the pictures that could be read has a label"},
		{"epochs", tiny.Noise{N: 6, Drawn: drawn}, heads.Config{Epochs: -1}, "-1 epochs"},
		{"learning rate", tiny.Noise{N: 6, Drawn: drawn}, heads.Config{LearningRate: -1}, "learning rate of -1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := headless(t, c.data)
			e.MaxBad = 2
			_, err := heads.Train(t.Context(), e, c.config)
			require.ErrorContains(t, err, c.says)
			require.Empty(t, headFiles(t, e.CacheDir))
		})
	}
}

// TestTrainLinearHeadOfPicturesLeftOut: a head that was trained without a picture is not used where none may be left out.
func TestTrainLinearHeadOfPicturesLeftOut(t *testing.T) {
	e := headless(t, tiny.Noise{N: 9, ClassNames: []string{"a", "b", "c", "d", "e"}, Bad: map[int]bool{2: true}})
	e.MaxBad = 1
	head, err := heads.Train(t.Context(), e, heads.Config{})
	require.NoError(t, err)
	require.Equal(t, 8, head.Labelled)
	require.Equal(t, []string{"a", "b", "c", "d", "e"}, head.ClassNames)
	e.MaxBad = 0
	_, err = heads.Train(t.Context(), e, heads.Config{})
	require.ErrorContains(t, err, "1 of 9 pictures cannot be read and option MaxBad allows 0")
}
