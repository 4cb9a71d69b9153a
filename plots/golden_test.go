package plots_test

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/plot/cmpimg"
	"gonum.org/v1/plot/vg"

	"vitdecompose/plots"
)

// checkGolden compares what examples draw, testdata/NAME.png, and say, testdata/NAME.txt, with the golden pictures and captions.
// After a wanted change of a figure: go test ./plots -regen, and look at testdata/*_golden.png and *_golden.txt.
func checkGolden(t *testing.T, examples map[string]func()) {
	for name, example := range examples {
		t.Run(name, func(t *testing.T) {
			// A hair's breadth of tolerance: other processors round other last digits.
			cmpimg.CheckPlotApprox(example, t, 0.01, name+".png")
			checkCaption(t, "testdata/"+name)
			for _, extension := range []string{".png", ".svg", ".pdf", ".txt", ".tex"} {
				err := os.Remove("testdata/" + name + extension)
				if err != nil && !(*cmpimg.GenerateTestData && extension == ".png") { // renamed to the golden one
					t.Error(err)
				}
			}
		})
	}
}

// checkCaption compares a caption with the golden one.
func checkCaption(t *testing.T, base string) {
	t.Helper()
	caption, err := os.ReadFile(base + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	golden := base + "_golden.txt"
	if *cmpimg.GenerateTestData {
		if err := os.WriteFile(golden, caption, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(caption, want) {
		t.Errorf("the caption is\n%swant\n%s", caption, want)
	}
}

// checkWidths makes a figure for other widths.
func checkWidths(t *testing.T, figure plots.Sized) {
	t.Helper()
	for _, width := range []vg.Length{plots.LeastWidth, plots.ColumnWidth, 120 * vg.Millimeter, plots.PageWidth, plots.MostWidth} {
		at, err := figure.At(width)
		if err != nil {
			t.Errorf("%.0f mm wide: %v", width/vg.Millimeter, err)
			continue
		}
		if w, h := at.Size(); w != width || h <= 0 {
			t.Errorf("%v x %v, want a width of %v", w, h, width)
		}
		if sheet, ok := at.(*plots.Sheet); ok {
			for _, what := range plots.Overflow(sheet) {
				t.Errorf("%.0f mm wide: %s", width/vg.Millimeter, what)
			}
		}
	}
}

// checkSaved saves a figure twice, as the same bytes, and makes it for other widths.
func checkSaved(t *testing.T, figure plots.Sized, width, height vg.Length) {
	t.Helper()
	if height <= 0 || height > 100*vg.Inch {
		t.Fatalf("height %v", height)
	}
	checkWidths(t, figure)
	files := make(map[string][]byte)
	for range 2 {
		base := filepath.Join(t.TempDir(), "figure")
		if err := plots.Save(figure, base, width, height); err != nil {
			t.Fatal(err)
		}
		for _, extension := range []string{".png", ".svg", ".pdf", ".txt", ".tex"} {
			content, err := os.ReadFile(base + extension)
			if err != nil {
				t.Fatal(err)
			}
			if before, ok := files[extension]; ok && !bytes.Equal(before, content) {
				t.Errorf("%s differs from one run to the next", extension)
			}
			files[extension] = content
		}
	}
}

// wantError checks that an error says what is wanted.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one with %q", err, want)
	}
}

// saved returns the PNG picture of a figure.
func saved(t *testing.T, figure plots.Drawer, width, height vg.Length) image.Image {
	t.Helper()
	base := filepath.Join(t.TempDir(), "figure")
	if err := plots.Save(figure, base, width, height); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(base + ".png")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	picture, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	return picture
}
