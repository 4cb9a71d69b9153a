package notebook_test

import (
	"os"

	"vitdecompose/notebook"
)

// A notebook's cells, one after the other: the first one names model and pictures, each of the others asks something.
func Example() {
	dir, err := os.MkdirTemp("", "notebook")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	var model = notebook.Open(notebook.Options{Model: "deit-mini", Data: "scenes:8", CacheDir: dir})

	model.Picture(3).Show()

	lambda := notebook.Slider("lambda", []float64{0, 0.1, 1, 10}, 1)
	notebook.Explore(func(f *notebook.Frame) {
		f.Show(model.Ablation())
	}, lambda)
	// Output:
	// picture of 64 x 64 pixels
	// | class       | logit |
	// | ----------- | ----: |
	// | elephant    |   5.4 |
	// | hummingbird |   1.4 |
	// | camel       |  0.93 |
	//
	// what is in it: color: green, location: meadow, object: elephant, pattern: polka dot, shape: none
	// lambda: 1
	// figure of 3.35 x 2.59 inches
	// Layer ablation. Accuracy on 8 pictures as the components of deit-mini are replaced by their mean over the pictures, layer by layer: from the patches and position embeddings (init) forward, and from the last layer back. A line passes through every component; its marks are at whole layers. Dashed in grey: what classes drawn at random give.
}
