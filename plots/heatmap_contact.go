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
	smallestContact  = vg.Length(24) // panel
	largestContact   = vg.Length(64)
	largestStrongest = vg.Length(110)
	contactSpace     = vg.Length(4) // between panels
	strongest        = 5            // panels beside the picture on a page
)

// HeatmapContact draws what every component draws of one text over one picture. First, beside the picture and larger, those
// with the strongest scores; then a row for each attention layer, with its heads side by side, that with the strongest score
// first, from the last layer, which writes most directly, on. An MLP stands after the heads of its layer, and what belongs to
// no attention in a separate row. Each panel holds one component. Short rows stand side by side.
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
	var boxes []box
	if one {
		boxes = append(boxes, explainedBar(picture.Panels[0].Limit, unitOf(picture), inner))
	}
	head, err := contactHead(picture, thumbnails, inner, l.scores, !one)
	if err != nil {
		return nil, err
	}
	boxes = append(boxes, head)
	thumb, size, err := thumbnails.of(picture.Picture, picture.Name, l.side)
	if err != nil {
		return nil, err
	}
	for _, some := range l.lines {
		var blocks []box
		for _, r := range some {
			blocks = append(blocks, l.row(r, thumb, size, !one))
		}
		boxes = append(boxes, rule(inner), below(0.6*smallSize), row(cellGap, blocks...))
	}
	sheet := newSheet(width, boxes...)
	sheet.caption = contactCaption(model, picture, l, one)
	return sheet, nil
}

func contactCaption(model string, picture experiments.HeatmapPicture, l contactLayout, one bool) Caption {
	var components []string
	for _, p := range picture.Panels {
		components = append(components, p.Components...)
	}
	text := []string{
		mapWords(picture.Unit, "a component contributes"),
		"Above, beside the picture: the components with the largest scores. Below: all of them, a row for each attention layer from the last one on, its heads by the size of their score, then its MLP.",
		"A score is the sum over all tokens, in the unit of the colour scale. " + l.scores.words(),
	}
	if l.scored {
		text = append(text, "The number under a map is its score.")
	}
	text = append(text, when(one, "All maps have one colour scale.")...)
	title := fmt.Sprintf("What each component of %s adds to “%s” in %s", model, picture.Panels[0].Text, cmp.Or(picture.Name, "a picture"))
	return Caption{title, append(text, namesExplained(components)...)}
}

// contactLayout is how rows of panels fill a width: in lines, of one row or of several that are short.
type contactLayout struct {
	lines   [][]contactRow
	gutter  vg.Length // on the left of a row, for its name
	columns int       // most panels of a row side by side
	side    vg.Length // of a panel
	scores  scores
	scored  bool // whether captions have the scores
}

// newContactLayout finds the size of panels at which the least of the canvas stays empty.
func newContactLayout(rows []contactRow, width vg.Length) contactLayout {
	const others = 2.7 * smallSize // of a line: captions and what is between lines
	var best contactLayout
	fill := vg.Length(0)
	for side := largestContact; side >= smallestContact; side -= 2 {
		l := contactLayout{side: side}
		panels := 0
		for _, r := range rows {
			panels += len(r)
			l.gutter = max(l.gutter, textStyle(smallSize).Width(r.name())+6)
		}
		l.columns = max(1, int((width-l.gutter+contactSpace)/(side+contactSpace)))
		free, high := vg.Length(-1), 0
		for _, r := range rows {
			if n := len(l.lines) - 1; n >= 0 && l.wide(r)+cellGap <= free {
				l.lines[n] = append(l.lines[n], r)
				free -= l.wide(r) + cellGap
				continue
			}
			l.lines = append(l.lines, []contactRow{r})
			free = width - l.wide(r)
			high += (len(r) + l.columns - 1) / l.columns
		}
		if own := vg.Length(panels) * side * side / (width * vg.Length(high) * (side + others)); own > 1.03*fill {
			best, fill = l, own
		}
	}
	best.stretch(width)
	return best
}

// wide is the width of a row, or that of all columns.
func (l contactLayout) wide(r contactRow) vg.Length {
	return l.gutter + vg.Length(min(len(r), l.columns))*(l.side+contactSpace) - contactSpace
}

// stretch makes panels as large as the fullest line lets them be.
func (l *contactLayout) stretch(width vg.Length) {
	more := largestContact - l.side
	for _, some := range l.lines {
		used, panels := -cellGap, 0
		for _, r := range some {
			used += l.wide(r) + cellGap
			panels += min(len(r), l.columns)
		}
		more = min(more, (width-used)/vg.Length(panels))
	}
	l.side = onPixel(l.side + max(0, more))
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

// contactHead is the picture with the strongest components beside it.
func contactHead(picture experiments.HeatmapPicture, thumbnails *thumbnails, width vg.Length, scores scores, barred bool) (box, error) {
	panels := slices.Clone(picture.Panels)
	slices.SortStableFunc(panels, func(a, b experiments.HeatmapPanel) int { return cmp.Compare(math.Abs(score(b)), math.Abs(score(a))) })
	panels = first(inProportion(width+2*margin, strongest), panels)
	side := onPixel(min(largestStrongest, (width+panelSpace)/vg.Length(len(panels)+1)-panelSpace))
	whole, size, err := thumbnails.of(picture.Picture, picture.Name, side)
	if err != nil {
		return box{}, err
	}
	above, under := textStyle(tickSize), textStyle(smallSize)
	cell := func(head, foot string, shown image.Image) box {
		return column(line(head, above, side+panelSpace-4, 1.6*tickSize).high(2.1*tickSize), pictured(shown, size, side, noFrame), below(1),
			line(foot, under, side+3, 1.25*smallSize)).wide(side)
	}
	cells := []box{cell("“"+picture.Panels[0].Text+"”", picture.Name, whole)}
	for _, p := range panels {
		cells = append(cells, cell(shortName(p.Components[0]), scores.of(p), laid(p, whole)))
	}
	boxes := []box{row(panelSpace, cells...), below(smallSize)}
	if barred {
		boxes = append(boxes, bars(panels, side, panelSpace).right(side+panelSpace))
	}
	return column(boxes...), nil
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
