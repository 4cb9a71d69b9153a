package experiments_test

import (
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"vitdecompose/decompose"
	"vitdecompose/experiments"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/heads"
	"vitdecompose/experiments/tiny"
)

// TestAblation compares with the definition, computed plainly: for every step the components so far are replaced by
// their mean over the pictures, everything is summed, and the head is a matrix product.
func TestAblation(t *testing.T) {
	model, b := tiny.Model(t), tiny.Backend(t)
	const n = 30
	ds := tiny.Noise{N: n, Label: func(i int) int { return min(i%7, tiny.Classes) - 1 }} // one in seven has none
	s := sessionOf(t, extraction.Extraction{Backend: b, Model: model, Data: ds, Batch: 7, CacheDir: t.TempDir()})
	curve, err := experiments.Ablation(t.Context(), s, experiments.AblationConfig{})
	require.NoError(t, err)
	require.Less(t, curve.Exactness, 1e-5)
	require.NoError(t, curve.Check())
	require.Equal(t, "tiny", curve.Model)
	require.InDelta(t, 1.0/tiny.Classes, curve.Chance, 1e-12)
	require.Equal(t, []string{"init", "layer:00, mlp", "layer:00, attns", "layer:01, mlp", "layer:01, attns"}, curve.Order)

	var pixels []float32
	labelled := 0
	for i := range n {
		p, err := ds.Picture(i)
		require.NoError(t, err)
		one, err := model.Preprocess.Apply(p)
		require.NoError(t, err)
		pixels = append(pixels, one...)
		if ds.Item(i).Label >= 0 {
			labelled++
		}
	}
	require.Equal(t, labelled, curve.Pictures)
	d, err := decompose.New(b, model, decompose.Options{Split: decompose.Attns, Biases: decompose.BiasesShared})
	require.NoError(t, err)
	out, err := d.Run(tensors.FromFlatDataAndDimensions(pixels, n, 3, tiny.Side, tiny.Side))
	require.NoError(t, err)
	names := decompose.Names(out.Components)
	weight, bias := numbers(t, model.Weight("head.weight")), numbers(t, model.Weight("head.bias"))

	accuracy := func(ablated []string) float64 {
		right := 0
		for i := range n {
			z := make([]float64, tiny.Dim)
			for component, name := range names {
				for picture := range n {
					switch {
					case slices.Contains(ablated, name):
						for c, v := range out.Contribution(component, picture) {
							z[c] += float64(v) / n
						}
					case picture == i:
						for c, v := range out.Contribution(component, picture) {
							z[c] += float64(v)
						}
					}
				}
			}
			best, bestLogit := -1, 0.0
			for class := range tiny.Classes {
				logit := float64(bias[class])
				for c := range tiny.Dim {
					logit += float64(weight[class*tiny.Dim+c]) * z[c]
				}
				if best < 0 || logit > bestLogit {
					best, bestLogit = class, logit
				}
			}
			if best == ds.Item(i).Label {
				right++
			}
		}
		return float64(right) / float64(labelled)
	}
	var fromInit, fromLast []float64
	for step := range len(curve.Order) + 1 {
		fromInit = append(fromInit, accuracy(curve.Order[:step]))
		fromLast = append(fromLast, accuracy(curve.Order[len(curve.Order)-step:]))
	}
	require.InDeltaSlice(t, fromInit, curve.FromInit, 1e-9)
	require.InDeltaSlice(t, fromLast, curve.FromLast, 1e-9)
	require.NotEqual(t, curve.FromInit, curve.FromLast)
	require.Equal(t, curve.FromInit[len(curve.Order)], curve.FromLast[len(curve.Order)], "with everything ablated, all pictures are the same")
}

func numbers(t testing.TB, tensor *tensors.Tensor) []float32 {
	t.Helper()
	flat, err := tensors.CopyFlatData[float32](tensor)
	require.NoError(t, err)
	return flat
}

