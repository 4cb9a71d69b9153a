package decompose_test

import (
	"context"
	"fmt"

	"vitdecompose/decompose"
)

func ExampleAlign() {
	// Contributions [component, picture, dim] and CLIP's embeddings of the same pictures: here made so that the sum of both
	// components, with its axes exchanged, is the embedding.
	c := &decompose.Contributions{Components: []string{"layer:00, mlp", "layer:01, mlp"}, Pictures: 4, Dim: 2, Values: []float32{
		1, 0, -1, 0, 0.5, 0, -0.5, 0,
		0, 1, 0, -1, 0, -2, 0, 2,
	}}
	embeddings := []float32{1, 1, -1, -1, -2, 0.5, 2, -0.5}
	config := decompose.DefaultAlignConfig(c.Pictures)
	config.LearningRate = 0.01 // for so few numbers
	aligner, err := decompose.Align(context.Background(), testBackend, c, embeddings, config, decompose.AlignOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	mapped, err := aligner.Map(context.Background(), testBackend, c)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, cosine := range decompose.Cosines(mapped.Sum([]int{0, 1}), embeddings, mapped.Dim) {
		fmt.Printf("%.2f\n", cosine)
	}
	fmt.Println("isometries:", aligner.Orthogonality[0] < 0.1 && aligner.Orthogonality[1] < 0.1)
	// Output:
	// 1.00
	// 1.00
	// 1.00
	// 1.00
	// isometries: true
}
