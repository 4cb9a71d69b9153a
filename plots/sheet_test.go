package plots

import (
	"image"
	"image/color"
	"testing"

	"gonum.org/v1/plot/vg"
)

func TestResized(t *testing.T) {
	for _, test := range []struct{ size, print, want image.Point }{
		{image.Pt(64, 64), image.Pt(142, 142), image.Pt(128, 128)}, // whole times as many
		{image.Pt(64, 64), image.Pt(64, 64), image.Pt(64, 64)},
		{image.Pt(100, 50), image.Pt(142, 71), image.Pt(100, 50)},
		{image.Pt(3000, 2000), image.Pt(150, 100), image.Pt(150, 100)},
		{image.Pt(1, 900), image.Pt(1, 150), image.Pt(1, 150)},
		{image.Pt(1, 1), image.Pt(5, 5), image.Pt(5, 5)},
	} {
		picture := image.NewGray(image.Rectangle{Max: test.size}.Add(image.Pt(5, -3)))
		for i := range picture.Pix {
			picture.Pix[i] = 99
		}
		got := resized(picture, test.print)
		if got.Bounds() != (image.Rectangle{Max: test.want}) {
			t.Errorf("%v for %v: %v, want %v", test.size, test.print, got.Bounds(), test.want)
		}
		for _, at := range []image.Point{{}, test.want.Sub(image.Pt(1, 1))} {
			if gray := got.At(at.X, at.Y); gray != (color.RGBA{99, 99, 99, 255}) {
				t.Errorf("%v for %v: pixel %v is %v", test.size, test.print, at, gray)
			}
		}
	}
	// Each pixel becomes a square.
	two := image.NewGray(image.Rect(0, 0, 2, 1))
	two.SetGray(1, 0, color.Gray{200})
	large := resized(two, image.Pt(7, 4))
	for y := range 3 {
		for x := range 6 {
			want := color.RGBA{A: 255}
			if x >= 3 {
				want = color.RGBA{200, 200, 200, 255}
			}
			if got := large.At(x, y); got != want {
				t.Errorf("pixel %d,%d of an enlarged picture is %v, want %v", x, y, got, want)
			}
		}
	}
	// What is behind a see-through picture is white.
	if got := resized(image.NewNRGBA(image.Rect(0, 0, 9, 9)), image.Pt(3, 3)).At(1, 1); got != (color.RGBA{255, 255, 255, 255}) {
		t.Errorf("a see-through picture became %v", got)
	}
}

func TestDecimalsFor(t *testing.T) {
	for largest, want := range map[float64]int{0: 2, 0.97: 2, 0.1: 2, 0.043: 3, 0.0043: 4, 1: 1, 23.4: 0, 4000: 0, 1e-12: 6, 1e300: 0} {
		if got := decimalsFor(largest); got != want {
			t.Errorf("decimals for scores up to %v: %d, want %d", largest, got, want)
		}
	}
}

func TestEvenly(t *testing.T) {
	for _, test := range []struct{ n, most, want int }{{1, 3, 1}, {3, 3, 3}, {4, 3, 2}, {5, 3, 3}, {7, 4, 4}, {9, 4, 3}, {13, 4, 4}} {
		if got := evenly(test.n, test.most); got != test.want {
			t.Errorf("%d things in at most %d columns: %d, want %d", test.n, test.most, got, test.want)
		}
	}
}

func TestFullRows(t *testing.T) {
	for _, test := range []struct{ n, most, want int }{{4, 4, 4}, {4, 3, 2}, {6, 4, 3}, {8, 6, 4}, {3, 6, 3}, {5, 4, 3}, {7, 4, 4}, {1, 1, 1}} {
		if got := fullRows(test.n, test.most); got != test.want {
			t.Errorf("%d things in at most %d columns: %d, want %d", test.n, test.most, got, test.want)
		}
	}
}

// Cells are filled: with as many pictures as there is room for, in rows that are full.
func TestRowsOf(t *testing.T) {
	for _, test := range []struct {
		n             int
		width         vg.Length
		columns, rows int
	}{{9, 114, 3, 1}, {9, 72, 2, 2}, {3, 240, 3, 1}, {9, 240, 3, 1}, {9, 490, 7, 1}, {1, 114, 1, 1}, {9, 20, 1, 2}} {
		got := rowsOf(test.n, test.width, 1)
		if got.columns != test.columns || got.rows != test.rows {
			t.Errorf("%d pictures in %v: %d columns and %d rows, want %d and %d", test.n, test.width, got.columns, got.rows, test.columns, test.rows)
		}
		if wide := vg.Length(got.columns)*(got.side+pictureGap) - pictureGap; wide > test.width {
			t.Errorf("%d pictures in %v: %v wide", test.n, test.width, wide)
		}
	}
}
