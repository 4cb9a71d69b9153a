package gomlxvit

import "math"

// resamplePositions stretches position embeddings from one grid of patches to another, as timm and open_clip do: class
// and register rows stay, the patch rows are resized as a picture with the antialiased bicubic filter (a = -0.5).
func resamplePositions(data []float32, from, to Param) []float32 {
	dim := from.Dims[len(from.Dims)-1]
	prefix := from.positionPrefix
	oldRows, newRows := len(data)/dim-prefix, to.size()/dim-prefix
	oldGrid, newGrid := int(math.Sqrt(float64(oldRows))), int(math.Sqrt(float64(newRows)))

	weights := bicubicWeights(oldGrid, newGrid)
	patches := data[prefix*dim:]
	columns := make([]float64, oldGrid*newGrid*dim) // [old row, new column, dim]
	for row := range oldGrid {
		for col, taps := range weights {
			out := columns[(row*newGrid+col)*dim:][:dim]
			for _, tap := range taps {
				for c, v := range patches[(row*oldGrid+tap.index)*dim:][:dim] {
					out[c] += tap.weight * float64(v)
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
			for _, tap := range taps {
				for c, v := range columns[(tap.index*newGrid+col)*dim:][:dim] {
					sum[c] += tap.weight * v
				}
			}
			for _, v := range sum {
				out = append(out, float32(v))
			}
		}
	}
	return out
}

type tap struct {
	index  int
	weight float64
}

// bicubicWeights returns for each of out positions the input positions it reads and their weights. When the grid
// shrinks the filter widens with the scale (antialiasing), half-pixel centres throughout.
func bicubicWeights(in, out int) [][]tap {
	scale := float64(in) / float64(out)
	filterScale := max(scale, 1)
	support := 2 * filterScale
	result := make([][]tap, out)
	for i := range result {
		centre := scale * (float64(i) + 0.5)
		first := max(int(centre-support+0.5), 0)
		last := min(int(centre+support+0.5), in)
		total := 0.0
		for j := first; j < last; j++ {
			w := bicubic((float64(j) - centre + 0.5) / filterScale)
			total += w
			result[i] = append(result[i], tap{j, w})
		}
		for k := range result[i] {
			result[i][k].weight /= total
		}
	}
	return result
}

// bicubic is Keys' cubic convolution kernel with a = -0.5.
func bicubic(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case x < 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return (((x-5)*x+8)*x - 4) * a
	}
	return 0
}
