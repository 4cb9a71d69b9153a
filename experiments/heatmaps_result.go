package experiments

// HeatmapPanel is what some components draw of one text over one picture: for each position of the grid the product of
// what they contributed from the token there, in CLIP's space, with the text's embedding.
type HeatmapPanel struct {
	// Feature is the feature that the text is an instance of; empty for a text of its own.
	Feature string `json:"feature,omitempty"`
	Text    string `json:"text"`
	// Components are those whose maps are summed.
	Components []string  `json:"components"`
	Rows       int       `json:"rows"`
	Columns    int       `json:"columns"`
	Values     []float32 `json:"values"` // [Rows*Columns], row by row
	// Limit is the magnitude at which the colours of the panel end. Panels that are to be compared share one.
	Limit float64 `json:"limit"`
	// Others is what the tokens beside the grid's (class and register tokens) add; the values and it sum to the score.
	Others float64 `json:"others"`
}

// HeatmapPicture is one picture with its panels.
type HeatmapPicture struct {
	Picture int            `json:"picture"` // position in the data
	Name    string         `json:"name"`
	Panels  []HeatmapPanel `json:"panels"`
}

// HeatmapSheet is what one model draws over pictures: experiment 5 of arXiv 2406.01583.
type HeatmapSheet struct {
	Model    string           `json:"model"`
	Pictures []HeatmapPicture `json:"pictures"`
}

// HeatmapResult is experiment 5 for one model or more.
type HeatmapResult struct {
	Sheets []HeatmapSheet `json:"sheets"`
}
