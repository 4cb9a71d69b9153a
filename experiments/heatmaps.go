package experiments

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data"
	"vitdecompose/data/counted"
	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/results"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/statistics"
	"vitdecompose/experiments/study"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/preprocess"
	"vitdecompose/gomlxvit/saliency"
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
	Heads    int               `json:"heads" flag:"heads" default:"3" min:"1" help:"how many heads, those that explain a text best, have their maps summed"` // 0: 3
	// Each draws every head of the decomposed blocks separately instead of their sum.
	Each bool `json:"each,omitempty"`
	// CommonScale has the colours of all maps of a model end at one magnitude, so that they compare.
	CommonScale bool `json:"common_scale,omitempty" flag:"common-scale" help:"one colour scale for all heatmaps of a model, so that they compare; without it each map uses all colours"`
	// Pictures are those that are drawn over, by their position in the data; nil for the first three.
	Pictures []int `json:"-" flag:"probes" usual:"0,1,2" min:"0" help:"the pictures to show, by their position in the data: image-retrieval finds their neighbours, heatmaps draws over them"`
	// Over is another data set whose pictures are drawn over; nil for the session's own. Those of the session say which heads
	// explain a feature.
	Over data.Dataset `json:"-"`
}

func (c *HeatmapConfig) fill(_ context.Context, s *session.Session) (err error) {
	if len(c.Texts) == 0 {
		c.Features, err = s.Features(c.Features, "heatmaps", "scenes")
	}
	if c.Pictures == nil {
		c.Pictures = firstProbes()
	}
	if c.Over == nil {
		c.Over = s.Data
	}
	return errors.Join(err, settle(c))
}

// drawn is a text that is drawn: which heads, and in which direction each counts.
type drawn struct {
	feature, text string
	embedding     []float32 // [clip dim]
	heads         []int     // indices of components of the reading
}

// HeatmapPanel is what some components draw of one text over one picture: for each position of the grid the product of
// what they contributed from the token there, in CLIP's space, with the text's embedding.
type HeatmapPanel struct {
	// Feature is the feature that the text is an instance of; empty for a text that belongs to no feature.
	Feature string `json:"feature,omitempty"`
	Text    string `json:"text"`
	// True says whether the picture has what the text names, and Has which instance of the feature it has instead, "" for none;
	// nil where the data does not know.
	True *bool  `json:"true,omitempty"`
	Has  string `json:"has,omitempty"`
	// Components are those whose maps are summed.
	Components []string  `json:"components"`
	Rows       int       `json:"rows"`
	Columns    int       `json:"columns"`
	Values     []float32 `json:"values"` // [Rows*Columns], row by row
	// Limit is the magnitude at which the colours of the panel end. Panels that are to be compared share one.
	Limit float64 `json:"limit"`
	// Others is what the tokens beside the grid's (class and register tokens) add; the values and it sum to the score.
	Others float64 `json:"others"`
	// Mask is how well the map outlines the object of the picture's mask, where there is one: see [CompareMasks].
	Mask *SegmentationCounts `json:"mask,omitempty"`
}

// Outlined are the pixel accuracy, the intersection over union and the average precision of the map against the mask.
func (p HeatmapPanel) Outlined() (accuracy, iou, precision float64) {
	accuracy = float64(p.Mask.Correct) / float64(max(1, p.Mask.Labelled))
	return accuracy, float64(p.Mask.Intersection) / float64(max(1, p.Mask.Union)), p.Mask.Precision
}

// magnitude is how much the places of the map add to the score or take from it.
func (p HeatmapPanel) magnitude() (sum float64) {
	for _, v := range p.Values {
		sum += math.Abs(float64(v))
	}
	return sum
}

// Strongest leaves of the panels that show a single component the n of each text whose places count most, the strongest first.
// Panels that sum components stay.
func (p HeatmapPicture) Strongest(n int) HeatmapPicture {
	single := make(map[string][]HeatmapPanel)
	for _, panel := range p.Panels {
		if len(panel.Components) == 1 {
			single[panel.Text] = append(single[panel.Text], panel)
		}
	}
	for _, panels := range single {
		slices.SortStableFunc(panels, func(a, b HeatmapPanel) int { return cmp.Compare(b.magnitude(), a.magnitude()) })
	}
	var kept []HeatmapPanel
	for _, panel := range p.Panels {
		if len(panel.Components) > 1 {
			kept = append(kept, panel)
			continue
		}
		panels := single[panel.Text]
		kept = append(kept, panels[:min(n, len(panels))]...)
		delete(single, panel.Text)
	}
	p.Panels = kept
	return p
}

