// Package picture decodes picture files into the pixels that the models' original training code saw.
//
// Checkpoints were trained and evaluated on pictures read by Pillow (libjpeg-turbo, libpng, libwebp), so a decoder for them
// has to agree with Pillow's pixels rather than with Go's image packages: JPEG chroma is upsampled with libjpeg's triangle
// filter, CMYK is stored inverted, 16-bit grey saturates when it becomes 8-bit, lossy WebP is limited-range YCbCr, a palette
// stays a palette until it is converted to RGB. A [Picture] therefore remembers its Pillow mode ([Mode]); [Picture.RGB]
// converts as Pillow's convert("RGB") does.
//
//	p, err := picture.DecodeFile("tench.jpg", picture.Limits{})
//	if err != nil {
//		return err // names the file and says what is wrong with it
//	}
//	rgb := p.RGB() // rgb.Pix is [height, width, 3]
//
// Sizes are read from the header and checked against [Limits] before any pixel is allocated. EXIF orientation is read and
// left alone, as the training code left it alone; [Picture.Orient] applies it.
package picture

import (
	"fmt"
	"image"
	"image/color"
)

// Mode says what the bytes of a pixel mean. The names in parentheses are Pillow's.
type Mode int

const (
	Bilevel   Mode = iota + 1 // black or white, one byte, 0 or 255 ("1")
	Grey                      // one byte ("L")
	Grey16                    // two bytes, low byte first ("I;16")
	GreyAlpha                 // grey, alpha ("LA")
	Palette                   // one byte, an index into Picture.Palette ("P")
	RGB                       // red, green, blue ("RGB")
	RGBA                      // red, green, blue, alpha, not premultiplied ("RGBA")
	CMYK                      // cyan, magenta, yellow, black; 255 is full ink ("CMYK")
)

var modes = [...]struct {
	name  string
	bytes int
}{
	Bilevel: {"1", 1}, Grey: {"L", 1}, Grey16: {"I;16", 2}, GreyAlpha: {"LA", 2}, Palette: {"P", 1},
	RGB: {"RGB", 3}, RGBA: {"RGBA", 4}, CMYK: {"CMYK", 4},
}

// String returns Pillow's name of the mode.
func (m Mode) String() string {
	if m < Bilevel || m > CMYK {
		return fmt.Sprintf("Mode(%d)", int(m))
	}
	return modes[m].name
}

// Bytes returns the number of bytes a pixel takes, 0 for a Mode that is not one of the constants.
func (m Mode) Bytes() int {
	if m < Bilevel || m > CMYK {
		return 0
	}
	return modes[m].bytes
}

// Picture is a decoded picture.
type Picture struct {
	Mode          Mode
	Width, Height int
	// Pix holds the pixels as [height, width, Mode.Bytes()], without padding between rows.
	Pix []byte
	// Palette holds the colours of a Palette picture as red, green, blue triples, nil otherwise. An index past its end
	// is black. Transparency is not kept: no conversion to RGB looks at it.
	Palette []byte
	// Orientation is the EXIF orientation, 1 to 8; 1 when the file has none.
	Orientation int
	// Name is the file the picture came from, for messages; empty when it came from elsewhere.
	Name string
}

// New returns a black picture of the given mode and size.
func New(mode Mode, width, height int) *Picture {
	return &Picture{Mode: mode, Width: width, Height: height, Pix: make([]byte, width*height*mode.Bytes()), Orientation: 1}
}

// like returns an empty picture of p's size, orientation and name.
func (p *Picture) like(mode Mode) *Picture {
	q := New(mode, p.Width, p.Height)
	q.Orientation, q.Name = p.Orientation, p.Name
	return q
}

// Check reports what makes p unusable: no pixels, an unknown mode or a Pix of the wrong length.
func (p *Picture) Check() error {
	switch {
	case p == nil:
		return fmt.Errorf("no picture")
	case p.Mode.Bytes() == 0:
		return fmt.Errorf("picture has the unknown mode %d", int(p.Mode))
	case p.Width <= 0 || p.Height <= 0:
		return fmt.Errorf("picture is %dx%d: it has no pixels", p.Width, p.Height)
	case len(p.Pix) != p.Width*p.Height*p.Mode.Bytes():
		return fmt.Errorf("%s picture of %dx%d has %d bytes of pixels, not %d",
			p.Mode, p.Width, p.Height, len(p.Pix), p.Width*p.Height*p.Mode.Bytes())
	}
	return nil
}

