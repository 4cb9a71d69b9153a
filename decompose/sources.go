package decompose

import (
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"

	"vitdecompose/gomlxvit/mark"
)

// sourceValue gives the contributions that begin at n.
func (t *transform) sourceValue(n *graph.Node, s source, r *readout) *bundle {
	if t.opts.skip(s) {
		return &bundle{}
	}
	if t.opts.scores != nil {
		return t.leafEntry(n, s, r)
	}
	if r == nil {
		return t.wholeSource(n, s)
	}
	if s.kind == Head {
		if e := t.headEntry(n, s, r); e != nil {
			return &bundle{entries: []*entry{e}}
		}
		return &bundle{}
	}
	if t.opts.Split == Tokens {
		return &bundle{entries: []*entry{t.readTokens(s.first, takeTokens(t.flatten(n, n), r.tokens), r)}}
	}
	return &bundle{entries: []*entry{{keys: []Key{{Component: s.first}}, node: t.read(n, n, r)}}}
}

// wholeSource gives the contributions at n in full shape; heads are zero outside of their channels.
func (t *transform) wholeSource(n *graph.Node, s source) *bundle {
	if s.kind != Head {
		return &bundle{entries: []*entry{{keys: []Key{{Component: s.first}}, node: n}}}
	}
	axis := n.Rank() - 1
	if s.attention.Owner != nil {
		axis = s.attention.Axis
	}
	dims := slices.Repeat([]int{1}, n.Rank())
	dims[axis] = n.Shape().Dim(axis)
	out := &bundle{}
	for h := range s.attention.Heads {
		mask := graph.ConvertDType(graph.Reshape(graph.Const(t.graph, channelsOfHead(s.attention, h, dims[axis])), dims...), n.DType())
		out.entries = append(out.entries, &entry{keys: []Key{{Component: s.first + h}}, node: graph.Mul(n, mask)})
	}
	return out
}

// channelsOfHead is 1 for the channels, of so many, that belong to a head, and 0 for the others.
func channelsOfHead(a *mark.Attention, head, width int) []float32 {
	own := make([]float32, width)
	for c := range own {
		if owner := c / (width / a.Heads); a.Owner == nil && owner == head || a.Owner != nil && a.Owner[c] == head {
			own[c] = 1
		}
	}
	return own
}

// headEntry splits the concatenated heads n that r reads, by head or by head and source token; nil when they are left
// for a second graph.
func (t *transform) headEntry(n *graph.Node, s source, r *readout) *entry {
	heads := s.attention.Heads
	if t.opts.Split != Tokens {
		rows := t.read(n, n, r) // [batch, row, heads*headDim]
		if s.attention.Owner != nil {
			return t.ownedEntry(rows, s)
		}
		byHead := graph.Reshape(rows, t.batch, rows.Shape().Dim(1), heads, rows.Shape().Dim(2)/heads)
		e := &entry{heads: &headStack{graph.TransposeAllAxes(byHead, 0, 2, 1, 3)}}
		for h := range heads {
			e.keys = append(e.keys, Key{Component: s.first + h})
		}
		return e
	}

	if s.attention.Weights == nil || s.attention.Owner != nil {
		panic(fmt.Errorf("%s cannot be split by token: how its attention weights are laid out is not known", s.block))
	}
	var weights, values *graph.Node // [batch, head, row, token], [batch, token, head, headDim]
	if t.opts.layer != nil {
		given := t.opts.layer.of(r.tokens)
		weights, values = given.weights, given.values
	} else {
		weights, values = t.readAttention(s.attention, r)
	}
	if t.opts.capture {
		if slices.ContainsFunc(t.captures, func(c capture) bool { return c.block == s.block && slices.Equal(c.tokens, r.tokens) }) {
			panic(fmt.Errorf("the token split cannot tell apart two ways in which the same tokens of %s are read", s.block))
		}
		t.captures = append(t.captures, capture{s.block, r.tokens, weights, values})
		return nil
	}
	// Attention weight times value, not summed over the source token.
	tokens, rows := weights.Shape().Dim(3), weights.Shape().Dim(2)
	weights = graph.InsertAxes(graph.TransposeAllAxes(weights, 0, 1, 3, 2), -1) // [batch, head, token, row, 1]
	values = graph.InsertAxes(graph.TransposeAllAxes(values, 0, 2, 1, 3), 3)    // [batch, head, token, 1, headDim]
	product := graph.Mul(weights, values)                                       // [batch, head, token, row, headDim]
	stack := graph.Reshape(product, t.batch, heads, tokens*rows, product.Shape().Dim(-1))
	e := &entry{heads: &headStack{stack}}
	for h := range heads {
		for token := range tokens {
			if s.attention.Positions != nil {
				token = s.attention.Positions[token]
			}
			e.keys = append(e.keys, Key{Component: s.first + h, Token: token})
		}
	}
	return e
}

// ownedEntry splits rows [batch, row, channel] of which the heads own channels in no simple order.
func (t *transform) ownedEntry(rows *graph.Node, s source) *entry {
	e := &entry{}
	var nodes []*graph.Node
	for h := range s.attention.Heads {
		own := channelsOfHead(s.attention, h, rows.Shape().Dim(2))
		nodes = append(nodes, graph.Mul(rows, graph.Reshape(graph.Const(t.graph, own), 1, 1, len(own))))
		e.keys = append(e.keys, Key{Component: s.first + h})
	}
	e.node = graph.Concatenate(nodes, 1)
	return e
}

