// Package discover finds the parts of a vision model in its computation graph: attention heads, MLPs, convolutions, norms,
// the residual stream and its blocks, by what they compute. What it finds it notes in the table of package mark, as if the
// model's author had marked it, so that everything that works on marked graphs works on any.
//
// It walks back from the representation through what is linear. Where an operation is not, a component begins: the residual
// sum on the way there tells to which block it belongs. A norm is linear once what it divides by counts as a constant, a
// product of two maps is attention when a softmax is behind it, anything else that is added to the stream behind a
// non-linearity is an MLP or a convolution.
package discover

import (
	"container/heap"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// Parts is what was found in a graph, beside the marks.
type Parts struct {
	// Blocks are the blocks in forward order.
	Blocks []mark.Block
	// Prefix is the number of tokens that the last blocks have before those of the picture's positions.
	Prefix int
	// Notes say in words what a reader of the decomposition should know: what is one component for a reason.
	Notes []string

	plan *plan
}

// Apply marks the graph of another representation, of the same function and another batch, without a search. The graph
// that was searched is marked already.
func (p *Parts) Apply(z, pixels *graph.Node) error { return p.plan.apply(z, pixels) }

// maxNodes is how many operations a graph may have: several times what the largest known models have.
const maxNodes = 1 << 16

// Namer describes a node for a message, "" for a node that it does not know: an importer knows what a file calls it.
type Namer func(*graph.Node) string

// Mark finds the parts of the model that computes the representation z [batch, dim] from pixels and notes them in the marks of
// the graph. It is an error if there are none.
func Mark(z, pixels *graph.Node, namer Namer) (*Parts, error) {
	f := newFinder(z, pixels, namer)
	switch {
	case !f.dynamic[z]:
		return nil, fmt.Errorf("the representation does not depend on the pixels")
	case len(f.nodes) > maxNodes:
		return nil, fmt.Errorf("the graph has %d operations, more than the %d that are searched", len(f.nodes), maxNodes)
	}
	f.freeze()
	f.findPath()
	f.findResiduals()
	if err := f.findSources(); err != nil {
		return nil, err
	}
	f.narrowPath()
	f.findTokenMaps()
	for _, r := range f.residuals {
		for _, s := range r.sources {
			if s.heads != nil {
				f.layOut(s)
				f.place(s)
			}
		}
	}
	f.nameBlocks()
	p := f.plan()
	if err := p.apply(z, pixels); err != nil {
		return nil, err
	}
	return &Parts{Blocks: f.blocks, Prefix: f.prefix(), Notes: f.notes, plan: p}, nil
}

// finder is one search.
type finder struct {
	z, pixels *graph.Node
	batch     int
	namer     Namer

	nodes   []*graph.Node        // what z is computed from, in an order of computation
	dynamic map[*graph.Node]bool // what depends on the pixels

	statistics map[*graph.Node]bool // answers of isStatistic
	constants  map[*graph.Node][]int
	frozen     map[*graph.Node]bool // attention weights of a pooling, which count as constants
	softmaxes  map[*graph.Node]bool // answers of behindSoftmax
	below      map[*graph.Node]map[*graph.Node]bool
	remembered int // nodes in below

	path      map[*graph.Node]bool // what contributions may flow through
	ends      map[*graph.Node]bool // nodes of the path that are not linear
	residuals []*residual
	isSum     map[*graph.Node]*residual

	tokenMaps map[*graph.Node]mark.Tokens
	joins     map[*graph.Node]mark.Join
	moves     map[*graph.Node]*labelling // of the tokens of a node, through what moves them

	blocks []mark.Block
	// groupings name the attentions of a block, by how many it has and which one it is: as they are in other stages where a
	// window is the whole map.
	groupings map[[2]int]string
	inits     map[*graph.Node]bool
	notes     []string
}

// residual is a sum of the stream and of what a part of a block adds to it.
type residual struct {
	sum            *graph.Node
	stream, branch *graph.Node
	input          *graph.Node // what the branch reads: the stream, before it is brought to another shape maybe
	sources        []*source
	block          mark.Block
	first          bool // it has no other below it
}

// source is a node where contributions begin.
type source struct {
	node  *graph.Node
	part  mark.Part
	heads *mark.Attention
	// product is the one of attention weights and values, layout how both are laid out if heads are in the standard order.
	product *graph.Node
	layout  *attentionLayout
	layer   *graph.Node // the output projection, nil if there is none
	at      mark.Block
}

func newFinder(z, pixels *graph.Node, namer Namer) *finder {
	f := &finder{
		z: z, pixels: pixels, batch: pixels.Shape().Dim(0), namer: namer, moves: make(map[*graph.Node]*labelling),
		dynamic: make(map[*graph.Node]bool), statistics: make(map[*graph.Node]bool), constants: make(map[*graph.Node][]int),
		frozen: make(map[*graph.Node]bool), softmaxes: make(map[*graph.Node]bool), below: make(map[*graph.Node]map[*graph.Node]bool),
		path: make(map[*graph.Node]bool), ends: make(map[*graph.Node]bool), isSum: make(map[*graph.Node]*residual),
		inits: make(map[*graph.Node]bool),
	}
	f.nodes = ancestors(z)
	for _, n := range f.nodes {
		f.dynamic[n] = n == pixels || slices.ContainsFunc(n.Inputs(), func(input *graph.Node) bool { return f.dynamic[input] })
	}
	return f
}

// ancestors lists what a node is computed from, and itself, in the order in which the graph was built.
func ancestors(n *graph.Node) []*graph.Node {
	seen := map[*graph.Node]bool{n: true}
	list := []*graph.Node{n}
	for i := 0; i < len(list); i++ {
		for _, input := range list[i].Inputs() {
			if !seen[input] {
				seen[input] = true
				list = append(list, input)
			}
		}
	}
	slices.SortFunc(list, func(a, b *graph.Node) int { return int(a.Id()) - int(b.Id()) })
	return list
}

// describe names a node for a message.
func (f *finder) describe(n *graph.Node) string {
	if f.namer != nil {
		if name := f.namer(n); name != "" {
			return name
		}
	}
	if alias := n.GetAlias(); alias != "" {
		return fmt.Sprintf("node %q, #%d (%s, %s)", alias, n.Id(), n.Type(), n.Shape())
	}
	return fmt.Sprintf("node #%d (%s, %s)", n.Id(), n.Type(), n.Shape())
}

// descendants are the nodes that are computed from x, and x.
func (f *finder) descendants(x *graph.Node) map[*graph.Node]bool {
	if set, ok := f.below[x]; ok {
		return set
	}
	set := map[*graph.Node]bool{x: true}
	from, _ := slices.BinarySearchFunc(f.nodes, x, func(a, b *graph.Node) int { return int(a.Id()) - int(b.Id()) })
	for _, n := range f.nodes[from:] {
		if n != x && slices.ContainsFunc(n.Inputs(), func(input *graph.Node) bool { return set[input] }) {
			set[n] = true
		}
	}
	if f.remembered += len(set); f.remembered > 1<<24 { // memory stays within bounds, whatever the graph is
		clear(f.below)
		f.remembered = len(set)
	}
	f.below[x] = set
	return set
}

// findPath follows what is linear from the representation back.
func (f *finder) findPath() {
	f.path, f.ends = make(map[*graph.Node]bool), make(map[*graph.Node]bool)
	f.walk(f.z, nil, func(n *graph.Node, linear bool) {
		f.path[n] = true
		if !linear {
			f.ends[n] = true
		}
	})
}

// narrowPath keeps what lies between the sources and the representation.
func (f *finder) narrowPath() {
	stop := make(map[*graph.Node]bool)
	for n := range f.inits {
		stop[n] = true
	}
	for _, r := range f.residuals {
		for _, s := range r.sources {
			stop[s.node] = true
		}
	}
	f.path = make(map[*graph.Node]bool)
	f.walk(f.z, stop, func(n *graph.Node, _ bool) { f.path[n] = true })
}

// prefix finds how many tokens the attention has beside those of a square grid: that of the patches, as the first convolution
// of the pixels makes it, or else the largest that fits.
func (f *finder) prefix() int {
	tokens := 0
	for _, r := range f.residuals {
		for _, s := range r.sources {
			if s.layout != nil && s.layout.windows == 1 {
				tokens = s.layout.sources
			}
		}
	}
	if tokens == 0 {
		return 0
	}
	for _, n := range f.nodes {
		if n.Type() == graph.NodeTypeConvGeneral && f.dynamic[n] && n.Rank() == 4 {
			if grid := n.Shape().Dim(2) * n.Shape().Dim(3); grid <= tokens && tokens-grid <= 64 {
				return tokens - grid
			}
		}
	}
	side := 1
	for (side+1)*(side+1) <= tokens {
		side++
	}
	return tokens - side*side
}

// walk visits the nodes that n is linear in, and n; it stops at those in stop, which it does not visit, at nodes that are not
// linear, and at the pixels.
func (f *finder) walk(n *graph.Node, stop map[*graph.Node]bool, visit func(n *graph.Node, linear bool)) {
	seen := make(map[*graph.Node]bool)
	list := []*graph.Node{n}
	for len(list) > 0 {
		n := list[len(list)-1]
		list = list[:len(list)-1]
		if seen[n] || stop[n] {
			continue
		}
		seen[n] = true
		if n == f.pixels {
			visit(n, false)
			continue
		}
		inputs, _, ok := f.linear(n)
		visit(n, ok)
		list = append(list, inputs...)
	}
}

// endsOf are the nodes that are not linear behind n, without those behind stop.
func (f *finder) endsOf(n *graph.Node, stop map[*graph.Node]bool) []*graph.Node {
	var ends []*graph.Node
	f.walk(n, stop, func(n *graph.Node, linear bool) {
		if !linear {
			ends = append(ends, n)
		}
	})
	slices.SortFunc(ends, func(a, b *graph.Node) int { return int(a.Id()) - int(b.Id()) })
	return ends
}

// chain lists the nodes that all ways from n back lead through, n first: along the stream, through residual sums to their
// stream, past what parts and meets again.
func (f *finder) chain(n *graph.Node) []*graph.Node { return f.cuts([]*graph.Node{n}) }

// cuts lists the nodes that all ways from several nodes back lead through.
func (f *finder) cuts(from []*graph.Node) []*graph.Node {
	pending := make(map[*graph.Node]bool)
	var queue nodeQueue
	push := func(n *graph.Node) {
		if !pending[n] {
			pending[n] = true
			heap.Push(&queue, n)
		}
	}
	for _, n := range from {
		push(n)
	}
	var chain []*graph.Node
	for len(queue) > 0 {
		n := heap.Pop(&queue).(*graph.Node)
		if len(queue) == 0 {
			chain = append(chain, n)
		}
		if r := f.isSum[n]; r != nil && r.stream != nil {
			push(r.stream)
			continue
		}
		inputs, _, ok := f.linear(n)
		if n == f.pixels || !ok {
			return chain // what lies further back is not on this way
		}
		for _, input := range inputs {
			push(input)
		}
	}
	return chain
}

// nodeQueue gives the node that was built last first.
type nodeQueue []*graph.Node

func (q nodeQueue) Len() int           { return len(q) }
func (q nodeQueue) Less(i, j int) bool { return q[i].Id() > q[j].Id() }
func (q nodeQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *nodeQueue) Push(n any) { *q = append(*q, n.(*graph.Node)) }

// Pop implements heap.Interface.
func (q *nodeQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// findResiduals finds the sums on the path of which one side is computed from the other.
func (f *finder) findResiduals() {
	f.residuals, f.isSum = nil, make(map[*graph.Node]*residual)
	for _, n := range f.nodes {
		if !f.path[n] || n.Type() != graph.NodeTypeAdd || f.ends[n] {
			continue
		}
		in := n.Inputs()
		if !f.dynamic[in[0]] || !f.dynamic[in[1]] || in[0] == in[1] {
			continue
		}
		var best *residual
		for side, stream := range in {
			branch := in[1-side]
			for _, x := range f.chain(stream) {
				if x == f.pixels || !f.descendants(x)[branch] || x == branch {
					continue
				}
				if f.isBranch(branch, stream, x) && (best == nil || x.Id() > best.input.Id()) {
					// The side that is nearer to what both read is the stream.
					best = &residual{sum: n, stream: stream, branch: branch, input: x}
				}
				break
			}
		}
		if best != nil {
			f.residuals = append(f.residuals, best)
			f.isSum[n] = best
		}
	}
}

// isBranch says whether branch is what a part of a block computed of x, and not another stream that begins at x too.
func (f *finder) isBranch(branch, stream, x *graph.Node) bool {
	ends, sums, reaches := 0, 0, false
	f.walk(branch, nil, func(n *graph.Node, _ bool) { reaches = reaches || n == x })
	f.walk(branch, map[*graph.Node]bool{x: true}, func(n *graph.Node, linear bool) {
		if !linear {
			ends++
		}
		if f.isSum[n] != nil {
			sums++
		}
	})
	if ends > 0 {
		return !(reaches && sums > 0)
	}
	return x == stream && f.normsOf(branch, x)
}

// normsOf says whether a linear branch begins with a norm of what it reads, as a token mixer that only averages does.
func (f *finder) normsOf(branch, x *graph.Node) bool {
	found := false
	f.walk(branch, map[*graph.Node]bool{x: true}, func(n *graph.Node, _ bool) {
		if _, statistic, ok := f.linear(n); ok && statistic != nil && f.descendants(x)[statistic] {
			found = true
		}
	})
	return found
}

// behindSoftmax says whether n is computed from a softmax, without looking past stop.
func (f *finder) behindSoftmax(n *graph.Node, stop map[*graph.Node]bool) bool {
	seen := make(map[*graph.Node]bool)
	list := []*graph.Node{n}
	for len(list) > 0 {
		n := list[len(list)-1]
		list = list[:len(list)-1]
		if seen[n] || stop[n] || !f.dynamic[n] {
			continue
		}
		seen[n] = true
		if f.isSoftmax(n) {
			return true
		}
		list = append(list, n.Inputs()...)
	}
	return false
}

// isSoftmax says whether n is a softmax: fused, or a quotient of an exponential and the sum of it.
func (f *finder) isSoftmax(n *graph.Node) bool {
	switch n.Type() {
	case graph.NodeTypeFusedSoftmax:
		return true
	case graph.NodeTypeDiv:
		over := n.Inputs()[1]
		for slices.Contains([]graph.NodeType{graph.NodeTypeReshape, graph.NodeTypeBroadcastInDim}, over.Type()) {
			over = over.Inputs()[0]
		}
		return over.Type() == graph.NodeTypeReduceSum && over.Inputs()[0] == n.Inputs()[0] && n.Inputs()[0].Type() == graph.NodeTypeExp
	}
	return false
}

// freeze finds what counts as a constant on the stream although it depends on the picture: the weights of attention that pools
// the tokens at the end, of which the query is one token that no residual sum takes up, and gates, which scale all tokens alike.
func (f *finder) freeze() {
	for range 8 { // a pool may hide another
		f.findPath()
		f.findResiduals()
		changed := false
		claimed := make(map[*graph.Node]bool)
		for _, r := range f.residuals {
			for _, end := range f.endsOf(r.branch, map[*graph.Node]bool{r.input: true}) {
				claimed[end] = true
			}
		}
		for end := range f.ends {
			if claimed[end] {
				continue
			}
			if gate := f.gateOf(end); gate != nil {
				f.frozen[gate] = true
				changed = true
			}
			if end.Type() != graph.NodeTypeDotGeneral {
				continue
			}
			in := end.Inputs()
			for i, weights := range in {
				if !f.dynamic[weights] || !f.behindSoftmax(weights, nil) || f.behindSoftmaxDirect(in[1-i], weights) {
					continue
				}
				if f.poolingWeights(end, i) && !f.addedToToken(end) && f.hasResidual(in[1-i]) {
					f.frozen[weights] = true
					changed = true
					break
				}
			}
		}
		if !changed {
			return
		}
	}
}

// gateOf is the operand of a product that scales the stream by numbers for all tokens alike, as squeeze-and-excitation does; nil
// if there is none.
func (f *finder) gateOf(n *graph.Node) *graph.Node {
	if n.Type() != graph.NodeTypeMul {
		return nil
	}
	in := n.Inputs()
	for i, gate := range in {
		small := gate
		for small.Type() == graph.NodeTypeBroadcastInDim || small.Type() == graph.NodeTypeReshape {
			small = small.Inputs()[0]
		}
		if f.dynamic[gate] && small.Shape().Size() < n.Shape().Size() && in[1-i].Shape().Size() == n.Shape().Size() && f.hasResidual(in[1-i]) {
			return gate
		}
	}
	return nil
}

// addedToToken says whether what attention makes is added to a class token, as the stream begins where class attention follows on
// all others: then it is a part of a block.
func (f *finder) addedToToken(end *graph.Node) bool {
	below := f.descendants(end)
	for _, n := range f.nodes {
		if !f.path[n] || !below[n] || n.Type() != graph.NodeTypeAdd || n.Rank() < 3 {
			continue
		}
		for i, token := range n.Inputs() {
			if !f.dynamic[token] && below[n.Inputs()[1-i]] && token.Shape().Dim(0) == f.batch && f.batch > 1 && token.Shape().Equal(n.Shape()) {
				return true
			}
		}
	}
	return false
}

// behindSoftmaxDirect says whether the other operand is itself the result of a softmax, so that it is unclear which of both
// are the weights.
func (f *finder) behindSoftmaxDirect(values, weights *graph.Node) bool {
	return f.softmaxOf(weights) == nil && f.softmaxOf(values) != nil
}

// softmaxOf is the softmax that n is linear in, nil if there is none.
func (f *finder) softmaxOf(n *graph.Node) *graph.Node {
	for range 24 {
		if f.isSoftmax(n) {
			return n
		}
		inputs, _, ok := f.linear(n)
		if !ok || len(inputs) == 0 {
			return nil
		}
		n = inputs[0]
	}
	return nil
}

// poolingWeights says whether operand i of a product are the weights of few queries: fewer than there are tokens to read.
func (f *finder) poolingWeights(n *graph.Node, i int) bool {
	if f.softmaxOf(n.Inputs()[i]) == nil {
		return false
	}
	p := productOf(n)
	queries, sources := 1, 1
	for _, axis := range p.free(i, n.Inputs()[i].Rank()) {
		queries *= n.Inputs()[i].Shape().Dim(axis)
	}
	for _, axis := range p.contract[i] {
		sources *= n.Inputs()[i].Shape().Dim(axis)
	}
	return queries == 1 && sources > 1
}

// hasResidual says whether there are components behind n on the path.
func (f *finder) hasResidual(n *graph.Node) bool {
	found := false
	f.walk(n, nil, func(n *graph.Node, linear bool) {
		if n.Type() != graph.NodeTypeAdd || !linear {
			return
		}
		in := n.Inputs()
		if !f.dynamic[in[0]] || !f.dynamic[in[1]] {
			return
		}
		for side, stream := range in {
			for _, x := range f.chain(stream) {
				if x != f.pixels && x != in[1-side] && f.descendants(x)[in[1-side]] && f.isBranch(in[1-side], stream, x) {
					found = true
					return
				}
			}
		}
	})
	return found
}
