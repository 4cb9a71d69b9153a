package scenes

// sketch draws an object, part by part, in its own coordinates.
type sketch struct {
	*canvas
	frame frame
	coat  coat
}

var (
	ink    = colour{22, 20, 24}
	chalk  = colour{240, 238, 232}
	amber  = colour{238, 150, 30}
	glass  = colour{165, 205, 225}
	rubber = colour{38, 36, 40}
	steel  = colour{150, 152, 158}
	bark   = colour{96, 66, 40}
	pink   = colour{225, 140, 145}
)

// place maps an outline to the canvas and adds it to the mask.
func (s *sketch) place(outline []point, at func(x, y int) colour) {
	mapped := make([]point, len(outline))
	for i, p := range outline {
		mapped[i] = s.frame.toCanvas(p)
	}
	s.fill(mapped, func(y, x0 int, cover []uint8) {
		for i, a := range cover {
			if a == 0 {
				continue
			}
			x := x0 + i
			s.mixIn(x, y, at(x, y), int(a))
			m := &s.mask[y*Size+x]
			*m = lay(*m, 255, int(a))
		}
	})
}

// skin fills an outline with the coat, made lighter or darker by shade. The
// upper side of an object is lit.
func (s *sketch) skin(shade int, outline []point) {
	s.place(outline, func(x, y int) colour {
		// Four samples of the pattern per pixel.
		var sum colour
		var p point
		for i := range 4 {
			p = s.frame.toOwn(point{x*unit + unit/4 + i&1*unit/2, y*unit + unit/4 + i>>1*unit/2})
			k := s.coat.at(p)
			sum.r, sum.g, sum.b = sum.r+k.r, sum.g+k.g, sum.b+k.b
		}
		lit := shade - p.y*28/(100*fine)
		return colour{sum.r>>2 + lit, sum.g>>2 + lit, sum.b>>2 + lit}
	})
}

// solid fills an outline with one colour.
func (s *sketch) solid(k colour, outline []point) {
	s.place(outline, func(int, int) colour { return k })
}

// eye draws an eye that shows on any coat.
func (s *sketch) eye(x, y, radius int) {
	s.solid(chalk, ellipse(x, y, radius+3, radius+3, 0))
	s.solid(ink, ellipse(x+1, y, radius, radius, 0))
}

// shapes draws one individual of each class, in the order of Classes, facing
// right.
var shapes = [...]func(s *sketch, r *source, spec Spec){
	finch, hummingbird, swan, pelican, cat, camel, elephant, giraffe, car, truck, banana, sign,
}

func finch(s *sketch, r *source, _ Spec) {
	tail, fat, bill := r.jitter(12), r.jitter(6), r.jitter(8)
	leg := bark.towards(amber, r.intn(200))
	s.skin(-40, polygon(-38, 14, -92+tail, 44+tail, -84+tail, 60+tail, -26, 40))
	s.solid(leg, ribbon(6, 5, -4, 42, 0, 76))
	s.solid(leg, ribbon(6, 5, 16, 42, 20, 76))
	s.solid(leg, ribbon(5, 4, -4, 76, 16, 77))
	s.solid(leg, ribbon(5, 4, 16, 76, 36, 77))
	s.skin(0, blob(-50, 24, -22, -12-fat, 18, -34, 52, -12, 48+fat, 22, 18, 48+fat, -24, 44))
	s.skin(8, ellipse(40, -40, 30, 28, 0))
	s.solid(amber.vary(r, 20), polygon(64, -54, 64, -26, 96+bill, -36))
	s.skin(-48, blob(-66, 36, -34, -2, 6, -10, 24, 10, 2, 28, -30, 36))
	s.eye(48, -46, 6)
}

func hummingbird(s *sketch, r *source, _ Spec) {
	flap, bill, fan := r.jitter(14), r.jitter(10), r.jitter(6)
	s.skin(-40, polygon(-28, 36, -76-fan, 84, -58, 92, -48, 82, -40, 98, -12, 50))
	s.skin(-62, blob(0, -4, 0+flap, -50, -14+flap, -98, -32+flap, -100, -36, -60, -24, -8))
	s.skin(0, blob(-40, 56, -32, 14, 0, -18, 28, -28, 36, -4, 16, 30, -16, 54))
	s.skin(8, ellipse(38, -34, 22, 20, 0))
	s.solid(ink.plus(r.between(0, 40)), ribbon(8, 4, 54, -38, 80, -42, 108+bill, -52-bill/2))
	s.skin(-25, blob(8, 2, -26, -26+flap/2, -86, -56+flap, -106, -46+flap, -90, -20+flap, -46, 6+flap/2, -10, 20))
	s.eye(44, -38, 5)
}

