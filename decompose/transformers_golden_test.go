package decompose_test

import (
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/golden"
)

// Models in the layout of the transformers library 5.24.0 decompose as PyTorch's derivatives say, in float64
// (the README of package golden's testdata/golden2).
func TestGoldenTransformers(t *testing.T) {
	compute, err := backend.Open("go") // tiny models; XLA would compile for longer than they take
	if err != nil {
		t.Fatal(err)
	}
	defer compute.Finalize()
	for _, name := range []string{"hf_vit", "hf_deit", "hf_deit_teacher", "hf_dinov2", "hf_dinov2_cls", "hf_dinov2_swiglu", "hf_dinov2_reg", "hf_clip", "hf_vit_mae"} {
		t.Run(name, func(t *testing.T) {
			dir := golden.Shared(t, "golden2", name)
			ckpt, err := checkpoint.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer ckpt.Close()
			io := golden.Open(t, dir, "io.safetensors")
			shape := io.Shape(t, "pixel_values")
			model, err := gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{ImageSize: shape[2]})
			if err != nil {
				t.Fatal(err)
			}
			d, err := decompose.New(compute, model, decompose.Options{Split: decompose.Heads})
			if err != nil {
				t.Fatal(err)
			}
			out, err := d.Run(tensors.FromFlatDataAndDimensions(io.Tensor(t, "pixel_values"), shape...))
			if err != nil {
				t.Fatal(err)
			}
			golden.Close(t, "representation", out.Representation, io.Tensor(t, "features"), 2e-5)
			if out.Error > 1e-5 {
				t.Errorf("components sum to the representation within %.2g, allowed 1e-5", out.Error)
			}
			// Each of them relative to the largest value of the representation, as the conventions of the data say.
			largest := float32(0)
			for _, v := range out.Representation {
				largest = max(largest, v, -v)
			}
			f := golden.Open(t, dir, "decomposition.safetensors")
			for i, c := range out.Components {
				size := out.Batch * out.Dim
				got, want := out.Contributions[i*size:][:size], reference(t, f, c)
				for k := range want {
					if d := got[k] - want[k]; d > 5e-5*largest || d < -5e-5*largest {
						t.Errorf("%s: element %d is %v, want %v", c, k, got[k], want[k])
						break
					}
				}
			}
		})
	}
}
