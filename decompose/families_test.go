package decompose_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/discover"
)

// sketch is a small model under construction: its weights are made when they are first asked for, so that a forward pass
// can be written down in a few lines.
type sketch struct {
	w       gomlxvit.Weights // nil while the weights are collected
	weights map[string]*tensors.Tensor
}

// weight is a random weight.
func (s *sketch) weight(g *graph.Graph, name string, dims ...int) *graph.Node {
	if s.weights[name] == nil {
		hash := fnv.New64()
		hash.Write([]byte(name))
		rng := rand.New(rand.NewPCG(hash.Sum64(), 1))
		size := 1
		for _, d := range dims {
			size *= d
		}
		numbers := make([]float32, size)
		for i := range numbers {
			numbers[i] = float32(rng.NormFloat64()) / 4
		}
		s.weights[name] = tensors.FromFlatDataAndDimensions(numbers, dims...)
	}
	if s.w == nil {
		return graph.Const(g, s.weights[name])
	}
	return s.w.Get(name)
}

// linear multiplies the last axis with a weight and adds a bias.
func (s *sketch) linear(x *graph.Node, name string, out int) *graph.Node {
	y := graph.MatMul(x, s.weight(x.Graph(), name, x.Shape().Dim(-1), out))
	return graph.Add(y, graph.ExpandLeftToRank(s.weight(x.Graph(), name+".bias", out), y.Rank()))
}

func (s *sketch) norm(x *graph.Node, name string) *graph.Node {
	centred := graph.Sub(x, graph.ReduceAndKeep(x, graph.ReduceMean, -1))
	variance := graph.ReduceAndKeep(graph.Square(centred), graph.ReduceMean, -1)
	y := graph.Div(centred, graph.Sqrt(graph.AddScalar(variance, 1e-6)))
	g, width := x.Graph(), x.Shape().Dim(-1)
	y = graph.Mul(y, graph.ExpandLeftToRank(s.weight(g, name, width), x.Rank()))
	return graph.Add(y, graph.ExpandLeftToRank(s.weight(g, name+".bias", width), x.Rank()))
}

func (s *sketch) mlp(x *graph.Node, name string) *graph.Node {
	return s.linear(graph.Tanh(s.linear(x, name+"1", 24)), name+"2", x.Shape().Dim(-1))
}

// heads makes [batch, head, token, dim] of x.
func (s *sketch) heads(x *graph.Node, name string, heads int) *graph.Node {
	b, t, c := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2)
	return graph.TransposeAllAxes(graph.Reshape(s.linear(x, name, c), b, t, heads, c/heads), 0, 2, 1, 3)
}

// merge undoes heads and projects.
func (s *sketch) merge(x *graph.Node, name string) *graph.Node {
	d := x.Shape().Dimensions
	return s.linear(graph.Reshape(graph.TransposeAllAxes(x, 0, 2, 1, 3), d[0], d[2], d[1]*d[3]), name, d[1]*d[3])
}

func (s *sketch) attention(query, x *graph.Node, name string, heads int) *graph.Node {
	q, k, v := s.heads(query, name+"q", heads), s.heads(x, name+"k", heads), s.heads(x, name+"v", heads)
	return s.merge(graph.MatMul(graph.Softmax(graph.MatMul(q, graph.Transpose(k, 2, 3)), -1), v), name+"out")
}

