package scenes

import (
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"testing"
)

var sheetDir = flag.String("sheet", "", "write contact sheets of scenes to this directory, to look at")

// TestSheet draws contact sheets when asked to: a scene has to be told by a
// person's eye too.
func TestSheet(t *testing.T) {
	if *sheetDir == "" {
		t.Skip("no -sheet directory given")
	}
	const rows, columns, zoom = 12, 10, 2
	for page := range 2 {
		sheet := image.NewRGBA(image.Rect(0, 0, columns*(Size+2)*zoom, rows*(Size+2)*zoom))
		for i := range rows * columns {
			index := uint64(i)
			spec := Sample(uint64(page), index)
			if page == 0 { // a row of each class
				spec.Class = i / columns
				if Classes[spec.Class] == "sign" {
					spec.Shape = Shapes[i%len(Shapes)]
				}
			}
			scene := DrawSpec(spec, uint64(page), index)
			for y := range Size * zoom {
				for x := range Size * zoom {
					p := scene.Pix[3*(y/zoom*Size+x/zoom):]
					sheet.SetRGBA(i%columns*(Size+2)*zoom+x, i/columns*(Size+2)*zoom+y, color.RGBA{p[0], p[1], p[2], 255})
				}
			}
		}
		f, err := os.Create(fmt.Sprintf("%s/sheet%d.png", *sheetDir, page))
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, sheet); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkDraw(b *testing.B) {
	for i := 0; b.Loop(); i++ {
		Draw(1, uint64(i))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pictures/s")
}
