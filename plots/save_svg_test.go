package plots

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/image/font"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"gonum.org/v1/plot/vg"
)

// TestSVGFont reads the font that a drawing has, and compares every glyph with the whole typeface's.
func TestSVGFont(t *testing.T) {
	const text = "größe – α → Ǻ fi & <b> 0123"
	sheet := &Sheet{Width: vg.Inch, Height: vg.Inch}
	sheet.write(text, textStyle(labelSize), 0, 10, 10*vg.Inch)
	base := filepath.Join(t.TempDir(), "sheet")
	if err := Save(sheet, base, vg.Inch, vg.Inch); err != nil {
		t.Fatal(err)
	}
	svg, err := os.ReadFile(base + ".svg")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`font-family:Liberation Sans;src:url\(data:font/ttf;base64,([^)]*)\)`).FindSubmatch(svg)
	if found == nil {
		t.Fatal("no font in the drawing")
	}
	file, err := base64.StdEncoding.DecodeString(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	if len(file) > 20_000 {
		t.Errorf("the font takes %d bytes", len(file))
	}
	if sum := checksum(file); sum != 0xb1b0afba {
		t.Errorf("the sum of the font is %#x, want 0xb1b0afba", sum)
	}
	subset, err := sfnt.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := sfnt.Parse(liberationsansregular.TTF)
	if err != nil {
		t.Fatal(err)
	}
	var buffer sfnt.Buffer
	size := fixed.I(int(whole.UnitsPerEm()))
	for _, letter := range text {
		type glyph struct {
			Segments sfnt.Segments
			Width    fixed.Int26_6
		}
		var got, want glyph
		for _, f := range []struct {
			font *sfnt.Font
			to   *glyph
		}{{subset, &got}, {whole, &want}} {
			index, err := f.font.GlyphIndex(&buffer, letter)
			if err != nil || index == 0 {
				t.Fatalf("%c: glyph %d, %v", letter, index, err)
			}
			segments, err := f.font.LoadGlyph(&buffer, index, size, nil)
			if err != nil {
				t.Fatalf("%c: %v", letter, err)
			}
			f.to.Segments = append(f.to.Segments, segments...)
			if f.to.Width, err = f.font.GlyphAdvance(&buffer, index, size, font.HintingNone); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%c differs:\n%s", letter, diff)
		}
	}
	if index, err := subset.GlyphIndex(&buffer, 'Q'); err != nil || index != 0 {
		t.Errorf("a letter that is not drawn has glyph %d, %v", index, err)
	}
}

func TestSubsetFontFails(t *testing.T) {
	whole := liberationsansregular.TTF
	for _, length := range []int{0, 11, 100, len(whole) / 2} {
		if _, err := subsetFont(whole[:length], []rune("ab")); err == nil {
			t.Errorf("no error for a font cut after %d bytes", length)
		}
	}
}
