package notebook

import (
	"context"
	"errors"
	"fmt"

	"gonum.org/v1/plot/vg"

	"vitdecompose/experiments"
	"vitdecompose/experiments/results"
	"vitdecompose/experiments/session"
	"vitdecompose/plots"
	"vitdecompose/plots/inline"
)

// Configurations of experiments; what is left open stands for the paper's values.
type (
	HeatmapConfig        = experiments.HeatmapConfig
	ClassHeatmapConfig   = experiments.ClassHeatmapConfig
	DescribeConfig       = experiments.DescribeConfig
	TextRetrievalConfig  = experiments.TextRetrievalConfig
	ImageRetrievalConfig = experiments.ImageRetrievalConfig
	RankingConfig        = experiments.RankingConfig
	SegmentationConfig   = experiments.SegmentationConfig
	WaterbirdsConfig     = experiments.WaterbirdsConfig
	AlignmentConfig      = experiments.AlignmentConfig
	CausalConfig         = experiments.CausalConfig
	ExploreConfig        = experiments.ExploreConfig
)

// Widths for exports: a column of a two-column page, and the whole page between its margins.
const (
	Column = inline.Column
	Page   = inline.Page
)

// Found is what an experiment found: every number, its figures and its table.
type Found[R experiments.Result] struct {
	Result   R
	summary  []string
	sessions []*session.Session
	drawn    []plots.Drawing // nil before the first Show
}

// Showable is what a [Frame] shows: a [Found] of any experiment.
type Showable interface {
	drawings() []plots.Drawing
	table() results.Table
}

// ask runs an experiment with each model, and gathers what it gave.
func ask[C any, M interface{ Summary() []string }, R experiments.Result](m *Models, run func(context.Context, *session.Session, C) (M, error), config C, gather func([]M) R) *Found[R] {
	var models []M
	f := &Found[R]{sessions: m.Sessions()}
	for _, s := range f.sessions {
		model := must(run(running(), s, config))
		models = append(models, model)
		for _, line := range model.Summary() {
			f.summary = append(f.summary, s.Name+": "+line)
		}
	}
	f.Result = gather(models)
	return f
}

// Summary prints what was found in a line or more for each model.
func (f *Found[R]) Summary() {
	for _, line := range f.summary {
		fmt.Println(line)
	}
}

func (f *Found[R]) drawings() []plots.Drawing {
	if f.drawn == nil {
		f.drawn = must(plots.Draw(f.Result, f.sessions))
	}
	return f.drawn
}

func (f *Found[R]) table() results.Table { return f.Result.Table() }

// Show shows the figures, one below the other, or the table of what has no figure.
func (f *Found[R]) Show() {
	if len(f.drawings()) == 0 {
		f.ShowTable()
	}
	for _, drawn := range f.drawings() {
		inline.Show(drawn.Figure)
	}
}

// ShowTable shows a table that an experiment has beside that of its [Found].
func ShowTable(table results.Table) { inline.Table(readable(table)) }

// ShowTable shows the table, all rows or the first ones.
func (f *Found[R]) ShowTable(rows ...int) {
	table := f.table()
	for _, n := range rows {
		table.Rows = table.Rows[:min(max(0, n), len(table.Rows))]
	}
	inline.Table(readable(table))
}

// Export writes the figure as path.pdf, path.svg and path.png, [Column] or [Page] wide and with fonts embedded. Where there
// are several figures, their names are appended to the path.
func (f *Found[R]) Export(path string, width vg.Length) {
	all := f.drawings()
	if len(all) == 0 {
		check(errors.New("there is no figure to export: what was found is a table"))
	}
	for _, drawn := range all {
		name := path
		if len(all) > 1 {
			name += "-" + drawn.Name
		}
		check(inline.Export(drawn.Figure, name, width))
	}
}

// Ablation is accuracy as components are replaced by their mean, layer by layer (experiment 1).
func (m *Models) Ablation() *Found[experiments.AblationResult] {
	return ask(m, experiments.Ablation, experiments.AblationConfig{}, func(all []experiments.AblationCurve) experiments.AblationResult {
		return experiments.AblationResult{Curves: all}
	})
}

// TextRetrieval finds pictures by texts, in groups of components (experiment 2).
func (m *Models) TextRetrieval(config TextRetrievalConfig) *Found[experiments.TextRetrievalResult] {
	return ask(m, experiments.TextRetrieval, config, func(all []experiments.ModelTextRetrieval) experiments.TextRetrievalResult {
		return experiments.TextRetrievalResult{Top: all[0].Top, Models: all}
	})
}

