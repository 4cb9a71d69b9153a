package picture

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"vitdecompose/data/picture/jpeg"
)

// Values are the numbers that the pixels of a file stand for, where they are no colours: the classes of a segmentation.
type Values struct {
	Mode          Mode // of the file
	Width, Height int
	Pix           []uint32 // [Height*Width], row by row
}

// DecodeValues reads a PNG file whose pixels are numbers. With a palette the number is the index and not the colour, in grey
// the value as the file has it, in colour red + 256 * green + 65536 * blue. Grey of fewer than eight bits, which tools that
// make files smaller write, is not spread over 0 to 255 as it is in a [Picture]; alpha counts for nothing. Files of other
// formats, most of which do not keep numbers, are an error, and so are colours of 16 bits. Errors begin with the path.
func DecodeValues(path string, limits Limits) (*Values, error) {
	data, err := readFile(path, limits)
	if err != nil {
		return nil, err
	}
	v, err := decodeValues(data, limits)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

func decodeValues(data []byte, limits Limits) (*Values, error) {
	if !bytes.HasPrefix(data, []byte(pngSignature)) {
		return nil, &FormatError{"", "it does not begin like a PNG file"}
	}
	h, err := readPNGHeader(data)
	if err != nil {
		return nil, err
	}
	// A number takes four bytes, beside at most four of the pixel.
	if err := (Limits{MaxPixels: min(limits.maxPixels(), maxMemory/8)}).check("PNG", h.width, h.height); err != nil {
		return nil, err
	}
	p, err := decodeBytes(data, limits)
	if err != nil {
		return nil, err
	}
	if h.depth == 16 && p.Mode != Grey16 {
		return nil, &UnsupportedError{"PNG", "numbers in colours of 16 bits"}
	}
	v := &Values{Mode: p.Mode, Width: p.Width, Height: p.Height, Pix: make([]uint32, p.Width*p.Height)}
	n, used := p.Mode.Bytes(), p.Mode.Bytes()
	switch p.Mode {
	case GreyAlpha:
		used = 1
	case RGBA:
		used = 3
	}
	for i := range v.Pix {
		for c, b := range p.Pix[n*i : n*i+used] {
			v.Pix[i] |= uint32(b) << (8 * c)
		}
	}
	if h.colour == pngGrey && h.depth < 8 {
		for i := range v.Pix {
			v.Pix[i] /= 255 / (1<<h.depth - 1)
		}
	}
	return v, nil
}

// SizeFile is the width and height of the picture that [DecodeFile] reads. A JPEG or PNG file is not decoded for it. Errors
// begin with the path.
func SizeFile(path string, limits Limits) (width, height int, err error) {
	data, err := readFile(path, limits)
	if err != nil {
		return 0, 0, err
	}
	if width, height, err = size(data, limits); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", path, err)
	}
	return width, height, nil
}

func size(data []byte, limits Limits) (width, height int, err error) {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xd8\xff")):
		h, err := jpeg.ReadHeader(data)
		if err != nil {
			return 0, 0, jpegError(err)
		}
		return h.Width, h.Height, limits.check("JPEG", h.Width, h.Height)
	case bytes.HasPrefix(data, []byte(pngSignature)):
		h, err := readPNGHeader(data)
		if err != nil {
			return 0, 0, err
		}
		return h.width, h.height, limits.check("PNG", h.width, h.height)
	}
	p, err := decodeBytes(data, limits)
	if err != nil {
		return 0, 0, err
	}
	return p.Width, p.Height, nil
}

// HashFile is the SHA-256 of the bytes of a file. Errors begin with the path.
func HashFile(path string) (sum [sha256.Size]byte, err error) {
	if _, err := regular(path); err != nil {
		return sum, err
	}
	file, err := os.Open(path)
	if err != nil {
		return sum, fileFirst(path, err)
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return sum, fileFirst(path, err)
	}
	h.Sum(sum[:0])
	return sum, nil
}
