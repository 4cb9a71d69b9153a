package plots

import (
	"errors"
	"math"
	"testing"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
)

func TestParseWidth(t *testing.T) {
	for text, want := range map[string]vg.Length{
		"column": 3.35 * vg.Inch, "page": 6.95 * vg.Inch,
		"60mm": 6 * vg.Centimeter, "127mm": 5 * vg.Inch, "88.9mm": 3.5 * vg.Inch, "1e2mm": 10 * vg.Centimeter,
	} {
		got, err := ParseWidth(text)
		if err != nil || math.Abs(float64(got-want)) > 1e-9 {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":         `width "" is not column, page or a number of millimetres such as 120mm`,
		"120":      `width "120" is not column`,
		"4in":      `width "4in" is not column`,
		"mm":       `width "mm" is not column`,
		"NaNmm":    `width "NaNmm" is not column`,
		"120 mm":   `width "120 mm" is not column`,
		"59.9mm":   "width 59.9mm is not between 60mm and 600mm",
		"-120mm":   "width -120mm is not between 60mm and 600mm",
		"601mm":    "width 601mm is not between 60mm and 600mm",
		"1e300mm":  "width 1e300mm is not between 60mm and 600mm",
		"Infmm":    "width Infmm is not between 60mm and 600mm",
		"Column":   `width "Column" is not column`,
		"1e999mm":  `width "1e999mm" is not column`,
		"0x7.8pmm": `width "0x7.8pmm" is not column`,
	} {
		if _, err := ParseWidth(text); err == nil || !hasPrefix(err, want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func hasPrefix(err error, want string) bool {
	return len(err.Error()) >= len(want) && err.Error()[:len(want)] == want
}

func TestAt(t *testing.T) {
	figure, err := laidOut("a figure", PageWidth, func(width vg.Length) (*Figure, error) {
		panels := []*plot.Plot{newPlot(), newPlot(), newPlot()}
		return newGrid(width, 2*vg.Inch, panelsWithin(width, narrowest, 3, 3), nil, panels), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		width   vg.Length
		rows    int
		columns int
	}{{PageWidth, 1, 3}, {ColumnWidth, 2, 2}, {leastWidth, 3, 1}, {mostWidth, 1, 3}} {
		sized, err := figure.At(test.width)
		if err != nil {
			t.Fatal(err)
		}
		at := sized.(*Figure)
		if len(at.panels) != test.rows || len(at.panels[0]) != test.columns {
			t.Errorf("%v wide: %d x %d panels, want %d x %d", test.width, len(at.panels), len(at.panels[0]), test.rows, test.columns)
		}
		rows := vg.Length(test.rows)
		if want := rows*2*vg.Inch + (rows-1)*panelGap + 2*margin; math.Abs(float64(at.Height-want)) > 1e-9 || at.Width != test.width {
			t.Errorf("%v x %v, want %v x %v", at.Width, at.Height, test.width, want)
		}
		again, err := at.At(PageWidth)
		if err != nil || again.(*Figure).Width != PageWidth || len(again.(*Figure).panels) != 1 {
			t.Errorf("back at the page's width: %v, %v", again, err)
		}
	}
}

// TestAtFails: the pictures of a sheet may be gone when it is made for another width.
func TestAtFails(t *testing.T) {
	gone := errors.New("gone")
	sheet, err := laidOut("a figure", PageWidth, func(width vg.Length) (*Sheet, error) {
		if width != PageWidth {
			return nil, gone
		}
		return &Sheet{Width: width, Height: width}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := SaveAt(sheet, t.TempDir()+"/sheet", ColumnWidth); !errors.Is(err, gone) {
		t.Errorf("%v, want %v", err, gone)
	}
	if err := SaveAt(sheet, t.TempDir()+"/sheet", 0); err != nil {
		t.Error(err)
	}
}

func TestInProportion(t *testing.T) {
	for _, test := range []struct {
		width      vg.Length
		page, want int
	}{{PageWidth, 6, 6}, {ColumnWidth, 6, 3}, {leastWidth, 2, 1}, {mostWidth, 6, 6}, {120 * vg.Millimeter, 6, 4}} {
		if got := inProportion(test.width, test.page); got != test.want {
			t.Errorf("%v: %d of %d, want %d", test.width, got, test.page, test.want)
		}
	}
}

// FuzzParseWidth holds that a width is one that figures are laid out for.
func FuzzParseWidth(f *testing.F) {
	for _, text := range []string{"column", "page", "120mm", "-0mm", "1e400mm", "0x1p7mm", "nanmm", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		width, err := ParseWidth(text)
		if err == nil && !(leastWidth <= width && width <= mostWidth) {
			t.Errorf("%q: %v", text, width)
		}
	})
}
