package experiments

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments/results"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/statistics"
	"vitdecompose/experiments/study"
)

// Text to image retrieval, experiment 2 of arXiv 2406.01583:
//
//	vitdecompose run text-retrieval --out results/text-retrieval
//
// Components are ordered by the variance that a feature attributes to them, and taken in groups of three in that order. A
// group's contributions, in CLIP's space, are summed, and pictures are looked for whose sum has the largest dot product
// with a text. The paper finds, by eye, that the first groups find what the text says and later ones do not. Where the
// data knows the truth, the share of true pictures among the best says so in numbers.
//
// About 15 seconds for a model of the zoo on 2 cores, aligning included.

// TextRetrievalConfig says what is looked for. Zero fields stand for the paper's values.
type TextRetrievalConfig struct {
	Features []phrases.Feature `json:"features"`                                                                                            // every instance is a probe
	Group    int               `json:"group" flag:"group" default:"3" min:"1" help:"components in a group"`                                 // 0: 3
	Groups   int               `json:"groups" flag:"groups" default:"4" min:"1" help:"groups, from the first on"`                           // 0: 4
	Top      int               `json:"top" flag:"top" default:"9" min:"1" help:"how many of the best pictures the shares are counted over"` // 0: 9
}

func (c *TextRetrievalConfig) fill(_ context.Context, s *session.Session) (err error) {
	c.Features, err = s.Features(c.Features, "retrieval", "scenes")
	return errors.Join(err, settle(c))
}

// Match is a picture that was found.
type Match struct {
	// Picture is its position in the data, Name what the data calls it.
	Picture int    `json:"picture"`
	Name    string `json:"name"`
	// Score is the dot product with the probe's text, or the cosine with the probe picture.
	Score float64 `json:"score"`
	// True reports whether the picture has what was looked for; nil where the data does not know.
	True *bool `json:"true,omitempty"`
}

// TextProbe is a text that pictures were looked for by, and what each group of components found.
type TextProbe struct {
	Text string `json:"text"`
	// Found is what the groups found, [group][rank], best first: as many for the figure as for the share of true ones.
	Found [][]Match `json:"found"`
	// Share is, for each group, the share of true pictures among the best found; nil where the data does not know.
	Share []float64 `json:"share,omitempty"`
	// Base is the share of true pictures among all.
	Base float64 `json:"base,omitempty"`
}

// ComponentGroup is a group of components whose contributions are summed.
type ComponentGroup struct {
	Components []string  `json:"components"`
	Attributed []float64 `json:"variance_attributed"` // one per component
}

// FeatureRetrieval is what was found for the probes of one feature.
type FeatureRetrieval struct {
	Feature string           `json:"feature"`
	Groups  []ComponentGroup `json:"groups"` // in the order of variance attributed to the feature
	Probes  []TextProbe      `json:"probes"`
	// Share and Base are the means over the probes: Share for each group.
	Share []float64 `json:"share,omitempty"`
	Base  float64   `json:"base,omitempty"`
}

// ModelTextRetrieval is text to image retrieval with one model.
type ModelTextRetrieval struct {
	Model    string             `json:"model"`
	Pictures int                `json:"pictures"` // that were searched
	Top      int                `json:"-"`        // how many of the best are counted in shares
	Features []FeatureRetrieval `json:"features"`
}

// TextRetrievalResult is text to image retrieval (experiment 2) with one or more models.
type TextRetrievalResult struct {
	Top    int                  `json:"top"` // how many of the best are counted in shares
	Models []ModelTextRetrieval `json:"sheets"`
}

