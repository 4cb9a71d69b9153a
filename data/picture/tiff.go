package picture

import (
	"bytes"
	"errors"
	"image"

	"golang.org/x/image/tiff"
)

// Tags beside the orientation. BitsPerSample has a value per sample; all that is needed here is the first.
const (
	tiffBitsPerSample = 0x0102
	tiffCompression   = 0x0103
	tiffPhotometric   = 0x0106
)

// decodeTIFF decodes the first picture of a TIFF file. Unlike the other formats' orientation, Pillow applies TIFF's when it
// loads the file, and so does this.
func decodeTIFF(data []byte, l Limits) (*Picture, error) {
	fail := func(err error) error {
		var unsupported tiff.UnsupportedError
		return cause("TIFF", err, errors.As(err, &unsupported))
	}
	config, err := tiff.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, fail(err)
	}
	if err := l.check("TIFF", config.Width, config.Height); err != nil {
		return nil, err
	}
	m, err := tiff.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fail(err)
	}
	mode, premultiplied := RGB, false
	switch m := m.(type) {
	case *image.Gray:
		mode = Grey
		if bits, ok := tiffTag(data, tiffBitsPerSample); !ok || bits == 1 { // one bit is the default
			mode = Bilevel
		}
	case *image.Gray16:
		mode = Grey16
	case *image.Paletted:
		mode = Palette
	case *image.NRGBA, *image.NRGBA64:
		mode = RGBA
	case *image.RGBA:
		if !m.Opaque() {
			mode, premultiplied = RGBA, true
		}
	case *image.RGBA64:
		if !m.Opaque() {
			mode, premultiplied = RGBA, true
		}
	}
	p, err := fromDecoded("TIFF", m, mode)
	if err != nil {
		return nil, err
	}
	if mode == Bilevel && tiffFaxInverted(data) {
		for i, v := range p.Pix {
			p.Pix[i] = ^v
		}
	}
	if premultiplied {
		Unpremultiply(p)
	}
	if v, ok := tiffTag(data, tiffOrientation); ok {
		p.Orientation = int(v)
	}
	p = p.Orient()
	p.Orientation = 1
	return p, nil
}

// tiffFaxInverted says whether a fax-coded picture calls its black runs white: libtiff believes it, x/image does not.
func tiffFaxInverted(data []byte) bool {
	const (
		group3, group4 = 3, 4
		blackIsZero    = 1
	)
	compression, _ := tiffTag(data, tiffCompression)
	photometric, _ := tiffTag(data, tiffPhotometric)
	return (compression == group3 || compression == group4) && photometric == blackIsZero
}
