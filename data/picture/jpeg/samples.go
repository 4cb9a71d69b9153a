package jpeg

// Constants of the inverse cosine transform in fixed point with 13 fractional bits.
const (
	c0298631336 = 2446
	c0390180644 = 3196
	c0541196100 = 4433
	c0765366865 = 6270
	c0899976223 = 7373
	c1175875602 = 9633
	c1501321110 = 12299
	c1847759065 = 15137
	c1961570560 = 16069
	c2053119869 = 16819
	c2562915447 = 20995
	c3072711026 = 25172
)

// inverse transforms the dequantised coefficients b to samples, written to 8 rows of out, and clears b. last is the index,
// in the file's order, of the last coefficient that may not be zero.
func inverse(b *[64]int16, last int, out []byte, stride int) {
	if last == 0 {
		v := clampSample((int32(b[0]) + 4) >> 3)
		b[0] = 0
		for y := range 8 {
			row := out[y*stride:][:8]
			for x := range row {
				row[x] = v
			}
		}
		return
	}
	if hasAVX2 {
		_ = out[7*stride+7]
		inverseAVX2(b, &out[0], stride)
		return
	}
	inverseColumns(b, last, out, stride)
}

// inverseColumns is inverse of a block that is not flat.
func inverseColumns(b *[64]int16, last int, out []byte, stride int) {
	columns := 8
	if last < 10 { // in the file's order, the first ten lie in the first four columns and rows
		columns = 4
	}
	var ws [64]int32
	for x := range columns {
		in := (*[57]int16)(b[x:])
		i1, i2, i3, i4, i5, i6, i7 := int32(in[8]), int32(in[16]), int32(in[24]), int32(in[32]), int32(in[40]), int32(in[48]), int32(in[56])
		w := (*[57]int32)(ws[x:])
		if i1|i2|i3|i4|i5|i6|i7 == 0 {
			v := int32(in[0]) << 2
			w[0], w[8], w[16], w[24], w[32], w[40], w[48], w[56] = v, v, v, v, v, v, v, v
			continue
		}
		const round = 1 << 10
		z1 := (i2 + i6) * c0541196100
		t2, t3 := z1-i6*c1847759065, z1+i2*c0765366865
		t0, t1 := (int32(in[0])+i4)<<13+round, (int32(in[0])-i4)<<13+round
		e0, e3, e1, e2 := t0+t3, t0-t3, t1+t2, t1-t2
		z5 := (i7 + i3 + i5 + i1) * c1175875602
		z3, z4 := z5-(i7+i3)*c1961570560, z5-(i5+i1)*c0390180644
		y1, y2 := (i7+i1)*c0899976223, (i5+i3)*c2562915447
		o0 := i7*c0298631336 - y1 + z3
		o1 := i5*c2053119869 - y2 + z4
		o2 := i3*c3072711026 - y2 + z3
		o3 := i1*c1501321110 - y1 + z4
		w[0], w[56] = (e0+o3)>>11, (e0-o3)>>11
		w[8], w[48] = (e1+o2)>>11, (e1-o2)>>11
		w[16], w[40] = (e2+o1)>>11, (e2-o1)>>11
		w[24], w[32] = (e3+o0)>>11, (e3-o0)>>11
	}
	*b = [64]int16{}
	for y := range 8 {
		w := (*[8]int32)(ws[8*y:])
		const round = 1<<17 + 128<<18 // and samples are around 128
		i1, i2, i3 := w[1], w[2], w[3]
		row := (*[8]byte)(out[y*stride:])
		if columns == 4 {
			t2, t3 := i2*c0541196100, i2*(c0541196100+c0765366865)
			t0 := w[0]<<13 + round
			e0, e3, e1, e2 := t0+t3, t0-t3, t0+t2, t0-t2
			z5 := (i3 + i1) * c1175875602
			z3, z4 := z5-i3*c1961570560, z5-i1*c0390180644
			y1, y2 := i1*c0899976223, i3*c2562915447
			o0, o1, o2, o3 := z3-y1, z4-y2, i3*c3072711026-y2+z3, i1*c1501321110-y1+z4
			row[0], row[7] = clampByte((e0+o3)>>18), clampByte((e0-o3)>>18)
			row[1], row[6] = clampByte((e1+o2)>>18), clampByte((e1-o2)>>18)
			row[2], row[5] = clampByte((e2+o1)>>18), clampByte((e2-o1)>>18)
			row[3], row[4] = clampByte((e3+o0)>>18), clampByte((e3-o0)>>18)
			continue
		}
		i4, i5, i6, i7 := w[4], w[5], w[6], w[7]
		z1 := (i2 + i6) * c0541196100
		t2, t3 := z1-i6*c1847759065, z1+i2*c0765366865
		t0, t1 := (w[0]+i4)<<13+round, (w[0]-i4)<<13+round
		e0, e3, e1, e2 := t0+t3, t0-t3, t1+t2, t1-t2
		z5 := (i7 + i3 + i5 + i1) * c1175875602
		z3, z4 := z5-(i7+i3)*c1961570560, z5-(i5+i1)*c0390180644
		y1, y2 := (i7+i1)*c0899976223, (i5+i3)*c2562915447
		o0 := i7*c0298631336 - y1 + z3
		o1 := i5*c2053119869 - y2 + z4
		o2 := i3*c3072711026 - y2 + z3
		o3 := i1*c1501321110 - y1 + z4
		row[0], row[7] = clampByte((e0+o3)>>18), clampByte((e0-o3)>>18)
		row[1], row[6] = clampByte((e1+o2)>>18), clampByte((e1-o2)>>18)
		row[2], row[5] = clampByte((e2+o1)>>18), clampByte((e2-o1)>>18)
		row[3], row[4] = clampByte((e3+o0)>>18), clampByte((e3-o0)>>18)
	}
}

