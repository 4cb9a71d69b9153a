package plots_test

import (
	"fmt"
	"log"
	"math"

	"vitdecompose/experiments"
	"vitdecompose/plots"
)

// birds makes a model that looks at the place the more the larger bias is, and less with components ablated.
func birds(model string, bias float64, steps int) experiments.ModelWaterbirds {
	m := experiments.ModelWaterbirds{Model: model, Ablated: 10}
	for k := range steps - 1 {
		m.Order = append(m.Order, experiments.BirdComponent{Component: fmt.Sprintf("layer:%02d, mlp", k), Spurious: 0.5, Core: 0.1})
	}
	for i, bird := range []string{"landbird", "waterbird"} {
		for j, place := range []string{"land", "water"} {
			g := experiments.BirdGroup{Bird: bird, Place: place, Pictures: 300}
			for k := range steps {
				left := bias * math.Exp(-float64(k)/6)
				accuracy := 0.94 - 0.04*float64(i) - 0.0016*float64(k)*float64(1+i)
				if i == j {
					accuracy += 0.1 * left
				} else {
					accuracy -= left * (1 + 0.3*float64(i))
				}
				g.Accuracy = append(g.Accuracy, min(1, accuracy))
			}
			m.Groups = append(m.Groups, g)
		}
	}
	return m
}

func ExampleWaterbirds() {
	figure, err := plots.Waterbirds(experiments.WaterbirdsResult{Models: []experiments.ModelWaterbirds{
		birds("deit-mini", 0.2, 31), birds("clip-mini", 0.35, 31), birds("swin-mini", 0.1, 25),
	}})
	if err != nil {
		log.Fatal(err)
	}
	// Writes testdata/waterbirds.png, .svg and .pdf.
	if err := plots.Save(figure, "testdata/waterbirds", figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
}

func ExampleWaterbirds_one() {
	result := experiments.WaterbirdsResult{Models: []experiments.ModelWaterbirds{birds("clip-mini", 0.35, 31)}}
	figure, err := plots.Waterbirds(result)
	if err != nil {
		log.Fatal(err)
	}
	if err := plots.Save(figure, "testdata/waterbirds_one", figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
}
