package experiments

// PropertySearch is what was found for a probe picture by one property.
type PropertySearch struct {
	Feature    string   `json:"feature"`
	Components []string `json:"components"` // whose contributions are summed, first ones first
	Found      []Match  `json:"found"`      // nearest first, without the probe itself
	// Share is the share of those found that have the probe's value of the feature, Base the share among all pictures;
	// nil where the data does not know.
	Share *float64 `json:"share,omitempty"`
	Base  *float64 `json:"base,omitempty"`
}

// ImageProbe is a picture that others were compared with.
type ImageProbe struct {
	Picture  int              `json:"picture"`
	Name     string           `json:"name"`
	Searches []PropertySearch `json:"searches"`
}

// PropertyShare sums up a feature over the probes.
type PropertyShare struct {
	Feature string  `json:"feature"`
	Share   float64 `json:"share"`
	Base    float64 `json:"base"`
	Probes  int     `json:"probes"`
}

// ImageRetrievalSheet is image to image retrieval by a property with one model.
type ImageRetrievalSheet struct {
	Model    string          `json:"model"`
	Pictures int             `json:"pictures"`
	Probes   []ImageProbe    `json:"probes"` // those shown
	Shares   []PropertyShare `json:"shares,omitempty"`
}

// ImageRetrievalResult is image to image retrieval (experiment 4) with one or more models.
type ImageRetrievalResult struct {
	Sheets []ImageRetrievalSheet `json:"sheets"`
}
