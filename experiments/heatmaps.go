package experiments

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data"
	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/preprocess"
)

// Token heatmaps, experiment 5 of arXiv 2406.01583:
//
//	vitdecompose run heatmaps --out results/heatmaps
//	vitdecompose heatmap --model deit-mini --text "a red car" photo.jpg
//
// What an attention head contributes is a sum over the image tokens that it reads. Each of these terms, mapped into CLIP's
// space, has a product with the embedding of a text: drawn at the place of the token it shows where a head finds what the
// text says. The paper draws, for each feature, the sum over the three heads with the largest variance explained.

// HeatmapConfig says what is drawn. Zero fields stand for the paper's values.
type HeatmapConfig struct {
	// Features are drawn by the instance that the reference finds nearest to the picture, Texts as they are.
	Features []phrases.Feature `json:"features,omitempty"`
	Texts    []string          `json:"texts,omitempty"`
	Heads    int               `json:"heads"` // whose maps are summed; 0: 3
	// Each draws, instead of their sum, every head by itself, all heads of the decomposed blocks.
	Each bool `json:"each,omitempty"`
}

// drawn is a text that is drawn: which heads, and in which direction each counts.
type drawn struct {
	feature, text string
	embedding     []float32 // [clip dim]
	heads         []int     // indices of components of the reading
}

// Heatmaps draws texts over some of the pictures of ds, by the components of a reading of s. The pictures need not be the
// reading's: those say which heads explain a feature.
func Heatmaps(ctx context.Context, s *Study, r *Reading, ds data.Dataset, pictures []int, config HeatmapConfig) (HeatmapSheet, error) {
	sheet := HeatmapSheet{Model: r.Model}
	switch {
	case len(config.Features)+len(config.Texts) == 0:
		return sheet, errors.New("there is nothing to draw: no feature and no text")
	case config.Heads < 0:
		return sheet, fmt.Errorf("%d heads cannot be drawn", config.Heads)
	case len(pictures) == 0:
		return sheet, errors.New("there are no pictures to draw over")
	}
	for _, index := range pictures {
		if index < 0 || index >= ds.Len() {
			return sheet, fmt.Errorf("there is no picture %d to draw over: the data has %d, counted from 0", index, ds.Len())
		}
	}
	if config.Heads == 0 {
		config.Heads = 3
	}
	features := slices.Clone(config.Features)
	for _, text := range config.Texts {
		features = append(features, phrases.Feature{Instances: []string{text}})
	}
	choices, err := r.choices(ctx, features, config)
	if err != nil {
		return sheet, err
	}
	shown := data.Subset(ds, pictures)
	nearest, err := s.nearestInstances(ctx, shown, choices)
	if err != nil {
		return sheet, err
	}
	d, err := decompose.New(s.Backend, s.Model, decompose.Options{First: s.Options.First, End: s.Options.End, Split: decompose.Tokens})
	if err != nil {
		return sheet, err
	}
	defer d.Close()
	for i, index := range pictures {
		if err := ctx.Err(); err != nil {
			return sheet, err
		}
		pixels, err := pixelsOf(s.Model, shown, i, s.Orient)
		if err != nil {
			return sheet, err
		}
		var texts []drawn
		for f := range choices {
			texts = append(texts, choices[f][nearest[i][f]])
		}
		scored, err := r.scoreTokens(d, pixels, texts)
		if err != nil {
			return sheet, fmt.Errorf("%s: %s: %w", r.Model, ds.Item(index).Name, err)
		}
		of := HeatmapPicture{Picture: index, Name: ds.Item(index).Name}
		for t, text := range texts {
			panels := panelsOf(scored[t], s.Model.Arch.PrefixTokens(), config.Each)
			for p := range panels {
				panels[p].Feature, panels[p].Text = text.feature, text.text
			}
			of.Panels = append(of.Panels, panels...)
		}
		sheet.Pictures = append(sheet.Pictures, of)
	}
	return sheet, nil
}