// readAttention gives the attention [batch, head, row, token] that the rows of r pay to each token of the marked node,
// and the values [batch, token, head, headDim].
func (t *transform) readAttention(a *mark.Attention, r *readout) (weights, values *graph.Node) {
	dims := a.Weights.Shape().Dimensions // [batch*window, head, query, source]
	windows := max(1, a.Windows)
	heads, queries, sources := dims[1], dims[2], dims[3]
	values = graph.Reshape(a.Values, t.batch, windows*sources, heads, a.Values.Shape().Dim(-1))
	if windows == 1 {
		byQuery := graph.Reshape(graph.TransposeAllAxes(a.Weights, 0, 2, 1, 3), t.batch, queries, heads*sources)
		rows := takeTokens(byQuery, r.tokens)
		if r.weights != nil {
			rows = weigh(r.weights, rows)
		}
		return graph.TransposeAllAxes(graph.Reshape(rows, t.batch, r.rows(), heads, sources), 0, 2, 1, 3), values
	}
	// A row reads the queries of all windows, but each window pays attention to its own sources only.
	perQuery := r.weights
	if perQuery == nil {
		perQuery = identityMatrix(t.graph, len(r.tokens))
	}
	if !contiguous(r.tokens) || len(r.tokens) != windows*queries {
		place := make([][]float32, len(r.tokens)) // [token read, query of the marked node]
		for i, token := range r.tokens {
			place[i] = make([]float32, windows*queries)
			place[i][token] = 1
		}
		perQuery = graph.Einsum("bkj,jn->bkn", perQuery, graph.Const(t.graph, place))
	}
	perQuery = graph.BroadcastToDims(perQuery, t.batch, r.rows(), windows*queries)
	perQuery = graph.Reshape(perQuery, t.batch, r.rows(), windows, queries)
	byWindow := graph.Reshape(a.Weights, t.batch, windows, heads, queries, sources)
	paid := graph.Einsum("bkwq,bwhqs->bhkws", perQuery, byWindow)
	return graph.Reshape(paid, t.batch, heads, r.rows(), windows*sources), values
}

// readTokens splits what r reads of a component by token; taken holds its tokens [batch, token, channel].
func (t *transform) readTokens(component int, taken *graph.Node, r *readout) *entry {
	tokens, channels := len(r.tokens), taken.Shape().Dim(2)
	e := &entry{}
	for _, token := range r.tokens {
		e.keys = append(e.keys, Key{Component: component, Token: token})
	}
	weights := r.weights
	if weights == nil {
		weights = identityMatrix(t.graph, tokens)
	}
	// [batch, token, row, channel] = weight of the token in the row, times the token
	product := graph.Mul(graph.InsertAxes(graph.TransposeAllAxes(weights, 0, 2, 1), -1), graph.InsertAxes(taken, 2))
	e.node = graph.Reshape(product, t.batch, tokens*r.rows(), channels)
	return e
}

// projectHeads applies the output projection n to heads with each head's own slice of the weight; nil when n is not a
// product of its last axis with a matrix.
func (t *transform) projectHeads(n *graph.Node, operand int, stack *headStack) *graph.Node {
	if n.Type() != graph.NodeTypeDotGeneral || operand != 0 || n.Inputs()[1].Rank() != 2 {
		return nil
	}
	weight := n.Inputs()[1]
	dims := stack.node.Shape().Dimensions // [batch, head, row, headDim]
	heads, rows, headDim := dims[1], dims[2], dims[3]
	out := t.layout(n).channels
	for axis, equation := range []string{"bhtd,hdo->bhto", "bhtd,ohd->bhto"} {
		if weight.Shape().Dim(axis) != heads*headDim || !t.contracts(n, weight, axis) {
			continue
		}
		split := []int{heads, headDim, out}
		if axis == 1 {
			split = []int{out, heads, headDim}
		}
		projected := graph.Einsum(equation, stack.node, alike(graph.Reshape(weight, split...), stack.node))
		return graph.Reshape(projected, t.batch, heads*rows, out)
	}
	return nil
}

// contracts says whether n multiplies its first operand's channels with this axis of the weight, by trying it on one
// channel alone: the whole width would not tell the axes of a square weight apart.
func (t *transform) contracts(n, weight *graph.Node, axis int) bool {
	l := t.layout(n.Inputs()[0])
	l.channels = 1
	dims := l.withRows(t.batch, l.tokens+1)
	probe := graph.BroadcastToDims(graph.ScalarZero(t.graph, weight.DType()), dims...)
	var clone *graph.Node
	err := exceptions.TryCatch[error](func() {
		clone = n.CloneWithInputs(probe, graph.SliceAxis(weight, axis, graph.AxisRange(0, 1)))
	})
	return err == nil && slices.Equal(clone.Shape().Dimensions, t.layout(n).withRows(t.batch, l.tokens+1))
}

// padHeads spreads heads to the full width, zero outside of each head's channels: [batch, head*row, heads*headDim].
func padHeads(stack *headStack) *graph.Node {
	dims := stack.node.Shape().Dimensions
	eye := graph.Reshape(identityMatrix(stack.node.Graph(), dims[1]), 1, dims[1], 1, dims[1], 1)
	padded := graph.Mul(graph.InsertAxes(stack.node, 3), eye)
	return graph.Reshape(padded, dims[0], dims[1]*dims[2], dims[1]*dims[3])
}
