package plots_test

import (
	"fmt"
	"log"
	"testing"

	"gonum.org/v1/plot/vg"

	"vitdecompose/experiments"
	"vitdecompose/plots"
)

func ExampleParseWidth() {
	for _, text := range []string{"column", "page", "120mm", "wide"} {
		width, err := plots.ParseWidth(text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%.1f mm\n", width/vg.Millimeter)
	}
	// Output:
	// 85.1 mm
	// 176.5 mm
	// 120.0 mm
	// width "wide" is not column, page or a number of millimetres such as 120mm
}

// A sheet for a page becomes one for a column.
func ExampleSaveAt() {
	heads := []string{"layer:05, attn_head:03", "layer:05, attn_head:01", "layer:04, attn_head:00"}
	var panels []experiments.HeatmapPanel
	for i, text := range []string{"blue color", "forest", "spotted pattern", "a bird in flight"} {
		panels = append(panels, panel(text, "", heads, 8, sceneMap(mapped, 8, 1, 0.01*float64(i+1))))
	}
	result := experiments.ModelHeatmaps{Model: "deit-mini", Pictures: []experiments.HeatmapPicture{
		{Picture: mapped, Name: fmt.Sprintf("scene %d", mapped), Unit: experiments.UnitText, Panels: panels},
	}}
	figure, err := plots.Heatmaps(result, drawings{}, plots.HeatmapOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if err := plots.SaveAt(figure, "testdata/heatmap_column", plots.ColumnWidth); err != nil {
		log.Fatal(err)
	}
}

func ExampleSaveAt_panels() {
	models := []experiments.ModelCausalTest{tested("deit-mini", 0.3), tested("swin-mini", 0.5), tested("maxvit-mini", 0.1)}
	figure, err := plots.Causal(experiments.CausalResult{Models: models})
	if err != nil {
		log.Fatal(err)
	}
	if err := plots.SaveAt(figure, "testdata/causal_column", plots.ColumnWidth); err != nil {
		log.Fatal(err)
	}
}

func TestSaveAt(t *testing.T) {
	checkGolden(t, map[string]func(){"heatmap_column": ExampleSaveAt, "causal_column": ExampleSaveAt_panels})
}
