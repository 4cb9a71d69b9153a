package plots

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot/vg"
)

// Sized is a drawing that has a size and a caption, and can be made for another width: a [Figure] or a [Sheet].
type Sized interface {
	Drawer
	// Caption is what is said of the drawing beside it.
	Caption() Caption
	// Size is the size that the drawing is made for.
	Size() (w, h vg.Length)
	// At is the drawing for another width. What it is made of is read again where that is pictures on disk.
	At(width vg.Length) (Sized, error)
}

// Widths that [ParseWidth] takes.
const (
	leastWidth = 60 * vg.Millimeter
	mostWidth  = 600 * vg.Millimeter
)

// ParseWidth reads the width of a figure: column, page, or millimetres such as 120mm.
func ParseWidth(text string) (vg.Length, error) {
	switch text {
	case "column":
		return ColumnWidth, nil
	case "page":
		return PageWidth, nil
	}
	digits, found := strings.CutSuffix(text, "mm")
	millimetres, err := strconv.ParseFloat(digits, 64)
	if !found || err != nil || math.IsNaN(millimetres) {
		return 0, fmt.Errorf("width %q is not column, page or a number of millimetres such as 120mm", text)
	}
	width := vg.Length(millimetres) * vg.Millimeter
	if width < leastWidth || width > mostWidth {
		return 0, fmt.Errorf("width %s is not between %.0fmm and %.0fmm", text, leastWidth/vg.Millimeter, mostWidth/vg.Millimeter)
	}
	return width, nil
}

// SaveAt is [Save] for a drawing at another width; 0 for that which it is made for.
func SaveAt(d Sized, basePath string, width vg.Length) error {
	if width > 0 {
		var err error
		if d, err = d.At(width); err != nil {
			return err
		}
	}
	w, h := d.Size()
	return Save(d, basePath, w, h)
}

// relayout is how a drawing is made for another width, and what is said beside it.
type relayout struct {
	at      func(width vg.Length) (Sized, error)
	caption Caption
}

// Caption implements [Sized].
func (r *relayout) Caption() Caption { return r.caption }

// At implements [Sized]: everything is laid out again, text keeps its size.
func (r *relayout) At(width vg.Length) (Sized, error) { return r.at(width) }

func (r *relayout) keep(at func(width vg.Length) (Sized, error)) { r.at = at }

// laidOut makes a drawing for a width, and lets it be made for others. Errors say what it is.
func laidOut[D interface {
	Sized
	keep(at func(width vg.Length) (Sized, error))
}](what string, width vg.Length, layout func(width vg.Length) (D, error)) (D, error) {
	d, err := layout(width)
	if err != nil {
		return d, fmt.Errorf("%s: %w", what, err)
	}
	d.keep(func(width vg.Length) (Sized, error) { return laidOut(what, width, layout) })
	return d, nil
}

// figureWidth is the width of a figure of the given number of models: a column for one.
func figureWidth(models int) vg.Length {
	if models == 1 {
		return ColumnWidth
	}
	return PageWidth
}

// narrowest is the least width of a panel whose ticks and titles can be read.
const narrowest = 1.5 * vg.Inch

// panelsWithin is how many of n panels, each of at least that width, stand side by side: at most most, and evened out over the
// rows.
func panelsWithin(width, least vg.Length, n, most int) int {
	return evenly(n, min(most, max(1, int((width-2*margin+panelGap)/(least+panelGap)))))
}

// panelWidth is the width of each of the given number of panels side by side.
func panelWidth(width vg.Length, columns int) vg.Length {
	return (width - 2*margin - vg.Length(columns-1)*panelGap) / vg.Length(columns)
}

// inProportion is how many things stand side by side on a sheet of a width, given how many do on a page.
func inProportion(width vg.Length, onPage int) int {
	return max(1, min(onPage, int(math.Round(float64(vg.Length(onPage)*width/PageWidth)))))
}

// Size implements [Sized].
func (f *Figure) Size() (w, h vg.Length) { return f.Width, f.Height }

// Size implements [Sized].
func (s *Sheet) Size() (w, h vg.Length) { return s.Width, s.Height }
