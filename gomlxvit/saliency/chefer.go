package saliency

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/mark"
)

// propagation passes relevance from a class back through a vision transformer: the rules of Chefer et al. 2021
// (arXiv 2012.09838, section 3) as their program computes them, with alpha = 1 and beta = 0.
//
// It is computed in float64. The rules divide by sums of terms of both signs, which can be all but zero, and so magnify
// rounding from block to block: in float32 the map of a small model of 4 blocks is off by 1% of its largest value.
type propagation struct {
	marks *mark.Table
	// arrived holds the relevance that each consumer of a node passed back to it, those that are computed last first.
	arrived map[*graph.Node][]*graph.Node
	waiting []*graph.Node // those nodes that have not passed theirs on
	// attentions are the attention layers in forward order. Of each, relevance is that of its attention weights and
	// derivatives that of the chosen logit with respect to them, [batch, head, query, key].
	attentions             []mark.Attention
	relevance, derivatives []*graph.Node
	class                  int // the token that the class is read from
	prefix                 int // how many tokens come before the patches
}

// firstBlock is the first block whose attention counts for the map: all but block 0's, as in the authors' script.
const firstBlock = 1

// propagate builds the model's graph in float64 and passes the relevance of each picture's class back through it.
func propagate(arch gomlxvit.Architecture, w gomlxvit.Weights, pixels, classes *graph.Node) *propagation {
	w, pixels = doubles{w}, graph.ConvertDType(pixels, dtypes.Float64)
	logits := arch.Head(w, arch.Representation(w, pixels))
	p := &propagation{
		marks: mark.Of(logits.Graph()), arrived: make(map[*graph.Node][]*graph.Node), prefix: arch.PrefixTokens(),
	}
	for _, a := range p.marks.Heads {
		p.attentions = append(p.attentions, a)
	}
	slices.SortFunc(p.attentions, func(a, b mark.Attention) int { return int(a.Weights.Id()) - int(b.Weights.Id()) })

	// The relevance of a class is 1, whatever its logit.
	chosen := choose(logits, classes)
	relevance := make(map[*graph.Node]*graph.Node)
	p.pass(logits, chosen)
	for len(p.waiting) > 0 {
		// Of those waiting the last in the graph: all that read it have been visited.
		slices.SortFunc(p.waiting, func(a, b *graph.Node) int { return int(a.Id()) - int(b.Id()) })
		n := p.waiting[len(p.waiting)-1]
		p.waiting = p.waiting[:len(p.waiting)-1]
		if a, ok := p.marks.Heads[n]; ok {
			relevance[a.Weights] = p.throughAttention(a, n)
		} else if block, ok := p.marks.Inputs[n]; !ok || block.Order > 0 {
			p.through(n)
		}
	}
	var weights []*graph.Node
	for _, a := range p.attentions {
		weights = append(weights, a.Weights)
		p.relevance = append(p.relevance, relevance[a.Weights])
	}
	p.derivatives = gradients(logits, chosen, weights...)
	return p
}

// doubles are weights in float64.
type doubles struct{ gomlxvit.Weights }

// Get implements gomlxvit.Weights.
func (d doubles) Get(name string) *graph.Node {
	return graph.ConvertDType(d.Weights.Get(name), dtypes.Float64)
}

// pass hands relevance back to a node.
func (p *propagation) pass(to, relevance *graph.Node) {
	if p.arrived[to] == nil {
		p.waiting = append(p.waiting, to)
	}
	p.arrived[to] = append(p.arrived[to], relevance)
}

// at is the relevance of node x. What two consumers passed back is added up, in the authors' way:
//
//	R = x (R₁/x + R₂/x)
func (p *propagation) at(x *graph.Node) *graph.Node {
	arrived := p.arrived[x]
	if len(arrived) == 1 {
		return arrived[0]
	}
	sum := quotient(arrived[0], x)
	for _, r := range arrived[1:] {
		sum = graph.Add(sum, quotient(r, x))
	}
	return graph.Mul(x, sum)
}

