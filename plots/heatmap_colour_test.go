package plots

import (
	"image"
	"image/color"
	"math"
	"testing"
)

// The primaries of sRGB in Oklab, to the digits that Ottosson's own conversion gives.
func TestOklab(t *testing.T) {
	for want, c := range map[color.RGBA]oklab{
		{0xff, 0, 0, 0xff}:       {0.62796, 0.22486, 0.12585},
		{0, 0xff, 0, 0xff}:       {0.86644, -0.23389, 0.17950},
		{0, 0, 0xff, 0xff}:       {0.45201, -0.03246, -0.31153},
		{0xff, 0xff, 0xff, 0xff}: white,
		{0, 0, 0, 0xff}:          {},
		{0x80, 0x80, 0x80, 0xff}: {0.59987, 0, 0},
	} {
		if got := c.rgb(); got != want {
			t.Errorf("%v is %v, want %v", c, got, want)
		}
		back := oklabOf(linearOf(want))
		if distance(back, c) > 1e-4 {
			t.Errorf("%v is %v, want %v", want, back, c)
		}
	}
}

// linearOf undoes the gamma of sRGB, oklabOf is the inverse of oklab.linear.
func linearOf(c color.RGBA) (out [3]float64) {
	for i, v := range [3]uint8{c.R, c.G, c.B} {
		x := float64(v) / 255
		if x <= 0.04045 {
			out[i] = x / 12.92
		} else {
			out[i] = math.Pow((x+0.055)/1.055, 2.4)
		}
	}
	return out
}

func oklabOf(c [3]float64) oklab {
	l := math.Cbrt(0.4122214708*c[0] + 0.5363325363*c[1] + 0.0514459929*c[2])
	m := math.Cbrt(0.2119034982*c[0] + 0.6806995451*c[1] + 0.1073969566*c[2])
	s := math.Cbrt(0.0883024619*c[0] + 0.2817188376*c[1] + 0.6299787005*c[2])
	return oklab{
		0.2104542553*l + 0.7936177850*m - 0.0040720468*s,
		1.9779984951*l - 2.4285922050*m + 0.4505937099*s,
		0.0259040371*l + 0.7827717662*m - 0.8086757660*s,
	}
}

func distance(a, b oklab) float64 { return math.Hypot(math.Hypot(a.l-b.l, a.a-b.a), a.b-b.b) }

// blindness is what is seen without one kind of cone, of linear red, green and blue: Machado, Oliveira and Fernandes,
// "A Physiologically-based Model for Simulation of Color Vision Deficiency" (2009), severity 1.
var blindness = map[string][3][3]float64{
	"no":    {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
	"red":   {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
	"green": {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}},
	"blue":  {{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}},
}

// seen is a colour as somebody with such a blindness sees it.
func seen(c color.RGBA, by [3][3]float64) oklab {
	rgb := linearOf(c)
	var out [3]float64
	for i, row := range by {
		for k := range row {
			out[i] += row[k] * rgb[k]
		}
		out[i] = min(max(out[i], 0), 1)
	}
	return oklabOf(out)
}

func TestRamps(t *testing.T) {
	for name, r := range map[string]ramp{"positive": positive, "negative": negative, "salient": salient} {
		for i, c := range r {
			for _, x := range c.linear() {
				if x < -0.002 || x > 1.002 {
					t.Errorf("%s: screens do not have colour %d: %v", name, i, c.linear())
				}
			}
		}
		if got := r.at(0); got != (color.RGBA{0xff, 0xff, 0xff, 0xff}) {
			t.Errorf("%s begins with %v, want white", name, got)
		}
		if r.at(-1) != r.at(0) || r.at(2) != r.at(1) {
			t.Errorf("%s does not end at its ends", name)
		}
		before := 1.0
		for t1 := 0.1; t1 <= 1; t1 += 0.1 {
			light := oklabOf(linearOf(r.at(t1))).l
			if light > before-0.02 {
				t.Errorf("%s: at %.1f it is as light (%.3f) as before (%.3f)", name, t1, light, before)
			}
			before = light
		}
	}
}

// Red and blue are as light as one another, and are told apart with any form of colour blindness, as the outline of a cut
// is from the saliencies under it.
func TestRampsForTheColourBlind(t *testing.T) {
	const apart = 0.1 // in Oklab; white and black are 1 apart
	for name, by := range blindness {
		for _, at := range []float64{0.4, 0.7, 1} {
			plus, minus := signed(at), signed(-at)
			if got := distance(seen(plus, by), seen(minus, by)); got < apart {
				t.Errorf("%s blindness: %v and -%v are %.3f apart, want %v", name, at, at, got, apart)
			}
			if got := math.Abs(oklabOf(linearOf(plus)).l - oklabOf(linearOf(minus)).l); got > 0.01 {
				t.Errorf("%v is %.3f lighter or darker than -%v", at, got, at)
			}
		}
		for at := 0.0; at <= 1; at += 0.1 {
			if got := distance(seen(cutColour.(color.RGBA), by), seen(salient.at(at), by)); got < apart {
				t.Errorf("%s blindness: saliency %.1f is %.3f from the outline, want %v", name, at, got, apart)
			}
		}
	}
}

func TestLay(t *testing.T) {
	picture := image.NewGray(image.Rect(5, 7, 8, 8)) // does not begin at 0
	copy(picture.Pix, []uint8{0, 255, 100})
	out := lay([]float32{0, 1, -1}, signed, picture)
	if out.Bounds() != image.Rect(0, 0, 3, 1) {
		t.Fatalf("bounds %v", out.Bounds())
	}
	if got, want := out.RGBAAt(0, 0), uint8(math.Round(255*(1-faded))); got != (color.RGBA{want, want, want, 0xff}) {
		t.Errorf("black under 0 is %v, want %d", got, want)
	}
	if got, want := out.RGBAAt(1, 0), positive.at(1); got != want {
		t.Errorf("white under 1 is %v, want %v", got, want)
	}
	light := 1 - faded + faded*100/255
	if got, want := out.RGBAAt(2, 0).B, uint8(math.Round(light*float64(negative.at(1).B))); got != want {
		t.Errorf("grey under -1 has %d of blue, want %d", got, want)
	}
}
