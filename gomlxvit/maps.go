package gomlxvit

import (
	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// What Swin, MaxViT, CoAtNet and Hiera do to square maps of tokens, kept as [batch, token, channel] row by row.

// everyOther takes the tokens in every other row and column of a map with this side, beginning at (row, column).
func everyOther(x *graph.Node, side, row, column int) *graph.Node {
	batch, channels, half := x.Shape().Dim(0), x.Shape().Dim(2), side/2
	grid := graph.Reshape(x, batch, side, side, channels)
	grid = graph.SliceAxis(grid, 1, graph.AxisRange(row, side).Stride(2))
	grid = graph.SliceAxis(grid, 2, graph.AxisRange(column, side).Stride(2))
	y := graph.Reshape(grid, batch, half*half, channels)
	mark.TokensOf(y, x, mark.TokenMap{Index: coarse(side, []int{row*side + column}), Weight: 1})
	return y
}

// averageFours takes the mean of every 2 x 2 tokens of a map with this side.
func averageFours(x *graph.Node, side int) *graph.Node {
	batch, channels, half := x.Shape().Dim(0), x.Shape().Dim(2), side/2
	y := graph.ReduceMean(graph.Reshape(x, batch, half, 2, half, 2, channels), 2, 4)
	y = graph.Reshape(y, batch, half*half, channels)
	mark.TokensOf(y, x, mark.TokenMap{Index: coarse(side, []int{0, 1, side, side + 1}), Weight: 0.25})
	return y
}

// largestOfFours takes the largest of every 2 x 2 tokens of a map with this side, channel by channel.
func largestOfFours(x *graph.Node, side int) *graph.Node {
	batch, channels, half := x.Shape().Dim(0), x.Shape().Dim(2), side/2
	y := graph.ReduceMax(graph.Reshape(x, batch, half, 2, half, 2, channels), 2, 4)
	return graph.Reshape(y, batch, half*half, channels)
}

// largestOfNines takes for every other token of a map with this even side, in rows and columns, the largest of the 3 x 3 tokens
// around it, channel by channel.
func largestOfNines(x *graph.Node, side int) *graph.Node {
	return largestOfThrees(largestOfThrees(x, side, side, false), side, side/2, true)
}

// largestOfThrees takes for every other token of each row, or of each column, the largest of it and its neighbours in that row or
// column.
func largestOfThrees(x *graph.Node, rows, columns int, ofColumn bool) *graph.Node {
	batch, channels := x.Shape().Dim(0), x.Shape().Dim(2)
	axis, length, step := 2, columns, 1 // along which maxima are taken, and from one token to the next
	if ofColumn {
		axis, length, step = 1, rows, columns
	}
	grid := graph.Reshape(x, batch, rows, columns, channels)
	at := graph.SliceAxis(grid, axis, graph.AxisRange(0, length).Stride(2))
	after := graph.SliceAxis(grid, axis, graph.AxisRange(1, length).Stride(2))
	before := graph.SliceAxis(grid, axis, graph.AxisRange(0, 1)) // in place of what is beyond the edge
	if length > 2 {
		before = graph.Concatenate([]*graph.Node{before, graph.SliceAxis(after, axis, graph.AxisRange(0, length/2-1))}, axis)
	}
	threes := graph.Stack([]*graph.Node{before, at, after}, 3)
	threes = graph.Reshape(threes, batch, rows*columns/2, 3, channels)

	var index [][]int
	for token := range rows * columns {
		if place := token / step % length; place%2 == 0 {
			index = append(index, []int{token - min(place, 1)*step}, []int{token}, []int{token + step})
		}
	}
	mark.TokensOf(threes, x, mark.TokenMap{Index: index, Weight: 1})
	return graph.ReduceMax(threes, 2)
}

// coarse lists for each token of a map of half the side the tokens of the map that it is made of: those at the given
// distances from the first token of its 2 x 2.
func coarse(side int, distances []int) [][]int {
	index := make([][]int, 0, side*side/4)
	for y := 0; y < side; y += 2 {
		for x := 0; x < side; x += 2 {
			var tokens []int
			for _, d := range distances {
				tokens = append(tokens, y*side+x+d)
			}
			index = append(index, tokens)
		}
	}
	return index
}

// averageTokens takes the mean over all tokens of x [batch, token, channel].
func averageTokens(x *graph.Node) *graph.Node {
	count := x.Shape().Dim(1)
	mean := graph.ReduceMean(x, 1)
	all := make([]int, count)
	for i := range all {
		all[i] = i
	}
	mark.TokensOf(mean, x, mark.TokenMap{Index: [][]int{all}, Weight: 1 / float64(count)})
	return mean
}
