package picture

import (
	"errors"

	"vitdecompose/data/picture/jpeg"
)

func decodeJPEG(data []byte, l Limits) (*Picture, error) {
	d, err := jpeg.ReadHeader(data)
	if err != nil {
		return nil, jpegError(err)
	}
	if err := l.check("JPEG", d.Width, d.Height); err != nil {
		return nil, err // before the next question, which would call it damaged
	}
	// Every 8x8 block takes at least a bit: a large picture in a small file is no picture.
	if d.Blocks() > 8*int64(len(data)) {
		return nil, truncated("JPEG")
	}
	mode := map[int]Mode{1: Grey, 3: RGB, 4: CMYK}[d.Components]
	leave, err := l.admit("JPEG", data, d.Width, d.Height, mode, int64(d.Width)*int64(d.Height)*int64(d.Components)+d.Memory())
	if err != nil {
		return nil, err
	}
	defer leave()
	p := New(mode, d.Width, d.Height)
	if err := d.Decode(p.Pix); err != nil {
		return nil, jpegError(err)
	}
	if mode == CMYK {
		// What is stored is inverted, the Adobe way, and Pillow takes that for granted. Colours that were converted from
		// YCCK have been inverted once in that.
		for i, v := range p.Pix {
			if i&3 == 3 || !d.YCCK() {
				p.Pix[i] = 255 - v
			}
		}
	}
	p.Orientation = exifOrientation(d.EXIF)
	return p, nil
}

func jpegError(err error) error {
	var unsupported jpeg.UnsupportedError
	switch {
	case errors.Is(err, jpeg.ErrTruncated):
		return truncated("JPEG")
	case errors.As(err, &unsupported):
		return &UnsupportedError{"JPEG", err.Error()}
	}
	return &FormatError{"JPEG", err.Error()}
}
