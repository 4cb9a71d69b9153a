package plots

import (
	"fmt"
	"slices"
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

// Heads and blocks that follow one another are taken together, each sublayer by itself, and only where no more is said than
// there is.
func TestInRuns(t *testing.T) {
	heads := func(block string, first, last int) (names []string) {
		for h := first; h <= last; h++ {
			names = append(names, fmt.Sprintf("%sattn_head:%02d", block, h))
		}
		return names
	}
	for want, names := range map[string][]string{
		"L5-L6 H0-H2 MLP":    slices.Concat(heads("layer:06, ", 0, 2), heads("layer:05, ", 0, 2), []string{"layer:05, mlp", "layer:06, mlp"}),
		"L5 H0-H2, L6 H1-H3": slices.Concat(heads("layer:05, ", 0, 2), heads("layer:06, ", 1, 3)),
		"L5 H0 H2-H3, L7 H0 H2-H3": slices.Concat(heads("layer:07, ", 2, 3), heads("layer:07, ", 0, 0), heads("layer:05, ", 2, 3),
			heads("layer:05, ", 0, 0)),
		"init, S1.1 MLP, S2.0 MLP, const": {"const", "layer:(2,0), mlp", "init", "layer:(1,1), mlp"},
		"S2.0-S2.1 conv, S2.0-S2.1 block H0-H1, S2.0-S2.1 grid H0-H1": slices.Concat([]string{"layer:(2,0), conv", "layer:(2,1), conv"},
			heads("layer:(2,0), grid ", 0, 1), heads("layer:(2,1), block ", 0, 1), heads("layer:(2,0), block ", 0, 1), heads("layer:(2,1), grid ", 0, 1)),
		"": {"layer:05, mlp", "no component"},
	} {
		if got := strings.Join(inRuns(names), " "); got != want {
			t.Errorf("%q is %q, want %q", names, got, want)
		}
	}
}
