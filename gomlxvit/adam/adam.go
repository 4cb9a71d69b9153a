// Package adam is the optimizer of small trainings beside a model: Adam (Kingma and Ba 2014, arXiv 1412.6980), as
// torch.optim.Adam computes it.
//
// A step is a part of a graph; what changes from step to step comes in as an input, so that one graph serves all:
//
//	program, err := gomlxvit.NewProgram(backend, "training", func(in []*graph.Node) []*graph.Node {
//		w, m, v, rates := in[0], in[1], in[2], in[3]
//		loss := ... // of w
//		w, m, v = adam.Step(w, graph.Gradient(loss, w)[0], m, v, rates)
//		return []*graph.Node{w, m, v, loss}
//	})
//	for step := 1; step <= steps; step++ {
//		rates := tensors.FromValue(adam.Rates(1e-3, step))
//		...
//	}
package adam

import (
	"math"

	"github.com/gomlx/gomlx/core/graph"
)

// torch.optim.Adam's defaults.
const (
	beta1, beta2 = 0.9, 0.999
	epsilon      = 1e-8
)

// Rates is the input of a step, counted from 1: the learning rate over 1-β1^t, and 1/√(1-β2^t).
func Rates(learningRate float64, step int) []float32 {
	return []float32{
		float32(learningRate / (1 - math.Pow(beta1, float64(step)))),
		float32(1 / math.Sqrt(1-math.Pow(beta2, float64(step)))),
	}
}

// Step builds a step on weights w with their gradient and their first and second moments m and v, all of one shape; the
// moments are 0 before the first step. rates begins with what [Rates] returns.
func Step(w, gradient, m, v, rates *graph.Node) (newW, newM, newV *graph.Node) {
	rate := func(i int) *graph.Node { return graph.Reshape(graph.SliceAxis(rates, 0, graph.AxisElem(i))) }
	m = graph.Add(graph.MulScalar(m, beta1), graph.MulScalar(gradient, 1-beta1))
	v = graph.Add(graph.MulScalar(v, beta2), graph.MulScalar(graph.Square(gradient), 1-beta2))
	update := graph.Div(m, graph.AddScalar(graph.Mul(graph.Sqrt(v), rate(1)), epsilon))
	return graph.Sub(w, graph.Mul(update, rate(0))), m, v
}
