package plots

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vitdecompose/experiments"
)

// Waterbirds draws how the groups of birds and places fare as components are replaced by their mean: a panel for each
// model, and in it for each group its accuracy against the number of components ablated. Colour and marker tell the bird,
// line and filling the place. The worst group, whichever it is, is underlined, the mean of the groups is dashed, and a vertical
// line is at the number of components that the result is about. One model is a figure of column width, several are one of page
// width, in which each panel has its own axis: what one model loses would be flat beside another.
func Waterbirds(result experiments.WaterbirdsResult) (*Figure, error) {
	return laidOut("waterbirds figure", figureWidth(len(result.Models)), func(width vg.Length) (*Figure, error) { return waterbirds(result, width) })
}

// waterbirds is [Waterbirds] for a width.
func waterbirds(result experiments.WaterbirdsResult, width vg.Length) (*Figure, error) {
	if len(result.Models) == 0 {
		return nil, errors.New("no models")
	}
	worst := look{marker: draw.GlyphStyle{Color: ink, Radius: 1.3 * markerRadius, Shape: underline{}}}
	underlined := worst.marker
	underlined.Shape = dash{} // where there is nothing above
	mean := look{line: draw.LineStyle{Color: ink, Width: curveWidth, Dashes: dashes[1]}}
	ablated := look{marker: draw.GlyphStyle{Color: ink, Radius: legendMarker / 2, Shape: stroke{}}}

	columns := panelsWithin(width, narrowest, len(result.Models), 3)
	each := panelWidth(width, columns)

	var birds, places, groups indexer
	var entries []entry
	var panels []*plot.Plot
	counts := make(map[int]bool)
	for i, m := range result.Models {
		steps, err := checkWaterbirds(m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Model, err)
		}
		lowest := 100.0
		p := newPlot()
		if len(result.Models) > 1 {
			p.Title.Text = shorten(m.Model, p.Title.TextStyle, each-10)
		}
		p.X.Label.Text = "components ablated"
		if i%columns == 0 {
			p.Y.Label.Text = accuracyLabel
		}
		every := max(1, (steps+maxMarks-1)/maxMarks)
		line := func(look look, accuracy func(k int) float64) (*curve, error) {
			points := make(plotter.XYs, steps)
			marked := make([]bool, steps)
			for k := range points {
				points[k] = plotter.XY{X: float64(k), Y: 100 * accuracy(k)}
				marked[k] = look.marker.Shape != nil && k%every == 0
				lowest = min(lowest, points[k].Y)
			}
			return newCurve(points, marked, look)
		}
		under, err1 := line(worst, m.Worst)
		over, err2 := line(mean, m.Mean)
		if err := cmp.Or(err1, err2); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Model, err)
		}
		p.Add(post(m.Ablated))
		for _, g := range m.Groups {
			look := groupLook(birds.of(g.Bird), places.of(g.Place))
			if name := g.Bird + " on " + g.Place; groups.of(name) == len(entries) {
				entries = append(entries, entry{name, look})
			}
			group, err := line(look, func(k int) float64 { return g.Accuracy[k] })
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.Model, err)
			}
			p.Add(group)
		}
		p.Add(over, under)
		p.X.Min, p.X.Max = 0, max(1, float64(steps-1))
		p.Y.Min, p.Y.Max = 5*math.Floor(min(lowest-1, 90)/5), 100
		counts[m.Ablated] = true
		panels = append(panels, p)
	}
	if len(birds.names) > 2 || len(places.names) > 2 {
		return nil, fmt.Errorf("%d kinds of birds and %d of places: the figure shows 2 of each",
			len(birds.names), len(places.names))
	}
	chosen := "ablated in the table"
	if len(counts) == 1 {
		chosen = fmt.Sprintf("%s ablated", counted(result.Models[0].Ablated, "component"))
	}
	entries = append(entries, entry{"mean of groups", mean}, entry{"worst group", look{marker: underlined}}, entry{chosen, ablated})
	f := newGrid(width, 2*vg.Inch, columns, entries, panels)
	f.caption = Caption{"Birds in the wrong place", append([]string{
		fmt.Sprintf("Accuracy of %s for each group of birds and places as the components that carry the place more than the bird are replaced by their mean, those that carry it most first.",
			listed(eachOf(result.Models, func(m experiments.ModelWaterbirds) string { return m.Model }))),
		"The worst group is underlined at every mark, whichever group it is; the dashed line is the mean of the groups.",
		"The vertical line is at the number of components that the table is about.",
	}, when(len(panels) > 1, "Each model has an axis of its own, which does not begin at 0.")...)}
	return f, nil
}

// groupLook is the look of birds of the i-th kind at places of the k-th.
func groupLook(i, k int) look {
	colour := colours[1-i%2] // blue is for the birds of the water
	shape := marker{sides: 0, hollow: k%2 == 1}
	if i%2 == 0 {
		shape.sides, shape.turn = 3, math.Pi/2
	}
	l := look{
		line:   draw.LineStyle{Color: colour, Width: curveWidth},
		marker: draw.GlyphStyle{Color: colour, Radius: markerRadius, Shape: shape},
	}
	if k%2 == 1 {
		l.line.Dashes = dashes[2]
	}
	return l
}

// checkWaterbirds returns how many accuracies each group has.
func checkWaterbirds(m experiments.ModelWaterbirds) (steps int, err error) {
	if len(m.Groups) == 0 {
		return 0, errors.New("no groups")
	}
	steps = len(m.Groups[0].Accuracy)
	if steps == 0 {
		return 0, errors.New("no accuracies")
	}
	if steps > len(m.Order)+1 {
		return 0, fmt.Errorf("%d accuracies for %d components", steps, len(m.Order))
	}
	if m.Ablated < 0 || m.Ablated >= steps {
		return 0, fmt.Errorf("%s ablated of %d", counted(m.Ablated, "component"), steps-1)
	}
	seen := make(map[[2]string]bool)
	for _, g := range m.Groups {
		name := g.Bird + " on " + g.Place
		if seen[[2]string{g.Bird, g.Place}] {
			return 0, fmt.Errorf("%s twice", name)
		}
		seen[[2]string{g.Bird, g.Place}] = true
		if len(g.Accuracy) != steps {
			return 0, fmt.Errorf("%s: %d accuracies, other groups have %d", name, len(g.Accuracy), steps)
		}
		for k, accuracy := range g.Accuracy {
			if err := within("accuracy", accuracy, 0, 1); err != nil {
				return 0, fmt.Errorf("%s, %s ablated: %w", name, counted(k, "component"), err)
			}
		}
	}
	return steps, nil
}
