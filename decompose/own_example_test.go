package decompose_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/discover"
)

// A model of your own is a function and its weights. Nothing in it is marked.
func Example_ownModel() {
	linear := func(x, weight *graph.Node) *graph.Node { return graph.MatMul(x, weight) }
	norm := func(x *graph.Node) *graph.Node {
		return graph.Mul(x, graph.Rsqrt(graph.AddScalar(graph.ReduceAndKeep(graph.Square(x), graph.ReduceMean, -1), 1e-6)))
	}
	forward := func(w gomlxvit.Weights, pixels *graph.Node) discover.Results {
		batch := pixels.Shape().Dim(0)
		// 4 patches of 8 x 8 pixels, as tokens of 16 channels.
		x := graph.TransposeAllAxes(graph.Reshape(pixels, batch, 3, 2, 8, 2, 8), 0, 2, 4, 1, 3, 5)
		x = linear(graph.Reshape(x, batch, 4, 3*8*8), w.Get("patch"))
		for block := range 2 {
			read := norm(x)
			heads := func(name string) *graph.Node { // 2 of them, as [batch, token, head, 8]
				return graph.Reshape(linear(read, w.Get(fmt.Sprint(name, block))), batch, 4, 2, 8)
			}
			attention := graph.Softmax(graph.Einsum("bthd,bshd->bhts", heads("query"), heads("key")), -1)
			merged := graph.Reshape(graph.Einsum("bhts,bshd->bthd", attention, heads("value")), batch, 4, 16)
			x = graph.Add(x, linear(merged, w.Get(fmt.Sprint("out", block))))
			hidden := graph.Tanh(linear(norm(x), w.Get(fmt.Sprint("wide", block))))
			x = graph.Add(x, linear(hidden, w.Get(fmt.Sprint("narrow", block))))
		}
		return discover.Results{Logits: linear(graph.ReduceMean(norm(x), 1), w.Get("head"))}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	weights := make(map[string]*tensors.Tensor)
	weight := func(name string, in, out int) {
		numbers := make([]float32, in*out)
		for i := range numbers {
			numbers[i] = float32(rng.NormFloat64()) / 8
		}
		weights[name] = tensors.FromFlatDataAndDimensions(numbers, in, out)
	}
	weight("patch", 3*8*8, 16)
	weight("head", 16, 10)
	for block := range 2 {
		for _, name := range []string{"query", "key", "value", "out"} {
			weight(fmt.Sprint(name, block), 16, 16)
		}
		weight(fmt.Sprint("wide", block), 16, 32)
		weight(fmt.Sprint("narrow", block), 32, 16)
	}

	model, err := discover.NewModel("mine", forward, weights, discover.Options{Size: 16})
	if err != nil {
		panic(err)
	}
	compute, err := backend.Open("go")
	if err != nil {
		panic(err)
	}
	defer compute.Finalize()
	parts, err := decompose.New(compute, model, decompose.Options{})
	if err != nil {
		panic(err)
	}
	defer parts.Close()
	out, err := parts.Run(tensors.FromFlatDataAndDimensions(make([]float32, 3*16*16), 1, 3, 16, 16))
	if err != nil {
		panic(err)
	}
	for _, name := range decompose.Names(out.Components) {
		fmt.Println(name)
	}
	// Output:
	// init
	// layer:00, attn_head:00
	// layer:00, attn_head:01
	// layer:00, mlp
	// layer:01, attn_head:00
	// layer:01, attn_head:01
	// layer:01, mlp
	// const
}
