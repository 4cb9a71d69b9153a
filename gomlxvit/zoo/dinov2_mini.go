package zoo

import "vitdecompose/gomlxvit"

// dinov2-mini: a vision transformer with LayerScale, trained without labels by
// self-distillation of pictures and of masked patches.
//
//	vitdecompose train dinov2-mini --out DIR
//
// 17 minutes on one CPU core, from dino-mini on; with a linear head 82.8 % of 2000
// held-out scenes, 10.0 % with random weights.
func dinov2Mini() Recipe {
	r := miniViT("vit_small_patch14_dinov2", 4, 0)
	r.Name = "dinov2-mini"
	r.Summary = "A small DINOv2: 64 x 64 pictures in patches of 8, 4 blocks of 4 heads, 96 channels, LayerScale, class token, no head."
	r.Batch, r.Steps, r.WarmUp, r.LearningRate, r.WeightDecay, r.Seed = 48, 800, 50, 5e-4, 0.04, 5
	r.From = "dino-mini" // from there on with masked patches: forms are long to learn without labels
	r.task = distillation{arch: r.Arch.(*gomlxvit.ViTConfig), masked: 0.3}
	return r
}
