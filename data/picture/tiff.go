package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"

	"golang.org/x/image/tiff"
)

// Tags beside the orientation. BitsPerSample has a value per sample; all that is needed here is the first.
const (
	tiffBitsPerSample = 0x0102
	tiffCompression   = 0x0103
	tiffPhotometric   = 0x0106
	tiffSamples       = 0x0115
	tiffRowsPerStrip  = 0x0116
	tiffPlanar        = 0x011c
	tiffTileLength    = 0x0143
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
	if err := tiffSamplesAgree(data); err != nil {
		return nil, err
	}
	bytesPerPixel := int64(8)
	if _, ok := config.ColorModel.(color.Palette); ok {
		bytesPerPixel = 1
	} else {
		switch config.ColorModel {
		case color.GrayModel:
			bytesPerPixel = 1
		case color.Gray16Model:
			bytesPerPixel = 2
		case color.RGBAModel, color.NRGBAModel:
			bytesPerPixel = 4
		}
	}
	rows := int64(config.Height + tiffBlockRows(data, config.Height)) // a strip or tile is decompressed beside the pixels
	leave, err := l.admit("TIFF", data, config.Width, config.Height, RGB, bytesPerPixel*int64(config.Width)*rows)
	if err != nil {
		return nil, err
	}
	defer leave()
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

// tiffBlockRows returns how many rows of the picture a strip or a row of tiles has.
func tiffBlockRows(data []byte, height int) int {
	for _, tag := range []uint16{tiffTileLength, tiffRowsPerStrip} {
		if n, ok := tiffNumber(data, tag); ok {
			return int(min(int64(n), int64(height)))
		}
	}
	return height
}

// tiffSamplesAgree refuses a file whose pixels have another number of samples than x/image takes them to have from the number
// of BitsPerSample: it would take alpha for grey, or planes for pixels.
func tiffSamplesAgree(data []byte) error {
	const (
		rgb      = 2
		separate = 2
	)
	bits := max(1, tiffCount(data, tiffBitsPerSample))
	samples, ok := tiffNumber(data, tiffSamples)
	if !ok { // one by the standard, but those who forget the number may have written more
		samples = uint32(bits)
	}
	if photometric, _ := tiffTag(data, tiffPhotometric); photometric != rgb && samples == 2 && bits <= 2 {
		return &UnsupportedError{"TIFF", "grey or palette with alpha"}
	}
	if int(samples) != bits {
		return &UnsupportedError{"TIFF", fmt.Sprintf("%d samples a pixel with %d BitsPerSample", samples, bits)}
	}
	if planar, _ := tiffNumber(data, tiffPlanar); planar == separate && samples > 1 {
		return &UnsupportedError{"TIFF", "planes that are stored separately"}
	}
	return nil
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
