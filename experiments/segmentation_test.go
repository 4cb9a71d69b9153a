package experiments_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"vitdecompose/data"
	"vitdecompose/decompose"
	"vitdecompose/experiments"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/tiny"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/zoo"
)

// maskedNoise is noise with an object in a corner of each picture.
type maskedNoise struct{ tiny.Noise }

func (d maskedNoise) Mask(i int) (*data.Mask, error) {
	if i == 13 {
		return nil, errors.New("noise-13.png is no mask")
	}
	m := &data.Mask{Width: tiny.Side, Height: tiny.Side, Pix: make([]uint8, tiny.Side*tiny.Side)}
	for p := range m.Pix {
		switch x, y := p%tiny.Side, p/tiny.Side; {
		case x < 4+i && y < 9:
			m.Pix[p] = data.MaskObject
		case x == 15:
			m.Pix[p] = data.MaskIgnored
		}
	}
	return m, nil
}

// tinySegmentation is the extraction of some masked noise by the tiny model, whose 16 x 16 pictures have 2 x 2 patches.
func tinySegmentation(t testing.TB, ds data.Dataset) extraction.Extraction {
	t.Helper()
	return extraction.Extraction{
		Backend: tiny.Backend(t), Model: tiny.Model(t), Data: ds, Batch: 3, CacheDir: t.TempDir(), Options: decompose.Options{First: 1, End: 2},
	}
}

// The scores again, in the plain way: the token scores of each picture, the sum over components, the two patches of a row and
// of a column blended by hand, the counts.
func TestSegmentation(t *testing.T) {
	ds := maskedNoise{tiny.Noise{N: 7, Label: func(i int) int { return i%tiny.Classes - i/6 }}} // the last has the label 0, none -1
	e := tinySegmentation(t, ds)
	got, err := experiments.Segmentation(t.Context(), sessionOf(t, e), experiments.SegmentationConfig{Examples: 2})
	require.NoError(t, err)
	require.Equal(t, 7, got.Pictures)
	require.Equal(t, "layer:01 to 01", got.Blocks)
	require.Equal(t, []string{"decomposition", "GradCAM", "Chefer"}, []string{got.Scores[0].Method, got.Scores[1].Method, got.Scores[2].Method})

	scorer, err := decompose.NewScorer(e.Backend, e.Model, e.Options)
	require.NoError(t, err)
	defer scorer.Close()
	var counts []experiments.SegmentationCounts
	for i := range ds.N {
		p, err := ds.Picture(i)
		require.NoError(t, err)
		pixels, err := e.Model.Preprocess.Apply(p)
		require.NoError(t, err)
		scored, _, err := scorer.Run(tensors.FromFlatDataAndDimensions(pixels, 1, 3, tiny.Side, tiny.Side), []int{ds.Item(i).Label})
		require.NoError(t, err)
		require.Len(t, scored, 3, "two heads and an MLP")
		var patches [4]float64
		for _, c := range scored {
			require.Len(t, c.Values, 5, "the class token and four patches")
			for k, v := range c.Values[1:] {
				patches[k] += float64(v)
			}
		}
		full := make([]float32, tiny.Side*tiny.Side)
		for at := range full {
			blend := func(i int) float64 { return min(max((float64(i)+0.5)/8-0.5, 0), 1) }
			x, y := blend(at%tiny.Side), blend(at/tiny.Side)
			full[at] = float32((1-y)*((1-x)*patches[0]+x*patches[1]) + y*((1-x)*patches[2]+x*patches[3]))
		}
		mask, err := ds.Mask(i)
		require.NoError(t, err)
		c, err := experiments.CountSegmentation(full, mask.Pix)
		require.NoError(t, err)
		require.Equal(t, 15*16, c.Labelled, "the last column is ignored")
		counts = append(counts, c)
	}
	want, err := experiments.ScoreSegmentation(counts)
	require.NoError(t, err)
	require.InDelta(t, want.PixelAccuracy, got.Scores[0].PixelAccuracy, 2.0/(7*240))
	require.InDelta(t, want.MIoU, got.Scores[0].MIoU, 1e-2)
	require.InDelta(t, want.MAP, got.Scores[0].MAP, 1e-2)

	require.Len(t, got.Examples, 2)
	for _, m := range got.Examples[1].Maps {
		require.Equal(t, [2]int{2, 2}, [2]int{m.Rows, m.Columns})
		require.LessOrEqual(t, slices.Max(m.Values), float32(1))
	}

	t.Run("again, from the cache", func(t *testing.T) {
		var mu sync.Mutex
		drawn := 0
		again := e
		again.Data = maskedNoise{tiny.Noise{N: 7, Label: ds.Label, Drawn: func(int) { mu.Lock(); drawn++; mu.Unlock() }}}
		second, err := experiments.Segmentation(t.Context(), sessionOf(t, again), experiments.SegmentationConfig{Examples: 2})
		require.NoError(t, err)
		require.Equal(t, got, second)
		require.Zero(t, drawn)
	})
}

