package plots_test

import (
	"math"
	"slices"
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
	if testing.Short() {
		t.Skip("draws many pictures; not with -short")
	}
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
	one := probe(1)
	one.Searches[0].Found = one.Searches[0].Found[:1]
	for name, probes := range map[string][]experiments.ImageProbe{
		"one by one":   {one},
		"seven":        {probe(7), probe(2)},
		"unknown":      {unknown},
		"base unknown": {noBase, unknown},
		"three":        {probe(3)},
	} {
		t.Run(name, func(t *testing.T) {
			result := experiments.ModelImageRetrieval{Model: "m", Pictures: 100, Probes: probes}
			figure, err := plots.ImageRetrieval(result, photos{})
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
		result := experiments.ModelImageRetrieval{Model: "dino-mini", Probes: []experiments.ImageProbe{probe(1), p}}
		_, err := plots.ImageRetrieval(result, drawings{})
		wantError(t, err, "image retrieval figure: dino-mini: "+want)
	}
	result := experiments.ModelImageRetrieval{Model: "m"}
	_, err := plots.ImageRetrieval(result, drawings{})
	wantError(t, err, "no probes")
	result.Probes = append(result.Probes, probe(1))
	_, err = plots.ImageRetrieval(result, nil)
	wantError(t, err, "no pictures to show")
	_, err = plots.ImageRetrieval(result, lost{})
	wantError(t, err, "picture 3 (scene 3): no such file")
}
