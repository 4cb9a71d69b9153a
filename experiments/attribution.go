package experiments

import (
	"context"
	"fmt"

	"vitdecompose/data"
	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
)

// Attribution is how much each component carries each feature (CompAttribute).
type Attribution struct {
	Components []string
	Features   []phrases.Feature
	Explained  [][]float64 // variance explained [feature][component]
	Attributed [][]float64 // variance attributed [feature][component]
	// Shares are the components' shares of the variance of the whole representation along each feature, [feature]
	// [component]: the covariance attributed, scaled so that the shares of a feature sum to 1.
	Shares [][]float64
}

// Attribute scores every component for every feature, by the embeddings of the feature's instances.
func (r *Reading) Attribute(ctx context.Context, features []phrases.Feature) (*Attribution, error) {
	a := &Attribution{Components: r.Components, Features: features}
	for _, feature := range features {
		embeddings, err := r.Phrases(ctx, feature.Instances)
		if err != nil {
			return nil, fmt.Errorf("feature %s: %w", feature.Name, err)
		}
		basis, err := decompose.Basis(embeddings, r.Aligned.Dim)
		if err != nil {
			return nil, fmt.Errorf("feature %s: %w", feature.Name, err)
		}
		explained, err := decompose.VarianceExplained(r.Aligned, basis)
		if err != nil {
			return nil, fmt.Errorf("feature %s: %w", feature.Name, err)
		}
		attributed, err := decompose.VarianceAttributed(r.Aligned, basis)
		if err != nil {
			return nil, fmt.Errorf("feature %s: %w", feature.Name, err)
		}
		shares, err := decompose.CovarianceAttributed(r.Aligned, basis)
		if err != nil {
			return nil, fmt.Errorf("feature %s: %w", feature.Name, err)
		}
		total := 0.0
		for _, v := range shares {
			total += v
		}
		for i := range shares {
			if total > 0 {
				shares[i] /= total
			}
		}
		a.Explained, a.Attributed, a.Shares = append(a.Explained, explained), append(a.Attributed, attributed), append(a.Shares, shares)
	}
	return a, nil
}

// names are the components at these indices.
func names(components []string, indices []int) []string {
	out := make([]string, len(indices))
	for i, index := range indices {
		out[i] = components[index]
	}
	return out
}

// values are what the data knows of one feature of the pictures, "" where it knows nothing; nil when it knows nothing of
// any.
func values(ds data.Dataset, index []int, feature string) []string {
	out, known := make([]string, len(index)), false
	for i, picture := range index {
		out[i] = data.Attributes(ds, picture)[feature]
		known = known || out[i] != ""
	}
	if !known {
		return nil
	}
	return out
}

// shareOf is the share of the values that are this one.
func shareOf(values []string, value string) float64 {
	n := 0
	for _, v := range values {
		if v == value {
			n++
		}
	}
	return float64(n) / float64(len(values))
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
