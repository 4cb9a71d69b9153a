package plots_test

import (
	"log"
	"math"

	"vitdecompose/experiments"
	"vitdecompose/experiments/statistics"
	"vitdecompose/plots"
)

// tested makes a model's causal test that finds more or less.
func tested(model string, effect float64) experiments.ModelCausalTest {
	m := experiments.ModelCausalTest{Model: model, Pictures: 2000, Ablated: 5, Seeds: 5, Draws: 500}
	for i, feature := range []string{"color", "pattern", "location", "animal", "shape"} {
		score := 10 * effect * (0.6 + 0.5*math.Sin(float64(i)*1.7+5*effect))
		p := 0.2
		if score > 2 {
			p = 0.002
		}
		m.Features = append(m.Features, experiments.CausalFeature{Feature: feature, P: p,
			Score:  statistics.Interval{Mean: score, Low: score - 0.4, High: score + 0.4},
			Random: statistics.Interval{Mean: 0, Low: -2.1, High: 1.9}})
	}
	return m
}

func ExampleCausal() {
	result := experiments.CausalResult{Models: []experiments.ModelCausalTest{
		tested("deit-mini", 0.31), tested("dino-mini", 0.22), tested("dinov2-mini", 0.15), tested("swin-mini", 0.25),
		tested("maxvit-mini", 0.05),
	}}
	figure, err := plots.Causal(result)
	if err != nil {
		log.Fatal(err)
	}
	// Writes testdata/causal.png, .svg and .pdf.
	if err := plots.Save(figure, "testdata/causal", figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
}

func ExampleCausal_one() {
	figure, err := plots.Causal(experiments.CausalResult{Models: []experiments.ModelCausalTest{tested("deit-mini", 0.31)}})
	if err != nil {
		log.Fatal(err)
	}
	if err := plots.Save(figure, "testdata/causal_one", figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
}
