package plots

import (
	"cmp"
	"errors"
	"fmt"
	"image"
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
	usualContact    = vg.Length(38)
	largestContact  = vg.Length(64)
	contactSpace    = vg.Length(4) // between panels
)

// HeatmapContact draws what every component draws of one text over one picture: a row for each attention layer, with its
// heads side by side, that with the strongest score first, from the last layer, which writes most directly, down. An MLP stands
// after the heads of its layer, and what belongs to no attention in a separate row. Each panel holds one component. Short rows
// stand in several bands side by side.
func HeatmapContact(model string, picture experiments.HeatmapPicture, album Album) (*Sheet, error) {
	return laidOut("heatmap contact sheet: "+model, PageWidth, func(width vg.Length) (*Sheet, error) {
		return heatmapContact(model, picture, album, width)
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
	inner := width - 2*margin
	small := textStyle(smallSize)
	l := newContactLayout(rows, inner)
	l.scores = newScores(picture.Panels)
	one := len(limits(picture.Panels)) == 1
	l.scored = true // where there is space for the scores
	for _, r := range rows {
		for _, c := range r {
			l.scored = l.scored && small.Width(c.caption(l.scores)) <= l.side+contactSpace-1
		}
	}
	head, err := contactHead(picture, thumbnails, inner, l.scored, one)
	if err != nil {
		return nil, err
	}
	thumb, size, err := thumbnails.of(picture.Picture, picture.Name, l.side)
	if err != nil {
		return nil, err
	}
	high := vg.Length(0)
	boxes := make([]box, len(rows))
	for i, r := range rows {
		boxes[i] = l.row(r, thumb, size, !one)
		high += boxes[i].height
	}
	// One band after the other, each about as high.
	var bands []box
	for i := 0; i < len(boxes); {
		var own []box
		mine := vg.Length(0)
		goal := high / vg.Length(l.bands-len(bands))
		for i < len(boxes) && (own == nil || len(bands) == l.bands-1 || mine+boxes[i].height/2 <= goal) {
			if own != nil && !rows[i].sameBlock(rows[i-1]) {
				own = append(own, rule(l.width), below(0.6*smallSize))
			}
			own = append(own, boxes[i])
			mine += boxes[i].height
			i++
		}
		bands = append(bands, column(own...).wide(l.width))
		high -= mine
	}
	return newSheet(width, titled(model+": “"+picture.Panels[0].Text+"”", inner), head, row(cellGap, bands...)), nil
}

// contactLayout is how rows of panels fill a width: in one band or, where rows are short, in some side by side.
type contactLayout struct {
	bands   int
	width   vg.Length // of a band
	gutter  vg.Length // on the left of a band, for the names of rows
	columns int       // panels side by side
	side    vg.Length // of a panel
	scores  scores
	scored  bool // whether captions have the scores
}

func newContactLayout(rows []contactRow, width vg.Length) contactLayout {
	var l contactLayout
	most := 0
	for _, r := range rows {
		most = max(most, len(r))
		l.gutter = max(l.gutter, textStyle(smallSize).Width(r.name())+6)
	}
	wanted := l.gutter + vg.Length(most)*(usualContact+contactSpace) - contactSpace
	l.bands = min(max(1, int((width+cellGap)/(wanted+cellGap))), len(rows))
	l.width = (width+cellGap)/vg.Length(l.bands) - cellGap
	across := l.width - l.gutter + contactSpace
	l.columns = evenly(most, max(1, int(across/(smallestContact+contactSpace))))
	l.side = onPixel(min(largestContact, across/vg.Length(l.columns)-contactSpace))
	return l
}

// row is a row of panels after its name, with colour bars where panels differ in their limits.
func (l contactLayout) row(r contactRow, picture image.Image, size vg.Point, barred bool) box {
	small := textStyle(smallSize)
	name := line(r.name(), small, l.gutter-3, size.Y/2+1+0.35*smallSize)
	var lines []box
	for some := range slices.Chunk(r, l.columns) {
		var cells []box
		var panels []experiments.HeatmapPanel
		for _, c := range some {
			caption := c.name()
			if l.scored {
				caption = c.caption(l.scores)
			}
			cells = append(cells, column(below(1), pictured(laid(c.panel, picture), size, l.side, noFrame),
				line(caption, aligned(small, draw.XCenter), l.side+contactSpace, 1.2*smallSize).right(-contactSpace/2)).wide(l.side))
			panels = append(panels, c.panel)
		}
		lines = append(lines, stacked(name, row(contactSpace, cells...).right(l.gutter)), below(0.5*smallSize))
		if barred {
			lines = append(lines, bars(panels, l.side, contactSpace).right(l.gutter))
		}
		name = below(0)
	}
	return column(lines...)
}

// contactHead is the picture with what is said of the panels beside it.
func contactHead(picture experiments.HeatmapPicture, thumbnails *thumbnails, width vg.Length, scored, one bool) (box, error) {
	const side = vg.Length(58)
	whole, size, err := thumbnails.of(picture.Picture, picture.Name, onPixel(side))
	if err != nil {
		return box{}, err
	}
	texts := []string{picture.Name, "a row for each attention layer, its heads by the size of their score"}
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
	place := func(c contactCell) float64 { // of heads, the strongest first; after them what is not a head
		if c.component.Kind == decompose.Head {
			return -math.Abs(score(c.panel))
		}
		return 1
	}
	for _, r := range rows {
		slices.SortStableFunc(r, func(a, b contactCell) int {
			return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.component.Head, b.component.Head))
		})
	}
	slices.SortStableFunc(rows, func(a, b contactRow) int { return a[0].component.CompareBlock(b[0].component) })
	return rows, nil
}
