package experiments

// The ways to segment that experiment 6 compares.
const (
	ByDecomposition = "decomposition"
	ByGradCAM       = "GradCAM"
	ByChefer        = "Chefer"
)

// MethodScore is how well one method finds the objects of a model's pictures.
type MethodScore struct {
	Method string `json:"method"`
	SegmentationScore
}

// SegmentationMap is what a method says of a picture: a saliency for each position of the model's grid. The largest is 1; what
// is below 0 speaks against the class.
type SegmentationMap struct {
	Method  string    `json:"method"`
	Rows    int       `json:"rows"`
	Columns int       `json:"columns"`
	Values  []float32 `json:"values"` // [Rows*Columns], row by row
}

// SegmentationExample is one picture with its maps, for a figure.
type SegmentationExample struct {
	Picture int               `json:"picture"` // position in the data
	Name    string            `json:"name"`
	Class   string            `json:"class"` // the true one, whose logit is taken apart
	Maps    []SegmentationMap `json:"maps"`
}

// SegmentationModel is experiment 6 of arXiv 2406.01583 for one model.
type SegmentationModel struct {
	Model    string                `json:"model"`
	Blocks   string                `json:"blocks"` // that were decomposed
	Pictures int                   `json:"pictures"`
	Scores   []MethodScore         `json:"scores"`
	Examples []SegmentationExample `json:"examples"`
}

// SegmentationResult is experiment 6 for one model or more.
type SegmentationResult struct {
	Models []SegmentationModel `json:"models"`
}
