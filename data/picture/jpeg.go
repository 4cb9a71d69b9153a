package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/jpeg"
	"io"
)

// The entropy coding and the inverse DCT are image/jpeg's, which agrees with libjpeg within one step. What follows them is
// done here as libjpeg-turbo does it: which colour space the components are in, how subsampled chroma is brought to full
// size ("fancy" upsampling, where image/jpeg repeats samples) and the fixed-point conversion from YCbCr. On 180 photos of
// ImageNet the pixels differ from Pillow's by 0.028 steps on average and 3 at most; with image/jpeg alone, by 0.36 and 58.

// jpegHeader is what comes before the first scan.
type jpegHeader struct {
	width, height  int
	components     int
	ids            [4]byte
	sampling       [4]byte // horizontal factor in the high half, vertical in the low
	progressive    bool
	jfif           bool
	adobe          bool
	adobeTransform byte
	orientation    int
	firstScan      int // offset of the first scan's marker
}

// JPEG markers.
const (
	markerSOF0  = 0xc0
	markerSOF2  = 0xc2
	markerSOF15 = 0xcf
	markerDHT   = 0xc4
	markerJPG   = 0xc8
	markerDAC   = 0xcc
	markerRST0  = 0xd0
	markerRST7  = 0xd7
	markerEOI   = 0xd9
	markerSOS   = 0xda
	markerAPP0  = 0xe0
	markerAPP1  = 0xe1
	markerAPP14 = 0xee
)

func readJPEGHeader(data []byte) (h jpegHeader, err error) {
	h.orientation = 1
	for i := 2; ; {
		// Padding and stray bytes before a marker are skipped, as libjpeg skips them.
		for i+1 < len(data) && (data[i] != 0xff || data[i+1] == 0xff || data[i+1] == 0) {
			i++
		}
		if i+4 > len(data) {
			return h, truncated("JPEG")
		}
		start, marker := i, data[i+1]
		if marker == markerEOI {
			return h, &FormatError{"JPEG", "it ends without a picture"}
		}
		if marker >= markerRST0 && marker <= markerRST7 {
			i += 2
			continue
		}
		n := int(binary.BigEndian.Uint16(data[i+2:]))
		if n < 2 || i+2+n > len(data) {
			return h, truncated("JPEG")
		}
		body := data[i+4 : i+2+n]
		i += 2 + n
		switch {
		case marker == markerSOS:
			if h.components == 0 {
				return h, &FormatError{"JPEG", "the picture comes before its header"}
			}
			h.firstScan = start
			return h, nil
		case marker >= markerSOF0 && marker <= markerSOF15 && marker != markerDHT && marker != markerJPG && marker != markerDAC:
			if len(body) < 6 || len(body) < 6+3*int(body[5]) {
				return h, &FormatError{"JPEG", "its frame header is too short"}
			}
			if h.components != 0 {
				return h, &FormatError{"JPEG", "it has two frame headers"}
			}
			h.height, h.width = int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
			h.components, h.progressive = int(body[5]), marker == markerSOF2
			for c := range min(h.components, len(h.ids)) {
				h.ids[c], h.sampling[c] = body[6+3*c], body[7+3*c]
			}
		case marker == markerAPP0 && bytes.HasPrefix(body, []byte("JFIF\x00")):
			h.jfif = true
		case marker == markerAPP1 && bytes.HasPrefix(body, []byte("Exif\x00\x00")):
			h.orientation = exifOrientation(body[6:])
		case marker == markerAPP14 && len(body) >= 12 && bytes.HasPrefix(body, []byte("Adobe")):
			h.adobe, h.adobeTransform = true, body[11]
		}
	}
}

// isRGB says whether the three components are red, green and blue rather than YCbCr, by libjpeg's rules.
func (h *jpegHeader) isRGB() bool {
	switch {
	case h.jfif:
		return false
	case h.adobe:
		return h.adobeTransform == 0
	}
	return string(h.ids[:3]) == "RGB"
}

// isYCCK says whether the first three of four components are YCbCr, by libjpeg's rules.
func (h *jpegHeader) isYCCK() bool { return h.adobe && h.adobeTransform != 0 }

// Segments put before the first scan so that image/jpeg hands out components as they are stored: a JFIF one makes it leave
// three components alone, an Adobe one without a transform four.
const (
	segmentJFIF  = "\xff\xe0\x00\x10JFIF\x00\x01\x02\x00\x00\x01\x00\x01\x00\x00"
	segmentAdobe = "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
)

