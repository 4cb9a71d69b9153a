package extraction

import (
	"vitdecompose/decompose"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/mark"
)

// RetrievalBlocks chooses the blocks that arXiv 2406.01583 takes apart for retrieval, ranking, heatmaps and Waterbirds,
// as the first and the last index into blocks: of a plain vision transformer the last five; of a staged model the stages
// after stage 2 and the last blocks of that, four of a deep one (Swin-B: from stage 2 block 14 on) and two of one with at
// most eight (MaxViT-S: from stage 2 block 3 on). Smaller models, which the paper does not have, follow the same rule;
// one whose last stage is stage 2 is taken apart from its begin.
func RetrievalBlocks(blocks []mark.Block) (first, last int) {
	return lastBlocks(blocks, 5, 2, 4, 2)
}

// SegmentationBlocks chooses the blocks that arXiv 2406.01583 takes apart for zero-shot segmentation, as the first and the
// last index into blocks: of a plain vision transformer seven of twelve, the last ones, and the same share of one with another
// depth; of a staged model the last stage and the last blocks of the one before it, eight of a deep one (Swin-B: from stage 2
// block 10 on) and all of one with at most eight (MaxViT-S: from stage 2 block 0 on).
func SegmentationBlocks(blocks []mark.Block) (first, last int) {
	return lastBlocks(blocks, max(1, (7*len(blocks)+6)/12), max(0, blocks[len(blocks)-1].Stage-1), 8, 8)
}

// lastBlocks chooses the last plain blocks or, of a staged model, the stages after a given one and the last blocks of that:
// deep of them where it has more than eight, and else shallow.
func lastBlocks(blocks []mark.Block, plain, stage, deep, shallow int) (first, last int) {
	last = len(blocks) - 1
	if !blocks[last].Staged {
		return max(0, len(blocks)-plain), last
	}
	if blocks[last].Stage < stage {
		return 0, last
	}
	depth, begin := 0, 0
	for i, b := range blocks {
		if b.Stage == stage {
			depth = b.Index + 1
			begin = i - b.Index
		}
	}
	switch {
	case blocks[last].Stage == stage:
		return begin, last
	case depth > 8:
		return begin + depth - deep, last
	}
	return begin + max(0, depth-shallow), last
}

// PaperOptions take a model apart as arXiv 2406.01583 does for all that is read by text: the blocks of [RetrievalBlocks],
// attention by heads, each bias shared over the contributions it is added to.
func PaperOptions(model *gomlxvit.Model) decompose.Options {
	first, last := RetrievalBlocks(model.Arch.Blocks())
	return decompose.Options{First: first, End: last + 1, Split: decompose.Heads, Biases: decompose.BiasesShared}
}
