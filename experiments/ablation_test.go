package experiments_test

import (
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"vitdecompose/decompose"
	"vitdecompose/experiments"
)

// TestAblation compares with the definition, computed plainly: for every step the components so far are replaced by
// their mean over the pictures, everything is summed, and the head is a matrix product.
func TestAblation(t *testing.T) {
	model, b := tinyModel(t), openPureGo(t)
	const n = 30
	ds := noise{n: n, label: func(i int) int { return min(i%7, tinyClasses) - 1 }} // one in seven has none
	curve, exactness, err := experiments.Ablation(t.Context(), experiments.Extraction{Backend: b, Model: model, Data: ds, Batch: 7, CacheDir: t.TempDir()})
	require.NoError(t, err)
	require.Less(t, exactness, 1e-5)
	require.NoError(t, curve.Check())
	require.Equal(t, "tiny", curve.Model)
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
	out, err := d.Run(tensors.FromFlatDataAndDimensions(pixels, n, 3, tinySide, tinySide))
	require.NoError(t, err)
	names := decompose.Names(out.Components)
	weight, bias := numbers(t, model.Weight("head.weight")), numbers(t, model.Weight("head.bias"))

	accuracy := func(ablated []string) float64 {
		right := 0
		for i := range n {
			z := make([]float64, tinyDim)
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
			for class := range tinyClasses {
				logit := float64(bias[class])
				for c := range tinyDim {
					logit += float64(weight[class*tinyDim+c]) * z[c]
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
	e := experiments.Extraction{Backend: openPureGo(t), Model: tinyModel(t), Data: noise{n: 6}, Batch: 4, CacheDir: t.TempDir()}
	drawn := func(i int) { t.Errorf("picture %d was asked for before the labels were looked at", i) }
	for _, c := range []struct {
		name   string
		change func(e *experiments.Extraction)
		says   string
	}{
		{"no head", func(e *experiments.Extraction) {
			e.Model = tinyModel(t, func(args map[string]any) { args["num_classes"] = 0.0 })
		}, "tiny has no classifier head"},
		{"nothing", func(e *experiments.Extraction) { e.Data = noise{} }, "no pictures"},
		{"no labels", func(e *experiments.Extraction) {
			e.Data = noise{n: 6, label: func(int) int { return -1 }, drawn: drawn}
		}, "no picture has a label"},
		{"none among the first", func(e *experiments.Extraction) {
			e.Data = noise{n: 6, label: func(i int) int { return max(i, 3) - 4 }, drawn: drawn}
			e.Pictures = 4
		}, "no picture has a label"},
		{"a label too large", func(e *experiments.Extraction) {
			e.Data = noise{n: 6, label: func(i int) int { return i }, drawn: drawn}
		}, "noise-5 has label 5, but tiny has only 5 classes"},
		{"none can be read", func(e *experiments.Extraction) {
			e.Data, e.MaxBad = noise{n: 2, bad: map[int]bool{0: true, 1: true}}, 2
		}, "none of the pictures could be read"},
		{"none with a label can be read", func(e *experiments.Extraction) {
			e.Data, e.MaxBad = noise{n: 3, label: func(i int) int { return -min(i, 1) }, bad: map[int]bool{0: true}}, 1
		}, "none of the pictures that could be read has a label"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wrong := e
			c.change(&wrong)
			_, _, err := experiments.Ablation(t.Context(), wrong)
			require.ErrorContains(t, err, c.says)
		})
	}
}

// TestAblationOfPicturesLeftOutBefore: what an earlier run was allowed to leave out is not allowed to a later one, which
// tries it again.
func TestAblationOfPicturesLeftOutBefore(t *testing.T) {
	e := experiments.Extraction{
		Backend: openPureGo(t), Model: tinyModel(t), Data: noise{n: 6, bad: map[int]bool{2: true}}, Batch: 4, MaxBad: 1, CacheDir: t.TempDir(),
	}
	curve, _, err := experiments.Ablation(t.Context(), e)
	require.NoError(t, err)
	require.Equal(t, 5, curve.Pictures)
	e.MaxBad = 0
	_, _, err = experiments.Ablation(t.Context(), e)
	require.ErrorContains(t, err, "noise-2 is too noisy")
	e.Data = noise{n: 6}
	curve, _, err = experiments.Ablation(t.Context(), e)
	require.NoError(t, err)
	require.Equal(t, 6, curve.Pictures)
}
