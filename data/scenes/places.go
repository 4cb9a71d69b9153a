package scenes

// places draws a place of each kind over the whole picture.
var places = map[string]func(c *canvas, r *source){
	"ocean": (*canvas).ocean, "lake": (*canvas).lake, "sky": (*canvas).sky, "beach": (*canvas).beach,
	"forest": (*canvas).forest, "bamboo": (*canvas).bamboo, "meadow": (*canvas).meadow,
	"desert": (*canvas).desert, "snow": (*canvas).snow, "city": (*canvas).city,
}

// px is a point in pixels.
func px(x, y int) point { return point{x * unit, y * unit} }

// box is a rectangle in pixels.
func box(x0, y0, x1, y1 int) []point {
	return []point{px(x0, y0), px(x1, y0), px(x1, y1), px(x0, y1)}
}

// disc is an ellipse in quarter pixels.
func disc(x, y, rx, ry int) []point {
	const n = 12
	points := make([]point, n)
	for i := range points {
		points[i] = point{x*unit/4 + rx*cos(i*1024/n)>>10, y*unit/4 + ry*sin(i*1024/n)>>10}
	}
	return points
}

// wash fills the rows y0..y1-1 with a gradient and a grain of noise: depth is
// how strong, flat how much wider than high its features are.
func (c *canvas) wash(r *source, y0, y1 int, top, bottom colour, depth int, flat int) {
	key := uint32(r.pcg.Uint64())
	for y := y0; y < y1; y++ {
		row := top.towards(bottom, 256*(y-y0)/max(y1-y0, 1))
		coarse, dense := newNoiseRow(key, y*4, 4), newNoiseRow(key+1, y*8, 4)
		for x := range Size {
			n := (coarse.at(x*4/flat)*2+dense.at(x*8/flat))/3 - 128
			c.set(x, y, row.plus(n*depth>>7))
		}
	}
}

// air is the sky above a horizon: its weather varies.
func (c *canvas) air(r *source, to int) {
	top, bottom := colour{90, 150, 225}, colour{190, 220, 240}
	switch r.intn(5) {
	case 0: // evening
		top, bottom = colour{110, 90, 140}, colour{245, 175, 110}
	case 1: // overcast
		top, bottom = colour{140, 145, 155}, colour{200, 203, 208}
	case 2:
		top, bottom = colour{60, 110, 200}, colour{140, 185, 235}
	}
	c.wash(r, 0, to, top.vary(r, 15), bottom.vary(r, 15), 6, 3)
}

// hills draws a ridge from row y down.
func (c *canvas) hills(r *source, y, height int, k colour, depth int) {
	key := uint32(r.pcg.Uint64())
	ridge := []point{px(0, Size), px(0, y)}
	crest := newNoiseRow(key, 0, 4)
	for x := 0; x <= Size; x += 4 {
		ridge = append(ridge, point{x * unit, y*unit - crest.at(x)*height*unit/256})
	}
	ridge = append(ridge, px(Size, Size))
	c.textured(ridge, k, key, depth, 1)
}

func (c *canvas) cloud(r *source, x, y, size int, k colour) {
	for range 5 {
		c.flat(disc(4*x+r.jitter(5*size), 4*y+r.jitter(size), r.between(2*size, 4*size), r.between(size, 2*size)), k.plus(r.jitter(8)))
	}
}

// crown is the leaves of a tree or bush, in pixels.
func (c *canvas) crown(r *source, x, y, size int, k colour) {
	key := uint32(r.pcg.Uint64())
	for range 4 {
		c.textured(disc(4*x+r.jitter(2*size), 4*y+r.jitter(2*size), r.between(2*size, 4*size), r.between(2*size, 3*size)), k.vary(r, 8), key, 30, 1)
	}
}

