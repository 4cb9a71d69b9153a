package saliency_test

import (
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/saliency"
)

func Example() {
	arch, err := gomlxvit.Timm("vit_tiny_patch16_224", map[string]any{
		"img_size": 32.0, "patch_size": 8.0, "embed_dim": 12.0, "depth": 2.0, "num_heads": 3.0, "num_classes": 5.0,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := backend.Open("go")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Finalize()
	s, err := saliency.NewChefer(b, gomlxvit.RandomOf("tiny", arch, 1))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	pixels := make([]float32, 3*32*32)
	for i := range pixels {
		pixels[i] = float32(i%17) / 17
	}
	maps, err := s.Run(tensors.FromFlatDataAndDimensions(pixels, 1, 3, 32, 32), []int{4})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d map of %d x %d patches, %d pixels\n", maps.Batch, maps.Rows, maps.Columns, len(maps.Scaled(32, 32)))
	// Output:
	// 1 map of 4 x 4 patches, 1024 pixels
}

func ExampleResize() {
	fmt.Println(saliency.Resize([]float32{-1, 1}, 1, 2, 1, 4))
	// Output:
	// [-1 -0.5 0.5 1]
}
