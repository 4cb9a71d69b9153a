package experiments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments/results"
	"vitdecompose/experiments/session"
)

// A component in words:
//
//	vitdecompose describe --model deit-mini
//
// TextSpan's texts from a bank, and the feature that the component carries beyond all others.

// DescribeConfig says what components are described by.
type DescribeConfig struct {
	Features []phrases.Feature `json:"features"`
	Bank     []string          `json:"-"`
	Texts    int               `json:"texts" flag:"texts" default:"5" min:"1" help:"how many texts describe a component"` // 0: 5
	// Rank first projects the bank onto this many top singular vectors of a component; 0 does not project.
	Rank int `json:"rank,omitempty" flag:"rank" min:"0" help:"first project the texts onto this many top singular vectors of the component; 0 does not project"`
}

func (c *DescribeConfig) fill(_ context.Context, s *session.Session) (err error) {
	if c.Features, err = s.Features(c.Features, "retrieval", "scenes"); err != nil {
		return err
	}
	c.Bank, err = s.Bank(c.Bank, s.Options().Data)
	return errors.Join(err, settle(c))
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

// Words are the components of one model in words.
type Words struct {
	Model string
	Words []ComponentInWords
}

// MarshalJSON implements [json.Marshaler]: the words alone.
func (w Words) MarshalJSON() ([]byte, error) { return json.Marshal(w.Words) }

// Describe puts the components of a model into words.
func Describe(ctx context.Context, s *session.Session, config DescribeConfig) (Words, error) {
	out := Words{Model: s.Name}
	if err := config.fill(ctx, s); err != nil {
		return out, err
	}
	r, err := s.Reading(ctx)
	if err != nil {
		return out, err
	}
	attribution, err := r.Attribute(ctx, config.Features)
	if err != nil {
		return out, err
	}
	bank, err := r.Texts(ctx, config.Bank)
	if err != nil {
		return out, fmt.Errorf("text bank: %w", err)
	}
	variances, total := make([]float64, len(r.Components)), 0.0
	for i := range r.Components {
		variances[i] = variance(r.Aligned.Of(i), r.Aligned.Dim)
		total += variances[i]
	}
	for i, component := range r.Components {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		found, err := decompose.TextSpan(r.Aligned.Of(i), r.Aligned.Dim, bank, decompose.TextSpanOptions{Texts: config.Texts, Rank: config.Rank})
		if err != nil {
			return out, fmt.Errorf("%s: %w", component, err)
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
		out.Words = append(out.Words, words)
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

// Summary is empty: the words are the result.
func (w Words) Summary() []string { return nil }

// Table lists components in words.
func (w Words) Table() results.Table {
	table := results.Table{Header: []string{"component", "share_of_variance", "feature", "variance_attributed", "texts", "explained"}}
	for _, w := range w.Words {
		table.Rows = append(table.Rows, []string{w.Component, results.Rounded(w.Share), w.Feature, results.Rounded(w.Attributed), strings.Join(w.Texts, "; "), results.Rounded(w.Explained)})
	}
	return table
}
