package plots

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vitdecompose/experiments"
	"vitdecompose/gomlxvit/saliency"
)

// HeatmapOptions say how much [Heatmaps] shows; 0 is the default.
type HeatmapOptions struct {
	Pictures int // how many of the first are shown, 8 by default
	Columns  int // most panels side by side, 6 by default
}

const (
	mostColumns  = 10 // more would be too small to see anything
	largestPanel = vg.Length(240)
	panelSpace   = vg.Length(8) // between panels
	squares      = 6            // pictures and panels side by side that are large enough to see
	longestBar   = vg.Length(150)
)

// Heatmaps draws what components of one model draw of texts over pictures: a row for each picture, in it the picture and
// its panels. Red is where a text's score comes from, blue where it is taken from, and the picture shows through. A text that
// is known not to be true of its picture is struck through. Album has the pictures as the model sees them.
func Heatmaps(result experiments.ModelHeatmaps, album Album, opts HeatmapOptions) (*Sheet, error) {
	return laidOut("heatmap figure: "+result.Model, PageWidth, func(width vg.Length) (*Sheet, error) { return heatmaps(result, album, opts, width) })
}

func heatmaps(result experiments.ModelHeatmaps, album Album, opts HeatmapOptions, width vg.Length) (*Sheet, error) {
	shown, err1 := option("Pictures", opts.Pictures, 8)
	columns, err2 := option("Columns", opts.Columns, 6)
	thumbnails, err3 := newThumbnails(album)
	if err := cmp.Or(err1, err2, err3); err != nil {
		return nil, err
	}
	if columns > mostColumns {
		return nil, fmt.Errorf("%d columns, at most %d are large enough to see", columns, mostColumns)
	}
	if len(result.Pictures) == 0 {
		return nil, errors.New("no pictures")
	}
	pictures := first(shown, result.Pictures)
	var all []experiments.HeatmapPanel
	most := 0
	for _, p := range pictures {
		if err := checkHeatmaps(p); err != nil {
			return nil, err
		}
		all = append(all, p.Panels...)
		most = max(most, len(p.Panels))
	}
	columns = inProportion(width, columns)
	if most > columns { // the picture is a cell among them
		columns = fullRows(1+most, 1+columns) - 1
	}
	columns = min(columns, most)
	inner := width - 2*margin
	across := evenly(len(pictures), max(1, inProportion(width, squares)/(columns+1))) // pictures with few panels stand side by side
	block := (inner - vg.Length(across-1)*cellGap) / vg.Length(across)
	side := onPixel(min(largestPanel, (block-vg.Length(columns)*panelSpace)/vg.Length(columns+1)))
	d := heatmapRows{thumbnails: thumbnails, columns: columns, side: side, scores: newScores(all), unit: unitOf(pictures[0]),
		one: len(all) > 1 && len(limits(all)) == 1}

	var boxes []box
	if d.one {
		boxes = append(boxes, explainedBar(all[0].Limit, d.unit, inner))
	}
	for i, some := range slices.Collect(slices.Chunk(pictures, across)) {
		if i > 0 {
			boxes = append(boxes, rule(inner))
		}
		var blocks []box
		for _, p := range some {
			b, err := d.picture(p)
			if err != nil {
				return nil, err
			}
			blocks = append(blocks, b.wide(block))
		}
		boxes = append(boxes, row(cellGap, blocks...), below(0.5*smallSize))
	}
	sheet := newSheet(width, boxes...)
	sheet.caption = heatmapCaption(result, all, d)
	return sheet, nil
}

// unitOf is the unit of a token's value in a map.
func unitOf(picture experiments.HeatmapPicture) string {
	return cmp.Or(picture.Unit, "score") + " per token"
}

func heatmapCaption(result experiments.ModelHeatmaps, panels []experiments.HeatmapPanel, d heatmapRows) Caption {
	known, wrong := false, false
	var components []string
	for _, p := range panels {
		known = known || p.True != nil
		wrong = wrong || p.True != nil && !*p.True
		components = append(components, p.Components...)
	}
	text := []string{
		mapWords(result.Pictures[0].Unit, "the components named below it contribute"),
		"The score is the sum over all tokens, in the unit of the colour scale. " + d.scores.words(),
	}
	if d.one {
		text = append(text, "All maps have one colour scale.")
	} else if len(limits(panels)) > 1 {
		text = append(text, "The colour scale of each map ends at its own largest value, unless a bar spans several.")
	}
	text = append(text, when(known && !wrong, "Every text is true of its picture.")...)
	text = append(text, when(wrong, "A text that is struck through is not true of its picture; below it stands the truth.")...)
	title := "Where " + result.Model + " finds what texts describe"
	if result.Pictures[0].Unit == experiments.UnitClass {
		title = "Where " + result.Model + " finds its classes"
	}
	return Caption{title, append(text, namesExplained(components)...)}
}

