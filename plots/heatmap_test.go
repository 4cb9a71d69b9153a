package plots_test

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
	"strings"
	"testing"

	"vitdecompose/experiments"
	"vitdecompose/plots"
)

func TestHeatmaps(t *testing.T) {
	checkGolden(t, map[string]func(){"heatmap": ExampleHeatmaps, "heatmap_contact": ExampleHeatmapContact})
}

// flat is a panel whose map has one value.
func flat(text string, rows, columns int, value float32, components ...string) experiments.HeatmapPanel {
	return experiments.HeatmapPanel{Text: text, Components: components, Rows: rows, Columns: columns, Limit: 0.5,
		Values: slices.Repeat([]float32{value}, rows*columns)}
}

func TestHeatmapsSizes(t *testing.T) {
	many := experiments.HeatmapPicture{Picture: 2, Name: strings.Repeat("a/long/path", 20)}
	for i := range 9 {
		p := flat(strings.Repeat("text\n", i+1), i+1, 2*i+1, 0.3, slices.Repeat([]string{"layer:(2,3), grid attn_head:01"}, 5*i+1)...)
		p.Feature = strings.Repeat("f", 3*i)
		p.Limit = 0.1 * float64(1+i/3)
		p.Others = -0.02
		many.Panels = append(many.Panels, p)
	}
	one := func(picture int, p experiments.HeatmapPanel) experiments.HeatmapPicture {
		return experiments.HeatmapPicture{Picture: picture, Panels: []experiments.HeatmapPanel{p}}
	}
	nothing := flat("nothing", 2, 2, 0, "init")
	nothing.Limit = 0
	for name, test := range map[string]struct {
		pictures []experiments.HeatmapPicture
		opts     plots.HeatmapOptions
	}{
		"many":  {[]experiments.HeatmapPicture{many, one(0, flat("t", 7, 7, 9, "init"))}, plots.HeatmapOptions{}},
		"zeros": {[]experiments.HeatmapPicture{one(4, nothing)}, plots.HeatmapOptions{Columns: 1}},
		"fewer": {[]experiments.HeatmapPicture{one(1, flat("t", 3, 2, 0, "init")), many}, plots.HeatmapOptions{Pictures: 1, Columns: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := experiments.ModelHeatmaps{Model: strings.Repeat("model", 50), Pictures: test.pictures}
			figure, err := plots.Heatmaps(result, photos{}, test.opts)
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

// blank is an album of white squares.
type blank struct{}

func (blank) Image(int) (image.Image, error) {
	picture := image.NewGray(image.Rect(0, 0, 8, 8))
	for i := range picture.Pix {
		picture.Pix[i] = 0xff
	}
	return picture, nil
}

// pixels counts the pixels of each colour.
func pixels(picture image.Image) map[color.RGBA]int {
	counts := make(map[color.RGBA]int)
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			counts[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)]++
		}
	}
	return counts
}

// Over white, a panel is as red or as blue as the end of its bar where it reaches the limit or passes it, and white where
// it is 0.
func TestHeatmapsColours(t *testing.T) {
	result := experiments.ModelHeatmaps{Model: "m", Pictures: []experiments.HeatmapPicture{{Panels: []experiments.HeatmapPanel{
		flat("plus", 2, 2, 0.5, "init"), flat("minus", 2, 2, -7, "init"), flat("zero", 2, 2, 0, "init"),
	}}}}
	figure, err := plots.Heatmaps(result, blank{}, plots.HeatmapOptions{})
	if err != nil {
		t.Fatal(err)
	}
	counts := pixels(saved(t, figure, figure.Width, figure.Height))
	const side = 116.9 * plots.PNGResolution / 72 // the picture and three panels fill the page
	for name, c := range map[string]color.RGBA{"red": {172, 25, 31, 255}, "blue": {33, 93, 165, 255}} {
		if got := counts[c]; math.Abs(float64(got)-side*side) > 0.03*side*side {
			t.Errorf("%d pixels are %s, want about %.0f", got, name, side*side)
		}
	}
}

func TestHeatmapsRefuse(t *testing.T) {
	refuse := func(want string, album plots.Album, opts plots.HeatmapOptions, spoil func(s *experiments.ModelHeatmaps)) {
		t.Helper()
		result := experiments.ModelHeatmaps{Model: "deit-mini", Pictures: []experiments.HeatmapPicture{{Picture: 3, Name: "scene 3",
			Panels: []experiments.HeatmapPanel{flat("red", 2, 3, 0.1, "init"), flat("blue", 2, 3, 0.1, "init")}}}}
		spoil(&result)
		_, err := plots.Heatmaps(result, album, opts)
		wantError(t, err, "heatmap figure: deit-mini: "+want)
	}
	none, as := plots.HeatmapOptions{}, func(*experiments.ModelHeatmaps) {}
	refuse("no pictures to show", nil, none, as)
	refuse("Pictures is -1", drawings{}, plots.HeatmapOptions{Pictures: -1}, as)
	refuse("Columns is -1", drawings{}, plots.HeatmapOptions{Columns: -1}, as)
	refuse("11 columns, at most 10", drawings{}, plots.HeatmapOptions{Columns: 11}, as)
	refuse("picture 3 (scene 3): no such file", lost{}, none, as)
	refuse("no pictures", drawings{}, none, func(s *experiments.ModelHeatmaps) { s.Pictures = nil })
	for want, spoil := range map[string]func(p *experiments.HeatmapPicture){
		"picture -1 (scene 3): no such picture": func(p *experiments.HeatmapPicture) { p.Picture = -1 },
		"picture 3 (scene 3): no panels":        func(p *experiments.HeatmapPicture) { p.Panels = nil },
		"picture 3 (scene 3): panel 2 (): no t": func(p *experiments.HeatmapPicture) { p.Panels[1].Text = "" },
		"picture 3 (scene 3): panel 1 (red): n": func(p *experiments.HeatmapPicture) { p.Panels[0].Components = nil },
		"picture 3 (scene 3): panel 1 (red): 6 values for a grid of 3 x 3": func(p *experiments.HeatmapPicture) {
			p.Panels[0].Rows = 3
		},
		"picture 3 (scene 3): panel 1 (red): 6 values for a grid of -2 x -3": func(p *experiments.HeatmapPicture) {
			p.Panels[0].Rows, p.Panels[0].Columns = -2, -3
		},
		"picture 3 (scene 3): panel 1 (red): 0 values for a grid of 4294967296 x 4294967296": func(p *experiments.HeatmapPicture) {
			p.Panels[0].Rows, p.Panels[0].Columns, p.Panels[0].Values = 1<<32, 1<<32, nil
		},
		"picture 3 (scene 3): panel 1 (red): row 1, column 1 is NaN": func(p *experiments.HeatmapPicture) {
			p.Panels[0].Values[4] = float32(math.NaN())
		},
		"picture 3 (scene 3): panel 2 (blue): others is +Inf": func(p *experiments.HeatmapPicture) { p.Panels[1].Others = math.Inf(1) },
		"picture 3 (scene 3): panel 2 (blue): limit is NaN":   func(p *experiments.HeatmapPicture) { p.Panels[1].Limit = math.NaN() },
		"picture 3 (scene 3): panel 2 (blue): limit is -0.5":  func(p *experiments.HeatmapPicture) { p.Panels[1].Limit = -0.5 },
		"picture 3 (scene 3): panel 2 (blue): limit is 0":     func(p *experiments.HeatmapPicture) { p.Panels[1].Limit = 0 },
	} {
		refuse(want, drawings{}, none, func(s *experiments.ModelHeatmaps) { spoil(&s.Pictures[0]) })
	}
}

// heads makes panels for heads of some layers.
func heads(layers []string, each int) (panels []experiments.HeatmapPanel) {
	for _, layer := range layers {
		for h := range each {
			panels = append(panels, flat("a red bird", 2, 2, float32(h)/64, fmt.Sprintf("%sattn_head:%02d", layer, h)))
		}
	}
	return panels
}

func TestHeatmapContactSizes(t *testing.T) {
	plain := heads([]string{"layer:07, ", "layer:08, "}, 12)
	plain = append(plain, flat("a red bird", 2, 2, 0.1, "layer:08, mlp"), flat("a red bird", 2, 2, 0.1, "init"))
	swin := append(heads([]string{"layer:(2,17), "}, 16), heads([]string{"layer:(3,0), "}, 32)...)
	uneven := heads([]string{"layer:(0,1), block ", "layer:(0,1), grid "}, 3)
	for i := range uneven {
		uneven[i].Limit = 0.1 * float64(1+i%2)
		uneven[i].Others = -12345
	}
	for name, panels := range map[string][]experiments.HeatmapPanel{
		"plain": plain, "swin": swin, "uneven": uneven, "one": plain[len(plain)-1:],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			picture := experiments.HeatmapPicture{Picture: 3, Name: strings.Repeat("name", 40), Panels: panels}
			figure, err := plots.HeatmapContact("m", picture, photos{})
			if err != nil {
				t.Fatal(err)
			}
			checkSaved(t, figure, figure.Width, figure.Height)
		})
	}
}

