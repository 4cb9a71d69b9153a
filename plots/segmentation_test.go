package plots_test

import (
	"errors"
	"image/color"
	"math"
	"strings"
	"testing"

	"vitdecompose/data"
	"vitdecompose/experiments"
	"vitdecompose/plots"
)

func TestSegmentation(t *testing.T) {
	checkGolden(t, map[string]func(){"segmentation": ExampleSegmentation, "segmentation_one": ExampleSegmentation_one,
		"segmentation_sheet": ExampleSegmentationSheet})
}

func TestSegmentationSizes(t *testing.T) {
	var many []experiments.ModelSegmentation
	for i := range 17 {
		m := experiments.ModelSegmentation{Model: strings.Repeat("m", 6*i+1), Scores: scored(0.9, "a", "b", "c", "d", "e", "f", "g")[i%7:]}
		many = append(many, m)
	}
	for name, models := range map[string][]experiments.ModelSegmentation{
		"many": many, "two": many[:2], "one with a long name": many[16:],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			figure, err := plots.Segmentation(experiments.SegmentationResult{Models: models})
			if err != nil {
				t.Fatal(err)
			}
			checkSaved(t, figure, figure.Width, figure.Height)
		})
	}
}

func TestSegmentationRefuses(t *testing.T) {
	for want, spoil := range map[string]func(m *experiments.ModelSegmentation){
		"no scores":        func(m *experiments.ModelSegmentation) { m.Scores = nil },
		`method "b" twice`: func(m *experiments.ModelSegmentation) { m.Scores[0].Method = "b" },
		"a: pixel accuracy NaN is not between 0 and 1": func(m *experiments.ModelSegmentation) { m.Scores[0].PixelAccuracy = math.NaN() },
		"b: mIoU -1 is not between 0 and 1":            func(m *experiments.ModelSegmentation) { m.Scores[1].MIoU = -1 },
		"b: mAP 1.1 is not between 0 and 1":            func(m *experiments.ModelSegmentation) { m.Scores[1].MAP = 1.1 },
	} {
		m := experiments.ModelSegmentation{Model: "swin-mini", Scores: scored(0.7, "a", "b")}
		spoil(&m)
		_, err := plots.Segmentation(experiments.SegmentationResult{Models: []experiments.ModelSegmentation{{Model: "a", Scores: scored(1, "c")}, m}})
		wantError(t, err, "segmentation figure: swin-mini: "+want)
	}
	_, err := plots.Segmentation(experiments.SegmentationResult{})
	wantError(t, err, "segmentation figure: no models")
}

// squares are masks of so many pixels each way; all of the left half is the object.
type squares int

func (n squares) Mask(int) (*data.Mask, error) {
	m := &data.Mask{Width: int(n), Height: int(n), Pix: make([]uint8, n*n)}
	for i := range m.Pix {
		if i%int(n) < int(n)/2 {
			m.Pix[i] = data.MaskObject
		}
	}
	return m, nil
}

// example is a picture with maps of some methods, high on the left.
func example(class string, methods ...string) experiments.SegmentationExample {
	e := experiments.SegmentationExample{Picture: 5, Name: "five.jpg", Class: class}
	for _, m := range methods {
		e.Maps = append(e.Maps, experiments.SegmentationMap{Method: m, Rows: 2, Columns: 2, Values: []float32{1, 0, 1, 0}})
	}
	return e
}

func TestSegmentationSheetSizes(t *testing.T) {
	nowhere := example("nowhere", "a")
	nowhere.Maps[0].Values = make([]float32, 4)
	below := example("below", "b")
	below.Maps[0].Values = []float32{-1, -2, -3, -4}
	for name, test := range map[string]struct {
		examples []experiments.SegmentationExample
		opts     plots.SegmentationSheetOptions
	}{
		"six methods": {[]experiments.SegmentationExample{example("cat", "a", "b", "c", "d", "e", "f")}, plots.SegmentationSheetOptions{}},
		"uneven":      {[]experiments.SegmentationExample{example("cat", "a"), nowhere, below, nowhere}, plots.SegmentationSheetOptions{Pictures: 3}},
		"long":        {[]experiments.SegmentationExample{example(strings.Repeat("class ", 60), strings.Repeat("method ", 20))}, plots.SegmentationSheetOptions{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			model := experiments.ModelSegmentation{Model: strings.Repeat("model", 50), Examples: test.examples}
			figure, err := plots.SegmentationSheet(model, plain{}, squares(7), test.opts)
			if err != nil {
				t.Fatal(err)
			}
			checkSaved(t, figure, figure.Width, figure.Height)
		})
	}
}

