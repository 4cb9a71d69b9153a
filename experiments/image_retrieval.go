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
)

// Image to image retrieval by a property, experiment 4 of arXiv 2406.01583:
//
//	vitdecompose run image-retrieval --out results/image-retrieval
//
// Components are sorted by the variance attributed to one feature minus the largest attributed to another. What the first
// few contribute, before any alignment, is summed, and pictures are compared by the cosine of these sums: the same probe
// picture then finds others of its colour, or others at its place. The paper shows two probes; where the data knows the
// truth, many probes give a share of true neighbours beside the base rate.

// ImageRetrievalConfig says what is compared with what. Zero fields stand for the paper's values.
type ImageRetrievalConfig struct {
	Features []phrases.Feature `json:"features"` // the properties, each measured against the others
	// Components is how many are summed for each feature; those without a number take 3. nil for [PaperComponents].
	Components map[string]int `json:"components,omitempty"`
	Probes     []int          `json:"probes" flag:"probes" usual:"0,1,2" min:"0" help:"the pictures to show, by their position in the data: image-retrieval finds their neighbours, heatmaps draws over them"`
	Nearest    int            `json:"nearest" flag:"nearest" default:"3" min:"1" help:"pictures found for each probe"` // 0: 3
	// Counted is how many pictures, from the first on, are probes for the shares; 0: 200.
	Counted int `json:"counted" flag:"counted" default:"200" min:"1" help:"how many pictures, from the first on, are probes for the shares"`
}

func (c *ImageRetrievalConfig) fill(_ context.Context, s *session.Session) (err error) {
	c.Features, err = s.Features(c.Features, "retrieval", "scenes")
	if c.Probes == nil {
		c.Probes = firstProbes()
	}
	return errors.Join(err, settle(c))
}

// firstProbes are the pictures that are shown where none are named.
func firstProbes() []int { return []int{0, 1, 2} }

// PropertySearch is what was found for a probe picture by one property.
type PropertySearch struct {
	Feature    string   `json:"feature"`
	Components []string `json:"components"` // whose contributions are summed, first ones first
	Found      []Match  `json:"found"`      // nearest first, without the probe itself
	// Share is the share of those found that have the probe's value of the feature, Base the share among all pictures;
	// nil where the data does not know.
	Share *float64 `json:"share,omitempty"`
	Base  *float64 `json:"base,omitempty"`
}

// ImageProbe is a picture that others were compared with.
type ImageProbe struct {
	Picture  int              `json:"picture"`
	Name     string           `json:"name"`
	Searches []PropertySearch `json:"searches"`
}

// PropertyShare sums up a feature over the probes.
type PropertyShare struct {
	Feature string  `json:"feature"`
	Share   float64 `json:"share"`
	Base    float64 `json:"base"`
	Probes  int     `json:"probes"`
}

// ModelImageRetrieval is image to image retrieval by a property with one model.
type ModelImageRetrieval struct {
	Model    string          `json:"model"`
	Pictures int             `json:"pictures"`
	Probes   []ImageProbe    `json:"probes"` // those shown
	Shares   []PropertyShare `json:"shares,omitempty"`
}

// ImageRetrievalResult is image to image retrieval (experiment 4) with one or more models.
type ImageRetrievalResult struct {
	Models []ModelImageRetrieval `json:"sheets"`
}

// PaperComponents is how many components the paper sums for each feature with a checkpoint, by timm's or open_clip's name
// of the architecture; nil for others.
func PaperComponents(architecture string) map[string]int {
	features := []string{"color", "pattern", "fabric", "texture", "person", "location", "shape"}
	name, _, _ := strings.Cut(architecture, ".")
	counts, known := map[string][]int{
		"deit_base_patch16_224":        {3, 3, 3, 3, 3, 3, 3},
		"maxvit_small_tf_224":          {12, 8, 9, 9, 9, 9, 3},
		"swin_base_patch4_window7_224": {3, 12, 9, 9, 5, 9, 8},
		"vit_base_patch16_224":         {2, 5, 4, 3, 3, 3, 3}, // with DINO's weights
		"vit_base_patch14_dinov2":      {1, 1, 4, 3, 3, 3, 3},
		"ViT-B-16":                     {3, 3, 4, 3, 3, 3, 3},
	}[name]
	if !known {
		return nil
	}
	components := make(map[string]int)
	for i, feature := range features {
		components[feature] = counts[i]
	}
	return components
}

