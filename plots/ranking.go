package plots

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/plot/vg"

	"vitdecompose/experiments"
)

// Ranking draws the ranking agreement: for each feature, Spearman's correlation over the components, then its mean over
// the features ("between components"), and the correlation over the features ("within component"). One model is a
// figure of column width, several are one of page width.
func Ranking(result experiments.RankingResult) (*Figure, error) {
	return laidOut("ranking figure", figureWidth(len(result.Models)), func(width vg.Length) (*Figure, error) { return ranking(result, width) })
}

// ranking is [Ranking] for a width.
func ranking(result experiments.RankingResult, width vg.Length) (*Figure, error) {
	if len(result.Models) == 0 {
		return nil, errors.New("no models")
	}
	var features indexer
	for _, m := range result.Models {
		if err := checkRanking(m); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Model, err)
		}
		for _, f := range m.Features {
			features.of(f.Feature)
		}
	}
	names := append(features.names[:len(features.names):len(features.names)], "between\ncomponents", "within\ncomponent")

	panel := newPlot()
	panel.Y.Label.Text = "Spearman correlation"
	nameAxis(panel, names, width-2*margin-35)
	lowest := 0.0
	var entries []entry
	for i, m := range result.Models {
		look := lookOf(i)
		shift := beside(i, len(result.Models), len(result.Models))
		marks := &dots{look: look}
		marks.look.line.Dashes = nil
		add := func(place int, y float64) {
			marks.dots = append(marks.dots, dot{x: float64(place) + shift, y: y, low: min(0, y), high: max(0, y)})
			lowest = min(lowest, y)
		}
		for _, f := range m.Features {
			add(features.of(f.Feature), f.Spearman)
		}
		add(len(names)-2, m.Between)
		add(len(names)-1, m.Within)
		panel.Add(marks)
		entries = append(entries, entry{m.Model, marks.look})
	}
	panel.Y.Min, panel.Y.Max = math.Floor(5*lowest)/5, 1 // down to 0, and further where there is something
	if panel.Y.Min < 0 {
		panel.Add(level(0))
	}
	if len(entries) == 1 {
		entries = nil // the caption names the model
	}
	f := newFigure(width, 2.2*vg.Inch, entries, panel)
	f.caption = rankingCaption(result.Models)
	return f, nil
}

func rankingCaption(models []experiments.ModelRanking) Caption {
	return Caption{"Agreement of attributions with CLIP's ranking", []string{
		fmt.Sprintf("Spearman's rank correlation, with %s, between how much of a feature a component of %s carries (variance attributed) and how well it ranks the pictures as CLIP does by texts about the feature.",
			counts(eachOf(models, func(m experiments.ModelRanking) int { return m.Pictures }), "picture"),
			listed(eachOf(models, func(m experiments.ModelRanking) string { return m.Model }))),
		"For a feature it is taken over the components; between components is the mean over the features, and within component the correlation over the features, mean over the components.",
		"1 is the same order, 0 none.",
	}}
}

func checkRanking(m experiments.ModelRanking) error {
	if len(m.Features) == 0 {
		return errors.New("no features")
	}
	seen := make(map[string]bool)
	var bad error
	for _, f := range m.Features {
		if seen[f.Feature] {
			return fmt.Errorf("feature %q twice", f.Feature)
		}
		seen[f.Feature] = true
		bad = cmp.Or(bad, within(fmt.Sprintf("correlation for %q", f.Feature), f.Spearman, -1, 1))
	}
	return cmp.Or(bad, within("correlation between components", m.Between, -1, 1),
		within("correlation within a component", m.Within, -1, 1))
}