func clampSample(v int32) byte { return clampByte(v + 128) }

// clampByte returns v limited to a byte's range.
func clampByte(v int32) byte {
	if uint32(v) > 255 {
		return byte(^(v >> 31)) // all ones for a positive v, all zeros for a negative one
	}
	return byte(v)
}

// output turns bands of component samples into rows of pixels.
type output struct {
	d   *Decoder
	pix []byte
	ycc bool
	buf [4][]byte // an enlarged row of each component that is smaller than the picture
}

func newOutput(d *Decoder, pix []byte) *output {
	o := &output{d: d, pix: pix, ycc: d.Components == 3 && !d.rgb() || d.YCCK()}
	for i := range d.comps {
		if c := &d.comps[i]; c.fx > 1 || c.fy > 1 {
			o.buf[i] = make([]byte, c.width*c.fx+1)
		}
	}
	return o
}

// rows writes the rows of pixels that can be known when the bands hold row r of MCUs: the last one of the picture's rows in
// it needs the samples below, unless there are none.
func (o *output) rows(r int) {
	d := o.d
	from, to := max(0, 8*d.maxV*r-1), min(d.Height, 8*d.maxV*(r+1)-1)
	if r == d.mcusY-1 {
		to = d.Height
	}
	n, w := d.Components, d.Width
	var rows [4][]byte
	for y := from; y < to; y++ {
		for i := range d.comps {
			rows[i] = d.comps[i].row(o.buf[i], y, r)[:w]
		}
		out := o.pix[y*w*n : (y+1)*w*n]
		switch {
		case n == 1:
			copy(out, rows[0])
			continue
		case o.ycc && n == 3:
			convert3(out, rows[0], rows[1], rows[2])
			continue
		case o.ycc:
			convert4(out, rows[0], rows[1], rows[2])
		default:
			for i := range min(n, 3) {
				for x, v := range rows[i] {
					out[x*n+i] = v
				}
			}
		}
		if n == 4 {
			for x, v := range rows[3] {
				out[4*x+3] = v
			}
		}
	}
	for i := range d.comps { // the last row is the one above the next band
		c := &d.comps[i]
		copy(c.band[:c.stride], c.band[8*c.v*c.stride:])
	}
}

