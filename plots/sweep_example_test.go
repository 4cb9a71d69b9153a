package plots_test

import (
	"log"
	"math"

	"vitdecompose/experiments"
	"vitdecompose/plots"
)

// swept makes a model's sweep: more orthogonal with lambda, less aligned.
func swept(model string, top float64, lambdas ...float64) experiments.SweepCurve {
	c := experiments.SweepCurve{Model: model}
	for _, lambda := range lambdas {
		orthogonality := 3*top/(1+30*lambda) + 0.002
		c.Points = append(c.Points, experiments.SweepPoint{Lambda: lambda, Cosine: top - 0.05*math.Log1p(lambda),
			Orthogonality: orthogonality, Least: orthogonality * 0.6, Most: orthogonality * 1.9})
	}
	return c
}

func ExampleSweep() {
	lambdas := []float64{0, 0.01, 0.1, 0.3, 1, 3, 10, 100}
	result := experiments.SweepResult{Curves: []experiments.SweepCurve{
		swept("deit-mini", 0.82, lambdas...), swept("dino-mini", 0.7, lambdas...), swept("swin-mini", 0.9, lambdas...),
	}}
	figure, err := plots.Sweep(result)
	if err != nil {
		log.Fatal(err)
	}
	// Writes testdata/sweep.png, .svg and .pdf.
	if err := plots.Save(figure, "testdata/sweep", figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
}
