package preprocess

import (
	"fmt"
	"math"
	"sync"

	"vitdecompose/data/picture"
)

const nearest = "nearest"

// filter is an interpolation kernel: its weight at x, which is 0 beyond support on either side.
type filter struct {
	support float64
	weight  func(x float64) float64
}

// filters are Pillow's, under the names timm gives them.
var filters = map[string]filter{
	"box": {0.5, func(x float64) float64 {
		if x > -0.5 && x <= 0.5 {
			return 1
		}
		return 0
	}},
	"bilinear": {1, func(x float64) float64 { return max(0, 1-math.Abs(x)) }},
	"hamming": {1, func(x float64) float64 {
		switch x = math.Abs(x); {
		case x == 0:
			return 1
		case x >= 1:
			return 0
		}
		x *= math.Pi
		return math.Sin(x) / x * (0.54 + 0.46*math.Cos(x))
	}},
	// Keys' cubic convolution with a = -1/2.
	"bicubic": {2, func(x float64) float64 {
		const a = -0.5
		switch x = math.Abs(x); {
		case x < 1:
			return ((a+2)*x-(a+3))*x*x + 1
		case x < 2:
			return (((x-5)*x+8)*x - 4) * a
		}
		return 0
	}},
	"lanczos": {3, func(x float64) float64 {
		if x < -3 || x >= 3 {
			return 0
		}
		return sinc(x) * sinc(x/3)
	}},
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}

// precision is the number of fractional bits of a weight for 8-bit samples: 32, less 8 for the sample and 2 for sums that
// leave its range.
const precision = 32 - 8 - 2

// taps are the weights of one pass: output sample i is the sum over k < count[i] of input sample first[i]+k times weight
// i*size+k.
type taps struct {
	size         int // the largest count
	first, count []int
	fixed        []int32 // weights with precision fractional bits
	exact        []float64
}

// newTaps computes the weights for the outputs from..to-1 of a side resized from in to out samples. Scaled down, the filter
// is stretched by the scale, which is what "antialiased" means here.
func newTaps(f filter, in, out, from, to int) *taps {
	scale := float64(in) / float64(out)
	stretch := max(scale, 1)
	support := f.support * stretch
	t := &taps{size: 2*int(math.Ceil(support)) + 1}
	n := to - from
	t.first, t.count = make([]int, n), make([]int, n)
	t.fixed, t.exact = make([]int32, n*t.size), make([]float64, n*t.size)
	for i := range n {
		centre := (float64(from+i) + 0.5) * scale
		first := max(0, int(centre-support+0.5))
		count := min(in, int(centre+support+0.5)) - first
		weights := t.exact[i*t.size:][:count]
		sum := 0.0
		for k := range weights {
			weights[k] = f.weight((float64(k+first) - centre + 0.5) * (1 / stretch))
			sum += weights[k]
		}
		for k, w := range weights {
			if sum != 0 {
				w /= sum
				weights[k] = w
			}
			t.fixed[i*t.size+k] = int32(math.Copysign(0.5, w) + w*(1<<precision))
		}
		t.first[i], t.count[i] = first, count
	}
	return t
}

// Taps are what one position of a resized side reads: the samples from First on, each times its weight.
type Taps struct {
	First   int
	Weights []float64
}

// Bicubic returns the taps of each of out positions of a side of in samples that is resized by the bicubic filter, antialiased
// where it shrinks, in floating point: what resizes pictures resizes grids of position embeddings, too.
func Bicubic(in, out int) []Taps {
	t := newTaps(filters["bicubic"], in, out, 0, out)
	side := make([]Taps, out)
	for i := range side {
		side[i] = Taps{t.first[i], t.exact[i*t.size:][:t.count[i]]}
	}
	return side
}

// rect is a part of a picture: columns x0..x1-1 of rows y0..y1-1.
type rect struct{ x0, y0, x1, y1 int }

