package plots

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"

	"vitdecompose/experiments"
)

// ImageRetrieval draws what was found for probe pictures by properties with one model: a column for each probe, which is at its
// top in a heavy frame, and a row for each property with the pictures nearest by it. Where the data knows, pictures that have
// the probe's value of the property have a green frame, others a thin one.
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
	var properties indexer
	found, largest, truths, unknown, shares := 0, 0.0, false, false, false
	for _, p := range result.Probes {
		if err := checkProbe(p); err != nil {
			return nil, fmt.Errorf("probe %d (%s): %w", p.Picture, p.Name, err)
		}
		for _, search := range p.Searches {
			properties.of(search.Feature)
			found, shares = max(found, len(search.Found)), shares || search.Share != nil
			for _, m := range search.Found {
				largest = max(largest, math.Abs(m.Score))
				truths, unknown = truths || m.True != nil, unknown || m.True == nil
			}
		}
	}

	const narrow = vg.Length(68) // the least width of a column
	inner := width - 2*margin
	columns := fullRows(len(result.Probes), max(1, int((inner+cellGap)/(narrow+cellGap))))
	cell := (inner - vg.Length(columns-1)*cellGap) / vg.Length(columns)
	d := searchCells{thumbnails: thumbnails, width: cell, matches: rowsOf(found, cell, largest)}

	boxes := []box{key(truths, "same as the probe", "different", inner)}
	for some := range slices.Chunk(result.Probes, columns) {
		var probes []box
		for _, p := range some {
			b, err := d.probe(p)
			if err != nil {
				return nil, err
			}
			probes = append(probes, b)
		}
		boxes = append(boxes, below(0.5*smallSize), row(cellGap, probes...))
		for _, property := range properties.names {
			b, err := d.property(property, some, inner)
			if err != nil {
				return nil, err
			}
			boxes = append(boxes, b)
		}
	}
	sheet := newSheet(width, boxes...)
	sheet.caption = imageRetrievalCaption(result, truths, unknown, shares)
	return sheet, nil
}

func imageRetrievalCaption(result experiments.ModelImageRetrieval, truths, unknown, shares bool) Caption {
	var components []string
	for _, p := range result.Probes {
		for _, search := range p.Searches {
			components = append(components, search.Components...)
		}
	}
	text := []string{
		"In a heavy black frame: a probe. Below it, for each property, the pictures nearest to it by the sum of what the named components contribute, with the cosine similarity.",
		fmt.Sprintf("They are searched among %s; the components are those to which more of this property is attributed than of any other.", counted(result.Pictures, "picture")),
	}
	text = append(text, when(truths, "A heavy green frame: the picture has the probe's value of the property; a thin grey one: another.")...)
	text = append(text, when(truths && unknown, "Without a frame: the probe has no known value of the property.")...)
	if shares {
		text = append(text, fmt.Sprintf("The first percentage is the share of the same among the %d nearest, base that among all pictures.", len(result.Probes[0].Searches[0].Found)))
	}
	return Caption{"Pictures that resemble a probe in one property, by components of " + result.Model, append(text, namesExplained(components)...)}
}

// searchCells lay out probes and what was found for them in cells of one width.
type searchCells struct {
	thumbnails *thumbnails
	width      vg.Length
	matches    matchRows
}

// probe is a probe over its name.
func (d searchCells) probe(p experiments.ImageProbe) (box, error) {
	const edge = 2 // of the frame
	picture, size, err := d.thumbnails.of(p.Picture, p.Name, onPixel(min(d.width-2*edge, 1.6*largestPicture)))
	if err != nil {
		return box{}, err
	}
	return column(below(edge), pictured(picture, size, size.X, probeFrame).right(edge), below(edge),
		line(p.Name, textStyle(smallSize), d.width, 1.5*smallSize)).wide(d.width), nil
}

// property is what the searches by one property found for some probes.
func (d searchCells) property(name string, probes []experiments.ImageProbe, width vg.Length) (box, error) {
	const base, each = 1.7 * labelSize, 1.25 * smallSize
	small := textStyle(smallSize)
	searches := make([]*experiments.PropertySearch, len(probes))
	var components []string // of all searches
	same := true
	for i := range probes {
		at := slices.IndexFunc(probes[i].Searches, func(s experiments.PropertySearch) bool { return s.Feature == name })
		if at < 0 {
			continue
		}
		searches[i] = &probes[i].Searches[at]
		same = same && (components == nil || slices.Equal(components, searches[i].Components))
		components = searches[i].Components
	}
	if components == nil {
		return space(width, 0), nil
	}
	head := shorten(name, textStyle(titleSize), 0.5*width)
	wide := textStyle(titleSize).Width(head) + 6
	top := line(head, textStyle(titleSize), wide, base)
	if same {
		for _, text := range listComponents("", components, small, width-wide, 1) {
			top = stacked(top, line(text, small, width-wide, base).right(wide))
		}
	}
	var above, pictures []box
	for _, search := range searches {
		if search == nil {
			above, pictures = append(above, space(d.width, 0)), append(pictures, space(d.width, 0))
			continue
		}
		var said []string
		if search.Share != nil {
			share := percent(*search.Share)
			if search.Base != nil {
				share += ", base " + percent(*search.Base)
			}
			said = append(said, share)
		}
		if !same {
			said = append(said, listComponents("", search.Components, small, d.width, 2)...)
		}
		b, err := d.matches.of(search.Found, d.thumbnails)
		if err != nil {
			return box{}, err
		}
		above, pictures = append(above, lines(said, small, d.width, each).wide(d.width)), append(pictures, b.wide(d.width))
	}
	return column(top, below(0.4*tickSize), rule(width), below(0.2*smallSize), row(cellGap, above...), below(0.4*smallSize), row(cellGap, pictures...)), nil
}

func checkProbe(p experiments.ImageProbe) error {
	if p.Picture < 0 {
		return errors.New("no such picture")
	}
	if len(p.Searches) == 0 {
		return errors.New("no properties")
	}
	for _, search := range p.Searches {
		err := checkMatches(search.Found)
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
