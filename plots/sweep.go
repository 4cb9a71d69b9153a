package plots

import (
	"cmp"
	"errors"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vitdecompose/experiments"
)

// Sweep draws alignment against lambda: the cosine similarity on held-out pictures on the left, and on the right how far
// the maps are from orthogonal, the mean over components in a light band from the least to the most. Lambda has a
// logarithmic axis, which 0 stands apart from.
func Sweep(result experiments.SweepResult) (*Figure, error) {
	return laidOut("sweep figure", PageWidth, func(width vg.Length) (*Figure, error) { return sweep(result, width) })
}

// sweep is [Sweep] for a width.
func sweep(result experiments.SweepResult, width vg.Length) (*Figure, error) {
	if len(result.Curves) == 0 {
		return nil, errors.New("no curves")
	}
	var lambdas []float64
	smallest, largest := math.Inf(1), math.Inf(-1)
	worst, best := math.Inf(1), math.Inf(-1)
	for _, c := range result.Curves {
		if err := checkSweep(c); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Model, err)
		}
		for _, p := range c.Points {
			lambdas = append(lambdas, p.Lambda)
			worst, best = min(worst, p.Cosine), max(best, p.Cosine)
			smallest, largest = min(smallest, p.Least, p.Orthogonality), max(largest, p.Most, p.Orthogonality)
		}
	}
	columns := panelsWithin(width, 2*vg.Inch, 2, 2)
	x := newLambdaAxis(lambdas)
	left, right := newPlot(), newPlot()
	left.Y.Label.Text = "cosine similarity"
	right.Y.Label.Text = "distance from orthogonal"
	for _, p := range []*plot.Plot{left, right} {
		p.X.Label.Text = "lambda"
		x.apply(p, panelWidth(width, columns)-40)
	}
	margins := max(0.04*(best-worst), 0.005)
	left.Y.Min, left.Y.Max = worst-margins, best+margins
	right.Y.Min = 0
	if largest == 0 {
		right.Y.Max = 1
	}
	height := func(y float64) float64 { return y }
	if smallest > 0 && largest >= 100*smallest {
		height = math.Log10
		right.Y.Min = height(smallest)
		right.Y.Tick.Marker = decades{}
	}

	var entries []entry
	var lines []plot.Plotter
	for i, c := range result.Curves {
		look := lookOf(i)
		entries = append(entries, entry{c.Model, look})
		for _, piece := range pieces(c.Points) {
			var cosine, mean plotter.XYs
			shade := &band{colour: faint(look.line.Color)}
			for _, p := range piece {
				at := x.at(p.Lambda)
				cosine = append(cosine, plotter.XY{X: at, Y: p.Cosine})
				mean = append(mean, plotter.XY{X: at, Y: height(p.Orthogonality)})
				shade.dots = append(shade.dots, dot{x: at, low: height(p.Least), high: height(p.Most)})
			}
			marked := slices.Repeat([]bool{true}, len(piece))
			quality, err := newCurve(cosine, marked, look)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.Model, err)
			}
			line, err := newCurve(mean, marked, look)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.Model, err)
			}
			left.Add(quality)
			right.Add(shade)
			lines = append(lines, line)
		}
	}
	right.Add(lines...) // over all bands
	if len(entries) == 1 {
		entries = nil // the caption names the model
	}
	f := newGrid(width, 2.2*vg.Inch, columns, entries, []*plot.Plot{left, right})
	f.caption = Caption{"Alignment against lambda", []string{
		fmt.Sprintf("Lambda weighs how close the linear maps of the components of %s into CLIP's space are kept to isometries; 0 stands apart from the logarithmic axis.",
			listed(eachOf(result.Curves, func(c experiments.SweepCurve) string { return c.Model }))),
		"First panel: cosine similarity of the mapped representation with CLIP's embedding, mean over held-out pictures.",
		"Second panel: how far the maps W are from orthogonal, the mean of the squared entries of W'W - I times the dimension; the line is the mean over components, and the shaded area goes from the least to the most.",
	}}
	return f, nil
}

func checkSweep(c experiments.SweepCurve) error {
	if len(c.Points) == 0 {
		return errors.New("no points")
	}
	before := math.Inf(-1)
	for _, p := range c.Points {
		if err := finite("lambda", p.Lambda); err != nil {
			return err
		}
		if p.Lambda < 0 || p.Lambda <= before {
			return fmt.Errorf("lambda %v after %v: want ascending values of 0 or more", p.Lambda, before)
		}
		before = p.Lambda
		err := cmp.Or(within("cosine similarity", p.Cosine, -1, 1), finite("orthogonality", p.Orthogonality),
			finite("least orthogonality", p.Least), finite("most orthogonality", p.Most))
		if err == nil && !(0 <= p.Least && p.Least <= p.Most && p.Orthogonality >= 0) {
			err = fmt.Errorf("orthogonality %v, from %v to %v", p.Orthogonality, p.Least, p.Most)
		}
		if err != nil {
			return fmt.Errorf("lambda %v: %w", p.Lambda, err)
		}
	}
	return nil
}

// pieces are the points at lambda 0, if there is one, and those above: no line joins them.
func pieces(points []experiments.SweepPoint) [][]experiments.SweepPoint {
	var all [][]experiments.SweepPoint
	if points[0].Lambda == 0 {
		all, points = append(all, points[:1]), points[1:]
	}
	if len(points) > 0 {
		all = append(all, points)
	}
	return all
}

