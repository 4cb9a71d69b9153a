package zoo

import "vitdecompose/gomlxvit"

// dino-mini: a vision transformer trained without labels, by self-distillation.
//
//	vitdecompose train dino-mini --out DIR
//
// 55 minutes on one CPU core; with a linear head 87.2 % of 2000 held-out scenes
// (71.7 % before the restart), 10.0 % with random weights.
func dinoMini() Recipe {
	r := miniViT("vit_small_patch16_224", 4, 0)
	r.Name = "dino-mini"
	r.Summary = "A small DINO: 64 x 64 pictures in patches of 8, 4 blocks of 4 heads, 96 channels, class token, no head."
	r.Batch, r.Steps, r.WarmUp, r.LearningRate, r.WeightDecay, r.FadeIn, r.Seed = 48, 4200, 100, 1e-3, 0.04, 0.6, 4
	r.Restart = 2700
	r.task = distillation{arch: r.Arch.(*gomlxvit.ViTConfig)}
	return r
}
