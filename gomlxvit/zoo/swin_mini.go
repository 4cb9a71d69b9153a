package zoo

import (
	"vitdecompose/data/scenes"
	"vitdecompose/gomlxvit"
)

// swin-mini: a Swin transformer, small.
//
//	vitdecompose train swin-mini --out DIR
//
// 9 minutes on one CPU core, and 9 from the restart on; 96.9 % of 2000 held-out
// scenes (98.1 % before the restart). It sees 95 % right
// after 600 steps, before the places fade in; without the fading it was at 50 %
// after 4500.
func swinMini() Recipe {
	const (
		architecture = "swin_tiny_patch4_window7_224"
		patch        = 4
		width        = 32
		window       = 4
	)
	depths, heads := []int{2, 2, 2}, []int{2, 4, 8}
	arch := &gomlxvit.SwinConfig{
		ImageSize: scenes.Size, PatchSize: patch, Width: width, Depths: depths, Heads: heads,
		Windows: []int{window, window, window}, MLPRatio: 4, QKVBias: true, Classes: len(scenes.Classes), Epsilon: 1e-5,
	}
	return Recipe{
		Name:         "swin-mini",
		Summary:      "A small Swin: 64 x 64 pictures in patches of 4, 3 stages of 2 blocks with 32, 64 and 128 channels, windows of 4 x 4.",
		Architecture: architecture,
		ModelArgs: map[string]any{
			"img_size": scenes.Size, "patch_size": patch, "window_size": window, "embed_dim": width, "depths": depths, "num_heads": heads,
		},
		Arch:  arch,
		Batch: 32, Steps: 7000, WarmUp: 200, LearningRate: 1e-3, Restart: 4000, WeightDecay: 0.05, FadeIn: 0.3, Seed: 6,
		task: supervised{arch: arch, smoothing: 0.05, traits: traitReadouts{weight: 4}},
	}
}
