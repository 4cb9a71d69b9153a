package zoo

// clip-ref-mini: a larger CLIP, into whose space the other models' contributions
// are mapped.
//
//	vitdecompose train clip-ref-mini --out DIR
//
// 38 minutes on one CPU core, and 27 from the restart on; zero-shot 94.7 % of the
// classes and 97.8 % of the places of 2000 held-out scenes (before the restart 98.6
// and 86.7 %, and 50 % of the patterns rather than 77 %). The weights that ship had
// another restart at step 1300.
func clipRefMini() Recipe {
	r := clip(clipSize{width: 96, layers: 8, heads: 4, textWidth: 96, textLayers: 4, textHeads: 4})
	r.Name = "clip-ref-mini"
	r.Summary = "A larger small CLIP, the target of alignment: 64 x 64 pictures in patches of 8, 8 blocks of 4 heads, 96 channels; texts of 32 tokens, 4 blocks, 96 channels."
	r.Batch, r.Steps, r.WarmUp, r.LearningRate, r.WeightDecay, r.Seed = 64, 3800, 150, 1e-3, 0.05, 3
	r.Restart = 2300
	return r
}