// CompareMasks holds every map against the mask of its picture, of over or, where that is nil, of the session's data: the map
// is made as large as the picture that the model sees and cut as [Foreground] does.
func CompareMasks(s *session.Session, over data.Dataset, maps *ModelHeatmaps) error {
	e, err := s.Extraction()
	if err != nil {
		return err
	}
	if over != nil {
		e.Data = over
	}
	if e.Orient {
		return errors.New("option Orient cannot be used with masks, which have the orientation of the picture files")
	}
	side := e.Model.Arch.InputSize()
	for i, p := range maps.Pictures {
		mask, err := e.MaskView(p.Picture)
		if err != nil {
			return err
		}
		for k, panel := range p.Panels {
			counts, err := CountSegmentation(saliency.Resize(panel.Values, panel.Rows, panel.Columns, side, side), mask)
			if err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
			maps.Pictures[i].Panels[k].Mask = &counts
		}
	}
	return nil
}

// HeatmapPicture is one picture with its panels.
type HeatmapPicture struct {
	Picture int    `json:"picture"` // position in the data
	Name    string `json:"name"`
	// Unit is that of the maps' values and of their sums, the scores: [UnitText] or [UnitClass].
	Unit   string         `json:"unit"`
	Panels []HeatmapPanel `json:"panels"`
}

// ModelHeatmaps is what one model draws over pictures: experiment 5 of arXiv 2406.01583.
type ModelHeatmaps struct {
	Model    string           `json:"model"`
	Pictures []HeatmapPicture `json:"pictures"`
}

// HeatmapResult is experiment 5 for one model or more.
type HeatmapResult struct {
	Models []ModelHeatmaps `json:"sheets"`
}

// Units of heatmaps.
const (
	// UnitText is what a contribution in CLIP's space adds to the product with a text's embedding.
	UnitText = "dot product"
	// UnitClass is what a contribution adds to the logit of a class.
	UnitClass = "logit"
)

// Heatmaps draws texts over pictures.
func Heatmaps(ctx context.Context, s *session.Session, config HeatmapConfig) (ModelHeatmaps, error) {
	result := ModelHeatmaps{Model: s.Name}
	if err := config.fill(ctx, s); err != nil {
		return result, err
	}
	ds, pictures := config.Over, config.Pictures
	if len(pictures) == 0 {
		return result, errors.New("there are no pictures to draw over")
	}
	for _, index := range pictures {
		if index < 0 || index >= ds.Len() {
			return result, noPicture(index, ds)
		}
	}
	r, err := s.Reading(ctx)
	if err != nil {
		return result, err
	}
	st, err := s.Study(ctx)
	if err != nil {
		return result, err
	}
	features := slices.Clone(config.Features)
	for _, text := range config.Texts {
		features = append(features, phrases.Feature{Instances: []string{text}})
	}
	chosen, err := choices(ctx, r, features, config)
	if err != nil {
		return result, err
	}
	shown := data.Subset(ds, pictures)
	nearest, err := nearestInstances(ctx, st, shown, chosen)
	if err != nil {
		return result, err
	}
	d, err := decompose.New(st.Backend, s.Model, decompose.Options{First: st.Options.First, End: st.Options.End, Split: decompose.Tokens})
	if err != nil {
		return result, err
	}
	defer d.Close()
	known := make([]bool, len(features)) // whether the data knows a feature
	for f, feature := range features {
		known[f] = knows(ds, feature.Name)
	}
	for i, index := range pictures {
		if err := ctx.Err(); err != nil {
			return result, err
		}
		pixels, err := pixelsOf(s.Model, shown, i, st.Orient)
		if err != nil {
			return result, err
		}
		var texts []drawn
		for f := range chosen {
			texts = append(texts, chosen[f][nearest[i][f]])
		}
		scored, err := scoreTokens(r, d, pixels, texts)
		if err != nil {
			return result, fmt.Errorf("%s: %s: %w", r.Model, ds.Item(index).Name, err)
		}
		of := HeatmapPicture{Picture: index, Name: ds.Item(index).Name, Unit: UnitText}
		for t, text := range texts {
			panels := panelsOf(scored[t], s.Model.Arch.PrefixTokens(), config.Each)
			for p := range panels {
				panels[p].Feature, panels[p].Text = text.feature, text.text
				if value, said := data.Attributes(ds, index)[text.feature]; said && known[t] {
					panels[p].True, panels[p].Has = truthOf(features[t], text.text, value)
				}
			}
			of.Panels = append(of.Panels, panels...)
		}
		result.Pictures = append(result.Pictures, of)
	}
	if config.CommonScale {
		result.shareScale()
	}
	return result, nil
}

