package plots

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vitdecompose/experiments"
)

// TextRetrievalOptions say how much [TextRetrieval] shows; 0 is the default.
type TextRetrievalOptions struct {
	Probes int // of each feature, 1 by default
	Groups int // of components, 4 by default
}

// bestShown is how many pictures retrieval sheets show of those that were found, where they are large enough to see.
const bestShown = 3

// TextRetrieval draws what groups of components found for texts with one model: a row for each probe, and in it a cell for
// each group with the best pictures. Where the data knows, true pictures have a heavy frame, others a thin one, and beside the
// names of the components is how many of the best are true.
func TextRetrieval(result experiments.ModelTextRetrieval, album Album, opts TextRetrievalOptions) (*Sheet, error) {
	return laidOut("text retrieval figure: "+result.Model, PageWidth, func(width vg.Length) (*Sheet, error) { return textRetrieval(result, album, opts, width) })
}

// textCell is what one group found for one probe.
type textCell struct {
	components []string
	found      []experiments.Match
	share      string // "" if unknown
}

// textRow is a probe and its cells, a cell for each group.
type textRow struct {
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
	var rows []textRow
	most, found, largest, truths, shares := 0, 0, 0.0, false, false
	for _, f := range result.Features {
		if len(f.Probes) == 0 {
			return nil, fmt.Errorf("%s: no probes", f.Feature)
		}
		for _, p := range first(probes, f.Probes) {
			r, err := newTextRow(f, p, groups)
			if err != nil {
				return nil, fmt.Errorf("%s, %q: %w", f.Feature, p.Text, err)
			}
			rows = append(rows, r)
			most, shares = max(most, len(r.cells)), shares || r.base != ""
			for _, cell := range r.cells {
				found = max(found, len(cell.found))
				for _, m := range cell.found {
					largest, truths = max(largest, math.Abs(m.Score)), truths || m.True != nil
				}
			}
		}
	}

	const narrow = vg.Length(100) // the least width of a cell
	inner := width - 2*margin
	columns := fullRows(most, max(1, int((inner+cellGap)/(narrow+cellGap))))
	cell := (inner - vg.Length(columns-1)*cellGap) / vg.Length(columns)
	matches := rowsOf(found, cell, largest)

	boxes := []box{key(truths, "true of the picture", "not true", inner)}
	for _, r := range rows {
		boxes = append(boxes, r.head(inner), below(0.2*smallSize))
		for from := 0; from < len(r.cells); from += columns {
			b, err := cellRow(r.cells[from:min(from+columns, len(r.cells))], from, cell, matches, thumbnails)
			if err != nil {
				return nil, err
			}
			boxes = append(boxes, b)
		}
	}
	sheet := newSheet(width, boxes...)
	sheet.caption = textRetrievalCaption(result, rows, truths, shares)
	return sheet, nil
}

func textRetrievalCaption(result experiments.ModelTextRetrieval, rows []textRow, truths, shares bool) Caption {
	var components []string
	for _, r := range rows {
		for _, cell := range r.cells {
			components = append(components, cell.components...)
		}
	}
	text := []string{
		fmt.Sprintf("Of %s, those for which the sum of what a group of components contributes, in CLIP's space, is nearest to a text (dot product below a picture).", counted(result.Pictures, "picture")),
		"Components are in the order of the variance that is attributed to the feature, strongest first, in groups with the numbers before their names.",
	}
	text = append(text, when(truths, "A heavy green frame: the text is true of the picture; a thin grey one: it is not. Without a frame it is not known.")...)
	if shares && result.Top > 0 {
		text = append(text, fmt.Sprintf("At the right of a group: how many of the %d best found are true; base: of all pictures.", result.Top))
	} else {
		text = append(text, when(shares, "At the right of a group: how many of the best found are true; base: of all pictures.")...)
	}
	return Caption{"Pictures that components of " + result.Model + " find for a text", append(text, namesExplained(components)...)}
}

// head is what the row is about.
func (r textRow) head(width vg.Length) box {
	const base = 1.7 * labelSize
	small, text := textStyle(smallSize), textStyle(labelSize)
	room := width - spaceFor(r.base, small)
	feature := shorten(r.feature, textStyle(titleSize), 0.5*room)
	wide := textStyle(titleSize).Width(feature) + 6
	return column(stacked(line(feature, textStyle(titleSize), wide, base), line("“"+r.text+"”", text, room-wide, base).right(wide),
		lineRight(r.base, small, width, base)), below(0.4*tickSize), rule(width))
}

// cellRow is what some groups of components found, of which the first is number from, counted from 0.
func cellRow(cells []textCell, from int, width vg.Length, matches matchRows, thumbnails *thumbnails) (box, error) {
	small := textStyle(smallSize)
	const each = 1.25 * smallSize
	names, found := make([]box, len(cells)), make([]box, len(cells))
	for i, cell := range cells {
		pictures, err := matches.of(cell.found, thumbnails)
		if err != nil {
			return box{}, err
		}
		found[i] = pictures.wide(width)
		listed := listComponents(fmt.Sprintf("%d:", from+i+1), cell.components, small, width-spaceFor(cell.share, small), 2)
		names[i] = stacked(lines(listed, small, width, each), lineRight(cell.share, small, width, each)).wide(width)
	}
	return column(below(0.3*smallSize), row(cellGap, names...), below(0.5*smallSize), row(cellGap, found...)), nil
}

// spaceFor is how much of a line a text at its end takes.
func spaceFor(text string, style draw.TextStyle) vg.Length {
	if text == "" {
		return 0
	}
	return style.Width(text) + 4
}

func newTextRow(f experiments.FeatureRetrieval, p experiments.TextProbe, groups int) (textRow, error) {
	probe := textRow{feature: f.Feature, text: p.Text}
	if len(f.Groups) == 0 {
		return probe, errors.New("no groups of components")
	}
	if len(p.Found) != len(f.Groups) {
		return probe, fmt.Errorf("%d groups have results, but there are %d", len(p.Found), len(f.Groups))
	}
	if p.Share != nil {
		if len(p.Share) != len(f.Groups) {
			return probe, fmt.Errorf("%d shares for %d groups", len(p.Share), len(f.Groups))
		}
		if err := within("base", p.Base, 0, 1); err != nil {
			return probe, err
		}
		probe.base = "base " + percent(p.Base)
	}
	for g, group := range first(groups, f.Groups) {
		found := p.Found[g]
		if err := checkMatches(found); err != nil {
			return probe, fmt.Errorf("group %d: %w", g+1, err)
		}
		if len(group.Components) == 0 {
			return probe, fmt.Errorf("group %d has no components", g+1)
		}
		cell := textCell{components: group.Components, found: found}
		if p.Share != nil {
			if err := within("share", p.Share[g], 0, 1); err != nil {
				return probe, fmt.Errorf("group %d: %w", g+1, err)
			}
			cell.share = percent(p.Share[g]) + " true"
		}
		probe.cells = append(probe.cells, cell)
	}
	return probe, nil
}
