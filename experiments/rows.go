package experiments

import (
	"math"
	"slices"
)

// What experiments do with rows of numbers, [row, dim].

// products are the dot products of rows with a vector.
func products(rows, vector []float32) []float32 {
	out := make([]float32, len(rows)/len(vector))
	for i := range out {
		out[i] = float32(dot(rows[i*len(vector):][:len(vector)], vector))
	}
	return out
}

// unitOrZero scales rows to length 1; a row of zeros, which has no direction, stays.
func unitOrZero(rows []float32, dim int) []float32 {
	for row := range slices.Chunk(rows, dim) {
		square := 0.0
		for _, v := range row {
			square += float64(v) * float64(v)
		}
		if square == 0 {
			continue
		}
		for d := range row {
			row[d] = float32(float64(row[d]) / math.Sqrt(square))
		}
	}
	return rows
}

// dot is the dot product, summed in float64.
func dot(a, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}