func swan(s *sketch, r *source, _ Spec) {
	head, bow, up := r.jitter(8), r.jitter(7), r.jitter(8)
	s.skin(0, blob(-96, -8+up, -66, -14, -30, -16, 10, -18, 48, 0, 58, 28, 34, 54, -30, 58, -72, 38))
	s.skin(-6, ribbon(28, 16, 38, 34, 62+bow, 4, 54, -28, 42-bow, -58, 52, -84+head, 74, -82+head))
	s.skin(6, ellipse(74, -82+head, 18, 14, 60))
	s.solid(amber.vary(r, 20), polygon(84, -92+head, 82, -74+head, 114, -68+head))
	s.solid(ink, ellipse(86, -84+head, 6, 6, 0))
	s.skin(-34, blob(-90, -12+up, -46, -38+up/2, 2, -24, 30, 10, 0, 30, -52, 22))
	s.eye(73, -87+head, 3)
}

func pelican(s *sketch, r *source, _ Spec) {
	pouch, head, tail := r.jitter(8), r.jitter(6), r.jitter(8)
	leg := amber.towards(steel, r.intn(256))
	bill := amber.vary(r, 24)
	s.solid(leg, ribbon(8, 7, -16, 50, -14, 86))
	s.solid(leg, ribbon(8, 7, 10, 50, 12, 86))
	s.solid(leg, polygon(-20, 84, 6, 90, -20, 92))
	s.solid(leg, polygon(8, 84, 34, 90, 8, 92))
	s.skin(-40, polygon(-52, 14, -94, 36+tail, -84, 54+tail, -40, 42))
	s.skin(0, blob(-64, 16, -30, -14, 10, -18, 40, 8, 36, 40, 0, 58, -40, 50))
	s.skin(-6, ribbon(34, 22, 22, 24, 34, -14, 22, -44, 26, -68+head))
	s.solid(bill.plus(-25), blob(36, -66+head, 104, -34+head, 92, -8+head+pouch, 66, -4+head+pouch, 44, -30+head))
	s.solid(bill, polygon(40, -80+head, 112, -38+head, 108, -28+head, 38, -62+head))
	s.skin(6, ellipse(30, -70+head, 22, 18, 0))
	s.skin(-42, blob(-84, 36, -46, -4, 0, -10, 20, 14, -8, 38, -50, 46))
	s.eye(34, -74+head, 4)
}

func cat(s *sketch, r *source, _ Spec) {
	tail, ear, fat := r.jitter(14), r.jitter(6), r.jitter(6)
	iris := colour{200, 200, 60}.vary(r, 50)
	s.skin(-30, ribbon(18, 12, 24, 74, 66, 72, 84, 40+tail, 70+tail, 4+tail))
	s.skin(0, blob(-40-fat, 78, -44-fat, 36, -24, -10, 24, -10, 44+fat, 36, 40+fat, 78, 0, 84))
	s.skin(-34, ellipse(36+fat, 62, 18, 22, 0))
	s.skin(-34, ellipse(-36-fat, 62, 18, 22, 0))
	s.skin(-10, ellipse(-14, 78, 14, 10, 0))
	s.skin(-10, ellipse(14, 78, 14, 10, 0))
	for _, side := range [...]int{-1, 1} {
		s.skin(-12, polygon(side*44, -36, side*(44+ear), -96+ear, side*4, -66))
		s.solid(pink, polygon(side*36, -56, side*(38+ear), -80+ear, side*18, -66))
	}
	s.skin(6, ellipse(0, -40, 46, 36, 0))
	for _, side := range [...]int{-1, 1} {
		s.solid(iris, ellipse(side*18, -46, 10, 9, 0))
		s.solid(ink, ellipse(side*18, -46, 4, 9, 0))
		s.solid(steel, ribbon(3, 3, side*12, -26, side*60, -32))
		s.solid(steel, ribbon(3, 3, side*12, -22, side*58, -16))
	}
	s.solid(pink, polygon(-7, -32, 7, -32, 0, -23))
}