func decodeJPEG(data []byte, l Limits) (*Picture, error) {
	h, err := readJPEGHeader(data)
	if err != nil {
		return nil, err
	}
	if err := l.check("JPEG", h.width, h.height); err != nil {
		return nil, err
	}
	scans := data[h.firstScan:]
	// Every 8x8 block takes at least a bit: a large picture in a small file is no picture.
	if blocks := int64((h.width+7)/8) * int64((h.height+7)/8); blocks > 8*int64(len(scans)) {
		return nil, truncated("JPEG")
	}
	segment, tail := "", ""
	switch h.components {
	case 3:
		segment = segmentJFIF
	case 4:
		segment = segmentAdobe
	}
	// A file that lacks nothing but its end marker is complete, for libjpeg too.
	complete := bytes.LastIndex(scans, []byte{0xff, markerEOI}) >= 0
	if !complete && !h.progressive {
		tail = "\xff\xd9"
	}
	m, err := jpeg.Decode(io.MultiReader(bytes.NewReader(data[:h.firstScan]), bytes.NewReader([]byte(segment)),
		bytes.NewReader(scans), bytes.NewReader([]byte(tail))))
	if err != nil {
		if !complete {
			return nil, truncated("JPEG")
		}
		var unsupported jpeg.UnsupportedError
		return nil, cause("JPEG", err, errors.As(err, &unsupported))
	}

	var p *Picture
	switch m := m.(type) {
	case *image.Gray:
		p, err = fromDecoded("JPEG", m, Grey)
	case *image.YCbCr:
		p = New(RGB, h.width, h.height)
		interleave(p, jpegPlanes(m), !h.isRGB())
	case *image.CMYK:
		p = New(CMYK, h.width, h.height)
		interleave(p, cmykPlanes(m, h.sampling[0] == 0x22), h.isYCCK())
		// What is stored is inverted, the Adobe way, and Pillow takes that for granted. image/jpeg has inverted what
		// it calls CMYK, and cmykPlanes has undone it for the sake of upsampling; libjpeg inverts again the colours
		// it converts.
		if h.isYCCK() {
			for i := 3; i < len(p.Pix); i += 4 {
				p.Pix[i] = 255 - p.Pix[i]
			}
		} else {
			for i, v := range p.Pix {
				p.Pix[i] = 255 - v
			}
		}
	default:
		err = &UnsupportedError{"JPEG", "colour layout"}
	}
	if err != nil {
		return nil, err
	}
	p.Orientation = h.orientation
	return p, nil
}

// plane is one component as it is stored: width x height samples, to be enlarged fx times across and fy times down.
type plane struct {
	pix           []byte
	stride        int
	width, height int
	fx, fy        int
}

func jpegPlanes(m *image.YCbCr) []plane {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	fx, fy := 1, 1
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		fx = 2
	case image.YCbCrSubsampleRatio420:
		fx, fy = 2, 2
	case image.YCbCrSubsampleRatio440:
		fy = 2
	case image.YCbCrSubsampleRatio411:
		fx = 4
	case image.YCbCrSubsampleRatio410:
		fx, fy = 4, 2
	}
	cw, ch := (w+fx-1)/fx, (h+fy-1)/fy
	return []plane{
		{m.Y, m.YStride, w, h, 1, 1},
		{m.Cb, m.CStride, cw, ch, fx, fy},
		{m.Cr, m.CStride, cw, ch, fx, fy},
	}
}

// cmykPlanes separates the components of a picture that image/jpeg interleaved and inverted. It knows one way to subsample
// four components, the middle two by two in both directions, and fills them by repeating samples, so that every second one
// is what was stored.
func cmykPlanes(m *image.CMYK, halved bool) []plane {
	w, ht := m.Rect.Dx(), m.Rect.Dy()
	planes := make([]plane, 4)
	for c := range planes {
		p := plane{width: w, height: ht, fx: 1, fy: 1}
		if halved && (c == 1 || c == 2) {
			p = plane{width: (w + 1) / 2, height: (ht + 1) / 2, fx: 2, fy: 2}
		}
		p.stride = p.width
		p.pix = make([]byte, 0, p.width*p.height)
		for y := 0; y < ht; y += p.fy {
			row := m.Pix[y*m.Stride:]
			for x := 0; x < w; x += p.fx {
				p.pix = append(p.pix, 255-row[4*x+c])
			}
		}
		planes[c] = p
	}
	return planes
}

