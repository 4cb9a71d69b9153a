package plots

import (
	"fmt"
	"image/color"
)

// ScreenStyle is the house style for pages that draw figures themselves: colours as CSS writes them.
type ScreenStyle struct {
	Ink  string `json:"ink"`
	Grid string `json:"grid"`
	Mid  string `json:"mid"`
	// Typeface is the one of figures with its usual stand-ins, Width and PNGResolution are those of a figure on a page: points,
	// and pixels per inch.
	Typeface      string  `json:"typeface"`
	Width         float64 `json:"width"`
	PNGResolution float64 `json:"png"`
	// Scale are the colours of signed values at equal steps from -1 to 1, with white in the middle.
	Scale []string `json:"scale"`
	// Faded is how much of its contrast a picture keeps under a map.
	Faded float64 `json:"faded"`
}

// Screen is the house style, its scale of signed values in 2*steps+1 colours.
func Screen(steps int) ScreenStyle {
	s := ScreenStyle{Ink: css(ink), Grid: css(gridGrey), Mid: css(midGrey), Typeface: "Liberation Sans,Arial,Helvetica,sans-serif",
		Width: float64(PageWidth), PNGResolution: PNGResolution, Faded: faded}
	for i := -steps; i <= steps; i++ {
		s.Scale = append(s.Scale, css(signed(float64(i)/float64(steps))))
	}
	return s
}

func css(c color.Color) string {
	r, g, b, _ := c.RGBA()
	return fmt.Sprintf("#%02x%02x%02x", r>>8, g>>8, b>>8)
}
