package decompose

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"vitdecompose/gomlxvit/safetensors"
)

// Origin is what an aligner belongs to: it maps nothing else.
type Origin struct {
	// Checkpoint and Reference are the hashes of the model whose contributions are mapped and of the CLIP whose space they
	// are mapped into.
	Checkpoint string `json:"checkpoint"`
	Reference  string `json:"reference"`
	// Blocks, Split and Biases say how the model was taken apart.
	Blocks string `json:"blocks"`
	Split  string `json:"split"`
	Biases string `json:"biases"`
	// Input says how pictures become the model's input.
	Input string `json:"input,omitempty"`
}

// differs names what differs from another origin, "" if nothing does.
func (o Origin) differs(other Origin) string {
	for _, field := range []struct{ what, a, b string }{
		{"the model", o.Checkpoint, other.Checkpoint},
		{"the reference CLIP", o.Reference, other.Reference},
		{"the blocks", o.Blocks, other.Blocks},
		{"the split of attention", o.Split, other.Split},
		{"the treatment of biases", o.Biases, other.Biases},
		{"the preprocessing", o.Input, other.Input},
	} {
		if field.a != field.b {
			return fmt.Sprintf("%s: %s there, %s here", field.what, brief(field.a), brief(field.b))
		}
	}
	return ""
}

// brief shortens a hash.
func brief(s string) string {
	switch {
	case s == "":
		return "none"
	case len(s) > 16:
		return s[:12] + "..."
	}
	return s
}

// Names in an aligner's file.
const (
	alignWeights = "weights"
	alignBias    = "bias"
	alignEntry   = "aligner" // alignRecord as JSON
	alignSum     = "sha256"
)

// alignRecord is what an aligner's file says of it in the metadata.
type alignRecord struct {
	Origin        Origin      `json:"origin"`
	TrainedOn     string      `json:"trained_on"` // hash of the pictures
	Config        AlignConfig `json:"config"`
	Components    []string    `json:"components"`
	Pictures      int         `json:"pictures"`
	Steps         int         `json:"steps"`
	Loss          float64     `json:"loss"`
	Orthogonality []float64   `json:"orthogonality"`
}

// WriteFile writes the aligner as a safetensors file, whole or not at all: the tensors weights [component, dim, clip dim]
// and bias [clip dim], and in the metadata all else, with what it belongs to and the hash of the pictures that it was
// trained on.
func (a *Aligner) WriteFile(path string, origin Origin, trainedOn string) error {
	record, err := json.Marshal(alignRecord{origin, trainedOn, a.Config, a.Components, a.Pictures, a.Steps, a.Loss, a.Orthogonality})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	sum, err := safetensors.Sum(string(record), a.Weights, a.Bias)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return safetensors.Write(path, map[string]string{alignEntry: string(record), alignSum: sum}, []safetensors.Tensor{
		{Name: alignWeights, Shape: []int{len(a.Components), a.Dim, a.ClipDim}, Data: a.Weights},
		{Name: alignBias, Shape: []int{a.ClipDim}, Data: a.Bias},
	})
}

// Hash tells aligners apart: the SHA-256, in hexadecimal, of the maps.
func (a *Aligner) Hash() (string, error) { return safetensors.Sum("", a.Weights, a.Bias) }

// ReadAligner reads what [Aligner.WriteFile] wrote, for contributions of this origin. A file that is damaged, or that
// belongs to another model, reference or way of taking apart, is an error that says which. The hash of the pictures it was
// trained on is returned with it.
func ReadAligner(path string, origin Origin) (a *Aligner, trainedOn string, err error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, "", err // names the file
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, ok := f.Metadata()[alignEntry]
	weights, found := f.Info(alignWeights)
	if !ok || !found {
		return nil, "", fmt.Errorf("%s is not an aligner: `vitdecompose align` writes them", path)
	}
	var record alignRecord
	if err := json.Unmarshal([]byte(text), &record); err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	a = &Aligner{
		Components: record.Components, Config: record.Config, Pictures: record.Pictures, Steps: record.Steps, Loss: record.Loss,
		Orthogonality: record.Orthogonality,
	}
	if a.Weights, err = f.Float32(alignWeights); err != nil {
		return nil, "", err
	}
	if a.Bias, err = f.Float32(alignBias); err != nil {
		return nil, "", err
	}
	sum, err := safetensors.Sum(text, a.Weights, a.Bias)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case sum != f.Metadata()[alignSum]:
		return nil, "", fmt.Errorf("%s is damaged: its bytes do not match the hash in it; remove it and align again", path)
	case len(weights.Shape) != 3 || weights.Shape[0] != len(a.Components) || len(a.Bias) != weights.Shape[2] || len(a.Bias) == 0 ||
		len(a.Orthogonality) != len(a.Components):
		return nil, "", fmt.Errorf("%s: weights %v, a bias of %d and %d components do not match", path, weights.Shape, len(a.Bias), len(a.Components))
	}
	a.Dim, a.ClipDim = weights.Shape[1], weights.Shape[2]
	for _, v := range a.Weights {
		if x := float64(v); math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, "", fmt.Errorf("%s: a weight is not finite (%v)", path, v)
		}
	}
	if what := record.Origin.differs(origin); what != "" {
		return nil, "", fmt.Errorf("%s was made for other contributions: %s; align again", path, what)
	}
	return a, record.TrainedOn, nil
}
