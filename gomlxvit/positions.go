package gomlxvit

import (
	"math"

	"vitdecompose/gomlxvit/preprocess"
)

// resamplePositions stretches position embeddings from one grid of patches to another, as timm and open_clip do: class
// and register rows stay, the patch rows are resized as a picture with the antialiased bicubic filter (a = -0.5).
func resamplePositions(data []float32, from, to Param) []float32 {
	dim := from.Dims[len(from.Dims)-1]
	prefix := from.positionPrefix
	oldRows, newRows := len(data)/dim-prefix, to.size()/dim-prefix
	oldGrid, newGrid := int(math.Sqrt(float64(oldRows))), int(math.Sqrt(float64(newRows)))

	weights := preprocess.Bicubic(oldGrid, newGrid)
	patches := data[prefix*dim:]
	columns := make([]float64, oldGrid*newGrid*dim) // [old row, new column, dim]
	for row := range oldGrid {
		for col, taps := range weights {
			out := columns[(row*newGrid+col)*dim:][:dim]
			for k, weight := range taps.Weights {
				for c, v := range patches[(row*oldGrid+taps.First+k)*dim:][:dim] {
					out[c] += weight * float64(v)
				}
			}
		}
	}
	out := make([]float32, 0, to.size())
	out = append(out, data[:prefix*dim]...)
	sum := make([]float64, dim)
	for _, taps := range weights {
		for col := range newGrid {
			clear(sum)
			for k, weight := range taps.Weights {
				for c, v := range columns[((taps.First+k)*newGrid+col)*dim:][:dim] {
					sum[c] += weight * v
				}
			}
			for _, v := range sum {
				out = append(out, float32(v))
			}
		}
	}
	return out
}
