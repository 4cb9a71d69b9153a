package plots_test

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
	"strings"
	"testing"

	"vitdecompose/data/scenes"
	"vitdecompose/experiments"
	"vitdecompose/plots"
)

func TestTextRetrieval(t *testing.T) {
	checkGolden(t, map[string]func(){"sheet_text": ExampleTextRetrieval})
}

// photos are pictures of many sizes, some of them see-through, some larger than they are printed.
type photos struct{}

func (photos) Image(i int) (image.Image, error) {
	size := []image.Point{{480, 320}, {40, 60}, {1, 900}, {900, 1}, {1, 1}, {150, 149}}[i%6]
	picture := image.NewNRGBA(image.Rectangle{Max: size}.Add(image.Pt(7, 3)))
	for k := range picture.Pix {
		picture.Pix[k] = uint8(k * k >> 7)
	}
	return picture, nil
}

// lost is an album without pictures.
type lost struct{}

func (lost) Image(int) (image.Image, error) { return nil, errors.New("no such file") }

func red(s scenes.Spec) bool { return s.Colour == "red" }

func TestTextRetrievalSizes(t *testing.T) {
	if testing.Short() {
		t.Skip("draws many pictures; not with -short")
	}
	var features []experiments.FeatureRetrieval
	for i := range 7 {
		f := experiments.FeatureRetrieval{Feature: strings.Repeat("f", 9*i+1)}
		for g := range 6 {
			group := experiments.ComponentGroup{Components: slices.Repeat([]string{"layer:(2,3), grid attn_head:01"}, 3*g+1)}
			f.Groups = append(f.Groups, group)
		}
		for range 3 {
			p := sought(strings.Repeat("text\n", i), 6, 9, red)
			for g := range p.Found {
				p.Found[g] = p.Found[g][:9-g] // fewer and fewer
				for k := range p.Found[g] {
					p.Found[g][k].Score *= -0.001
					if i%2 == 0 {
						p.Found[g][k].True = nil
					}
				}
			}
			if i%3 == 0 {
				p.Share = nil
			}
			f.Probes = append(f.Probes, p)
		}
		features = append(features, f)
	}
	for name, test := range map[string]struct {
		features []experiments.FeatureRetrieval
		opts     plots.TextRetrievalOptions
	}{
		"as it comes":    {features[:7], plots.TextRetrievalOptions{}},
		"one column":     {features[1:2], plots.TextRetrievalOptions{}},
		"one picture":    {features[:1], plots.TextRetrievalOptions{Groups: 1}},
		"two probes":     {features[:2], plots.TextRetrievalOptions{Probes: 2, Groups: 2}},
		"more than have": {features[1:2], plots.TextRetrievalOptions{Probes: 10, Groups: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			result := experiments.ModelTextRetrieval{Model: strings.Repeat("model", 50), Pictures: 1, Features: test.features}
			figure, err := plots.TextRetrieval(result, photos{}, test.opts)
			if err != nil {
				t.Fatal(err)
			}
			if figure.Width != plots.PageWidth {
				t.Errorf("width %v, want %v", figure.Width, plots.PageWidth)
			}
			checkSaved(t, figure, figure.Width, figure.Height)
		})
	}
}

// What a sheet of one cell looks like, pixel by pixel where it counts: a frame of colour around what is true, none
// around what is not known, and the picture itself inside.
func TestTextRetrievalFrames(t *testing.T) {
	yes, no := true, false
	result := experiments.ModelTextRetrieval{Model: "m", Features: []experiments.FeatureRetrieval{{
		Feature: "color", Groups: groupsOfThree[:1],
		Probes: []experiments.TextProbe{{Text: "red", Found: [][]experiments.Match{{{True: &yes}, {True: &no}, {}}}}},
	}}}
	figure, err := plots.TextRetrieval(result, plain{}, plots.TextRetrievalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[color.RGBA]int)
	picture := saved(t, figure, figure.Width, figure.Height)
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			counts[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)]++
		}
	}
	const points = 81.2 // the most that pictures take which do not fill the page
	const side = points * plots.PNGResolution / 72
	if got, want := float64(counts[color.RGBA{0xff, 0, 0, 0xff}]), 3*side*side; math.Abs(got-want) > 0.03*want {
		t.Errorf("%.0f pixels are the pictures', want about %.0f", got, want)
	}
	// That of a picture is 1.7 points wide, that of the legend as wide around 5 points.
	green := 4 * 1.7 * (points + 5 + 2*1.7) * plots.PNGResolution / 72 * plots.PNGResolution / 72
	if got := counts[color.RGBA{0, 0x9e, 0x73, 0xff}]; math.Abs(float64(got)-green) > 0.1*green {
		t.Errorf("%d pixels are the true frame's, want about %.0f", got, green)
	}
	if counts[color.RGBA{0x80, 0x80, 0x80, 0xff}] == 0 {
		t.Error("no false frame")
	}
}

