package extraction_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"vitdecompose/decompose"
	"vitdecompose/experiments/cache"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/statistics"
	"vitdecompose/experiments/tiny"
)

// all reads a store.
func all(t testing.TB, store *cache.Store) (chunks []cache.Chunk) {
	t.Helper()
	for chunk, err := range store.Chunks() {
		require.NoError(t, err)
		chunks = append(chunks, chunk)
	}
	return chunks
}

// rows are the contributions of one picture [component, dim], and its representation and logits.
type rows struct{ contributions, representation, logits []float32 }

func byPicture(t testing.TB, chunks []cache.Chunk) map[int]rows {
	t.Helper()
	pictures := make(map[int]rows)
	for _, c := range chunks {
		n, dim := len(c.Index), c.Dim()
		for i, index := range c.Index {
			r := rows{representation: c.Representation[i*dim:][:dim], logits: c.Logits[i*c.Classes():][:c.Classes()]}
			for component := range c.Components {
				r.contributions = append(r.contributions, c.Contributions[(component*n+i)*dim:][:dim]...)
			}
			require.NotContains(t, pictures, index)
			pictures[index] = r
		}
	}
	return pictures
}

func TestExtract(t *testing.T) {
	model, b := tiny.Model(t), tiny.Backend(t)
	e := extraction.Extraction{Backend: b, Model: model, Data: tiny.Noise{N: 10}, Batch: 4, CacheDir: t.TempDir()}
	store, err := e.Extract(t.Context())
	require.NoError(t, err)
	chunks := all(t, store)
	require.Len(t, chunks, 3)
	require.Equal(t, []int{8, 9}, chunks[2].Index)
	for _, c := range chunks {
		require.Less(t, extraction.Exactness(c), 1e-5)
	}
	pictures := byPicture(t, chunks)
	require.Len(t, pictures, 10)

	t.Run("the last batch without padding", func(t *testing.T) {
		var pixels []float32
		for _, i := range chunks[2].Index {
			p, err := e.Data.Picture(i)
			require.NoError(t, err)
			one, err := model.Preprocess.Apply(p)
			require.NoError(t, err)
			pixels = append(pixels, one...)
		}
		d, err := decompose.New(b, model, decompose.Options{})
		require.NoError(t, err)
		out, err := d.Run(tensors.FromFlatDataAndDimensions(pixels, 2, 3, tiny.Side, tiny.Side))
		require.NoError(t, err)
		require.Equal(t, decompose.Names(out.Components), chunks[2].Components)
		require.InDeltaSlice(t, out.Contributions, chunks[2].Contributions, 1e-5)
		require.InDeltaSlice(t, out.Representation, chunks[2].Representation, 1e-5)
		require.InDeltaSlice(t, out.Logits, chunks[2].Logits, 1e-5)
	})
	t.Run("another batch", func(t *testing.T) {
		other := e
		other.Batch = 7
		store, err := other.Extract(t.Context())
		require.NoError(t, err)
		for index, r := range byPicture(t, all(t, store)) {
			require.InDeltaSlice(t, pictures[index].contributions, r.contributions, 1e-5)
			require.InDeltaSlice(t, pictures[index].logits, r.logits, 1e-5)
		}
	})
	t.Run("the first pictures", func(t *testing.T) {
		some := e
		some.Pictures = 3
		store, err := some.Extract(t.Context())
		require.NoError(t, err)
		require.Len(t, byPicture(t, all(t, store)), 3)
	})
	t.Run("a second time nothing is computed", func(t *testing.T) {
		again := e
		again.Data = tiny.Noise{N: 10, Drawn: func(i int) { t.Errorf("picture %d was asked for", i) }}
		store, err := again.Extract(t.Context())
		require.NoError(t, err)
		require.Equal(t, chunks, all(t, store))
	})
	t.Run("a chunk that was cut is computed again", func(t *testing.T) {
		files, err := filepath.Glob(filepath.Join(store.Dir(), "chunk-00000004-*"))
		require.NoError(t, err)
		require.Len(t, files, 1)
		require.NoError(t, os.Truncate(files[0], 100))
		var drawn atomic.Int64
		var warnings []error
		again := e
		again.Data = tiny.Noise{N: 10, Drawn: func(int) { drawn.Add(1) }}
		again.Warn = func(err error) { warnings = append(warnings, err) }
		store, err := again.Extract(t.Context())
		require.NoError(t, err)
		require.Equal(t, int64(4), drawn.Load())
		require.Len(t, warnings, 1)
		require.ErrorContains(t, warnings[0], files[0])
		require.Equal(t, chunks, all(t, store))
	})
}

