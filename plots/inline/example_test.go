package inline_test

import (
	"context"

	"vitdecompose/plots/inline"
)

// Without a browser a cell with controls is drawn once, with the values that they begin with.
func ExampleExplore() {
	lambda := inline.Slider("lambda", []float64{0, 0.1, 1, 10}, 1)
	model := inline.Select("model", []string{"deit-mini", "swin-mini"}, "deit-mini")
	inline.Check(inline.Explore(context.Background(), func(ctx context.Context, f *inline.Frame) error {
		f.Printf("%s with lambda %g", model.Value(), lambda.Value())
		return nil
	}, model, lambda))
	// Output: deit-mini with lambda 1
}
