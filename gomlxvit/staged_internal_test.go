package gomlxvit

import (
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit/backend"
)

func TestWindowPositions(t *testing.T) {
	for _, test := range []struct {
		g    windows
		want []int
	}{
		{windows{side: 4, size: 2}, []int{0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15}},
		{windows{side: 4, size: 2, shift: 1}, []int{5, 6, 9, 10, 7, 4, 11, 8, 13, 14, 1, 2, 15, 12, 3, 0}},
		{windows{side: 4, size: 2, apart: true}, []int{0, 2, 8, 10, 1, 3, 9, 11, 4, 6, 12, 14, 5, 7, 13, 15}},
	} {
		if got := test.g.positions(); !slices.Equal(got, test.want) {
			t.Errorf("%+v: positions %v, want %v", test.g, got, test.want)
		}
	}
}

// Partition and merge are the permutation that positions lists, and its inverse.
func TestPartition(t *testing.T) {
	b, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Finalize)
	x := make([]float32, 2*36*3) // [batch, token, channel]
	for i := range x {
		x[i] = float32(i)
	}
	for _, g := range []windows{{side: 6, size: 3}, {side: 6, size: 3, shift: 1}, {side: 6, size: 2, apart: true}, {side: 6, size: 6}} {
		exec, err := graph.NewExec(b, func(x *graph.Node) (*graph.Node, *graph.Node) {
			parts := g.partition(x)
			return parts, g.merge(graph.Reshape(parts, 2, 36, 3))
		})
		if err != nil {
			t.Fatal(err)
		}
		outputs, err := exec.Call(tensors.FromFlatDataAndDimensions(x, 2, 36, 3))
		if err != nil {
			t.Fatal(err)
		}
		var want []float32
		for batch := range 2 {
			for _, p := range g.positions() {
				want = append(want, x[(batch*36+p)*3:][:3]...)
			}
		}
		if got := tensors.MustCopyFlatData[float32](outputs[0]); !slices.Equal(got, want) {
			t.Errorf("%+v: tokens %v, want %v", g, got, want)
		}
		if got := tensors.MustCopyFlatData[float32](outputs[1]); !slices.Equal(got, x) {
			t.Errorf("%+v: merging gives %v, want the tokens in their first order", g, got)
		}
	}
}

func TestSamePadding(t *testing.T) {
	for _, test := range []struct {
		length, kernel, stride int
		want                   [2]int
	}{
		{8, 3, 1, [2]int{1, 1}}, {8, 3, 2, [2]int{0, 1}}, {7, 3, 2, [2]int{1, 1}}, {8, 1, 1, [2]int{}}, {4, 1, 2, [2]int{}},
	} {
		if got := samePadding(test.length, test.kernel, test.stride); got != test.want {
			t.Errorf("length %d, kernel %d, stride %d: padding %v, want %v", test.length, test.kernel, test.stride, got, test.want)
		}
	}
}

// The gradient of a weighted sum of the padded numbers are the weights of those that were there before.
func TestPadGradient(t *testing.T) {
	b, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Finalize)
	exec, err := graph.NewExec(b, func(x *graph.Node) *graph.Node {
		padded := pad(x, compute.PadAxis{End: 1}, compute.PadAxis{Start: 2, End: 1})
		weights := graph.IotaFull(x.Graph(), padded.Shape()) // [3, 5]
		return graph.Gradient(graph.ReduceAllSum(graph.Mul(padded, weights)), x)[0]
	})
	if err != nil {
		t.Fatal(err)
	}
	outputs, err := exec.Call(tensors.FromFlatDataAndDimensions(make([]float32, 4), 2, 2))
	if err != nil {
		t.Fatal(err)
	}
	if got := tensors.MustCopyFlatData[float32](outputs[0]); !slices.Equal(got, []float32{2, 3, 7, 8}) {
		t.Errorf("gradient %v, want 2 3 7 8", got)
	}
}

func TestLeftovers(t *testing.T) {
	known := map[string]bool{"stem.norm1.running_mean": true, "layers.0.blocks.1.attn.relative_position_bias_table": true}
	for name, want := range map[string]bool{
		"stem.norm1.num_batches_tracked":                 true,
		"stem.norm2.num_batches_tracked":                 false,
		"layers.0.blocks.1.attn.relative_position_index": true,
		"layers.0.blocks.1.attn_mask":                    true,
		"layers.0.blocks.2.attn_mask":                    false,
		"stem.norm1.running":                             false,
	} {
		if got := isLeftover(name, known); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