func TestExtractGoesOnAfterAnInterruption(t *testing.T) {
	model, b, dir := tiny.Model(t), tiny.Backend(t), t.TempDir()
	const n, batch = 40, 4
	ctx, cancel := context.WithCancel(t.Context())
	e := extraction.Extraction{Backend: b, Model: model, Batch: batch, CacheDir: dir, Data: tiny.Noise{N: n, Drawn: func(i int) {
		if i == 6*batch {
			cancel()
		}
	}}}
	_, err := e.Extract(ctx)
	require.ErrorIs(t, err, context.Canceled)
	files, err := filepath.Glob(filepath.Join(dir, "*", "chunk-*"))
	require.NoError(t, err)
	require.NotEmpty(t, files, "what was computed is kept")
	require.Less(t, len(files), n/batch)

	var drawn atomic.Int64
	e.Data = tiny.Noise{N: n, Drawn: func(int) { drawn.Add(1) }}
	resumed, err := e.Extract(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(n-batch*len(files)), drawn.Load())

	e.CacheDir = t.TempDir()
	whole, err := e.Extract(t.Context())
	require.NoError(t, err)
	require.Equal(t, all(t, whole), all(t, resumed))
}

func TestExtractLeavesOutWhatCannotBeRead(t *testing.T) {
	model, b := tiny.Model(t), tiny.Backend(t)
	e := extraction.Extraction{
		Backend: b, Model: model, Data: tiny.Noise{N: 8, Bad: map[int]bool{0: true, 1: true, 2: true, 6: true}}, Batch: 3, MaxBad: 4, CacheDir: t.TempDir(),
	}
	var warnings []error
	e.Warn = func(err error) { warnings = append(warnings, err) }
	store, err := e.Extract(t.Context())
	require.NoError(t, err)
	require.Len(t, warnings, 4)
	require.ErrorContains(t, warnings[3], "left out (4 of at most 4): noise-6 is too noisy")
	var index []int
	for _, c := range all(t, store) {
		index = append(index, c.Index...)
	}
	require.Equal(t, []int{3, 4, 5, 7}, index)

	e.MaxBad, e.CacheDir = 3, t.TempDir()
	_, err = e.Extract(t.Context())
	require.ErrorContains(t, err, "more than 3 pictures cannot be read")
	e.MaxBad = 0
	_, err = e.Extract(t.Context())
	require.ErrorContains(t, err, "is too noisy")
}

func TestExtractMistakes(t *testing.T) {
	e := extraction.Extraction{Backend: tiny.Backend(t), Model: tiny.Model(t), Data: tiny.Noise{N: 1}, CacheDir: t.TempDir()}
	for _, c := range []struct {
		name   string
		change func(e *extraction.Extraction)
		says   string
	}{
		{"tokens", func(e *extraction.Extraction) { e.Options.Split = decompose.Tokens }, "token split"},
		{"nothing", func(e *extraction.Extraction) { e.Data = tiny.Noise{} }, "no pictures"},
		{"blocks", func(e *extraction.Extraction) { e.Options.End = 3 }, "blocks 0 to 1"},
		{"hash", func(e *extraction.Extraction) { e.Data = hashless{e.Data.(tiny.Noise)} }, "no hash today"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wrong := e
			c.change(&wrong)
			_, err := wrong.Extract(t.Context())
			require.ErrorContains(t, err, c.says)
		})
	}
}

type hashless struct{ tiny.Noise }

func (hashless) Hash() (string, error) { return "", errors.New("no hash today") }

