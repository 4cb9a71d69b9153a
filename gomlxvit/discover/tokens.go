package discover

import (
	"slices"

	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// groups is how many groups of tokens axis 0 holds beside the batch, 0 if it is not a multiple of the batch.
func (f *finder) groups(n *graph.Node) int {
	if n.Rank() < 2 || n.Shape().Dim(0)%f.batch != 0 {
		return 0
	}
	return n.Shape().Dim(0) / f.batch
}

// findTokenMaps finds the nodes on the path that only select, move or sum tokens of another.
func (f *finder) findTokenMaps() {
	f.tokenMaps, f.joins = make(map[*graph.Node]mark.Tokens), make(map[*graph.Node]mark.Join)
	for _, n := range f.nodes {
		if !f.path[n] {
			continue
		}
		switch n.Type() {
		case graph.NodeTypeSlice, graph.NodeTypeGather, graph.NodeTypeTranspose, graph.NodeTypeConcatenate, graph.NodeTypeReverse, graph.NodeTypeReshape:
			if x := f.movedFrom(n); x != nil && x != n {
				switch parts := f.tokensOf(n, x); len(parts) {
				case 0:
				case 1:
					f.tokenMaps[n] = mark.Tokens{TokenMap: parts[0], Input: x}
				default:
					f.joins[n] = mark.Join{Parts: parts, Input: x}
				}
			}
		case graph.NodeTypeReduceSum:
			if index := f.summedTokens(n); index != nil {
				f.tokenMaps[n] = mark.Tokens{TokenMap: mark.TokenMap{Index: index, Weight: 1}, Input: n.Inputs()[0]}
			}
		}
	}
}

// movedFrom is the node that n is made of by moving elements alone, nil if there are several or if nothing but its shape
// changes.
func (f *finder) movedFrom(n *graph.Node) *graph.Node {
	moves := false
	var from *graph.Node
	seen := make(map[*graph.Node]bool)
	list := []*graph.Node{n}
	for len(list) > 0 {
		m := list[len(list)-1]
		list = list[:len(list)-1]
		if seen[m] {
			continue
		}
		seen[m] = true
		switch m.Type() {
		case graph.NodeTypeSlice, graph.NodeTypeTranspose, graph.NodeTypeGather:
			moves = true
			list = append(list, m.Inputs()[0])
			continue
		case graph.NodeTypeConcatenate:
			if !slices.ContainsFunc(m.Inputs(), func(input *graph.Node) bool { return !f.dynamic[input] }) {
				moves = true
				list = append(list, m.Inputs()...)
				continue
			}
		case graph.NodeTypeReshape, graph.NodeTypeIdentity:
			list = append(list, m.Inputs()[0])
			continue
		}
		if from != nil && from != m {
			return nil
		}
		from = m
	}
	if !moves {
		return nil
	}
	return from
}

// tokensOf tells for each token of n [batch*group, token..., channel] which one of x it is, or which ones where n has the
// channels of several, each a part; nil if n is not made so.
func (f *finder) tokensOf(n, x *graph.Node) []mark.TokenMap {
	if f.groups(x) == 0 || f.groups(n) == 0 {
		return nil
	}
	channels, width := x.Shape().Dim(-1), n.Shape().Dim(-1)
	if width%channels != 0 || width/channels > 64 {
		return nil
	}
	l := f.moves[x]
	if l == nil {
		if x.Shape().Size() > 1<<24 {
			return nil
		}
		ids := make([]int32, x.Shape().Size())
		for i := range ids {
			ids[i] = int32(i)
		}
		l = f.label(x, ids, true)
		f.moves[x] = l
	}
	labels := l.of(n)
	if labels == nil {
		return nil
	}
	perPicture, perSource := n.Shape().Size()/f.batch, x.Shape().Size()/f.batch
	parts := make([]mark.TokenMap, width/channels)
	for i := range parts {
		parts[i] = mark.TokenMap{Index: make([][]int, perPicture/width), Weight: 1}
	}
	for i, label := range labels {
		picture, token, part, channel := i/perPicture, i%perPicture/width, i%width/channels, i%channels
		at := int(label)
		if at < 0 || at/perSource != picture || at%channels != channel {
			return nil
		}
		source := at % perSource / channels
		index := parts[part].Index
		switch {
		case index[token] == nil:
			index[token] = []int{source}
		case index[token][0] != source:
			return nil
		}
	}
	return parts
}

// summedTokens tells which tokens each token of n is the sum of, for a sum over axes of tokens.
func (f *finder) summedTokens(n *graph.Node) [][]int {
	x := n.Inputs()[0]
	axes := lists(n)["axes"]
	dims := x.Shape().Dimensions
	if dims[0] != f.batch || x.Rank() < 3 || len(axes) == 0 {
		return nil
	}
	reduced := make([]bool, len(dims))
	for _, axis := range axes {
		if axis < 1 || axis >= len(dims)-1 {
			return nil
		}
		reduced[axis] = true
	}
	tokens := 1
	for _, d := range dims[1 : len(dims)-1] {
		tokens *= d
	}
	index := make([][]int, n.Shape().Size()/(dims[0]*dims[len(dims)-1]))
	for token := range tokens {
		rest, to, size := token, 0, 1
		for axis := len(dims) - 2; axis > 0; axis-- {
			at := rest % dims[axis]
			rest /= dims[axis]
			if !reduced[axis] {
				to += at * size
				size *= dims[axis]
			}
		}
		index[to] = append(index[to], token)
	}
	return index
}

// attentionLayout says how the weights and values of a product are laid out, so that heads can be split by token.
type attentionLayout struct {
	product *graph.Node
	weights int // the operand that holds the weights
	// Axes of the operands in the order in which they are wanted: weights [batch, window..., head, query, source] and values
	// [batch, window..., source, head, dim]. Without an axis of their own heads are part of axis 0.
	weightAxes, valueAxes  []int
	windows, heads         int
	queries, sources, size int
}

// layOut brings the heads of a source into the standard order if they are in it: contiguous channels on the last axis, tokens
// in the order of windows and queries. Then the weights and values are known too.
func (f *finder) layOut(s *source) {
	a, n := s.heads, s.node
	groups := f.groups(n)
	if a.Axis != n.Rank()-1 || groups == 0 {
		return
	}
	width := n.Shape().Dim(-1)
	for c, head := range a.Owner {
		if head != c/(width/a.Heads) {
			return
		}
	}
	p := s.product
	spec := productOf(p)
	in := p.Inputs()
	l := &attentionLayout{product: p, heads: a.Heads}
	switch {
	case f.softmaxOf(in[0]) != nil || f.softmaxOf(in[1]) == nil && f.behindSoftmax(in[0], nil) && !f.behindSoftmaxSince(in[1], in[0]):
	case f.softmaxOf(in[1]) != nil:
		l.weights = 1
	default:
		return
	}
	w, v := l.weights, 1-l.weights
	queryAxes, sizeAxes := spec.free(w, in[w].Rank()), spec.free(v, in[v].Rank())
	if len(spec.contract[w]) != 1 || len(queryAxes) != 1 || len(sizeAxes) != 1 || len(spec.batch[w]) == 0 {
		return
	}
	l.sources, l.queries = in[w].Shape().Dim(spec.contract[w][0]), in[w].Shape().Dim(queryAxes[0])
	l.size = in[v].Shape().Dim(sizeAxes[0])
	if l.size*a.Heads != width {
		return
	}
	// Which batch axis of the product holds the heads?
	head := -1
	for k := range spec.batch[w] {
		if k > 0 && in[w].Shape().Dim(spec.batch[w][k]) == a.Heads && f.headAxis(s, k) {
			head = k
			break
		}
	}
	first := in[w].Shape().Dim(spec.batch[w][0])
	if first%f.batch != 0 {
		return
	}
	l.windows = first / f.batch
	for k := 1; k < len(spec.batch[w]); k++ {
		if k != head {
			l.windows *= in[w].Shape().Dim(spec.batch[w][k])
		}
	}
	if head < 0 {
		if a.Heads > 1 { // the heads are part of axis 0
			if len(spec.batch[w]) != 1 || l.windows != a.Heads {
				return
			}
			l.windows = 1
		} else if l.windows < 1 {
			return
		}
	}
	for k := range spec.batch[w] {
		if k != head {
			l.weightAxes = append(l.weightAxes, spec.batch[w][k])
			l.valueAxes = append(l.valueAxes, spec.batch[v][k])
		}
	}
	if head >= 0 {
		l.weightAxes = append(l.weightAxes, spec.batch[w][head])
	}
	l.weightAxes = append(l.weightAxes, queryAxes[0], spec.contract[w][0])
	l.valueAxes = append(l.valueAxes, spec.contract[v][0])
	if head >= 0 {
		l.valueAxes = append(l.valueAxes, spec.batch[v][head])
	}
	l.valueAxes = append(l.valueAxes, sizeAxes[0])

	// Each token of the node must be the query that stands at its place.
	if !f.queriesInPlace(s, l, spec, head) {
		return
	}
	if groups != 1 && groups != l.windows {
		return
	}
	a.Owner, a.Axis = nil, 0
	if l.windows > 1 {
		a.Windows = l.windows
	}
	s.layout = l
}

// behindSoftmaxSince says whether n is computed from a softmax that other is not computed from.
func (f *finder) behindSoftmaxSince(n, other *graph.Node) bool {
	stop := make(map[*graph.Node]bool)
	for _, m := range ancestors(other) {
		stop[m] = true
	}
	return f.behindSoftmax(n, stop)
}

// headAxis says whether the labels of batch axis k of a product tell its heads apart.
func (f *finder) headAxis(s *source, k int) bool {
	if s.heads.Heads == 1 {
		return true
	}
	labels := f.label(s.product, indexAlong(s.product.Shape().Dimensions, k), false).of(s.node)
	a := headsAt(s.node, labels, s.heads.Axis)
	return a != nil && a.Heads == s.heads.Heads
}

// queriesInPlace says whether token w*queries+q of the marked node is query q of window w.
func (f *finder) queriesInPlace(s *source, l *attentionLayout, spec product, head int) bool {
	p := s.product
	dims := p.Shape().Dimensions
	step := strides(dims)
	free := len(spec.batch[0]) + l.weights // the axis of the queries: left operand first
	if len(dims) != len(spec.batch[0])+2 {
		return false
	}
	labels := make([]int32, p.Shape().Size())
	for i := range labels {
		at := func(axis int) int { return i / step[axis] % dims[axis] }
		window := at(0)
		if head < 0 && l.heads > 1 {
			window /= l.heads
		}
		for k := 1; k < len(spec.batch[0]); k++ {
			if k != head {
				window = window*dims[k] + at(k)
			}
		}
		labels[i] = int32(window*l.queries + at(free))
	}
	moved := f.label(p, labels, false).of(s.node)
	if moved == nil {
		return false
	}
	width := s.node.Shape().Dim(-1)
	for i, label := range moved {
		if int(label) != i/width {
			return false
		}
	}
	return true
}

// nodes builds the weights and values as marks want them.
func (l *attentionLayout) nodes(p *graph.Node, batch int) (weights, values *graph.Node) {
	in := p.Inputs()
	weights = graph.Reshape(graph.TransposeAllAxes(in[l.weights], l.weightAxes...), batch*l.windows, l.heads, l.queries, l.sources)
	values = graph.TransposeAllAxes(in[1-l.weights], l.valueAxes...)
	if len(l.valueAxes) == 3 && l.heads > 1 { // [batch*head, source, dim]
		values = graph.TransposeAllAxes(graph.Reshape(values, batch, l.heads, l.sources, l.size), 0, 2, 1, 3)
	}
	return weights, graph.Reshape(values, batch*l.windows, l.sources, l.heads, l.size)
}

// place finds where on the block's grid the tokens of a marked node with windows lie: what moves them back tells.
func (f *finder) place(s *source) {
	if s.heads.Windows < 2 {
		return
	}
	tokens := f.groups(s.node) * s.node.Shape().Size() / (s.node.Shape().Dim(0) * s.node.Shape().Dim(-1))
	var best *graph.Node
	for n, m := range f.tokenMaps {
		if len(m.Index) != tokens || !f.descendants(s.node)[m.Input] || f.groups(n) != 1 {
			continue
		}
		if best == nil || m.Input.Id() < f.tokenMaps[best].Input.Id() || m.Input == f.tokenMaps[best].Input && n.Id() > best.Id() {
			best = n
		}
	}
	if best == nil {
		return
	}
	positions := make([]int, tokens)
	for i := range positions {
		positions[i] = -1
	}
	for to, from := range f.tokenMaps[best].Index {
		if len(from) != 1 || from[0] >= tokens || positions[from[0]] >= 0 {
			return
		}
		positions[from[0]] = to
	}
	s.heads.Positions = positions
}