// faint is a colour that others show through.
func faint(c color.Color) color.Color {
	see := color.NRGBAModel.Convert(c).(color.NRGBA)
	see.A = 0x26
	return see
}

// band is the area between lows and highs; where there is but one of them, a bar.
type band struct {
	dots   []dot
	colour color.Color
}

// Plot implements plot.Plotter.
func (v *band) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	if len(v.dots) == 1 {
		d, half := v.dots[0], 1.5*markerRadius
		c.FillPolygon(v.colour, []vg.Point{{X: x(d.x) - half, Y: y(d.low)}, {X: x(d.x) + half, Y: y(d.low)},
			{X: x(d.x) + half, Y: y(d.high)}, {X: x(d.x) - half, Y: y(d.high)}})
		return
	}
	var outline []vg.Point
	for _, d := range v.dots {
		outline = append(outline, vg.Point{X: x(d.x), Y: y(d.high)})
	}
	for _, d := range slices.Backward(v.dots) {
		outline = append(outline, vg.Point{X: x(d.x), Y: y(d.low)})
	}
	c.FillPolygon(v.colour, outline)
}

// DataRange implements plot.DataRanger.
func (v *band) DataRange() (xmin, xmax, ymin, ymax float64) {
	xmin, xmax, ymin, ymax = v.dots[0].x, v.dots[len(v.dots)-1].x, math.Inf(1), math.Inf(-1)
	for _, d := range v.dots {
		ymin, ymax = min(ymin, d.low), max(ymax, d.high)
	}
	return xmin, xmax, ymin, ymax
}

// lambdaAxis is a logarithmic axis with a place for 0 on the left, before a break.
type lambdaAxis struct {
	lambdas  []float64 // ascending, each once
	min, max float64   // of the axis
	zero     float64   // the place of 0
	gap      float64   // the place of the break; NaN where there is none
}

func newLambdaAxis(lambdas []float64) lambdaAxis {
	lambdas = slices.Clone(lambdas)
	slices.Sort(lambdas)
	a := lambdaAxis{lambdas: slices.Compact(lambdas), gap: math.NaN()}
	above := a.lambdas
	if above[0] == 0 {
		above = above[1:]
	}
	if len(above) == 0 {
		a.min, a.max = -1, 1
		return a
	}
	a.min, a.max = math.Log10(above[0]), math.Log10(above[len(above)-1])
	if len(above) < len(a.lambdas) {
		apart := max(0.2*(a.max-a.min), 0.3)
		a.zero, a.gap = a.min-apart, a.min-apart/2
		a.min = a.zero
	}
	if a.min == a.max {
		a.min, a.max = a.min-0.5, a.max+0.5
	}
	return a
}

// at returns the place of lambda on the axis.
func (a lambdaAxis) at(lambda float64) float64 {
	if lambda == 0 {
		return a.zero
	}
	return math.Log10(lambda)
}

// apply makes it the horizontal axis of a panel about width wide: ticks at the lambdas, labels where there is room.
func (a lambdaAxis) apply(p *plot.Plot, width vg.Length) {
	p.X.Min, p.X.Max = a.min, a.max
	var ticks plot.ConstantTicks
	style := p.X.Tick.Label
	free := vg.Length(math.Inf(-1))
	for _, lambda := range a.lambdas {
		tick := plot.Tick{Value: a.at(lambda)}
		label := strconv.FormatFloat(lambda, 'g', 3, 64)
		middle := vg.Length((tick.Value-a.min)/(a.max-a.min)) * width
		if half := style.Width(label) / 2; middle-half > free {
			tick.Label = label
			free = middle + half + 3
		}
		ticks = append(ticks, tick)
	}
	p.X.Tick.Marker = ticks
	if !math.IsNaN(a.gap) {
		p.Add(axisBreak(a.gap))
	}
}

// axisBreak interrupts the horizontal axis at a place.
type axisBreak float64

// Plot implements plot.Plotter.
func (a axisBreak) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	at, y := x(float64(a)), c.Min.Y-p.X.Padding-p.X.Width/2
	c.StrokeLine2(draw.LineStyle{Color: color.White, Width: 3 * axisWidth}, at-1.5, y, at+1.5, y)
	for _, side := range []vg.Length{-1.5, 1.5} {
		c.StrokeLine2(draw.LineStyle{Color: ink, Width: axisWidth}, at+side-1.2, y-2.5, at+side+1.2, y+2.5)
	}
}

// decades labels an axis of decimal logarithms with the numbers themselves, at powers of ten.
type decades struct{}

// Ticks implements plot.Ticker.
func (decades) Ticks(lowest, highest float64) []plot.Tick {
	every := max(1, math.Ceil((highest-lowest)/7))
	var ticks []plot.Tick
	for power := math.Ceil(lowest - 1e-9); power <= highest+1e-9; power++ {
		tick := plot.Tick{Value: power}
		if math.Mod(power, every) == 0 {
			tick.Label = strconv.FormatFloat(math.Pow(10, power), 'g', 1, 64)
		}
		ticks = append(ticks, tick)
	}
	return ticks
}
