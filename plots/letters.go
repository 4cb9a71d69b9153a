package plots

import (
	"image"
	"image/color"
	"maps"
	"slices"
	"strings"
	"sync"

	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"golang.org/x/text/encoding/charmap"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// stands is drawn in place of a letter that the typeface does not have, in all formats.
const stands = '?'

// letterforms is the one typeface of all figures.
var letterforms = sync.OnceValue(func() *sfnt.Font {
	parsed, err := sfnt.Parse(liberationsansregular.TTF)
	if err != nil {
		panic("plots: " + err.Error()) // it is part of the program
	}
	return parsed
})

// has tells whether the typeface has a letter.
func has(letter rune) bool {
	var buffer sfnt.Buffer
	glyph, err := letterforms().GlyphIndex(&buffer, letter)
	return err == nil && glyph != 0
}

// Unwritten are the letters in a drawing that its typeface does not have, each once, in order: all formats have a question mark
// in their places.
func Unwritten(d Sized) string {
	w, h := d.Size()
	canvas := &reader{w: w, h: h, missing: make(map[rune]bool)}
	d.Draw(draw.New(canvas))
	return string(slices.Sorted(maps.Keys(canvas.missing)))
}

// reader is a canvas that draws nothing and notes the letters that the typeface does not have.
type reader struct {
	w, h    vg.Length
	missing map[rune]bool
}

func (r *reader) Size() (w, h vg.Length)            { return r.w, r.h }
func (*reader) SetLineWidth(vg.Length)              {}
func (*reader) SetLineDash([]vg.Length, vg.Length)  {}
func (*reader) SetColor(color.Color)                {}
func (*reader) Rotate(float64)                      {}
func (*reader) Translate(vg.Point)                  {}
func (*reader) Scale(float64, float64)              {}
func (*reader) Push()                               {}
func (*reader) Pop()                                {}
func (*reader) Stroke(vg.Path)                      {}
func (*reader) Fill(vg.Path)                        {}
func (*reader) DrawImage(vg.Rectangle, image.Image) {}
func (r *reader) FillString(_ font.Face, _ vg.Point, text string) {
	for _, letter := range text {
		if !has(letter) {
			r.missing[letter] = true
		}
	}
}

// lettered is a canvas that draws a question mark for a letter that the typeface does not have.
type lettered struct{ vg.CanvasSizer }

// FillString implements [vg.Canvas].
func (c lettered) FillString(face font.Face, at vg.Point, text string) {
	c.CanvasSizer.FillString(face, at, written(text))
}

// written is a text with a question mark for each letter that the typeface does not have.
func written(text string) string {
	return strings.Map(func(letter rune) rune {
		if has(letter) {
			return letter
		}
		return stands
	}, text)
}

// western is the beginning of a text that Windows 1252 has, the one encoding that gonum/plot gives its PDF fonts, and the same
// in that encoding.
func western(text string) (run, encoded string) {
	var bytes []byte
	for i, letter := range text {
		b, ok := charmap.Windows1252.EncodeRune(letter)
		if !ok {
			return text[:i], string(bytes)
		}
		bytes = append(bytes, b)
	}
	return text, string(bytes)
}

// strange is the beginning of a text that Windows 1252 does not have.
func strange(text string) string {
	for i, letter := range text {
		if _, ok := charmap.Windows1252.EncodeRune(letter); ok {
			return text[:i]
		}
	}
	return text
}

// outlines are the letters of a text as a path.
func outlines(size vg.Length, at vg.Point, text string) vg.Path {
	var path vg.Path
	var buffer sfnt.Buffer
	// The outlines are asked for in the typeface's own units, and scaled after that.
	units := letterforms().UnitsPerEm()
	scale := size / vg.Length(units)
	pen := at.X
	for _, letter := range text {
		glyph, err := letterforms().GlyphIndex(&buffer, letter)
		if err != nil {
			continue
		}
		segments, err := letterforms().LoadGlyph(&buffer, glyph, fixed.I(int(units)), nil)
		if err != nil {
			continue
		}
		point := func(p fixed.Point26_6) vg.Point {
			return vg.Point{X: pen + scale*vg.Length(p.X)/64, Y: at.Y - scale*vg.Length(p.Y)/64}
		}
		for i, s := range segments {
			switch s.Op {
			case sfnt.SegmentOpMoveTo:
				if i > 0 {
					path.Close()
				}
				path.Move(point(s.Args[0]))
			case sfnt.SegmentOpLineTo:
				path.Line(point(s.Args[0]))
			case sfnt.SegmentOpQuadTo:
				path.QuadTo(point(s.Args[0]), point(s.Args[1]))
			case sfnt.SegmentOpCubeTo:
				path.CubeTo(point(s.Args[0]), point(s.Args[1]), point(s.Args[2]))
			}
		}
		if len(segments) > 0 {
			path.Close()
		}
		if advance, err := letterforms().GlyphAdvance(&buffer, glyph, fixed.I(int(units)), 0); err == nil {
			pen += scale * vg.Length(advance) / 64
		}
	}
	return path
}