// choices are for each feature what may be drawn of it, a choice for each instance, over the heads that explain the feature
// best.
func (r *Reading) choices(ctx context.Context, features []phrases.Feature, config HeatmapConfig) ([][]drawn, error) {
	explained, err := r.score(ctx, features, decompose.VarianceExplained)
	if err != nil {
		return nil, err
	}
	var choices [][]drawn
	for f, feature := range features {
		embeddings, err := r.Phrases(ctx, feature.Instances)
		if err != nil {
			return nil, fmt.Errorf("feature %s: %w", feature.Name, err)
		}
		var heads []int
		for _, i := range decompose.Order(explained[f]) {
			if strings.Contains(r.Components[i], string(decompose.Head)) && (config.Each || len(heads) < config.Heads) {
				heads = append(heads, i)
			}
		}
		if len(heads) == 0 {
			return nil, fmt.Errorf("%s: the decomposed blocks have no attention heads", r.Model)
		}
		var instances []drawn
		for i, text := range feature.Instances {
			instances = append(instances, drawn{feature.Name, text, embeddings[i*r.Aligned.Dim:][:r.Aligned.Dim], heads})
		}
		choices = append(choices, instances)
	}
	return choices, nil
}

// nearestInstances chooses for each picture and each feature the instance whose embedding is nearest to the reference's of
// the picture.
func (s *Study) nearestInstances(ctx context.Context, ds data.Dataset, choices [][]drawn) ([][]int, error) {
	nearest := make([][]int, ds.Len())
	for i := range nearest {
		nearest[i] = make([]int, len(choices))
	}
	if !slices.ContainsFunc(choices, func(c []drawn) bool { return len(c) > 1 }) {
		return nearest, nil // there is no choice
	}
	reference, err := s.reference()
	if err != nil {
		return nil, err
	}
	e := s.Extraction
	e.Data, e.Pictures, e.MaxBad = ds, 0, 0
	embedded, err := s.embedded(ctx, e, reference)
	if err != nil {
		return nil, err
	}
	for i := range nearest {
		own := embedded.Representation[i*embedded.Dim:][:embedded.Dim]
		for f, instances := range choices {
			var scores []float32
			for _, d := range instances {
				scores = append(scores, products(own, d.embedding)...)
			}
			nearest[i][f] = max(0, argmax(scores))
		}
	}
	return nearest, nil
}

// scoreTokens scores the source tokens of the heads of each text on one picture, pixels [1, 3, height, width].
func (r *Reading) scoreTokens(d *decompose.Decomposer, pixels *tensors.Tensor, texts []drawn) ([][]decompose.ScoredComponent, error) {
	scored := make([][]decompose.ScoredComponent, len(texts))
	_, err := d.RunTokens(pixels, func(b decompose.TokenBlock) error {
		for i, index := range b.Components {
			c := d.Components()[index]
			component := slices.Index(r.Components, c.String())
			if c.Kind != decompose.Head || component < 0 {
				continue
			}
			dim := len(b.Contributions) / len(b.Components) / b.Tokens
			for t, text := range texts {
				if !slices.Contains(text.heads, component) {
					continue
				}
				direction := text.embedding
				if r.Aligner != nil {
					direction = r.Aligner.Direction(component, text.embedding)
				}
				values := products(b.Contributions[i*b.Tokens*dim:][:c.Tokens*dim], direction)
				scored[t] = append(scored[t], decompose.ScoredComponent{Component: c, Values: values})
			}
		}
		return nil
	})
	return scored, err
}

