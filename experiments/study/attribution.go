package study

import (
	"context"
	"fmt"

	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
)

// Attribution is how much each component carries each feature (CompAttribute).
type Attribution struct {
	Components []string
	Features   []phrases.Feature
	Attributed [][]float64 // variance attributed [feature][component]
}

// Attribute scores every component for every feature, by the embeddings of the feature's instances.
func (r *Reading) Attribute(ctx context.Context, features []phrases.Feature) (*Attribution, error) {
	attributed, err := r.Score(ctx, features, decompose.VarianceAttributed)
	return &Attribution{Components: r.Components, Features: features, Attributed: attributed}, err
}

// Shares are the components' shares of the variance of the whole representation along each feature, [feature][component]:
// the covariance attributed, scaled so that the shares of a feature sum to 1.
func (r *Reading) Shares(ctx context.Context, features []phrases.Feature) ([][]float64, error) {
	shares, err := r.Score(ctx, features, decompose.CovarianceAttributed)
	for _, ofFeature := range shares {
		total := 0.0
		for _, v := range ofFeature {
			total += v
		}
		for i := range ofFeature {
			if total > 0 {
				ofFeature[i] /= total
			}
		}
	}
	return shares, err
}

// Score scores every component along the basis of every feature: [feature][component].
func (r *Reading) Score(ctx context.Context, features []phrases.Feature, score func(c *decompose.Contributions, basis []float64) ([]float64, error)) ([][]float64, error) {
	var out [][]float64
	for _, feature := range features {
		embeddings, err := r.Phrases(ctx, feature.Instances)
		if err != nil {
			return nil, fmt.Errorf("feature %s: %w", feature.Name, err)
		}
		basis, err := decompose.Basis(embeddings, r.Aligned.Dim)
		if err != nil {
			return nil, fmt.Errorf("feature %s: %w", feature.Name, err)
		}
		scores, err := score(r.Aligned, basis)
		if err != nil {
			return nil, fmt.Errorf("feature %s: %w", feature.Name, err)
		}
		out = append(out, scores)
	}
	return out, nil
}
