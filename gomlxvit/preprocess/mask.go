package preprocess

import "fmt"

// Mask brings a mask of a picture, a value for each of its width x height pixels, where [Config.View] brings the picture:
// each pixel of the view, [height*width] of the configuration's size, takes the value of the nearest pixel of the picture, as
// Pillow's NEAREST does, and outside where the view has only padding.
func (c Config) Mask(values []uint8, width, height int, outside uint8) ([]uint8, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if width < 1 || height < 1 || len(values) != width*height {
		return nil, fmt.Errorf("preprocessing: %d values are no mask of %dx%d pixels", len(values), width, height)
	}
	l, err := c.layout(width, height)
	if err != nil {
		return nil, err
	}
	h, w := c.Size[0], c.Size[1]
	columns, rows := nearestPixels(l.left, w, width, l.width), nearestPixels(l.top, h, height, l.height)
	out := make([]uint8, h*w)
	for y, row := range rows {
		for x, column := range columns {
			if row < 0 || column < 0 {
				out[y*w+x] = outside
			} else {
				out[y*w+x] = values[row*width+column]
			}
		}
	}
	return out, nil
}

// nearestPixels gives for n pixels of a resized side, from first on, the nearest of the original, -1 beside it.
func nearestPixels(first, n, original, resized int) []int {
	at := make([]int, n)
	for i := range at {
		if at[i] = -1; first+i >= 0 && first+i < resized {
			at[i] = min(int((float64(first+i)+0.5)*float64(original)/float64(resized)), original-1)
		}
	}
	return at
}
