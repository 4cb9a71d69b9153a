package experiments

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
)

// A component in words:
//
//	vitdecompose describe --model deit-mini
//
// TextSpan's texts from a bank, and the feature that the component carries beyond all others.

// DescribeConfig says what components are described by.
type DescribeConfig struct {
	Features []phrases.Feature `json:"features"`
	Bank     []string          `json:"bank"`
	Texts    int               `json:"texts"` // for each component; 0: 5
	// Rank projects the bank on so many top singular vectors of a component first; 0: not.
	Rank int `json:"rank,omitempty"`
}

// ComponentInWords is a component's description.
type ComponentInWords struct {
	Component string `json:"component"`
	// Share is the component's share of the variance of the aligned representation over the pictures, Feature the one that
	// it carries most, Attributed the variance attributed to it for that.
	Share      float64 `json:"share"`
	Feature    string  `json:"feature"`
	Attributed float64 `json:"variance_attributed"`
	// Texts are TextSpan's, strongest first, and Explained is the share of the component's variance that they span.
	Texts     []string `json:"texts"`
	Explained float64  `json:"explained"`
}

// Describe puts the components of a reading into words.
func Describe(ctx context.Context, r *Reading, config DescribeConfig) ([]ComponentInWords, error) {
	if config.Texts == 0 {
		config.Texts = 5
	}
	if len(config.Bank) == 0 || len(config.Features) == 0 {
		return nil, errors.New("describing components takes a bank of texts and a list of features")
	}
	attribution, err := r.Attribute(ctx, config.Features)
	if err != nil {
		return nil, err
	}
	bank, err := r.Texts(ctx, config.Bank)
	if err != nil {
		return nil, fmt.Errorf("text bank: %w", err)
	}
	variances, total := make([]float64, len(r.Components)), 0.0
	for i := range r.Components {
		variances[i] = variance(r.Aligned.Of(i), r.Aligned.Dim)
		total += variances[i]
	}
	var out []ComponentInWords
	for i, component := range r.Components {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, err := decompose.TextSpan(r.Aligned.Of(i), r.Aligned.Dim, bank, decompose.TextSpanOptions{Texts: config.Texts, Rank: config.Rank})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", component, err)
		}
		words := ComponentInWords{Component: component, Texts: []string{}}
		if total > 0 {
			words.Share = variances[i] / total
		}
		for _, d := range found {
			words.Texts = append(words.Texts, config.Bank[d.Text])
			words.Explained = d.Explained
		}
		var scores []float64
		for f := range config.Features {
			scores = append(scores, attribution.Attributed[f][i])
		}
		best := decompose.Order(scores)[0]
		words.Feature, words.Attributed = config.Features[best].Name, scores[best]
		out = append(out, words)
	}
	return out, nil
}

// variance is the trace of the covariance of rows [row, dim].
func variance(rows []float32, dim int) float64 {
	centre := make([]float64, dim)
	n := float64(len(rows) / dim)
	for row := range slices.Chunk(rows, dim) {
		for d, v := range row {
			centre[d] += float64(v) / n
		}
	}
	sum := 0.0
	for row := range slices.Chunk(rows, dim) {
		for d, v := range row {
			sum += (float64(v) - centre[d]) * (float64(v) - centre[d]) / n
		}
	}
	return sum
}

// WordsTable lists components in words.
func WordsTable(words []ComponentInWords) Table {
	table := Table{Header: []string{"component", "share_of_variance", "feature", "variance_attributed", "texts", "explained"}}
	for _, w := range words {
		table.Rows = append(table.Rows, []string{w.Component, rounded(w.Share), w.Feature, rounded(w.Attributed), strings.Join(w.Texts, "; "), rounded(w.Explained)})
	}
	return table
}