func (c *canvas) ocean(r *source) {
	horizon := r.between(8, 26)
	c.air(r, horizon)
	if r.chance(50) {
		c.cloud(r, r.intn(Size), r.between(3, 10), r.between(2, 4), colour{235, 238, 242})
	}
	water := colour{20, 75, 130}.vary(r, 18)
	c.wash(r, horizon, Size, water.plus(25), water.plus(-20), 26, 6)
	for y := horizon + 2; y < Size; y += r.between(2, 4) {
		// Crests grow towards the viewer.
		near := 2 + (y-horizon)/6
		for range r.between(1, 3) {
			x, w := r.intn(Size), r.between(2*near, 5*near)
			crest := []point{px(x-w, y), {x * unit, y*unit - near*unit/3}, px(x+w, y), {x * unit, y*unit + near*unit/8}}
			c.flat(crest, water.plus(r.between(35, 120)))
		}
	}
}

func (c *canvas) lake(r *source) {
	shore := r.between(14, 30)
	c.air(r, shore)
	wood := colour{50, 95, 55}.vary(r, 18)
	c.hills(r, shore-3, r.between(4, 10), wood.plus(20), 14)
	for x := -2; x < Size+4; x += r.between(3, 7) {
		c.crown(r, x, shore-2, r.between(1, 3), wood)
	}
	water := colour{95, 150, 165}.vary(r, 15)
	c.wash(r, shore, Size, water.towards(wood, 110), water.plus(12), 9, 10)
	for range 9 { // calm water mirrors in level streaks
		x, y, w := r.intn(Size), r.between(shore+2, Size), r.between(5, 16)
		c.flat(disc(4*x, 4*y, 4*w, 1), water.plus(r.between(20, 55)))
	}
	reed := colour{90, 120, 50}.vary(r, 15)
	x0 := r.intn(Size)
	for range r.between(4, 9) {
		x, h := x0+r.jitter(9), r.between(8, 20)
		lean := r.jitter(4)
		c.flat([]point{px(x, Size), px(x+lean, Size-h), {(x + 1) * unit, Size * unit}}, reed.plus(r.jitter(20)))
	}
}

func (c *canvas) sky(r *source) {
	c.air(r, Size)
	for range r.between(2, 6) {
		c.cloud(r, r.intn(Size), r.intn(Size), r.between(2, 6), colour{236, 240, 245}.vary(r, 8))
	}
}

func (c *canvas) beach(r *source) {
	horizon := r.between(8, 18)
	strand := horizon + r.between(6, 14)
	c.air(r, horizon)
	sea := colour{50, 140, 175}.vary(r, 18)
	c.wash(r, horizon, strand+3, sea.plus(-15), sea.plus(35), 14, 5)
	sand := colour{228, 204, 155}.vary(r, 12)
	c.hills(r, strand+2, 5, colour{240, 245, 245}, 4)
	c.hills(r, strand+4, 5, sand, 16)
	key := uint32(r.pcg.Uint64())
	for y := strand + 5; y < Size; y++ {
		for x := range Size {
			if g := lattice(key, x, y); g < 26 {
				c.mixIn(x, y, sand.plus(-55), 150)
			} else if g > 238 {
				c.mixIn(x, y, sand.plus(30), 150)
			}
		}
	}
	for range r.between(2, 6) { // shells
		c.flat(disc(r.intn(4*Size), r.between(4*strand+28, 4*Size), r.between(4, 8), r.between(3, 6)), colour{235, 200, 190}.vary(r, 30))
	}
}

func (c *canvas) forest(r *source) {
	leaf := colour{38, 78, 36}.vary(r, 14)
	c.wash(r, 0, Size, leaf.plus(35), leaf.plus(-12), 34, 1)
	for x := r.intn(6); x < Size; x += r.between(7, 15) {
		w := r.between(2, 5)
		trunk := bark.vary(r, 14)
		lean := r.jitter(3)
		c.textured([]point{px(x, 0), px(x+w, 0), px(x+w+1+lean, Size), px(x-1+lean, Size)}, trunk, uint32(x), 26, 1)
	}
	for range 7 {
		c.crown(r, r.intn(Size), r.between(-2, 16), r.between(2, 4), leaf.plus(r.between(-5, 30)))
	}
	c.hills(r, r.between(54, 60), 6, colour{70, 62, 34}.vary(r, 10), 24)
}

