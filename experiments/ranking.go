package experiments

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments/results"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/statistics"
	"vitdecompose/experiments/study"
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
	Instances int               `json:"instances" flag:"instances" default:"4" min:"1" help:"how many texts of each feature pictures are ranked by, from the first on"` // 0: 4
}

func (c *RankingConfig) fill(_ context.Context, s *session.Session) (err error) {
	c.Features, err = s.Features(c.Features, "ranking", "scenes")
	return errors.Join(err, settle(c))
}

// FeatureAgreement is how well the ranking of components by one feature's variance attributed agrees with their ranking
// by correlation with CLIP's ranking of the pictures.
type FeatureAgreement struct {
	Feature  string  `json:"feature"`
	Spearman float64 `json:"spearman"`
}

// ModelRanking is the agreement of one model.
type ModelRanking struct {
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
	Models []ModelRanking `json:"models"`
}

// Ranking measures the agreement of the attribution with CLIP's ranking.
func Ranking(ctx context.Context, s *session.Session, config RankingConfig) (result ModelRanking, err error) {
	if err := config.fill(ctx, s); err != nil {
		return result, err
	}
	r, err := s.Reading(ctx)
	if err != nil {
		return result, err
	}
	result = ModelRanking{Model: s.Name, Pictures: r.Pictures, Components: len(r.Components)}
	if r.Pictures < 3 {
		return result, fmt.Errorf("%d pictures are too few to compare rankings of", r.Pictures)
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
func (m *ModelRanking) agree(a *study.Attribution, correlations [][]float64) error {
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
	m.Within, m.Between = statistics.Mean(within), statistics.Mean(between)
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

// Summary says the agreement in a line.
func (m ModelRanking) Summary() []string {
	return []string{fmt.Sprintf("agreement (Spearman) %.3f within a component, %.3f between components", m.Within, m.Between)}
}

// Table is Table 2, with a column for every feature.
func (r RankingResult) Table() results.Table {
	table := results.Table{Header: []string{"model", "pictures", "components", "within_component", "between_components"}}
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
		copy(row, []string{model.Model, strconv.Itoa(model.Pictures), strconv.Itoa(model.Components), results.Rounded(model.Within), results.Rounded(model.Between)})
		for _, feature := range model.Features {
			row[column[feature.Feature]] = results.Rounded(feature.Spearman)
		}
		table.Rows = append(table.Rows, row)
	}
	return table
}