// Architectures of many kinds, sketched: what is found in them, by its name, and that its sum is the representation.
func TestFamilies(t *testing.T) {
	const dim = 12
	plain := func(block string) string { return block + ", attn_head:00; " + block + ", attn_head:01" }
	for name, c := range map[string]struct {
		forward func(s *sketch, x *graph.Node) *graph.Node // from tokens [batch, 16, dim] to the representation
		want    string
	}{
		"post norm": {func(s *sketch, x *graph.Node) *graph.Node {
			x = s.norm(graph.Add(x, s.attention(x, x, "a", 2)), "n1")
			return graph.ReduceMean(s.norm(graph.Add(x, s.mlp(x, "m")), "n2"), 1)
		}, plain("layer:00") + "; layer:00, mlp"},
		"parallel": {func(s *sketch, x *graph.Node) *graph.Node {
			for i := range 2 {
				n := s.norm(x, fmt.Sprint("n", i))
				x = graph.Add(x, graph.Add(s.attention(n, n, fmt.Sprint("a", i), 2), s.mlp(n, fmt.Sprint("m", i))))
			}
			return graph.ReduceMean(x, 1)
		}, plain("layer:00") + "; layer:00, mlp; " + plain("layer:01") + "; layer:01, mlp"},
		"pooling mixer": {func(s *sketch, x *graph.Node) *graph.Node {
			for i := range 2 {
				n := s.norm(x, fmt.Sprint("n", i))
				x = graph.Add(x, graph.Sub(graph.ReduceAndKeep(n, graph.ReduceMean, 1), n))
				x = graph.Add(x, s.mlp(s.norm(x, fmt.Sprint("o", i)), fmt.Sprint("m", i)))
			}
			return graph.ReduceMean(x, 1)
		}, "layer:00, mixer; layer:00, mlp; layer:01, mixer; layer:01, mlp"},
		"class attention with talking heads": {func(s *sketch, x *graph.Node) *graph.Node {
			b := x.Shape().Dim(0)
			n := s.norm(x, "n")
			q, k, v := s.heads(n, "q", 2), s.heads(n, "k", 2), s.heads(n, "v", 2)
			talk := func(w *graph.Node, name string) *graph.Node {
				return graph.TransposeAllAxes(graph.MatMul(graph.TransposeAllAxes(w, 0, 2, 3, 1), s.weight(x.Graph(), name, 2, 2)), 0, 3, 1, 2)
			}
			w := talk(graph.Softmax(talk(graph.MatMul(q, graph.Transpose(k, 2, 3)), "before"), -1), "after")
			x = graph.Add(x, s.merge(graph.MatMul(w, v), "out"))
			x = graph.Add(x, s.mlp(s.norm(x, "o"), "m"))
			class := graph.BroadcastToDims(s.weight(x.Graph(), "class", 1, 1, dim), b, 1, dim)
			all := s.norm(graph.Concatenate([]*graph.Node{class, x}, 1), "c")
			class = graph.Add(class, s.attention(graph.SliceAxis(all, 1, graph.AxisElem(0)), all, "ca", 2))
			class = graph.Add(class, s.mlp(s.norm(class, "cn"), "cm"))
			return graph.Squeeze(class, 1)
		}, plain("layer:00") + "; layer:00, mlp"}, // of the class token: nothing of the patches is added to it
		"channel attention": {func(s *sketch, x *graph.Node) *graph.Node {
			for i := range 2 {
				n := s.norm(x, fmt.Sprint("n", i))
				name := fmt.Sprint("a", i)
				q, k, v := s.heads(n, name+"q", 2), s.heads(n, name+"k", 2), s.heads(n, name+"v", 2)
				w := graph.Softmax(graph.MatMul(graph.Transpose(q, 2, 3), k), -1) // [batch, head, dim, dim]
				mixed := graph.Transpose(graph.MatMul(w, graph.Transpose(v, 2, 3)), 2, 3)
				x = graph.Add(x, s.merge(mixed, name+"out"))
				x = graph.Add(x, s.mlp(s.norm(x, fmt.Sprint("o", i)), fmt.Sprint("m", i)))
			}
			return graph.ReduceMean(x, 1)
		}, plain("layer:00") + "; layer:00, mlp; " + plain("layer:01") + "; layer:01, mlp"},
		"values added to attention": {func(s *sketch, x *graph.Node) *graph.Node {
			n := s.norm(x, "n")
			q, k, v := s.heads(n, "q", 2), s.heads(n, "k", 2), s.heads(n, "v", 2)
			w := graph.Softmax(graph.MatMul(q, graph.Transpose(k, 2, 3)), -1)
			x = graph.Add(x, s.merge(graph.Add(graph.MatMul(w, v), q), "out"))
			x = graph.Add(x, s.mlp(s.norm(x, "o"), "m"))
			return graph.ReduceMean(x, 1)
		}, plain("layer:00") + "; layer:00, mlp"},
		"linear attention": {func(s *sketch, x *graph.Node) *graph.Node {
			n := s.norm(x, "n")
			q, k, v := s.heads(n, "q", 2), s.heads(n, "k", 2), s.heads(n, "v", 2)
			positive := func(x *graph.Node) *graph.Node { return graph.Max(x, graph.ScalarZero(x.Graph(), x.DType())) }
			x = graph.Add(x, s.merge(graph.MatMul(positive(q), graph.MatMul(graph.Transpose(positive(k), 2, 3), v)), "out"))
			x = graph.Add(x, s.mlp(s.norm(x, "o"), "m"))
			return graph.ReduceMean(x, 1)
		}, "layer:00, mixer; layer:00, mlp"},
		"spatial gating": {func(s *sketch, x *graph.Node) *graph.Node {
			for i := range 2 {
				n := graph.Tanh(s.linear(s.norm(x, fmt.Sprint("n", i)), fmt.Sprint("in", i), 24))
				a, b := graph.SliceAxis(n, 2, graph.AxisRange(0, 12)), graph.SliceAxis(n, 2, graph.AxisRange(12, 24))
				gate := graph.Transpose(s.linear(graph.Transpose(b, 1, 2), fmt.Sprint("gate", i), 16), 1, 2)
				x = graph.Add(x, s.linear(graph.Mul(a, gate), fmt.Sprint("out", i), dim))
			}
			return graph.ReduceMean(x, 1)
		}, "layer:00, mlp; layer:01, mlp"},
		"scaled stream": {func(s *sketch, x *graph.Node) *graph.Node {
			x = graph.Add(graph.MulScalar(x, 0.5), s.mlp(s.norm(x, "n"), "m"))
			x = graph.Add(s.mlp(s.norm(x, "n2"), "m2"), graph.Mul(x, graph.ExpandLeftToRank(s.weight(x.Graph(), "scale", dim), 3)))
			return graph.SliceAxis(graph.Reshape(x, x.Shape().Dim(0), 16*dim), 1, graph.AxisRange(0, dim))
		}, "layer:00, mlp; layer:01, mlp"},
		"two streams": {func(s *sketch, x *graph.Node) *graph.Node {
			y := s.linear(graph.SliceAxis(x, 1, graph.AxisRange(0, 4)), "other", dim)
			x = graph.Add(x, s.mlp(s.norm(x, "n"), "m"))
			y = graph.Add(y, s.mlp(s.norm(y, "n2"), "m2"))
			return graph.Concatenate([]*graph.Node{graph.ReduceMean(x, 1), graph.ReduceMean(y, 1)}, -1)
		}, "layer:00, 0 mlp; layer:00, 1 mlp"},
	} {
		t.Run(name, func(t *testing.T) {
			forward := func(s *sketch, pixels *graph.Node) discover.Results {
				b := pixels.Shape().Dim(0)
				x := graph.TransposeAllAxes(graph.Reshape(pixels, b, 3, 4, 2, 4, 2), 0, 2, 4, 1, 3, 5)
				x = s.linear(graph.Reshape(x, b, 16, 12), "patch", dim)
				return discover.Results{Representation: c.forward(s, x)}
			}
			collected := &sketch{weights: make(map[string]*tensors.Tensor)}
			backend := goBackend(t)
			pixels := tensors.FromFlatDataAndDimensions(make([]float32, 2*3*64), 2, 3, 8, 8)
			rng := rand.New(rand.NewPCG(3, 4))
			tensors.MustMutableFlatData(pixels, func(flat []float32) {
				for i := range flat {
					flat[i] = float32(rng.NormFloat64())
				}
			})
			graph.MustExecOnce(backend, func(pixels *graph.Node) *graph.Node { return forward(collected, pixels).Representation }, pixels)
			model, err := discover.NewModel(name, func(w gomlxvit.Weights, pixels *graph.Node) discover.Results {
				return forward(&sketch{w: w, weights: collected.weights}, pixels)
			}, collected.weights, discover.Options{Size: 8})
			if err != nil {
				t.Fatal(err)
			}
			out := runOn(t, backend, model, pixels, decompose.Options{})
			if out.Error > 1e-5 {
				t.Errorf("components sum to the representation within %.2g", out.Error)
			}
			names := strings.Join(decompose.Names(out.Components), "; ")
			want := "init; " + c.want + "; const"
			if strings.HasPrefix(name, "class attention") {
				want = strings.TrimPrefix(want, "init; ")
			}
			if names != want {
				t.Errorf("found %s\nwant  %s", names, want)
			}
		})
	}
}
