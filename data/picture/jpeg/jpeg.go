// Package jpeg decodes JPEG files to the very samples that libjpeg-turbo gives, which is what Pillow hands to training code.
//
// Go's image/jpeg cannot stand in for it: it repeats chroma samples where libjpeg-turbo interpolates them, its inverse cosine
// transform rounds otherwise, and it refuses restart markers in layouts that cameras and web sites write. Here the transform
// is libjpeg's accurate integer one ("islow"), chroma is enlarged by its triangle filter ("fancy upsampling"), colours are
// converted in its fixed point, and a restart marker that is missing costs what it costs libjpeg: the picture between two
// others.
//
// No library does that without a package of the system: the bindings of libjpeg-turbo want it installed, and its WebAssembly
// build (libjpeg-turbo 2, run by wazero) decodes 110 to 150 photos a second and core where this package decodes 530 to 670 and
// Pillow 490 to 650, and calls every layout but the six most common, and every damaged restart marker, an error.
//
// Baseline and progressive files of 8 bits are read, with any sampling factors that libjpeg-turbo knows, in one scan or many.
// One scan is decoded in bands of a few rows, so that no more than the pixels themselves is kept; many take two bytes more
// for every sample ([Decoder.Memory] says how much before it is allocated).
package jpeg

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrTruncated reports a file that ends before its picture is complete.
var ErrTruncated = errors.New("it ends before the picture is complete (truncated?)")

// A FormatError says what is wrong with a file.
type FormatError string

func (e FormatError) Error() string { return string(e) }

// An UnsupportedError names what a valid file uses and this package does not decode.
type UnsupportedError string

func (e UnsupportedError) Error() string { return string(e) }

// Markers, without the 0xff that comes before each.
const (
	markerTEM   = 0x01
	markerSOF0  = 0xc0
	markerSOF1  = 0xc1
	markerSOF2  = 0xc2
	markerDHT   = 0xc4
	markerJPG   = 0xc8
	markerDAC   = 0xcc
	markerSOF15 = 0xcf
	markerRST0  = 0xd0
	markerRST7  = 0xd7
	markerSOI   = 0xd8
	markerEOI   = 0xd9
	markerSOS   = 0xda
	markerDQT   = 0xdb
	markerDRI   = 0xdd
	markerAPP0  = 0xe0
	markerAPP1  = 0xe1
	markerAPP14 = 0xee
)

// Decoder is a file whose header has been read.
type Decoder struct {
	Width, Height int
	Components    int    // 1, 3 or 4
	EXIF          []byte // what the file's EXIF segment holds, nil without one

	data        []byte
	at          int // of the next marker or, in a scan, of the entropy-coded data that is not read yet
	sof         byte
	progressive bool
	jfif, adobe bool
	transform   byte // of the Adobe segment
	restart     int  // MCUs between restart markers; 0 for none

	comps      []component
	maxH, maxV int
	mcusX      int // of an interleaved scan
	mcusY      int
	quant      [4]*[64]uint16 // in zigzag order
	dc, ac     [4]*huffman
	first      scanHeader // of the first scan

	bits bits
	lost bool // a restart marker was missing
}

// component is one colour plane.
type component struct {
	id            byte
	h, v          int // sampling factors
	tq            byte
	blocksX       int // blocks that hold samples; a scan of this component alone has no others
	blocksY       int
	strideX       int // blocks across in interleaved scans, a whole number of MCUs
	width, height int // in samples
	fx, fy        int // how much it is enlarged across and down
	quant         *[64]int32
	coefs         []int16  // [block row, block column, 64], only for files of several scans
	known         [64]int8 // how many low bits of a coefficient are still missing, -1 when nothing of it was read
	band          []byte   // one row above, then the rows of a row of MCUs
	stride        int      // bytes of a row of band

	dc, ac *huffman // of the scan
	pred   int      // the last DC coefficient
}

type scanHeader struct {
	comps          []int
	tables         [4]byte
	ss, se, ah, al int
}

// ReadHeader reads data up to the first scan. It refuses what Decode could not decode; it allocates little.
func ReadHeader(data []byte) (*Decoder, error) {
	if len(data) < 2 || data[0] != 0xff || data[1] != markerSOI {
		return nil, FormatError("it does not begin like a JPEG file")
	}
	d := &Decoder{data: data, at: 2}
	marker, body, err := d.toScan()
	if err != nil {
		return nil, err
	}
	if marker == markerEOI {
		return nil, FormatError("it ends without a picture")
	}
	if d.first, err = d.scanHeader(body); err != nil {
		return nil, err
	}
	return d, nil
}

// marker moves to the next marker and past it. Stray bytes before it are skipped, as libjpeg skips them.
func (d *Decoder) marker() (code byte, err error) {
	for i := d.at; i+1 < len(d.data); i++ {
		if d.data[i] == 0xff && d.data[i+1] != 0xff && d.data[i+1] != 0 {
			d.at = i + 2
			return d.data[i+1], nil
		}
	}
	d.at = len(d.data)
	return 0, ErrTruncated
}

