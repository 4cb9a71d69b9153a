package scenes

import "math"

// Geometry is in integers throughout: floating-point expressions may be fused
// on some processors and not on others, and a picture must not depend on that.
const (
	unit    = 256 // one pixel in canvas coordinates
	subrows = 4   // scan lines per pixel row; across, coverage is exact
)

// point is a position: on the canvas (unit per pixel) or in an object's own
// coordinates (fine per own unit; an object spans about -100..100 own units,
// y downwards).
type point struct{ x, y int }

const fine = 16

// own is a point from own units.
func own(x, y int) point { return point{x * fine, y * fine} }

// polygon reads pairs x, y of own units.
func polygon(xy ...int) []point {
	points := make([]point, len(xy)/2)
	for i := range points {
		points[i] = own(xy[2*i], xy[2*i+1])
	}
	return points
}

// sines holds sin(2 pi i/1024) * 65536. math.Sin differs by an ulp or so between
// platforms; no entry is that close to a rounding boundary.
var sines = func() (table [1024]int) {
	for i := range table {
		table[i] = int(math.Round(65536 * math.Sin(2*math.Pi*float64(i)/1024)))
	}
	return
}()

// sin and cos take 1024ths of a turn and return 65536ths.
func sin(a int) int { return sines[a&1023] }
func cos(a int) int { return sines[(a+256)&1023] }

// frame places an object's own coordinates on the canvas: mirror, stretch,
// turn, scale, move.
type frame struct {
	at             point // canvas position of the object's origin
	xx, xy, yx, yy int   // matrix, 65536ths of canvas units per own unit
	ux, uy, vx, vy int64 // the inverse, 2^-24ths of fine units per canvas unit
}

// newFrame maps own coordinates to the canvas. scale is canvas units per 100
// own units; angle is in 1024ths of a turn, clockwise; stretch is the width in
// percent.
func newFrame(at point, scale, stretch, angle int, mirror bool) frame {
	sx := scale * stretch / 100
	if mirror {
		sx = -sx
	}
	f := frame{at: at, xx: cos(angle) * sx / 100, xy: -sin(angle) * scale / 100,
		yx: sin(angle) * sx / 100, yy: cos(angle) * scale / 100}
	det := max(int64(f.xx)*int64(f.yy)-int64(f.xy)*int64(f.yx), 1)
	if mirror {
		det = min(int64(f.xx)*int64(f.yy)-int64(f.xy)*int64(f.yx), -1)
	}
	invert := func(v int) int64 { return int64(v) << 32 / (det >> 12) }
	f.ux, f.uy, f.vx, f.vy = invert(f.yy), invert(-f.xy), invert(-f.yx), invert(f.xx)
	return f
}

// toCanvas maps one point.
func (f *frame) toCanvas(p point) point {
	return point{f.at.x + (f.xx*p.x+f.xy*p.y)>>20, f.at.y + (f.yx*p.x+f.yy*p.y)>>20}
}

// toOwn is the inverse of toCanvas.
func (f *frame) toOwn(p point) point {
	dx, dy := int64(p.x-f.at.x), int64(p.y-f.at.y)
	return point{int((f.ux*dx + f.uy*dy) >> 24), int((f.vx*dx + f.vy*dy) >> 24)}
}

// raster fills polygons with antialiasing. It is scratch memory, reused.
type raster struct {
	crossings [Size * subrows][]int32
	cover     [Size + 2]int32 // running sum gives the coverage of a row
}

