package plots

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vitdecompose/experiments"
	"vitdecompose/experiments/statistics"
)

// Significant is the P below which a causal score gets a star.
const Significant = 0.01

// Causal draws the causal test: a panel for each model, and in it for each feature the causal score of the components
// that attribution ranks first, in standard deviations of random sets, with its 95 % interval, beside the mean of random sets
// of components with the range of 95 % of them. One model is a figure of column width, several are one of page width.
func Causal(result experiments.CausalResult) (*Figure, error) {
	return laidOut("causal figure", figureWidth(len(result.Models)), func(width vg.Length) (*Figure, error) { return causal(result, width) })
}

// causal is [Causal] for a width.
func causal(result experiments.CausalResult, width vg.Length) (*Figure, error) {
	if len(result.Models) == 0 {
		return nil, errors.New("no models")
	}
	first := lookOf(0)
	first.line.Dashes = nil
	random := look{
		line:   draw.LineStyle{Color: midGrey, Width: curveWidth},
		marker: draw.GlyphStyle{Color: midGrey, Radius: markerRadius, Shape: marker{sides: 4, turn: math.Pi / 4, hollow: true}},
	}
	starred := look{marker: draw.GlyphStyle{Color: ink, Radius: 3, Shape: star{}}}

	columns := panelsWithin(width, narrowest, len(result.Models), 3)
	each := panelWidth(width, columns)

	var panels []*plot.Plot
	var stars []*dots
	lowest, highest := 0.0, 0.0
	for i, m := range result.Models {
		if err := checkCausal(m); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Model, err)
		}
		p := newPlot()
		if len(result.Models) > 1 {
			p.Title.Text = shorten(m.Model, p.Title.TextStyle, each-10)
		}
		if i%columns == 0 {
			p.Y.Label.Text = "causal score\n(s.d. of random sets)"
		}
		ours, theirs, above := &dots{look: first}, &dots{look: random}, &dots{look: starred}
		var names []string
		for k, f := range m.Features {
			names = append(names, f.Feature)
			add := func(to *dots, place int, v statistics.Interval) {
				to.dots = append(to.dots, dot{float64(k) + beside(place, 2, 2), v.Mean, v.Low, v.High})
			}
			add(ours, 0, f.Score)
			add(theirs, 1, f.Random)
			if f.P < Significant {
				above.dots = append(above.dots, plainDot(float64(k)+beside(0, 2, 2), max(f.Score.High, f.Score.Mean)))
			}
		}
		nameAxis(p, names, each-30)
		p.Add(level(0), theirs, ours)
		for _, d := range []*dots{ours, theirs} {
			_, _, low, high := d.DataRange()
			lowest, highest = min(lowest, low), max(highest, high)
		}
		panels, stars = append(panels, p), append(stars, above)
	}
	span := highest - lowest
	if span == 0 {
		span = 1
	}
	for i, p := range panels {
		for k := range stars[i].dots {
			d := &stars[i].dots[k]
			*d = plainDot(d.x, d.y+0.07*span) // clear of the interval
		}
		p.Add(stars[i])
		p.Y.Min, p.Y.Max = lowest-0.03*span, highest+0.12*span // one for all, so that panels compare
	}
	entries := []entry{{"components ranked first, 95 % interval", first}, {"random sets, 95 % of them", random},
		{fmt.Sprintf("P < %v", Significant), starred}}
	f := newGrid(width, 2*vg.Inch, columns, entries, panels)
	f.caption = causalCaption(result.Models)
	return f, nil
}

func causalCaption(models []experiments.ModelCausalTest) Caption {
	ablated := eachOf(models, func(m experiments.ModelCausalTest) int { return m.Ablated })
	draws := eachOf(models, func(m experiments.ModelCausalTest) int { return m.Draws })
	seeds := eachOf(models, func(m experiments.ModelCausalTest) int { return m.Seeds })
	return Caption{"Causal test of attributions", []string{
		fmt.Sprintf("For each feature, the %s that attribution ranks first are replaced by their mean in %s.", counts(ablated, "component"),
			listed(eachOf(models, func(m experiments.ModelCausalTest) string { return m.Model }))),
		"The causal score is what the linear read-out of the feature loses in accuracy, minus what the others' lose on average, each in standard deviations (s.d.) of the losses with random sets of as many components.",
		fmt.Sprintf("In blue: the mean over %s with its 95 %% interval.", counts(seeds, "seed")),
		fmt.Sprintf("In grey: %s, their mean and the range that 95 %% of them lie in.", counts(draws, "random set")),
		fmt.Sprintf("A star: fewer than one random set in %.0f scores as high (P < %v).", 1/Significant, Significant),
	}}
}

// evenly returns how many columns n things take, at most most of them, so that the rows are as even as they can be.
func evenly(n, most int) int {
	rows := (n + most - 1) / most
	return (n + rows - 1) / rows
}

func checkCausal(m experiments.ModelCausalTest) error {
	if len(m.Features) == 0 {
		return errors.New("no features")
	}
	for _, f := range m.Features {
		err := cmp.Or(checkInterval("score", f.Score), checkInterval("random", f.Random), within("P", f.P, 0, 1))
		if err != nil {
			return fmt.Errorf("%s: %w", f.Feature, err)
		}
	}
	return nil
}

func checkInterval(what string, v statistics.Interval) error {
	if err := cmp.Or(finite(what+" mean", v.Mean), finite(what+" low", v.Low), finite(what+" high", v.High)); err != nil {
		return err
	}
	if v.Low > v.High {
		return fmt.Errorf("%s interval from %v to %v", what, v.Low, v.High)
	}
	return nil
}
