package experiments

// Match is a picture that was found.
type Match struct {
	// Picture is its position in the data, Name what the data calls it.
	Picture int    `json:"picture"`
	Name    string `json:"name"`
	// Score is the dot product with the probe's text, or the cosine with the probe picture.
	Score float64 `json:"score"`
	// True tells whether the picture has what was looked for; nil where the data does not know.
	True *bool `json:"true,omitempty"`
}

// TextProbe is a text that pictures were looked for by, and what each group of components found.
type TextProbe struct {
	Text string `json:"text"`
	// Found is what the groups found, [group][rank], best first: as many for the figure as for the share of true ones.
	Found [][]Match `json:"found"`
	// Share is, for each group, the share of true pictures among the best found; nil where the data does not know.
	Share []float64 `json:"share,omitempty"`
	// Base is the share of true pictures among all.
	Base float64 `json:"base,omitempty"`
}

// ComponentGroup is a group of components whose contributions are summed.
type ComponentGroup struct {
	Components []string  `json:"components"`
	Attributed []float64 `json:"variance_attributed"` // one per component
}

// FeatureRetrieval is what was found for the probes of one feature.
type FeatureRetrieval struct {
	Feature string           `json:"feature"`
	Groups  []ComponentGroup `json:"groups"` // in the order of variance attributed to the feature
	Probes  []TextProbe      `json:"probes"`
	// Share and Base are the means over the probes: Share for each group.
	Share []float64 `json:"share,omitempty"`
	Base  float64   `json:"base,omitempty"`
}

// RetrievalSheet is text to image retrieval with one model.
type RetrievalSheet struct {
	Model    string             `json:"model"`
	Pictures int                `json:"pictures"` // that were searched
	Features []FeatureRetrieval `json:"features"`
}

// TextRetrievalResult is text to image retrieval (experiment 2) with one or more models.
type TextRetrievalResult struct {
	Top    int              `json:"top"` // how many of the best are counted in shares
	Sheets []RetrievalSheet `json:"sheets"`
}
