package plots

import (
	"strings"
	"testing"

	"vitdecompose/experiments"
)

// Rows go by block and, within one, in the order given; heads go by their number, and what is not a head stands behind.
func TestContactRows(t *testing.T) {
	var panels []experiments.HeatmapPanel
	for _, component := range []string{
		"layer:(2,10), conv", "layer:(2,10), block mlp", "layer:(2,10), block attn_head:01", "layer:(2,10), block attn_head:00",
		"layer:(2,9), grid attn_head:11", "layer:(2,9), grid attn_head:02", "layer:(2,9), grid mlp", "layer:(1,11), conv",
		"layer:(2,10), grid attn_head:00", "init", "layer:(2,11), attns",
	} {
		panels = append(panels, experiments.HeatmapPanel{Components: []string{component}})
	}
	rows, err := contactRows(panels)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		line := r.name() + ":"
		for _, c := range r {
			line += " " + c.name()
		}
		got = append(got, line)
	}
	const want = `init: 
S1.11: conv
S2.9 grid: H2 H11 MLP
S2.10: conv
S2.10 block: H0 H1 MLP
S2.10 grid: H0
S2.11: attn`
	if got := strings.Join(got, "\n"); got != want {
		t.Errorf("rows are\n%s\nwant\n%s", got, want)
	}
}

func TestScoresAreNotMinusZero(t *testing.T) {
	for x, want := range map[float64]string{-0.001: "0.00", 0.001: "0.00", -0.006: "-0.01", 12.345: "12.35", 0: "0.00"} {
		if got := (scores{decimals: 2}).number(x); got != want {
			t.Errorf("%v is written %s, want %s", x, got, want)
		}
	}
}