// through passes the relevance of node y on to what it was computed from. Biases, norms and activations leave it as it is.
func (p *propagation) through(y *graph.Node) {
	relevance := p.at(y)
	if sum, ok := p.marks.Residuals[y]; ok {
		stream, branch := throughResidual(relevance, sum)
		p.pass(sum.Stream, stream)
		p.pass(sum.Branch, branch)
		return
	}
	if linear, ok := p.marks.Linears[y]; ok {
		p.pass(linear.Input, throughLinear(relevance, linear))
		return
	}
	if x, ok := p.marks.Elementwise[y]; ok {
		p.pass(x, relevance)
		return
	}
	if tokens, ok := p.marks.TokenMaps[y]; ok && len(tokens.Index) == 1 && len(tokens.Index[0]) == 1 && tokens.Weight == 1 {
		p.class = tokens.Index[0][0]
		p.pass(tokens.Input, throughSelection(relevance, y, tokens))
		return
	}
	if y.Type() == graph.NodeTypeIdentity {
		p.pass(y.Inputs()[0], relevance)
		return
	}
	panic(fmt.Errorf("there is no rule by which relevance passes node #%d (%s, %s): the method is for vision transformers "+
		"with a class token and a linear head, without LayerScale, average pooling, projection or windows",
		y.Id(), y.Type(), y.Shape()))
}

// throughLinear passes relevance R of y = x Wᵀ (biases are ignored) to x. Only products that are positive count:
//
//	z = x⁺ W⁺ᵀ + x⁻ W⁻ᵀ;  s = R / z;  Rx = x⁺ (s W⁺) + x⁻ (s W⁻)
//
// where ⁺ keeps what is positive and ⁻ what is negative.
func throughLinear(relevance *graph.Node, linear mark.Linear) *graph.Node {
	x, w := linear.Input, linear.Weight
	last := x.Rank() - 1
	xs := []*graph.Node{graph.MaxScalar(x, 0), graph.MinScalar(x, 0)}
	ws := []*graph.Node{graph.MaxScalar(w, 0), graph.MinScalar(w, 0)}
	forward := func(i int) *graph.Node { return graph.DotGeneral(xs[i], []int{last}, nil, ws[i], []int{1}, nil) }
	s := quotient(relevance, graph.Add(forward(0), forward(1)))
	back := func(i int) *graph.Node {
		return graph.Mul(xs[i], graph.DotGeneral(s, []int{last}, nil, ws[i], []int{0}, nil))
	}
	return graph.Add(back(0), back(1))
}

// throughResidual splits relevance R of the sum a + b in proportion to the two, element by element. Then each part is
// scaled so that its sum over the picture is its share of R's sum, |Σa'| / (|Σa'| + |Σb'|):
//
//	a' = a R / (a + b);  Ra = a' (|Σa'| / (|Σa'| + |Σb'|) ΣR) / Σa'
func throughResidual(relevance *graph.Node, sum mark.Residual) (stream, branch *graph.Node) {
	s := quotient(relevance, graph.Add(sum.Stream, sum.Branch))
	stream, branch = graph.Mul(sum.Stream, s), graph.Mul(sum.Branch, s)
	total := func(x *graph.Node) *graph.Node { return graph.ReduceAndKeep(x, graph.ReduceSum, 1, 2) }
	whole, a, b := total(relevance), total(stream), total(branch)
	both := graph.Add(graph.Abs(a), graph.Abs(b))
	scaled := func(part, sum *graph.Node) *graph.Node {
		share := graph.Mul(quotient(graph.Abs(sum), both), whole)
		return graph.Mul(part, quotient(share, sum))
	}
	return scaled(stream, a), scaled(branch, b)
}

// throughSelection passes relevance R of the class token y to the tokens it was taken from, y R / y at its place.
func throughSelection(relevance, y *graph.Node, tokens mark.Tokens) *graph.Node {
	count, class := tokens.Input.Shape().Dim(1), tokens.Index[0][0]
	place := graph.OneHot(graph.Const(y.Graph(), []int32{int32(class)}), count, y.DType()) // [1, token]
	return graph.Mul(graph.InsertAxes(graph.Mul(y, quotient(relevance, y)), 1), graph.InsertAxes(place, -1))
}

