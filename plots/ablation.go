package plots

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"vitdecompose/experiments"
)

// Ablation draws the layer ablation: accuracy against the number of layers whose components are replaced by their
// mean, as [experiments.AblationCurve.Layers] counts them. The line passes through every component; the marks are at
// whole layers, at all of them or, in deep models, at every second or third.
//
// One model is a figure of column width with both directions in one panel. Several models are a figure of page width
// with a panel for each direction.
func Ablation(result experiments.AblationResult) (*Figure, error) {
	return laidOut("ablation figure", figureWidth(len(result.Curves)), func(width vg.Length) (*Figure, error) { return ablation(result, width) })
}

// ablation is [Ablation] for a width.
func ablation(result experiments.AblationResult, width vg.Length) (*Figure, error) {
	if len(result.Curves) == 0 {
		return nil, errors.New("no curves")
	}
	for _, c := range result.Curves {
		if err := c.Check(); err != nil {
			return nil, err
		}
	}
	forward := func(c experiments.AblationCurve, look look) (*curve, error) {
		return ablationCurve(c.Layers(), c.FromInit, look)
	}
	back := func(c experiments.AblationCurve, look look) (*curve, error) {
		return ablationCurve(c.LayersBack(), c.FromLast, look)
	}

	if len(result.Curves) == 1 {
		only := result.Curves[0]
		panel := ablationPanel("")
		panel.Title.Text = withPictures(only.Model, only.Pictures, panel.Title.TextStyle, width-2*margin)
		panel.Y.Label.Text = accuracyLabel
		entries := []entry{{"from init forward", lookOf(0)}, {"from the last layer back", lookOf(1)}}
		for i, draw := range []func(experiments.AblationCurve, look) (*curve, error){forward, back} {
			line, err := draw(only, entries[i].look)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", only.Model, err)
			}
			panel.Add(line)
		}
		return newFigure(width, 2.2*vg.Inch, entries, panel), nil
	}

	left, right := ablationPanel("from init forward"), ablationPanel("from the last layer back")
	left.Y.Label.Text = accuracyLabel
	var entries []entry
	for i, c := range result.Curves {
		entries = append(entries, entry{c.Model, lookOf(i)})
		ahead, err := forward(c, entries[i].look)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Model, err)
		}
		left.Add(ahead)
		backward, err := back(c, entries[i].look)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Model, err)
		}
		right.Add(backward)
	}
	return newGrid(width, 2.4*vg.Inch, panelsWithin(width, narrowest, 2, 2), entries, []*plot.Plot{left, right}), nil
}

const (
	accuracyLabel = "accuracy (%)"
	maxMarks      = 14 // on a curve, but for the one at 0: more would run into one another
)

// ablationPanel is an empty panel whose accuracies run from 0 to 100 %, so that figures compare.
func ablationPanel(title string) *plot.Plot {
	p := newPlot()
	p.Title.Text = title
	p.X.Label.Text = "layers ablated"
	p.X.Min, p.Y.Min, p.Y.Max = 0, 0, 100
	return p
}

func ablationCurve(layers, accuracy []float64, look look) (*curve, error) {
	points := make(plotter.XYs, len(layers))
	marked := make([]bool, len(layers))
	every := math.Ceil(layers[len(layers)-1] / maxMarks)
	for i, x := range layers {
		points[i] = plotter.XY{X: x, Y: 100 * accuracy[i]}
		marked[i] = math.Mod(x, every) == 0
	}
	return newCurve(points, marked, look)
}