// interleave enlarges the planes to the size of p and writes them into its pixels, one byte each; with ycc the first three
// are converted from YCbCr to RGB.
func interleave(p *Picture, planes []plane, ycc bool) {
	n := len(planes)
	buf := make([]byte, n*(p.Width+1)) // a row of every plane, with room for the second of an odd last pair
	rows := make([][]byte, n)
	for y := range p.Height {
		for c := range planes {
			if pl := &planes[c]; pl.fx == 1 && pl.fy == 1 {
				rows[c] = pl.pix[y*pl.stride : y*pl.stride+p.Width]
			} else {
				at := c * (p.Width + 1)
				rows[c] = buf[at : at+p.Width+1]
				pl.row(rows[c], y)
			}
		}
		out := p.Pix[y*p.Width*n : (y+1)*p.Width*n]
		if ycc {
			yccRow(out, n, rows[0][:p.Width], rows[1][:p.Width], rows[2][:p.Width])
		} else {
			for c := range min(n, 3) {
				for x, v := range rows[c][:p.Width] {
					out[x*n+c] = v
				}
			}
		}
		if n == 4 {
			for x, v := range rows[3][:p.Width] {
				out[x*4+3] = v
			}
		}
	}
}

// row writes row y of the enlarged plane to out, which has room for one sample more than the picture is wide.
//
// libjpeg's triangle filter: a sample is 3/4 the nearer and 1/4 the farther stored one in each direction of factor 2, samples
// at an edge are repeated. What is rounded, and which way, follows libjpeg-turbo: up and down alternate so that there is no
// bias on average. Planes of three samples or fewer across, and factors of 4, are enlarged by repetition.
func (pl *plane) row(out []byte, y int) {
	near := pl.pix[y/pl.fy*pl.stride:][:pl.width]
	switch {
	case pl.fx == 2 && pl.fy == 1 && pl.width > 2:
		last := len(near) - 1
		out[0] = near[0]
		out[1] = byte((3*int(near[0]) + int(near[1]) + 2) >> 2)
		for x := 1; x < last; x++ {
			v := 3 * int(near[x])
			out[2*x] = byte((v + int(near[x-1]) + 1) >> 2)
			out[2*x+1] = byte((v + int(near[x+1]) + 2) >> 2)
		}
		out[2*last] = byte((3*int(near[last]) + int(near[last-1]) + 1) >> 2)
		out[2*last+1] = near[last]
	case pl.fx == 2 && pl.fy == 2 && pl.width > 2:
		far := pl.far(y)
		last := len(near) - 1
		this := 3*int(near[0]) + int(far[0])
		before := this
		for x := 0; x < last; x++ {
			after := 3*int(near[x+1]) + int(far[x+1])
			out[2*x] = byte((3*this + before + 8) >> 4)
			out[2*x+1] = byte((3*this + after + 7) >> 4)
			before, this = this, after
		}
		out[2*last] = byte((3*this + before + 8) >> 4)
		out[2*last+1] = byte((4*this + 7) >> 4)
	case pl.fx == 1 && pl.fy == 2:
		far := pl.far(y)
		bias := 1 + y&1
		for x, v := range near {
			out[x] = byte((3*int(v) + int(far[x]) + bias) >> 2)
		}
	default:
		for x := range min(len(out), pl.width*pl.fx) {
			out[x] = near[x/pl.fx]
		}
	}
}

// far returns the stored row that is second nearest to row y of the plane enlarged twice.
func (pl *plane) far(y int) []byte {
	r := y/2 - 1 + 2*(y&1)
	r = min(max(r, 0), pl.height-1)
	return pl.pix[r*pl.stride:][:pl.width]
}

// YCbCr to RGB in libjpeg's fixed point, 16 bits: the products for every chroma value.
var crToR, cbToB, crToG, cbToG = func() (rr, bb, rg, bg [256]int32) {
	const half = 1 << 15
	fix := func(x float64) int32 { return int32(x*65536 + 0.5) }
	for i := range int32(256) {
		x := i - 128
		rr[i] = (fix(1.40200)*x + half) >> 16
		bb[i] = (fix(1.77200)*x + half) >> 16
		rg[i] = -fix(0.71414) * x
		bg[i] = -fix(0.34414)*x + half
	}
	return
}()

// yccRow converts a row; out has n bytes a pixel, of which the first three are written.
func yccRow(out []byte, n int, y, cb, cr []byte) {
	cb, cr = cb[:len(y)], cr[:len(y)]
	for x, l := range y {
		l, u, v := int32(l), cb[x], cr[x]
		o := out[x*n : x*n+3 : x*n+3]
		o[0] = clamp(l + crToR[v])
		o[1] = clamp(l + (cbToG[u]+crToG[v])>>16)
		o[2] = clamp(l + cbToB[u])
	}
}

// clamp returns v limited to a byte's range.
func clamp(v int32) byte {
	if uint32(v) > 255 {
		// All ones for a positive v, all zeros for a negative one.
		return byte(^(v >> 31))
	}
	return byte(v)
}