// The outline runs along the edge of the cut, on its inside, and the mask leaves of the picture the object.
func TestSegmentationSheetPixels(t *testing.T) {
	model := experiments.ModelSegmentation{Model: "m", Examples: []experiments.SegmentationExample{example("cat", "a")}}
	figure, err := plots.SegmentationSheet(model, plain{}, squares(8), plots.SegmentationSheetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	counts := pixels(saved(t, figure, figure.Width, figure.Height))
	const side = 96 * plots.PNGResolution / 72
	if got, want := counts[color.RGBA{255, 0, 0, 255}], side*side*3/2; math.Abs(float64(got-want)) > 0.03*float64(want) {
		t.Errorf("%d pixels are the picture's or the object's, want about %d", got, want)
	}
	// An edge of the panel's height, 1.2 points wide (but the 8 pixels of the picture are squares of 50), and the legend's.
	if got, least, most := counts[color.RGBA{0xd5, 0x5e, 0, 255}], side, side*side/8+1000; got < least || got > most {
		t.Errorf("%d pixels are the outline's, want %d to %d", got, least, most)
	}
}

// noMasks is a data set without masks, others are masks as they should not be.
type (
	noMasks struct{}
	others  data.Mask
)

func (noMasks) Mask(int) (*data.Mask, error) { return nil, errors.New("no such mask") }

func (o *others) Mask(int) (*data.Mask, error) { return (*data.Mask)(o), nil }

func TestSegmentationSheetRefuses(t *testing.T) {
	refuse := func(want string, album plots.Album, masks plots.MaskAlbum, opts plots.SegmentationSheetOptions, spoil func(m *experiments.ModelSegmentation)) {
		t.Helper()
		model := experiments.ModelSegmentation{Model: "deit-mini", Examples: []experiments.SegmentationExample{example("cat", "a", "b")}}
		spoil(&model)
		_, err := plots.SegmentationSheet(model, album, masks, opts)
		wantError(t, err, "segmentation sheet: deit-mini: "+want)
	}
	all, as := plots.SegmentationSheetOptions{}, func(*experiments.ModelSegmentation) {}
	refuse("no pictures to show", nil, squares(8), all, as)
	refuse("no masks to show", plain{}, nil, all, as)
	refuse("Pictures is -1", plain{}, squares(8), plots.SegmentationSheetOptions{Pictures: -1}, as)
	refuse("picture 5 (five.jpg): no such file", lost{}, squares(8), all, as)
	refuse("picture 5 (five.jpg): no such mask", plain{}, noMasks{}, all, as)
	refuse("picture 5 (five.jpg): there is no mask", plain{}, (*others)(nil), all, as)
	refuse("picture 5 (five.jpg): 3 values do not make a mask", plain{}, &others{Width: 2, Height: 2, Pix: make([]uint8, 3)}, all, as)
	refuse("picture 5 (five.jpg): the mask of 2 x 1 pixels has another shape", plain{}, &others{Width: 2, Height: 1, Pix: make([]uint8, 2)}, all, as)
	for want, spoil := range map[string]func(m *experiments.ModelSegmentation){
		"no examples": func(m *experiments.ModelSegmentation) { m.Examples = nil },
		"7 methods, at most 6": func(m *experiments.ModelSegmentation) {
			m.Examples[0] = example("cat", "a", "b", "c", "d", "e", "f", "g")
		},
		"picture -5 (five.jpg): no such picture":            func(m *experiments.ModelSegmentation) { m.Examples[0].Picture = -5 },
		"picture 5 (five.jpg): no maps":                     func(m *experiments.ModelSegmentation) { m.Examples[0].Maps = nil },
		`picture 5 (five.jpg): method "a" twice`:            func(m *experiments.ModelSegmentation) { m.Examples[0].Maps[1].Method = "a" },
		"picture 5 (five.jpg): b: 4 values for a grid of 0": func(m *experiments.ModelSegmentation) { m.Examples[0].Maps[1].Rows = 0 },
		"picture 5 (five.jpg): a: row 0, column 1 is -Inf": func(m *experiments.ModelSegmentation) {
			m.Examples[0].Maps[0].Values[1] = float32(math.Inf(-1))
		},
	} {
		refuse(want, plain{}, squares(8), all, spoil)
	}
}
