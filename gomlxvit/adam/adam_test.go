package adam_test

import (
	"math"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/adam"
	"vitdecompose/gomlxvit/backend"
)

// The first step of Adam is the learning rate against the sign of the gradient, whatever its size; the second is worked
// out by hand from algorithm 1 of the paper. (Twenty steps against PyTorch are among the tests of CompAlign.)
func TestStep(t *testing.T) {
	b, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	program, err := gomlxvit.NewProgram(b, "adam", func(in []*graph.Node) []*graph.Node {
		w, m, v := adam.Step(in[0], in[1], in[2], in[3], in[4])
		return []*graph.Node{w, m, v}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	vector := func(values ...float32) *tensors.Tensor { return tensors.FromFlatDataAndDimensions(values, len(values)) }
	state := []*tensors.Tensor{vector(1, 1), vector(0, 0), vector(0, 0)}
	want := [][]float64{{1 - 0.1, 1 + 0.1}, nil}
	// Gradients 4 and -0.5, then 2 and 1: m = 0.9*0.1*g1 + 0.1*g2, v = 0.999*0.001*g1^2 + 0.001*g2^2, both corrected.
	for i, g := range [][2]float64{{4, 2}, {-0.5, 1}} {
		m := (0.09*g[0] + 0.1*g[1]) / (1 - 0.81)
		v := (0.000999*g[0]*g[0] + 0.001*g[1]*g[1]) / (1 - 0.998001)
		want[1] = append(want[1], want[0][i]-0.1*m/math.Sqrt(v))
	}
	for step, gradient := range []*tensors.Tensor{vector(4, -0.5), vector(2, 1)} {
		state, err = program.Run(state[0], gradient, state[1], state[2], vector(adam.Rates(0.1, step+1)...))
		if err != nil {
			t.Fatal(err)
		}
		got, err := tensors.CopyFlatData[float32](state[0])
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if math.Abs(float64(got[i])-want[step][i]) > 1e-5 {
				t.Errorf("step %d: weights %v, want %v", step+1, got, want[step])
			}
		}
	}
}
