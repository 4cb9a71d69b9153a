package plots_test

import (
	"log"

	"vitdecompose/experiments"
	"vitdecompose/plots"
)

// aligned makes a model's alignment quality.
func aligned(model string, cosine, rate float64) experiments.ModelAlignment {
	return experiments.ModelAlignment{Model: model, Methods: []experiments.AlignmentMethod{
		{Name: "one map", Cosine: cosine, MatchRate: rate / 2, Chance: 0.12},
		{Name: "lambda 0", Cosine: cosine + 0.06, MatchRate: rate * 0.7, Chance: 0.12},
		{Name: "lambda 1", Cosine: cosine + 0.04, MatchRate: rate, Chance: 0.12},
	}}
}

func ExampleAlignment() {
	result := experiments.AlignmentResult{Models: []experiments.ModelAlignment{
		aligned("deit-mini", 0.72, 0.55), aligned("dino-mini", 0.66, 0.48), aligned("dinov2-mini", 0.7, 0.42),
		aligned("swin-mini", 0.75, 0.6), aligned("maxvit-mini", 0.78, 0.38),
		{Model: "clip-mini", Methods: []experiments.AlignmentMethod{{Name: "identity", Cosine: 1, MatchRate: 0.9, Chance: 0.12}}},
	}}
	figure, err := plots.Alignment(result)
	if err != nil {
		log.Fatal(err)
	}
	// Writes testdata/alignment.png, .svg and .pdf.
	if err := plots.Save(figure, "testdata/alignment", figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
}
