package plots_test

import (
	"fmt"

	"vitdecompose/experiments/results"
	"vitdecompose/plots"
)

func ExampleMarkdown() {
	fmt.Print(plots.Markdown(results.Table{
		Header: []string{"model", "cosine", "P"},
		Rows:   [][]string{{"deit-mini", "0.82", "0.004"}, {"dinov2-mini", "-0.7", ""}},
	}))
	// Output:
	// | model       | cosine |     P |
	// | ----------- | -----: | ----: |
	// | deit-mini   |   0.82 | 0.004 |
	// | dinov2-mini |   -0.7 |       |
}
