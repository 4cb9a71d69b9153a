package plots

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vitdecompose/experiments"
)

// measures are what a segmentation is scored by.
var measures = []struct {
	name string
	of   func(experiments.SegmentationScore) float64
}{
	{"pixel accuracy", func(s experiments.SegmentationScore) float64 { return s.PixelAccuracy }},
	{"mIoU", func(s experiments.SegmentationScore) float64 { return s.MIoU }},
	{"mAP", func(s experiments.SegmentationScore) float64 { return s.MAP }},
}

// Segmentation draws how well each method finds the objects with each model: pixel accuracy, mIoU and mAP, from 0 to 1. A
// method that a model has no score of is not defined for it.
// One model is a figure of column width with the measures side by side in one panel. Several models are a figure of page
// width with a panel for each measure.
func Segmentation(result experiments.SegmentationResult) (*Figure, error) {
	return laidOut("segmentation figure", figureWidth(len(result.Models)), func(width vg.Length) (*Figure, error) { return segmentation(result, width) })
}

// segmentation is [Segmentation] for a width.
func segmentation(result experiments.SegmentationResult, width vg.Length) (*Figure, error) {
	if len(result.Models) == 0 {
		return nil, errors.New("no models")
	}
	var methods indexer
	for _, m := range result.Models {
		if err := checkSegmentation(m); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Model, err)
		}
		for _, s := range m.Scores {
			methods.of(s.Method)
		}
	}
	var entries []entry
	for i, name := range methods.names {
		entries = append(entries, entry{name, stem(i)})
	}
	panel := func(title string, names []string, inner vg.Length) *plot.Plot {
		p := newPlot()
		p.Title.Text = title
		nameAxis(p, names, inner)
		p.Y.Min, p.Y.Max = 0, 1
		return p
	}
	// add puts the scores of one model at place x, and says of which methods it has none.
	add := func(p *plot.Plot, x int, m experiments.ModelSegmentation, of func(experiments.SegmentationScore) float64) {
		for i, method := range methods.names {
			at := float64(x) + beside(i, len(methods.names), len(methods.names))
			own := slices.IndexFunc(m.Scores, func(s experiments.MethodScore) bool { return s.Method == method })
			if own < 0 {
				p.Add(remark{at, "not defined", stem(i).line.Color})
				continue
			}
			score := of(m.Scores[own].SegmentationScore)
			p.Add(&dots{dots: []dot{{at, score, 0, score}}, look: stem(i)})
		}
	}

	if len(result.Models) == 1 {
		only := result.Models[0]
		var names []string
		for _, measure := range measures {
			names = append(names, measure.name)
		}
		p := panel("", names, width-2*margin-30)
		for i, measure := range measures {
			add(p, i, only, measure.of)
		}
		f := newFigure(width, 2.1*vg.Inch, entries, p)
		f.caption = segmentationCaption(result.Models, methods.names)
		return f, nil
	}
	var names []string
	for _, m := range result.Models {
		names = append(names, m.Model)
	}
	columns, height := panelsWithin(width, narrowest, len(measures), len(measures)), 2.2*vg.Inch
	if columns < len(measures) { // one below the other, rather than a row that is not full
		columns, height = 1, 1.7*vg.Inch
	}
	inner := panelWidth(width, columns) - 25 // of what is drawn in a panel, about
	var panels []*plot.Plot
	for _, measure := range measures {
		p := panel(measure.name, names, inner)
		for i, m := range result.Models {
			add(p, i, m, measure.of)
		}
		panels = append(panels, p)
	}
	f := newGrid(width, height, columns, entries, panels)
	f.caption = segmentationCaption(result.Models, methods.names)
	return f, nil
}

func segmentationCaption(models []experiments.ModelSegmentation, methods []string) Caption {
	missing := slices.ContainsFunc(models, func(m experiments.ModelSegmentation) bool { return len(m.Scores) < len(methods) })
	return Caption{"Zero-shot segmentation", append([]string{
		fmt.Sprintf("How well %s outline the object in %s with %s.", listed(methods),
			counts(eachOf(models, func(m experiments.ModelSegmentation) int { return m.Pictures }), "picture"),
			listed(eachOf(models, func(m experiments.ModelSegmentation) string { return m.Model }))),
		"Pixel accuracy is the share of pixels told right, mIoU the mean over object and background of intersection over union, both with the map cut at its mean; mAP is the mean average precision of the uncut map. All go from 0 to 1.",
	}, when(missing, "Not defined: the method cannot be applied to the model.")...)}
}

// stem is the look of the i-th method: its mark on a line up from 0.
func stem(i int) look {
	l := lookOf(i)
	l.line = draw.LineStyle{Color: l.line.Color, Width: curveWidth}
	return l
}

func checkSegmentation(m experiments.ModelSegmentation) error {
	if len(m.Scores) == 0 {
		return errors.New("no scores")
	}
	for i, s := range m.Scores {
		if slices.ContainsFunc(m.Scores[:i], func(before experiments.MethodScore) bool { return before.Method == s.Method }) {
			return fmt.Errorf("method %q twice", s.Method)
		}
		err := cmp.Or(within("pixel accuracy", s.PixelAccuracy, 0, 1), within("mIoU", s.MIoU, 0, 1), within("mAP", s.MAP, 0, 1))
		if err != nil {
			return fmt.Errorf("%s: %w", s.Method, err)
		}
	}
	return nil
}
