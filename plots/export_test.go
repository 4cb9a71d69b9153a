package plots

import (
	"fmt"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// LeastWidth and MostWidth are the ends of what ParseWidth takes.
const (
	LeastWidth = leastWidth
	MostWidth  = mostWidth
)

// Overflow lists what is not on a sheet in full.
func Overflow(s *Sheet) (out []string) {
	check := func(what string, left, right vg.Length) {
		const slack = 0.5
		if left < -slack || right > s.Width+slack {
			out = append(out, fmt.Sprintf("%s: from %.1f to %.1f, the sheet is %.1f wide", what, left, right, s.Width))
		}
	}
	for _, text := range s.texts {
		if text.style.Rotation != 0 {
			continue
		}
		width := text.style.Width(text.text)
		left := text.x
		switch text.style.XAlign {
		case draw.XCenter:
			left -= width / 2
		case draw.XRight:
			left -= width
		}
		check(text.text, left, left+width)
	}
	for _, p := range s.framed {
		check("picture", p.x-p.frame.width, p.x+p.width+p.frame.width)
	}
	for _, r := range s.rules {
		check("rule", r.x, r.x+r.width)
	}
	return out
}
