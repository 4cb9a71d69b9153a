package plots

import (
	"fmt"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// dot is a mark at (x, y) with a vertical interval, which has no length where low is high.
type dot struct{ x, y, low, high float64 }

// plainDot is a dot without interval.
func plainDot(x, y float64) dot { return dot{x, y, y, y} }

// dots are marks of one look that no curve joins.
type dots struct {
	dots []dot
	look look // its line is that of the intervals
}

// Plot implements plot.Plotter.
func (v *dots) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, d := range v.dots {
		if d.low < d.high {
			c.StrokeLine2(v.look.line, x(d.x), y(d.low), x(d.x), y(d.high))
		}
	}
	for _, d := range v.dots {
		if v.look.marker.Shape != nil {
			c.DrawGlyph(v.look.marker, vg.Point{X: x(d.x), Y: y(d.y)})
		}
	}
}

// DataRange implements plot.DataRanger.
func (v *dots) DataRange() (xmin, xmax, ymin, ymax float64) {
	xmin, xmax, ymin, ymax = math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, d := range v.dots {
		xmin, xmax = min(xmin, d.x), max(xmax, d.x)
		ymin, ymax = min(ymin, d.y, d.low), max(ymax, d.y, d.high)
	}
	return xmin, xmax, ymin, ymax
}

// level is a thin horizontal line all across a panel.
type level float64

// Plot implements plot.Plotter.
func (l level) Plot(c draw.Canvas, p *plot.Plot) {
	_, y := p.Transforms(&c)
	c.StrokeLine2(draw.LineStyle{Color: ink, Width: axisWidth}, c.Min.X, y(float64(l)), c.Max.X, y(float64(l)))
}

// guide is a light dashed line all across a panel, at a height that marks are compared with.
type guide float64

// Plot implements plot.Plotter.
func (g guide) Plot(c draw.Canvas, p *plot.Plot) {
	_, y := p.Transforms(&c)
	c.StrokeLine2(guideLook.line, c.Min.X, y(float64(g)), c.Max.X, y(float64(g)))
}

// guideLook is the look of a guide, for legends.
var guideLook = look{line: draw.LineStyle{Color: midGrey, Width: 0.8 * curveWidth, Dashes: []vg.Length{2.4, 1.8}}}

// post is a thin vertical line all across a panel.
type post float64

// Plot implements plot.Plotter.
func (v post) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	c.StrokeLine2(draw.LineStyle{Color: ink, Width: axisWidth}, x(float64(v)), c.Min.Y, x(float64(v)), c.Max.Y)
}

// remark is an upright text above the horizontal axis, in place of a mark.
type remark struct {
	x      float64
	text   string
	colour color.Color
}

// Plot implements plot.Plotter.
func (r remark) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	style := textStyle(smallSize)
	style.Color, style.Rotation, style.YAlign = r.colour, math.Pi/2, draw.YCenter
	c.FillText(style, vg.Point{X: x(r.x), Y: c.Min.Y + 2}, r.text)
}

// dividers are light vertical lines.
type dividers []float64

// Plot implements plot.Plotter.
func (d dividers) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	for _, at := range d {
		c.StrokeLine2(draw.LineStyle{Color: gridGrey, Width: gridWidth}, x(at), c.Min.Y, x(at), c.Max.Y)
	}
}

// star is a glyph of five points, dash one that is a short horizontal line, stroke one that is a short vertical line, and
// underline a short horizontal line below another mark.
type (
	star      struct{}
	dash      struct{}
	stroke    struct{}
	underline struct{}
)

// DrawGlyph implements draw.GlyphDrawer.
func (underline) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	dash{}.DrawGlyph(c, style, vg.Point{X: at.X, Y: at.Y - 1.8*style.Radius})
}

// DrawGlyph implements draw.GlyphDrawer.
func (star) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	var corners []vg.Point
	for i := range 10 {
		radius := style.Radius
		if i%2 == 1 {
			radius *= 0.42
		}
		sin, cos := math.Sincos(math.Pi/2 + float64(i)*math.Pi/5)
		corners = append(corners, vg.Point{X: at.X + radius*vg.Length(cos), Y: at.Y + radius*vg.Length(sin)})
	}
	c.FillPolygon(style.Color, corners)
}

// DrawGlyph implements draw.GlyphDrawer.
func (dash) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	c.StrokeLine2(draw.LineStyle{Color: style.Color, Width: 0.8 * curveWidth}, at.X-style.Radius, at.Y, at.X+style.Radius, at.Y)
}

// DrawGlyph implements draw.GlyphDrawer.
func (stroke) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	c.StrokeLine2(draw.LineStyle{Color: style.Color, Width: axisWidth}, at.X, at.Y-style.Radius, at.X, at.Y+style.Radius)
}

// nameAxis makes the horizontal axis of a panel one of names, name i at i, with light lines between them. A name may
// have lines. Names that do not fit side by side into width are slanted, and too long ones shortened.
func nameAxis(p *plot.Plot, names []string, width vg.Length) {
	const longest = vg.Length(74)
	style := p.X.Tick.Label
	each := width / vg.Length(len(names))
	labels := make([]string, len(names))
	lines, slanted := 0, false
	for i, name := range names {
		parts := strings.Split(name, "\n")
		for k := range parts {
			parts[k] = shorten(parts[k], style, longest)
		}
		labels[i] = strings.Join(parts, "\n")
		lines = max(lines, len(parts))
		slanted = slanted || style.Width(labels[i]) > each-3
	}
	var ticks plot.ConstantTicks
	var between dividers
	for i := range names {
		if slanted {
			// The space is for the corner of the letters, which would touch the tick.
			labels[i] = shorten(strings.ReplaceAll(names[i], "\n", " "), style, longest) + " "
		} else {
			labels[i] += strings.Repeat("\n ", lines-1-strings.Count(labels[i], "\n")) // as high as the others
		}
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: labels[i]})
		if i > 0 {
			between = append(between, float64(i)-0.5)
		}
	}
	if slanted {
		p.X.Tick.Label.Rotation = math.Pi / 4
		p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = draw.XRight, draw.YCenter
	}
	p.X.Tick.Marker = ticks
	p.X.Min, p.X.Max = -0.5, float64(len(names))-0.5
	p.Add(between)
}

// besideOthers is how much of a place on an axis of names the marks take that share it.
const besideOthers = 0.8

// beside returns where mark i of n stands that share a place on an axis of names, as its distance from the place. Marks
// are as far apart as most of them need.
func beside(i, n, most int) float64 {
	return (float64(i) - float64(n-1)/2) * besideOthers / float64(most)
}

// indexer numbers names in the order they come first.
type indexer struct {
	names []string
	index map[string]int
}

func (x *indexer) of(name string) int {
	i, ok := x.index[name]
	if !ok {
		if x.index == nil {
			x.index = make(map[string]int)
		}
		i = len(x.names)
		x.index[name] = i
		x.names = append(x.names, name)
	}
	return i
}

// finite returns an error unless x is a number.
func finite(what string, x float64) error {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return fmt.Errorf("%s is %v", what, x)
	}
	return nil
}

// within returns an error unless x lies between lowest and highest, but for rounding.
func within(what string, x, lowest, highest float64) error {
	const slack = 1e-6
	if !(x >= lowest-slack && x <= highest+slack) {
		return fmt.Errorf("%s %v is not between %v and %v", what, x, lowest, highest)
	}
	return nil
}
