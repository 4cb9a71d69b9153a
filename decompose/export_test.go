package decompose

// Correlations by hand and against scipy are tested on these.
var (
	Pearson = pearson
	Ranks   = ranks
)
