package gomlxvit

import (
	"math"

	"github.com/gomlx/gomlx/core/graph"
)

// Rotary describes rotary position embeddings (RoPE, Su et al. 2021, arXiv 2104.09864) on a grid of patches: pairs of
// channels of queries and keys are turned by angles that grow with the patch's position. Class and register tokens are not
// turned.
type Rotary struct {
	Kind        RotaryKind
	Temperature float64
	// Reference is the side of the grid that the frequencies were made for: positions are scaled from the actual grid to it. 0
	// leaves them as they are.
	Reference int
	Offset    float64 // added to positions before they are scaled
	// ColumnFirst puts the column's angles before the row's.
	ColumnFirst bool
	// Halves pairs channel i with i + headDim/2; else neighbours are pairs.
	Halves bool
}

// RotaryKind is where the angles come from.
type RotaryKind string

// The kinds of rotary embeddings.
const (
	NoRotation      RotaryKind = ""
	AxialRotation   RotaryKind = "axial"   // half of the pairs turn with the row, half with the column
	CentredRotation RotaryKind = "centred" // as axial, with the picture's sides at -1 and 1 (DINOv3, arXiv 2508.10104)
	MixedRotation   RotaryKind = "mixed"   // learned frequencies for both in each pair, head and block (arXiv 2403.13298)
)

// rotation turns queries or keys [batch, token, head, headDim] of a block.
type rotation func(x *graph.Node, block int) *graph.Node

// rotation prepares the rotary embeddings of the model for tokens of the type and graph of like; nil without.
func (c *ViTConfig) rotation(w Weights, like *graph.Node) rotation {
	if c.Rotary.Kind == NoRotation {
		return nil
	}
	type turn struct{ cos, sin *graph.Node } // [1, token, head or 1, headDim]
	turns := make(map[int]turn)              // by block; 0 for all where they are the same
	of := func(block int) turn {
		if c.Rotary.Kind != MixedRotation {
			block = 0
		}
		t, ok := turns[block]
		if !ok {
			angles := c.angles(w, like, block)
			t = turn{graph.Cos(angles), graph.Sin(angles)}
			turns[block] = t
		}
		return t
	}
	return func(x *graph.Node, block int) *graph.Node {
		t := of(block)
		return graph.Add(graph.Mul(x, t.cos), graph.Mul(c.Rotary.quarterTurn(x), t.sin))
	}
}

// quarterTurn turns all pairs (a, b) of channels of x [batch, token, head, headDim] to (-b, a).
func (r *Rotary) quarterTurn(x *graph.Node) *graph.Node {
	dims := x.Shape().Dimensions
	pairs, axis := dims[3]/2, 4 // [batch, token, head, pair, 2]
	shape := []int{dims[0], dims[1], dims[2], pairs, 2}
	if r.Halves {
		shape, axis = []int{dims[0], dims[1], dims[2], 2, pairs}, 3
	}
	x = graph.Reshape(x, shape...)
	part := func(i int) *graph.Node { return graph.SliceAxis(x, axis, graph.AxisRange(i, i+1)) }
	return graph.Reshape(graph.Concatenate([]*graph.Node{graph.Neg(part(1)), part(0)}, axis), dims...)
}

// angles are those by which the channels of tokens turn, [1, token, head or 1, headDim]; 0 for class and register tokens.
func (c *ViTConfig) angles(w Weights, like *graph.Node, block int) *graph.Node {
	g, r, prefix, tokens := like.Graph(), &c.Rotary, c.PrefixTokens(), c.Tokens()
	headDim := c.Width / c.Heads
	first, second := r.positions(c.Grid())
	if r.Kind == MixedRotation {
		column := func(positions []float32) *graph.Node { // [token, 1, 1]
			all := append(make([]float32, prefix), positions...)
			return graph.ConvertDType(graph.Reshape(graph.Const(g, all), tokens, 1, 1), like.DType())
		}
		frequencies := func(axis int) *graph.Node { // [1, head, pair]
			of := graph.SliceAxis(w.Get(c.names.frequencies), 0, graph.AxisElem(axis))
			return graph.Reshape(graph.SliceAxis(of, 1, graph.AxisElem(block)), 1, c.Heads, headDim/2)
		}
		angles := graph.Add(graph.Mul(column(first), frequencies(0)), graph.Mul(column(second), frequencies(1)))
		pairs := graph.BroadcastToDims(graph.InsertAxes(angles, -1), tokens, c.Heads, headDim/2, 2)
		return graph.Reshape(pairs, 1, tokens, c.Heads, headDim)
	}
	bands := make([]float32, headDim/4)
	for i := range bands {
		bands[i] = float32(1 / math.Pow(r.Temperature, float64(i)/float64(len(bands))))
		if r.Kind == CentredRotation {
			bands[i] *= 2 * math.Pi
		}
	}
	table := make([]float32, tokens*headDim)
	for i := range first {
		row := table[(prefix+i)*headDim:][:headDim]
		for k, band := range bands {
			for axis, position := range []float32{first[i], second[i]} {
				pair, angle := axis*len(bands)+k, position*band
				if r.Halves {
					row[pair], row[pair+headDim/2] = angle, angle
				} else {
					row[2*pair], row[2*pair+1] = angle, angle
				}
			}
		}
	}
	return graph.ConvertDType(graph.Reshape(graph.Const(g, table), 1, tokens, 1, headDim), like.DType())
}

// positions are the coordinates of the patches of a square grid, row by row: rows and columns, or the other way round.
func (r *Rotary) positions(grid int) (first, second []float32) {
	side := make([]float32, grid)
	for i := range side {
		at := float32(i) + float32(r.Offset)
		switch {
		case r.Kind == CentredRotation:
			at = 2*((float32(i)+0.5+float32(r.Offset))/float32(grid)) - 1
		case r.Reference > 0:
			at = at / float32(grid) * float32(r.Reference)
		}
		side[i] = at
	}
	for row := range grid {
		for column := range grid {
			first, second = append(first, side[row]), append(second, side[column])
		}
	}
	if r.ColumnFirst {
		first, second = second, first
	}
	return first, second
}