func camel(s *sketch, r *source, _ Spec) {
	head, hump, stride := r.jitter(8), r.jitter(7), r.jitter(10)
	s.skin(-30, ribbon(6, 8, -66, 0, -84, 34))
	s.skin(-58, ribbon(17, 10, -36, 20, -34, 54, -36-stride, 94))
	s.skin(-58, ribbon(17, 10, 34, 20, 32, 54, 36-stride, 94))
	if r.chance(60) {
		s.skin(0, blob(-72, 6, -62, -18, -46, -58-hump, -22, -30, -6, -28, 14, -60-hump, 34, -22, 58, -8, 60, 18, 20, 36, -40, 36, -68, 26))
	} else {
		s.skin(0, blob(-72, 6, -62, -18, -34, -32, -8, -72-hump, 18, -34, 44, -20, 60, -4, 60, 18, 20, 36, -40, 36, -68, 26))
	}
	s.skin(-14, ribbon(18, 11, -54, 20, -50, 54, -56+stride, 96))
	s.skin(-14, ribbon(18, 11, 48, 20, 46, 54, 50+stride, 96))
	s.skin(-4, ribbon(32, 18, 46, 10, 74, 10, 88, -24, 86, -58+head))
	s.skin(-30, polygon(76, -62+head, 74, -80+head, 86, -68+head))
	s.skin(6, blob(74, -64+head, 88, -74+head, 116, -58+head, 116, -44+head, 94, -44+head, 78, -48+head))
	s.eye(93, -62+head, 4)
}

func elephant(s *sketch, r *source, _ Spec) {
	trunk, ear, stride := r.jitter(16), r.jitter(6), r.jitter(8)
	s.skin(-40, ribbon(6, 5, -70, -10, -88, 34))
	s.skin(-58, ribbon(28, 25, -34, 20, -34-stride, 80))
	s.skin(-58, ribbon(28, 25, 44, 10, 46-stride, 80))
	s.skin(0, blob(-76, 0, -62, -46, -10, -60, 36, -50, 54, -10, 46, 30, 0, 40, -50, 38, -74, 26))
	s.skin(-12, ribbon(30, 27, -56, 20, -58+stride, 86))
	s.skin(-12, ribbon(30, 27, 22, 20, 24+stride, 86))
	s.skin(2, ribbon(34, 13, 70, -28, 92, 8, 92, 46, 104+trunk, 68-trunk/2))
	s.skin(6, ellipse(56, -34, 36, 36, 0))
	s.solid(chalk, ribbon(10, 4, 72, 2, 88, 24, 112, 20))
	s.skin(-44, blob(16, -62-ear, 48, -66, 56, -30, 44, 10, 20, 6+ear, 4-ear, -28))
	s.eye(72, -44, 4)
}

func giraffe(s *sketch, r *source, _ Spec) {
	lean, stride, head := r.jitter(12), r.jitter(9), r.jitter(5)
	s.skin(-40, ribbon(5, 7, -54, 12, -68, 50))
	s.skin(-58, ribbon(13, 8, -28, 28, -26-stride, 102))
	s.skin(-58, ribbon(13, 8, 20, 28, 24-stride, 102))
	s.skin(0, blob(-58, 14, -46, -8, 0, -16, 30, -26, 44, 2, 34, 34, -20, 38, -54, 34))
	s.skin(-12, ribbon(15, 10, -44, 28, -46+stride, 104))
	s.skin(-12, ribbon(15, 10, 32, 26, 34+stride, 104))
	s.skin(0, ribbon(36, 17, 24, 4, 38+lean/2, -42, 48+lean, -90))
	s.solid(bark, ribbon(5, 5, 46+lean, -98+head, 42+lean, -114+head))
	s.solid(bark, ribbon(5, 5, 54+lean, -100+head, 54+lean, -116+head))
	s.skin(-20, polygon(42+lean, -92+head, 22+lean, -98+head, 40+lean, -82+head))
	s.skin(6, blob(38+lean, -94+head, 54+lean, -104+head, 90+lean, -84+head, 88+lean, -70+head, 62+lean, -72+head, 44+lean, -80+head))
	s.eye(60+lean, -92+head, 4)
}

