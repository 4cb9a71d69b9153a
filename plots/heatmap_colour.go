package plots

import (
	"image"
	"image/color"
	"math"
)

// oklab is a colour as lightness (0 to 1) and two opponent axes, in which equal distances look about equal
// (Björn Ottosson, https://bottosson.github.io/posts/oklab/).
type oklab struct{ l, a, b float64 }

// polar is the colour of a lightness, a chroma and a hue in degrees.
func polar(l, chroma, hue float64) oklab {
	sin, cos := math.Sincos(hue * math.Pi / 180)
	return oklab{l, chroma * cos, chroma * sin}
}

// linear returns red, green and blue before the gamma of sRGB, each between 0 and 1 if the screen has the colour.
func (c oklab) linear() [3]float64 {
	l := c.l + 0.3963377774*c.a + 0.2158037573*c.b
	m := c.l - 0.1055613458*c.a - 0.0638541728*c.b
	s := c.l - 0.0894841775*c.a - 1.2914855480*c.b
	l, m, s = l*l*l, m*m*m, s*s*s
	return [3]float64{
		4.0767416621*l - 3.3077115913*m + 0.2309699292*s,
		-1.2684380046*l + 2.6097574011*m - 0.3413193965*s,
		-0.0041960863*l - 0.7034186147*m + 1.7076147010*s,
	}
}

// rgb returns the nearest colour of a screen.
func (c oklab) rgb() color.RGBA {
	out := [3]uint8{}
	for i, x := range c.linear() {
		if x <= 0.0031308 {
			x *= 12.92
		} else {
			x = 1.055*math.Pow(x, 1/2.4) - 0.055
		}
		out[i] = uint8(math.Round(255 * min(max(x, 0), 1)))
	}
	return color.RGBA{out[0], out[1], out[2], 0xff}
}

// ramp is colours at equal steps from 0 to 1. Those between are interpolated in Oklab.
type ramp []oklab

// at returns the colour at t, that of the nearer end if t lies outside.
func (r ramp) at(t float64) color.RGBA {
	steps := float64(len(r) - 1)
	t = min(max(t, 0), 1) * steps
	i := min(int(t), len(r)-2)
	f := t - float64(i)
	from, to := r[i], r[i+1]
	return oklab{from.l + f*(to.l-from.l), from.a + f*(to.a-from.a), from.b + f*(to.b-from.b)}.rgb()
}

// Maps are white at 0 and darker away from it, so that they read in grey too. Red and blue are as light as one another at
// the same distance, and apart for any form of colour blindness; so are the colours of saliencies from the vermilion outline
// of a cut.
var (
	white    = oklab{1, 0, 0}
	positive = ramp{white, polar(0.85, 0.085, 45), polar(0.68, 0.165, 33), polar(0.48, 0.18, 26)}
	negative = ramp{white, polar(0.85, 0.075, 235), polar(0.68, 0.12, 245), polar(0.48, 0.13, 255)}
	salient  = ramp{white, polar(0.88, 0.09, 165), polar(0.72, 0.11, 185), polar(0.52, 0.09, 230), polar(0.36, 0.11, 275)}
)

// signed returns the colour of a value between -1 and 1.
func signed(v float64) color.RGBA {
	if v < 0 {
		return negative.at(-v)
	}
	return positive.at(v)
}

// faded is how much of its contrast a picture keeps under a map.
const faded = 0.3

// lay returns a picture in light grey, seen through colours: those of values, one for each pixel, row by row. White lets
// all of it through.
func lay(values []float32, of func(v float64) color.RGBA, picture image.Image) *image.RGBA {
	out := image.NewRGBA(image.Rectangle{Max: picture.Bounds().Size()})
	for i, v := range values {
		x, y := i%out.Rect.Dx(), i/out.Rect.Dx()
		behind := color.GrayModel.Convert(picture.At(picture.Bounds().Min.X+x, picture.Bounds().Min.Y+y)).(color.Gray)
		light := 1 - faded + faded*float64(behind.Y)/255
		c := of(float64(v))
		through := func(channel uint8) uint8 { return uint8(math.Round(light * float64(channel))) }
		out.SetRGBA(x, y, color.RGBA{through(c.R), through(c.G), through(c.B), 0xff})
	}
	return out
}
