package plots_test

import (
	"strings"
	"testing"

	"vitdecompose/experiments"
	"vitdecompose/plots"
)

func TestAblation(t *testing.T) {
	checkGolden(t, map[string]func(){
		"ablation_one":    ExampleAblation,
		"ablation_models": ExampleAblation_models,
	})
}

// Whatever is asked for, the figure fits on its canvas: names of any length, any number of models, and what is on the
// canvas is drawn.
func TestAblationSizes(t *testing.T) {
	one := drawn("m", 1, 1, 1, 0.5)
	one.Order, one.FromInit, one.FromLast = one.Order[:1], one.FromInit[:2], one.FromLast[:2]
	var many []experiments.AblationCurve
	for i := range 40 {
		many = append(many, drawn(strings.Repeat("m", i+1), 12, 2, 0.8, 0.5))
	}
	for name, curves := range map[string][]experiments.AblationCurve{
		"init alone":          {one},
		"a name off the page": {drawn(strings.Repeat("long", 100), 2, 2, 0.5, 0.5), one},
		"forty models":        many,
		"two of one name":     {one, one},
	} {
		t.Run(name, func(t *testing.T) {
			figure, err := plots.Ablation(experiments.AblationResult{Curves: curves})
			if err != nil {
				t.Fatal(err)
			}
			wantWidth := plots.PageWidth
			if len(curves) == 1 {
				wantWidth = plots.ColumnWidth
			}
			if figure.Width != wantWidth {
				t.Errorf("width %v, want %v", figure.Width, wantWidth)
			}
			if figure.Height <= 0 {
				t.Errorf("height %v", figure.Height)
			}
			if err := plots.Save(figure, t.TempDir()+"/figure", figure.Width, figure.Height); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAblationRefuses(t *testing.T) {
	spoilt := drawn("deit-mini", 6, 2, 0.9, 0.5)
	spoilt.FromLast = spoilt.FromLast[1:]
	for name, test := range map[string]struct {
		result experiments.AblationResult
		want   string
	}{
		"nothing to draw":   {experiments.AblationResult{}, "no curves"},
		"a number too few":  {experiments.AblationResult{Curves: []experiments.AblationCurve{spoilt}}, `ablation of "deit-mini": 13 accuracies from_last`},
		"one bad of two":    {experiments.AblationResult{Curves: []experiments.AblationCurve{drawn("ok", 1, 1, 1, 1), spoilt}}, "deit-mini"},
		"without any order": {experiments.AblationResult{Curves: []experiments.AblationCurve{{Model: "x"}}}, "no components"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := plots.Ablation(test.result)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}
