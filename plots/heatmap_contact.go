package plots

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vitdecompose/experiments"
)

// HeatmapContactOptions say how [HeatmapContact] is laid out.
type HeatmapContactOptions struct {
	FirstOnTop bool // the rows go from the first block down; else from the last, which writes most directly, down
}

const (
	smallestContact = vg.Length(24) // panel
	largestContact  = vg.Length(42)
	contactSpace    = vg.Length(4)  // between panels
	contactGutter   = vg.Length(38) // on the left, for the names of rows
)

// HeatmapContact draws what every component draws of one text over one picture: a row for each attention layer, with its
// heads side by side. An MLP stands behind the heads of its layer, what belongs to no attention in a row of its own. Each
// panel holds one component.
func HeatmapContact(model string, picture experiments.HeatmapPicture, album Album, opts HeatmapContactOptions) (*Sheet, error) {
	return laidOut(PageWidth, func(width vg.Length) (*Sheet, error) {
		s, err := heatmapContact(model, picture, album, opts, width)
		if err != nil {
			return nil, fmt.Errorf("heatmap contact sheet: %s: %w", model, err)
		}
		return s, nil
	})
}

// contactCell is a panel with its place within a row.
type contactCell struct {
	panel experiments.HeatmapPanel
	place int    // the number of a head; behind all heads otherwise
	name  string // "H3", "MLP", ""
}

// contactRow is the panels of one attention layer.
type contactRow struct {
	block, name string // "S2.3", "S2.3 grid"
	stage, at   int    // what rows are sorted by
	cells       []contactCell
}

func heatmapContact(model string, picture experiments.HeatmapPicture, album Album, opts HeatmapContactOptions,
	width vg.Length) (*Sheet, error) {
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
	if !opts.FirstOnTop {
		slices.Reverse(rows)
	}
	most := 0
	for _, r := range rows {
		most = max(most, len(r.cells))
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
		for _, c := range r.cells {
			scored = scored && small.Width(c.caption(scores)) <= side+contactSpace-1
		}
	}

	s := &Sheet{Width: width}
	heading := textStyle(titleSize)
	s.write(model+": “"+picture.Panels[0].Text+"”", heading, margin, margin+titleSize, inner)
	y := margin + 1.8*titleSize
	const probeSide = vg.Length(58)
	whole, size, err := thumbnails.of(picture.Picture, picture.Name, onPixel(probeSide))
	if err != nil {
		return nil, err
	}
	top := onPixel(y + 1)
	s.centred(whole, size, onPixel(margin), top, size.X)
	x := margin + size.X + cellGap
	texts := []string{picture.Name, "a row for each attention layer, a panel for each component"}
	if scored {
		texts = append(texts, "under a panel: its component's score, the sum over all tokens")
	}
	texts = append(texts, "red: places that add to the score; blue: places that take from it")
	var lines []string
	for _, text := range texts {
		lines = append(lines, wrapped(text, textStyle(tickSize), width-margin-x)...)
	}
	for i, line := range lines {
		s.write(line, textStyle(tickSize), x, top+(vg.Length(i)*1.4+0.85)*tickSize, width-margin-x)
	}
	if one {
		s.bars(picture.Panels[:1], x, top+vg.Length(len(lines))*1.4*tickSize+2, min(150, width-margin-x), 0)
	}
	y = top + max(size.Y, vg.Length(len(lines))*1.4*tickSize+2+2.5*smallSize) + smallSize

	for i, r := range rows {
		if i > 0 && r.block != rows[i-1].block {
			s.rules = append(s.rules, sheetRule{margin, y, inner})
			y += 0.6 * smallSize
		}
		for n, line := range slices.Collect(slices.Chunk(r.cells, columns)) {
			top := onPixel(y + 1)
			bottom := top
			for k, c := range line {
				x := onPixel(margin + contactGutter + vg.Length(k)*(side+contactSpace))
				thumb, size, err := thumbnails.of(picture.Picture, picture.Name, side)
				if err != nil {
					return nil, err
				}
				s.centred(laid(c.panel, thumb), size, x, top, side)
				caption := c.name
				if scored {
					caption = c.caption(scores)
				}
				style := small
				style.XAlign = draw.XCenter
				s.write(caption, style, x+side/2, top+size.Y+1.2*smallSize, side+contactSpace)
				bottom = max(bottom, top+size.Y)
			}
			if n == 0 {
				s.write(r.name, small, margin, (top+bottom)/2+0.35*smallSize, contactGutter-3)
			}
			y = bottom + 1.2*smallSize + 0.5*smallSize
			if !one {
				panels := make([]experiments.HeatmapPanel, len(line))
				for k, c := range line {
					panels[k] = c.panel
				}
				y = s.bars(panels, margin+contactGutter, y, side, contactSpace)
			}
		}
	}
	s.Height = onPixel(y + margin)
	return s, nil
}

// caption is the cell's name and score.
func (c contactCell) caption(s scores) string {
	return strings.TrimSpace(c.name + " " + s.number(score(c.panel)))
}

// contactRows puts panels into rows, in the order of the blocks. Within a block rows are in the order in which their first
// panels come.
func contactRows(panels []experiments.HeatmapPanel) ([]*contactRow, error) {
	var rows []*contactRow
	byName := make(map[string]*contactRow)
	seen := make(map[string]bool)
	for i, p := range panels {
		if len(p.Components) != 1 {
			return nil, fmt.Errorf("panel %d has %d components, a contact sheet shows one in each", i+1, len(p.Components))
		}
		component := p.Components[0]
		if seen[component] {
			return nil, fmt.Errorf("component %q twice", component)
		}
		seen[component] = true
		if p.Text != panels[0].Text {
			return nil, fmt.Errorf("panels of %q and %q: a contact sheet has one text", panels[0].Text, p.Text)
		}
		row, cell := placeOf(component)
		cell.panel = p
		r, ok := byName[row.name]
		if !ok {
			r = &row
			byName[row.name] = r
			rows = append(rows, r)
		}
		r.cells = append(r.cells, cell)
	}
	if len(rows) == 0 {
		return nil, errors.New("no panels")
	}
	for _, r := range rows {
		slices.SortStableFunc(r.cells, func(a, b contactCell) int { return cmp.Compare(a.place, b.place) })
	}
	slices.SortStableFunc(rows, func(a, b *contactRow) int {
		return cmp.Or(cmp.Compare(a.stage, b.stage), cmp.Compare(a.at, b.at))
	})
	return rows, nil
}

// placeOf returns an empty row that a component belongs to, and its cell there.
func placeOf(component string) (contactRow, contactCell) {
	parts := componentName.FindStringSubmatch(component)
	if parts == nil { // in no layer
		return contactRow{block: component, name: component, stage: -1}, contactCell{}
	}
	number := func(digits string) int {
		n, _ := strconv.Atoi(digits) // one that is missing or too large is sorted as 0 or the largest
		return n
	}
	words := strings.Fields(ShortComponent(component))
	last := len(words) - 1
	row := contactRow{block: words[0], name: strings.Join(words[:last], " ")}
	row.stage, row.at = number(parts[2]), number(parts[1]+parts[3])
	cell := contactCell{name: words[last], place: math.MaxInt}
	if head := headName.FindStringSubmatch(parts[4]); head != nil {
		cell.place = number(head[2])
	}
	return row, cell
}
