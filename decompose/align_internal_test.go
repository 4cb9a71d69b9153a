package decompose

import (
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/golden"
)

// Both terms of the loss and their gradients are PyTorch's: see the README of package golden's testdata.
func TestAlignGradientsGolden(t *testing.T) {
	f := golden.Open(t, golden.Shared(t, "golden"), "numerics.safetensors")
	shape, weights := f.Shape(t, "compalign.contributions"), f.Shape(t, "compalign.weights")
	n, pictures, dim, clipDim := shape[0], shape[1], shape[2], weights[2]
	contributions := f.Tensor(t, "compalign.contributions")
	x := make([]float32, len(contributions)) // [picture, component*dim]
	for i := range n {
		for p := range pictures {
			copy(x[(p*n+i)*dim:], contributions[(i*pictures+p)*dim:][:dim])
		}
	}
	b, err := backend.Open("")
	if err != nil {
		t.Fatal(err)
	}
	program, err := gomlxvit.NewProgram(b, "gradients", func(in []*graph.Node) []*graph.Node {
		w, b, x, y := in[0], in[1], in[2], in[3]
		share := graph.DivScalar(graph.Ones(w.Graph(), graph.ReduceSum(x, -1).Shape()), float64(pictures))
		loss := cosineLoss(w, b, x, y, share)
		gradients := graph.Gradient(loss, w, b)
		_, pull := orthogonality(w, n)
		entries := float64(n * clipDim)
		return append(gradients, graph.DivScalar(pull, entries), graph.ConvertDType(loss, dtypes.Float32))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	outputs, err := program.Run(
		tensors.FromFlatDataAndDimensions(f.Tensor(t, "compalign.weights"), n*dim, clipDim),
		tensors.FromFlatDataAndDimensions(f.Tensor(t, "compalign.bias"), clipDim),
		tensors.FromFlatDataAndDimensions(x, pictures, n*dim),
		tensors.FromFlatDataAndDimensions(f.Tensor(t, "compalign.clip_targets"), pictures, clipDim),
	)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"grad_cos_weights", "grad_cos_bias", "grad_orth_weights"} {
		got, err := tensors.CopyFlatData[float32](outputs[i])
		if err != nil {
			t.Fatal(err)
		}
		golden.Close(t, name, got, f.Tensor(t, "compalign."+name), 1e-5)
	}
	for _, v := range f.Tensor(t, "compalign.grad_orth_bias") {
		if v != 0 {
			t.Errorf("the reference has a gradient %v of the orthogonality with respect to the bias", v)
		}
	}
}