// ClassHeatmaps draws, over some of the pictures of ds, what the tokens add to the logit of a class: of every component that
// has tokens in the blocks of e.Options, their sum first and, with each, every component by itself. class chooses by the
// logits of a picture; nil takes the largest.
func ClassHeatmaps(ctx context.Context, e Extraction, pictures []int, each bool, class func(logits []float32) int) (HeatmapSheet, error) {
	sheet := HeatmapSheet{Model: e.Model.Name}
	if class == nil {
		class = argmax
	}
	scorer, err := decompose.NewScorer(e.Backend, e.Model, e.Options)
	if err != nil {
		return sheet, err
	}
	defer scorer.Close()
	prefix := e.Model.Arch.PrefixTokens()
	for _, index := range pictures {
		if err := ctx.Err(); err != nil {
			return sheet, err
		}
		pixels, err := pixelsOf(e.Model, e.Data, index, e.Orient)
		if err != nil {
			return sheet, err
		}
		scored, logits, err := scorer.Run(pixels, []int{0})
		if err != nil {
			return sheet, err
		}
		chosen := class(logits)
		if chosen < 0 || chosen >= len(logits) {
			return sheet, fmt.Errorf("%s: %s has no class %d", e.Data.Item(index).Name, e.Model.Name, chosen)
		}
		if chosen != 0 {
			if scored, _, err = scorer.Run(pixels, []int{chosen}); err != nil {
				return sheet, err
			}
		}
		of := HeatmapPicture{Picture: index, Name: e.Data.Item(index).Name, Panels: panelsOf(scored, prefix, false)}
		if each {
			of.Panels = append(of.Panels, panelsOf(scored, prefix, true)...)
		}
		for p := range of.Panels {
			of.Panels[p].Text = className(e.Model.ClassNames, chosen)
		}
		sheet.Pictures = append(sheet.Pictures, of)
	}
	return sheet, nil
}

// panelsOf makes one panel of scored components, or one of each with a common limit.
func panelsOf(scored []decompose.ScoredComponent, prefix int, each bool) []HeatmapPanel {
	if !each {
		return []HeatmapPanel{panelOf(scored, prefix)}
	}
	var panels []HeatmapPanel
	limit := 0.0
	for i := range scored {
		// What is read at the class token alone has no map: the MLPs of a plain transformer.
		if panel := panelOf(scored[i:i+1], prefix); panel.Limit > 0 {
			panels = append(panels, panel)
			limit = max(limit, panel.Limit)
		}
	}
	for i := range panels {
		panels[i].Limit = limit
	}
	return panels
}

// panelOf sums scored components of one picture.
func panelOf(scored []decompose.ScoredComponent, prefix int) HeatmapPanel {
	values, side := sumOnGrid(scored, prefix, 1)
	panel := HeatmapPanel{Rows: side, Columns: side, Values: values}
	for _, c := range scored {
		panel.Components = append(panel.Components, c.String())
		for _, v := range c.Values[:prefix] {
			panel.Others += float64(v)
		}
	}
	for _, v := range values {
		panel.Limit = max(panel.Limit, math.Abs(float64(v)))
	}
	return panel
}

// pixelsOf is picture i of ds as the model sees it, [1, 3, height, width].
func pixelsOf(model *gomlxvit.Model, ds data.Dataset, i int, orient bool) (*tensors.Tensor, error) {
	p, err := ds.Picture(i)
	if err != nil {
		return nil, err
	}
	if orient {
		p = p.Orient()
	}
	values, err := model.Preprocess.Apply(p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ds.Item(i).Name, err)
	}
	side := model.Arch.InputSize()
	return PaddedBatch(preprocess.Batch{N: 1, Pixels: values}, 1, side), nil
}

// Table lists the panels.
func (r HeatmapResult) Table() Table {
	table := Table{Header: []string{"model", "picture", "feature", "text", "components", "least", "most", "sum"}}
	for _, sheet := range r.Sheets {
		for _, p := range sheet.Pictures {
			for _, panel := range p.Panels {
				components := strconv.Itoa(len(panel.Components)) + " components"
				if len(panel.Components) <= 3 {
					components = strings.Join(panel.Components, "; ")
				}
				sum := panel.Others
				for _, v := range panel.Values {
					sum += float64(v)
				}
				table.Rows = append(table.Rows, []string{sheet.Model, p.Name, panel.Feature, panel.Text, components,
					rounded(float64(slices.Min(panel.Values))), rounded(float64(slices.Max(panel.Values))), rounded(sum)})
			}
		}
	}
	return table
}
