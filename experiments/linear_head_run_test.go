package experiments_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"vitdecompose/experiments"
	"vitdecompose/gomlxvit"
)

// headless is the extraction of a model without a head.
func headless(t testing.TB, ds noise) experiments.Extraction {
	model := tinyModel(t, func(args map[string]any) { args["num_classes"] = 0.0 })
	return experiments.Extraction{Backend: openPureGo(t), Model: model, Data: ds, Batch: 4, CacheDir: t.TempDir()}
}

// heads lists the files of heads in a cache.
func heads(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "heads", "*"))
	require.NoError(t, err)
	return files
}

func TestTrainLinearHead(t *testing.T) {
	drawn := 0
	ds := noise{n: 18, label: func(i int) int { return i%4 - 1 }} // one in four has none
	e := headless(t, ds)
	config := experiments.LinearHeadConfig{Epochs: 3, LearningRate: 0.01, Batch: 5, Seed: 9}
	head, err := experiments.TrainLinearHead(t.Context(), e, config)
	require.NoError(t, err)
	require.Equal(t, 18, head.Pictures)
	require.Equal(t, 13, head.Labelled)
	require.Len(t, head.Weight, 3*tinyDim)
	require.Len(t, head.Bias, 3)
	require.Nil(t, head.ClassNames)
	require.Positive(t, head.Loss)
	files := heads(t, e.CacheDir)
	require.Len(t, files, 1)

	train := func(t *testing.T, e experiments.Extraction, config experiments.LinearHeadConfig) *experiments.LinearHead {
		t.Helper()
		head, err := experiments.TrainLinearHead(t.Context(), e, config)
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
		relabelled.Data = noise{n: 18, label: func(i int) int { return i % 3 }}
		require.NotEqual(t, head.Weight, train(t, relabelled, config).Weight)
		require.Len(t, heads(t, e.CacheDir), 4)
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
		watched.Data = noise{n: 18, label: ds.label, drawn: func(int) { drawn++ }}
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
		for _, other := range heads(t, e.CacheDir) {
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
		z := make([]float32, tinyDim)
		for d := range z {
			z[d] = float32(d) - 4
		}
		program, err := model.Compile(e.Backend, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
			return []*graph.Node{model.Arch.Head(w, in[0])}
		})
		require.NoError(t, err)
		defer program.Close()
		out, err := program.Run(tensors.FromFlatDataAndDimensions(z, 1, tinyDim))
		require.NoError(t, err)
		for class, logit := range numbers(t, out[0]) {
			want := float64(head.Bias[class])
			for d := range z {
				want += float64(head.Weight[class*tinyDim+d]) * float64(z[d])
			}
			require.InDelta(t, want, logit, 1e-5)
		}

		tested := e
		tested.Model = model
		curve, _, err := experiments.Ablation(t.Context(), tested)
		require.NoError(t, err)
		require.Equal(t, 13, curve.Pictures)

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
		data   noise
		config experiments.LinearHeadConfig
		says   string
	}{
		{"nothing", noise{}, experiments.LinearHeadConfig{}, "no pictures"},
		{"no labels", noise{n: 6, label: func(int) int { return -1 }, drawn: drawn}, experiments.LinearHeadConfig{}, "no picture to train on has a label"},
		{"one class", noise{n: 6, label: func(int) int { return 2 }, drawn: drawn}, experiments.LinearHeadConfig{}, "the same label"},
		{"a label beyond the names", noise{n: 6, classes: []string{"a", "b", "c"}, drawn: drawn}, experiments.LinearHeadConfig{}, "noise-3 has label 3"},
		{"a label beyond all", noise{n: 6, label: func(i int) int { return 1 << 30 * i }, drawn: drawn}, experiments.LinearHeadConfig{}, "noise-1 has label 1073741824"},
		{"none can be read", noise{n: 2, bad: map[int]bool{0: true, 1: true}}, experiments.LinearHeadConfig{}, "none of the pictures that could be read has a label"},
		{"epochs", noise{n: 6, drawn: drawn}, experiments.LinearHeadConfig{Epochs: -1}, "-1 epochs"},
		{"learning rate", noise{n: 6, drawn: drawn}, experiments.LinearHeadConfig{LearningRate: -1}, "learning rate of -1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := headless(t, c.data)
			e.MaxBad = 2
			_, err := experiments.TrainLinearHead(t.Context(), e, c.config)
			require.ErrorContains(t, err, c.says)
			require.Empty(t, heads(t, e.CacheDir))
		})
	}
}

// TestTrainLinearHeadOfPicturesLeftOut: a head that was trained without a picture is not used where none may be left out.
func TestTrainLinearHeadOfPicturesLeftOut(t *testing.T) {
	e := headless(t, noise{n: 9, classes: []string{"a", "b", "c", "d", "e"}, bad: map[int]bool{2: true}})
	e.MaxBad = 1
	head, err := experiments.TrainLinearHead(t.Context(), e, experiments.LinearHeadConfig{})
	require.NoError(t, err)
	require.Equal(t, 8, head.Labelled)
	require.Equal(t, []string{"a", "b", "c", "d", "e"}, head.ClassNames)
	e.MaxBad = 0
	_, err = experiments.TrainLinearHead(t.Context(), e, experiments.LinearHeadConfig{})
	require.ErrorContains(t, err, "1 of 9 pictures cannot be read and --max-bad allows 0")
}
