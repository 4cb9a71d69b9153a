package gomlxvit

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// GoMLX 0.28 lacks the derivatives of some operations that the models here use.
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
	// The derivative of padding is to cut it off. GoMLX keeps the widths to itself: pad has noted them.
	register(graph.NodeTypePad, func(node *graph.Node, v []*graph.Node, _ shapes.Shape) []*graph.Node {
		axes, ok := paddingsOf(node.Graph())[node]
		if !ok {
			panic(fmt.Errorf("no gradient of a Pad node that gomlxvit did not make"))
		}
		kept := make([]graph.SliceAxisSpec, len(axes))
		for i, axis := range axes {
			kept[i] = graph.AxisRange(axis.Start, node.Shape().Dim(i)-axis.End)
		}
		return []*graph.Node{graph.Slice(v[0], kept...), graph.ScalarZero(node.Graph(), node.DType())}
	})
}

type paddingsKey struct{}

// paddingsOf holds the widths that pad was called with, beside the graph.
func paddingsOf(g *graph.Graph) map[*graph.Node][]compute.PadAxis {
	if widths, ok := g.State(paddingsKey{}).(map[*graph.Node][]compute.PadAxis); ok {
		return widths
	}
	widths := make(map[*graph.Node][]compute.PadAxis)
	g.AttachState(paddingsKey{}, widths)
	return widths
}

// pad puts zeros before and after each axis, nothing between.
func pad(x *graph.Node, axes ...compute.PadAxis) *graph.Node {
	padded := graph.Pad(x, graph.ScalarZero(x.Graph(), x.DType()), axes...)
	paddingsOf(x.Graph())[padded] = axes
	return padded
}
