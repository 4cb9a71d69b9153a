package plots

import (
	"bytes"
	"image"
	"image/png"
	"math"
	"testing"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
)

func TestAt(t *testing.T) {
	panels := []*plot.Plot{newPlot(), newPlot(), newPlot()}
	figure := newFigure(PageWidth, 2*vg.Inch, nil, panels...)
	for _, test := range []struct {
		width   vg.Length
		rows    int
		columns int
	}{{PageWidth, 1, 3}, {ColumnWidth, 2, 2}, {vg.Inch, 3, 1}} {
		at := figure.At(test.width).(*Figure)
		if len(at.panels) != test.rows || len(at.panels[0]) != test.columns {
			t.Errorf("%v wide: %d x %d panels, want %d x %d", test.width, len(at.panels), len(at.panels[0]), test.rows, test.columns)
		}
		rows := vg.Length(test.rows)
		if want := rows*2*vg.Inch + (rows-1)*panelGap + 2*margin; math.Abs(float64(at.Height-want)) > 1e-9 || at.Width != test.width {
			t.Errorf("%v x %v, want %v x %v", at.Width, at.Height, test.width, want)
		}
		again := at.At(PageWidth).(*Figure)
		if again.Width != PageWidth || len(again.panels) > len(at.panels) {
			t.Errorf("back at the page's width: %v, %d rows", again.Width, len(again.panels))
		}
	}

	sheet := &Sheet{Width: PageWidth, Height: PageWidth / 2}
	if w, h := sheet.At(ColumnWidth).Size(); w != ColumnWidth || math.Abs(float64(h-ColumnWidth/2)) > 1e-9 {
		t.Errorf("%v x %v", w, h)
	}
	if sheet.At(ColumnWidth).At(PageWidth) != Sized(sheet) {
		t.Error("back at its own width it is another sheet")
	}
	// Black ink all over the sheet ends where the smaller sheet ends.
	sheet.rules = []sheetRule{{0, PageWidth / 4, PageWidth}}
	half := sheet.At(PageWidth / 2)
	w, h := half.Size()
	if size := pixelSize(t, half, w, h); size.X != int(math.Round(float64(PageWidth/2/vg.Inch*100))) {
		t.Errorf("%v pixels", size)
	}
}

// pixelSize draws with 100 pixels per inch.
func pixelSize(t *testing.T, d Drawer, w, h vg.Length) image.Point {
	t.Helper()
	var out bytes.Buffer
	if err := PNG(d, w, h, 100, &out); err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(&out)
	if err != nil {
		t.Fatal(err)
	}
	return picture.Bounds().Size()
}