// ImageRetrieval compares pictures by properties.
func ImageRetrieval(ctx context.Context, s *session.Session, config ImageRetrievalConfig) (result ModelImageRetrieval, err error) {
	if err := config.fill(ctx, s); err != nil {
		return result, err
	}
	if config.Components == nil {
		config.Components = PaperComponents(s.Model.ArchName)
	}
	r, err := s.Reading(ctx)
	if err != nil {
		return result, err
	}
	result = ModelImageRetrieval{Model: s.Name, Pictures: r.Pictures}
	if r.Pictures < 2 {
		return result, errors.New("a single picture cannot be compared with others; take two pictures or more")
	}
	attribution, err := r.Attribute(ctx, config.Features)
	if err != nil {
		return result, err
	}
	for _, index := range config.Probes {
		if _, found := slices.BinarySearch(r.Index, index); !found {
			return result, fmt.Errorf("option Probes: picture %d is not among the %d that were read", index, r.Pictures)
		}
		result.Probes = append(result.Probes, ImageProbe{Picture: index, Name: r.Data.Item(index).Name})
	}
	for f, feature := range config.Features {
		if err := ctx.Err(); err != nil {
			return result, err
		}
		count := config.Components[feature.Name]
		if count == 0 {
			count = 3
		}
		order := decompose.Order(decompose.Margin(attribution.Attributed, f))
		chosen := order[:min(max(count, 0), len(order))]
		if len(chosen) == 0 {
			return result, fmt.Errorf("feature %s: the number of components to sum is %d; it must be at least 1", feature.Name, count)
		}
		rows := unitOrZero(r.Sum(chosen), r.Dim)
		truth := truths(s, r.Data, r.Index, feature.Name)
		for p := range result.Probes {
			probe, _ := slices.BinarySearch(r.Index, result.Probes[p].Picture)
			found, scores := nearest(rows, r.Dim, probe, config.Nearest)
			search := PropertySearch{Feature: feature.Name, Components: at(r.Components, chosen)}
			if truth != nil && truth[probe] != "" {
				share, base := trueNeighbours(found, truth, probe)
				search.Share, search.Base = &share, &base
				search.Found = matches(r, found, scores, truth, truth[probe])
			} else {
				search.Found = matches(r, found, scores, nil, "")
			}
			result.Probes[p].Searches = append(result.Probes[p].Searches, search)
		}
		if truth == nil {
			continue
		}
		sum := PropertyShare{Feature: feature.Name}
		for probe := range min(config.Counted, r.Pictures) {
			if truth[probe] == "" {
				continue
			}
			found, _ := nearest(rows, r.Dim, probe, config.Nearest)
			share, base := trueNeighbours(found, truth, probe)
			sum.Share, sum.Base, sum.Probes = sum.Share+share, sum.Base+base, sum.Probes+1
		}
		if sum.Probes > 0 {
			sum.Share /= float64(sum.Probes)
			sum.Base /= float64(sum.Probes)
			result.Shares = append(result.Shares, sum)
		}
	}
	return result, nil
}

// nearest finds the k pictures whose unit rows have the largest cosine with the probe's, without the probe.
func nearest(rows []float32, dim, probe, k int) (found []int, scores []float32) {
	scores = products(rows, rows[probe*dim:][:dim])
	for _, picture := range statistics.Top(scores, k+1) {
		if picture != probe && len(found) < k {
			found = append(found, picture)
		}
	}
	return found, scores
}

// trueNeighbours are the shares that have the probe's value: of those found, and of all other pictures.
func trueNeighbours(found []int, truth []string, probe int) (share, base float64) {
	for _, picture := range found {
		if truth[picture] == truth[probe] {
			share += 1 / float64(len(found))
		}
	}
	others := float64(len(truth) - 1)
	return share, (shareOf(truth, truth[probe])*float64(len(truth)) - 1) / others
}

// Summary says for each feature how many of the nearest are alike.
func (s ModelImageRetrieval) Summary() []string {
	var lines []string
	for _, share := range s.Shares {
		lines = append(lines, fmt.Sprintf("%s: %.0f %% of the nearest are alike, %.0f %% of all pictures", share.Feature, 100*share.Share, 100*share.Base))
	}
	return lines
}

// Table lists the shares of true neighbours.
func (r ImageRetrievalResult) Table() results.Table {
	table := results.Table{Header: []string{"model", "feature", "probes", "share_of_nearest", "base_rate", "times_base"}}
	for _, result := range r.Models {
		for _, share := range result.Shares {
			times := ""
			if share.Base > 0 {
				times = results.Rounded(share.Share / share.Base)
			}
			table.Rows = append(table.Rows, []string{result.Model, share.Feature, strconv.Itoa(share.Probes), results.Rounded(share.Share), results.Rounded(share.Base), times})
		}
	}
	return table
}