func TestAblationMistakes(t *testing.T) {
	e := extraction.Extraction{Backend: tiny.Backend(t), Model: tiny.Model(t), Data: tiny.Noise{N: 6}, Batch: 4, CacheDir: t.TempDir()}
	drawn := func(i int) { t.Errorf("picture %d was asked for before the labels were looked at", i) }
	for _, c := range []struct {
		name   string
		change func(e *extraction.Extraction)
		says   string
	}{
		{"no head", func(e *extraction.Extraction) {
			e.Model = tiny.Model(t, func(args map[string]any) { args["num_classes"] = 0.0 })
		}, "tiny has no classifier head"},
		{"nothing", func(e *extraction.Extraction) { e.Data = tiny.Noise{} }, "no pictures"},
		{"no labels", func(e *extraction.Extraction) {
			e.Data = tiny.Noise{N: 6, Label: func(int) int { return -1 }, Drawn: drawn}
		}, "no picture has a label"},
		{"none among the first", func(e *extraction.Extraction) {
			e.Data = tiny.Noise{N: 6, Label: func(i int) int { return max(i, 3) - 4 }, Drawn: drawn}
			e.Pictures = 4
		}, "no picture has a label"},
		{"a label too large", func(e *extraction.Extraction) {
			e.Data = tiny.Noise{N: 6, Label: func(i int) int { return i }, Drawn: drawn}
		}, "noise-5 has label 5, but tiny has only 5 classes"},
		{"none can be read", func(e *extraction.Extraction) {
			e.Data, e.MaxBad = tiny.Noise{N: 2, Bad: map[int]bool{0: true, 1: true}}, 2
		}, "none of the pictures could be read"},
		{"none with a label can be read", func(e *extraction.Extraction) {
			e.Data, e.MaxBad = tiny.Noise{N: 3, Label: func(i int) int { return -min(i, 1) }, Bad: map[int]bool{0: true}}, 1
		}, "none of the pictures that could be read has a label"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wrong := e
			c.change(&wrong)
			_, err := experiments.Ablation(t.Context(), sessionOf(t, wrong), experiments.AblationConfig{})
			require.ErrorContains(t, err, c.says)
		})
	}
}

// TestAblationOfPicturesLeftOutBefore: what an earlier run was allowed to leave out is not allowed to a later one, which
// tries it again.
func TestAblationOfPicturesLeftOutBefore(t *testing.T) {
	e := extraction.Extraction{
		Backend: tiny.Backend(t), Model: tiny.Model(t), Data: tiny.Noise{N: 6, Bad: map[int]bool{2: true}}, Batch: 4, MaxBad: 1, CacheDir: t.TempDir(),
	}
	curve, err := experiments.Ablation(t.Context(), sessionOf(t, e), experiments.AblationConfig{})
	require.NoError(t, err)
	require.Equal(t, 5, curve.Pictures)
	e.MaxBad = 0
	_, err = experiments.Ablation(t.Context(), sessionOf(t, e), experiments.AblationConfig{})
	require.ErrorContains(t, err, "noise-2 is too noisy")
	e.Data = tiny.Noise{N: 6}
	curve, err = experiments.Ablation(t.Context(), sessionOf(t, e), experiments.AblationConfig{})
	require.NoError(t, err)
	require.Equal(t, 6, curve.Pictures)
}

// TestAblationWithLinearHead ablates under a head that was trained here, on labels of which one in four is missing.
func TestAblationWithLinearHead(t *testing.T) {
	e := extraction.Extraction{
		Backend: tiny.Backend(t), Model: tiny.Model(t, func(args map[string]any) { args["num_classes"] = 0.0 }),
		Data: tiny.Noise{N: 18, Label: func(i int) int { return i%4 - 1 }}, Batch: 4, CacheDir: t.TempDir(),
	}
	head, err := heads.Train(t.Context(), e, heads.Config{Epochs: 3, LearningRate: 0.01, Batch: 5, Seed: 9})
	require.NoError(t, err)
	e.Model, err = head.ApplyTo(e.Model)
	require.NoError(t, err)
	curve, err := experiments.Ablation(t.Context(), sessionOf(t, e), experiments.AblationConfig{})
	require.NoError(t, err)
	require.Equal(t, 13, curve.Pictures)
}
