package statistics_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments/statistics"
)

func TestMean(t *testing.T) {
	require.Equal(t, 2.5, statistics.Mean([]float64{4, 1, 2, 3}))
	require.True(t, math.IsNaN(statistics.Mean(nil)))
}

func TestMedian(t *testing.T) {
	require.Zero(t, statistics.Median(nil))
	require.Equal(t, 3.0, statistics.Median([]float64{3}))
	require.Equal(t, 2.5, statistics.Median([]float64{4, 1, 2, 3}))
	values := []float64{9, 1, 5}
	require.Equal(t, 5.0, statistics.Median(values))
	require.Equal(t, []float64{9, 1, 5}, values, "the caller's order stays")
}

// Of 2, 4, 4, 6 the mean is 4 and the deviation the root of 8/3; Student's t with 3 degrees of freedom has its 97.5 % point
// at 3.1824 (any table), so half the interval is 3.1824 * sqrt(8/3)/2.
func TestConfidence(t *testing.T) {
	got := statistics.Confidence([]float64{2, 4, 4, 6})
	half := 3.1824463 * math.Sqrt(8.0/3) / 2
	require.InDelta(t, 4, got.Mean, 1e-12)
	require.InDelta(t, 4-half, got.Low, 1e-5)
	require.InDelta(t, 4+half, got.High, 1e-5)
	require.Equal(t, statistics.Interval{Mean: 7, Low: 7, High: 7}, statistics.Confidence([]float64{7}))
}

func TestSpread(t *testing.T) {
	var values []float64
	for i := range 201 {
		values = append(values, float64((i*7)%201)) // 0 to 200, shuffled
	}
	require.Equal(t, statistics.Interval{Mean: 100, Low: 5, High: 195}, statistics.Spread(values))
}

func TestArgmax(t *testing.T) {
	nan := float32(math.NaN())
	require.Equal(t, 1, statistics.Argmax([]float32{-3, 2, 2}))
	require.Equal(t, 1, statistics.Argmax([]float32{nan, -1, nan}))
	require.Equal(t, -1, statistics.Argmax([]float32{nan}), "a picture of no class is no class's picture")
	require.Equal(t, -1, statistics.Argmax(nil))
}

func TestTop(t *testing.T) {
	values := []float32{1, 5, 3, 5}
	require.Equal(t, []int{1, 3, 2}, statistics.Top(values, 3), "of equal ones the first comes first")
	require.Equal(t, []int{1, 3, 2, 0}, statistics.Top(values, 9))
	require.Empty(t, statistics.Top(values, 0))
	require.Equal(t, []float32{1, 5, 3, 5}, values, "the caller's order stays")
}

func TestIndices(t *testing.T) {
	require.Equal(t, []int{0, 1, 2}, statistics.Indices(3))
	require.Empty(t, statistics.Indices(0))
}
