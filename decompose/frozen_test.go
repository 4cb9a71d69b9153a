package decompose_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/discover"
	"vitdecompose/gomlxvit/golden"
)

// A gate on the stream is a constant factor, and the maximum over tokens at the end selects. Reference: the same arithmetic in
// float64, written out below.
func TestFrozen(t *testing.T) {
	const batch, tokens, dim, classes = 2, 4, 3, 2
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []float32 {
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(rng.NormFloat64())
		}
		return values
	}
	square := map[string][]float32{}
	weights := map[string]*tensors.Tensor{}
	for _, name := range []string{"a1", "a2", "gate", "b1", "b2"} {
		square[name] = random(dim * dim)
		weights[name] = tensors.FromFlatDataAndDimensions(slices.Clone(square[name]), dim, dim)
	}
	weights["head"] = tensors.FromFlatDataAndDimensions(random(dim*classes), dim, classes)
	mlp := func(w gomlxvit.Weights, x *graph.Node, first, second string) *graph.Node {
		hidden := graph.Max(graph.MatMul(x, w.Get(first)), graph.ScalarZero(x.Graph(), x.DType()))
		return graph.Add(x, graph.MatMul(hidden, w.Get(second)))
	}
	model, err := discover.NewModel("frozen", func(w gomlxvit.Weights, pixels *graph.Node) discover.Results {
		x := graph.Reshape(pixels, pixels.Shape().Dim(0), dim, tokens)
		x = mlp(w, graph.TransposeAllAxes(x, 0, 2, 1), "a1", "a2")
		gate := graph.Sigmoid(graph.MatMul(graph.ReduceAndKeep(x, graph.ReduceMean, 1), w.Get("gate")))
		x = mlp(w, graph.Mul(x, gate), "b1", "b2")
		z := graph.ReduceMax(x, 1)
		return discover.Results{Representation: z, Logits: graph.MatMul(z, w.Get("head"))}
	}, weights, discover.Options{Size: 2})
	if err != nil {
		t.Fatal(err)
	}
	pixels := random(batch * dim * tokens)
	out := runOn(t, goBackend(t), model, tensors.FromFlatDataAndDimensions(slices.Clone(pixels), batch, dim, 2, 2), decompose.Options{})
	if out.Error > 1e-6 || model.Arch.NumClasses() != classes {
		t.Errorf("sum within %.2g, %d classes", out.Error, model.Arch.NumClasses())
	}

	half, err := decompose.New(goBackend(t), model.InBFloat16(), decompose.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	if _, err := half.Run(tensors.FromFlatDataAndDimensions(make([]float32, 12), 1, dim, 2, 2)); err == nil || !strings.Contains(err.Error(), "in float32 only") {
		t.Errorf("in bfloat16: got %v", err)
	}

	apply := func(x []float64, weight []float32) []float64 {
		y := make([]float64, dim)
		for i, v := range x {
			for j := range y {
				y[j] += v * float64(weight[i*dim+j])
			}
		}
		return y
	}
	added := func(x []float64, first, second string) []float64 {
		hidden := apply(x, square[first])
		for i := range hidden {
			hidden[i] = max(hidden[i], 0)
		}
		return apply(hidden, square[second])
	}
	want := map[string][]float32{"init": nil, "layer:00, mlp": nil, "layer:01, mlp": nil}
	for b := range batch {
		var begin, first, second [tokens][]float64
		var mean [dim]float64
		for k := range tokens {
			begin[k] = make([]float64, dim)
			for c := range dim {
				begin[k][c] = float64(pixels[(b*dim+c)*tokens+k])
			}
			first[k] = added(begin[k], "a1", "a2")
			for c := range dim {
				mean[c] += (begin[k][c] + first[k][c]) / tokens
			}
		}
		gate := apply(mean[:], square["gate"])
		for c := range gate {
			gate[c] = 1 / (1 + math.Exp(-gate[c]))
		}
		sum := func(k, c int) float64 { return (begin[k][c] + first[k][c]) * gate[c] }
		for k := range tokens {
			second[k] = added([]float64{sum(k, 0), sum(k, 1), sum(k, 2)}, "b1", "b2")
		}
		for c := range dim {
			best := 0
			for k := range tokens {
				if sum(k, c)+second[k][c] > sum(best, c)+second[best][c] {
					best = k
				}
			}
			want["init"] = append(want["init"], float32(begin[best][c]*gate[c]))
			want["layer:00, mlp"] = append(want["layer:00, mlp"], float32(first[best][c]*gate[c]))
			want["layer:01, mlp"] = append(want["layer:01, mlp"], float32(second[best][c]))
		}
	}
	for i, c := range out.Components {
		got := out.Contributions[i*batch*dim:][:batch*dim]
		if c.Kind == decompose.Const {
			golden.Close(t, "const", got, make([]float32, batch*dim), 0)
			continue
		}
		golden.Close(t, c.String(), got, want[c.String()], 1e-6)
	}
	if len(out.Components) != 4 {
		t.Errorf("components %q", decompose.Names(out.Components))
	}
}
