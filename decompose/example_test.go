package decompose_test

import (
	"fmt"
	"testing"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit"
)

// tinyArchitecture is a transformer of two blocks for 8 x 8 pictures.
func tinyArchitecture(t testing.TB) gomlxvit.Architecture {
	t.Helper()
	arch, err := tiny()
	if err != nil {
		t.Fatal(err)
	}
	return arch
}

func tiny() (gomlxvit.Architecture, error) {
	return gomlxvit.Timm("vit_tiny_patch16_224", map[string]any{
		"img_size": 8.0, "patch_size": 4.0, "embed_dim": 12.0, "depth": 2.0, "num_heads": 3.0, "num_classes": 5.0,
	})
}

func ExampleDecomposer_Run() {
	arch, err := tiny()
	if err != nil {
		fmt.Println(err)
		return
	}
	model := gomlxvit.RandomOf("tiny", arch, 1)
	d, err := decompose.New(testBackend, model, decompose.Options{Split: decompose.Attns})
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := d.Run(ramp(1, 3, 8, 8))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range out.Components {
		fmt.Println(c)
	}
	fmt.Println("exact:", out.Error < 1e-5)
	// Output:
	// init
	// layer:00, attns
	// layer:00, mlp
	// layer:01, attns
	// layer:01, mlp
	// const
	// exact: true
}
