package plots

import (
	"bytes"
	"image/color"
	"io"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// word is a drawing of one word.
type word string

func (w word) Draw(c draw.Canvas) {
	c.SetColor(color.Black)
	c.FillString(face(20), vg.Point{X: 10, Y: 20}, string(w))
}

func (w word) Size() (width, height vg.Length) { return 160, 50 }

func (w word) Caption() Caption { return Caption{} }

func (w word) At(vg.Length) (Sized, error) { return w, nil }

func face(size vg.Length) font.Face { return font.DefaultCache.Lookup(typeface(size), size) }

// The character map of Liberation Sans has Latin, Greek and Cyrillic letters, and no Han, Arabic, Devanagari or emoji (fc-query
// lists it).
func TestUnwritten(t *testing.T) {
	for text, want := range map[string]string{
		"a dog, 50 % − ÿ": "",
		"κάτι слон ł":     "",
		"猫 犬 犬":           "犬猫",
		"عربي":            "\u0628\u0631\u0639\u064a",
		"हिन्दी x":        "\u0926\u0928\u0939\u093f\u0940\u094d",
		"🐘":               "🐘",
	} {
		if got := Unwritten(word(text)); got != want {
			t.Errorf("%s: %q are said to be missing, want %q", text, got, want)
		}
	}
}

// What cannot be written is the same question marks in all three formats.
func TestQuestionMarks(t *testing.T) {
	for name, render := range map[string]func(Drawer, vg.Length, vg.Length, io.Writer) error{"PNG": renderPNG, "SVG": renderSVG, "PDF": renderPDF} {
		var strange, marks, other bytes.Buffer
		for text, out := range map[string]*bytes.Buffer{"a犬🐘": &strange, "a??": &marks, "a!?": &other} {
			if err := render(word(text), 160, 50, out); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(strange.Bytes(), marks.Bytes()) {
			t.Errorf("%s: two letters that the typeface does not have are not two question marks", name)
		}
		if bytes.Equal(marks.Bytes(), other.Bytes()) {
			t.Errorf("%s: the text does not matter", name)
		}
	}
}

// fine is a canvas of a resolution at which hinting matters little.
func fine() *vgimg.Canvas { return vgimg.NewWith(vgimg.UseWH(160, 50), vgimg.UseDPI(600)) }

// What PDF draws as outlines looks like what gonum/plot's PNG canvas writes with the same typeface.
func TestOutlines(t *testing.T) {
	for _, text := range []string{"κάτι", "слон", "łódź", "Äg8&"} {
		written, drawn := fine(), fine()
		word(text).Draw(draw.New(written))
		drawn.SetColor(color.Black)
		drawn.Fill(outlines(20, vg.Point{X: 10, Y: 20}, text))
		differ, ink := 0.0, 0.0
		a, b := written.Image(), drawn.Image()
		for y := range a.Bounds().Dy() {
			for x := range a.Bounds().Dx() {
				p, _, _, _ := a.At(x, y).RGBA()
				q, _, _, _ := b.At(x, y).RGBA()
				differ += math.Abs(float64(p) - float64(q))
				ink += 0xffff - float64(p)
			}
		}
		if ink == 0 || differ > 0.08*ink {
			t.Errorf("%s: outlines differ by %.0f %% of the ink", text, 100*differ/ink)
		}
	}
}

// A text that Windows 1252 has stays text in a PDF; another one becomes outlines, and no letters of another encoding.
func TestPDFEncoding(t *testing.T) {
	if run, encoded := western("ÿ €слон"); run != "ÿ €" || encoded != "\xff \x80" { // as the code page says
		t.Errorf("got %q, %q", run, encoded)
	}
	if run := strange("слон €"); run != "слон" {
		t.Errorf("got %q", run)
	}
	var pdf bytes.Buffer
	if err := renderPDF(word("слон"), 160, 50, &pdf); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(pdf.String(), "????") {
		t.Error("question marks in place of Cyrillic letters")
	}
}
