package experiments

// FeatureAgreement is how well the ranking of components by one feature's variance attributed agrees with their ranking
// by correlation with CLIP's ranking of the pictures.
type FeatureAgreement struct {
	Feature  string  `json:"feature"`
	Spearman float64 `json:"spearman"`
}

// RankingModel is the agreement of one model.
type RankingModel struct {
	Model      string `json:"model"`
	Pictures   int    `json:"pictures"`
	Components int    `json:"components"`
	// Within is the Spearman correlation over the features, mean over components.
	Within float64 `json:"within_component"`
	// Features are the Spearman correlations over the components, Between is their mean.
	Features []FeatureAgreement `json:"features"`
	Between  float64            `json:"between_components"`
	// Undefined counts correlations that do not exist, because one side is constant, and are left out of the means.
	Undefined int `json:"undefined,omitempty"`
}

// RankingResult is the ranking agreement (experiment 3, Table 2) of one or more models.
type RankingResult struct {
	Models []RankingModel `json:"models"`
}