// throughAttention passes the relevance of the merged heads to queries, keys and values and returns that of the attention
// weights. A product shares relevance equally between its two factors, in proportion to the terms of its sums:
//
//	A V:   s = R / (A V);    R_A = A (s Vᵀ) / 2,  R_V = V (Aᵀ s) / 2
//	Q Kᵀ:  s = R_A / (Q Kᵀ);  R_Q = Q (s K) / 2,   R_K = K (sᵀ Q) / 2
func (p *propagation) throughAttention(a mark.Attention, merged *graph.Node) (ofWeights *graph.Node) {
	switch {
	case a.Windows > 0:
		panic(fmt.Errorf("%s: there is no rule by which relevance passes attention within windows", a.Block))
	case a.QKV == nil:
		panic(fmt.Errorf("%s: there is no rule by which relevance passes attention whose queries and keys are rotated or normalised, or whose scores have a bias", a.Block))
	}
	dims := a.Values.Shape().Dimensions // [batch, token, head, headDim]
	split := func(x *graph.Node) *graph.Node { return graph.Reshape(x, dims...) }
	half := func(x, y *graph.Node) *graph.Node { return graph.MulScalar(graph.Mul(x, y), 0.5) }

	s := quotient(split(p.at(merged)), split(merged))
	ofWeights = half(a.Weights, graph.Einsum("bqhd,bkhd->bhqk", s, a.Values))
	ofValues := half(a.Values, graph.Einsum("bhqk,bqhd->bkhd", a.Weights, s))

	width := dims[2] * dims[3]
	part := func(i int) *graph.Node {
		return split(graph.SliceAxis(a.QKV, 2, graph.AxisRange(i*width, (i+1)*width)))
	}
	queries, keys := part(0), part(1)
	s = quotient(ofWeights, graph.Einsum("bqhd,bkhd->bhqk", queries, keys))
	ofQueries := half(queries, graph.Einsum("bhqk,bkhd->bqhd", s, keys))
	ofKeys := half(keys, graph.Einsum("bhqk,bqhd->bkhd", s, queries))

	flat := func(x *graph.Node) *graph.Node { return graph.Reshape(x, dims[0], dims[1], width) }
	p.pass(a.QKV, graph.Concatenate([]*graph.Node{flat(ofQueries), flat(ofKeys), flat(ofValues)}, -1))
	return ofWeights
}

// quotient is the division of the authors' program: r / (z + 1e-9), and 0 where z is 0.
func quotient(r, z *graph.Node) *graph.Node {
	const epsilon = 1e-9
	divisor := graph.AddScalar(z, epsilon)
	divisor = graph.Where(graph.IsZero(divisor), graph.Scalar(z.Graph(), z.DType(), epsilon), divisor)
	return graph.Where(graph.IsZero(z), graph.ZerosLike(r), graph.Div(r, divisor))
}

// cam is what one block's attention says, [batch, query, key]: the mean over heads of derivative times relevance, where
// that is positive.
func (p *propagation) cam(block int) *graph.Node {
	return graph.ReduceMean(graph.MaxScalar(graph.Mul(p.derivatives[block], p.relevance[block]), 0), 1)
}

// rollout is the map [batch, row, column]: what the class token reads of each patch through the blocks from first on,
// each of which adds its cam to what is there (a model of one block has only that one):
//
//	(1 + cam_last) ... (1 + cam_first), the class token's row
func (p *propagation) rollout(first int) *graph.Node {
	last := len(p.attentions) - 1
	var row *graph.Node // [batch, 1, key]
	for block := last; block >= min(first, last); block-- {
		cam := p.cam(block)
		if row == nil {
			tokens := cam.Shape().Dim(2)
			place := graph.OneHot(graph.Const(cam.Graph(), []int32{int32(p.class)}), tokens, cam.DType())
			row = graph.BroadcastToDims(graph.InsertAxes(place, 0), cam.Shape().Dim(0), 1, tokens)
		}
		row = graph.Add(row, graph.Einsum("bqk,bkj->bqj", row, cam))
	}
	patches := graph.SliceAxis(graph.Squeeze(row, 1), 1, graph.AxisRange(p.prefix, row.Shape().Dim(2)))
	return grid(patches)
}
