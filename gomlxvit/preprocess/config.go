// Package preprocess turns pictures into what a checkpoint was trained on: the evaluation transforms of timm and open_clip.
//
// Both resize with Pillow's 8-bit antialiased filters, crop the centre and normalise with a mean and a deviation; they differ
// in how they come to a size and in when a palette or an alpha channel becomes RGB. The arithmetic here is Pillow's (22-bit
// fixed point, rounded to 8 bits after the horizontal and again after the vertical pass) and gives Pillow's bytes.
//
//	c := preprocess.Config{
//		Library: preprocess.Timm, Size: [2]int{224, 224}, Interpolation: "bicubic", CropPct: 0.9,
//		Mean: [3]float32{0.5, 0.5, 0.5}, Std: [3]float32{0.5, 0.5, 0.5},
//	}
//	pixels, err := c.Apply(p) // one picture: [3, 224, 224]
//
//	for batch, err := range preprocess.Load(ctx, dataset, c, preprocess.LoadOptions{Batch: 8}) {
//		// a whole data set, decoded on all cores, in order: batch.Pixels is [batch.N, 3, 224, 224]
//	}
package preprocess

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// The libraries whose transforms are known.
const (
	Timm     = "timm"
	OpenCLIP = "open_clip"
	// Transformers is timm's transform but for a crop that lies half a pixel off the centre: timm rounds to even, this down.
	Transformers = "transformers"
)

// Config says how a picture becomes the input of a model: which library's evaluation transform is followed, and with
// which numbers. A checkpoint's configuration file fills it, see package checkpoint.
type Config struct {
	// Library is the library whose transform is followed: "timm", "open_clip" or "transformers".
	Library string
	// Size is the height and width, in pixels, of what the model sees.
	Size [2]int
	// Interpolation is the filter of the resize: "bicubic" (also when empty), "bilinear" or another name that timm knows.
	Interpolation string
	// CropPct is the share of the resized picture's shorter side that the crop keeps (timm only): the picture is
	// resized to floor(size / CropPct) first. 0 means timm's default, 0.875.
	CropPct float64
	// CropMode is how timm comes to the size: "center" (also when empty), "squash" or "border".
	CropMode string
	// ResizeMode is how open_clip comes to the size: "shortest" (also when empty), "squash" or "longest".
	ResizeMode string
	// FillColor is the 8-bit value of the border where a picture has to be padded (open_clip's "longest").
	FillColor int
	// Mean and Std, of values in 0..1 and in the order red, green, blue, normalise the pixels: (x - Mean) / Std.
	Mean, Std [3]float32
}

// Check reports the first field of c that no picture could be prepared with.
func (c Config) Check() error {
	if err := oneOf("library", c.Library, Timm, OpenCLIP, Transformers); err != nil {
		return err
	}
	const largest = 1 << 14 // far beyond any model, and small enough that sizes of tensors cannot overflow
	if c.Size[0] < 1 || c.Size[1] < 1 || c.Size[0] > largest || c.Size[1] > largest {
		return fmt.Errorf("preprocessing: input size %dx%d is not in 1..%d", c.Size[0], c.Size[1], largest)
	}
	if _, ok := filters[c.interpolation()]; !ok && c.interpolation() != nearest {
		return fmt.Errorf("preprocessing: interpolation %q is unknown; known are bicubic, bilinear, nearest, box, hamming, lanczos",
			c.Interpolation)
	}
	switch c.Library {
	case Timm, Transformers:
		if err := oneOf("crop_mode", c.CropMode, "", "center", "squash", "border"); err != nil {
			return err
		}
		if c.CropPct != 0 && (c.CropPct < 0.01 || c.CropPct > 100 || math.IsNaN(c.CropPct)) {
			return fmt.Errorf("preprocessing: crop_pct %v is not in 0.01..100", c.CropPct)
		}
	case OpenCLIP:
		if err := oneOf("resize_mode", c.ResizeMode, "", "shortest", "squash", "longest"); err != nil {
			return err
		}
		if c.FillColor < 0 || c.FillColor > 255 {
			return fmt.Errorf("preprocessing: fill_color %d is not in 0..255", c.FillColor)
		}
	}
	for _, s := range c.Std {
		if !(s > 0) {
			return errors.New("preprocessing: std must be above 0")
		}
	}
	return nil
}

func oneOf(field, value string, known ...string) error {
	if slices.Contains(known, value) {
		return nil
	}
	return fmt.Errorf("preprocessing: %s %q is unknown; known are %s", field, value,
		strings.Join(slices.DeleteFunc(known, func(s string) bool { return s == "" }), ", "))
}

func (c Config) interpolation() string {
	if c.Interpolation == "" {
		return "bicubic"
	}
	return c.Interpolation
}

// layout is where the model's view lies in the resized picture. Left and top are negative where the view is larger than the
// picture, which is then padded.
type layout struct {
	width, height int
	left, top     int
}

// layout returns how a picture of width x height is resized and cropped.
func (c Config) layout(width, height int) (layout, error) {
	h, w := c.Size[0], c.Size[1]
	mode := c.CropMode
	if c.Library == OpenCLIP {
		mode = c.ResizeMode
	} else {
		pct := c.CropPct
		if pct == 0 {
			pct = 0.875
		}
		h, w = int(math.Floor(float64(h)/pct)), int(math.Floor(float64(w)/pct))
	}
	switch mode {
	case "squash":
	case "border", "longest":
		h, w = keepRatio(width, height, w, h, math.Max)
	default:
		if h == w {
			h, w = shorterSide(width, height, h)
		} else {
			h, w = keepRatio(width, height, w, h, math.Min)
		}
	}
	const largest = 1 << 24
	if h < 1 || w < 1 || h > largest || w > largest {
		return layout{}, fmt.Errorf("a picture of %dx%d pixels is too long and thin: it would be resized to %dx%d", width, height, w, h)
	}
	middle := centre
	if c.Library == Transformers {
		middle = truncatedCentre
	}
	return layout{w, h, middle(w, c.Size[1]), middle(h, c.Size[0])}, nil
}

// shorterSide returns the height and width with which the shorter side is size; the longer one is truncated.
func shorterSide(width, height, size int) (h, w int) {
	if width <= height {
		return int(float64(size*height) / float64(width)), size
	}
	return size, int(float64(size*width) / float64(height))
}

// keepRatio returns the height and width of a picture scaled so that pick of the two sides' ratios to the target becomes 1,
// both rounded half to even.
func keepRatio(width, height, targetW, targetH int, pick func(a, b float64) float64) (h, w int) {
	ratio := pick(float64(height)/float64(targetH), float64(width)/float64(targetW))
	return int(math.RoundToEven(float64(height) / ratio)), int(math.RoundToEven(float64(width) / ratio))
}

// truncatedCentre is centre rounded down.
func truncatedCentre(size, n int) int {
	if n > size {
		return centre(size, n)
	}
	return (size - n) / 2
}

// centre returns where a crop of n begins on a side of size, rounded half to even; where the crop is larger, minus the
// padding that comes before, rounded down.
func centre(size, n int) int {
	if n > size {
		return -((n - size) / 2)
	}
	return int(math.RoundToEven(float64(size-n) / 2))
}
