package zoo

import (
	"vitdecompose/data/scenes"
	"vitdecompose/gomlxvit"
)

// maxvit-mini: a MaxViT in timm's tf variant, small.
//
//	vitdecompose train maxvit-mini --out DIR
//
// 37 minutes on half a CPU core, and 13 on one from the restart on; 98.9 % of 2000
// held-out scenes (99.6 % before the restart).
func maxvitMini() Recipe {
	const (
		architecture = "maxvit_tiny_tf_224"
		stem         = 16
		headDim      = 16
		partition    = 16 // windows of 4 x 4
		convRatio    = 2
	)
	widths, depths := []int{32, 64, 96}, []int{1, 1, 2}
	arch := &gomlxvit.MaxViTConfig{
		ImageSize: scenes.Size, StemWidths: [2]int{stem, stem}, Widths: widths, Depths: depths,
		HeadDim: headDim, Partition: partition, ConvRatio: convRatio, SqueezeRatio: 0.25, MLPRatio: 4, HeadHidden: widths[2],
		Classes: len(scenes.Classes), ConvEpsilon: 1e-3, Epsilon: 1e-5,
	}
	return Recipe{
		Name:         "maxvit-mini",
		Summary:      "A small MaxViT: 64 x 64 pictures, 3 stages of 1, 1 and 2 blocks with 32, 64 and 96 channels, windows and grids of 4 x 4.",
		Architecture: architecture,
		ModelArgs: map[string]any{
			"img_size": scenes.Size, "embed_dim": widths, "depths": depths, "block_type": []string{"M", "M", "M"}, "stem_width": stem,
			"head_hidden_size": widths[2], "conv_expand_ratio": convRatio,
			"transformer_dim_head": headDim, "transformer_partition_ratio": partition,
		},
		Arch:  arch,
		Batch: 32, Steps: 6000, WarmUp: 150, LearningRate: 1e-3, Restart: 3500, WeightDecay: 0.05, FadeIn: 0.3, Seed: 7,
		task: supervised{arch: arch, smoothing: 0.05, traits: traitReadouts{weight: 4}},
	}
}