// toScan reads segments until a scan begins or the picture ends and returns which it is, with the scan's header.
func (d *Decoder) toScan() (marker byte, body []byte, err error) {
	for {
		marker, err := d.marker()
		switch {
		case err != nil:
			return 0, nil, err
		case marker == markerEOI:
			return marker, nil, nil
		case marker == markerSOI:
			return 0, nil, FormatError("a second picture begins before the first is complete")
		case marker >= markerRST0 && marker <= markerRST7, marker == markerTEM:
			continue
		}
		if d.at+2 > len(d.data) {
			return 0, nil, ErrTruncated
		}
		n := int(binary.BigEndian.Uint16(d.data[d.at:]))
		if n < 2 {
			return 0, nil, FormatError(fmt.Sprintf("segment %#x is too short", marker))
		}
		if d.at+n > len(d.data) {
			return 0, nil, ErrTruncated
		}
		body := d.data[d.at+2 : d.at+n]
		d.at += n
		switch {
		case marker == markerSOS:
			if d.sof == 0 {
				return 0, nil, FormatError("the picture comes before its header")
			}
			return marker, body, nil
		case marker == markerDHT:
			err = d.readHuffman(body)
		case marker == markerDQT:
			err = d.readQuant(body)
		case marker == markerDRI:
			if len(body) != 2 {
				return 0, nil, FormatError("its restart interval is damaged")
			}
			d.restart = int(binary.BigEndian.Uint16(body))
		case marker >= markerSOF0 && marker <= markerSOF15 && marker != markerJPG && marker != markerDAC:
			err = d.readFrame(marker, body)
		case marker == markerAPP0 && len(body) >= 14 && string(body[:5]) == "JFIF\x00":
			d.jfif = true
		case marker == markerAPP1 && len(body) >= 6 && string(body[:6]) == "Exif\x00\x00" && d.EXIF == nil:
			d.EXIF = body[6:]
		case marker == markerAPP14 && len(body) >= 12 && string(body[:5]) == "Adobe":
			d.adobe, d.transform = true, body[11]
		}
		if err != nil {
			return 0, nil, err
		}
	}
}

func (d *Decoder) readQuant(body []byte) error {
	for len(body) > 0 {
		wide, id := body[0]>>4, body[0]&15
		size := 64
		if wide != 0 {
			size = 128
		}
		if id > 3 || wide > 1 || len(body) < 1+size {
			return FormatError("its quantisation table is damaged")
		}
		t := new([64]uint16)
		for i := range t {
			if wide != 0 {
				t[i] = binary.BigEndian.Uint16(body[1+2*i:])
			} else {
				t[i] = uint16(body[1+i])
			}
		}
		d.quant[id] = t
		body = body[1+size:]
	}
	return nil
}

