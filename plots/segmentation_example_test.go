package plots_test

import (
	"fmt"
	"log"

	"vitdecompose/data"
	"vitdecompose/data/scenes"
	"vitdecompose/experiments"
	"vitdecompose/plots"
)

// sceneMasks are where the objects of the scenes of seed 7 are. The lowest rows of every third are not labelled.
type sceneMasks struct{}

func (sceneMasks) Mask(i int) (*data.Mask, error) {
	m := &data.Mask{Width: scenes.Size, Height: scenes.Size, Pix: make([]uint8, scenes.Size*scenes.Size)}
	for k, share := range scenes.Draw(7, uint64(i)).Mask {
		switch {
		case i%3 == 0 && k/scenes.Size > 56:
			m.Pix[k] = data.MaskIgnored
		case share > 127:
			m.Pix[k] = data.MaskObject
		}
	}
	return m, nil
}

// scored makes scores of methods that get worse in the order they come.
func scored(best float64, methods ...string) (scores []experiments.MethodScore) {
	for i, m := range methods {
		x := best - 0.06*float64(i)
		scores = append(scores, experiments.MethodScore{Method: m,
			SegmentationScore: experiments.SegmentationScore{PixelAccuracy: x, MIoU: x*x - 0.05, MAP: 0.1 + 0.9*x, Pictures: 1000}})
	}
	return scores
}

// segmented makes a model's examples: maps that are the better, the earlier a method comes.
func segmented(model string, scenesShown []int, methods ...string) experiments.ModelSegmentation {
	m := experiments.ModelSegmentation{Model: model, Blocks: "2..5", Pictures: 1000, Scores: scored(0.78, methods...)}
	for _, i := range scenesShown {
		e := experiments.SegmentationExample{Picture: i, Name: fmt.Sprintf("scene %d", i), Class: scenes.Classes[scenes.Sample(7, uint64(i)).Class]}
		for k, method := range methods {
			grid := 16 >> (k + 1)
			e.Maps = append(e.Maps, experiments.SegmentationMap{Method: method, Rows: grid, Columns: grid, Values: sceneMap(i, grid, 1, 0.8-0.2*float64(k))})
		}
		m.Examples = append(m.Examples, e)
	}
	return m
}

func ExampleSegmentation() {
	const ours, cam, chefer = experiments.ByDecomposition, experiments.ByGradCAM, experiments.ByChefer
	figure, err := plots.Segmentation(experiments.SegmentationResult{Models: []experiments.ModelSegmentation{
		{Model: "deit-mini", Pictures: 1000, Scores: scored(0.83, ours, chefer, cam)},
		{Model: "dino-mini", Pictures: 1000, Scores: scored(0.8, ours, chefer, cam)},
		{Model: "swin-mini", Pictures: 1000, Scores: scored(0.75, ours, cam)},
		{Model: "maxvit-mini", Pictures: 1000, Scores: scored(0.72, ours, cam)},
	}})
	if err != nil {
		log.Fatal(err)
	}
	// Writes testdata/segmentation.png, .svg and .pdf.
	if err := plots.Save(figure, "testdata/segmentation", figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
}

func ExampleSegmentation_one() {
	figure, err := plots.Segmentation(experiments.SegmentationResult{Models: []experiments.ModelSegmentation{
		segmented("deit-mini", nil, experiments.ByDecomposition, experiments.ByGradCAM, experiments.ByChefer),
	}})
	if err != nil {
		log.Fatal(err)
	}
	if err := plots.Save(figure, "testdata/segmentation_one", figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
}

func ExampleSegmentationSheet() {
	model := segmented("deit-mini", []int{12, 3}, experiments.ByDecomposition, experiments.ByGradCAM)
	figure, err := plots.SegmentationSheet(model, drawings{}, sceneMasks{}, plots.SegmentationSheetOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if err := plots.Save(figure, "testdata/segmentation_sheet", figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
}
