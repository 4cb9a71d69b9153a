package plots_test

import (
	"fmt"
	"log"
	"math"

	"vitdecompose/experiments"
	"vitdecompose/plots"
)

// drawn makes a curve of the shape that real ones have: flat at first, then down to chance.
func drawn(model string, blocks, parts int, top, fall float64) experiments.AblationCurve {
	c := experiments.AblationCurve{Model: model, Pictures: 1000, Order: []string{"init"}}
	for block := range blocks {
		for _, part := range []string{"mlp", "attns", "conv"}[:parts] {
			c.Order = append(c.Order, fmt.Sprintf("layer:%02d, %s", block, part))
		}
	}
	for k := range len(c.Order) + 1 {
		share := float64(k) / float64(len(c.Order))
		c.FromInit = append(c.FromInit, top/(1+math.Exp(18*(share-fall))))
		c.FromLast = append(c.FromLast, top*math.Exp(-9*share*(1+fall)))
	}
	return c
}

func ExampleAblation() {
	curve := drawn("deit-mini", 6, 2, 0.93, 0.7)
	curve.Chance = 1.0 / 12
	result := experiments.AblationResult{Curves: []experiments.AblationCurve{curve}}
	figure, err := plots.Ablation(result)
	if err != nil {
		log.Fatal(err)
	}
	// Writes testdata/ablation_one.png, .svg and .pdf.
	if err := plots.Save(figure, "testdata/ablation_one", figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
}

func ExampleAblation_models() {
	result := experiments.AblationResult{Curves: []experiments.AblationCurve{
		drawn("deit_base_patch16_224", 12, 2, 0.82, 0.7),
		drawn("ViT-B-16 (laion2b_s34b_b88k)", 12, 2, 0.70, 0.85),
		drawn("vit_base_patch16_224.dino", 12, 2, 0.76, 0.75),
		drawn("vit_base_patch14_dinov2.lvd142m", 12, 2, 0.84, 0.8),
		drawn("swin_base_patch4_window7_224", 24, 2, 0.85, 0.6),
		drawn("maxvit_small_tf_224.in1k", 14, 3, 0.85, 0.65),
	}}
	for i := range result.Curves {
		result.Curves[i].Chance, result.Curves[i].RelativeDepth = 0.001, true
	}
	figure, err := plots.Ablation(result)
	if err != nil {
		log.Fatal(err)
	}
	if err := plots.Save(figure, "testdata/ablation_models", figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
}