func (d *Decoder) readFrame(marker byte, body []byte) error {
	switch {
	case d.sof != 0:
		return FormatError("it has two frame headers")
	case marker > markerSOF2 && marker < 0xc8:
		return UnsupportedError("lossless or hierarchical coding")
	case marker > markerSOF2:
		return UnsupportedError("arithmetic coding")
	case len(body) < 6 || len(body) < 6+3*int(body[5]):
		return FormatError("its frame header is too short")
	case body[0] != 8:
		return UnsupportedError(fmt.Sprintf("samples of %d bits", body[0]))
	}
	d.sof, d.progressive = marker, marker == markerSOF2
	d.Height, d.Width = int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
	d.Components = int(body[5])
	switch d.Components {
	case 1, 3, 4:
	case 0:
		return FormatError("it has no colour components")
	default:
		return UnsupportedError(fmt.Sprintf("%d colour components", d.Components))
	}
	d.comps = make([]component, d.Components)
	for i := range d.comps {
		c := &d.comps[i]
		spec := body[6+3*i:]
		c.id, c.h, c.v, c.tq = spec[0], int(spec[1]>>4), int(spec[1]&15), spec[2]
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 || c.tq > 3 {
			return FormatError("its frame header has bad sampling factors or tables")
		}
		if d.Components == 1 {
			c.h, c.v = 1, 1 // there is nothing that it could be smaller than
		}
		d.maxH, d.maxV = max(d.maxH, c.h), max(d.maxV, c.v)
		for k := range c.known {
			c.known[k] = -1
		}
	}
	d.mcusX, d.mcusY = ceilDiv(d.Width, 8*d.maxH), ceilDiv(d.Height, 8*d.maxV)
	for i := range d.comps {
		c := &d.comps[i]
		if d.maxH%c.h != 0 || d.maxV%c.v != 0 {
			return UnsupportedError(fmt.Sprintf("sampling factors %d and %d", d.maxH, c.h))
		}
		c.fx, c.fy = d.maxH/c.h, d.maxV/c.v
		c.width, c.height = ceilDiv(d.Width*c.h, d.maxH), ceilDiv(d.Height*c.v, d.maxV)
		c.blocksX, c.blocksY = ceilDiv(c.width, 8), ceilDiv(c.height, 8)
		c.strideX = d.mcusX * c.h
	}
	return nil
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

func (d *Decoder) scanHeader(body []byte) (s scanHeader, err error) {
	if len(body) < 1 || body[0] < 1 || body[0] > 4 || len(body) != 4+2*int(body[0]) {
		return s, FormatError("a scan's header is damaged")
	}
	n := int(body[0])
	blocks := 0
	var used [4]bool
	for i := range n {
		id, found := body[1+2*i], false
		for c := range d.comps { // identifiers may be alike: then they count
			if d.comps[c].id == id && !used[c] {
				used[c], found = true, true
				s.comps, s.tables[i] = append(s.comps, c), body[2+2*i]
				blocks += d.comps[c].h * d.comps[c].v
				break
			}
		}
		if !found {
			return s, FormatError("a scan has a component that the frame lacks")
		}
	}
	if n > 1 && blocks > 10 {
		return s, FormatError("a scan interleaves too many blocks")
	}
	s.ss, s.se = int(body[1+2*n]), int(body[2+2*n])
	s.ah, s.al = int(body[3+2*n]>>4), int(body[3+2*n]&15)
	if !d.progressive {
		s.ss, s.se, s.ah, s.al = 0, 63, 0, 0 // libjpeg does not look at them either
		return s, nil
	}
	bad := s.ss > s.se || s.se > 63 || s.al > 13 || s.ah != 0 && s.ah-1 != s.al
	if s.ss == 0 {
		bad = bad || s.se != 0
	} else {
		bad = bad || n != 1
	}
	if bad {
		return s, FormatError("a scan has an invalid range of coefficients")
	}
	return s, nil
}

// rgb says whether three components are stored as red, green and blue rather than YCbCr, by libjpeg's rules.
func (d *Decoder) rgb() bool {
	switch {
	case d.jfif:
		return false
	case d.adobe:
		return d.transform == 0
	}
	return d.comps[0].id == 'R' && d.comps[1].id == 'G' && d.comps[2].id == 'B'
}

// YCCK says whether the first three of four components were stored as YCbCr. Decode has converted them to cyan, magenta and
// yellow.
func (d *Decoder) YCCK() bool { return d.Components == 4 && d.adobe && d.transform != 0 }

// severalScans says whether the first scan is not the whole picture.
func (d *Decoder) severalScans() bool { return d.progressive || len(d.first.comps) < d.Components }

// Blocks is the number of 8x8 blocks of the picture's largest component: the file has at least a bit for each.
func (d *Decoder) Blocks() int64 { return int64(ceilDiv(d.Width, 8)) * int64(ceilDiv(d.Height, 8)) }

// Memory is about how many bytes Decode will allocate beside the pixels.
func (d *Decoder) Memory() (n int64) {
	n = int64(len(d.data) - d.at) // of the scan, prepared for reading
	if d.severalScans() {
		for i := range d.comps {
			c := &d.comps[i]
			n += 128 * int64(c.strideX) * int64(d.mcusY) * int64(c.v)
		}
	}
	return n
}

// Decode writes the pixels to pix, [Height, Width, Components]: grey, red green blue, or cyan magenta yellow black as they are
// stored, without turning round those that Adobe stores inverted.
func (d *Decoder) Decode(pix []byte) error {
	if len(pix) != d.Width*d.Height*d.Components {
		return fmt.Errorf("room for %d bytes, not for %dx%dx%d", len(pix), d.Width, d.Height, d.Components)
	}
	for i := range d.comps {
		c := &d.comps[i]
		c.stride = 8 * c.strideX
		c.band = make([]byte, (8*c.v+1)*c.stride)
	}
	out := newOutput(d, pix)
	if !d.severalScans() {
		return d.sequential(d.first, out)
	}
	for i := range d.comps {
		c := &d.comps[i]
		c.coefs = make([]int16, 64*c.strideX*d.mcusY*c.v)
	}
	if err := d.scans(); err != nil {
		return err
	}
	return d.render(out)
}

// scans reads all scans of a file that has several.
func (d *Decoder) scans() error {
	// Ten scans are usual. Each costs a walk over the picture, however short it is, so a small file could take hours.
	const most = 500
	s := d.first
	for n := 1; ; n++ {
		if n > most {
			return UnsupportedError(fmt.Sprintf("more than %d scans", most))
		}
		if err := d.coefficients(s); err != nil {
			return err
		}
		marker, body, err := d.toScan()
		if err != nil {
			return err
		}
		if marker == markerEOI {
			return nil
		}
		if s, err = d.scanHeader(body); err != nil {
			return err
		}
	}
}

// latch keeps the quantisation tables that hold when a component's first scan begins.
func (d *Decoder) latch(s scanHeader) error {
	for _, i := range s.comps {
		c := &d.comps[i]
		if c.quant != nil {
			continue
		}
		q := d.quant[c.tq]
		if q == nil {
			return FormatError("a quantisation table is missing")
		}
		c.quant = new([64]int32)
		for k, v := range q {
			c.quant[unzig[k]] = int32(v)
		}
	}
	return nil
}

// unzig maps the order of coefficients in a file to that in a block. A run past the end of a block ends at its last
// coefficient, as with libjpeg.
var unzig = [80]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
	63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63,
}
