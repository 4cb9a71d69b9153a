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
	blocks := []gomlxvit.BlockKind{gomlxvit.MaxViTBlock}
	arch := &gomlxvit.MaxxViTConfig{
		ImageSize: scenes.Size, StemWidths: [2]int{stem, stem}, StemBias: true, Widths: widths, Depths: depths,
		Kinds: [][]gomlxvit.BlockKind{blocks, blocks, blocks}, HeadHidden: widths[2], Classes: len(scenes.Classes),
		Conv: gomlxvit.MaxxViTConvolution{
			SamePadding: true, Activation: gomlxvit.GELUTanh, Epsilon: 1e-3, Ratio: convRatio, OutputBias: true,
			SqueezeRatio: 0.25, SqueezeActivation: gomlxvit.SiLU,
		},
		Attention: gomlxvit.MaxxViTAttention{
			HeadDim: headDim, MLPRatio: 4, Positions: gomlxvit.PositionTableTF, PositionHidden: 512, Activation: gomlxvit.GELUTanh, Epsilon: 1e-5,
			Partition: partition,
		},
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
