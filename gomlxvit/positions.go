package gomlxvit

import (
	"math"

	"vitdecompose/gomlxvit/preprocess"
)

// resamplePositions stretches position embeddings from one grid of patches to another, as the library does that the model is
// from: class and register rows stay, the patch rows are resized as a picture.
func resamplePositions(data []float32, from, to Param) []float32 {
	dim := from.Dims[len(from.Dims)-1]
	prefix := from.positionPrefix
	oldRows, newRows := len(data)/dim-prefix, to.size()/dim-prefix
	oldGrid, newGrid := int(math.Sqrt(float64(oldRows))), int(math.Sqrt(float64(newRows)))

	weights := to.filter.taps(oldGrid, newGrid)
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

// positionFilter is how a library resamples position embeddings.
type positionFilter string

const (
	antialiasedFilter positionFilter = ""                          // bicubic, of timm and open_clip
	bicubicFilter     positionFilter = "bicubic"                   // of the transformers library: PyTorch's
	bilinearFilter    positionFilter = "bilinear"                  // of timm for FlexiViT and RADIO
	cornersFilter     positionFilter = "bilinear, corners aligned" // of timm for some RADIOs
)

// taps returns for each of out positions the input positions it reads and their weights. Where a filter reads beyond the
// edge, it reads the position at the edge.
func (f positionFilter) taps(in, out int) []preprocess.Taps {
	if f == antialiasedFilter {
		return preprocess.Bicubic(in, out)
	}
	side := make([]preprocess.Taps, out)
	for i := range side {
		centre := float64(in)/float64(out)*(float64(i)+0.5) - 0.5
		if f == cornersFilter && out > 1 {
			centre = float64(i*(in-1)) / float64(out-1)
		}
		first := int(math.Floor(centre))
		behind := centre - float64(first) // of the first position
		if f == bicubicFilter {
			side[i] = within(first-1, in, cubic(behind+1), cubic(behind), cubic(1-behind), cubic(2-behind))
		} else {
			side[i] = within(first, in, 1-behind, behind)
		}
	}
	return side
}

// within are taps from first on, those beyond the edges of a side of in samples added to those at the edges.
func within(first, in int, weights ...float64) preprocess.Taps {
	inside := func(i int) int { return min(max(i, 0), in-1) }
	taps := preprocess.Taps{First: inside(first)}
	taps.Weights = make([]float64, inside(first+len(weights)-1)-taps.First+1)
	for i, weight := range weights {
		taps.Weights[inside(first+i)-taps.First] += weight
	}
	return taps
}

// cubic is Keys' cubic convolution kernel with a = -0.75, PyTorch's; Pillow's and antialiased resizing have -0.5.
func cubic(x float64) float64 {
	const a = -0.75
	x = math.Abs(x)
	switch {
	case x < 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return (((x-5)*x+8)*x - 4) * a
	}
	return 0
}
