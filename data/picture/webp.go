package picture

import (
	"bytes"
	"encoding/binary"
	"image"
	"slices"

	"golang.org/x/image/webp"
)

// decodeWebP decodes a WebP picture, the first of an animation. Its lossy form is limited-range YCbCr with its own upsampling
// filter, so the planes are converted here, as libwebp does, and not by Go's image/color, which takes them for JPEG's.
func decodeWebP(data []byte, l Limits) (*Picture, error) {
	var p *Picture
	var err error
	if webpAnimated(data) {
		p, err = decodeWebPFrame(data, l)
	} else {
		p, err = decodeStillWebP(data, webpHasAlpha(data), l)
	}
	if err != nil {
		return nil, err
	}
	exif := bytes.TrimPrefix(webpChunk(data, "EXIF"), []byte("Exif\x00\x00"))
	p.Orientation = exifOrientation(exif)
	return p, nil
}

func decodeStillWebP(data []byte, alpha bool, l Limits) (*Picture, error) {
	fail := func(err error) error { return cause("WebP", err, false) }
	config, err := webp.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, fail(err)
	}
	mode, bytesPerPixel := RGB, int64(5) // planes of 1.5, then red, green and blue; without loss it is 4
	if alpha {
		mode, bytesPerPixel = RGBA, 7
	}
	leave, err := l.admit("WebP", data, config.Width, config.Height, mode, bytesPerPixel*int64(config.Width)*int64(config.Height))
	if err != nil {
		return nil, err
	}
	defer leave()
	m, err := webp.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fail(err)
	}
	return fromWebP(m, alpha)
}

// decodeWebPFrame decodes the first frame of an animation and lays it on the canvas, which is black and transparent around it.
func decodeWebPFrame(data []byte, l Limits) (*Picture, error) {
	header, frame := webpChunk(data, "VP8X"), webpChunk(data, "ANMF")
	const chunkHeader = 8
	// libwebp wants all of an animation before it shows any of it.
	if len(header) < 10 || len(frame) < 16 || chunkHeader+int64(binary.LittleEndian.Uint32(data[4:])) > int64(len(data)) {
		return nil, truncated("WebP")
	}
	number := func(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }
	width, height := number(header[4:])+1, number(header[7:])+1
	x, y, w, h := 2*number(frame), 2*number(frame[3:]), number(frame[6:])+1, number(frame[9:])+1
	if err := l.check("WebP", width, height); err != nil {
		return nil, err
	}
	if x+w > width || y+h > height {
		return nil, &FormatError{"WebP", "its first frame is not within its canvas"}
	}
	alpha := webpHasAlpha(data)
	still := webpStill(frame[16:], w, h)
	p, err := decodeStillWebP(still, alpha, l)
	if err != nil || p.Width == width && p.Height == height {
		return p, err
	}
	if p.Width != w || p.Height != h {
		return nil, &FormatError{"WebP", "its first frame has two sizes"}
	}
	n := p.Mode.Bytes()
	leave, err := l.admit("WebP", data, width, height, p.Mode, int64(n)*int64(width)*int64(height))
	if err != nil {
		return nil, err
	}
	defer leave()
	canvas := New(p.Mode, width, height)
	for row := range h {
		copy(canvas.Pix[((y+row)*width+x)*n:], p.Pix[row*w*n:][:w*n])
	}
	return canvas, nil
}

// webpStill makes a file of one picture from the chunks of a frame.
func webpStill(chunks []byte, w, h int) []byte {
	const chunkHeader = 8
	out := []byte("RIFF\x00\x00\x00\x00WEBP")
	if alpha := webpChunk(slices.Concat(out, chunks), "ALPH"); alpha != nil {
		const alphaFlag = 1 << 4
		out = append(out, "VP8X\x0a\x00\x00\x00"...)
		out = append(out, alphaFlag, 0, 0, 0, byte(w-1), byte((w-1)>>8), byte((w-1)>>16), byte(h-1), byte((h-1)>>8), byte((h-1)>>16))
	}
	out = append(out, chunks...)
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-chunkHeader))
	return out
}

