package experiments

// AlignmentMethod is how well one way of aligning does.
type AlignmentMethod struct {
	// Name is "one map", "lambda 0", "lambda 1" and so on; "identity" of a CLIP, which needs no alignment.
	Name string `json:"name"`
	// Cosine is the mean cosine similarity of aligned representation and CLIP's embedding on held-out pictures, and
	// Distance is 1 - Cosine.
	Cosine   float64 `json:"cosine_similarity"`
	Distance float64 `json:"cosine_distance"`
	// Orthogonality is the mean over components of the mean over entries of (W'W - I)^2, times the dimension.
	Orthogonality float64 `json:"orthogonality"`
	// MatchRate is the share of the texts that describe a component through the alignment that also describe it through
	// the model's own head, mean over the components that matter most. Chance is what drawing texts would give.
	MatchRate float64 `json:"match_rate"`
	Chance    float64 `json:"chance"`
}

// DescribedComponent is a component and the texts that TextSpan finds for it, strongest first.
type DescribedComponent struct {
	Component string `json:"component"`
	// Importance is the loss (cross entropy) that replacing the component by its mean adds.
	Importance float64 `json:"importance"`
	// ThroughHead are class names by the model's own head, ByMethod by each method of AlignmentModel.Methods.
	ThroughHead []string   `json:"through_head"`
	ByMethod    [][]string `json:"by_method"`
	// Texts are descriptions from the whole text bank by the last method.
	Texts []string `json:"texts"`
}

// AlignmentModel is the alignment quality of one model.
type AlignmentModel struct {
	Model      string               `json:"model"`
	Trained    int                  `json:"trained_on"` // pictures
	HeldOut    int                  `json:"held_out"`   // pictures
	Methods    []AlignmentMethod    `json:"methods"`
	Components []DescribedComponent `json:"components"` // those that matter most
}

// AlignmentResult is the alignment quality (experiment 8, Table 1) of one or more models.
type AlignmentResult struct {
	Models []AlignmentModel `json:"models"`
}

// SweepPoint is the alignment at one lambda.
type SweepPoint struct {
	Lambda        float64 `json:"lambda"`
	Steps         int     `json:"steps"`
	Cosine        float64 `json:"cosine_similarity"` // on held-out pictures
	TrainCosine   float64 `json:"train_cosine_similarity"`
	Orthogonality float64 `json:"orthogonality"` // mean over components
	Least         float64 `json:"least_orthogonality"`
	Most          float64 `json:"most_orthogonality"`
}

// SweepCurve is alignment quality and orthogonality against lambda for one model.
type SweepCurve struct {
	Model  string       `json:"model"`
	Points []SweepPoint `json:"points"` // lambda ascending
}

// SweepResult is a sweep over lambda for one or more models.
type SweepResult struct {
	Curves []SweepCurve `json:"curves"`
}
