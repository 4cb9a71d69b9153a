package jpeg

import (
	"bytes"
	"slices"
)

// intervals walks over the MCUs of a scan: it ends one restart interval and begins the next.
type intervals struct {
	d    *Decoder
	left int  // MCUs until the next restart marker
	want byte // its number
	// lost is set while the data of an interval are missing because its restart marker was, skip while nothing more can be
	// read of it.
	lost, skip bool
	// next is the position after the marker that ended the interval, marker its code, 0 at the end of the file.
	next   int
	marker byte
}

func (d *Decoder) newIntervals() *intervals {
	r := &intervals{d: d, left: d.restart}
	if d.restart == 0 { // all of the scan is one interval
		d.bits.data = slices.Grow(d.bits.data[:0], len(d.data)-d.at)
	}
	r.read()
	return r
}

// read makes the entropy-coded bytes up to the next marker ready for reading bits. Within them, a zero byte follows each
// 0xff that is meant.
func (r *intervals) read() {
	d := r.d
	b := &d.bits
	b.data, b.at, b.acc, b.n, b.bad = b.data[:0], 0, 0, 0, false
	rest := d.data[d.at:]
	for {
		i := bytes.IndexByte(rest, 0xff)
		if i < 0 {
			b.data = append(b.data, rest...)
			d.at, r.next, r.marker = len(d.data), len(d.data), 0
			return
		}
		j := i + 1
		for j < len(rest) && rest[j] == 0xff { // fill bytes
			j++
		}
		if j == len(rest) {
			b.data = append(b.data, rest[:i]...)
			d.at, r.next, r.marker = len(d.data), len(d.data), 0
			return
		}
		if rest[j] != 0 {
			b.data = append(b.data, rest[:i]...)
			d.at = len(d.data) - len(rest) + i
			r.next, r.marker = len(d.data)-len(rest)+j+1, rest[j]
			return
		}
		b.data = append(b.data, rest[:i+1]...)
		rest = rest[j+1:]
	}
}

// before is called before each MCU. skip says that there are no data for it.
func (r *intervals) before() (skip bool, err error) {
	if r.d.restart > 0 {
		if r.left == 0 {
			if err := r.restart(); err != nil {
				return false, err
			}
		}
		r.left--
	}
	return r.skip, nil
}

// after is called after each MCU that was read.
func (r *intervals) after() error {
	b := &r.d.bits
	if b.bad && !r.d.damaged() {
		return r.fail(FormatError("its data are damaged: no such Huffman code"))
	}
	if b.overrun() {
		if !r.lost && !r.d.damaged() {
			return r.fail(FormatError("its data end before the picture is complete"))
		}
		r.skip = true
	}
	return nil
}

// damaged says whether what is read depends on what a missing restart marker has lost: scans of a progressive picture build on
// those before. libjpeg makes of such bits what it can, and so does this; elsewhere they are an error.
func (d *Decoder) damaged() bool { return d.progressive && d.lost }

// fail turns an error into ErrTruncated where the file simply ends.
func (r *intervals) fail(err error) error {
	if r.marker == 0 {
		return ErrTruncated
	}
	return err
}

// restart goes on after a restart marker. Where it is not the one that is due, libjpeg guesses which of the two is damaged,
// and so does this, for the sake of the same picture.
func (r *intervals) restart() error {
	d := r.d
	r.left = d.restart
	want := r.want
	r.want = (want + 1) & 7
	for i := range d.comps {
		d.comps[i].pred = 0
	}
	for {
		ahead := (r.marker - markerRST0 - want) & 7
		switch {
		case r.marker == 0:
			return ErrTruncated
		case r.marker >= markerRST0 && r.marker <= markerRST7 && (ahead == 0 || ahead >= 3 && ahead <= 5):
			// The one, or one so far off that its number must be wrong.
			d.at = r.next
			r.lost, r.skip = false, false
			r.read()
			return nil
		case r.marker >= markerSOF0 && (r.marker < markerRST0 || r.marker > markerRST7 || ahead <= 2):
			// A later one, or the end of the scan: the interval in between is lost.
			if r.marker < markerRST0 || r.marker > markerRST7 {
				if r.lost { // more than one is not a missing marker but the end of the data
					return r.fail(FormatError("its data end before the picture is complete"))
				}
			}
			r.lost, d.lost = true, true
			b := &d.bits
			b.data, b.at, b.acc, b.n = b.data[:0], 0, 0, 0
			return nil
		}
		// An earlier one, or what is no marker: to the next.
		d.at = r.next
		code, err := d.marker()
		if err != nil {
			return err
		}
		r.next, r.marker = d.at, code
		d.at -= 2
	}
}

