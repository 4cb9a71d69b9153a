package gomlxvit

import (
	"math"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit/backend"
)

// TestGradient compares derivatives that GoMLX lacks with the formulas.
func TestGradient(t *testing.T) {
	b, err := backend.Open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Finalize)
	x := []float32{0.25, 1, 4, 100}
	exec, err := graph.NewExec(b, func(in []*graph.Node) []*graph.Node {
		y := graph.ReduceAllSum(graph.Mul(graph.Rsqrt(in[0]), graph.Square(graph.Identity(in[0])))) // x^1.5
		return graph.Gradient(y, in[0])
	})
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	outputs, _, err := exec.CallWithGraphOnDevice(0, tensors.FromFlatDataAndDimensions(x, len(x)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := tensors.CopyFlatData[float32](outputs[0])
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range x {
		if want := 1.5 * math.Sqrt(float64(v)); math.Abs(float64(got[i])-want) > 1e-4*want {
			t.Errorf("derivative of x^1.5 at %v is %v, want %v", v, got[i], want)
		}
	}
}