func TestHeatmapContactRefuses(t *testing.T) {
	refuse := func(want string, album plots.Album, spoil func(p *experiments.HeatmapPicture)) {
		t.Helper()
		picture := experiments.HeatmapPicture{Picture: 3, Name: "scene 3", Panels: heads([]string{"layer:07, "}, 3)}
		spoil(&picture)
		_, err := plots.HeatmapContact("deit-mini", picture, album)
		wantError(t, err, "heatmap contact sheet: deit-mini: "+want)
	}
	refuse("no pictures to show", nil, func(*experiments.HeatmapPicture) {})
	refuse("picture 3 (scene 3): no such file", lost{}, func(*experiments.HeatmapPicture) {})
	for want, spoil := range map[string]func(p *experiments.HeatmapPicture){
		"picture 3 (scene 3): no panels": func(p *experiments.HeatmapPicture) { p.Panels = nil },
		"picture 3 (scene 3): panel 2 has 2 components, a contact sheet shows one in each": func(p *experiments.HeatmapPicture) {
			p.Panels[1].Components = append(p.Panels[1].Components, "init")
		},
		`picture 3 (scene 3): panel 2: "a head" does not name a component`: func(p *experiments.HeatmapPicture) {
			p.Panels[1].Components = []string{"a head"}
		},
		`picture 3 (scene 3): component "layer:07, attn_head:00" twice`: func(p *experiments.HeatmapPicture) {
			p.Panels[1].Components = p.Panels[0].Components
		},
		`picture 3 (scene 3): panels of "a red bird" and "sea": a contact sheet has one text`: func(p *experiments.HeatmapPicture) {
			p.Panels[2].Text = "sea"
		},
		"picture 3 (scene 3): panel 2 (a red bird): limit is 0": func(p *experiments.HeatmapPicture) { p.Panels[1].Limit = 0 },
	} {
		refuse(want, drawings{}, spoil)
	}
}
