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
	Features []phrases.Feature `json:"features"` // every instance is a probe
	Group    int               `json:"group"`    // components in a group; 0: 3
	Groups   int               `json:"groups"`   // from the first on; 0: 4
	Top      int               `json:"top"`      // pictures counted in shares; 0: 9
}

func (c *TextRetrievalConfig) setDefaults() error {
	if c.Group < 0 || c.Groups < 0 || c.Top < 0 {
		return fmt.Errorf("%d groups of %d components and the best %d pictures cannot be", c.Groups, c.Group, c.Top)
	}
	for _, field := range []struct {
		value *int
		paper int
	}{{&c.Group, 3}, {&c.Groups, 4}, {&c.Top, 9}} {
		if *field.value == 0 {
			*field.value = field.paper
		}
	}
	if len(c.Features) == 0 {
		return errors.New("there are no features to look for")
	}
	return nil
}

// TextRetrieval looks for pictures of a reading by text.
func TextRetrieval(ctx context.Context, r *Reading, config TextRetrievalConfig) (sheet RetrievalSheet, err error) {
	if err := config.setDefaults(); err != nil {
		return sheet, err
	}
	attribution, err := r.Attribute(ctx, config.Features)
	if err != nil {
		return sheet, err
	}
	sheet = RetrievalSheet{Model: r.Model, Pictures: r.Pictures}
	for f, feature := range config.Features {
		if err := ctx.Err(); err != nil {
			return sheet, err
		}
		found := FeatureRetrieval{Feature: feature.Name}
		var sums [][]float32 // [group][picture * clip dim]
		for group := range slices.Chunk(decompose.Order(attribution.Attributed[f]), config.Group) {
			if len(sums) == config.Groups {
				break
			}
			sums = append(sums, r.Aligned.Sum(group))
			members := ComponentGroup{Components: names(r.Components, group)}
			for _, component := range group {
				members.Attributed = append(members.Attributed, attribution.Attributed[f][component])
			}
			found.Groups = append(found.Groups, members)
		}
		embeddings, err := r.Phrases(ctx, feature.Instances)
		if err != nil {
			return sheet, fmt.Errorf("feature %s: %w", feature.Name, err)
		}
		truth := values(r.Data, r.Index, feature.Name)
		if truth != nil {
			found.Share = make([]float64, len(sums))
		}
		for p, instance := range feature.Instances {
			text := embeddings[p*r.Aligned.Dim:][:r.Aligned.Dim]
			probe := TextProbe{Text: instance}
			value := phrases.Value(feature.Name, instance)
			for g, sum := range sums {
				scores := products(sum, text)
				best := Top(scores, config.Top)
				probe.Found = append(probe.Found, r.matches(best, scores, truth, value))
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
		sheet.Features = append(sheet.Features, found)
	}
	return sheet, nil
}

// products are the dot products of rows with a vector.
func products(rows, vector []float32) []float32 {
	out := make([]float32, len(rows)/len(vector))
	for i := range out {
		sum := 0.0
		for d, v := range rows[i*len(vector):][:len(vector)] {
			sum += float64(v) * float64(vector[d])
		}
		out[i] = float32(sum)
	}
	return out
}

// matches describes found pictures, given by their positions in the reading. truth is nil where the data does not know.
func (r *Reading) matches(found []int, scores []float32, truth []string, value string) []Match {
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

// Table lists, for every feature and group, what share of the best pictures is true.
func (r TextRetrievalResult) Table() Table {
	table := Table{Header: []string{"model", "feature", "group", "components", "variance_attributed", "share_of_top_" + strconv.Itoa(r.Top), "base_rate", "times_base"}}
	for _, sheet := range r.Sheets {
		for _, feature := range sheet.Features {
			for g, group := range feature.Groups {
				var attributed []string
				for _, v := range group.Attributed {
					attributed = append(attributed, rounded(v))
				}
				row := []string{sheet.Model, feature.Feature, strconv.Itoa(g + 1), strings.Join(group.Components, "; "), strings.Join(attributed, "; "), "", "", ""}
				if feature.Share != nil {
					row[5], row[6] = rounded(feature.Share[g]), rounded(feature.Base)
					if feature.Base > 0 {
						row[7] = rounded(feature.Share[g] / feature.Base)
					}
				}
				table.Rows = append(table.Rows, row)
			}
		}
	}
	return table
}

// rounded writes x to four decimals, enough to compare by.
func rounded(x float64) string { return strconv.FormatFloat(x, 'f', 4, 64) }
