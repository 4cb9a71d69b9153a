package preprocess

import (
	"fmt"
	"math"

	"vitdecompose/data/picture"
)

// Apply returns p as the model sees it: resized, cropped or padded, and normalised, as [3, height, width] in the order red,
// green, blue. p is not changed. It is safe for concurrent use.
func (c Config) Apply(p *picture.Picture) ([]float32, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	out := make([]float32, 3*c.Size[0]*c.Size[1])
	return out, c.apply(out, p)
}

// View returns the 8-bit RGB picture that the model sees, before it is normalised: for drawing beside a model's output.
func (c Config) View(p *picture.Picture) (*picture.Picture, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	return c.view(p)
}

// apply writes the model's view of p to out. c has been checked.
func (c Config) apply(out []float32, p *picture.Picture) error {
	v, err := c.view(p)
	if err != nil {
		return err
	}
	n := len(out) / 3
	for channel := range 3 {
		var table [256]float32
		for i := range table {
			table[i] = (float32(i)/255 - c.Mean[channel]) / c.Std[channel]
		}
		plane := out[channel*n:][:n]
		pix := v.Pix[channel:]
		for i := range plane {
			plane[i] = table[pix[3*i]]
		}
	}
	return nil
}

func (c Config) view(p *picture.Picture) (*picture.Picture, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	// timm's data sets hand out RGB; open_clip resizes and crops what the file holds and converts it last.
	if c.Library != OpenCLIP {
		p = p.RGB()
	}
	l, err := c.layout(p.Width, p.Height)
	if err != nil {
		return nil, err
	}
	h, w := c.Size[0], c.Size[1]
	seen := rect{max(l.left, 0), max(l.top, 0), min(l.left+w, l.width), min(l.top+h, l.height)}
	v, err := resize(p, l.width, l.height, seen, c.interpolation())
	if err != nil {
		return nil, err
	}
	if v.Width != w || v.Height != h {
		v = pad(v, w, h, max(-l.left, 0), max(-l.top, 0), c.fill(p.Mode))
	}
	return v.RGB(), nil
}

// fill returns the pixel that pads a picture of the given mode.
func (c Config) fill(mode picture.Mode) []byte {
	px := make([]byte, mode.Bytes())
	switch {
	case c.Library == Timm && c.CropMode == "border":
		for i, m := range c.Mean {
			px[i] = byte(min(max(math.RoundToEven(255*float64(m)), 0), 255))
		}
	case c.Library == OpenCLIP && c.ResizeMode == "longest":
		for i := range px {
			px[i] = byte(c.FillColor)
		}
		switch {
		case mode == picture.Grey16: // the value, not its bytes
			px[1] = 0
		case mode == picture.Bilevel && px[0] != 0:
			px[0] = 255
		}
	}
	return px
}

// pad puts p at left, top into a picture of width x height that is otherwise fill.
func pad(p *picture.Picture, width, height, left, top int, fill []byte) *picture.Picture {
	out := picture.New(p.Mode, width, height)
	out.Palette = p.Palette
	n := len(fill)
	for i := 0; i < len(out.Pix); i += n {
		copy(out.Pix[i:i+n], fill)
	}
	for y := range p.Height {
		copy(out.Pix[((top+y)*width+left)*n:], p.Pix[y*p.Width*n:(y+1)*p.Width*n])
	}
	return out
}

// Unnormalise returns the 8-bit RGB picture of pixels [3, height, width], the inverse of what [Config.Apply] does last.
func (c Config) Unnormalise(pixels []float32) (*picture.Picture, error) {
	h, w := c.Size[0], c.Size[1]
	if len(pixels) != 3*h*w {
		return nil, fmt.Errorf("preprocessing: %d values are no picture of 3x%dx%d", len(pixels), h, w)
	}
	p := picture.New(picture.RGB, w, h)
	for channel := range 3 {
		for i, v := range pixels[channel*h*w:][:h*w] {
			x := math.Round(255 * (float64(v)*float64(c.Std[channel]) + float64(c.Mean[channel])))
			p.Pix[3*i+channel] = byte(min(max(x, 0), 255))
		}
	}
	return p, nil
}