func (c *canvas) bamboo(r *source) {
	stalk := colour{135, 165, 70}.vary(r, 15)
	c.wash(r, 0, Size, stalk.plus(50), stalk.plus(-60), 16, 1)
	for x := r.intn(4) - 2; x < Size; x += r.between(4, 9) {
		w, lean := r.between(2, 4), r.jitter(3)
		k := stalk.plus(r.between(-55, 30))
		c.flat([]point{px(x, 0), px(x+w, 0), px(x+w+lean, Size), px(x+lean, Size)}, k)
		c.flat([]point{px(x, 0), {x*unit + unit, 0}, {(x+lean)*unit + unit, Size * unit}, px(x+lean, Size)}, k.plus(35))
		for y := r.intn(14); y < Size; y += r.between(10, 15) {
			at := x + lean*y/Size
			c.flat(box(at, y, at+w, y+1), k.plus(-60)) // joints
		}
	}
	for range r.between(8, 14) { // leaves
		x, y, dx, dy := r.intn(Size), r.intn(Size), r.jitter(8), r.between(1, 6)
		c.flat([]point{px(x, y), {(x + dx/2) * unit, (y + dy/2 - 1) * unit}, px(x+dx, y+dy), {(x + dx/2) * unit, (y + dy/2 + 1) * unit}}, colour{70, 130, 45}.vary(r, 25))
	}
}

func (c *canvas) meadow(r *source) {
	horizon := r.between(6, 22)
	c.air(r, horizon+4)
	grass := colour{105, 165, 60}.vary(r, 18)
	c.hills(r, horizon, 6, grass.plus(-25), 12)
	c.hills(r, horizon+3, 3, grass, 26)
	for range 60 { // blades
		x, y := r.intn(Size), r.between(horizon+4, Size)
		h := 1 + (y-horizon)/9
		c.flat([]point{px(x, y), {x*unit + r.jitter(unit), (y - h) * unit}, {x*unit + unit*3/4, y * unit}}, grass.plus(r.between(-50, 40)))
	}
	petal := [...]colour{{245, 240, 235}, {235, 205, 60}, {215, 80, 110}, {150, 110, 200}}[r.intn(4)]
	for range r.between(6, 16) {
		size := r.between(2, 5)
		c.flat(disc(r.intn(4*Size), r.between(4*horizon+28, 4*Size), size, size), petal.vary(r, 12))
	}
}

func (c *canvas) desert(r *source) {
	horizon := r.between(12, 28)
	c.air(r, horizon+2)
	sand := colour{215, 150, 85}.vary(r, 16)
	c.hills(r, horizon, r.between(4, 12), sand.plus(-28), 6)
	c.hills(r, horizon+r.between(8, 16), 9, sand, 8)
	c.hills(r, r.between(46, 54), 8, sand.plus(18), 8)
	for range 14 { // ripples of the dunes
		x, y := r.intn(Size), r.between(horizon+6, Size)
		c.flat(disc(4*x, 4*y, r.between(16, 50), 2), sand.plus(-24))
	}
	for range r.intn(3) { // cacti
		x, y, h := r.intn(Size), r.between(horizon+4, horizon+16), r.between(6, 13)
		k := colour{70, 110, 60}.vary(r, 12)
		c.flat(box(x, y-h, x+2, y), k)
		c.flat(box(x-3, y-h/2, x, y-h/2+1), k)
		c.flat(box(x-3, y-h/2-3, x-2, y-h/2), k)
		c.flat(box(x+2, y-h/3-1, x+5, y-h/3), k)
		c.flat(box(x+4, y-h/3-4, x+5, y-h/3), k)
	}
}