func TestExactness(t *testing.T) {
	require.Zero(t, extraction.Exactness(cache.Chunk{}))
	c := cache.Chunk{Index: []int{0}, Components: []string{"a", "b"}, Contributions: []float32{1, 2, 3, 4}, Representation: []float32{4, 8}}
	require.Equal(t, 0.25, extraction.Exactness(c), "2 + 4 is 2 off 8")
	c.Representation = []float32{4, 6}
	require.Zero(t, extraction.Exactness(c))
}

func TestCheckExact(t *testing.T) {
	model := tiny.Model(t)
	require.NoError(t, extraction.CheckExact(model, 0))
	require.NoError(t, extraction.CheckExact(model, 1e-5))
	require.ErrorContains(t, extraction.CheckExact(model, 5e-3), "tiny: the sum of the components differs from the representation by 5.0e-03, relative to its largest value")
	require.Error(t, extraction.CheckExact(model, math.NaN()))
	// Golden models in bfloat16 are off by up to 1.8e-3.
	require.NoError(t, extraction.CheckExact(model.InBFloat16(), 5e-3))
	require.Error(t, extraction.CheckExact(model.InBFloat16(), 0.05))
	require.Error(t, extraction.CheckExact(model.InBFloat16(), math.NaN()))
}

func TestTop(t *testing.T) {
	require.Equal(t, []int{2, 0, 3}, statistics.Top([]float32{3, -1, 7, 3}, 3), "the first of equals goes first")
	require.Equal(t, []int{1, 0}, statistics.Top([]float32{0, 1}, 5))
	require.Empty(t, statistics.Top(nil, 5))
}

// Contributions in half the room are those of float32, rounded; the error of their sum is that of the rounding, and told.
func TestExtractKeep(t *testing.T) {
	e := extraction.Extraction{
		Backend: tiny.Backend(t), Model: tiny.Model(t), Data: tiny.Noise{N: 10}, Batch: 4, CacheDir: t.TempDir(), Keep: "float32",
	}
	full, err := e.Parts(t.Context())
	require.NoError(t, err)
	require.Zero(t, full.Rounding)
	dirs := make(map[string]bool)
	for keep, u := range map[string]float64{cache.Float16: 1.0 / 2048, cache.BFloat16: 1.0 / 256} {
		t.Run(keep, func(t *testing.T) {
			e := e
			var warnings []string
			e.Keep, e.Warn = keep, func(err error) { warnings = append(warnings, err.Error()) }
			store, err := e.Extract(t.Context())
			require.NoError(t, err)
			require.NotContains(t, dirs, store.Dir())
			dirs[store.Dir()] = true
			half, err := e.Parts(t.Context())
			require.NoError(t, err)
			require.Equal(t, full.Representation, half.Representation)
			for i, v := range half.Values {
				require.InDelta(t, full.Values[i], v, u*math.Abs(float64(full.Values[i]))+1e-7)
			}
			require.Greater(t, half.Exactness, full.Exactness)
			require.LessOrEqual(t, half.Exactness, half.Rounding+full.Exactness)
			require.Less(t, half.Rounding, 20*u, "a bound that bounds nothing")
			require.Len(t, warnings, 1)
			require.Contains(t, warnings[0], "tiny: contributions are stored as "+keep)
		})
	}
	e.Keep = "float8"
	_, err = e.Extract(t.Context())
	require.ErrorContains(t, err, "float8")
}

func TestRounding(t *testing.T) {
	c := cache.Chunk{Index: []int{0}, Components: []string{"a", "b"}, Contributions: []float32{1, -2, 3, 4}, Representation: []float32{4, 2}}
	require.Zero(t, extraction.Rounding(c, ""))
	require.Zero(t, extraction.Rounding(cache.Chunk{}, cache.Float16))
	// 2 + 4 may each be off by 2^-8 of themselves, relative to 4.
	require.InDelta(t, 6.0/256/4, extraction.Rounding(c, cache.BFloat16), 1e-4)
	require.InDelta(t, 6.0/2048/4, extraction.Rounding(c, cache.Float16), 1e-6)
}