// mapWords say what a map is of, by the unit of its values.
func mapWords(unit, of string) string {
	what := "a part of the score"
	switch unit {
	case experiments.UnitText:
		what = "the dot product with the text's embedding in CLIP's space"
	case experiments.UnitClass:
		what = "a part of the logit of the class"
	}
	return fmt.Sprintf("A map shows, at the place of each image token, what %s from it: %s. Red adds, blue takes away, and the picture shows through.", of, what)
}

// explainedBar is a colour bar beside its unit.
func explainedBar(limit float64, unit string, width vg.Length) box {
	if limit == 0 {
		return below(0)
	}
	long, style := min(longestBar, 0.6*width), textStyle(smallSize)
	return row(legendGap, bar(signed, -1, limit, long), line(unit, style, width-long-legendGap, 0.9*smallSize))
}

// heatmapRows lay out pictures with their panels.
type heatmapRows struct {
	thumbnails *thumbnails
	columns    int       // panels side by side
	side       vg.Length // of a picture and of a panel
	scores     scores
	unit       string
	one        bool // whether one colour bar serves all panels
}

// picture is a picture and its panels.
func (d *heatmapRows) picture(p experiments.HeatmapPicture) (box, error) {
	const above = 2.1 * tickSize // of a picture
	small, side := textStyle(smallSize), d.side
	picture, size, err := d.thumbnails.of(p.Picture, p.Name, side)
	if err != nil {
		return box{}, err
	}
	cells := []box{column(below(above), pictured(picture, size, side, noFrame), line(p.Name, small, side, captionHeight+1).high(2*captionHeight))}
	unit := []box{lines(wrapped(d.unit, small, side), aligned(small, draw.XRight), side, 1.2*smallSize)} // under the picture
	var rows []box
	for panels := p.Panels; len(panels) > 0; {
		some := first(1+d.columns-len(cells), panels)
		panels = panels[len(some):]
		for _, panel := range some {
			feature := ""
			if panel.Feature != "" {
				feature = panel.Feature + ":"
			}
			under := slices.Concat(listComponents(feature, panel.Components, small, side, 3), truthWords(panel, small, side),
				wrapped(d.scores.of(panel), small, side))
			head := line
			if panel.True != nil && !*panel.True {
				head = struck
			}
			cells = append(cells, column(head("“"+panel.Text+"”", textStyle(tickSize), side+panelSpace-4, 1.6*tickSize).high(above),
				pictured(laid(panel, picture), size, side, noFrame), below(1),
				lines(under, small, side+panelSpace-2, 1.25*smallSize)).wide(side))
		}
		rows = append(rows, row(panelSpace, cells...), below(0.5*smallSize-1))
		if !d.one {
			rows = append(rows, below(2), row(panelSpace, append(unit, bars(some, side, panelSpace))...))
		}
		cells, unit = nil, nil // below the first row there are panels alone
	}
	return column(rows...), nil
}

// truthWords say what a picture has in place of a text that is not true of it.
func truthWords(p experiments.HeatmapPanel, style draw.TextStyle, width vg.Length) []string {
	if p.True == nil || *p.True {
		return nil
	}
	return wrapped("truth: "+cmp.Or(p.Has, "no "+p.Feature), style, width)
}

// laid returns a panel's map over a picture.
func laid(panel experiments.HeatmapPanel, picture image.Image) image.Image {
	size := picture.Bounds().Size()
	values := saliency.Resize(panel.Values, panel.Rows, panel.Columns, size.Y, size.X)
	limit := cmp.Or(panel.Limit, 1) // of a map of zeros alone
	return lay(values, func(v float64) color.RGBA { return signed(v / limit) }, picture)
}

// bars is a colour bar under panels side by side, one for those next to one another that share their limit.
func bars(panels []experiments.HeatmapPanel, side, apart vg.Length) box {
	var all []box
	for len(panels) > 0 {
		n := 1
		for n < len(panels) && panels[n].Limit == panels[0].Limit {
			n++
		}
		width := vg.Length(n)*(side+apart) - apart
		if limit := panels[0].Limit; limit > 0 {
			all = append(all, bar(signed, -1, limit, width))
		} else { // all is white
			all = append(all, space(width, 0))
		}
		panels = panels[n:]
	}
	return row(apart, all...)
}