// Ranking tells whether components that carry a feature rank pictures as CLIP does (experiment 3).
func (m *Models) Ranking(config RankingConfig) *Found[experiments.RankingResult] {
	return ask(m, experiments.Ranking, config, func(all []experiments.ModelRanking) experiments.RankingResult {
		return experiments.RankingResult{Models: all}
	})
}

// ImageRetrieval finds pictures that resemble another one in a property (experiment 4).
func (m *Models) ImageRetrieval(config ImageRetrievalConfig) *Found[experiments.ImageRetrievalResult] {
	return ask(m, experiments.ImageRetrieval, config, func(all []experiments.ModelImageRetrieval) experiments.ImageRetrievalResult {
		return experiments.ImageRetrievalResult{Models: all}
	})
}

// Heatmaps draws over pictures where heads find what a text says (experiment 5).
func (m *Models) Heatmaps(config HeatmapConfig) *Found[experiments.HeatmapResult] {
	return ask(m, experiments.Heatmaps, config, func(all []experiments.ModelHeatmaps) experiments.HeatmapResult {
		return experiments.HeatmapResult{Models: all}
	})
}

// ClassHeatmaps draws over pictures what tokens add to the logit of a class. With Each there is a panel for every component,
// and the figure is a sheet of them for each picture.
func (m *Models) ClassHeatmaps(config ClassHeatmapConfig) *Found[experiments.HeatmapResult] {
	f := ask(m, experiments.ClassHeatmaps, config, func(all []experiments.ModelHeatmaps) experiments.HeatmapResult {
		return experiments.HeatmapResult{Models: all}
	})
	if !config.Each {
		return f
	}
	for i, of := range f.Result.Models {
		for _, p := range of.Pictures {
			p.Panels = p.Panels[1:] // the first is the sum of the others
			sheet := must(plots.HeatmapContact(of.Model, p, f.sessions[i].View()))
			f.drawn = append(f.drawn, plots.Drawing{Name: of.Model + "-" + p.Name, Figure: sheet})
		}
	}
	return f
}

// Segmentation outlines objects by what image tokens add to the logit of the class (experiment 6).
func (m *Models) Segmentation(config SegmentationConfig) *Found[experiments.SegmentationResult] {
	return ask(m, experiments.Segmentation, config, func(all []experiments.ModelSegmentation) experiments.SegmentationResult {
		return experiments.SegmentationResult{Models: all}
	})
}

// Waterbirds classifies birds in the wrong place, before and after the components that carry the place are ablated
// (experiment 7).
func (m *Models) Waterbirds(config WaterbirdsConfig) *Found[experiments.WaterbirdsResult] {
	return ask(m, experiments.Waterbirds, config, func(all []experiments.ModelWaterbirds) experiments.WaterbirdsResult {
		return experiments.WaterbirdsResult{Models: all}
	})
}

// Alignment compares ways of mapping into CLIP's space (experiment 8).
func (m *Models) Alignment(config AlignmentConfig) *Found[experiments.AlignmentResult] {
	return ask(m, experiments.CompareAlignments, config, func(all []experiments.ModelAlignment) experiments.AlignmentResult {
		return experiments.AlignmentResult{Models: all}
	})
}

// Sweep trains alignments for several lambdas, unless the cache has them.
func (m *Models) Sweep(lambdas ...float64) *Found[experiments.SweepResult] {
	return ask(m, experiments.Sweep, experiments.SweepConfig{Lambdas: lambdas}, func(all []experiments.SweepCurve) experiments.SweepResult {
		return experiments.SweepResult{Curves: all}
	})
}

// Causal tells how much worse a feature is read out without the components that carry it.
func (m *Models) Causal(config CausalConfig) *Found[experiments.CausalResult] {
	return ask(m, experiments.Causal, config, func(all []experiments.ModelCausalTest) experiments.CausalResult {
		return experiments.CausalResult{Models: all}
	})
}

// Published shows the numbers that the paper reports of an experiment, as `vitdecompose run` calls it.
func Published(experiment string) { inline.Published(experiment) }

// Explorer shows a page on which the parts of pictures can be looked at, with mouse and keyboard: what each adds to a class, a
// text or the representation, from where, its words and its top pictures. Two models stand beside each other.
func (m *Models) Explorer(config ExploreConfig) {
	check(inline.Explorer(running(), config, m.Sessions()...))
}