func TestSegmentationGoesOnAfterAnInterruption(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ds := maskedNoise{tiny.Noise{N: 9}}
	e := tinySegmentation(t, ds)
	drawn := map[int]int{}
	var mu sync.Mutex
	ds.Drawn = func(i int) {
		mu.Lock()
		defer mu.Unlock()
		drawn[i]++
		if i == 8 {
			cancel()
		}
	}
	e.Data = ds
	config := experiments.SegmentationConfig{Methods: []string{experiments.ByDecomposition}}
	_, err := experiments.Segmentation(ctx, sessionOf(t, e), config)
	require.ErrorIs(t, err, context.Canceled)
	got, err := experiments.Segmentation(t.Context(), sessionOf(t, e), config)
	require.NoError(t, err)
	fresh := e
	fresh.CacheDir = t.TempDir()
	want, err := experiments.Segmentation(t.Context(), sessionOf(t, fresh), config)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestSegmentationMistakes(t *testing.T) {
	for name, test := range map[string]struct {
		ds     data.Dataset
		change func(e *extraction.Extraction, c *experiments.SegmentationConfig)
		want   string
	}{
		"no masks":               {ds: tiny.Noise{N: 3}, want: "segmentation needs pictures with masks"},
		"orient":                 {change: func(e *extraction.Extraction, _ *experiments.SegmentationConfig) { e.Orient = true }, want: "option Orient cannot be used with masks"},
		"no labels":              {ds: maskedNoise{tiny.Noise{N: 3, Label: func(int) int { return -1 }}}, want: "no picture has a label"},
		"labels too big":         {ds: maskedNoise{tiny.Noise{N: 3, Label: func(int) int { return 99 }}}, want: "has label 99"},
		"no such method":         {change: func(_ *extraction.Extraction, c *experiments.SegmentationConfig) { c.Methods = []string{"magic"} }, want: `unknown segmentation method "magic"`},
		"a bad mask":             {ds: maskedNoise{tiny.Noise{N: 14}}, want: "noise-13.png is no mask"},
		"a mask of another size": {ds: badMask{maskedNoise{tiny.Noise{N: 3}}}, want: "3 values do not make a mask of 2 x 2 pixels"},
		"a bad picture":          {ds: maskedNoise{tiny.Noise{N: 3, Bad: map[int]bool{1: true}}}, want: "noise-1 is too noisy"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.ds == nil {
				test.ds = maskedNoise{tiny.Noise{N: 3}}
			}
			e, c := tinySegmentation(t, test.ds), experiments.SegmentationConfig{Methods: []string{experiments.ByDecomposition}}
			if test.change != nil {
				test.change(&e, &c)
			}
			_, err := experiments.Segmentation(t.Context(), sessionOf(t, e), c)
			require.ErrorContains(t, err, test.want)
		})
	}
	t.Run("a bad picture may be left out", func(t *testing.T) {
		e := tinySegmentation(t, maskedNoise{tiny.Noise{N: 3, Bad: map[int]bool{1: true}}})
		e.MaxBad = 1
		got, err := experiments.Segmentation(t.Context(), sessionOf(t, e), experiments.SegmentationConfig{Methods: []string{experiments.ByGradCAM}})
		require.NoError(t, err)
		require.Equal(t, 2, got.Pictures)
	})
}

type badMask struct{ maskedNoise }

func (badMask) Mask(int) (*data.Mask, error) {
	return &data.Mask{Width: 2, Height: 2, Pix: make([]uint8, 3)}, nil
}

