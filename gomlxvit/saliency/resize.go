package saliency

// Resize interpolates a map bilinearly, [rows, columns] row by row to [height, width]: pixels have their centres at a
// half, beyond the outermost centres the map goes on as it is there, and nothing is smoothed when it shrinks. PyTorch's
// interpolate(mode="bilinear", align_corners=False) and OpenCV's INTER_LINEAR do the same. Values may have any sign.
func Resize(values []float32, rows, columns, height, width int) []float32 {
	down, across := neighbours(rows, height), neighbours(columns, width)
	wide := make([]float64, 0, rows*width)
	for row := range rows {
		line := values[row*columns:][:columns]
		for _, n := range across {
			wide = append(wide, n.between(float64(line[n.first]), float64(line[n.second])))
		}
	}
	out := make([]float32, 0, height*width)
	for _, n := range down {
		first, second := wide[n.first*width:][:width], wide[n.second*width:][:width]
		for x := range width {
			out = append(out, float32(n.between(first[x], second[x])))
		}
	}
	return out
}

// neighbour is a place between two samples.
type neighbour struct {
	first, second int
	fraction      float64 // of the way from the first to the second
}

// between interpolates between the values of the samples.
func (n neighbour) between(first, second float64) float64 { return first + n.fraction*(second-first) }

// neighbours gives for each of out samples its place among in samples that cover the same length.
func neighbours(in, out int) []neighbour {
	places := make([]neighbour, out)
	for i := range places {
		at := (float64(i)+0.5)*float64(in)/float64(out) - 0.5
		at = min(max(at, 0), float64(in-1))
		first := int(at)
		places[i] = neighbour{first: first, second: min(first+1, in-1), fraction: at - float64(first)}
	}
	return places
}
