package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/png"
)

const pngSignature = "\x89PNG\r\n\x1a\n"

// PNG colour types.
const (
	pngGrey      = 0
	pngColour    = 2
	pngPalette   = 3
	pngGreyAlpha = 4
)

// pngHeader is what comes first in a PNG file.
type pngHeader struct {
	width, height int
	depth         int // bits of a sample
	colour        byte
}

func readPNGHeader(data []byte) (pngHeader, error) {
	// Signature, then the header chunk: length, "IHDR", width, height, depth, colour type, ...
	if len(data) < 8+8+13 {
		return pngHeader{}, truncated("PNG")
	}
	if string(data[12:16]) != "IHDR" {
		return pngHeader{}, &FormatError{"PNG", "it does not begin with a header chunk"}
	}
	h := data[16:]
	return pngHeader{
		width: int(int32(binary.BigEndian.Uint32(h))), height: int(int32(binary.BigEndian.Uint32(h[4:]))),
		depth: int(h[8]), colour: h[9],
	}, nil
}

func decodePNG(data []byte, l Limits) (*Picture, error) {
	h, err := readPNGHeader(data)
	if err != nil {
		return nil, err
	}
	if err := l.check("PNG", h.width, h.height); err != nil {
		return nil, err
	}
	// Deflate cannot expand more than 1032 times: a large picture in a small file is no picture.
	if bits := int64(h.width) * int64(h.depth); (bits+7)/8*int64(h.height) > 1032*int64(len(data)) {
		return nil, truncated("PNG")
	}
	m, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		var unsupported png.UnsupportedError
		return nil, cause("PNG", err, errors.As(err, &unsupported))
	}
	var mode Mode
	switch {
	case h.colour == pngGrey && h.depth == 1:
		mode = Bilevel
	case h.colour == pngGrey && h.depth == 16:
		mode = Grey16
	case h.colour == pngGrey:
		mode = Grey
	case h.colour == pngGreyAlpha && h.depth == 8:
		mode = GreyAlpha
	case h.colour == pngColour:
		mode = RGB
	case h.colour == pngPalette:
		mode = Palette
	default: // 16-bit grey with alpha too: Pillow has no narrower mode for it
		mode = RGBA
	}
	p, err := fromDecoded("PNG", m, mode)
	if err != nil {
		return nil, err
	}
	p.Orientation = exifOrientation(pngChunk(data, "eXIf"))
	return p, nil
}

// pngChunk returns the contents of the first chunk of the given type, nil when there is none.
func pngChunk(data []byte, kind string) []byte {
	for data = data[len(pngSignature):]; len(data) >= 12; {
		n := int64(binary.BigEndian.Uint32(data))
		if n > int64(len(data))-12 {
			return nil
		}
		if string(data[4:8]) == kind {
			return data[8 : 8+n]
		}
		data = data[12+n:]
	}
	return nil
}

// fromDecoded repacks what one of Go's decoders returned as mode, the mode Pillow gives that file. Samples of 16 bits lose
// their low byte unless mode is Grey16.
func fromDecoded(format string, m image.Image, mode Mode) (*Picture, error) {
	b := m.Bounds()
	w, h := b.Dx(), b.Dy()
	p := New(mode, w, h)
	n := mode.Bytes()

	// src is the interleaved samples, pixel the bytes of a pixel in it, and at where in a pixel the byte of each output
	// sample lies.
	var (
		src           []byte
		stride, pixel int
		at            [4]int
	)
	switch m := m.(type) {
	case *image.Gray:
		src, stride, pixel = m.Pix, m.Stride, 1
	case *image.Gray16:
		src, stride, pixel = m.Pix, m.Stride, 2
		if mode == Grey16 {
			at = [4]int{1, 0}
		}
	case *image.Paletted:
		src, stride, pixel = m.Pix, m.Stride, 1
		for _, c := range m.Palette {
			switch c := c.(type) {
			case color.RGBA: // opaque
				p.Palette = append(p.Palette, c.R, c.G, c.B)
			case color.NRGBA: // a PNG entry with transparency, which keeps its colour under it
				p.Palette = append(p.Palette, c.R, c.G, c.B)
			case color.RGBA64: // TIFF
				p.Palette = append(p.Palette, byte(c.R>>8), byte(c.G>>8), byte(c.B>>8))
			}
		}
	case *image.RGBA:
		src, stride, pixel, at = m.Pix, m.Stride, 4, [4]int{0, 1, 2, 3}
	case *image.NRGBA:
		src, stride, pixel, at = m.Pix, m.Stride, 4, [4]int{0, 1, 2, 3}
	case *image.RGBA64:
		src, stride, pixel, at = m.Pix, m.Stride, 8, [4]int{0, 2, 4, 6}
	case *image.NRGBA64:
		src, stride, pixel, at = m.Pix, m.Stride, 8, [4]int{0, 2, 4, 6}
		if mode == Grey16 {
			at = [4]int{1, 0}
		}
	}
	if mode == GreyAlpha && pixel == 4 {
		at[1] = 3
	}
	// A mode with more samples than the decoder gave cannot be filled: these two disagree about what the file is.
	if have := map[int]int{1: 1, 2: 2, 4: 4, 8: 4}[pixel]; src == nil || n > have || (mode == Palette) != (p.Palette != nil) {
		return nil, &UnsupportedError{format, "colour layout " + mode.String()}
	}
	i := 0
	for y := range h {
		row := src[y*stride:]
		for x := 0; x < w*pixel; x += pixel {
			for c := range n {
				p.Pix[i+c] = row[x+at[c]]
			}
			i += n
		}
	}
	return p, nil
}
