package zoo

import (
	"vitdecompose/data/scenes"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/tokenizer"
)

// clip-mini: a CLIP as open_clip has them, small.
//
//	vitdecompose train clip-mini --out DIR
//
// 34 minutes on half a CPU core, and 18 on one from the restart on; zero-shot
// 93.2 % of the classes and 96.4 % of the places of 2000 held-out scenes (98.2 and
// 87.0 % before the restart). From random weights and with batches of any scenes
// it tells colours and places and, after 2600 steps, 46 % of the classes.
func clipMini() Recipe {
	r := clip(clipSize{width: 96, layers: 6, heads: 4, textWidth: 64, textLayers: 3, textHeads: 4})
	r.Name = "clip-mini"
	r.Summary = "A small CLIP: 64 x 64 pictures in patches of 8, 6 blocks of 4 heads, 96 channels; texts of 32 tokens, 3 blocks, 64 channels."
	r.Batch, r.Steps, r.WarmUp, r.LearningRate, r.WeightDecay, r.Seed = 64, 3300, 200, 1e-3, 0.05, 2
	r.Restart = 1800
	return r
}

// clipEmbedding is the number of channels of the space that pictures and texts
// share: no more than any model of the zoo has, so that a map into it from any of
// them can have orthogonal columns.
const clipEmbedding = 64

// clipSize are the sizes of the two towers.
type clipSize struct {
	width, layers, heads             int
	textWidth, textLayers, textHeads int
}

// clip is a recipe with the sizes of a CLIP.
func clip(size clipSize) Recipe {
	const (
		patch  = 8
		length = 32 // of a text, in tokens
	)
	file, err := vocabulary()
	if err != nil {
		panic(err) // the texts are fixed, and tests read them
	}
	words, err := tokenizer.Parse(file)
	if err != nil {
		panic(err)
	}
	config := map[string]any{
		"embed_dim": clipEmbedding,
		"vision_cfg": map[string]any{
			"image_size": scenes.Size, "patch_size": patch, "width": size.width, "layers": size.layers, "head_width": size.width / size.heads,
			"no_ln_pre": true, // as in the transformer that training starts from
		},
		"text_cfg": map[string]any{
			"context_length": length, "vocab_size": words.VocabSize(), "width": size.textWidth, "heads": size.textHeads, "layers": size.textLayers,
		},
	}
	arch, text, err := gomlxvit.OpenCLIP(config)
	if err != nil {
		panic(err)
	}
	return Recipe{
		Arch:     arch,
		From:     "deit-mini", // contrastive training alone is long in learning forms
		openCLIP: config,
		task:     contrastive{arch: arch, text: text, tokenizer: words, traits: traitReadouts{weight: 4}},
	}
}