// resize returns the part r of p resized to width x height; only what r needs is computed. The mode stays p's: as in Pillow,
// Bilevel and Palette pictures take the nearest sample whatever the filter, and colours are multiplied by alpha meanwhile.
func resize(p *picture.Picture, width, height int, r rect, interpolation string) (*picture.Picture, error) {
	switch {
	case width == p.Width && height == p.Height:
		return crop(p, r), nil
	case interpolation == nearest || p.Mode == picture.Bilevel || p.Mode == picture.Palette:
		return resizeNearest(p, width, height, r), nil
	}
	f := filters[interpolation]
	tx, ty := newTaps(f, p.Width, width, r.x0, r.x1), newTaps(f, p.Height, height, r.y0, r.y1)
	if width == p.Width { // at scale 1 the weights are one 1 and zeros, up to rounding
		tx = nil
	}
	if height == p.Height {
		ty = nil
	}
	rowLen := (r.x1 - r.x0) * p.Mode.Bytes()
	// The rows of the first pass that the second needs at a time.
	const largest = 1 << 30
	if ty != nil && int64(ty.size)*int64(rowLen) > largest {
		return nil, fmt.Errorf("a picture of %dx%d pixels is too long and thin to be resized to %dx%d", p.Width, p.Height, width, height)
	}
	vertical := verticalFirst(p, width, height)
	out := picture.New(p.Mode, r.x1-r.x0, r.y1-r.y0)
	switch p.Mode {
	case picture.Grey16:
		return resample16(p, r, tx, ty, vertical), nil
	case picture.GreyAlpha, picture.RGBA:
		q := *p
		q.Pix = append([]byte(nil), p.Pix...)
		picture.Premultiply(&q)
		resample8(out, &q, r, tx, ty, vertical)
		picture.Unpremultiply(out)
	default:
		resample8(out, p, r, tx, ty, vertical)
	}
	return out, nil
}

func crop(p *picture.Picture, r rect) *picture.Picture {
	out := picture.New(p.Mode, r.x1-r.x0, r.y1-r.y0)
	out.Palette = p.Palette
	n := p.Mode.Bytes()
	rowLen := out.Width * n
	for y := range out.Height {
		copy(out.Pix[y*rowLen:(y+1)*rowLen], p.Pix[((r.y0+y)*p.Width+r.x0)*n:])
	}
	return out
}

func resizeNearest(p *picture.Picture, width, height int, r rect) *picture.Picture {
	out := picture.New(p.Mode, r.x1-r.x0, r.y1-r.y0)
	out.Palette = p.Palette
	n := p.Mode.Bytes()
	xs, ys := nearestSamples(p.Width, width, r.x0, r.x1), nearestSamples(p.Height, height, r.y0, r.y1)
	i := 0
	for _, y := range ys {
		row := p.Pix[y*p.Width*n:]
		for _, x := range xs {
			i += copy(out.Pix[i:i+n], row[x*n:])
		}
	}
	return out
}

// nearestSamples returns which sample each of the outputs from..to-1 takes. Pillow adds up the positions, and so does this,
// because the rounding errors of the sum decide ties.
func nearestSamples(in, out, from, to int) []int {
	scale := float64(in) / float64(out)
	at := scale * 0.5
	samples := make([]int, 0, to-from)
	for i := range to {
		if i >= from {
			samples = append(samples, min(int(at), in-1))
		}
		at += scale
	}
	return samples
}