// fill calls row for each pixel row that the outline touches, with the first
// pixel and the coverage, 0..255, of the pixels from there on. The rule is
// even-odd.
func (r *raster) fill(outline []point, row func(y, x0 int, cover []uint8)) {
	if len(outline) < 3 {
		return
	}
	const step = unit / subrows
	lo, hi := Size*subrows, -1
	previous := outline[len(outline)-1]
	for _, p := range outline {
		a, b := previous, p
		previous = p
		if a.y == b.y {
			continue
		}
		if a.y > b.y {
			a, b = b, a
		}
		// Sample lines lie at y = (i + 1/2) * step; the edge covers a.y <= y < b.y.
		first := max(0, ceilDiv(a.y-step/2, step))
		last := min(Size*subrows-1, ceilDiv(b.y-step/2, step)-1)
		if first > last {
			continue
		}
		slope := (int64(b.x-a.x) << 16) / int64(b.y-a.y)
		x := int64(a.x)<<16 + slope*int64(first*step+step/2-a.y)
		for i := first; i <= last; i++ {
			r.crossings[i] = append(r.crossings[i], int32(x>>16))
			x += slope * step
		}
		lo, hi = min(lo, first), max(hi, last)
	}
	if hi < 0 {
		return
	}
	var cover [Size]uint8
	for y := lo / subrows; y <= hi/subrows; y++ {
		left, right := Size, -1
		for i := y * subrows; i < (y+1)*subrows; i++ {
			xs := r.crossings[i]
			sortSmall(xs)
			for k := 0; k+1 < len(xs); k += 2 {
				a, b := max(xs[k], 0), min(xs[k+1], Size*unit)
				if a >= b {
					continue
				}
				// A step up at a and down at b, each split over two pixels.
				pa, pb := a/unit, b/unit
				r.cover[pa] += (pa+1)*unit - a
				r.cover[pa+1] += a - pa*unit
				r.cover[pb] -= (pb+1)*unit - b
				r.cover[pb+1] -= b - pb*unit
				left, right = min(left, int(pa)), max(right, min(int(pb), Size-1))
			}
			r.crossings[i] = xs[:0]
		}
		if right < 0 {
			continue
		}
		sum := int32(0)
		for x := left; x <= right; x++ {
			sum += r.cover[x]
			cover[x] = uint8(sum * 255 / (unit * subrows))
		}
		clear(r.cover[:])
		row(y, left, cover[left:right+1])
	}
}

func ceilDiv(a, b int) int {
	q := a / b
	if a%b > 0 {
		q++
	}
	return q
}

func sortSmall(xs []int32) {
	for i := 1; i < len(xs); i++ {
		for k := i; k > 0 && xs[k-1] > xs[k]; k-- {
			xs[k-1], xs[k] = xs[k], xs[k-1]
		}
	}
}

// ellipse is a polygon around (cx, cy), turned by angle (1024ths of a turn);
// the rest is in own units.
func ellipse(cx, cy, rx, ry, angle int) []point {
	n := 20
	if max(rx, ry) <= 12 {
		n = 10
	}
	points := make([]point, n)
	c, s := cos(angle), sin(angle)
	for i := range points {
		x, y := rx*cos(i*1024/n)>>8, ry*sin(i*1024/n)>>8 // 256ths
		points[i] = point{cx*fine + (x*c-y*s)>>20, cy*fine + (x*s+y*c)>>20}
	}
	return points
}

// blob is a smooth closed curve (Catmull-Rom) through pairs x, y of own units.
func blob(xy ...int) []point {
	through := polygon(xy...)
	n := len(through)
	points := make([]point, 0, 4*n)
	for i := range through {
		points = spline(points, through[(i+n-1)%n], through[i], through[(i+1)%n], through[(i+2)%n])
	}
	return points
}

// ribbon is a band along a smooth open curve through pairs x, y of own units;
// its full width goes from w0 to w1.
func ribbon(w0, w1 int, xy ...int) []point {
	through := polygon(xy...)
	n := len(through)
	middle := make([]point, 0, 4*n)
	for i := 0; i+1 < n; i++ {
		middle = spline(middle, through[max(i-1, 0)], through[i], through[i+1], through[min(i+2, n-1)])
	}
	middle = append(middle, through[n-1])
	m := len(middle)
	band := make([]point, 2*m)
	for i, p := range middle {
		a, b := middle[max(i-1, 0)], middle[min(i+1, m-1)]
		dx, dy := b.x-a.x, b.y-a.y
		length := max(isqrt(dx*dx+dy*dy), 1)
		width := (w0 + (w1-w0)*i/(m-1)) * fine
		ox, oy := -dy*width/(2*length), dx*width/(2*length)
		band[i] = point{p.x + ox, p.y + oy}
		band[2*m-1-i] = point{p.x - ox, p.y - oy}
	}
	return band
}

// spline appends b and three points on the way to c.
func spline(to []point, a, b, c, d point) []point {
	const steps = 4
	at := func(a, b, c, d, t int) int {
		// (2b + (c-a)t + (2a-5b+4c-d)t^2 + (3b-a-3c+d)t^3) / 2 with t in quarters.
		return (2*b*64 + (c-a)*t*16 + (2*a-5*b+4*c-d)*t*t*4 + (3*b-a-3*c+d)*t*t*t) >> 7
	}
	for t := range steps {
		to = append(to, point{at(a.x, b.x, c.x, d.x, t), at(a.y, b.y, c.y, d.y, t)})
	}
	return to
}

// isqrt is the integer square root, rounded down.
func isqrt(n int) int {
	x := int(math.Sqrt(float64(n))) // exact to rounding everywhere; the loops settle the rest
	for x*x > n {
		x--
	}
	for (x+1)*(x+1) <= n {
		x++
	}
	return x
}
