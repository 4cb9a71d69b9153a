package plots

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vitdecompose/experiments"
)

// TextSheetOptions say how much [TextRetrieval] shows; 0 is the default.
type TextSheetOptions struct {
	Probes int // of each feature, 1 by default
	Groups int // of components, 4 by default
	Best   int // pictures that a group found, 3 by default
}

// TextRetrieval draws what groups of components found for texts with one model: a column for each probe, a row for each
// group, the best pictures in each cell. Where the data knows, true pictures have a heavy frame, others a thin one, and
// beside the names of the components is how many of the best are true.
func TextRetrieval(sheet experiments.RetrievalSheet, album Album, opts TextSheetOptions) (*Sheet, error) {
	return laidOut(PageWidth, func(width vg.Length) (*Sheet, error) {
		s, err := textRetrieval(sheet, album, opts, width)
		if err != nil {
			return nil, fmt.Errorf("text retrieval figure: %s: %w", sheet.Model, err)
		}
		return s, nil
	})
}

// textCell is what one group found for one probe.
type textCell struct {
	components []string
	found      []experiments.Match
	share      string // "" if unknown
	names      []string
}

// textColumn is a probe and its cells, a cell for each group.
type textColumn struct {
	feature, text, base string
	cells               []textCell
}

func textRetrieval(sheet experiments.RetrievalSheet, album Album, opts TextSheetOptions, width vg.Length) (*Sheet, error) {
	probes, err1 := option("Probes", opts.Probes, 1)
	groups, err2 := option("Groups", opts.Groups, 4)
	best, err3 := option("Best", opts.Best, 3)
	thumbnails, err4 := newThumbnails(album)
	if err := cmp.Or(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	if len(sheet.Features) == 0 {
		return nil, errors.New("no features")
	}
	var columns []textColumn
	for _, f := range sheet.Features {
		if len(f.Probes) == 0 {
			return nil, fmt.Errorf("%s: no probes", f.Feature)
		}
		for _, p := range first(probes, f.Probes) {
			column, err := newTextColumn(f, p, groups, best)
			if err != nil {
				return nil, fmt.Errorf("%s, %q: %w", f.Feature, p.Text, err)
			}
			columns = append(columns, column)
		}
	}

	const gutter = vg.Length(12)  // on the left, for the number of the group
	const narrow = vg.Length(100) // the least width of a column
	inner := width - 2*margin
	perBand := evenly(len(columns), min(4, max(1, int((inner-gutter+cellGap)/(narrow+cellGap)))))
	cell := (inner - gutter - vg.Length(perBand-1)*cellGap) / vg.Length(perBand)
	most, largest, truths, shares := 0, 0.0, false, false
	for _, c := range columns {
		shares = shares || c.base != ""
		for _, cell := range c.cells {
			most = max(most, len(cell.found))
			for _, m := range cell.found {
				largest = max(largest, math.Abs(m.Score))
				truths = truths || m.True != nil
			}
		}
	}
	pictures, decimals := rowOf(most, cell), decimalsFor(largest)

	s := &Sheet{Width: width}
	y := s.head(sheet.Model, sheet.Pictures, truths, shares, "true: shows what the text says", "false: does not", "% true: of the best found; base: of all pictures")

	names := textStyle(smallSize)
	for band := range slices.Chunk(columns, perBand) {
		y += 1.6 * labelSize
		rows := 0
		for i, c := range band {
			x := margin + gutter + vg.Length(i)*(cell+cellGap)
			base := s.writeRight(c.base, names, x+cell, y)
			s.write(c.feature, textStyle(titleSize), x, y, cell-base-3)
			s.write("“"+c.text+"”", textStyle(tickSize), x, y+1.25*tickSize, cell)
			s.rules = append(s.rules, sheetRule{x, y + 1.75*tickSize, cell})
			rows = max(rows, len(c.cells))
		}
		y += 1.75 * tickSize
		for group := range rows {
			lines := 0
			for _, c := range band {
				if group < len(c.cells) {
					each := &c.cells[group]
					each.names = listComponents("", each.components, names, cell-spaceFor(each.share, names), 2)
					lines = max(lines, len(each.names))
				}
			}
			y += 0.3 * smallSize
			top, bottom := y+vg.Length(lines)*1.25*smallSize+0.5*smallSize, y
			for i, c := range band {
				if group >= len(c.cells) {
					continue
				}
				x := onPixel(margin + gutter + vg.Length(i)*(cell+cellGap))
				for k, line := range c.cells[group].names {
					s.write(line, names, x, y+vg.Length(k+1)*1.25*smallSize, cell)
				}
				s.writeRight(c.cells[group].share, names, x+cell, y+1.25*smallSize)
				below, err := s.pictures(c.cells[group].found, thumbnails, pictures, x, top, decimals)
				if err != nil {
					return nil, err
				}
				bottom = max(bottom, below)
			}
			number := textStyle(smallSize)
			number.Rotation = math.Pi / 2
			number.XAlign = draw.XCenter
			label := fmt.Sprintf("group %d", group+1)
			if number.Width(label) > bottom-top {
				label = strconv.Itoa(group + 1)
			}
			s.write(label, number, margin+smallSize, (top+bottom-captionHeight)/2, bottom-top)
			y = bottom
		}
	}
	s.Height = onPixel(y + margin + printPixel)
	return s, nil
}

// spaceFor is how much of a line a text at its end takes.
func spaceFor(text string, style draw.TextStyle) vg.Length {
	if text == "" {
		return 0
	}
	return style.Width(text) + 4
}

func newTextColumn(f experiments.FeatureRetrieval, p experiments.TextProbe, groups, best int) (textColumn, error) {
	column := textColumn{feature: f.Feature, text: p.Text}
	if len(f.Groups) == 0 {
		return column, errors.New("no groups of components")
	}
	if len(p.Found) != len(f.Groups) {
		return column, fmt.Errorf("%d groups found something, there are %d", len(p.Found), len(f.Groups))
	}
	if p.Share != nil {
		if len(p.Share) != len(f.Groups) {
			return column, fmt.Errorf("%d shares for %d groups", len(p.Share), len(f.Groups))
		}
		if err := within("base", p.Base, 0, 1); err != nil {
			return column, err
		}
		column.base = "base " + percent(p.Base)
	}
	for g, group := range first(groups, f.Groups) {
		found := first(best, p.Found[g])
		if err := checkMatches(found); err != nil {
			return column, fmt.Errorf("group %d: %w", g+1, err)
		}
		if len(group.Components) == 0 {
			return column, fmt.Errorf("group %d has no components", g+1)
		}
		cell := textCell{components: group.Components, found: found}
		if p.Share != nil {
			if err := within("share", p.Share[g], 0, 1); err != nil {
				return column, fmt.Errorf("group %d: %w", g+1, err)
			}
			cell.share = percent(p.Share[g]) + " true"
		}
		column.cells = append(column.cells, cell)
	}
	return column, nil
}
