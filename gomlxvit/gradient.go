package gomlxvit

import (
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// GoMLX 0.28 lacks the derivatives of two operations that every model here uses.
func init() {
	register := func(op graph.NodeType, gradient graph.VJP) {
		if _, ok := graph.VJPRegistration[op]; !ok {
			graph.VJPRegistration[op] = gradient
		}
	}
	// Norms take y = 1/sqrt(x): dy/dx = -y³/2.
	register(graph.NodeTypeRsqrt, func(node *graph.Node, v []*graph.Node, _ shapes.Shape) []*graph.Node {
		cube := graph.Mul(graph.Square(node), node)
		return []*graph.Node{graph.Mul(v[0], graph.MulScalar(cube, -0.5))}
	})
	// Marks put an identity where a block begins.
	register(graph.NodeTypeIdentity, func(_ *graph.Node, v []*graph.Node, _ shapes.Shape) []*graph.Node { return v })
}