// bar is a colour bar with its ends and its middle in numbers. Its colours are those from lowest, which is -1 or 0, to 1, and
// stand for values of that many units.
func bar(of func(v float64) color.RGBA, lowest, unit float64, width vg.Length) box {
	size := vg.Point{X: onPixel(width), Y: onPixel(4)}
	count := func(length vg.Length) int { return int(math.Round(float64(length / printPixel))) }
	pixels := image.NewRGBA(image.Rect(0, 0, count(size.X), count(size.Y)))
	for i := range pixels.Rect.Dx() {
		c := of(lowest + (1-lowest)*(float64(i)+0.5)/float64(pixels.Rect.Dx()))
		for k := range pixels.Rect.Dy() {
			pixels.SetRGBA(i, k, c)
		}
	}
	number := func(value float64, align draw.XAlignment, share vg.Length) box {
		return line(strconv.FormatFloat(value, 'g', 2, 64), aligned(textStyle(smallSize), align), share*size.X, 1.1*smallSize)
	}
	numbers := row(0, number(lowest*unit, draw.XLeft, 0.4), number((lowest+1)/2*unit, draw.XCenter, 0.2), number(unit, draw.XRight, 0.4))
	return column(pictured(pixels, size, width, frame{midGrey, gridWidth}), numbers, below(0.6*smallSize)).wide(width)
}

// limits lists the different limits of panels.
func limits(panels []experiments.HeatmapPanel) []float64 {
	var all []float64
	for _, p := range panels {
		all = append(all, p.Limit)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// scores write the scores of panels that are seen together.
type scores struct {
	decimals int
	others   float64 // the most that tokens beside the grid's add to one
}

func newScores(panels []experiments.HeatmapPanel) scores {
	largest, others := 0.0, 0.0
	for _, p := range panels {
		largest, others = max(largest, math.Abs(score(p))), max(others, math.Abs(p.Others))
	}
	return scores{decimalsFor(largest), others}
}

// score is what all tokens say of a panel's text.
func score(p experiments.HeatmapPanel) float64 {
	sum := p.Others
	for _, v := range p.Values {
		sum += float64(v)
	}
	return sum
}

// step is the difference between two numbers as they are written.
func (s scores) step() float64 { return math.Pow(10, -float64(s.decimals)) }

// off says whether what has no place in a map can be seen in the scores.
func (s scores) off() bool { return s.others >= s.step()/2 }

func (s scores) of(p experiments.HeatmapPanel) string {
	text := "score " + s.number(score(p))
	if s.off() {
		text += " (" + s.number(p.Others) + " off map)"
	}
	return text
}

// number writes a number without the sign that -0.001 would leave with two decimals.
func (s scores) number(x float64) string {
	return strconv.FormatFloat(math.Round(x/s.step())*s.step()+0, 'f', s.decimals, 64)
}

// words say what becomes of tokens that have no place in a map.
func (s scores) words() string {
	switch {
	case s.off():
		return "Off map is what class and register tokens, which have no place in a picture, add to it."
	case s.others > 0:
		return fmt.Sprintf("Class and register tokens, which have no place in a map, add less than %s to it.", strconv.FormatFloat(s.step()/2, 'f', -1, 64))
	}
	return "All of it is in the map."
}

func checkHeatmaps(p experiments.HeatmapPicture) error {
	err := func() error {
		if p.Picture < 0 {
			return errors.New("no such picture")
		}
		if len(p.Panels) == 0 {
			return errors.New("no panels")
		}
		for i, panel := range p.Panels {
			if err := checkPanel(panel); err != nil {
				return fmt.Errorf("panel %d (%s): %w", i+1, panel.Text, err)
			}
		}
		return nil
	}()
	if err != nil {
		return fmt.Errorf("picture %d (%s): %w", p.Picture, p.Name, err)
	}
	return nil
}

func checkPanel(p experiments.HeatmapPanel) error {
	if p.Text == "" {
		return errors.New("no text")
	}
	if len(p.Components) == 0 {
		return errors.New("no components")
	}
	if err := cmp.Or(checkGrid(p.Rows, p.Columns, p.Values), finite("others", p.Others), finite("limit", p.Limit)); err != nil {
		return err
	}
	flat := !slices.ContainsFunc(p.Values, func(v float32) bool { return v != 0 })
	if p.Limit < 0 || p.Limit == 0 && !flat {
		return fmt.Errorf("limit is %v", p.Limit)
	}
	return nil
}

// checkGrid returns an error unless there is a number for each position of a grid.
func checkGrid(rows, columns int, values []float32) error {
	if rows < 1 || columns < 1 || rows > len(values) || columns > len(values) || rows*columns != len(values) {
		return fmt.Errorf("%d values for a grid of %d x %d", len(values), rows, columns)
	}
	for i, v := range values {
		if err := finite(fmt.Sprintf("row %d, column %d", i/columns, i%columns), float64(v)); err != nil {
			return err
		}
	}
	return nil
}