// shareScale has all panels end their colours where the strongest does.
func (s *ModelHeatmaps) shareScale() {
	limit := 0.0
	for _, p := range s.Pictures {
		for _, panel := range p.Panels {
			limit = max(limit, panel.Limit)
		}
	}
	for _, p := range s.Pictures {
		for i := range p.Panels {
			p.Panels[i].Limit = limit
		}
	}
}

// choices are for each feature what may be drawn of it, a choice for each instance, over the heads that explain the feature
// best.
func choices(ctx context.Context, r *study.Reading, features []phrases.Feature, config HeatmapConfig) ([][]drawn, error) {
	explained, err := r.Score(ctx, features, decompose.VarianceExplained)
	if err != nil {
		return nil, err
	}
	components, err := decompose.ParseComponents(r.Components)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Model, err)
	}
	var all [][]drawn
	for f, feature := range features {
		embeddings, err := r.Phrases(ctx, feature.Instances)
		if err != nil {
			return nil, fmt.Errorf("feature %s: %w", feature.Name, err)
		}
		var heads []int
		for _, i := range decompose.Order(explained[f]) {
			if components[i].Kind == decompose.Head && (config.Each || len(heads) < config.Heads) {
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
		all = append(all, instances)
	}
	return all, nil
}

// nearestInstances chooses for each picture and each feature the instance whose embedding is nearest to the reference's of
// the picture.
func nearestInstances(ctx context.Context, s *study.Study, ds data.Dataset, choices [][]drawn) ([][]int, error) {
	nearest := make([][]int, ds.Len())
	for i := range nearest {
		nearest[i] = make([]int, len(choices))
	}
	if !slices.ContainsFunc(choices, func(c []drawn) bool { return len(c) > 1 }) {
		return nearest, nil // there is no choice
	}
	reference, err := s.Referenced()
	if err != nil {
		return nil, err
	}
	e := s.Extraction
	e.Data, e.Pictures, e.MaxBad = ds, 0, 0
	embedded, err := s.Embedded(ctx, e, reference)
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
			nearest[i][f] = max(0, statistics.Argmax(scores))
		}
	}
	return nearest, nil
}

