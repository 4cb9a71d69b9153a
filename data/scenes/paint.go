package scenes

// colour is red, green, blue, 0..255, possibly out of range until it is laid
// down.
type colour struct{ r, g, b int }

func (c colour) plus(d int) colour { return colour{c.r + d, c.g + d, c.b + d} }

// towards is the colour part/256 of the way to d.
func (c colour) towards(d colour, part int) colour {
	return colour{c.r + (d.r-c.r)*part>>8, c.g + (d.g-c.g)*part>>8, c.b + (d.b-c.b)*part>>8}
}

// vary moves each channel by up to n.
func (c colour) vary(r *source, n int) colour {
	return colour{c.r + r.jitter(n), c.g + r.jitter(n), c.b + r.jitter(n)}
}

// palette has the object colours, in the order of Colours.
var palette = [...]colour{
	{40, 80, 215}, {35, 150, 50}, {210, 35, 35}, {240, 205, 30}, {32, 30, 34}, {238, 238, 238},
}

// canvas is the picture being drawn.
type canvas struct {
	*raster
	pix  [Size * Size * 3]uint8
	mask [Size * Size]uint8 // coverage by the object
}

func clamp(v int) uint8 { return uint8(min(max(v, 0), 255)) }

// set overwrites one pixel.
func (c *canvas) set(x, y int, k colour) {
	i := 3 * (y*Size + x)
	c.pix[i], c.pix[i+1], c.pix[i+2] = clamp(k.r), clamp(k.g), clamp(k.b)
}

// mixIn lays k over one pixel with coverage a, 0..255.
func (c *canvas) mixIn(x, y int, k colour, a int) {
	i := 3 * (y*Size + x)
	c.pix[i] = lay(c.pix[i], k.r, a)
	c.pix[i+1] = lay(c.pix[i+1], k.g, a)
	c.pix[i+2] = lay(c.pix[i+2], k.b, a)
}

func lay(under uint8, over, a int) uint8 {
	return clamp(((int(under)*(255-a)+over*a)*257 + 1<<15) >> 16)
}

// flat fills an outline, in canvas coordinates, with one colour.
func (c *canvas) flat(outline []point, k colour) {
	c.fill(outline, func(y, x0 int, cover []uint8) {
		for i, a := range cover {
			if a > 0 {
				c.mixIn(x0+i, y, k, int(a))
			}
		}
	})
}

// textured fills an outline with a colour that value noise makes lighter and
// darker by up to depth; the noise has cells of 1<<shift pixels.
func (c *canvas) textured(outline []point, k colour, key uint32, depth int, shift uint) {
	c.fill(outline, func(y, x0 int, cover []uint8) {
		grain := newNoiseRow(key, y, shift)
		for i, a := range cover {
			if a > 0 {
				c.mixIn(x0+i, y, k.plus((grain.at(x0+i)-128)*depth>>7), int(a))
			}
		}
	})
}

// coat is what an object's surface looks like.
type coat struct {
	pattern     string
	main, other colour
	period      int   // of the pattern, in fine units
	dx, dy      int   // across the stripes, 65536ths
	shift       point // of the pattern
	key         uint32
}

func newCoat(spec Spec, r *source) coat {
	k := coat{pattern: spec.Pattern, key: uint32(r.pcg.Uint64())}
	light, dark := colour{245, 240, 230}.vary(r, 10), colour{25, 22, 25}.vary(r, 12)
	for i, name := range Colours {
		if name == spec.Colour {
			k.main = palette[i].vary(r, 18)
		}
	}
	// The second colour of a pattern is light or dark, whichever can be seen.
	switch spec.Colour {
	case "white", "yellow":
		k.other = dark
	case "black":
		k.other = light
	default:
		k.other = light
		if r.chance(40) {
			k.other = dark
		}
	}
	angle := [...]int{0, 0, 128, 256, 384}[r.intn(5)] + r.jitter(20)
	k.dx, k.dy = cos(angle), sin(angle)
	k.period = r.between(26, 34) * fine
	k.shift = point{r.intn(100 * fine), r.intn(100 * fine)}
	return k
}

// at is the colour at a point in the object's own coordinates.
func (k *coat) at(p point) colour {
	x := (p.x*k.dx+p.y*k.dy)>>16 + k.shift.x + 1<<14
	y := (p.y*k.dx-p.x*k.dy)>>16 + k.shift.y + 1<<14
	second := false
	switch k.pattern {
	case "striped":
		second = x%k.period*5 < k.period*2
	case "checkered":
		second = (x*2/k.period+y*2/k.period)&1 == 1
	case "polka dot":
		// Equal discs on a staggered grid.
		row := y * 8 / (k.period * 7)
		cx := x
		if row&1 == 1 {
			cx += k.period / 2
		}
		dx, dy := cx%k.period-k.period/2, y%(k.period*7/8)-k.period*7/16
		second = 16*(dx*dx+dy*dy) < k.period*k.period
	case "spotted":
		// A patch in most cells, each with its own place, size and stretch.
		gx, gy := x/k.period, y/k.period
		h := lattice(k.key, gx, gy)
		g := lattice(k.key+1, gx, gy)
		dx := x%k.period - k.period*(6+h&3)/15
		dy := y%k.period - k.period*(6+h>>2&3)/15
		radius := k.period * (4 + g>>4&3) / 16
		second = g&7 != 0 && dx*dx*(2+h>>4&3)/3+dy*dy*(2+h>>6&3)/3 < radius*radius
	}
	if second {
		return k.other
	}
	return k.main
}
