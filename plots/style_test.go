package plots

import (
	"image/color"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
)

func TestRoundTicks(t *testing.T) {
	for _, test := range []struct {
		lowest, highest float64
		want            string
	}{
		{0, 100, "0 20 40 60 80 100"},
		{0, 7, "0 1 2 3 4 5 6 7"},
		{0, 13, "0 2 4 6 8 10 12"},
		{0, 25, "0 5 10 15 20 25"},
		{0, 1, "0 0.2 0.4 0.6 0.8 1"},
		{-0.3, 0.3, "-0.3 -0.2 -0.1 0 0.1 0.2 0.3"},
		{1e-9, 3e-9, "1e-09 1.5e-09 2e-09 2.5e-09 3e-09"},
		{5, 5, ""},
		{5, 4, ""},
		{0, math.Inf(1), ""},
		{0, math.NaN(), ""},
	} {
		var got []string
		for _, tick := range (roundTicks{}).Ticks(test.lowest, test.highest) {
			got = append(got, tick.Label)
		}
		if got := strings.Join(got, " "); got != test.want {
			t.Errorf("ticks of %v to %v: %s, want %s", test.lowest, test.highest, got, test.want)
		}
	}
}

// The first seven curves differ in colour, the first six in marker, the first five in dash, and colour, marker and
// dash together do not come again before 210.
func TestLooksDiffer(t *testing.T) {
	type key struct {
		color        color.Color
		marker, dash int
	}
	seen := make(map[key]int)
	for i := range 210 {
		look := lookOf(i)
		k := key{look.line.Color, -1, -1}
		for j := range markers {
			if look.marker.Shape == markers[j] {
				k.marker = j
			}
		}
		for j := range dashes {
			if len(dashes[j]) == len(look.line.Dashes) && (len(dashes[j]) == 0 || &dashes[j][0] == &look.line.Dashes[0]) {
				k.dash = j
			}
		}
		if k.marker < 0 || k.dash < 0 {
			t.Fatalf("curve %d has no marker or dash of the lists: %v", i, k)
		}
		if before, ok := seen[k]; ok {
			t.Errorf("curves %d and %d look the same", before, i)
		}
		seen[k] = i
	}
}

// contrast is the ratio of relative luminances that WCAG 2 defines; against white.
func contrast(c color.Color) float64 {
	linear := func(v uint32) float64 {
		x := float64(v) / 0xffff
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	r, g, b, _ := c.RGBA()
	return 1.05 / (0.2126*linear(r) + 0.7152*linear(g) + 0.0722*linear(b) + 0.05)
}

// Every colour is seen on white. 2 is below what text needs, and enough for lines of this width with markers.
func TestColoursAreDarkEnough(t *testing.T) {
	for i, c := range colours {
		if got := contrast(c); got < 2 {
			t.Errorf("colour %d has contrast %.2f against white, want 2 or more", i, got)
		}
	}
}

func TestShorten(t *testing.T) {
	style := legend{}.style()
	for _, text := range []string{"", "deit-mini", "vit_base_patch14_reg4_dinov2.lvd142m", strings.Repeat("ä", 300)} {
		for _, width := range []vg.Length{20, 100, 400} {
			short := shorten(text, style, width)
			if style.Width(short) > width {
				t.Errorf("%q shortened to %v points is %q, %v wide", text, width, short, style.Width(short))
			}
			if style.Width(text) <= width && short != text {
				t.Errorf("%q fits into %v points, but became %q", text, width, short)
			}
		}
	}
	if got, want := shorten("abcdefghijklmnop", style, style.Width("abcd...mnop")), "abcd...mnop"; got != want {
		t.Errorf("shortened to %q, want %q: both ends", got, want)
	}
	if got := shorten("abc", style, 0); got != "..." {
		t.Errorf("shortened to nothing: %q", got)
	}
}