// scratch is the memory of one resize, reused by later ones.
type scratch struct {
	rows []byte
	sums []int32
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// verticalFirst says which pass Pillow does first: the vertical one if the height shrinks by more than twice as many pixels as
// the width, since version 13. Both orders round to 8 bits in between, so they can differ by a few steps where the filter
// overshoots.
func verticalFirst(p *picture.Picture, width, height int) bool {
	return p.Height > height && p.Height-height > 2*(p.Width-width)
}

// resample8 resizes 8-bit samples row by row: it keeps only what the second pass needs of the first. Nil taps leave a side as
// it is.
func resample8(out, p *picture.Picture, r rect, tx, ty *taps, verticalFirst bool) {
	n := p.Mode.Bytes()
	rowLen, srcLen := out.Width*n, p.Width*n
	source := func(y int) []byte { return p.Pix[y*srcLen : (y+1)*srcLen] }
	horizontal := func(dst, src []byte) {
		switch {
		case tx == nil:
			copy(dst, src[r.x0*n:])
		case n == 3:
			horizontal3(dst, src, tx)
		case n == 1:
			horizontal1(dst, src, tx)
		default:
			horizontalN(dst, src, tx, n)
		}
	}
	target := func(y int) []byte { return out.Pix[y*rowLen : (y+1)*rowLen] }
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	switch {
	case ty == nil:
		for y := range out.Height {
			horizontal(target(y), source(r.y0+y))
		}
	case verticalFirst:
		// Of every source row, only the columns that the second pass will read.
		x0, x1 := r.x0, r.x1
		if tx != nil {
			last := len(tx.first) - 1
			x0, x1 = tx.first[0], tx.first[last]+tx.count[last]
		}
		s.rows, s.sums = grow(s.rows, srcLen), grow(s.sums, (x1-x0)*n)
		for i := range out.Height {
			ty.vertical(s.rows[x0*n:x1*n], s.sums, i, func(y int) []byte { return source(y)[x0*n : x1*n] })
			horizontal(target(i), s.rows)
		}
	default:
		// A ring of finished rows, as many as the longest sum of the second pass takes.
		s.rows, s.sums = grow(s.rows, ty.size*rowLen), grow(s.sums, rowLen)
		row := func(y int) []byte { return s.rows[y%ty.size*rowLen:][:rowLen] }
		next := ty.first[0]
		for i := range out.Height {
			for next = max(next, ty.first[i]); next < ty.first[i]+ty.count[i]; next++ {
				horizontal(row(next), source(next))
			}
			ty.vertical(target(i), s.sums, i, row)
		}
	}
}

// vertical writes output row i, the weighted sum of rows. sums is memory for it.
func (t *taps) vertical(dst []byte, sums []int32, i int, row func(y int) []byte) {
	first, weights := t.first[i], t.fixed[i*t.size:][:t.count[i]]
	for j := range sums {
		sums[j] = 1 << (precision - 1)
	}
	k := 0
	for ; k+4 <= len(weights); k += 4 {
		add4(sums, row(first+k), row(first+k+1), row(first+k+2), row(first+k+3), [4]int32(weights[k:]))
	}
	for ; k < len(weights); k++ {
		src, w := row(first + k)[:len(sums)], weights[k]
		for j := range sums {
			sums[j] += int32(src[j]) * w
		}
	}
	dst = dst[:len(sums)]
	if n := len(sums) &^ 7; n > 0 && hasAVX2 {
		clip8AVX2(&dst[0], &sums[0], n)
		dst, sums = dst[n:], sums[n:]
	}
	for j, v := range sums {
		dst[j] = clip8(v)
	}
}

// add4 adds four weighted rows to sums. Four at a time halve the time of one at a time: fewer loads and stores of the sums.
func add4(sums []int32, a, b, c, d []byte, w [4]int32) {
	a, b, c, d = a[:len(sums)], b[:len(sums)], c[:len(sums)], d[:len(sums)]
	if n := len(sums) &^ 7; n > 0 && hasAVX2 {
		add4AVX2(&sums[0], &a[0], &b[0], &c[0], &d[0], &w, n)
		sums, a, b, c, d = sums[n:], a[n:], b[n:], c[n:], d[n:]
	}
	for j := range sums {
		sums[j] += int32(a[j])*w[0] + int32(b[j])*w[1] + int32(c[j])*w[2] + int32(d[j])*w[3]
	}
}

func clip8(v int32) byte {
	v >>= precision
	if uint32(v) > 255 {
		return byte(^(v >> 31)) // 255 above the range, 0 below it
	}
	return byte(v)
}

func horizontal3(dst, src []byte, t *taps) {
	done := 0
	if hasAVX2 {
		// All but the last few outputs, whose reading ahead would leave the row.
		const ahead = 5
		for done = len(t.first); done > 0 && 3*(t.first[done-1]+t.count[done-1])+ahead > len(src); done-- {
		}
		if done > 0 {
			_ = dst[3*done-1]
			horizontal3AVX2(&dst[0], &src[0], &t.first[0], &t.count[0], &t.fixed[0], t.size, done)
		}
	}
	for i := done; i < len(t.first); i++ {
		first := t.first[i]
		weights := t.fixed[i*t.size:][:t.count[i]]
		in := src[3*first:][:3*len(weights)]
		a, b, c := int32(1<<(precision-1)), int32(1<<(precision-1)), int32(1<<(precision-1))
		for ; len(weights) >= 2 && len(in) >= 6; weights, in = weights[2:], in[6:] { // two at a time: a third faster
			v, w := weights[0], weights[1]
			a += int32(in[0])*v + int32(in[3])*w
			b += int32(in[1])*v + int32(in[4])*w
			c += int32(in[2])*v + int32(in[5])*w
		}
		if len(weights) == 1 && len(in) >= 3 {
			w := weights[0]
			a += int32(in[0]) * w
			b += int32(in[1]) * w
			c += int32(in[2]) * w
		}
		o := dst[3*i : 3*i+3 : 3*i+3]
		o[0], o[1], o[2] = clip8(a), clip8(b), clip8(c)
	}
}

func horizontal1(dst, src []byte, t *taps) {
	for i, first := range t.first {
		weights := t.fixed[i*t.size:][:t.count[i]]
		in := src[first:][:len(weights)]
		a := int32(1 << (precision - 1))
		for k, w := range weights {
			a += int32(in[k]) * w
		}
		dst[i] = clip8(a)
	}
}

func horizontalN(dst, src []byte, t *taps, n int) {
	for i, first := range t.first {
		weights := t.fixed[i*t.size:][:t.count[i]]
		for c := range n {
			a := int32(1 << (precision - 1))
			for k, w := range weights {
				a += int32(src[(first+k)*n+c]) * w
			}
			dst[i*n+c] = clip8(a)
		}
	}
}

// resample16 resizes Grey16 samples, for which Pillow sums in floating point and rounds to 16 bits after each pass.
func resample16(p *picture.Picture, r rect, tx, ty *taps, verticalFirst bool) *picture.Picture {
	across := func(p *picture.Picture) *picture.Picture {
		if tx == nil {
			return crop(p, rect{r.x0, 0, r.x1, p.Height})
		}
		return tx.sum16(p, false)
	}
	down := func(p *picture.Picture) *picture.Picture {
		if ty == nil {
			return crop(p, rect{0, r.y0, p.Width, r.y1})
		}
		return ty.sum16(p, true)
	}
	if verticalFirst {
		return across(down(p))
	}
	return down(across(p))
}

// sum16 returns p resized along its columns if down, along its rows otherwise.
func (t *taps) sum16(p *picture.Picture, down bool) *picture.Picture {
	// Along a line, samples lie step apart; lines begin stride apart.
	n, lines, step, stride := len(t.first), p.Height, 1, p.Width
	width, height, outStep, outStride := n, lines, 1, n
	if down {
		lines, step, stride = p.Width, p.Width, 1
		width, height, outStep, outStride = lines, n, lines, 1
	}
	out := picture.New(picture.Grey16, width, height)
	for line := range lines {
		for i := range n {
			sum := 0.0
			for k, weight := range t.exact[i*t.size:][:t.count[i]] {
				at := 2 * (line*stride + (t.first[i]+k)*step)
				sum += float64(int(p.Pix[at])|int(p.Pix[at+1])<<8) * weight
			}
			v := min(max(int(math.Round(sum)), 0), 1<<16-1)
			at := 2 * (line*outStride + i*outStep)
			out.Pix[at], out.Pix[at+1] = byte(v), byte(v>>8)
		}
	}
	return out
}
