package plots

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"strconv"

	xdraw "golang.org/x/image/draw"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vitdecompose/experiments"
)

// Album has the pictures of a data set.
type Album interface {
	// Image returns picture i.
	Image(i int) (image.Image, error)
}

// Sheet is pictures with texts, and the size it is made for.
type Sheet struct {
	Width, Height vg.Length

	relayout
	texts  []sheetText
	framed []sheetPicture
	rules  []sheetRule
}

// What is on a sheet has its place in points from the left and from the top.
type (
	sheetText struct {
		text  string
		style draw.TextStyle
		x, y  vg.Length // on the base line; where there it is depends on the alignment
	}
	sheetPicture struct {
		image               image.Image // none where it is a frame alone
		x, y, width, height vg.Length
		frame               frame
	}
	sheetRule struct {
		x, y, width vg.Length
		style       draw.LineStyle
	}

	// frame is what is around a picture.
	frame struct {
		colour color.Color
		width  vg.Length
	}
)

const (
	printPixel = vg.Inch / PNGResolution // of pictures on sheets: more would not be seen

	smallestPicture = vg.Length(30) // its longer side
	largestPicture  = vg.Length(58)
	pictureGap      = vg.Length(6.5)
	captionHeight   = 1.4 * smallSize
	cellGap         = vg.Length(12)
)

var (
	noFrame    = frame{colour: color.White}
	trueFrame  = frame{colours[2], 1.7}
	falseFrame = frame{midGrey, 0.5}
	probeFrame = frame{ink, 1.7}
)

// Draw draws the sheet from the upper left corner of the canvas.
func (s *Sheet) Draw(c draw.Canvas) {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	at := func(x, y vg.Length) vg.Point { return vg.Point{X: c.Min.X + x, Y: c.Max.Y - y} }
	for _, r := range s.rules {
		from := at(r.x, r.y)
		c.StrokeLine2(r.style, from.X, from.Y, from.X+r.width, from.Y)
	}
	for _, p := range s.framed {
		box := vg.Rectangle{Min: at(p.x, p.y+p.height), Max: at(p.x+p.width, p.y)}
		around := vg.Point{X: p.frame.width, Y: p.frame.width}
		c.SetColor(p.frame.colour)
		c.Fill(vg.Rectangle{Min: box.Min.Sub(around), Max: box.Max.Add(around)}.Path())
		if p.image == nil {
			c.SetColor(color.White)
			c.Fill(box.Path())
		} else {
			c.DrawImage(box, p.image)
		}
	}
	for _, t := range s.texts {
		// gonum/plot puts a text's base line as far below the place as the ascent is short of the size.
		sin, cos := math.Sincos(t.style.Rotation)
		up := t.style.FontExtents().Ascent - t.style.Font.Size
		c.FillText(t.style, at(t.x, t.y).Add(vg.Point{X: -up * vg.Length(sin), Y: up * vg.Length(cos)}), t.text)
	}
}

// textStyle is the style of left-aligned text.
func textStyle(size vg.Length) draw.TextStyle {
	style := plot.NewLegend().TextStyle
	style.Font = typeface(size)
	style.Color = ink
	style.YAlign = draw.YBottom
	return style
}

// key says in few words what frames mean, where the truth is known; the caption says it in full.
func key(known bool, isTrue, isFalse string, width vg.Length) box {
	if !known {
		return below(0)
	}
	style := textStyle(tickSize)
	return flowing([]box{explained(trueFrame, isTrue, style, width), explained(falseFrame, isFalse, style, width)}, legendColumn, width)
}

// explained is a frame, if there is one, with what it means in lines no wider than width.
func explained(frame frame, text string, style draw.TextStyle, width vg.Length) box {
	const side = vg.Length(7)
	lead := below(0)
	if frame != noFrame {
		inside := vg.Point{X: side - 2, Y: side - 2}
		lead = column(below(1), pictured(nil, inside, inside.X, frame)).right(2).wide(side + 5)
	}
	wraps := wrapped(text, style, width-lead.width)
	widest := vg.Length(0)
	for _, line := range wraps {
		widest = max(widest, style.Width(line))
	}
	var said []box
	for _, text := range wraps {
		said = append(said, line(text, style, width-lead.width, 0.85*tickSize).high(1.5*tickSize))
	}
	return row(0, lead, column(said...).wide(widest))
}

// flowing is boxes side by side, in as many rows as that takes.
func flowing(boxes []box, apart, width vg.Length) box {
	var rows []box
	for len(boxes) > 0 {
		n := 1
		for n < len(boxes) && row(apart, boxes[:n+1]...).width <= width {
			n++
		}
		rows = append(rows, row(apart, boxes[:n]...))
		boxes = boxes[n:]
	}
	return column(rows...)
}

// matchRows is how pictures that were found are laid out in a cell.
type matchRows struct {
	columns  int       // pictures side by side
	rows     int       // at most
	side     vg.Length // of the square that each fits in
	decimals int       // of scores
}

// rowsOf lays out as many of n pictures as fill a cell of the given width: in a row [bestShown], or more where they would be
// larger than need be; where so many would be too small, in two rows.
func rowsOf(n int, width vg.Length, largest float64) matchRows {
	fit := func(side vg.Length) int { return max(1, int((width+pictureGap)/(side+pictureGap))) }
	columns, rows := min(max(bestShown, fit(largestPicture)), n), 1
	if least := fit(smallestPicture); columns > least {
		columns, rows = least, 2
	}
	side := min(1.4*largestPicture, (width-vg.Length(columns-1)*pictureGap)/vg.Length(columns))
	return matchRows{columns, rows, onPixel(side), decimalsFor(largest)}
}

