package mark_test

import (
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/mark"
)

// Marks are found again in the graph they were made in, and nowhere else; a node that enters two blocks has two marks.
func TestMarksBelongToTheirGraph(t *testing.T) {
	b, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Finalize()
	g, other := graph.NewGraph(b, "marked"), graph.NewGraph(b, "other")
	x := graph.Const(g, [][]float32{{1, 2}})
	first, second := mark.BlockInput(x, mark.Plain(0)), mark.BlockInput(x, mark.Plain(1))
	mark.Component(second, mark.Plain(1), mark.MLP)
	mark.Statistic(x)
	mark.ReadBy(second, mark.Plain(1), mark.MLP)
	weight := graph.Const(g, [][]float32{{3, 4}})
	mark.LinearOf(second, first, weight)
	mark.ResidualOf(second, x, first)
	mark.ElementwiseOf(second, x)
	mark.ElementwiseOf(second, first)

	marks := mark.Of(g)
	if marks.Inputs[first] != mark.Plain(0) || marks.Inputs[second] != mark.Plain(1) || len(marks.Inputs) != 2 {
		t.Errorf("block inputs are %v", marks.Inputs)
	}
	if got := marks.Components[second]; got != (mark.ComponentMark{Block: mark.Plain(1), Part: mark.MLP}) {
		t.Errorf("the component is %v", got)
	}
	if !marks.Statistics[x] || marks.Statistics[first] {
		t.Errorf("statistics are %v", marks.Statistics)
	}
	if got := marks.Reads[second]; got != (mark.ComponentMark{Block: mark.Plain(1), Part: mark.MLP}) {
		t.Errorf("the node is read by %v", got)
	}
	if got := marks.Linears[second]; got != (mark.Linear{Input: first, Weight: weight}) {
		t.Errorf("the linear layer is %v", got)
	}
	if got := marks.Residuals[second]; got != (mark.Residual{Stream: x, Branch: first}) {
		t.Errorf("the residual sum is %v", got)
	}
	if marks.Elementwise[second] != first {
		t.Error("the last elementwise mark does not count")
	}
	if marks := mark.Of(other); len(marks.Inputs)+len(marks.Components)+len(marks.Statistics) != 0 {
		t.Error("another graph has marks too")
	}
}
