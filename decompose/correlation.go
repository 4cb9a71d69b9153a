package decompose

import (
	"cmp"
	"math"
	"slices"
)

// pearson is the correlation of two lists of the same length; NaN when one is constant or they have less than two entries.
// The stat.Correlation of gonum has a number for what rounding leaves of a constant, and for 6 of 10 pairs of lists another
// last digit, which results keep.
func pearson(x, y []float64) float64 {
	if len(x) != len(y) || len(x) < 2 {
		return math.NaN()
	}
	n := float64(len(x))
	mx, my := 0.0, 0.0
	for i := range x {
		mx, my = mx+x[i]/n, my+y[i]/n
	}
	var xy, xx, yy float64
	for i := range x {
		dx, dy := x[i]-mx, y[i]-my
		xy, xx, yy = xy+dx*dy, xx+dx*dx, yy+dy*dy
	}
	// What rounding leaves of a constant is none: a deviation within a few last digits of the mean.
	const rounding = 1e-14
	if xx <= n*math.Pow(rounding*mx, 2) || yy <= n*math.Pow(rounding*my, 2) {
		return math.NaN()
	}
	return max(-1, min(1, xy/math.Sqrt(xx*yy)))
}

// RankingCorrelation is the correlation of two scores over pictures by the convention of the code of arXiv 2406.01583: a
// mean over n pictures divided by deviations over n-1, so that it ends at (n-1)/n. What the paper calls rankings are scores:
// they are not replaced by ranks. NaN as for [Spearman].
func RankingCorrelation(x, y []float64) float64 {
	n := float64(len(x))
	return pearson(x, y) * (n - 1) / n
}

// ranks are the ranks of numbers from 1 on, smallest first; equal numbers share the mean of their ranks.
func ranks(x []float64) []float64 {
	order := upTo(len(x))
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(x[a], x[b]) })
	ranks := make([]float64, len(x))
	for first := 0; first < len(order); {
		end := first + 1
		for end < len(order) && x[order[end]] == x[order[first]] {
			end++
		}
		for _, i := range order[first:end] {
			ranks[i] = float64(first+end+1) / 2
		}
		first = end
	}
	return ranks
}

// Spearman is the rank correlation of two lists, with shared ranks for equal values; NaN when one is constant or not
// a number, or they have less than two entries.
func Spearman(x, y []float64) float64 {
	if slices.ContainsFunc(x, math.IsNaN) || slices.ContainsFunc(y, math.IsNaN) {
		return math.NaN()
	}
	return pearson(ranks(x), ranks(y))
}