// row returns row y of the component at the picture's size, in out where it has to be enlarged, when its band holds row r of
// MCUs.
//
// This is libjpeg's triangle filter: a sample is 3/4 the nearer and 1/4 the farther stored one in each direction of factor 2,
// samples at an edge are repeated. What is rounded, and which way, follows libjpeg-turbo: up and down alternate so that there
// is no bias on average. Rows of two samples or fewer, and other factors, are enlarged by repetition.
func (c *component) row(out []byte, y, r int) []byte {
	sample := func(y int) []byte { return c.band[(y-8*c.v*r+1)*c.stride:][:c.width] }
	// far is the stored row second nearest to y.
	far := func() []byte { return sample(min(max(y/2-1+2*(y&1), 0), c.height-1)) }
	near := sample(y / c.fy)
	last := len(near) - 1
	switch {
	case c.fx == 1 && c.fy == 1:
		return near
	case c.fx == 2 && c.fy == 1 && c.width > 2:
		out[0] = near[0]
		out[1] = byte((3*uint32(near[0]) + uint32(near[1]) + 2) >> 2)
		before, this := uint32(near[0]), uint32(near[1])
		o := out[2 : 2*last]
		for _, v := range near[2:] {
			after := uint32(v)
			if len(o) < 2 {
				break
			}
			o[0] = byte((3*this + before + 1) >> 2)
			o[1] = byte((3*this + after + 2) >> 2)
			o = o[2:]
			before, this = this, after
		}
		out[2*last] = byte((3*this + before + 1) >> 2)
		out[2*last+1] = near[last]
	case c.fx == 2 && c.fy == 2 && c.width > 2:
		far := far()[:len(near)]
		this := 3*uint32(near[0]) + uint32(far[0])
		before := this
		o := out[:2*last]
		for x := 1; x < len(near); x++ {
			if len(o) < 2 {
				break
			}
			after := 3*uint32(near[x]) + uint32(far[x])
			o[0] = byte((3*this + before + 8) >> 4)
			o[1] = byte((3*this + after + 7) >> 4)
			o = o[2:]
			before, this = this, after
		}
		out[2*last] = byte((3*this + before + 8) >> 4)
		out[2*last+1] = byte((4*this + 7) >> 4)
	case c.fx == 1 && c.fy == 2:
		far := far()
		bias := 1 + y&1
		for x, v := range near {
			out[x] = byte((3*int(v) + int(far[x]) + bias) >> 2)
		}
	default:
		for x, v := range near {
			for k := range c.fx {
				out[x*c.fx+k] = v
			}
		}
	}
	return out
}

// A pixel is converted from YCbCr as one sum of three numbers that hold red, green and blue side by side: green with the 16
// fractional bits that libjpeg sums it with, each of the three 256 too large so that it is never negative.
const (
	redAt   = 0
	greenAt = 12
	blueAt  = 44
)

var lumaPart, cbPart, crPart = func() (l, u, v [256]uint64) {
	const half = 1 << 15
	fix := func(x float64) int64 { return int64(x*65536 + 0.5) }
	for i := range int64(256) {
		x := i - 128
		red, blue := (fix(1.40200)*x+half)>>16, (fix(1.77200)*x+half)>>16
		l[i] = uint64(i<<redAt | i<<(greenAt+16) | i<<blueAt)
		u[i] = uint64((256+blue)<<blueAt + (half-fix(0.34414)*x)<<greenAt)
		v[i] = uint64((256+red)<<redAt + (256<<16-fix(0.71414)*x)<<greenAt)
	}
	return
}()

// limited maps a value that is 256 too large to one in a byte's range.
var limited = func() (t [1024]byte) {
	for i := range t {
		t[i] = clampByte(int32(i) - 256)
	}
	return
}()

// convert3 converts a row to pixels of three bytes.
func convert3(out, y, cb, cr []byte) {
	cb, cr, out = cb[:len(y)], cr[:len(y)], out[:3*len(y)]
	if n := len(y) &^ 7; n > 0 && hasAVX2 {
		convertAVX2(&out[0], &y[0], &cb[0], &cr[0], n)
		y, cb, cr, out = y[n:], cb[n:], cr[n:], out[3*n:]
	}
	for x := range y {
		if len(out) < 3 {
			break
		}
		p := lumaPart[y[x]] + cbPart[cb[x]] + crPart[cr[x]]
		out[0] = limited[p>>redAt&1023]
		out[1] = limited[p>>(greenAt+16)&1023]
		out[2] = limited[p>>blueAt&1023]
		out = out[3:]
	}
}

// convert4 converts a row to the first three bytes of pixels of four.
func convert4(out, y, cb, cr []byte) {
	for x := range y {
		p := lumaPart[y[x]] + cbPart[cb[x]] + crPart[cr[x]]
		o := out[4*x:][:3]
		o[0], o[1], o[2] = limited[p>>redAt&1023], limited[p>>(greenAt+16)&1023], limited[p>>blueAt&1023]
	}
}