// tables prepares the Huffman tables of a scan.
func (d *Decoder) tables(s scanHeader, dc, ac bool) error {
	find := func(tables *[4]*huffman, id byte, isDC bool) (*huffman, error) {
		if id > 3 || tables[id] == nil {
			return nil, FormatError("a Huffman table is missing")
		}
		return tables[id], tables[id].prepare(isDC)
	}
	for i, at := range s.comps {
		c := &d.comps[at]
		c.pred = 0
		var err error
		if dc {
			if c.dc, err = find(&d.dc, s.tables[i]>>4, true); err != nil {
				return err
			}
		}
		if ac {
			if c.ac, err = find(&d.ac, s.tables[i]&15, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// sequential decodes a picture whose one scan is all there is, a row of MCUs at a time.
func (d *Decoder) sequential(s scanHeader, out *output) error {
	d.standardTables()
	if err := d.latch(s); err != nil {
		return err
	}
	if err := d.tables(s, true, true); err != nil {
		return err
	}
	r := d.newIntervals()
	var b [64]int16
	for row := range d.mcusY {
		for x := range d.mcusX {
			skip, err := r.before()
			if err != nil {
				return err
			}
			for _, i := range s.comps {
				c := &d.comps[i]
				for v := range c.v {
					for h := range c.h {
						to := c.band[(8*v+1)*c.stride+8*(x*c.h+h):]
						last := 0
						if !skip {
							last = d.bits.block(&b, c)
						}
						inverse(&b, last, to, c.stride)
					}
				}
			}
			if !skip {
				if err := r.after(); err != nil {
					return err
				}
			}
		}
		out.rows(row)
	}
	return nil
}

// render turns the coefficients of all scans into the picture.
func (d *Decoder) render(out *output) error {
	smooth := d.progressive
	useful := false
	for i := range d.comps {
		c := &d.comps[i]
		if c.quant == nil {
			return FormatError("a colour component is missing")
		}
		smooth = smooth && c.known[0] >= 0
		for k := 1; k < 10; k++ {
			useful = useful || c.known[k] != 0
			smooth = smooth && c.quant[unzig[k]] != 0
		}
		smooth = smooth && c.quant[0] != 0
	}
	if smooth && useful {
		// libjpeg guesses what is missing from the blocks around it.
		return UnsupportedError("a progressive picture without its last scans")
	}
	var b [64]int16
	for row := range d.mcusY {
		for i := range d.comps {
			c := &d.comps[i]
			for v := range c.v {
				coefs := c.coefs[(row*c.v+v)*c.strideX*64:][:c.strideX*64]
				for x := range c.strideX {
					last := 0
					for k, q := range (*[64]int16)(coefs[64*x:]) {
						if q != 0 {
							b[k] = int16(int32(q) * c.quant[k])
							last |= k
						}
					}
					if last != 0 {
						last = 63
					}
					inverse(&b, last, c.band[(8*v+1)*c.stride+8*x:], c.stride)
				}
			}
		}
		out.rows(row)
	}
	return nil
}

// coefficients reads one of several scans.
func (d *Decoder) coefficients(s scanHeader) error {
	if !d.progressive {
		d.standardTables()
	}
	if err := d.latch(s); err != nil {
		return err
	}
	refine := s.ah > 0
	if err := d.tables(s, s.ss == 0 && !refine, s.se > 0); err != nil {
		return err
	}
	p := &progression{bits: &d.bits, scanHeader: s}
	var read func(b *[64]int16, c *component)
	switch {
	case !d.progressive:
		read = p.whole
	case s.ss == 0 && !refine:
		read = p.dcFirst
	case s.ss == 0:
		read = p.dcRefine
	case !refine:
		read = p.acFirst
	default:
		read = p.acRefine
	}
	for _, i := range s.comps {
		for k := s.ss; k <= s.se; k++ {
			d.comps[i].known[k] = int8(s.al)
		}
	}

	r := d.newIntervals()
	block := func(c *component, x, y int) {
		read((*[64]int16)(c.coefs[64*(y*c.strideX+x):]), c)
	}
	mcu := func(f func()) error {
		if d.restart > 0 && r.left == 0 {
			p.eobrun = 0
		}
		skip, err := r.before()
		if err != nil || skip {
			return err
		}
		f()
		return r.after()
	}
	if len(s.comps) == 1 {
		c := &d.comps[s.comps[0]]
		for y := range c.blocksY {
			for x := range c.blocksX {
				if err := mcu(func() { block(c, x, y) }); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for y := range d.mcusY {
		for x := range d.mcusX {
			err := mcu(func() {
				for _, i := range s.comps {
					c := &d.comps[i]
					for v := range c.v {
						for h := range c.h {
							block(c, x*c.h+h, y*c.v+v)
						}
					}
				}
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// progression reads the blocks of one of several scans.
type progression struct {
	*bits
	scanHeader
	eobrun int // blocks of which nothing more comes
}

// ones are quantisation steps that leave coefficients as they are.
var ones = func() *[64]int32 {
	q := new([64]int32)
	for i := range q {
		q[i] = 1
	}
	return q
}()

func (p *progression) whole(b *[64]int16, c *component) {
	quant := c.quant
	c.quant = ones
	p.block(b, c)
	c.quant = quant
}

func (p *progression) dcFirst(b *[64]int16, c *component) {
	if size := uint(p.symbol(c.dc)) & 15; size > 0 {
		c.pred += int(extend(p.take(size), int(size)))
	}
	b[0] = int16(c.pred << p.al)
}

func (p *progression) dcRefine(b *[64]int16, _ *component) {
	if p.one() {
		b[0] |= 1 << p.al
	}
}

func (p *progression) acFirst(b *[64]int16, c *component) {
	if p.eobrun > 0 {
		p.eobrun--
		return
	}
	for k := p.ss; k <= p.se; k++ {
		sym := p.symbol(c.ac)
		run, size := int(sym>>4), uint(sym&15)
		switch {
		case size > 0:
			k += run
			b[unzig[k]&63] = int16(extend(p.take(size), int(size)) << p.al)
		case run == 15:
			k += 15
		default:
			p.eobrun = 1<<run - 1
			if run > 0 {
				p.eobrun += int(p.take(uint(run)))
			}
			return
		}
	}
}

// acRefine adds a bit to the coefficients that are known not to be zero, and new ones between them.
func (p *progression) acRefine(b *[64]int16, c *component) {
	plus, minus := int16(1)<<p.al, int16(-1)<<p.al
	k := p.ss
	if p.eobrun == 0 {
		for ; k <= p.se; k++ {
			sym := p.symbol(c.ac)
			run, value := int(sym>>4), int16(0)
			switch sym & 15 {
			case 0:
				if run != 15 {
					p.eobrun = 1 << run
					if run > 0 {
						p.eobrun += int(p.take(uint(run)))
					}
				}
			default: // can only be 1
				value = minus
				if p.one() {
					value = plus
				}
				p.bad = p.bad || sym&15 != 1
			}
			if p.eobrun > 0 {
				break
			}
			// Past run coefficients that are zero, refining the others on the way.
			for ; k <= p.se; k++ {
				if at := &b[unzig[k]&63]; *at != 0 {
					p.refine(at, plus, minus)
				} else if run--; run < 0 {
					break
				}
			}
			if value != 0 {
				b[unzig[k]&63] = value
			}
		}
	}
	if p.eobrun > 0 {
		for ; k <= p.se; k++ {
			if at := &b[unzig[k]&63]; *at != 0 {
				p.refine(at, plus, minus)
			}
		}
		p.eobrun--
	}
}

func (p *progression) refine(at *int16, plus, minus int16) {
	if p.one() && *at&plus == 0 {
		if *at >= 0 {
			*at += plus
		} else {
			*at += minus
		}
	}
}
