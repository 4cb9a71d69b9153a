package plots_test

import (
	"log"
	"math"

	"vitdecompose/experiments"
	"vitdecompose/plots"
)

// agreed makes a model's agreement that wavers around middle.
func agreed(model string, middle float64) experiments.ModelRanking {
	m := experiments.ModelRanking{Model: model, Pictures: 1000, Components: 65, Within: middle + 0.08, Between: middle}
	for i, feature := range []string{"color", "texture", "animal", "person", "location", "pattern", "shape"} {
		m.Features = append(m.Features, experiments.FeatureAgreement{Feature: feature,
			Spearman: max(-1, min(1, middle+0.35*math.Sin(float64(i)*2.1+10*middle)))})
	}
	return m
}

func ExampleRanking() {
	result := experiments.RankingResult{Models: []experiments.ModelRanking{
		agreed("deit_base_patch16_224", 0.62), agreed("vit_base_patch16_224.dino", 0.55),
		agreed("vit_base_patch14_dinov2.lvd142m", 0.41), agreed("swin_base_patch4_window7_224", 0.3),
		agreed("maxvit_small_tf_224.in1k", 0.12),
	}}
	figure, err := plots.Ranking(result)
	if err != nil {
		log.Fatal(err)
	}
	// Writes testdata/ranking.png, .svg and .pdf.
	if err := plots.Save(figure, "testdata/ranking", figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
}

func ExampleRanking_one() {
	figure, err := plots.Ranking(experiments.RankingResult{Models: []experiments.ModelRanking{agreed("deit-mini", 0.3)}})
	if err != nil {
		log.Fatal(err)
	}
	if err := plots.Save(figure, "testdata/ranking_one", figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
}
