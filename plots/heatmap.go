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
	Pictures int // the first so many, 8 by default
	Columns  int // most panels side by side, 6 by default
}

const (
	mostColumns  = 10 // more would be too small to see anything
	largestPanel = vg.Length(96)
	panelSpace   = vg.Length(8) // between panels
	squares      = 6            // pictures and panels side by side that are large enough to see
)

// Heatmaps draws what components of one model draw of texts over pictures: a row for each picture, in it the picture and
// its panels. Red is where a text's score comes from, blue where it is taken from, and the picture shows through. Album has
// the pictures as the model sees them.
func Heatmaps(sheet experiments.HeatmapSheet, album Album, opts HeatmapOptions) (*Sheet, error) {
	return laidOut(PageWidth, func(width vg.Length) (*Sheet, error) {
		s, err := heatmaps(sheet, album, opts, width)
		if err != nil {
			return nil, fmt.Errorf("heatmap figure: %s: %w", sheet.Model, err)
		}
		return s, nil
	})
}

func heatmaps(sheet experiments.HeatmapSheet, album Album, opts HeatmapOptions, width vg.Length) (*Sheet, error) {
	shown, err1 := option("Pictures", opts.Pictures, 8)
	columns, err2 := option("Columns", opts.Columns, 6)
	thumbnails, err3 := newThumbnails(album)
	if err := cmp.Or(err1, err2, err3); err != nil {
		return nil, err
	}
	if columns > mostColumns {
		return nil, fmt.Errorf("%d columns, at most %d are large enough to see", columns, mostColumns)
	}
	if len(sheet.Pictures) == 0 {
		return nil, errors.New("no pictures")
	}
	pictures := first(shown, sheet.Pictures)
	var all []experiments.HeatmapPanel
	most := 0
	for _, p := range pictures {
		if err := checkHeatmaps(p); err != nil {
			return nil, err
		}
		all = append(all, p.Panels...)
		most = max(most, len(p.Panels))
	}
	columns = evenly(most, inProportion(width, columns))
	inner := width - 2*margin
	across := min(max(1, inProportion(width, squares)/(columns+1)), len(pictures)) // pictures with few panels stand side by side
	block := (inner - vg.Length(across-1)*cellGap) / vg.Length(across)
	side := onPixel(min(largestPanel, (block-vg.Length(columns)*panelSpace)/vg.Length(columns+1)))
	d := heatmapDrawer{thumbnails: thumbnails, columns: columns, side: side, scores: newScores(all), one: len(limits(all)) == 1}

	s := &Sheet{Width: width}
	d.Sheet = s
	y := s.title(sheet.Model, len(pictures))
	y = s.key(y, "", "", d.scores.words())
	y = s.key(y, "", "", "red: places that add to the score; blue: places that take from it")
	if d.one {
		y = s.bars(all[:1], margin, y+2, 2*side, 0) + 2
	}
	for i, row := range slices.Collect(slices.Chunk(pictures, across)) {
		if i > 0 {
			s.rules = append(s.rules, sheetRule{margin, y, inner})
		}
		bottom := y
		for k, p := range row {
			below, err := d.picture(p, margin+vg.Length(k)*(block+cellGap), y)
			if err != nil {
				return nil, err
			}
			bottom = max(bottom, below)
		}
		y = bottom + 0.5*smallSize
	}
	s.Height = onPixel(y + margin)
	return s, nil
}

// heatmapDrawer puts pictures with their panels on a sheet.
type heatmapDrawer struct {
	*Sheet
	thumbnails *thumbnails
	columns    int       // panels side by side
	side       vg.Length // of a picture and of a panel
	scores     scores
	one        bool // whether one colour bar serves all panels
}

// picture puts a picture and its panels at (x, y), and returns the y below.
func (d *heatmapDrawer) picture(p experiments.HeatmapPicture, x, y vg.Length) (vg.Length, error) {
	small, title, side := textStyle(smallSize), textStyle(tickSize), d.side
	picture, size, err := d.thumbnails.of(p.Picture, p.Name, side)
	if err != nil {
		return y, err
	}
	left := x + side + panelSpace
	bottom := y
	for k, line := range slices.Collect(slices.Chunk(p.Panels, d.columns)) {
		y += 1.6 * tickSize
		top := onPixel(y + 0.5*tickSize)
		if k == 0 {
			d.centred(picture, size, x, top, side)
			d.write(p.Name, small, x, top+size.Y+captionHeight+1, side)
			bottom = top + size.Y + 2*captionHeight
		}
		lines := 0
		for n, panel := range line {
			x := onPixel(left + vg.Length(n)*(side+panelSpace))
			d.write("“"+panel.Text+"”", title, x, y, side+panelSpace-4)
			d.centred(laid(panel, picture), size, x, top, side)
			lead := ""
			if panel.Feature != "" {
				lead = panel.Feature + ":"
			}
			under := listComponents(lead, panel.Components, small, side, 3)
			under = append(under, d.scores.of(panel))
			lines = max(lines, len(under))
			for m, text := range under {
				d.write(text, small, x, top+size.Y+vg.Length(m+1)*1.25*smallSize+1, side+panelSpace-2)
			}
		}
		y = top + size.Y + vg.Length(lines)*1.25*smallSize + 0.5*smallSize
		if !d.one {
			y = d.bars(line, left, y+2, side, panelSpace)
		}
	}
	return max(y, bottom), nil
}

