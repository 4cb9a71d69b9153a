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
// mean, as [experiments.AblationCurve.Layers] counts them, or the share of the layers. The line passes through every component; the marks are at
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
	relative := result.Curves[0].RelativeDepth
	chances := make(map[float64]bool)
	for _, c := range result.Curves {
		if err := c.Check(); err != nil {
			return nil, err
		}
		if c.RelativeDepth != relative {
			return nil, fmt.Errorf("%s counts layers in another way than %s (RelativeDepth)", c.Model, result.Curves[0].Model)
		}
		if c.Chance > 0 {
			chances[c.Chance] = true
		}
	}
	panel := func(title string) *plot.Plot {
		p := ablationPanel(title, relative)
		for chance := range chances {
			p.Add(guide(100 * chance))
		}
		return p
	}
	forward := func(c experiments.AblationCurve, look look) (*curve, error) {
		return ablationCurve(c.Layers(), c.FromInit, look, relative)
	}
	back := func(c experiments.AblationCurve, look look) (*curve, error) {
		return ablationCurve(c.LayersBack(), c.FromLast, look, relative)
	}
	var chance []entry
	if len(chances) > 0 {
		chance = []entry{{"chance", guideLook}}
	}

	if len(result.Curves) == 1 {
		only := result.Curves[0]
		panel := panel("")
		panel.Y.Label.Text = accuracyLabel
		entries := []entry{{"from init forward", lookOf(0)}, {"from the last layer back", lookOf(1)}}
		for i, draw := range []func(experiments.AblationCurve, look) (*curve, error){forward, back} {
			line, err := draw(only, entries[i].look)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", only.Model, err)
			}
			panel.Add(line)
		}
		f := newFigure(width, 2.1*vg.Inch, append(entries, chance...), panel)
		f.caption = ablationCaption(result.Curves, len(chances) > 0)
		return f, nil
	}

	left, right := panel("from init forward"), panel("from the last layer back")
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
	f := newGrid(width, 2.4*vg.Inch, panelsWithin(width, narrowest, 2, 2), append(entries, chance...), []*plot.Plot{left, right})
	f.caption = ablationCaption(result.Curves, len(chances) > 0)
	return f, nil
}

func ablationCaption(curves []experiments.AblationCurve, chance bool) Caption {
	models := eachOf(curves, func(c experiments.AblationCurve) string { return c.Model })
	pictures := eachOf(curves, func(c experiments.AblationCurve) int { return c.Pictures })
	text := []string{
		fmt.Sprintf("Accuracy on %s as the components of %s are replaced by their mean over the pictures, layer by layer: from the patches and position embeddings (init) forward, and from the last layer back.",
			counts(pictures, "picture"), listed(models)),
		"A line passes through every component; its marks are at whole layers.",
	}
	if curves[0].RelativeDepth {
		text[1] = "A line passes through every component; its marks are at whole layers, which count as shares of a model's layers."
	}
	text = append(text, when(chance, "Dashed in grey: what classes drawn at random give.")...)
	return Caption{"Layer ablation", text}
}

const (
	accuracyLabel = "accuracy (%)"
	maxMarks      = 14 // on a curve, but for the one at 0: more would run into one another
)

// ablationPanel is an empty panel whose accuracies run from 0 to 100 %, so that figures compare. Layers are counted, or are
// shares of a model's.
func ablationPanel(title string, relative bool) *plot.Plot {
	p := newPlot()
	p.Title.Text = title
	p.X.Label.Text = "layers ablated"
	p.X.Min, p.Y.Min, p.Y.Max = 0, 0, 100
	if relative {
		p.X.Label.Text, p.X.Max = "layers ablated (% of all)", 100
	}
	return p
}

func ablationCurve(layers, accuracy []float64, look look, relative bool) (*curve, error) {
	points := make(plotter.XYs, len(layers))
	marked := make([]bool, len(layers))
	last := layers[len(layers)-1]
	every, scale := math.Ceil(last/maxMarks), 1.0
	if relative {
		scale = 100 / last
	}
	for i, x := range layers {
		points[i] = plotter.XY{X: scale * x, Y: 100 * accuracy[i]}
		marked[i] = math.Mod(x, every) == 0
	}
	return newCurve(points, marked, look)
}
