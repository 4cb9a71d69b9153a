package plots_test

import (
	"fmt"
	"log"
	"math"

	"vitdecompose/data/scenes"
	"vitdecompose/experiments"
	"vitdecompose/plots"
)

// mapped is the scene of seed 7 that examples show maps of.
const mapped = 12

// sceneMap makes a map that is high on the object of a scene, or low on it where sign is -1, as components that read colours
// or places have them.
func sceneMap(scene, grid int, sign, strength float64) (values []float32) {
	mask := scenes.Draw(7, uint64(scene)).Mask
	cell := scenes.Size / grid
	for i := range grid * grid {
		inside := 0.0
		for k := range cell * cell {
			inside += float64(mask[(i/grid*cell+k/cell)*scenes.Size+i%grid*cell+k%cell]) / 255
		}
		share := inside / float64(cell*cell)
		values = append(values, float32(strength*(sign*(share-0.25)+0.2*math.Sin(float64(7*i)))))
	}
	return values
}

func panel(text, feature string, components []string, grid int, values []float32) experiments.HeatmapPanel {
	p := experiments.HeatmapPanel{Feature: feature, Text: text, Components: components, Rows: grid, Columns: grid, Values: values, Others: 0.021}
	for _, v := range values {
		p.Limit = max(p.Limit, math.Abs(float64(v)))
	}
	return p
}

func ExampleHeatmaps() {
	heads := []string{"layer:05, attn_head:03", "layer:05, attn_head:01", "layer:04, attn_head:00"}
	result := experiments.ModelHeatmaps{Model: "deit-mini"}
	for i, scene := range []int{mapped, 3} {
		panels := []experiments.HeatmapPanel{
			panel("blue color", "color", heads, 8, sceneMap(scene, 8, 1, 0.02)),
			panel("red color", "color", heads, 8, sceneMap(scene, 8, -1, 0.01)),
			panel("forest", "location", heads[:1], 8, sceneMap(scene, 8, -1, 0.02)),
			panel("spotted pattern", "pattern", heads[1:], 8, sceneMap(scene, 8, 1, 0.006)),
			panel("a bird in flight", "", heads[2:], 8, sceneMap(scene, 8, 1, 0.03)),
		}
		panels[1].Limit = panels[0].Limit
		yes, no := true, false
		panels[0].True, panels[1].True, panels[2].True = &yes, &no, &yes
		panels[1].Has = "blue color"
		p := experiments.HeatmapPicture{Picture: scene, Name: fmt.Sprintf("scene %d", scene), Unit: experiments.UnitText, Panels: panels[:5-3*i]}
		result.Pictures = append(result.Pictures, p)
	}
	figure, err := plots.Heatmaps(result, drawings{}, plots.HeatmapOptions{})
	if err != nil {
		log.Fatal(err)
	}
	// Writes testdata/heatmap.png, .svg and .pdf.
	if err := plots.Save(figure, "testdata/heatmap", figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
}

// everyHead makes a panel for each component of some blocks of a staged model: heads of two attentions, their MLPs, a
// convolution.
func everyHead(text string, heads ...int) experiments.HeatmapPicture {
	p := experiments.HeatmapPicture{Picture: mapped, Name: "scene 12", Unit: experiments.UnitClass}
	add := func(component string, grid, i int) {
		values := sceneMap(mapped, grid, math.Cos(float64(3*i)), 0.01)
		p.Panels = append(p.Panels, panel(text, "", []string{component}, grid, values))
	}
	for stage, n := range heads {
		add(fmt.Sprintf("layer:(%d,0), conv", stage), 16>>stage, n)
		for _, sublayer := range []string{"block", "grid"} {
			for h := range n {
				add(fmt.Sprintf("layer:(%d,0), %s attn_head:%02d", stage, sublayer, h), 16>>stage, h)
			}
			add(fmt.Sprintf("layer:(%d,0), %s mlp", stage, sublayer), 16>>stage, n+1)
		}
	}
	for i := range p.Panels {
		p.Panels[i].Limit = 0.01
	}
	return p
}

func ExampleHeatmapContact() {
	figure, err := plots.HeatmapContact("maxvit-mini", everyHead("blue color", 1, 3), drawings{})
	if err != nil {
		log.Fatal(err)
	}
	if err := plots.Save(figure, "testdata/heatmap_contact", figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
}