func (c *canvas) snow(r *source) {
	horizon := r.between(14, 30)
	c.wash(r, 0, horizon+2, colour{165, 180, 200}.vary(r, 15), colour{215, 222, 230}, 6, 3)
	c.hills(r, horizon-2, r.between(4, 12), colour{190, 202, 218}.vary(r, 8), 10)
	for range r.between(3, 7) { // firs
		x, y, h := r.intn(Size), horizon+r.intn(7), r.between(8, 18)
		k := colour{55, 85, 75}.vary(r, 12)
		for tier := range 3 {
			top, w := y-h+tier*h/3, 2+tier*h/8
			c.flat([]point{px(x, top), px(x+w, top+h/3+2), px(x-w, top+h/3+2)}, k)
			c.flat([]point{px(x, top), {(x + w/2) * unit, (top + h/5) * unit}, {(x - w/2) * unit, (top + h/5) * unit}}, colour{235, 240, 246})
		}
	}
	c.hills(r, horizon+5, 5, colour{232, 237, 245}.vary(r, 6), 8)
	c.hills(r, r.between(44, 54), 7, colour{222, 229, 241}.vary(r, 6), 8)
	for range r.between(0, 40) { // flakes
		c.flat(disc(r.intn(4*Size), r.intn(4*Size), 3, 3), colour{250, 251, 253})
	}
}

func (c *canvas) city(r *source) {
	c.air(r, Size)
	street := r.between(46, 56)
	for layer := range 2 {
		for x := -r.intn(6); x < Size; {
			w, top := r.between(8, 16), r.between(2, 26)+8*layer
			k := colour{125, 122, 128}.vary(r, 32).plus(25 - 40*layer)
			c.flat(box(x, top, x+w, street), k)
			c.flat(box(x+w-1, top, x+w, street), k.plus(-30))
			pane := k.plus(-45)
			if r.chance(40) {
				pane = colour{235, 215, 140}
			}
			for y := top + 2; y < street-3; y += 4 {
				for i := x + 1; i < x+w-3; i += 3 {
					if r.chance(80) {
						c.flat(box(i, y, i+2, y+2), pane)
					}
				}
			}
			x += w + r.intn(4)
		}
	}
	road := colour{82, 82, 88}.vary(r, 8)
	c.wash(r, street, Size, road.plus(35), road.plus(-8), 8, 2)
	c.flat(box(0, street, Size, street+2), colour{165, 163, 160})
	for x := r.intn(12); x < Size; x += 12 {
		c.flat(box(x, street+7, x+6, street+8), chalk)
	}
}

// litter scatters things of the objects' colours over the place, so that
// neither a colour nor an edge is a sign of the object.
func (c *canvas) litter(r *source) {
	for range r.between(2, 5) {
		x, y := r.intn(4*Size), r.intn(4*Size)
		size := r.between(6, 18)
		if r.chance(15) {
			size = r.between(18, 34)
		}
		k := palette[r.intn(len(palette))].vary(r, 30)
		if r.chance(40) {
			k = colour{120, 112, 100}.vary(r, 40)
		}
		var outline []point
		switch r.intn(4) {
		case 0: // stone or ball
			outline = disc(x, y, size, size*r.between(5, 10)/10)
		case 1: // crate
			a := r.intn(1024)
			for i := range 4 {
				outline = append(outline, point{x*unit/4 + size*cos(a+i*256)>>10, y*unit/4 + size*sin(a+i*256)>>10})
			}
		case 2: // leaf
			a, thin := r.intn(1024), r.between(2, 4)
			for i := range 12 {
				u, v := cos(i*1024/12)*size>>10, sin(i*1024/12)*size/thin>>10
				outline = append(outline, point{x*unit/4 + (u*cos(a)-v*sin(a))>>16, y*unit/4 + (u*sin(a)+v*cos(a))>>16})
			}
		default: // stick
			a := r.intn(1024)
			u, v := point{cos(a) * size >> 9, sin(a) * size >> 9}, point{sin(a) >> 8, -cos(a) >> 8}
			at := point{x * unit / 4, y * unit / 4}
			outline = []point{{at.x + u.x + v.x, at.y + u.y + v.y}, {at.x + u.x - v.x, at.y + u.y - v.y},
				{at.x - u.x - v.x, at.y - u.y - v.y}, {at.x - u.x + v.x, at.y - u.y + v.y}}
		}
		c.textured(outline, k, uint32(x), 24, 1)
		if r.chance(30) { // some are in two colours
			c.flat(disc(x, y, size/2, size/3), palette[r.intn(len(palette))].vary(r, 20))
		}
	}
}