// plain is an album of red squares.
type plain struct{}

func (plain) Image(int) (image.Image, error) {
	picture := image.NewRGBA(image.Rect(0, 0, 8, 8))
	for i := range picture.Pix {
		picture.Pix[i] = []uint8{255, 0, 0, 255}[i%4]
	}
	return picture, nil
}

func TestTextRetrievalRefuses(t *testing.T) {
	refuse := func(want string, album plots.Album, opts plots.TextRetrievalOptions, spoil func(*experiments.ModelTextRetrieval)) {
		t.Helper()
		result := experiments.ModelTextRetrieval{Model: "deit-mini", Pictures: 10, Features: []experiments.FeatureRetrieval{
			{Feature: "color", Groups: slices.Clone(groupsOfThree[:2]), Probes: []experiments.TextProbe{sought("blue", 2, 3, red)}},
		}}
		spoil(&result)
		_, err := plots.TextRetrieval(result, album, opts)
		wantError(t, err, "text retrieval figure: deit-mini: "+want)
	}
	all := plots.TextRetrievalOptions{}
	as := func(*experiments.ModelTextRetrieval) {}
	refuse("no pictures to show", nil, all, as)
	refuse("Probes is -1", drawings{}, plots.TextRetrievalOptions{Probes: -1}, as)
	refuse("Groups is -2", drawings{}, plots.TextRetrievalOptions{Groups: -2}, as)
	for want, spoil := range map[string]func(f *experiments.FeatureRetrieval, p *experiments.TextProbe){
		"color: no probes": func(f *experiments.FeatureRetrieval, _ *experiments.TextProbe) { f.Probes = nil },
		`color, "blue": no groups of components`: func(f *experiments.FeatureRetrieval, _ *experiments.TextProbe) {
			f.Groups = nil
		},
		`color, "blue": 1 groups have results, but there are 2`: func(_ *experiments.FeatureRetrieval, p *experiments.TextProbe) {
			p.Found = p.Found[1:]
		},
		`color, "blue": 1 shares for 2 groups`: func(_ *experiments.FeatureRetrieval, p *experiments.TextProbe) {
			p.Share = p.Share[1:]
		},
		`color, "blue": group 2: share NaN is not`: func(_ *experiments.FeatureRetrieval, p *experiments.TextProbe) {
			p.Share[1] = math.NaN()
		},
		`color, "blue": base 2 is not`:            func(_ *experiments.FeatureRetrieval, p *experiments.TextProbe) { p.Base = 2 },
		`color, "blue": group 1: nothing found`:   func(_ *experiments.FeatureRetrieval, p *experiments.TextProbe) { p.Found[0] = nil },
		`color, "blue": group 1: match 2 is pict`: func(_ *experiments.FeatureRetrieval, p *experiments.TextProbe) { p.Found[0][1].Picture = -7 },
		`color, "blue": group 2 has no component`: func(f *experiments.FeatureRetrieval, _ *experiments.TextProbe) { f.Groups[1].Components = nil },
		`color, "blue": group 1: picture 403 (scene): score is +Inf`: func(_ *experiments.FeatureRetrieval, p *experiments.TextProbe) {
			p.Found[0][2].Score, p.Found[0][2].Picture = math.Inf(1), 403
		},
	} {
		refuse(want, drawings{}, all, func(result *experiments.ModelTextRetrieval) {
			spoil(&result.Features[0], &result.Features[0].Probes[0])
		})
	}
	refuse("no features", drawings{}, all, func(s *experiments.ModelTextRetrieval) { s.Features = nil })

	numbered := func(s *experiments.ModelTextRetrieval) {
		for i := range s.Features[0].Probes[0].Found[0] {
			s.Features[0].Probes[0].Found[0][i] = experiments.Match{Picture: i, Name: fmt.Sprintf("n%d.jpg", i)}
		}
	}
	refuse("picture 0 (n0.jpg): no such file", lost{}, all, numbered)
	refuse("picture 1 (n1.jpg): it is empty", missing{1}, all, numbered)
	refuse("picture 2 (n2.jpg): it is empty", missing{2}, all, numbered)
}

// missing is an album in which one picture has no pixels.
type missing struct{ which int }

func (m missing) Image(i int) (image.Image, error) {
	if i != m.which {
		return plain{}.Image(i)
	}
	if i == 1 {
		return nil, nil
	}
	return image.NewGray(image.Rectangle{}), nil
}
