package plots_test

import (
	"image"
	"log"

	"vitdecompose/data/scenes"
	"vitdecompose/experiments"
	"vitdecompose/plots"
)

// drawings are the scenes of seed 7.
type drawings struct{}

func (drawings) Image(i int) (image.Image, error) {
	return scenes.Draw(7, uint64(i)).Picture().Image(), nil
}

// sought looks for scenes by what they show, and hits more seldom the higher the group.
func sought(text string, groups, best int, has func(scenes.Spec) bool) experiments.TextProbe {
	probe := experiments.TextProbe{Text: text, Base: 0.1}
	next := 100 * len(text)
	for g := range groups {
		var found []experiments.Match
		hits := 0
		for len(found) < best {
			next++
			shown := has(scenes.Sample(7, uint64(next)))
			if want := (len(found)+1)*(g+1)%4 != 0; shown != want {
				continue
			}
			if shown {
				hits++
			}
			score := 0.43 - 0.06*float64(g) - 0.013*float64(len(found))
			found = append(found, experiments.Match{Picture: next, Name: "scene", Score: score, True: &shown})
		}
		probe.Found = append(probe.Found, found)
		probe.Share = append(probe.Share, float64(hits)/float64(best))
	}
	return probe
}

var groupsOfThree = []experiments.ComponentGroup{
	{Components: []string{"layer:05, attn_head:03", "layer:05, mlp", "layer:04, attn_head:00"}},
	{Components: []string{"layer:(2,13), grid attn_head:11", "layer:(2,14), block attn_head:02", "layer:(2,13), conv"}},
	{Components: []string{"layer:03, attns", "init", "const"}},
}

func ExampleTextRetrieval() {
	feature := func(name, text string, has func(scenes.Spec) bool) experiments.FeatureRetrieval {
		return experiments.FeatureRetrieval{Feature: name, Groups: groupsOfThree,
			Probes: []experiments.TextProbe{sought(text, 3, 3, has)}}
	}
	result := experiments.ModelTextRetrieval{Model: "deit-mini", Pictures: 6400, Features: []experiments.FeatureRetrieval{
		feature("color", "blue color", func(s scenes.Spec) bool { return s.Colour == "blue" }),
		feature("location", "beach", func(s scenes.Spec) bool { return s.Place == "beach" }),
		feature("animal", "cat", func(s scenes.Spec) bool { return scenes.Classes[s.Class] == "cat" }),
		feature("pattern", "checkered pattern", func(s scenes.Spec) bool { return s.Pattern == "checkered" }),
	}}
	figure, err := plots.TextRetrieval(result, drawings{}, plots.TextRetrievalOptions{Groups: 2})
	if err != nil {
		log.Fatal(err)
	}
	// Writes testdata/sheet_text.png, .svg and .pdf.
	if err := plots.Save(figure, "testdata/sheet_text", figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
}
