package extraction_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/decompose"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/memory"
	"vitdecompose/experiments/tiny"
)

// Pictures that one of the two models cannot read are left out of both.
func TestPartsLeaveOut(t *testing.T) {
	e := extraction.Extraction{
		Backend: tiny.Backend(t), Model: tiny.Model(t), Batch: 4, MaxBad: 3, CacheDir: t.TempDir(),
		Data: tiny.Noise{N: 10, Bad: map[int]bool{1: true, 8: true, 9: true}}, Options: decompose.Options{Split: decompose.Attns},
	}
	p, err := e.Parts(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{0, 2, 3, 4, 5, 6, 7}, p.Index)
	require.Equal(t, 7, p.Pictures)
	require.NoError(t, p.Check())
	e.Data, e.CacheDir = tiny.Noise{N: 10}, t.TempDir()
	all, err := e.Parts(t.Context())
	require.NoError(t, err)
	for i := range p.Components {
		for k, index := range p.Index {
			require.InDeltaSlice(t, wide(all.Row(i, index)), wide(p.Row(i, k)), 1e-6, "%s of picture %d", p.Components[i], index)
		}
	}
	for k, index := range p.Index {
		sum := make([]float64, p.Dim)
		for i := range p.Components {
			for d, v := range p.Row(i, k) {
				sum[d] += float64(v)
			}
		}
		require.InDeltaSlice(t, wide(all.Representation[index*p.Dim:][:p.Dim]), sum, 1e-4)
	}
	e.MaxBad, e.CacheDir, e.Data = 2, t.TempDir(), tiny.Noise{N: 10, Bad: map[int]bool{1: true, 8: true, 9: true}}
	_, err = e.Parts(t.Context())
	require.ErrorContains(t, err, "noise-9 is too noisy")
}

func wide(values []float32) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = float64(v)
	}
	return out
}

// What does not fit into memory is an error that says what would.
func TestFitsMemory(t *testing.T) {
	defer memory.Pretend(1_000_000)()
	require.NoError(t, extraction.FitsMemory(1000, 1000))
	require.EqualError(t, extraction.FitsMemory(1000, 1001), "the contributions of 1001 pictures take 0.0 GB, and 0.0 GB of memory are free; take at most 1000 pictures, or fewer blocks")
	defer memory.Pretend(0)() // a system that does not tell
	require.NoError(t, extraction.FitsMemory(1<<30, 1<<30))
}
