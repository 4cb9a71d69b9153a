package zoo

// clip-ref-mini: a larger CLIP, into whose space the other models' contributions
// are mapped.
//
//	vitdecompose train clip-ref-mini --out DIR
//
// 38 minutes on one CPU core; zero-shot 98.6 % of the classes and 86.7 % of the
// places of 2000 held-out scenes (71.2 % of the places before the restart).
func clipRefMini() Recipe {
	r := clip(clipSize{width: 96, layers: 8, heads: 4, textWidth: 96, textLayers: 4, textHeads: 4})
	r.Name = "clip-ref-mini"
	r.Summary = "A larger small CLIP, the target of alignment: 64 x 64 pictures in patches of 8, 8 blocks of 4 heads, 96 channels; texts of 32 tokens, 4 blocks, 96 channels."
	r.Batch, r.Steps, r.WarmUp, r.LearningRate, r.WeightDecay, r.Seed = 64, 2300, 150, 1e-3, 0.05, 3
	r.Restart = 1300
	return r
}
