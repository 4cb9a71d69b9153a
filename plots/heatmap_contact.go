package plots

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vitdecompose/decompose"
	"vitdecompose/experiments"
)

const (
	smallestContact = vg.Length(24) // panel
	largestContact  = vg.Length(42)
	contactSpace    = vg.Length(4)  // between panels
	contactGutter   = vg.Length(38) // on the left, for the names of rows
)

// HeatmapContact draws what every component draws of one text over one picture: a row for each attention layer, with its
// heads side by side, from the last layer, which writes most directly, down. An MLP stands behind the heads of its layer, what
// belongs to no attention in a row of its own. Each panel holds one component.
func HeatmapContact(model string, picture experiments.HeatmapPicture, album Album) (*Sheet, error) {
	return laidOut(PageWidth, func(width vg.Length) (*Sheet, error) {
		s, err := heatmapContact(model, picture, album, width)
		if err != nil {
			return nil, fmt.Errorf("heatmap contact sheet: %s: %w", model, err)
		}
		return s, nil
	})
}

// contactCell is a panel with its component.
type contactCell struct {
	panel     experiments.HeatmapPanel
	component decompose.Component
}

// contactRow is the panels of one attention layer.
type contactRow []contactCell

func heatmapContact(model string, picture experiments.HeatmapPicture, album Album, width vg.Length) (*Sheet, error) {
	thumbnails, err := newThumbnails(album)
	if err != nil {
		return nil, err
	}
	if err := checkHeatmaps(picture); err != nil {
		return nil, err
	}
	rows, err := contactRows(picture.Panels)
	if err != nil {
		return nil, fmt.Errorf("picture %d (%s): %w", picture.Picture, picture.Name, err)
	}
	slices.Reverse(rows)
	most := 0
	for _, r := range rows {
		most = max(most, len(r))
	}
	inner := width - 2*margin
	across := inner - contactGutter
	columns := evenly(most, max(1, int((across+contactSpace)/(smallestContact+contactSpace))))
	side := onPixel(min(largestContact, (across+contactSpace)/vg.Length(columns)-contactSpace))
	scores := newScores(picture.Panels)
	one := len(limits(picture.Panels)) == 1
	small := textStyle(smallSize)
	scored := true // whether there is space for the scores
	for _, r := range rows {
		for _, c := range r {
			scored = scored && small.Width(c.caption(scores)) <= side+contactSpace-1
		}
	}

	head, err := contactHead(picture, thumbnails, inner, scored, one)
	if err != nil {
		return nil, err
	}
	boxes := []box{titled(model+": “"+picture.Panels[0].Text+"”", inner), head}
	thumb, size, err := thumbnails.of(picture.Picture, picture.Name, side)
	if err != nil {
		return nil, err
	}
	for i, r := range rows {
		if i > 0 && !r.sameBlock(rows[i-1]) {
			boxes = append(boxes, rule(inner), below(0.6*smallSize))
		}
		name := line(r.name(), small, contactGutter-3, size.Y/2+1+0.35*smallSize)
		for some := range slices.Chunk(r, columns) {
			var cells []box
			var panels []experiments.HeatmapPanel
			for _, c := range some {
				caption := c.name()
				if scored {
					caption = c.caption(scores)
				}
				cells = append(cells, column(below(1), pictured(laid(c.panel, thumb), size, side, noFrame),
					line(caption, aligned(small, draw.XCenter), side+contactSpace, 1.2*smallSize).right(-contactSpace/2)).wide(side))
				panels = append(panels, c.panel)
			}
			boxes = append(boxes, stacked(name, row(contactSpace, cells...).right(contactGutter)), below(0.5*smallSize))
			if !one {
				boxes = append(boxes, bars(panels, side, contactSpace).right(contactGutter))
			}
			name = below(0)
		}
	}
	return newSheet(width, boxes...), nil
}

// contactHead is the picture with what is said of the panels beside it.
func contactHead(picture experiments.HeatmapPicture, thumbnails *thumbnails, width vg.Length, scored, one bool) (box, error) {
	const side = vg.Length(58)
	whole, size, err := thumbnails.of(picture.Picture, picture.Name, onPixel(side))
	if err != nil {
		return box{}, err
	}
	texts := []string{picture.Name, "a row for each attention layer, a panel for each component"}
	if scored {
		texts = append(texts, "under a panel: its component's score, the sum over all tokens")
	}
	texts = append(texts, "red: places that add to the score; blue: places that take from it")
	style, beside := textStyle(tickSize), width-size.X-cellGap
	var said []box
	for _, text := range texts {
		for _, text := range wrapped(text, style, beside) {
			said = append(said, line(text, style, beside, 0.85*tickSize).high(1.4*tickSize))
		}
	}
	said = append(said, below(2))
	if one {
		said = append(said, bars(picture.Panels[:1], min(150, beside), 0))
	}
	return column(below(1), row(cellGap, pictured(whole, size, size.X, noFrame), column(said...).high(size.Y)), below(smallSize)), nil
}

// names are what the cell's row is called and the cell in it: "S2.3 grid" and "H3", "init" and "".
func (c contactCell) names() (row, cell string) {
	name := c.component.Short()
	if last := strings.LastIndexByte(name, ' '); last >= 0 {
		return name[:last], name[last+1:]
	}
	return name, ""
}

// name is what the cell is called in its row.
func (c contactCell) name() string {
	_, name := c.names()
	return name
}

// caption is the cell's name and score.
func (c contactCell) caption(s scores) string {
	return strings.TrimSpace(c.name() + " " + s.number(score(c.panel)))
}

// name is what the row is called.
func (r contactRow) name() string {
	name, _ := r[0].names()
	return name
}

func (r contactRow) sameBlock(other contactRow) bool {
	return r[0].component.SameBlock(other[0].component)
}

// contactRows puts panels into rows, in the order of the blocks. Within a block rows are in the order in which their first
// panels come.
func contactRows(panels []experiments.HeatmapPanel) ([]contactRow, error) {
	var names indexer
	var rows []contactRow
	seen := make(map[string]bool)
	for i, p := range panels {
		if len(p.Components) != 1 {
			return nil, fmt.Errorf("panel %d has %d components, a contact sheet shows one in each", i+1, len(p.Components))
		}
		component, err := decompose.ParseComponent(p.Components[0])
		if err != nil {
			return nil, fmt.Errorf("panel %d: %w", i+1, err)
		}
		if seen[p.Components[0]] {
			return nil, fmt.Errorf("component %q twice", component)
		}
		seen[p.Components[0]] = true
		if p.Text != panels[0].Text {
			return nil, fmt.Errorf("panels of %q and %q: a contact sheet has one text", panels[0].Text, p.Text)
		}
		cell := contactCell{p, component}
		name, _ := cell.names()
		at := names.of(name)
		if at == len(rows) {
			rows = append(rows, nil)
		}
		rows[at] = append(rows[at], cell)
	}
	if len(rows) == 0 {
		return nil, errors.New("no panels")
	}
	place := func(c contactCell) int { // of heads; behind them what is none
		if c.component.Kind == decompose.Head {
			return c.component.Head
		}
		return math.MaxInt
	}
	for _, r := range rows {
		slices.SortStableFunc(r, func(a, b contactCell) int { return cmp.Compare(place(a), place(b)) })
	}
	slices.SortStableFunc(rows, func(a, b contactRow) int { return a[0].component.CompareBlock(b[0].component) })
	return rows, nil
}