// centred puts a picture into the middle of a square.
func (s *Sheet) centred(picture image.Image, size vg.Point, x, y, side vg.Length) {
	s.framed = append(s.framed, sheetPicture{picture, onPixel(x + (side-size.X)/2), y, size.X, size.Y, noFrame})
}

// laid returns a panel's map over a picture.
func laid(panel experiments.HeatmapPanel, picture image.Image) image.Image {
	size := picture.Bounds().Size()
	values := saliency.Resize(panel.Values, panel.Rows, panel.Columns, size.Y, size.X)
	limit := cmp.Or(panel.Limit, 1) // of a map of zeros alone
	return lay(values, func(v float64) color.RGBA { return signed(v / limit) }, picture)
}

// bars puts a colour bar under panels side by side, one for those next to one another that share their limit, and returns
// the y below.
func (s *Sheet) bars(panels []experiments.HeatmapPanel, x, y, side, space vg.Length) vg.Length {
	below := y
	for len(panels) > 0 {
		n := 1
		for n < len(panels) && panels[n].Limit == panels[0].Limit {
			n++
		}
		width := vg.Length(n)*(side+space) - space
		if limit := panels[0].Limit; limit > 0 { // else all is white
			below = max(below, s.bar(signed, -1, limit, x, y, width))
		}
		x += width + space
		panels = panels[n:]
	}
	return below
}

// bar puts a colour bar at (x, y), with its ends and its middle in numbers, and returns the y below. Its colours are those
// from lowest, which is -1 or 0, to 1, and stand for values of so many units.
func (s *Sheet) bar(of func(v float64) color.RGBA, lowest, unit float64, x, y, width vg.Length) vg.Length {
	const height = vg.Length(4)
	x, y, width = onPixel(x), onPixel(y), onPixel(width)
	count := func(length vg.Length) int { return int(math.Round(float64(onPixel(length) / printPixel))) }
	pixels := image.NewRGBA(image.Rect(0, 0, count(width), count(height)))
	for i := range pixels.Rect.Dx() {
		c := of(lowest + (1-lowest)*(float64(i)+0.5)/float64(pixels.Rect.Dx()))
		for k := range pixels.Rect.Dy() {
			pixels.SetRGBA(i, k, c)
		}
	}
	s.framed = append(s.framed, sheetPicture{pixels, x, y, width, onPixel(height), frame{midGrey, gridWidth}})
	for _, label := range []struct {
		value float64
		at    vg.Length // of width
		align draw.XAlignment
	}{{lowest * unit, 0, draw.XLeft}, {(lowest + 1) / 2 * unit, 0.5, draw.XCenter}, {unit, 1, draw.XRight}} {
		style := textStyle(smallSize)
		style.XAlign = label.align
		s.write(strconv.FormatFloat(label.value, 'g', 2, 64), style, x+label.at*width, y+height+1.1*smallSize, width/3)
	}
	return y + height + 1.7*smallSize
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
	others   bool // whether tokens beside the grid's add anything
}

func newScores(panels []experiments.HeatmapPanel) scores {
	largest, others := 0.0, false
	for _, p := range panels {
		largest = max(largest, math.Abs(score(p)))
		others = others || p.Others != 0
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

func (s scores) of(p experiments.HeatmapPanel) string {
	text := "score " + s.number(score(p))
	if s.others {
		text += " (" + s.number(p.Others) + ")"
	}
	return text
}

// number writes a number without the sign that -0.001 would leave with two decimals.
func (s scores) number(x float64) string {
	scale := math.Pow(10, float64(s.decimals))
	return strconv.FormatFloat(math.Round(x*scale)/scale+0, 'f', s.decimals, 64)
}

// words explain what is written.
func (s scores) words() string {
	words := "score: the components' sum over all tokens"
	if s.others {
		words += "; in brackets: of it class and register tokens, which maps do not show"
	}
	return words
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
