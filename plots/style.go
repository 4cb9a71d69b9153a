package plots

import (
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Widths of figures: a column of a two-column page, and the whole page between its margins.
const (
	ColumnWidth = 3.35 * vg.Inch
	PageWidth   = 6.95 * vg.Inch
)

const (
	margin = 3 * vg.Millimeter / 2 // free space all around a figure

	titleSize = vg.Length(8.5) // points, as all lengths without a unit
	labelSize = vg.Length(8)
	tickSize  = vg.Length(7)
	smallSize = vg.Length(6) // nothing is smaller

	axisWidth    = vg.Length(0.6)
	gridWidth    = vg.Length(0.4)
	curveWidth   = vg.Length(1.1)
	markerRadius = vg.Length(1.9)
)

var (
	ink      = color.Gray{0x20} // text and axes
	gridGrey = color.Gray{0xdd}
	midGrey  = color.Gray{0x80} // what others are compared with
)

// typeface comes with gonum/plot, so figures look the same everywhere. In SVG it is named with its usual stand-ins.
func typeface(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

// colours are Okabe and Ito's, which people with any form of colour blindness tell apart
// (https://jfly.uni-koeln.de/color/), but yellow, too light for lines on white.
var colours = []color.Color{
	color.RGBA{0x00, 0x72, 0xb2, 0xff}, // blue
	color.RGBA{0xd5, 0x5e, 0x00, 0xff}, // vermilion
	color.RGBA{0x00, 0x9e, 0x73, 0xff}, // bluish green
	color.RGBA{0xcc, 0x79, 0xa7, 0xff}, // reddish purple
	color.RGBA{0xe6, 0x9f, 0x00, 0xff}, // orange
	color.RGBA{0x56, 0xb4, 0xe9, 0xff}, // sky blue
	color.RGBA{0x00, 0x00, 0x00, 0xff}, // black
}

// dashes are lengths in points: on, off, ...
var dashes = [][]vg.Length{
	nil,
	{4, 1.6},
	{1.2, 1.4},
	{5, 1.5, 1.2, 1.5},
	{8, 2},
}

// markers, filled ones and hollow ones in turn.
var markers = []marker{
	{sides: 0},
	{sides: 4, turn: math.Pi / 4, hollow: true},
	{sides: 3, turn: math.Pi / 2},
	{sides: 4, turn: 0, hollow: true},
	{sides: 3, turn: -math.Pi / 2},
	{sides: 0, hollow: true},
}

// look is how one curve differs from the others: in colour, dash and marker, each sufficient on its own.
type look struct {
	line   draw.LineStyle
	marker draw.GlyphStyle
}

// lookOf returns the look of the i-th curve of a figure. The lists have lengths without a common divisor, so that
// looks repeat late.
func lookOf(i int) look {
	return look{
		line:   draw.LineStyle{Color: colours[i%len(colours)], Width: curveWidth, Dashes: dashes[i%len(dashes)]},
		marker: draw.GlyphStyle{Color: colours[i%len(colours)], Radius: markerRadius, Shape: markers[i%len(markers)]},
	}
}

// newPlot returns an empty plot in the house style: two thin axes and light horizontal lines at the ticks.
func newPlot() *plot.Plot {
	p := plot.New()
	p.Title.TextStyle.Font = typeface(titleSize)
	p.Title.TextStyle.Color = ink
	p.Title.Padding = 3
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Color = ink
		axis.Width = axisWidth
		axis.Padding = 3
		axis.Label.TextStyle.Font = typeface(labelSize)
		axis.Label.TextStyle.Color = ink
		axis.Label.Padding = 3
		axis.Tick.Label.Font = typeface(tickSize)
		axis.Tick.Label.Color = ink
		axis.Tick.LineStyle = draw.LineStyle{Color: ink, Width: axisWidth}
		axis.Tick.Length = 3
		axis.Tick.Marker = roundTicks{}
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal = draw.LineStyle{Color: gridGrey, Width: gridWidth}
	p.Add(grid)
	return p
}

// roundTicks puts labelled ticks at multiples of 1, 2 or 5 times a power of ten, at most eight or so.
type roundTicks struct{}

func (roundTicks) Ticks(lowest, highest float64) []plot.Tick {
	span := highest - lowest
	if !(span > 0) || math.IsInf(span, 0) {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10(span/8)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if span/(factor*step) <= 8 {
			step *= factor
			break
		}
	}
	var ticks []plot.Tick
	const slack = 1e-9 // of a step: rounding must not lose the ticks at the ends
	for i := math.Ceil(lowest/step - slack); i <= highest/step+slack; i++ {
		value := i*step + 0 // + 0 makes 0 of -0
		ticks = append(ticks, plot.Tick{Value: value, Label: strconv.FormatFloat(value, 'g', 6, 64)})
	}
	return ticks
}

// marker is a disc (no sides) or a regular polygon, turned by an angle in radians; a hollow one is white inside.
type marker struct {
	sides  int
	turn   float64
	hollow bool
}

// DrawGlyph draws the marker around a point; polygons get about the area of the disc.
func (m marker) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	var path vg.Path
	if m.sides == 0 {
		path.Move(vg.Point{X: at.X + style.Radius, Y: at.Y})
		path.Arc(at, style.Radius, 0, 2*math.Pi)
	} else {
		step := 2 * math.Pi / float64(m.sides)
		radius := style.Radius * vg.Length(math.Sqrt(math.Pi/(float64(m.sides)/2*math.Sin(step))))
		for i := range m.sides {
			sin, cos := math.Sincos(m.turn + float64(i)*step)
			corner := vg.Point{X: at.X + radius*vg.Length(cos), Y: at.Y + radius*vg.Length(sin)}
			if i == 0 {
				path.Move(corner)
			} else {
				path.Line(corner)
			}
		}
	}
	path.Close()
	fill := style.Color
	if m.hollow {
		fill = color.White
	}
	c.SetColor(fill)
	c.Fill(path)
	c.SetLineStyle(draw.LineStyle{Color: style.Color, Width: 0.8 * curveWidth})
	c.Stroke(path)
}
