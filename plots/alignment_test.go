package plots_test

import (
	"math"
	"strings"
	"testing"

	"vitdecompose/experiments"
	"vitdecompose/plots"
)

func TestAlignment(t *testing.T) {
	checkGolden(t, map[string]func(){"alignment": ExampleAlignment})
}

func TestAlignmentSizes(t *testing.T) {
	var many []experiments.ModelAlignment
	for i := range 30 {
		m := aligned(strings.Repeat("m", 3*i+1), 0.5, 0.5)
		for range 10 {
			m.Methods = append(m.Methods, experiments.AlignmentMethod{Name: strings.Repeat("long", len(m.Methods))})
		}
		many = append(many, m)
	}
	for name, models := range map[string][]experiments.ModelAlignment{
		"one":          {aligned("deit-mini", 0.5, 0.5)},
		"many":         many,
		"below zero":   {aligned("a", -0.5, 0)},
		"both of name": {aligned("a", 0.5, 0), aligned("a", 0.5, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			figure, err := plots.Alignment(experiments.AlignmentResult{Models: models})
			if err != nil {
				t.Fatal(err)
			}
			checkSaved(t, figure, figure.Width, figure.Height)
		})
	}
}

func TestAlignmentRefuses(t *testing.T) {
	for want, spoil := range map[string]func(m *experiments.ModelAlignment){
		"no methods":                         func(m *experiments.ModelAlignment) { m.Methods = nil },
		`method "lambda 0" twice`:            func(m *experiments.ModelAlignment) { m.Methods[0].Name = "lambda 0" },
		"one map: cosine similarity NaN":     func(m *experiments.ModelAlignment) { m.Methods[0].Cosine = math.NaN() },
		"lambda 1: match rate 1.5":           func(m *experiments.ModelAlignment) { m.Methods[2].MatchRate = 1.5 },
		"lambda 0: chance -0.5 is not betwe": func(m *experiments.ModelAlignment) { m.Methods[1].Chance = -0.5 },
	} {
		m := aligned("swin-mini", 0.5, 0.5)
		spoil(&m)
		_, err := plots.Alignment(experiments.AlignmentResult{Models: []experiments.ModelAlignment{m}})
		wantError(t, err, "alignment figure: swin-mini: "+want)
	}
	_, err := plots.Alignment(experiments.AlignmentResult{})
	wantError(t, err, "alignment figure: no models")
}
