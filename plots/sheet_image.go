package plots

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"

	"vitdecompose/experiments"
)

// ImageRetrieval draws what was found for probe pictures by properties with one model: a row for each probe, in a heavy
// frame on the left, and in it the nearest pictures by each property. Where the data knows, pictures that have the
// probe's value of the property have a green frame, others a thin one.
func ImageRetrieval(result experiments.ModelImageRetrieval, album Album) (*Sheet, error) {
	return laidOut("image retrieval figure: "+result.Model, PageWidth, func(width vg.Length) (*Sheet, error) { return imageRetrieval(result, album, width) })
}

func imageRetrieval(result experiments.ModelImageRetrieval, album Album, width vg.Length) (*Sheet, error) {
	thumbnails, err := newThumbnails(album)
	if err != nil {
		return nil, err
	}
	if len(result.Probes) == 0 {
		return nil, errors.New("no probes")
	}
	most, found, largest, truths, shares := 0, 0, 0.0, false, false
	for _, p := range result.Probes {
		if err := checkProbe(p); err != nil {
			return nil, fmt.Errorf("probe %d (%s): %w", p.Picture, p.Name, err)
		}
		most = max(most, len(p.Searches))
		for _, search := range p.Searches {
			found = max(found, min(bestShown, len(search.Found)))
			shares = shares || search.Share != nil
			for _, m := range first(bestShown, search.Found) {
				largest = max(largest, math.Abs(m.Score))
				truths = truths || m.True != nil
			}
		}
	}

	inner := width - 2*margin
	probeSide := onPixel(min(72, 0.2*inner))
	left := margin + probeSide + 1.5*cellGap
	const narrow = vg.Length(112) // the least width of a column
	columns := evenly(most, min(3, max(1, int((width-margin-left+cellGap)/(narrow+cellGap)))))
	cell := (width - margin - left - vg.Length(columns-1)*cellGap) / vg.Length(columns)
	matches := rowsOf(found, cell, largest)

	boxes := []box{heading(result.Model, result.Pictures, truths, shares, "same as the probe", "different",
		"%: the same among those found; base: among all pictures", inner)}
	for i, p := range result.Probes {
		if i > 0 {
			boxes = append(boxes, rule(inner))
		}
		picture, size, err := thumbnails.of(p.Picture, p.Name, probeSide)
		if err != nil {
			return nil, err
		}
		probe := column(below(1), pictured(picture, size, probeSide, probeFrame).right(2),
			line(p.Name, textStyle(tickSize), probeSide+4, 1.6*tickSize), below(0.4*tickSize)).wide(left - margin)
		var searches []box
		for some := range slices.Chunk(p.Searches, columns) {
			b, err := searchRow(some, cell, matches, thumbnails)
			if err != nil {
				return nil, err
			}
			if len(searches) > 0 {
				searches = append(searches, below(0.5*labelSize))
			}
			searches = append(searches, b)
		}
		boxes = append(boxes, below(0.8*labelSize), row(0, probe, column(searches...)), below(0.5*smallSize))
	}
	return newSheet(width, boxes...), nil
}

// searchRow is what searches by some properties found, side by side.
func searchRow(searches []experiments.PropertySearch, width vg.Length, matches matchRows, thumbnails *thumbnails) (box, error) {
	const base = 0.9 * titleSize
	small := textStyle(smallSize)
	var heads, found []box
	for _, search := range searches {
		share := ""
		if search.Share != nil {
			share = percent(*search.Share)
			if search.Base != nil {
				share += ", base " + percent(*search.Base)
			}
		}
		names := listComponents(counted(len(search.Components), "component")+":", search.Components, small, width, 2)
		heads = append(heads, column(
			stacked(line(search.Feature, textStyle(titleSize), width-small.Width(share)-4, base), lineRight(share, small, width, base)),
			below(0.4*titleSize), rule(width), below(0.1*titleSize), lines(names, small, width, 1.25*smallSize)).wide(width))
		pictures, err := matches.of(first(bestShown, search.Found), thumbnails)
		if err != nil {
			return box{}, err
		}
		found = append(found, pictures.wide(width))
	}
	return column(row(cellGap, heads...), below(0.5*smallSize), row(cellGap, found...)), nil
}

func checkProbe(p experiments.ImageProbe) error {
	if p.Picture < 0 {
		return errors.New("no such picture")
	}
	if len(p.Searches) == 0 {
		return errors.New("no properties")
	}
	for _, search := range p.Searches {
		err := checkMatches(first(bestShown, search.Found))
		if err == nil && len(search.Components) == 0 {
			err = errors.New("no components")
		}
		if err == nil && search.Share != nil {
			err = within("share", *search.Share, 0, 1)
		}
		if err == nil && search.Base != nil {
			err = within("base", *search.Base, 0, 1)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", search.Feature, err)
		}
	}
	return nil
}
