package plots

import (
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
)

func TestShortNames(t *testing.T) {
	for name, want := range map[string]string{
		"layer:07, attn_head:03": "L7 H3", "layer:(2,3), grid mlp": "S2.3 grid MLP", "init": "init", // the others are decompose's
		"": "", "layer:07": "layer:07", "layer:07, something new": "layer:07, something new",
	} {
		if got := shortName(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

func TestListComponents(t *testing.T) {
	style := textStyle(smallSize)
	all := []string{"layer:07, attn_head:03", "layer:05, mlp", "layer:(2,3), grid attn_head:01", "init"}
	for _, test := range []struct {
		fits  string // its width is what there is
		lines int
		want  string
	}{
		{"L7 H3, L5 MLP, S2.3 grid H1, init", 1, "L7 H3, L5 MLP, S2.3 grid H1, init"},
		{"L7 H3, L5 MLP, +2 more", 1, "L7 H3, L5 MLP, +2 more"},
		{"S2.3 grid H1, init", 2, "L7 H3, L5 MLP,|S2.3 grid H1, init"},
		{"L7 H3, +3 more", 1, "L7 H3, +3 more"},
		{"L7 H3, +3 more", 2, "L7 H3, L5 MLP,|+2 more"},
		{"4 in all", 1, "4 in all"},
	} {
		got := listComponents("", all, style, style.Width(test.fits)+0.01, test.lines)
		if strings.Join(got, "|") != test.want {
			t.Errorf("in %d lines as wide as %q: %q, want %q", test.lines, test.fits, got, test.want)
		}
	}
	if got := listComponents("", nil, style, 100, 2); len(got) != 0 {
		t.Errorf("no components: %q", got)
	}
	for width := vg.Length(1); width < 200; width += 3 {
		for _, line := range listComponents("", all, style, width, 2) {
			if style.Width(line) > width && line != "..." {
				t.Errorf("%q is wider than %v", line, width)
			}
		}
	}
}
