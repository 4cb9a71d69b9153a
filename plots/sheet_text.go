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

// TextRetrievalOptions say how much [TextRetrieval] shows; 0 is the default.
type TextRetrievalOptions struct {
	Probes int // of each feature, 1 by default
	Groups int // of components, 4 by default
}

// bestShown is how many pictures retrieval sheets show of those that were found.
const bestShown = 3

// TextRetrieval draws what groups of components found for texts with one model: a column for each probe, a row for each
// group, the best pictures in each cell. Where the data knows, true pictures have a heavy frame, others a thin one, and
// beside the names of the components is how many of the best are true.
func TextRetrieval(result experiments.ModelTextRetrieval, album Album, opts TextRetrievalOptions) (*Sheet, error) {
	return laidOut("text retrieval figure: "+result.Model, PageWidth, func(width vg.Length) (*Sheet, error) { return textRetrieval(result, album, opts, width) })
}

// textCell is what one group found for one probe.
type textCell struct {
	components []string
	found      []experiments.Match
	share      string // "" if unknown
}

// textColumn is a probe and its cells, a cell for each group.
type textColumn struct {
	feature, text, base string
	cells               []textCell
}

func textRetrieval(result experiments.ModelTextRetrieval, album Album, opts TextRetrievalOptions, width vg.Length) (*Sheet, error) {
	probes, err1 := option("Probes", opts.Probes, 1)
	groups, err2 := option("Groups", opts.Groups, 4)
	thumbnails, err3 := newThumbnails(album)
	if err := cmp.Or(err1, err2, err3); err != nil {
		return nil, err
	}
	if len(result.Features) == 0 {
		return nil, errors.New("no features")
	}
	var columns []textColumn
	for _, f := range result.Features {
		if len(f.Probes) == 0 {
			return nil, fmt.Errorf("%s: no probes", f.Feature)
		}
		for _, p := range first(probes, f.Probes) {
			column, err := newTextColumn(f, p, groups)
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
	matches := rowsOf(most, cell, largest)

	boxes := []box{heading(result.Model, result.Pictures, truths, shares, "true: shows what the text says", "false: does not",
		"% true: of the best found; base: of all pictures", inner)}
	for band := range slices.Chunk(columns, perBand) {
		heads, rows := []box{space(gutter-cellGap, 0)}, 0
		for _, c := range band {
			heads = append(heads, c.head(cell))
			rows = max(rows, len(c.cells))
		}
		boxes = append(boxes, row(cellGap, heads...))
		for group := range rows {
			b, err := groupRow(band, group, cell, matches, thumbnails)
			if err != nil {
				return nil, err
			}
			boxes = append(boxes, b.right(gutter))
		}
	}
	return newSheet(width, boxes...), nil
}

// head is what the column is about.
func (c textColumn) head(width vg.Length) box {
	const base = 1.6 * labelSize
	small := textStyle(smallSize)
	return column(stacked(line(c.feature, textStyle(titleSize), width-small.Width(c.base)-3, base), lineRight(c.base, small, width, base)),
		line("“"+c.text+"”", textStyle(tickSize), width, 1.25*tickSize), below(0.5*tickSize), rule(width)).wide(width)
}

// groupRow is what one group of components found, for each column of a band. Its number is on the left of it.
func groupRow(band []textColumn, group int, width vg.Length, matches matchRows, thumbnails *thumbnails) (box, error) {
	small := textStyle(smallSize)
	const each = 1.25 * smallSize
	names, found := make([]box, len(band)), make([]box, len(band))
	for i, c := range band {
		names[i], found[i] = space(width, 0), space(width, 0)
		if group >= len(c.cells) {
			continue
		}
		cell := c.cells[group]
		var err error
		if found[i], err = matches.of(cell.found, thumbnails); err != nil {
			return box{}, err
		}
		found[i] = found[i].wide(width)
		names[i] = stacked(lines(listComponents("", cell.components, small, width-spaceFor(cell.share, small), 2), small, width, each),
			lineRight(cell.share, small, width, each))
	}
	above, pictures := row(cellGap, names...), row(cellGap, found...)
	return column(below(0.3*smallSize), above, below(0.5*smallSize), stacked(groupNumber(group, pictures.height), pictures)), nil
}

// groupNumber is the number of a group, from 1 on, upright on the left of a row of pictures so high.
func groupNumber(group int, height vg.Length) box {
	style := aligned(textStyle(smallSize), draw.XCenter)
	style.Rotation = math.Pi / 2
	label := fmt.Sprintf("group %d", group+1)
	if style.Width(label) > height {
		label = strconv.Itoa(group + 1)
	}
	const left = 12 - smallSize
	return box{0, 0, func(s *Sheet, x, y vg.Length) { s.write(label, style, x-left, y+(height-captionHeight)/2, height) }}
}

// spaceFor is how much of a line a text at its end takes.
func spaceFor(text string, style draw.TextStyle) vg.Length {
	if text == "" {
		return 0
	}
	return style.Width(text) + 4
}

func newTextColumn(f experiments.FeatureRetrieval, p experiments.TextProbe, groups int) (textColumn, error) {
	column := textColumn{feature: f.Feature, text: p.Text}
	if len(f.Groups) == 0 {
		return column, errors.New("no groups of components")
	}
	if len(p.Found) != len(f.Groups) {
		return column, fmt.Errorf("%d groups have results, but there are %d", len(p.Found), len(f.Groups))
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
		found := first(bestShown, p.Found[g])
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
