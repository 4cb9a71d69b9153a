package plots

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"

	"vitdecompose/experiments"
)

// ImageSheetOptions say how much [ImageRetrieval] shows; 0 is the default.
type ImageSheetOptions struct {
	Best int // pictures found by a property, 3 by default
}

// ImageRetrieval draws what was found for probe pictures by properties with one model: a row for each probe, in a heavy
// frame on the left, and in it the nearest pictures by each property. Where the data knows, pictures that have the
// probe's value of the property have a green frame, others a thin one.
func ImageRetrieval(sheet experiments.ImageRetrievalSheet, album Album, opts ImageSheetOptions) (*Sheet, error) {
	return laidOut(PageWidth, func(width vg.Length) (*Sheet, error) {
		s, err := imageRetrieval(sheet, album, opts, width)
		if err != nil {
			return nil, fmt.Errorf("image retrieval figure: %s: %w", sheet.Model, err)
		}
		return s, nil
	})
}

func imageRetrieval(sheet experiments.ImageRetrievalSheet, album Album, opts ImageSheetOptions, width vg.Length) (*Sheet, error) {
	best, err := option("Best", opts.Best, 3)
	thumbnails, err2 := newThumbnails(album)
	if err := cmp.Or(err, err2); err != nil {
		return nil, err
	}
	if len(sheet.Probes) == 0 {
		return nil, errors.New("no probes")
	}
	most, found, largest, truths, shares := 0, 0, 0.0, false, false
	for _, p := range sheet.Probes {
		if err := checkProbe(p, best); err != nil {
			return nil, fmt.Errorf("probe %d (%s): %w", p.Picture, p.Name, err)
		}
		most = max(most, len(p.Searches))
		for _, search := range p.Searches {
			found = max(found, min(best, len(search.Found)))
			shares = shares || search.Share != nil
			for _, m := range first(best, search.Found) {
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
	pictures, decimals := rowOf(found, cell), decimalsFor(largest)

	s := &Sheet{Width: width}
	y := s.head(sheet.Model, sheet.Pictures, truths, shares, "same as the probe", "different", "%: the same among those found; base: among all pictures")
	small := textStyle(smallSize)
	for i, p := range sheet.Probes {
		if i > 0 {
			s.rules = append(s.rules, sheetRule{margin, y, inner})
		}
		y += 0.8 * labelSize
		image, size, err := thumbnails.of(p.Picture, p.Name, probeSide)
		if err != nil {
			return nil, err
		}
		at := onPixel(y + 1)
		s.framed = append(s.framed, sheetPicture{image, onPixel(margin + 2 + (probeSide-size.X)/2), at, size.X, size.Y, probeFrame})
		s.write(p.Name, textStyle(tickSize), margin, at+size.Y+1.6*tickSize, probeSide+4)
		bottom := at + size.Y + 2*tickSize

		below := y
		for line := range slices.Chunk(p.Searches, columns) {
			if below > y {
				below += 0.5 * labelSize
			}
			head := below + 0.9*titleSize
			names := make([][]string, len(line))
			lines := 0
			for k, search := range line {
				names[k] = listComponents(counted(len(search.Components), "component")+":", search.Components, small, cell, 2)
				lines = max(lines, len(names[k]))
			}
			for k, search := range line {
				x := onPixel(left + vg.Length(k)*(cell+cellGap))
				share := ""
				if search.Share != nil {
					share = percent(*search.Share)
					if search.Base != nil {
						share += ", base " + percent(*search.Base)
					}
				}
				space := s.writeRight(share, small, x+cell, head)
				s.write(search.Feature, textStyle(titleSize), x, head, cell-space-4)
				s.rules = append(s.rules, sheetRule{x, head + 0.4*titleSize, cell})
				under := head + 0.5*titleSize
				for n, text := range names[k] {
					s.write(text, small, x, under+vg.Length(n+1)*1.25*smallSize, cell)
				}
				under += vg.Length(lines)*1.25*smallSize + 0.5*smallSize
				end, err := s.pictures(first(best, search.Found), thumbnails, pictures, x, under, decimals)
				if err != nil {
					return nil, err
				}
				below = max(below, end)
			}
		}
		y = max(bottom, below) + 0.5*smallSize
	}
	s.Height = onPixel(y + margin + printPixel)
	return s, nil
}

func checkProbe(p experiments.ImageProbe, best int) error {
	if p.Picture < 0 {
		return errors.New("no such picture")
	}
	if len(p.Searches) == 0 {
		return errors.New("no properties")
	}
	for _, search := range p.Searches {
		err := checkMatches(first(best, search.Found))
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
