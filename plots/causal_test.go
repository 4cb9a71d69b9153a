package plots_test

import (
	"math"
	"strings"
	"testing"

	"vitdecompose/experiments"
	"vitdecompose/experiments/statistics"
	"vitdecompose/plots"
)

func TestCausal(t *testing.T) {
	checkGolden(t, map[string]func(){"causal": ExampleCausal, "causal_one": ExampleCausal_one})
}

func TestCausalSizes(t *testing.T) {
	var many []experiments.ModelCausalTest
	for i := range 17 {
		m := tested(strings.Repeat("m", 6*i+1), 0.3)
		for range 12 {
			m.Features = append(m.Features, experiments.CausalFeature{Feature: strings.Repeat("f", 2*len(m.Features))})
		}
		many = append(many, m)
	}
	nothing := tested("flat", 0)
	nothing.Features = []experiments.CausalFeature{{Feature: "color"}}
	for name, models := range map[string][]experiments.ModelCausalTest{
		"two":        {tested("a", 0.3), tested("b", 0.1)},
		"four":       {tested("a", 0.3), tested("b", 0.1), nothing, tested("c", -0.3)},
		"many":       many,
		"all zero":   {nothing},
		"below zero": {tested("a", -0.3)},
	} {
		t.Run(name, func(t *testing.T) {
			figure, err := plots.Causal(experiments.CausalResult{Models: models})
			if err != nil {
				t.Fatal(err)
			}
			checkSaved(t, figure, figure.Width, figure.Height)
		})
	}
}

func TestCausalRefuses(t *testing.T) {
	for want, spoil := range map[string]func(m *experiments.ModelCausalTest){
		"no features":                           func(m *experiments.ModelCausalTest) { m.Features = nil },
		"color: score mean is NaN":              func(m *experiments.ModelCausalTest) { m.Features[0].Score.Mean = math.NaN() },
		"pattern: random high is +Inf":          func(m *experiments.ModelCausalTest) { m.Features[1].Random.High = math.Inf(1) },
		"color: score interval from 1 to 0.5":   func(m *experiments.ModelCausalTest) { m.Features[0].Score = statistics.Interval{Low: 1, High: 0.5} },
		"shape: P NaN is not between 0 and 1":   func(m *experiments.ModelCausalTest) { m.Features[4].P = math.NaN() },
		"animal: P -0.1 is not between 0 and 1": func(m *experiments.ModelCausalTest) { m.Features[3].P = -0.1 },
	} {
		m := tested("swin-mini", 0.5)
		spoil(&m)
		_, err := plots.Causal(experiments.CausalResult{Models: []experiments.ModelCausalTest{tested("a", 0.1), m}})
		wantError(t, err, "causal figure: swin-mini: "+want)
	}
	_, err := plots.Causal(experiments.CausalResult{})
	wantError(t, err, "causal figure: no models")
}
