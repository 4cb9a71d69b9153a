// Package statistics has the few statistics that experiments share: means, intervals and orders.
package statistics

import (
	"math"
	"slices"
	"sort"

	"gonum.org/v1/gonum/stat/distuv"
)

// Interval is a mean with the range that goes with it: [Confidence] or [Spread].
type Interval struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Mean is the arithmetic mean, NaN of no values. The values are added up in their order, so that the same values give the
// same bits on every machine.
func Mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// Median is the middle value, or the mean of the middle two; 0 of no values.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Confidence is the mean with its 95 % interval by Student's t; of one value, the value alone.
func Confidence(values []float64) Interval {
	m, n := Mean(values), float64(len(values))
	if n < 2 {
		return Interval{m, m, m}
	}
	square := 0.0
	for _, v := range values {
		square += (v - m) * (v - m)
	}
	half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.Quantile(0.975) * math.Sqrt(square/(n-1)/n)
	return Interval{m, m - half, m + half}
}

// Spread is the mean and the range that the middle 95 % of the values lie in.
func Spread(values []float64) Interval {
	sorted := slices.Sorted(slices.Values(values))
	at := func(share float64) float64 { return sorted[int(math.Round(share*float64(len(sorted)-1)))] }
	return Interval{Mean(values), at(0.025), at(0.975)}
}

// Argmax returns the index of the largest value; the first of several, -1 if none is a number.
func Argmax(values []float32) int {
	best := -1
	for i, v := range values {
		if v == v && (best < 0 || v > values[best]) {
			best = i
		}
	}
	return best
}

// Top returns the indices of the k largest values, largest first.
func Top(values []float32, k int) []int {
	indices := Indices(len(values))
	sort.SliceStable(indices, func(a, b int) bool { return values[indices[a]] > values[indices[b]] })
	return indices[:min(k, len(indices))]
}

// Indices lists 0 to n-1.
func Indices(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}
