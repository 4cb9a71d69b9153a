package experiments

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vitdecompose/experiments/results"
)

func TestAblationLayers(t *testing.T) {
	tests := []struct {
		name          string
		order         []string
		forward, back []float64
	}{
		{"ViT", []string{"init", "layer:00, mlp", "layer:00, attns", "layer:01, mlp", "layer:01, attns"},
			[]float64{0, 1, 1.5, 2, 2.5, 3}, []float64{0, 0.5, 1, 1.5, 2, 3}},
		{"staged, with conv", []string{"init", "layer:(2,14), mlp", "layer:(2,14), attns", "layer:(2,14), conv", "layer:(2,14), grid attns"},
			[]float64{0, 1, 1.25, 1.5, 1.75, 2}, []float64{0, 0.25, 0.5, 0.75, 1, 2}},
		{"init alone", []string{"init"}, []float64{0, 1}, []float64{0, 1}},
		{"nothing", nil, []float64{0}, []float64{0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			curve := AblationCurve{Order: test.order}
			if diff := cmp.Diff(test.forward, curve.Layers()); diff != "" {
				t.Errorf("from init (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.back, curve.LayersBack()); diff != "" {
				t.Errorf("from the last layer back (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAblationCheck(t *testing.T) {
	good := AblationCurve{Model: "m", Order: []string{"init"}, FromInit: []float64{1, 0}, FromLast: []float64{1, 0.5}}
	if err := good.Check(); err != nil {
		t.Errorf("a good curve: %v", err)
	}
	for name, test := range map[string]struct {
		spoil func(*AblationCurve)
		want  string
	}{
		"no components":   {func(c *AblationCurve) { c.Order = nil }, "no components"},
		"too few numbers": {func(c *AblationCurve) { c.FromLast = c.FromLast[:1] }, "1 accuracies from_last for 1 components, want 2"},
		"NaN":             {func(c *AblationCurve) { c.FromInit = []float64{1, math.NaN()} }, "NaN with 1 components ablated (from_init)"},
		"chance":          {func(c *AblationCurve) { c.Chance = 8.3 }, "chance 8.3 is not between 0 and 1"},
		"percent":         {func(c *AblationCurve) { c.FromInit = []float64{83.9, 1} }, "83.9 with 0 components"},
	} {
		t.Run(name, func(t *testing.T) {
			curve := good
			test.spoil(&curve)
			err := curve.Check()
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), `"m"`) {
				t.Errorf("Check() = %v, want an error about %q that names the model", err, test.want)
			}
		})
	}
}

func TestAblationTable(t *testing.T) {
	table := AblationResult{Curves: []AblationCurve{{
		Model:    "deit-mini",
		Pictures: 4,
		Order:    []string{"init", "layer:00, mlp", "layer:00, attns"},
		FromInit: []float64{1, 0.75, 0.75, 0.25},
		FromLast: []float64{1, 0.5, 0.25, 0.25},
	}}}.Table()
	want := results.Table{
		Header: []string{"model", "pictures", "direction", "components_ablated", "layers_ablated", "last_ablated", "accuracy"},
		Rows: [][]string{
			{"deit-mini", "4", "from_init", "0", "0", "", "1"},
			{"deit-mini", "4", "from_init", "1", "1", "init", "0.75"},
			{"deit-mini", "4", "from_init", "2", "1.5", "layer:00, mlp", "0.75"},
			{"deit-mini", "4", "from_init", "3", "2", "layer:00, attns", "0.25"},
			{"deit-mini", "4", "from_last", "0", "0", "", "1"},
			{"deit-mini", "4", "from_last", "1", "0.5", "layer:00, attns", "0.5"},
			{"deit-mini", "4", "from_last", "2", "1", "layer:00, mlp", "0.25"},
			{"deit-mini", "4", "from_last", "3", "2", "init", "0.25"},
		},
	}
	if diff := cmp.Diff(want, table); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}
