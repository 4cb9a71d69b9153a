package plots_test

import (
	"math"
	"strings"
	"testing"

	"vitdecompose/experiments"
	"vitdecompose/plots"
)

func TestSweep(t *testing.T) {
	checkGolden(t, map[string]func(){"sweep": ExampleSweep})
}

func TestSweepSizes(t *testing.T) {
	var many []experiments.SweepCurve
	var dense []float64
	for i := range 40 {
		dense = append(dense, math.Pow(1.3, float64(i-20)))
	}
	for i := range 30 {
		many = append(many, swept(strings.Repeat("m", 3*i+1), 0.8, dense...))
	}
	orthogonal := swept("m", 0.8, 0, 1)
	for i := range orthogonal.Points {
		p := &orthogonal.Points[i]
		p.Orthogonality, p.Least, p.Most = 0, 0, 0
	}
	for name, curves := range map[string][]experiments.SweepCurve{
		"0 alone":      {swept("m", 0.8, 0)},
		"1 alone":      {swept("m", 0.8, 1)},
		"0 and 1":      {swept("m", 0.8, 0, 1)},
		"without 0":    {swept("m", 0.8, 0.1, 1, 10)},
		"of different": {swept("m", 0.8, 0, 10), swept("n", 0.8, 0.001, 2), swept("o", 0.8, 0)},
		"no distance":  {orthogonal},
		"many":         many,
	} {
		t.Run(name, func(t *testing.T) {
			figure, err := plots.Sweep(experiments.SweepResult{Curves: curves})
			if err != nil {
				t.Fatal(err)
			}
			checkSaved(t, figure, figure.Width, figure.Height)
		})
	}
}

func TestSweepRefuses(t *testing.T) {
	for want, spoil := range map[string]func(c *experiments.SweepCurve){
		"no points":                          func(c *experiments.SweepCurve) { c.Points = nil },
		"lambda -1 after":                    func(c *experiments.SweepCurve) { c.Points[0].Lambda = -1 },
		"lambda 0.1 after 0.1":               func(c *experiments.SweepCurve) { c.Points[2].Lambda = 0.1 },
		"lambda is +Inf":                     func(c *experiments.SweepCurve) { c.Points[2].Lambda = math.Inf(1) },
		"lambda 0: cosine similarity NaN":    func(c *experiments.SweepCurve) { c.Points[0].Cosine = math.NaN() },
		"lambda 1: orthogonality is +Inf":    func(c *experiments.SweepCurve) { c.Points[2].Orthogonality = math.Inf(1) },
		"lambda 1: least orthogonality is N": func(c *experiments.SweepCurve) { c.Points[2].Least = math.NaN() },
		"lambda 0: orthogonality 1, from 3 to 2": func(c *experiments.SweepCurve) {
			c.Points[0].Orthogonality, c.Points[0].Least, c.Points[0].Most = 1, 3, 2
		},
	} {
		c := swept("swin-mini", 0.8, 0, 0.1, 1)
		spoil(&c)
		_, err := plots.Sweep(experiments.SweepResult{Curves: []experiments.SweepCurve{swept("a", 0.8, 0, 1), c}})
		wantError(t, err, "sweep figure: swin-mini: "+want)
	}
	_, err := plots.Sweep(experiments.SweepResult{})
	wantError(t, err, "sweep figure: no curves")
}