// TextRetrieval looks for pictures by text.
func TextRetrieval(ctx context.Context, s *session.Session, config TextRetrievalConfig) (result ModelTextRetrieval, err error) {
	if err := config.fill(ctx, s); err != nil {
		return result, err
	}
	r, err := s.Reading(ctx)
	if err != nil {
		return result, err
	}
	attribution, err := r.Attribute(ctx, config.Features)
	if err != nil {
		return result, err
	}
	result = ModelTextRetrieval{Model: s.Name, Pictures: r.Pictures, Top: config.Top}
	for f, feature := range config.Features {
		if err := ctx.Err(); err != nil {
			return result, err
		}
		found := FeatureRetrieval{Feature: feature.Name}
		var sums [][]float32 // [group][picture * clip dim]
		for group := range slices.Chunk(decompose.Order(attribution.Attributed[f]), config.Group) {
			if len(sums) == config.Groups {
				break
			}
			sums = append(sums, r.Aligned.Sum(group))
			members := ComponentGroup{Components: at(r.Components, group)}
			for _, component := range group {
				members.Attributed = append(members.Attributed, attribution.Attributed[f][component])
			}
			found.Groups = append(found.Groups, members)
		}
		embeddings, err := r.Phrases(ctx, feature.Instances)
		if err != nil {
			return result, fmt.Errorf("feature %s: %w", feature.Name, err)
		}
		truth := truths(s, r.Data, r.Index, feature.Name)
		if truth != nil {
			found.Share = make([]float64, len(sums))
		}
		for p, instance := range feature.Instances {
			text := embeddings[p*r.Aligned.Dim:][:r.Aligned.Dim]
			probe := TextProbe{Text: instance}
			value := phrases.Value(feature.Name, instance)
			for g, sum := range sums {
				scores := products(sum, text)
				best := statistics.Top(scores, config.Top)
				probe.Found = append(probe.Found, matches(r, best, scores, truth, value))
				if truth == nil {
					continue
				}
				hits := 0
				for _, picture := range best {
					if truth[picture] == value {
						hits++
					}
				}
				probe.Share = append(probe.Share, float64(hits)/float64(len(best)))
				found.Share[g] += probe.Share[g] / float64(len(feature.Instances))
			}
			if truth != nil {
				probe.Base = shareOf(truth, value)
				found.Base += probe.Base / float64(len(feature.Instances))
			}
			found.Probes = append(found.Probes, probe)
		}
		result.Features = append(result.Features, found)
	}
	return result, nil
}

// matches describes found pictures, given by their positions in the reading. truth is nil where the data does not know.
func matches(r *study.Reading, found []int, scores []float32, truth []string, value string) []Match {
	var out []Match
	for _, picture := range found {
		match := Match{Picture: r.Index[picture], Name: r.Data.Item(r.Index[picture]).Name, Score: float64(scores[picture])}
		if truth != nil {
			is := truth[picture] == value
			match.True = &is
		}
		out = append(out, match)
	}
	return out
}

// Summary says for each feature how many of the pictures found are true.
func (s ModelTextRetrieval) Summary() []string {
	var lines []string
	for _, feature := range s.Features {
		if feature.Share != nil {
			lines = append(lines, fmt.Sprintf("%s: %.0f %% of the %d best are true with the first %d components, %.0f %% of all pictures", feature.Feature,
				100*feature.Share[0], s.Top, len(feature.Groups[0].Components), 100*feature.Base))
		}
	}
	return lines
}

// Table lists, for every feature and group, what share of the best pictures is true.
func (r TextRetrievalResult) Table() results.Table {
	table := results.Table{Header: []string{"model", "feature", "group", "components", "variance_attributed", "share_of_top_" + strconv.Itoa(r.Top), "base_rate", "times_base"}}
	for _, result := range r.Models {
		for _, feature := range result.Features {
			for g, group := range feature.Groups {
				var attributed []string
				for _, v := range group.Attributed {
					attributed = append(attributed, results.Rounded(v))
				}
				row := []string{result.Model, feature.Feature, strconv.Itoa(g + 1), strings.Join(group.Components, "; "), strings.Join(attributed, "; "), "", "", ""}
				if feature.Share != nil {
					row[5], row[6] = results.Rounded(feature.Share[g]), results.Rounded(feature.Base)
					if feature.Base > 0 {
						row[7] = results.Rounded(feature.Share[g] / feature.Base)
					}
				}
				table.Rows = append(table.Rows, row)
			}
		}
	}
	return table
}
