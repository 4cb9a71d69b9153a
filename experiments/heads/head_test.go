package heads_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/decompose"
	"vitdecompose/experiments/heads"
)

// By hand: of exp(0), exp(ln 3) and exp(ln 4) the second is 3 of 8.
func TestCrossEntropy(t *testing.T) {
	logits := []float32{0, float32(math.Log(3)), float32(math.Log(4))}
	require.InDelta(t, math.Log(8.0/3), heads.CrossEntropy(logits, 1), 1e-6)
	require.InDelta(t, 1000, heads.CrossEntropy([]float32{1000, 0}, 1), 1e-9, "no overflow")
	require.Zero(t, heads.CrossEntropy([]float32{1000, 0}, 0))
}

// By hand: of the pictures (1, 10) and (3, 30) the first component adds (1, 4) and (3, 0), whose mean is (2, 2).
func TestAblate(t *testing.T) {
	c := &decompose.Contributions{Components: []string{"a", "b"}, Pictures: 2, Dim: 2, Values: []float32{1, 4, 3, 0, 0, 6, 0, 30}}
	means := heads.Means(c)
	require.Equal(t, []float64{2, 2, 0, 18}, means)
	rows := make([]float32, 3*2)
	heads.Ablate(rows, []float32{1, 10}, func(component int) []float32 { return c.Row(component, 0) }, []int{1, 0}, means)
	require.Equal(t, []float32{1, 10, 1, 22, 2, 20}, rows)
}
