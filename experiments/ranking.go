package experiments

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
)

// Ranking agreement, experiment 3 (Table 2) of arXiv 2406.01583:
//
//	vitdecompose run ranking --out results/ranking
//
// For the first instances of each feature, CLIP ranks the pictures by its own embeddings, and every component ranks them by
// its aligned contribution. Does a component that the attribution says carries a feature rank as CLIP does? The agreement
// is the rank correlation (Spearman) of the variance attributed with how well the rankings correlate: over the features
// within a component, and over the components for a feature. The paper reports positive agreement for all models.

// RankingConfig says what is ranked by. Zero fields stand for the paper's values.
type RankingConfig struct {
	Features  []phrases.Feature `json:"features"`
	Instances int               `json:"instances"` // of each feature, from the first on; 0: 4
}

// Ranking measures the agreement for a reading.
func Ranking(ctx context.Context, r *Reading, config RankingConfig) (RankingModel, error) {
	result := RankingModel{Model: r.Model, Pictures: r.Pictures, Components: len(r.Components)}
	switch {
	case len(config.Features) == 0:
		return result, errors.New("there are no features to rank by")
	case config.Instances < 0:
		return result, fmt.Errorf("%d instances of each feature cannot be", config.Instances)
	case r.Pictures < 3:
		return result, fmt.Errorf("%d pictures are too few to compare rankings of", r.Pictures)
	}
	if config.Instances == 0 {
		config.Instances = 4
	}
	var features []phrases.Feature
	for _, feature := range config.Features {
		feature.Instances = feature.Instances[:min(config.Instances, len(feature.Instances))]
		features = append(features, feature)
	}
	attribution, err := r.Attribute(ctx, features)
	if err != nil {
		return result, err
	}
	// How well each component ranks as CLIP does [feature][component], mean over the instances.
	correlations := make([][]float64, len(features))
	for f, feature := range features {
		embeddings, err := r.Phrases(ctx, feature.Instances)
		if err != nil {
			return result, fmt.Errorf("feature %s: %w", feature.Name, err)
		}
		correlations[f] = make([]float64, len(r.Components))
		for k := range feature.Instances {
			if err := ctx.Err(); err != nil {
				return result, err
			}
			text := embeddings[k*r.Aligned.Dim:][:r.Aligned.Dim]
			clip := wide(products(r.Embeddings, text))
			for i := range r.Components {
				own := wide(products(r.Aligned.Of(i), text))
				correlations[f][i] += decompose.RankingCorrelation(clip, own) / float64(len(feature.Instances))
			}
		}
	}
	return result, result.agree(attribution, correlations)
}

// agree fills in the Spearman correlations of attribution and correlations [feature][component].
func (m *RankingModel) agree(a *Attribution, correlations [][]float64) error {
	var within, between []float64
	for i := range a.Components {
		var attributed, correlated []float64
		for f := range a.Features {
			attributed, correlated = append(attributed, a.Attributed[f][i]), append(correlated, correlations[f][i])
		}
		if rho := decompose.Spearman(attributed, correlated); math.IsNaN(rho) {
			m.Undefined++
		} else {
			within = append(within, rho)
		}
	}
	for f, feature := range a.Features {
		rho := decompose.Spearman(a.Attributed[f], correlations[f])
		if math.IsNaN(rho) {
			m.Undefined++
			continue
		}
		between = append(between, rho)
		m.Features = append(m.Features, FeatureAgreement{feature.Name, rho})
	}
	if len(within) == 0 || len(between) == 0 {
		return fmt.Errorf("%s: all correlations are of constants; take more components, features and pictures", m.Model)
	}
	m.Within, m.Between = mean(within), mean(between)
	return nil
}

// wide converts to float64.
func wide(values []float32) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = float64(v)
	}
	return out
}

// Table is Table 2, with a column for every feature.
func (r RankingResult) Table() Table {
	table := Table{Header: []string{"model", "pictures", "components", "within_component", "between_components"}}
	column := make(map[string]int)
	for _, model := range r.Models {
		for _, feature := range model.Features {
			if column[feature.Feature] == 0 {
				column[feature.Feature] = len(table.Header)
				table.Header = append(table.Header, feature.Feature)
			}
		}
	}
	for _, model := range r.Models {
		row := make([]string, len(table.Header))
		copy(row, []string{model.Model, strconv.Itoa(model.Pictures), strconv.Itoa(model.Components), rounded(model.Within), rounded(model.Between)})
		for _, feature := range model.Features {
			row[column[feature.Feature]] = rounded(feature.Spearman)
		}
		table.Rows = append(table.Rows, row)
	}
	return table
}