// scoreTokens scores the source tokens of the heads of each text on one picture, pixels [1, 3, height, width].
func scoreTokens(r *study.Reading, d *decompose.Decomposer, pixels *tensors.Tensor, texts []drawn) ([][]decompose.ScoredComponent, error) {
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

// ClassHeatmapConfig says what is drawn of the logit of a class.
type ClassHeatmapConfig struct {
	// Pictures are those that are drawn over, by their position in the data.
	Pictures []int
	// Over is another data set whose pictures are drawn over; nil for the session's own.
	Over data.Dataset
	// Each draws every component separately, in addition to the sum.
	Each bool
	// Class is the class whose logit it is; nil for the best of each picture.
	Class *int
	// CommonScale has the colours of all maps end at one magnitude, so that they compare.
	CommonScale bool
}

// ClassHeatmaps draws over pictures what the tokens add to the logit of a class: of every component that has tokens in the
// blocks of the paper's segmentation, or the session's, their sum first and, with Each, every component separately.
func ClassHeatmaps(ctx context.Context, s *session.Session, config ClassHeatmapConfig) (ModelHeatmaps, error) {
	result := ModelHeatmaps{Model: s.Name}
	model, err := s.Classifier(ctx)
	if err != nil {
		return result, err
	}
	e, err := s.Extraction()
	if err != nil {
		return result, err
	}
	e.Model = model
	if config.Over != nil {
		e.Data = config.Over
	}
	first, last := extraction.SegmentationBlocks(model.Arch.Blocks())
	if err := s.SetBlocks(&e.Options, first, last); err != nil {
		return result, err
	}
	scorer, err := decompose.NewScorer(e.Backend, e.Model, e.Options)
	if err != nil {
		return result, err
	}
	defer scorer.Close()
	prefix := e.Model.Arch.PrefixTokens()
	for _, index := range config.Pictures {
		if err := ctx.Err(); err != nil {
			return result, err
		}
		if index < 0 || index >= e.Data.Len() {
			return result, noPicture(index, e.Data)
		}
		pixels, err := pixelsOf(e.Model, e.Data, index, e.Orient)
		if err != nil {
			return result, err
		}
		scored, logits, err := scorer.Run(pixels, []int{0})
		if err != nil {
			return result, err
		}
		if err := gomlxvit.CheckNumbers("logits", logits, 1); err != nil {
			return result, fmt.Errorf("%s: %s: %w", e.Model.Name, e.Data.Item(index).Name, err)
		}
		chosen := statistics.Argmax(logits)
		if config.Class != nil {
			chosen = *config.Class
		}
		if chosen < 0 || chosen >= len(logits) {
			return result, fmt.Errorf("%s: %s has no class %d", e.Data.Item(index).Name, e.Model.Name, chosen)
		}
		if chosen != 0 {
			if scored, _, err = scorer.Run(pixels, []int{chosen}); err != nil {
				return result, err
			}
		}
		of := HeatmapPicture{Picture: index, Name: e.Data.Item(index).Name, Unit: UnitClass, Panels: panelsOf(scored, prefix, false)}
		if config.Each {
			of.Panels = append(of.Panels, panelsOf(scored, prefix, true)...)
		}
		for p := range of.Panels {
			of.Panels[p].Text = className(e.Model.ClassNames, chosen)
		}
		result.Pictures = append(result.Pictures, of)
	}
	if config.CommonScale {
		result.shareScale()
	}
	return result, nil
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

func noPicture(index int, ds data.Dataset) error {
	return fmt.Errorf("there is no picture %d: the data has %d, counted from 0", index, ds.Len())
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
	return extraction.PaddedBatch(preprocess.Batch{N: 1, Pixels: values}, 1, side), nil
}

// Summary says how much was drawn.
func (s ModelHeatmaps) Summary() []string {
	return []string{fmt.Sprintf("%s, %s of each", counted.Of(len(s.Pictures), "picture"), counted.Of(len(s.Pictures[0].Panels), "map"))}
}

// Table lists the panels.
func (r HeatmapResult) Table() results.Table {
	table := results.Table{Header: []string{"model", "picture", "feature", "text", "true", "components", "least", "most", "sum", "unit"}}
	masked := slices.ContainsFunc(r.Models, func(m ModelHeatmaps) bool {
		return slices.ContainsFunc(m.Pictures, func(p HeatmapPicture) bool {
			return slices.ContainsFunc(p.Panels, func(panel HeatmapPanel) bool { return panel.Mask != nil })
		})
	})
	if masked {
		table.Header = append(table.Header, "pixel_accuracy", "iou", "average_precision")
	}
	for _, result := range r.Models {
		for _, p := range result.Pictures {
			for _, panel := range p.Panels {
				components := strconv.Itoa(len(panel.Components)) + " components"
				if len(panel.Components) <= 3 {
					components = strings.Join(panel.Components, "; ")
				}
				sum := panel.Others
				for _, v := range panel.Values {
					sum += float64(v)
				}
				truth := ""
				if panel.True != nil {
					truth = strconv.FormatBool(*panel.True)
				}
				row := []string{result.Model, p.Name, panel.Feature, panel.Text, truth, components,
					results.Rounded(float64(slices.Min(panel.Values))), results.Rounded(float64(slices.Max(panel.Values))), results.Rounded(sum), p.Unit}
				switch {
				case panel.Mask != nil:
					accuracy, iou, precision := panel.Outlined()
					row = append(row, results.Rounded(accuracy), results.Rounded(iou), results.Rounded(precision))
				case masked:
					row = append(row, "", "", "")
				}
				table.Rows = append(table.Rows, row)
			}
		}
	}
	return table
}
