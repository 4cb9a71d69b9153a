package plots_test

import (
	"fmt"
	"log"

	"vitdecompose/data/scenes"
	"vitdecompose/experiments"
	"vitdecompose/plots"
)

// nearest looks for scenes that are like one.
func nearest(feature string, components []string, probe int, same func(a, b scenes.Spec) bool) experiments.PropertySearch {
	search := experiments.PropertySearch{Feature: feature, Components: components}
	for i := 0; len(search.Found) < 3; i++ {
		alike := same(scenes.Sample(7, uint64(i)), scenes.Sample(7, uint64(probe)))
		if i != probe && alike == (len(search.Found) != 2) {
			score := 0.97 - 0.04*float64(len(search.Found))
			search.Found = append(search.Found, experiments.Match{Picture: i, Name: "scene", Score: score, True: &alike})
		}
	}
	share, base := 2.0/3, 0.2
	search.Share, search.Base = &share, &base
	return search
}

func ExampleImageRetrieval() {
	result := experiments.ModelImageRetrieval{Model: "maxvit-mini", Pictures: 10000}
	many := []string{"layer:(2,1), conv", "layer:(2,1), grid attn_head:01", "layer:(1,0), block mlp"}
	for head := range 9 {
		many = append(many, fmt.Sprintf("layer:(2,0), block attn_head:%02d", head))
	}
	for i, p := range []int{3, 12} {
		searches := []experiments.PropertySearch{
			nearest("color", many, p, func(a, b scenes.Spec) bool { return a.Colour == b.Colour }),
			nearest("pattern", many[:1], p, func(a, b scenes.Spec) bool { return a.Pattern == b.Pattern }),
			nearest("location", many[:3], p, func(a, b scenes.Spec) bool { return a.Place == b.Place }),
		}
		name := fmt.Sprintf("scene %d", p)
		result.Probes = append(result.Probes, experiments.ImageProbe{Picture: p, Name: name, Searches: searches[i:]})
	}
	figure, err := plots.ImageRetrieval(result, drawings{})
	if err != nil {
		log.Fatal(err)
	}
	if err := plots.Save(figure, "testdata/sheet_image", figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
}
