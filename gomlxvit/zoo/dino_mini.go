package zoo

import (
	"vitdecompose/data/scenes"
	"vitdecompose/gomlxvit"
)

// dino-mini: a vision transformer trained without labels, by self-distillation.
//
//	vitdecompose train dino-mini --out DIR
//
// 55 minutes on one CPU core; with a linear head 87.2 % of 2000 held-out scenes
// (71.7 % before the restart), 10.0 % with random weights.
func dinoMini() Recipe {
	const architecture = "vit_small_patch16_224"
	r := selfDistilled(architecture, 8, func(*gomlxvit.ViTConfig) {})
	r.Name = "dino-mini"
	r.Summary = "A small DINO: 64 x 64 pictures in patches of 8, 4 blocks of 4 heads, 96 channels, class token, no head."
	r.Batch, r.Steps, r.WarmUp, r.LearningRate, r.WeightDecay, r.FadeIn, r.Seed = 48, 4200, 100, 1e-3, 0.04, 0.6, 4
	r.Restart = 2700
	r.task = distillation{arch: r.Arch.(*gomlxvit.ViTConfig)}
	return r
}

// selfDistilled is a recipe with the sizes of the self-distilled models, without a head.
func selfDistilled(architecture string, patch int, change func(c *gomlxvit.ViTConfig)) Recipe {
	const (
		width = 96
		depth = 4
		heads = 4
	)
	return Recipe{
		Architecture: architecture,
		ModelArgs: map[string]any{
			"img_size": scenes.Size, "patch_size": patch, "embed_dim": width, "depth": depth, "num_heads": heads,
		},
		Arch: vit(architecture, func(c *gomlxvit.ViTConfig) {
			c.ImageSize, c.PatchSize, c.Width, c.Depth, c.Heads = scenes.Size, patch, width, depth, heads
			c.MLPHidden, c.Classes = 4*width, 0
			change(c)
		}),
	}
}
