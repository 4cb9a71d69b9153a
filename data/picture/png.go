package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
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
	interlaced    bool
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
		depth: int(h[8]), colour: h[9], interlaced: h[12] != 0,
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
	leave, err := l.admit("PNG", data, h.width, h.height, mode, h.bytesPerPixel(data)*int64(h.width)*int64(h.height))
	if err != nil {
		return nil, err
	}
	defer leave()
	m, err := png.Decode(pngPicture(data))
	if err != nil {
		var unsupported png.UnsupportedError
		return nil, cause("PNG", err, errors.As(err, &unsupported))
	}
	p, err := fromDecoded("PNG", m, mode)
	if err != nil {
		return nil, err
	}
	p.Orientation = exifOrientation(pngChunk(data, "eXIf"))
	return p, nil
}

// bytesPerPixel is what Go's decoder takes for a pixel.
func (h pngHeader) bytesPerPixel(data []byte) int64 {
	n := int64(1)
	switch transparent := pngChunk(data, "tRNS") != nil; {
	case h.colour == pngPalette:
	case h.colour != pngGrey || transparent:
		n = 4
	}
	if h.depth == 16 {
		n *= 2
	}
	if h.interlaced { // a pass of it, too
		n += n / 2
	}
	return n
}

// pngPicture returns the file up to the end of its pixels. What comes after them is no reason to refuse a picture that is
// there: a final chunk that is damaged or missing, comments that were cut short. The checksums of the chunks of pixels do not
// count either, as with Pillow, because what is in them has a checksum of its own.
func pngPicture(data []byte) io.Reader {
	const pixels, end = "IDAT", "\x00\x00\x00\x00IEND\xae\x42\x60\x82"
	at := len(pngSignature)
	var parts []io.Reader
	part := func(b []byte) { parts = append(parts, bytes.NewReader(b)) }
	for inPixels := false; len(data)-at >= 8; {
		n := int64(binary.BigEndian.Uint32(data[at:]))
		isPixels := string(data[at+4:at+8]) == pixels
		if inPixels && !isPixels {
			break
		}
		if n > int64(len(data)-at-8) {
			return io.MultiReader(append(parts, bytes.NewReader(data[at:]))...) // what is missing is the decoder's to say
		}
		next := at + 8 + int(n)
		switch {
		case isPixels:
			if !inPixels {
				part(data[:at])
			}
			inPixels = true
			part(data[at:next])
			part(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(data[at+4:next])))
		case len(data)-next < 4:
			return bytes.NewReader(data)
		}
		at = min(next+4, len(data))
	}
	if parts == nil {
		return bytes.NewReader(data)
	}
	part([]byte(end))
	return io.MultiReader(parts...)
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

// fromDecoded repacks what one of Go's decoders returned as mode, the mode Pillow gives that file, in the memory of m. Samples
// of 16 bits lose their low byte unless mode is Grey16.
func fromDecoded(format string, m image.Image, mode Mode) (*Picture, error) {
	b := m.Bounds()
	w, h := b.Dx(), b.Dy()
	p := &Picture{Mode: mode, Width: w, Height: h, Orientation: 1}
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
	p.Pix = src[: w*h*n : w*h*n] // no sample is written before all that lie before it, or in its pixel, are read
	if n == pixel && stride == w*pixel && at == [4]int{0, 1, 2, 3} || n == 1 && pixel == 1 && stride == w {
		return p, nil
	}
	i := 0
	for y := range h {
		row := src[y*stride:]
		for x := 0; x < w*pixel; x += pixel {
			var samples [4]byte
			for c := range n {
				samples[c] = row[x+at[c]]
			}
			i += copy(p.Pix[i:], samples[:n])
		}
	}
	return p, nil
}
