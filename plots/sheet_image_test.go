package plots_test

import (
	"bytes"
	"compress/zlib"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"vitdecompose/data/scenes"
	"vitdecompose/experiments"
	"vitdecompose/plots"
)

func TestImageRetrieval(t *testing.T) {
	checkGolden(t, map[string]func(){"sheet_image": ExampleImageRetrieval})
}

func alike(a, b scenes.Spec) bool { return a.Colour == b.Colour }

func probe(searches int) experiments.ImageProbe {
	p := experiments.ImageProbe{Picture: 3, Name: "scene 3"}
	for i := range searches {
		feature := []string{"color", "pattern", "location"}[i%3]
		p.Searches = append(p.Searches, nearest(feature, groupsOfThree[i%3].Components, 3, alike))
	}
	return p
}

func TestImageRetrievalSizes(t *testing.T) {
	unknown := probe(2)
	unknown.Name = strings.Repeat("a/long/path", 20)
	for i := range unknown.Searches {
		s := &unknown.Searches[i]
		s.Share, s.Base = nil, nil
		s.Components = slices.Repeat(s.Components, 40)
		for k := range s.Found {
			s.Found[k].True = nil
		}
	}
	noBase := probe(1)
	noBase.Searches[0].Base = nil
	for name, test := range map[string]struct {
		probes []experiments.ImageProbe
		best   int
	}{
		"one by one":     {[]experiments.ImageProbe{probe(1)}, 1},
		"seven":          {[]experiments.ImageProbe{probe(7), probe(2)}, 2},
		"unknown":        {[]experiments.ImageProbe{unknown}, 0},
		"base unknown":   {[]experiments.ImageProbe{noBase, unknown}, 0},
		"more than have": {[]experiments.ImageProbe{probe(3)}, 100},
	} {
		t.Run(name, func(t *testing.T) {
			sheet := experiments.ImageRetrievalSheet{Model: "m", Pictures: 100, Probes: test.probes}
			figure, err := plots.ImageRetrieval(sheet, photos{}, plots.ImageSheetOptions{Best: test.best})
			if err != nil {
				t.Fatal(err)
			}
			checkSaved(t, figure, figure.Width, figure.Height)
		})
	}
}

func TestImageRetrievalRefuses(t *testing.T) {
	ten := 10.0
	for want, spoil := range map[string]func(p *experiments.ImageProbe){
		"probe -1 (scene 3): no such picture": func(p *experiments.ImageProbe) { p.Picture = -1 },
		"probe 3 (scene 3): no properties":    func(p *experiments.ImageProbe) { p.Searches = nil },
		"probe 3 (scene 3): color: no compon": func(p *experiments.ImageProbe) { p.Searches[0].Components = nil },
		"probe 3 (scene 3): pattern: nothing": func(p *experiments.ImageProbe) { p.Searches[1].Found = nil },
		"probe 3 (scene 3): color: share 10 ": func(p *experiments.ImageProbe) { p.Searches[0].Share = &ten },
		"probe 3 (scene 3): color: base 10 i": func(p *experiments.ImageProbe) { p.Searches[0].Base = &ten },
		"probe 3 (scene 3): color: picture 12 (scene): score is NaN": func(p *experiments.ImageProbe) {
			p.Searches[0].Found[0].Picture, p.Searches[0].Found[0].Score = 12, math.NaN()
		},
	} {
		p := probe(2)
		spoil(&p)
		sheet := experiments.ImageRetrievalSheet{Model: "dino-mini", Probes: []experiments.ImageProbe{probe(1), p}}
		_, err := plots.ImageRetrieval(sheet, drawings{}, plots.ImageSheetOptions{})
		wantError(t, err, "image retrieval figure: dino-mini: "+want)
	}
	sheet := experiments.ImageRetrievalSheet{Model: "m"}
	_, err := plots.ImageRetrieval(sheet, drawings{}, plots.ImageSheetOptions{})
	wantError(t, err, "no probes")
	sheet.Probes = append(sheet.Probes, probe(1))
	_, err = plots.ImageRetrieval(sheet, nil, plots.ImageSheetOptions{})
	wantError(t, err, "no pictures to show")
	_, err = plots.ImageRetrieval(sheet, drawings{}, plots.ImageSheetOptions{Best: -1})
	wantError(t, err, "Best is -1")
	_, err = plots.ImageRetrieval(sheet, lost{}, plots.ImageSheetOptions{})
	wantError(t, err, "picture 3 (scene 3): no such file")
}

// In SVG and PDF too, the pictures are there, of their type, and upright.
func TestPicturesInVectorFormats(t *testing.T) {
	sheet := experiments.ImageRetrievalSheet{Model: "m", Probes: []experiments.ImageProbe{probe(2)}}
	figure, err := plots.ImageRetrieval(sheet, drawings{}, plots.ImageSheetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(t.TempDir(), "sheet")
	if err := plots.Save(figure, base, figure.Width, figure.Height); err != nil {
		t.Fatal(err)
	}
	svg, err := os.ReadFile(base + ".svg")
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(svg, []byte(`xlink:href="data:image/png;base64,iVBOR`)); got != 7 {
		t.Errorf("SVG holds %d pictures, want 7", got)
	}
	pdf, err := os.ReadFile(base + ".pdf")
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(pdf, []byte("/Subtype /Image")); got != 7 {
		t.Errorf("PDF holds %d pictures, want 7", got)
	}
	heights := pdfHeights(t, pdf)
	if len(heights) != 7 {
		t.Errorf("PDF draws %d pictures, want 7", len(heights))
	}
	for _, height := range heights {
		if height < 30 { // negative if upside down
			t.Errorf("PDF draws a picture %v points high, its axis upwards", height)
		}
	}
}

var pdfStream = regexp.MustCompile(`(?s)stream\n(.*?)\nendstream`)

// pdfHeights returns how high the pictures of a PDF are drawn, which is negative for those that are upside down.
func pdfHeights(t *testing.T, pdf []byte) (heights []float64) {
	for _, stream := range pdfStream.FindAllSubmatch(pdf, -1) {
		reader, err := zlib.NewReader(bytes.NewReader(stream[1]))
		if err != nil {
			continue
		}
		content, err := io.ReadAll(reader)
		if err != nil || !bytes.Contains(content, []byte(" Do")) {
			continue
		}
		scale, stack, numbers := 1.0, []float64(nil), []float64(nil)
		for word := range strings.FieldsSeq(string(content)) {
			if x, err := strconv.ParseFloat(word, 64); err == nil {
				numbers = append(numbers, x)
				continue
			}
			switch word {
			case "q":
				stack = append(stack, scale)
			case "Q":
				scale, stack = stack[len(stack)-1], stack[:len(stack)-1]
			case "cm":
				if numbers[1] == 0 { // text may be turned
					scale *= numbers[3]
				}
			case "Do":
				heights = append(heights, scale)
			}
			numbers = nil
		}
	}
	return heights
}
