package decompose

import (
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// readout says what is needed of a node's tokens further on: rows of weighted sums over some of its tokens,
//
//	row k = Σ_j weights[b, k, j] * x[b, tokens[j], :]
//
// Without weights there is a row for each token read.
type readout struct {
	tokens  []int
	weights *graph.Node // [batch or 1, row, len(tokens)], or nil
}

// rows is the number of rows read.
func (r *readout) rows() int {
	if r.weights == nil {
		return len(r.tokens)
	}
	return r.weights.Shape().Dim(1)
}

// readoutKey remembers readouts that were pulled through a node, so that they stay the same object.
type readoutKey struct {
	r    *readout
	n    *graph.Node
	part int // of a join
}

// throughTokenMap reads from the input of a marked token map what r reads from n, its result; part counts those of a join.
func (t *transform) throughTokenMap(r *readout, n *graph.Node, m mark.TokenMap, part int) *readout {
	key := readoutKey{r, n, part}
	if through, ok := t.readouts[key]; ok {
		return through
	}
	through := &readout{}
	per := len(m.Index[r.tokens[0]]) // tokens of the input for each of n
	for _, token := range r.tokens {
		if len(m.Index[token]) != per {
			panic(fmt.Errorf("the token map marked at node #%d (%s, %s) reads %d tokens for one token and %d for another: mark it in parts", n.Id(), n.Type(), n.Shape(), per, len(m.Index[token])))
		}
		through.tokens = append(through.tokens, m.Index[token]...)
	}
	if r.weights != nil || per != 1 || m.Weight != 1 {
		weights := r.weights
		if weights == nil {
			weights = identityMatrix(t.graph, len(r.tokens))
		}
		if m.Weight != 1 {
			weights = graph.MulScalar(weights, m.Weight)
		}
		dims := weights.Shape().Dimensions
		if per != 1 { // each weight once for every token of the input
			weights = graph.BroadcastToDims(graph.InsertAxes(weights, -1), dims[0], dims[1], dims[2], per)
		}
		through.weights = graph.Reshape(weights, dims[0], dims[1], dims[2]*per)
		through.sort()
	}
	t.readouts[key] = through
	return through
}

// throughPool reads from the values of a pooling attention, marked at n, a row for each head: all channels as this head weighs
// the tokens. [transform.pooled] takes each head's own.
func (t *transform) throughPool(n *graph.Node, p mark.Pool) *readout {
	key := readoutKey{n: n}
	through, ok := t.readouts[key]
	if !ok {
		through = &readout{tokens: upTo(p.Weights.Shape().Dim(2)), weights: p.Weights}
		t.readouts[key] = through
	}
	return through
}

// pooled takes of contributions that were read with a row for each head of a pooling attention the channels that belong to
// the head, and reads r of them.
func (t *transform) pooled(in *bundle, p mark.Pool, r *readout) *bundle {
	in.stack(t.opts.Split != Tokens, t.constComponent())
	heads := p.Weights.Shape().Dim(1)
	own := graph.Reshape(identityMatrix(t.graph, heads), 1, 1, heads, heads, 1)
	return in.mapNodes(func(x *graph.Node) *graph.Node {
		dims := x.Shape().Dimensions // [batch, contribution*head, channel]
		count, channels := dims[1]/heads, dims[2]
		byHead := graph.Reshape(x, t.batch, count, heads, heads, channels/heads)
		x = graph.Reshape(graph.ReduceSum(graph.Mul(byHead, own), 2), t.batch, count, channels)
		if r.weights == nil {
			return x
		}
		rows := graph.Reshape(r.weights, r.weights.Shape().Dim(0), 1, r.rows(), 1)
		return graph.Reshape(graph.Mul(graph.InsertAxes(x, 2), rows), t.batch, count*r.rows(), channels)
	})
}

// sort brings the tokens read into ascending order, and the weights with them: to move a few weights is cheaper than to
// move the tokens of every contribution.
func (r *readout) sort() {
	order := upTo(len(r.tokens))
	slices.SortStableFunc(order, func(a, b int) int { return r.tokens[a] - r.tokens[b] })
	if slices.IsSorted(order) {
		return
	}
	sorted := make([]int, len(order))
	for i, from := range order {
		sorted[i] = r.tokens[from]
	}
	byToken := graph.TransposeAllAxes(r.weights, 0, 2, 1)
	r.tokens, r.weights = sorted, graph.TransposeAllAxes(takeTokens(byToken, order), 0, 2, 1)
}

// throughTokenScale moves a factor per token of n (1/σ of a norm) into the weights of the readout.
func (t *transform) throughTokenScale(r *readout, n, factor *graph.Node) *readout {
	key := readoutKey{r, n, 0}
	if through, ok := t.readouts[key]; ok {
		return through
	}
	if n.Type() == graph.NodeTypeDiv {
		factor = graph.Reciprocal(factor)
	}
	// The factor may be the same for all tokens (a factor per picture): then it is broadcast.
	l := t.layout(n)
	dims := factor.Shape().Dimensions
	first, batch := dims[0], dims[0]
	if l.groups > 1 {
		first, batch = t.batch*l.groups, t.batch
	}
	full := append([]int{first}, l.tokenDims...)
	if l.hasChannels {
		full = append(full, 1)
	}
	factor = graph.Reshape(graph.BroadcastToDims(factor, full...), batch, l.tokens, 1)
	perToken := graph.Reshape(takeTokens(factor, r.tokens), batch, 1, len(r.tokens))
	through := &readout{tokens: r.tokens}
	switch {
	case r.weights != nil:
		through.weights = graph.Mul(r.weights, perToken)
	case len(r.tokens) == 1:
		through.weights = perToken
	default: // a row for each token: a diagonal matrix
		through.weights = graph.Mul(identityMatrix(t.graph, len(r.tokens)), perToken)
	}
	t.readouts[key] = through
	return through
}

// takeTokens picks tokens of x, shaped [batch, token, channel].
func takeTokens(x *graph.Node, tokens []int) *graph.Node {
	if contiguous(tokens) {
		if len(tokens) == x.Shape().Dim(1) {
			return x
		}
		return graph.SliceAxis(x, 1, graph.AxisRange(tokens[0], tokens[0]+len(tokens)))
	}
	indices := make([][]int32, len(tokens))
	for i, token := range tokens {
		indices[i] = []int32{int32(token)}
	}
	byToken := graph.TransposeAllAxes(x, 1, 0, 2)
	return graph.TransposeAllAxes(graph.Gather(byToken, graph.Const(x.Graph(), indices)), 1, 0, 2)
}

func contiguous(tokens []int) bool {
	for i, token := range tokens {
		if token != tokens[0]+i {
			return false
		}
	}
	return len(tokens) > 0
}

// identityMatrix is the matrix [1, n, n] of ones on the diagonal.
func identityMatrix(g *graph.Graph, n int) *graph.Node {
	eye := make([][]float32, n)
	for i := range eye {
		eye[i] = make([]float32, n)
		eye[i][i] = 1
	}
	return graph.InsertAxes(graph.Const(g, eye), 0)
}

// flatten brings a node of known layout into the form [batch, token, channel].
func (t *transform) flatten(x *graph.Node, like *graph.Node) *graph.Node {
	l := t.layout(like)
	batch := x.Shape().Dim(0) / l.groups
	return graph.Reshape(x, batch, l.tokens, x.Shape().Size()/(batch*l.tokens))
}

// read gives the rows [batch, row, channel] of x, which has the layout of node like.
func (t *transform) read(x, like *graph.Node, r *readout) *graph.Node {
	taken := takeTokens(t.flatten(x, like), r.tokens)
	if r.weights == nil {
		return taken
	}
	return weigh(r.weights, taken)
}

// weigh sums tokens [batch, token, channel] with weights [batch or 1, row, token] to rows [batch, row, channel].
func weigh(weights, taken *graph.Node) *graph.Node {
	if weights.Shape().Dim(1) == 1 && weights.Shape().Dim(2) == 1 {
		return graph.Mul(taken, weights)
	}
	if batch := max(taken.Shape().Dim(0), weights.Shape().Dim(0)); weights.Shape().Dim(0) != taken.Shape().Dim(0) {
		dims := weights.Shape().Dimensions
		weights = graph.BroadcastToDims(weights, batch, dims[1], dims[2])
		taken = graph.BroadcastToDims(taken, batch, dims[2], taken.Shape().Dim(2))
	}
	return graph.Einsum("bkj,bjc->bkc", weights, taken)
}

// readConstant gives the rows [batch, row, channel] of a constant operand of n, which broadcasts to n's shape.
func (t *transform) readConstant(constant, n *graph.Node, r *readout) *graph.Node {
	l := t.layout(n)
	dims := slices.Clone(n.Shape().Dimensions)
	var rows *graph.Node
	if constant.Rank() > 0 && constant.Shape().Size() == constant.Shape().Dim(-1) {
		// The same for all tokens (a bias): the weights of each row add up.
		constant = graph.Reshape(constant, 1, 1, constant.Shape().Size())
		if r.weights == nil {
			rows = constant
		} else {
			rows = graph.Mul(graph.ReduceAndKeep(r.weights, graph.ReduceSum, 2), constant)
		}
	} else {
		rows = t.read(graph.BroadcastToDims(constant, dims...), n, r)
	}
	return graph.BroadcastToDims(rows, t.batch, r.rows(), l.channels)
}
