package plots

import (
	"fmt"
	"image/color"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Figure is panels, in one row or more, under one legend, and the size they are made for.
type Figure struct {
	Width, Height vg.Length

	relayout
	panels [][]*plot.Plot // by row, all rows of one length; nil after the last panel
	legend legend
}

const panelGap = vg.Length(10) // between panels

// newFigure lays out a figure of the given width whose panels, with their axes and titles, have the given height.
func newFigure(width, panelHeight vg.Length, entries []entry, panels ...*plot.Plot) *Figure {
	return newGrid(width, panelHeight, len(panels), entries, panels)
}

// newGrid is newFigure with panels in as many columns as said, and in as many rows as that takes.
func newGrid(width, panelHeight vg.Length, columns int, entries []entry, panels []*plot.Plot) *Figure {
	f := &Figure{Width: width, legend: legend{entries}}
	for row := range slices.Chunk(panels, columns) {
		f.panels = append(f.panels, append(slices.Clone(row), make([]*plot.Plot, columns-len(row))...))
	}
	rows := vg.Length(len(f.panels))
	f.Height = rows*panelHeight + (rows-1)*panelGap + f.legend.height(width-2*margin) + 2*margin
	return f
}

// Draw draws the figure on all of the canvas.
func (f *Figure) Draw(c draw.Canvas) {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	c = draw.Crop(c, margin, -margin, margin, -margin)
	height := f.legend.height(c.Size().X)
	f.legend.draw(draw.Crop(c, 0, 0, c.Size().Y-height, 0))
	tiles := draw.Tiles{Rows: len(f.panels), Cols: len(f.panels[0]), PadX: panelGap, PadY: panelGap}
	for i, row := range plot.Align(f.panels, tiles, draw.Crop(c, 0, 0, 0, -height)) {
		for j, canvas := range row {
			if f.panels[i][j] != nil {
				f.panels[i][j].Draw(canvas)
			}
		}
	}
}

// curve is a line through points, some of them marked.
type curve struct {
	points plotter.XYs
	marked []bool // one per point
	look   look
}

// newCurve checks the points, and copies them.
func newCurve(points plotter.XYer, marked []bool, look look) (*curve, error) {
	xys, err := plotter.CopyXYs(points)
	if err != nil {
		return nil, err
	}
	if len(marked) != len(xys) {
		return nil, fmt.Errorf("%d marks for %d points", len(marked), len(xys))
	}
	return &curve{points: xys, marked: marked, look: look}, nil
}

// Plot implements plot.Plotter.
func (v *curve) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	path := make([]vg.Point, len(v.points))
	for i, point := range v.points {
		path[i] = vg.Point{X: x(point.X), Y: y(point.Y)}
	}
	c.StrokeLines(v.look.line, path)
	for i, point := range path {
		if v.marked[i] {
			c.DrawGlyph(v.look.marker, point)
		}
	}
}

// DataRange implements plot.DataRanger.
func (v *curve) DataRange() (xmin, xmax, ymin, ymax float64) {
	return plotter.XYRange(v.points)
}

// entry is one line of a legend. A look may have a line alone, or a marker.
type entry struct {
	text string
	look look
}

// legend is drawn outside the panels, where it cannot hide data: entries in rows and columns, centred.
type legend struct{ entries []entry }

const (
	legendSample = 24 // the piece of curve before a text
	legendMarker = 6  // the marker alone, where no entry has a line
	legendGap    = 4  // between sample and text
	legendColumn = 14 // between columns
	legendBelow  = 6  // between legend and panels
)

func (l legend) rowHeight() vg.Length { return 1.5 * tickSize }

// columns returns how many columns fit into width, evened out over the rows, and how wide one is.
func (l legend) columns(width vg.Length) (n int, each vg.Length) {
	style, sample := l.style(), l.sample()
	for _, e := range l.entries {
		each = max(each, sample+legendGap+style.Width(e.text))
	}
	each = min(each, width)
	n = max(1, int((width+legendColumn)/(each+legendColumn)))
	rows := (len(l.entries) + n - 1) / n
	return (len(l.entries) + rows - 1) / rows, each
}

// sample is the width of what is before a text.
func (l legend) sample() vg.Length {
	for _, e := range l.entries {
		if e.look.line.Width > 0 {
			return legendSample
		}
	}
	return legendMarker
}

func (l legend) style() draw.TextStyle {
	style := plot.NewLegend().TextStyle
	style.Font = typeface(tickSize)
	style.Color = ink
	style.YAlign = draw.YCenter
	return style
}

func (l legend) height(width vg.Length) vg.Length {
	if len(l.entries) == 0 {
		return 0
	}
	n, _ := l.columns(width)
	rows := (len(l.entries) + n - 1) / n
	return vg.Length(rows)*l.rowHeight() + legendBelow
}

func (l legend) draw(c draw.Canvas) {
	if len(l.entries) == 0 {
		return
	}
	n, each := l.columns(c.Size().X)
	style, sample := l.style(), l.sample()
	left := c.Center().X - (vg.Length(n)*(each+legendColumn)-legendColumn)/2
	for i, e := range l.entries {
		x := left + vg.Length(i%n)*(each+legendColumn)
		y := c.Max.Y - (vg.Length(i/n)+0.5)*l.rowHeight()
		if e.look.line.Width > 0 {
			c.StrokeLine2(e.look.line, x, y, x+sample, y)
		}
		if e.look.marker.Shape != nil {
			c.DrawGlyph(e.look.marker, vg.Point{X: x + sample/2, Y: y})
		}
		// The middle of a line of text is below the middle of its small letters.
		c.FillText(style, vg.Point{X: x + sample + legendGap, Y: y + 0.1*tickSize}, shorten(e.text, style, each-sample-legendGap))
	}
}

// shorten returns text if it is no wider than width, and otherwise its beginning and end with dots between: long names
// differ at their ends.
func shorten(text string, style draw.TextStyle, width vg.Length) string {
	if style.Width(text) <= width {
		return text
	}
	letters := []rune(text)
	for keep := len(letters) - 1; keep > 0; keep-- {
		short := string(letters[:(keep+1)/2]) + "..." + string(letters[len(letters)-keep/2:])
		if style.Width(short) <= width {
			return short
		}
	}
	return "..."
}
