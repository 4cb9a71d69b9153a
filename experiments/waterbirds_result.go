package experiments

// BirdGroup is the pictures of one kind of bird at one kind of place.
type BirdGroup struct {
	Bird     string `json:"bird"`  // landbird or waterbird
	Place    string `json:"place"` // land or water
	Pictures int    `json:"pictures"`
	// Accuracy is the share classified rightly with 0, 1, 2, ... components replaced by their mean, in the order of
	// WaterbirdsModel.Order.
	Accuracy []float64 `json:"accuracy"`
}

// BirdComponent is a component with how it was judged.
type BirdComponent struct {
	Component string `json:"component"`
	// Spurious and Core are the variances attributed to the texts about places and about birds.
	Spurious float64  `json:"spurious"`
	Core     float64  `json:"core"`
	Words    []string `json:"words"` // what TextSpan says of it; nil where it was not asked
}

// WaterbirdsModel is experiment 7 of arXiv 2406.01583 for one model.
type WaterbirdsModel struct {
	Model  string      `json:"model"`
	Groups []BirdGroup `json:"groups"`
	// Order are the components as they are ablated: those first that carry the place more than the bird.
	Order []BirdComponent `json:"order"`
	// Ablated is how many the result is about; the paper's 10.
	Ablated int `json:"ablated"`
}

// WaterbirdsResult is experiment 7 for one model or more.
type WaterbirdsResult struct {
	Models []WaterbirdsModel `json:"models"`
}

// Worst is the accuracy of the worst group with k components ablated.
func (m WaterbirdsModel) Worst(k int) float64 {
	worst := 1.0
	for _, g := range m.Groups {
		worst = min(worst, g.Accuracy[k])
	}
	return worst
}

// Mean is the mean accuracy of the groups with k components ablated, each group counting once.
func (m WaterbirdsModel) Mean(k int) float64 {
	sum := 0.0
	for _, g := range m.Groups {
		sum += g.Accuracy[k]
	}
	return sum / float64(len(m.Groups))
}