// What a token of a coarse grid says is spread over the positions that it covers: the sum stays.
func TestClassHeatmapsOfStages(t *testing.T) {
	// Its own copy: the shared one may be on XLA's devices already.
	ckpt, err := zoo.Open("swin-mini")
	require.NoError(t, err)
	defer ckpt.Close()
	model, err := gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{})
	require.NoError(t, err)
	s := sessionOf(t, extraction.Extraction{Backend: tiny.Backend(t), Model: model, Data: tiny.Noise{N: 1}}) // done before XLA has compiled
	result, err := experiments.ClassHeatmaps(t.Context(), s, experiments.ClassHeatmapConfig{Pictures: []int{0}, Each: true, Class: new(2)})
	require.NoError(t, err)
	panels := result.Pictures[0].Panels
	sides := map[int]bool{}
	sum, each := 0.0, 0.0
	for i, panel := range panels {
		require.Equal(t, model.ClassNames[2], panel.Text)
		for _, v := range panel.Values {
			if i == 0 {
				sum += float64(v)
			} else {
				each += float64(v)
			}
		}
		if i > 0 {
			sides[panel.Rows] = true
			require.Len(t, panel.Components, 1)
			require.Equal(t, panels[1].Limit, panel.Limit)
		}
	}
	require.Len(t, sides, 2, "stages 2 and 3 have different grids: %v", sides)
	require.InDelta(t, sum, each, 1e-4*math.Abs(sum)+1e-4)
	_, err = experiments.ClassHeatmaps(t.Context(), s, experiments.ClassHeatmapConfig{Pictures: []int{0}, Class: new(-1)})
	require.ErrorContains(t, err, "has no class -1")
	_, err = experiments.ClassHeatmaps(t.Context(), s, experiments.ClassHeatmapConfig{Pictures: []int{1}})
	require.ErrorContains(t, err, "there is no picture 1: the data has 1")
}

// The maps of all heads of a CLIP, over all tokens, sum to what its components say of the text.
func TestHeatmaps(t *testing.T) {
	s := smallSession(t, "clip-mini", sharedCache(t))
	st, err := s.Study(t.Context())
	require.NoError(t, err)
	st.Options.Biases = decompose.BiasesApart // so that heads are what tokens sum to
	r := readingOf(t, s)
	features := sceneFeatures(t, "color", "object")
	var colours []experiments.HeatmapPanel // of the two pictures
	for _, each := range []bool{false, true} {
		result, err := experiments.Heatmaps(t.Context(), s, experiments.HeatmapConfig{
			Features: features, Texts: []string{"a red car"}, Heads: 2, Each: each, Pictures: []int{4, 77},
		})
		require.NoError(t, err)
		require.Len(t, result.Pictures, 2)
		for _, p := range result.Pictures {
			position, found := slices.BinarySearch(r.Index, p.Picture)
			require.True(t, found)
			if !each {
				require.Len(t, p.Panels, 3)
				colours = append(colours, p.Panels[0])
				require.Equal(t, "a red car", p.Panels[2].Text)
			}
			for _, panel := range p.Panels {
				require.Len(t, panel.Components, map[bool]int{false: 2, true: 1}[each])
				require.Equal(t, 64, len(panel.Values))
				text, err := r.Phrases(t.Context(), []string{panel.Text})
				require.NoError(t, err)
				want, got := 0.0, panel.Others
				for _, v := range panel.Values {
					got += float64(v)
				}
				for _, c := range panel.Components {
					for d, v := range r.Aligned.Row(slices.Index(r.Components, c), position) {
						want += float64(v) * float64(text[d])
					}
				}
				require.InDelta(t, want, got, 1e-4, "%s", fmt.Sprint(panel.Components))
			}
		}
		// Of the colours, the one is drawn that the CLIP finds nearest; mostly it is the scene's.
		require.Equal(t, data.Attributes(s.Data, 4)["color"]+" color", result.Pictures[0].Panels[0].Text)
	}
	// What is left open is the first three pictures and the features of scenes; other pictures are drawn over as the session's are.
	usual, err := experiments.Heatmaps(t.Context(), s, experiments.HeatmapConfig{Over: data.Subset(s.Data, []int{77, 149, 4, 0}), Heads: 2})
	require.NoError(t, err)
	require.Len(t, usual.Pictures, 3)
	require.Equal(t, 0, usual.Pictures[0].Picture)
	require.Len(t, usual.Pictures[0].Panels, 5)
	require.Equal(t, colours[0], usual.Pictures[2].Panels[0])
	require.Equal(t, colours[1], usual.Pictures[0].Panels[0])

	for want, config := range map[string]experiments.HeatmapConfig{
		"option Heads: -1 is not at least 1": {Texts: []string{"x"}, Heads: -1},
		"no picture 150":                     {Texts: []string{"x"}, Pictures: []int{150}},
	} {
		_, err := experiments.Heatmaps(t.Context(), s, config)
		require.ErrorContains(t, err, want)
	}
}

// Through an aligner the direction of a text is that in which the mapped contribution scores.
func TestAlignerDirection(t *testing.T) {
	a := &decompose.Aligner{Components: []string{"x", "y"}, Dim: 3, ClipDim: 2, Weights: []float32{0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6}, Bias: []float32{0, 0}}
	require.Equal(t, []float32{1*10 + 2*100, 3*10 + 4*100, 5*10 + 6*100}, a.Direction(1, []float32{10, 100}))
}
