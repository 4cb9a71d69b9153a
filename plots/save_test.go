package plots_test

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"

	"vitdecompose/plots"
)

// titled is a plot with nothing but a title.
func titled(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.TextStyle.Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: 8}
	return p
}

func TestSave(t *testing.T) {
	// Letters that take two bytes in UTF-8 and one in the encoding of PDF fonts, one that this does not have, and
	// letters that SVG must escape.
	p := titled("größe – α & <b>")
	base := filepath.Join(t.TempDir(), "figure")
	files := make(map[string][]byte)
	for _, run := range []string{"first", "second"} {
		if err := plots.Save(p, base, 2*vg.Inch, 1.5*vg.Inch); err != nil {
			t.Fatal(err)
		}
		for _, extension := range []string{".png", ".svg", ".pdf"} {
			content, err := os.ReadFile(base + extension)
			if err != nil {
				t.Fatal(err)
			}
			if run == "second" && !bytes.Equal(content, files[extension]) {
				t.Errorf("%s differs from one run to the next", extension)
			}
			files[extension] = content
		}
	}

	picture, err := png.Decode(bytes.NewReader(files[".png"]))
	if err != nil {
		t.Fatal(err)
	}
	if got := picture.Bounds().Size(); got.X != 600 || got.Y != 450 {
		t.Errorf("PNG of 2 x 1.5 inches has %v pixels, want 600 x 450 (300 per inch)", got)
	}
	// 300 per inch are 11811 = 0x2e23 per metre.
	if !bytes.Contains(files[".png"], []byte("pHYs\x00\x00\x2e\x23\x00\x00\x2e\x23\x01")) {
		t.Error("PNG does not say that it has 300 pixels per inch")
	}

	svg := string(files[".svg"])
	for _, want := range []string{"größe – α &amp; &lt;b&gt;", "font-family:Liberation Sans,Arial,Helvetica,sans-serif;", `width="144pt" height="108pt"`} {
		if !strings.Contains(svg, want) {
			t.Errorf("SVG does not hold %q", want)
		}
	}

	for _, want := range []string{"/FontFile2", "/LiberationSans", "/MediaBox [0 0 144.00 108.00]"} {
		if !bytes.Contains(files[".pdf"], []byte(want)) {
			t.Errorf("PDF does not hold %q", want)
		}
	}
}

func TestSaveFails(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing", "figure")
	err := plots.Save(titled("x"), missing, vg.Inch, vg.Inch)
	if err == nil || !strings.Contains(err.Error(), missing+".png") {
		t.Errorf("error %v, want one that names %s.png", err, missing)
	}
}
