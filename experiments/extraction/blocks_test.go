package extraction_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments/extraction"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/mark"
)

// TestRetrievalBlocks holds the choice against the column "retrieval, ranking, heatmaps, Waterbirds" of the paper's models.
func TestRetrievalBlocks(t *testing.T) {
	for name, want := range map[string]string{
		"deit_base_patch16_224":        "layer:07 to layer:11",
		"ViT-B-16":                     "layer:07 to layer:11",
		"vit_base_patch14_dinov2":      "layer:07 to layer:11",
		"swin_base_patch4_window7_224": "layer:(2,14) to layer:(3,1)",
		"maxvit_small_tf_224":          "layer:(2,3) to layer:(3,1)",
		"swin_tiny_patch4_window7_224": "layer:(2,4) to layer:(3,1)",
		"coatnet_0_rw_224":             "layer:(2,5) to layer:(3,1)",
	} {
		arch, err := gomlxvit.Lookup(name)
		require.NoError(t, err)
		blocks := arch.Blocks()
		first, last := extraction.RetrievalBlocks(blocks)
		require.Equal(t, want, fmt.Sprintf("%v to %v", blocks[first], blocks[last]), name)
	}
	require.Equal(t, [2]int{4, 5}, chosen(extraction.RetrievalBlocks(threeStages(t))))
}

func chosen(first, last int) [2]int { return [2]int{first, last} }

// threeStages are the blocks of a Swin with one stage less than the paper's.
func threeStages(t *testing.T) []mark.Block {
	t.Helper()
	arch, err := gomlxvit.Timm("swin_tiny_patch4_window7_224", map[string]any{
		"img_size": 64.0, "window_size": 4.0, "depths": []any{2.0, 2.0, 2.0}, "num_heads": []any{2.0, 4.0, 8.0}, "embed_dim": 16.0,
	})
	require.NoError(t, err)
	return arch.Blocks()
}

// TestSegmentationBlocks holds the choice against the column "segmentation" of the paper's models.
func TestSegmentationBlocks(t *testing.T) {
	for name, want := range map[string]string{
		"deit_base_patch16_224":        "layer:05 to layer:11",
		"swin_base_patch4_window7_224": "layer:(2,10) to layer:(3,1)",
		"maxvit_small_tf_224":          "layer:(2,0) to layer:(3,1)",
	} {
		arch, err := gomlxvit.Lookup(name)
		require.NoError(t, err)
		first, last := extraction.SegmentationBlocks(arch.Blocks())
		require.Equal(t, want, fmt.Sprintf("%v to %v", arch.Blocks()[first], arch.Blocks()[last]), name)
	}
	require.Equal(t, [2]int{2, 5}, chosen(extraction.SegmentationBlocks(threeStages(t))))
	for depth, want := range map[int][2]int{1: {0, 0}, 4: {2, 3}, 6: {2, 5}, 24: {10, 23}} {
		var blocks []mark.Block
		for i := range depth {
			blocks = append(blocks, mark.Plain(i))
		}
		require.Equal(t, want, chosen(extraction.SegmentationBlocks(blocks)))
	}
}