// fullRows is how many columns n things take, at most most of them, without a last row that is not full; where that would be
// less than half of most, as even rows as there can be.
func fullRows(n, most int) int {
	for columns := most; 2*columns > most; columns-- {
		if n%columns == 0 {
			return columns
		}
	}
	return evenly(n, most)
}

// of is what was found, with the score below each picture, best first.
func (r matchRows) of(found []experiments.Match, thumbnails *thumbnails) (box, error) {
	style := aligned(textStyle(smallSize), draw.XCenter)
	found = first(r.columns*r.rows, found)
	if whole := len(found) / r.columns * r.columns; whole > 0 {
		found = found[:whole] // no row that is not full
	}
	var rows []box
	for from := 0; from < len(found); from += r.columns {
		some := found[from:min(from+r.columns, len(found))]
		images := make([]image.Image, len(some))
		sizes := make([]vg.Point, len(some))
		tallest := vg.Length(0)
		for i, m := range some {
			var err error
			if images[i], sizes[i], err = thumbnails.of(m.Picture, m.Name, r.side); err != nil {
				return box{}, err
			}
			tallest = max(tallest, sizes[i].Y)
		}
		var cells []box
		for i, m := range some {
			frame := noFrame
			if m.True != nil {
				frame = falseFrame
				if *m.True {
					frame = trueFrame
				}
			}
			caption := fmt.Sprintf("%.*f", r.decimals, m.Score)
			cells = append(cells, column(below(tallest-sizes[i].Y), pictured(images[i], sizes[i], r.side, frame),
				line(caption, style, r.side+pictureGap, captionHeight+1).right(-pictureGap/2)).wide(r.side))
		}
		rows = append(rows, below(trueFrame.width+1), row(pictureGap, cells...), below(0.5*smallSize))
	}
	return column(rows...), nil
}

// onPixel rounds down to whole pixels of print, so that pictures stay as sharp as they are.
func onPixel(x vg.Length) vg.Length {
	return vg.Length(math.Floor(float64(x/printPixel)+1e-6)) * printPixel
}

// thumbnails are the pictures of an album in the size they are printed in.
type thumbnails struct {
	album Album
	made  map[thumbnailKey]image.Image
	sizes map[thumbnailKey]vg.Point
}

type thumbnailKey struct {
	picture int
	side    vg.Length
}

func newThumbnails(album Album) (*thumbnails, error) {
	if album == nil {
		return nil, errors.New("no pictures to show")
	}
	return &thumbnails{album, make(map[thumbnailKey]image.Image), make(map[thumbnailKey]vg.Point)}, nil
}

// of returns a picture, and the size that fits it into a square of the given side.
func (t *thumbnails) of(i int, name string, side vg.Length) (image.Image, vg.Point, error) {
	key := thumbnailKey{i, side}
	if made, ok := t.made[key]; ok {
		return made, t.sizes[key], nil
	}
	picture, err := t.album.Image(i)
	if err == nil && (picture == nil || picture.Bounds().Empty()) {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, vg.Point{}, fmt.Errorf("picture %d (%s): %w", i, name, err)
	}
	pixels := image.Pt(1, 1).Mul(int(math.Round(float64(side / printPixel))))
	if size := picture.Bounds().Size(); size.X > size.Y {
		pixels.Y = max(1, (pixels.X*size.Y+size.X/2)/size.X)
	} else {
		pixels.X = max(1, (pixels.Y*size.X+size.Y/2)/size.Y)
	}
	t.made[key] = resized(picture, pixels)
	t.sizes[key] = vg.Point{X: vg.Length(pixels.X) * printPixel, Y: vg.Length(pixels.Y) * printPixel}
	return t.made[key], t.sizes[key], nil
}

// resized returns a picture for print with the given number of pixels. A larger one has exactly that many. A smaller one is
// enlarged by the whole number that still fits, each pixel a square of pixels: viewers would blur it.
func resized(picture image.Image, pixels image.Point) image.Image {
	size := picture.Bounds().Size()
	var scaler xdraw.Scaler = xdraw.CatmullRom
	if size.X <= pixels.X && size.Y <= pixels.Y {
		scaler = xdraw.NearestNeighbor
		pixels = size.Mul(min(pixels.X/size.X, pixels.Y/size.Y))
	}
	flat := image.NewRGBA(image.Rectangle{Max: pixels})
	xdraw.Draw(flat, flat.Bounds(), image.White, image.Point{}, xdraw.Src)
	scaler.Scale(flat, flat.Bounds(), picture, picture.Bounds(), xdraw.Over, nil)
	return flat
}

// checkMatches returns an error for a match that cannot be shown.
func checkMatches(found []experiments.Match) error {
	if len(found) == 0 {
		return errors.New("nothing found")
	}
	for i, m := range found {
		if m.Picture < 0 {
			return fmt.Errorf("match %d is picture %d", i+1, m.Picture)
		}
		if err := finite("score", m.Score); err != nil {
			return fmt.Errorf("picture %d (%s): %w", m.Picture, m.Name, err)
		}
	}
	return nil
}

// first returns the first n things, or all if there are fewer.
func first[T any](n int, things []T) []T { return things[:min(n, len(things))] }

// decimalsFor returns how many decimals a score needs so that the largest one has two figures.
func decimalsFor(largest float64) int {
	if largest == 0 {
		return 2
	}
	return min(max(int(-math.Floor(math.Log10(largest)))+1, 0), 6)
}

// percent writes a share.
func percent(share float64) string { return strconv.Itoa(int(math.Round(100*share))) + " %" }

// option returns what an option is: its default if it is 0.
func option(name string, value, byDefault int) (int, error) {
	if value < 0 {
		return 0, fmt.Errorf("%s is %d", name, value)
	}
	if value == 0 {
		return byDefault, nil
	}
	return value, nil
}

// counted is "1 picture", "2 pictures".
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
