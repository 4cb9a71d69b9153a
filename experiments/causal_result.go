package experiments

// Interval is a mean with its 95 % confidence interval.
type Interval struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// ReadoutLoss is what a linear read-out of one feature loses, in accuracy between 0 and 1.
type ReadoutLoss struct {
	Feature string   `json:"feature"`
	Loss    Interval `json:"loss"` // over seeds
}

// CausalFeature is the causal score of the attribution of one feature.
type CausalFeature struct {
	Feature string `json:"feature"`
	// Accuracy of the read-out of this feature with nothing ablated, mean over seeds; Chance is that of its most
	// frequent value.
	Accuracy float64 `json:"accuracy"`
	Chance   float64 `json:"chance"`
	// Components are those ranked first for the feature, of the first seed.
	Components []string `json:"components"`
	// Losses are what each read-out loses when they are ablated, this feature's among them.
	Losses []ReadoutLoss `json:"losses"`
	// Score is the loss of this feature's read-out minus the mean loss of the others', each in standard deviations of the
	// same read-out's losses with random sets, over seeds.
	Score Interval `json:"score"`
	// Random is the same score for random sets of as many components, over the draws of all seeds: mean and the range
	// that 95 % of the draws lie in.
	Random Interval `json:"random"`
	// P is the probability that a random set scores at least as high.
	P float64 `json:"p"`
}

// CausalModel is the causal test of one model's attribution.
type CausalModel struct {
	Model    string          `json:"model"`
	Pictures int             `json:"pictures"`
	Ablated  int             `json:"ablated"` // components at a time
	Seeds    int             `json:"seeds"`
	Draws    int             `json:"draws"` // random sets, all seeds together
	Features []CausalFeature `json:"features"`
}

// CausalResult is the causal test of attributions, which the paper does not have, for one or more models.
type CausalResult struct {
	Models []CausalModel `json:"models"`
}