// RGB returns p in mode RGB, converted as Pillow's convert("RGB") does: alpha and palette transparency are dropped, 16-bit
// grey above 255 becomes 255, CMYK is multiplied out without a colour profile. A picture that is RGB already is returned as
// it is, not copied.
func (p *Picture) RGB() *Picture {
	if p.Mode == RGB {
		return p
	}
	q := p.like(RGB)
	out := q.Pix
	switch p.Mode {
	case Bilevel, Grey:
		for i, v := range p.Pix {
			o := out[3*i : 3*i+3 : 3*i+3]
			o[0], o[1], o[2] = v, v, v
		}
	case Grey16:
		for i := 0; 3*i < len(out); i++ {
			v := p.Pix[2*i]
			if p.Pix[2*i+1] != 0 {
				v = 255
			}
			out[3*i], out[3*i+1], out[3*i+2] = v, v, v
		}
	case GreyAlpha:
		for i := 0; 3*i < len(out); i++ {
			v := p.Pix[2*i]
			out[3*i], out[3*i+1], out[3*i+2] = v, v, v
		}
	case Palette:
		var table [3 * 256]byte
		copy(table[:], p.Palette)
		for i, v := range p.Pix {
			copy(out[3*i:3*i+3], table[3*int(v):3*int(v)+3])
		}
	case RGBA:
		for i := 0; 3*i < len(out); i++ {
			copy(out[3*i:3*i+3], p.Pix[4*i:4*i+3])
		}
	case CMYK:
		for i := 0; 3*i < len(out); i++ {
			in := p.Pix[4*i : 4*i+4 : 4*i+4]
			light := 255 - int(in[3])
			for c := range 3 {
				// light * (1 - ink), never negative: the rounded product is at most light.
				out[3*i+c] = byte(light - int(MulDiv255(in[c], byte(light))))
			}
		}
	}
	return q
}

// MulDiv255 returns a*b/255 rounded to nearest, in the integer arithmetic Pillow uses for ink and alpha.
func MulDiv255(a, b byte) byte {
	t := int(a)*int(b) + 128
	return byte((t>>8 + t) >> 8)
}

// Premultiply multiplies the colours of a GreyAlpha or RGBA picture by alpha, in place, with Pillow's rounding. Other modes
// are left alone.
func Premultiply(p *Picture) {
	alphaLoop(p, func(v, alpha byte) byte { return MulDiv255(v, alpha) })
}

// Unpremultiply undoes [Premultiply] as far as rounding lets it.
func Unpremultiply(p *Picture) {
	alphaLoop(p, func(v, alpha byte) byte {
		if alpha == 0 || alpha == 255 {
			return v
		}
		return byte(min(255, 255*int(v)/int(alpha)))
	})
}

func alphaLoop(p *Picture, f func(v, alpha byte) byte) {
	if p.Mode != RGBA && p.Mode != GreyAlpha {
		return
	}
	n := p.Mode.Bytes()
	for i := 0; i < len(p.Pix); i += n {
		px := p.Pix[i : i+n]
		for c := range n - 1 {
			px[c] = f(px[c], px[n-1])
		}
	}
}

// Orient returns the picture turned upright as its EXIF orientation says, with Orientation 1. A picture that is upright
// already is returned as it is, not copied.
func (p *Picture) Orient() *Picture {
	if p.Orientation < 2 || p.Orientation > 8 {
		return p
	}
	n, w, h := p.Mode.Bytes(), p.Width, p.Height
	q := p.like(p.Mode)
	q.Orientation, q.Palette = 1, p.Palette
	if p.Orientation >= 5 {
		q.Width, q.Height = h, w
	}
	i := 0
	for y := range q.Height {
		for x := range q.Width {
			var sx, sy int
			switch p.Orientation {
			case 2: // mirrored left to right
				sx, sy = w-1-x, y
			case 3: // upside down
				sx, sy = w-1-x, h-1-y
			case 4: // mirrored top to bottom
				sx, sy = x, h-1-y
			case 5: // mirrored along the main diagonal
				sx, sy = y, x
			case 6: // to be turned clockwise
				sx, sy = y, h-1-x
			case 7: // mirrored along the other diagonal
				sx, sy = w-1-y, h-1-x
			case 8: // to be turned anticlockwise
				sx, sy = w-1-y, x
			}
			copy(q.Pix[i:i+n], p.Pix[(sy*w+sx)*n:])
			i += n
		}
	}
	return q
}

// FromImage returns img as an RGB picture; alpha is dropped, not blended. It is meant for pictures drawn by code: files go
// through [Decode].
func FromImage(img image.Image) *Picture {
	b := img.Bounds()
	p := New(RGB, b.Dx(), b.Dy())
	i := 0
	for y := b.Min.Y; y < b.Max.Y; y++ {
		switch m := img.(type) {
		case *image.NRGBA:
			row := m.Pix[m.PixOffset(b.Min.X, y):]
			for x := range b.Dx() {
				i += copy(p.Pix[i:], row[4*x:4*x+3])
			}
		case *image.Gray:
			row := m.Pix[m.PixOffset(b.Min.X, y):]
			for _, v := range row[:b.Dx()] {
				p.Pix[i], p.Pix[i+1], p.Pix[i+2] = v, v, v
				i += 3
			}
		default:
			for x := b.Min.X; x < b.Max.X; x++ {
				c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
				p.Pix[i], p.Pix[i+1], p.Pix[i+2] = c.R, c.G, c.B
				i += 3
			}
		}
	}
	return p
}

// Image returns p as an image of Go's standard library, in RGB, for drawing and for encoding.
func (p *Picture) Image() *image.NRGBA {
	rgb := p.RGB()
	m := image.NewNRGBA(image.Rect(0, 0, p.Width, p.Height))
	for i := 0; 3*i < len(rgb.Pix); i++ {
		copy(m.Pix[4*i:4*i+3], rgb.Pix[3*i:3*i+3])
		m.Pix[4*i+3] = 255
	}
	return m
}

// clamp returns v limited to a byte's range.
func clamp(v int32) byte {
	if uint32(v) > 255 {
		// All ones for a positive v, all zeros for a negative one.
		return byte(^(v >> 31))
	}
	return byte(v)
}
