package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"

	"golang.org/x/image/bmp"
)

// Fields of a BMP header, from the beginning of the file.
const (
	bmpInfoSize    = 14
	bmpBits        = 28
	bmpCompression = 30
	bmpHeaderEnd   = 54
)

func decodeBMP(data []byte, l Limits) (*Picture, error) {
	fail := func(err error) error { return cause("BMP", err, errors.Is(err, bmp.ErrUnsupported)) }
	config, err := bmp.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, fail(err)
	}
	if err := l.check("BMP", config.Width, config.Height); err != nil {
		return nil, err
	}
	if len(data) < bmpHeaderEnd {
		return nil, truncated("BMP")
	}
	// BMP is not compressed here: what the header promises must be there before it is allocated.
	bits := int64(data[bmpBits]) | int64(data[bmpBits+1])<<8
	if (int64(config.Width)*bits+31)/32*4*int64(config.Height) > int64(len(data)) {
		return nil, truncated("BMP")
	}
	mode, bytesPerPixel := RGB, int64(4)
	if bits <= 8 {
		mode, bytesPerPixel = Palette, 1
	}
	leave, err := l.admit("BMP", data, config.Width, config.Height, mode, bytesPerPixel*int64(config.Width)*int64(config.Height))
	if err != nil {
		return nil, err
	}
	defer leave()
	m, err := bmp.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fail(err)
	}
	switch m := m.(type) {
	case *image.Paletted:
		p, err := fromDecoded("BMP", m, Palette)
		if err == nil {
			greyPalette(p)
		}
		return p, err
	case *image.NRGBA:
		// The fourth byte is alpha only where the header says so with a mask, not where it is mere padding.
		const bitFields = 3
		if binary.LittleEndian.Uint32(data[bmpCompression:]) == bitFields {
			mode = RGBA
		}
	}
	return fromDecoded("BMP", m, mode)
}

// greyPalette turns a picture whose palette is black and white, or all greys in order, into Bilevel or Grey, as Pillow does
// for BMP files.
func greyPalette(p *Picture) {
	n := len(p.Palette) / 3
	for i := range n {
		want := byte(i)
		if n == 2 {
			want = byte(255 * i)
		}
		if c := p.Palette[3*i : 3*i+3]; c[0] != want || c[1] != want || c[2] != want {
			return
		}
	}
	p.Mode = Grey
	if n == 2 {
		p.Mode = Bilevel
		for i, v := range p.Pix {
			p.Pix[i] = 255 * v
		}
	}
	p.Palette = nil
}