func fromWebP(m image.Image, alpha bool) (*Picture, error) {
	mode := RGB
	if alpha {
		mode = RGBA
	}
	switch m := m.(type) {
	case *image.YCbCr:
		p := New(mode, m.Rect.Dx(), m.Rect.Dy())
		webpYUV(p, m)
		if alpha { // promised, but there is none: opaque
			for i := 3; i < len(p.Pix); i += 4 {
				p.Pix[i] = 255
			}
		}
		return p, nil
	case *image.NYCbCrA:
		p := New(mode, m.Rect.Dx(), m.Rect.Dy())
		webpYUV(p, &m.YCbCr)
		if alpha {
			for y := range p.Height {
				for x, v := range m.A[y*m.AStride:][:p.Width] {
					p.Pix[4*(y*p.Width+x)+3] = v
				}
			}
		}
		return p, nil
	}
	return fromDecoded("WebP", m, mode)
}

// webpFlags returns the flags of the extended header, if the file has one.
func webpFlags(data []byte) (flags byte, ok bool) {
	if c := webpChunk(data, "VP8X"); len(c) > 0 {
		return c[0], true
	}
	return 0, false
}

func webpAnimated(data []byte) bool {
	flags, _ := webpFlags(data)
	return flags&(1<<1) != 0
}

func webpHasAlpha(data []byte) bool {
	if flags, ok := webpFlags(data); ok {
		return flags&(1<<4) != 0
	}
	// The lossless format's header: a signature byte, 14 bits of width, 14 of height, 1 of "alpha is used".
	c := webpChunk(data, "VP8L")
	return len(c) >= 5 && c[4]&(1<<4) != 0
}

// webpChunk returns the contents of the first chunk of the given type, nil when there is none.
func webpChunk(data []byte, kind string) []byte {
	for data = data[12:]; len(data) >= 8; {
		n := int64(binary.LittleEndian.Uint32(data[4:]))
		if n > int64(len(data))-8 {
			return nil
		}
		if string(data[:4]) == kind {
			return data[8 : 8+n]
		}
		// Chunks of odd length are padded.
		data = data[min(int64(len(data)), 8+n+n&1):]
	}
	return nil
}

// webpYUV converts the planes of m to the first three bytes of every pixel of p.
func webpYUV(p *Picture, m *image.YCbCr) {
	w, h, n := p.Width, p.Height, p.Mode.Bytes()
	cw, ch := (w+1)/2, (h+1)/2
	u, v := make([]byte, w+1), make([]byte, w+1)
	for y := range h {
		near := y / 2 * m.CStride
		far := min(max(y/2-1+2*(y&1), 0), ch-1) * m.CStride
		webpUpsample(u, m.Cb[near:][:cw], m.Cb[far:][:cw])
		webpUpsample(v, m.Cr[near:][:cw], m.Cr[far:][:cw])
		luma := m.Y[y*m.YStride:][:w]
		for x, l := range luma {
			o := p.Pix[(y*w+x)*n:][:3]
			// Fixed point with 6 fractional bits; the constants are 1.164, 1.596, 0.391, 0.813 and 2.018 times 2^14.
			l, u, v := int(l)*19077>>8, int(u[x]), int(v[x])
			o[0] = clamp(int32(l+v*26149>>8-14234) >> 6)
			o[1] = clamp(int32(l-u*6419>>8-v*13320>>8+8708) >> 6)
			o[2] = clamp(int32(l+u*33050>>8-17685) >> 6)
		}
	}
}

// webpUpsample writes the doubled row between the chroma rows near and far, weights 9, 3, 3, 1 to 16, rounded in libwebp's
// two steps. out has room for 2*len(near) samples or one less.
func webpUpsample(out, near, far []byte) {
	edge := func(i int) byte { return byte((3*int(near[i]) + int(far[i]) + 2) >> 2) }
	out[0] = edge(0)
	for x := 1; x < len(near); x++ {
		n0, n1, f0, f1 := int(near[x-1]), int(near[x]), int(far[x-1]), int(far[x])
		sum := n0 + n1 + f0 + f1 + 8
		out[2*x-1] = byte((n0 + (sum+2*(n1+f0))>>3) >> 1)
		out[2*x] = byte((n1 + (sum+2*(n0+f1))>>3) >> 1)
	}
	if last := 2*len(near) - 1; last < len(out) {
		out[last] = edge(len(near) - 1)
	}
}
