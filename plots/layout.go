package plots

import (
	"image"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// box is a part of a sheet before it has a place: the space that it takes, and how it is put with its upper left corner at
// (x, y). Sheets are rows and columns of boxes, so that nothing but rows and columns adds up places.
type box struct {
	width, height vg.Length
	put           func(s *Sheet, x, y vg.Length)
}

// newSheet puts boxes one below the other on a sheet, within its margin.
func newSheet(width vg.Length, boxes ...box) *Sheet {
	s := &Sheet{Width: width}
	all := column(boxes...)
	all.put(s, margin, margin)
	s.Height = onPixel(all.height + 2*margin)
	return s
}

// column is boxes one below the other.
func column(boxes ...box) box {
	all := box{put: func(s *Sheet, x, y vg.Length) {
		for _, b := range boxes {
			b.put(s, x, y)
			y += b.height
		}
	}}
	for _, b := range boxes {
		all.width = max(all.width, b.width)
		all.height += b.height
	}
	return all
}

// row is boxes side by side, all from the same height down.
func row(apart vg.Length, boxes ...box) box {
	all := box{put: func(s *Sheet, x, y vg.Length) {
		for _, b := range boxes {
			b.put(s, x, y)
			x += b.width + apart
		}
	}}
	for i, b := range boxes {
		if i > 0 {
			all.width += apart
		}
		all.width += b.width
		all.height = max(all.height, b.height)
	}
	return all
}

// stacked is boxes in one place.
func stacked(boxes ...box) box {
	all := box{put: func(s *Sheet, x, y vg.Length) {
		for _, b := range boxes {
			b.put(s, x, y)
		}
	}}
	for _, b := range boxes {
		all.width, all.height = max(all.width, b.width), max(all.height, b.height)
	}
	return all
}

// wide is a box that takes the given width in a row.
func (b box) wide(width vg.Length) box { return box{width, b.height, b.put} }

// high is a box that takes at least the given height.
func (b box) high(height vg.Length) box { return box{b.width, max(b.height, height), b.put} }

// right is a box so much further to the right.
func (b box) right(by vg.Length) box { return row(0, space(by, 0), b) }

// space is a box with nothing in it.
func space(width, height vg.Length) box {
	return box{width, height, func(*Sheet, vg.Length, vg.Length) {}}
}

// below is space between boxes of a column.
func below(height vg.Length) box { return space(0, height) }

// line is a text in one line, shortened to width, with its base line so far down, where the box ends. The alignment of the
// style is within the width.
func line(text string, style draw.TextStyle, width, base vg.Length) box {
	return box{width, base, func(s *Sheet, x, y vg.Length) {
		switch style.XAlign {
		case draw.XCenter:
			x += width / 2
		case draw.XRight:
			x += width
		}
		s.write(text, style, x, y+base, width)
	}}
}

// lines are lines of text one below the other, each so high.
func lines(texts []string, style draw.TextStyle, width, each vg.Length) box {
	var all []box
	for _, text := range texts {
		all = append(all, line(text, style, width, each))
	}
	return column(all...)
}

// lineRight is a line at the right end of the width, in full.
func lineRight(text string, style draw.TextStyle, width, base vg.Length) box {
	return line(text, aligned(style, draw.XRight), max(width, style.Width(text)), base).right(min(0, width-style.Width(text)))
}

// aligned is a style with another alignment.
func aligned(style draw.TextStyle, align draw.XAlignment) draw.TextStyle {
	style.XAlign = align
	return style
}

// rule is a light line.
func rule(width vg.Length) box {
	light := draw.LineStyle{Color: gridGrey, Width: 2 * gridWidth}
	return box{width, 0, func(s *Sheet, x, y vg.Length) { s.rules = append(s.rules, sheetRule{x, y, width, light}) }}
}

// struck is a line that is struck through.
func struck(text string, style draw.TextStyle, width, base vg.Length) box {
	text = shorten(text, style, width)
	through := draw.LineStyle{Color: style.Color, Width: axisWidth}
	return box{width, base, func(s *Sheet, x, y vg.Length) {
		line(text, style, width, base).put(s, x, y)
		s.rules = append(s.rules, sheetRule{x, y + base - 0.28*style.Font.Size, style.Width(text), through})
	}}
}

// pictured is a picture in the middle of a width, in a frame.
func pictured(picture image.Image, size vg.Point, width vg.Length, frame frame) box {
	return box{width, size.Y, func(s *Sheet, x, y vg.Length) {
		s.framed = append(s.framed, sheetPicture{picture, onPixel(x + (width-size.X)/2), onPixel(y), size.X, size.Y, frame})
	}}
}

// write puts a text on the base line at (x, y), shortened to width.
func (s *Sheet) write(text string, style draw.TextStyle, x, y, width vg.Length) {
	text = shorten(strings.NewReplacer("\n", " ", "\r", " ", "\t", " ").Replace(text), style, width)
	s.texts = append(s.texts, sheetText{text, style, x, y})
}