// wheel draws a wheel on the ground side of a vehicle.
func (s *sketch) wheel(x, y, radius int) {
	s.solid(rubber, ellipse(x, y, radius, radius, 0))
	s.solid(steel, ellipse(x, y, radius/2, radius/2, 0))
}

func car(s *sketch, r *source, _ Spec) {
	roof, back, nose := r.jitter(7), r.jitter(12), r.jitter(7)
	pane := glass.plus(r.jitter(40))
	s.skin(-14, polygon(-58+back, -6, -36+back, -48+roof, 26, -50+roof, 60, -6))
	s.solid(pane, polygon(-44+back, -10, -28+back, -38+roof, -8, -39+roof, -8, -10))
	s.solid(pane, polygon(0, -10, 0, -39+roof, 20, -40+roof, 44, -10))
	s.skin(0, blob(-98, 22, -96, -4, -58, -11, 0, -12, 54, -11, 92, 0+nose, 100, 24, 88, 36, 0, 36, -88, 36))
	s.solid(steel, ribbon(6, 6, -98, 28, 100, 28))
	s.solid(colour{255, 240, 170}, ellipse(92, 10+nose/2, 7, 8, 0))
	s.solid(colour{190, 30, 30}, ellipse(-94, 6, 6, 7, 0))
	s.wheel(-56, 34, 23)
	s.wheel(56, 34, 23)
}

func truck(s *sketch, r *source, _ Spec) {
	top, cab, long := r.jitter(10), r.jitter(6), r.jitter(8)
	pane := glass.plus(r.jitter(40))
	s.solid(rubber, polygon(-98, 22, 98, 22, 98, 38, -98, 38))
	s.skin(0, polygon(-102+long, -62+top, 34, -62+top, 34, 26, -102+long, 26))
	s.skin(-26, polygon(40, -36+cab, 74, -36+cab, 92, -2, 102, 8, 102, 30, 40, 30))
	s.solid(pane, polygon(52, -27+cab, 70, -27+cab, 84, 0, 52, 0))
	s.solid(colour{255, 240, 170}, ellipse(97, 16, 5, 7, 0))
	s.wheel(-74+long, 40, 22)
	s.wheel(-26+long, 40, 22)
	s.wheel(70, 40, 22)
}

func banana(s *sketch, r *source, _ Spec) {
	bend, fat := r.jitter(10), r.jitter(5)
	s.solid(bark, ribbon(13, 11, -84, -30, -92, -60))
	s.skin(0, blob(-92, -34, -76, -38, -62, -12+bend/2, -30, 10+bend, 12, 16+bend, 56, 0+bend/2, 84, -38, 96, -32,
		88, 16, 52, 54+fat, -4, 66+fat, -58, 46, -84, 4))
	s.skin(-55, ribbon(6, 4, -78, -12, -52, 22, -8, 42, 44, 32, 76, 0, 88, -28))
	s.solid(bark.plus(-30), ellipse(91, -36, 9, 8, 0))
}

// sign is a road sign; its plate is the coat.
func sign(s *sketch, r *source, spec Spec) {
	plate := func(percent int) []point {
		radius := 66 * percent
		at := func(n, turn int) []point {
			points := make([]point, n)
			for i := range points {
				a := i*1024/n + turn
				points[i] = point{radius * cos(a) * fine / 100 >> 16, radius*sin(a)*fine/100>>16 - 32*fine}
			}
			return points
		}
		switch spec.Shape {
		case "triangular":
			return at(3, 256+512)
		case "rectangular":
			w, h := 56*percent*fine/100, 50*percent*fine/100
			return []point{{-w, -h - 32*fine}, {w, -h - 32*fine}, {w, h - 32*fine}, {-w, h - 32*fine}}
		case "circular":
			return at(24, 0)
		}
		return at(8, 64)
	}
	rim, other := chalk, ink
	if r.chance(40) {
		rim, other = ink.plus(20), chalk
	}
	s.solid(steel.plus(r.jitter(40)), polygon(-6, 0, 6, 0, 6, 104, -6, 104))
	s.solid(other, plate(106))
	s.solid(rim, plate(100))
	s.skin(0, plate(80))
}
