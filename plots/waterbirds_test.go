package plots_test

import (
	"math"
	"strings"
	"testing"

	"vitdecompose/experiments"
	"vitdecompose/plots"
)

func TestWaterbirds(t *testing.T) {
	checkGolden(t, map[string]func(){"waterbirds": ExampleWaterbirds, "waterbirds_one": ExampleWaterbirds_one})
}

func TestWaterbirdsSizes(t *testing.T) {
	var many []experiments.ModelWaterbirds
	for i := range 5 {
		m := birds(strings.Repeat("m", 6*i+1), 0.1*float64(i), 30*i+12)
		m.Ablated = i
		many = append(many, m)
	}
	nothing := birds("nothing ablated", 0.2, 1)
	nothing.Ablated = 0
	lost := birds("all wrong", 0.2, 11)
	for i := range lost.Groups {
		lost.Groups[i].Accuracy = make([]float64, 11)
	}
	two := birds("two groups", 0.2, 11)
	two.Groups = two.Groups[1:3]
	for name, models := range map[string][]experiments.ModelWaterbirds{
		"many": many, "nothing ablated": {nothing}, "all wrong": {lost, nothing}, "two groups": {two},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			figure, err := plots.Waterbirds(experiments.WaterbirdsResult{Models: models})
			if err != nil {
				t.Fatal(err)
			}
			checkSaved(t, figure, figure.Width, figure.Height)
		})
	}
}

func TestWaterbirdsRefuses(t *testing.T) {
	for want, spoil := range map[string]func(m *experiments.ModelWaterbirds){
		"no groups":                      func(m *experiments.ModelWaterbirds) { m.Groups = nil },
		"no accuracies":                  func(m *experiments.ModelWaterbirds) { m.Groups[0].Accuracy = nil },
		"21 accuracies for 3 components": func(m *experiments.ModelWaterbirds) { m.Order = m.Order[:3] },
		"landbird on water: 20 accuracies, other groups have 21": func(m *experiments.ModelWaterbirds) { m.Groups[1].Accuracy = m.Groups[1].Accuracy[1:] },
		"landbird on land twice":                                 func(m *experiments.ModelWaterbirds) { m.Groups[1].Place = "land" },
		"21 components ablated of 20":                            func(m *experiments.ModelWaterbirds) { m.Ablated = 21 },
		"-1 components ablated of 20":                            func(m *experiments.ModelWaterbirds) { m.Ablated = -1 },
		"waterbird on land, 2 components ablated: accuracy NaN":  func(m *experiments.ModelWaterbirds) { m.Groups[2].Accuracy[2] = math.NaN() },
		"landbird on land, 1 component ablated: accuracy 95 is":  func(m *experiments.ModelWaterbirds) { m.Groups[0].Accuracy[1] = 95 },
	} {
		m := birds("swin-mini", 0.2, 21)
		spoil(&m)
		_, err := plots.Waterbirds(experiments.WaterbirdsResult{Models: []experiments.ModelWaterbirds{birds("a", 0.1, 31), m}})
		wantError(t, err, "waterbirds figure: swin-mini: "+want)
	}
	_, err := plots.Waterbirds(experiments.WaterbirdsResult{})
	wantError(t, err, "waterbirds figure: no models")
	m := birds("a", 0.2, 21)
	m.Groups[3].Place = "the moon"
	_, err = plots.Waterbirds(experiments.WaterbirdsResult{Models: []experiments.ModelWaterbirds{m}})
	wantError(t, err, "waterbirds figure: 2 kinds of birds and 3 of places: the figure shows 2 of each")
}
