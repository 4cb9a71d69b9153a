package plots

import (
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Sized is a drawing that has a size and can be made for another width: a [Figure] or a [Sheet].
type Sized interface {
	Drawer
	// Size is the size that the drawing is made for.
	Size() (w, h vg.Length)
	// At is the drawing for another width.
	At(width vg.Length) Sized
}

// narrowest is the least width of a panel whose ticks and titles can be read.
const narrowest = 1.5 * vg.Inch

// Size implements [Sized].
func (f *Figure) Size() (w, h vg.Length) { return f.Width, f.Height }

// At implements [Sized]: text keeps its size, and panels that would be too narrow side by side go into more rows.
func (f *Figure) At(width vg.Length) Sized {
	rows := vg.Length(len(f.panels))
	panelHeight := (f.Height - 2*margin - f.legend.height(f.Width-2*margin) - (rows-1)*panelGap) / rows
	var panels []*plot.Plot
	for _, row := range f.panels {
		panels = append(panels, slices.DeleteFunc(slices.Clone(row), func(p *plot.Plot) bool { return p == nil })...)
	}
	columns := min(len(f.panels[0]), max(1, int((width-2*margin+panelGap)/(narrowest+panelGap))))
	return newGrid(width, panelHeight, columns, f.legend.entries, panels)
}

// Size implements [Sized].
func (s *Sheet) Size() (w, h vg.Length) { return s.Width, s.Height }

// At implements [Sized]: the sheet is made smaller or larger as a whole.
func (s *Sheet) At(width vg.Length) Sized {
	if width == s.Width {
		return s
	}
	return &scaled{s, float64(width / s.Width)}
}

// scaled is a sheet in another size.
type scaled struct {
	*Sheet
	factor float64
}

// Size implements [Sized].
func (s *scaled) Size() (w, h vg.Length) {
	return s.Width * vg.Length(s.factor), s.Height * vg.Length(s.factor)
}

// Draw implements [Drawer].
func (s *scaled) Draw(c draw.Canvas) {
	c.Push()
	defer c.Pop()
	c.Translate(c.Min)
	c.Scale(s.factor, s.factor)
	s.Sheet.Draw(draw.NewCanvas(c.Canvas, s.Width, s.Height))
}

// At implements [Sized].
func (s *scaled) At(width vg.Length) Sized { return s.Sheet.At(width) }
