package discover

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// findSources finds where contributions begin: in each branch, and at the bottom of the stream.
func (f *finder) findSources() error {
	f.dropNested()
	inBranch := make(map[*graph.Node]bool)
	for _, r := range f.residuals {
		f.findBranch(r)
		for _, s := range r.sources {
			inBranch[s.node] = true
		}
	}
	// What else the path leads to is the stream before the first block, or attention that no residual sum goes around.
	stop := make(map[*graph.Node]bool)
	for n := range inBranch {
		stop[n] = true
	}
	bottoms := make(map[*graph.Node]bool)
	for _, r := range f.residuals {
		if !f.sumsBehind(r.stream) && len(f.productsBehind(r.stream)) == 0 {
			r.first = true
			bottoms[r.input] = true
			stop[r.input] = true
		}
	}
	f.inits = bottoms
	f.otherStreams(stop)
	left := f.endsOf(f.z, stop)
	for len(left) > 0 {
		end := left[0]
		if p := f.attentionBehind(end, nil); p != nil {
			r := &residual{sum: end, branch: end}
			s := f.headsSource(f.z, stop, p)
			if s == nil {
				s = &source{node: end, part: mark.Attn}
			}
			r.sources = []*source{s}
			r.sum = s.node
			f.residuals = append(f.residuals, r)
			stop[s.node] = true
		} else {
			bottoms[end] = true
			stop[end] = true
		}
		left = f.endsOf(f.z, stop)
	}
	slices.SortStableFunc(f.residuals, func(a, b *residual) int { return int(a.sum.Id()) - int(b.sum.Id()) })
	components := 0
	for _, r := range f.residuals {
		components += len(r.sources)
	}
	if components == 0 {
		return f.nothingFound()
	}
	f.hidden()
	return nil
}

// otherStreams finds streams that enter the first block beside those that residual sums begin with: what has no sum behind it,
// and meets a stream that has.
func (f *finder) otherStreams(stop map[*graph.Node]bool) {
	summed := make(map[*graph.Node]bool) // on the path, with a sum behind
	var reached []*graph.Node
	f.walk(f.z, stop, func(n *graph.Node, _ bool) { reached = append(reached, n) })
	slices.SortFunc(reached, func(a, b *graph.Node) int { return int(a.Id()) - int(b.Id()) })
	for _, n := range reached {
		inputs, _, ok := f.linear(n)
		summed[n] = f.isSum[n] != nil || ok && n != f.pixels && slices.ContainsFunc(inputs, func(input *graph.Node) bool { return summed[input] })
	}
	var begins []*graph.Node
	for _, n := range reached {
		inputs, _, ok := f.linear(n)
		if !ok || n == f.pixels || !summed[n] || f.isSum[n] != nil { // what a residual sum adds up is known
			continue
		}
		for _, input := range inputs {
			if !summed[input] && !stop[input] && len(f.productsBehind(input)) == 0 {
				begins = append(begins, input)
			}
		}
	}
	if len(begins) == 0 {
		return
	}
	for _, cut := range f.cuts(begins) {
		if cut.Rank() > 1 && !stop[cut] && !slices.ContainsFunc(f.endsOf(cut, stop), func(end *graph.Node) bool { return stop[end] }) {
			begins = []*graph.Node{cut}
			break
		}
	}
	for _, n := range begins {
		f.inits[n] = true
		stop[n] = true
	}
}

// nothingFound says why there are no components.
func (f *finder) nothingFound() error {
	ends := f.endsOf(f.z, nil)
	if len(ends) == 0 || ends[len(ends)-1] == f.pixels {
		return fmt.Errorf("the representation is a linear function of the pixels: there are no parts to find")
	}
	return fmt.Errorf("the representation is not a sum of parts: %s is not linear and lies between the last block and the representation; choose another with --output", f.describe(ends[len(ends)-1]))
}

// hidden notes where a non-linearity on the stream makes one component of all before it.
func (f *finder) hidden() {
	for n := range f.inits {
		if n == f.pixels {
			continue
		}
		for _, end := range f.endsOf(n, nil) {
			if end == f.pixels {
				continue
			}
			for _, input := range end.Inputs() {
				if f.dynamic[input] && f.hasResidual(input) {
					f.notes = append(f.notes, fmt.Sprintf("what comes before %s, which is not linear, is one component, init", f.describe(end)))
					return
				}
			}
		}
	}
}

// dropNested forgets sums within the branch of another.
func (f *finder) dropNested() {
	nested := make(map[*residual]bool)
	for _, r := range f.residuals {
		f.walk(r.branch, map[*graph.Node]bool{r.input: true}, func(n *graph.Node, _ bool) {
			if inner := f.isSum[n]; inner != nil && inner != r {
				nested[inner] = true
			}
		})
	}
	f.residuals = slices.DeleteFunc(f.residuals, func(r *residual) bool {
		if nested[r] {
			delete(f.isSum, r.sum)
		}
		return nested[r]
	})
}

// sumsBehind says whether the path from n leads through a residual sum.
func (f *finder) sumsBehind(n *graph.Node) bool {
	found := false
	f.walk(n, nil, func(n *graph.Node, _ bool) { found = found || f.isSum[n] != nil })
	return found
}

// productsBehind are the attention products at the ends of the path from n.
func (f *finder) productsBehind(n *graph.Node) []*graph.Node {
	var products []*graph.Node
	for _, end := range f.endsOf(n, nil) {
		if p := f.attentionBehind(end, nil); p != nil {
			products = append(products, p)
		}
	}
	return products
}

// attentionBehind is the product of attention weights and values that an end is, or is an activation of; nil if there is none.
// It does not look past stop.
func (f *finder) attentionBehind(end *graph.Node, stop map[*graph.Node]bool) *graph.Node {
	seen := make(map[*graph.Node]bool)
	list := []*graph.Node{end}
	for len(list) > 0 && len(seen) < 256 {
		n := list[0]
		list = list[1:]
		if seen[n] || stop[n] || !f.dynamic[n] || f.isSoftmax(n) {
			continue
		}
		seen[n] = true
		in := n.Inputs()
		switch n.Type() {
		case graph.NodeTypeDotGeneral:
			if f.dynamic[in[0]] && f.dynamic[in[1]] && f.behindSoftmax(n, stop) {
				return n
			}
			continue
		case graph.NodeTypeConvGeneral, graph.NodeTypeReduceMax:
			continue
		}
		list = append(list, in...)
	}
	return nil
}

// findBranch finds the sources of a branch.
func (f *finder) findBranch(r *residual) {
	stop := map[*graph.Node]bool{r.input: true}
	ends := f.endsOf(r.branch, stop)
	if len(ends) == 0 {
		r.sources = []*source{{node: f.wholeOutput(r.branch, stop), part: mark.Mixer}}
		return
	}
	for _, end := range ends {
		p := f.attentionBehind(end, stop)
		if p == nil || slices.ContainsFunc(r.sources, func(s *source) bool { return f.covers(s.node, end, stop) }) {
			continue
		}
		s := f.headsSource(r.branch, stop, p)
		if s == nil {
			s = &source{node: end, part: mark.Attn}
		}
		r.sources = append(r.sources, s)
	}
	if len(r.sources) > 0 {
		for _, s := range r.sources {
			stop[s.node] = true
		}
		for _, end := range f.endsOf(r.branch, stop) {
			r.sources = append(r.sources, &source{node: end, part: mark.MLP})
		}
		return
	}
	r.sources = f.otherSources(r.branch, stop, r.input, ends)
}

// covers says whether everything from end on goes through n.
func (f *finder) covers(n, end *graph.Node, _ map[*graph.Node]bool) bool {
	return f.descendants(end)[n]
}

// otherSources finds the sources of a branch without attention: what its last linear layers make, before their biases, or the
// whole of it where it mixes tokens by products or convolutions.
func (f *finder) otherSources(branch *graph.Node, stop map[*graph.Node]bool, input *graph.Node, ends []*graph.Node) []*source {
	convolved := f.convolvedBetween(ends, input)
	if f.tokenProduct(ends, input) || !convolved && f.convolvedAfter(branch, stop) {
		return []*source{{node: f.wholeOutput(branch, stop), part: mark.Mixer}}
	}
	var found []*source
	seen := make(map[*graph.Node]bool)
	var descend func(n *graph.Node)
	descend = func(n *graph.Node) {
		if seen[n] || stop[n] {
			return
		}
		seen[n] = true
		inputs, _, ok := f.linear(n)
		if !ok {
			found = append(found, &source{node: n})
			return
		}
		if f.isLayer(n) && len(f.endsOf(inputs[0], stop)) > 0 {
			found = append(found, &source{node: n})
			return
		}
		for _, input := range inputs {
			descend(input)
		}
	}
	descend(branch)
	part := mark.MLP
	if convolved {
		part = mark.Conv
	}
	for _, s := range found {
		s.part = part
	}
	slices.SortStableFunc(found, func(a, b *source) int { return int(a.node.Id()) - int(b.node.Id()) })
	return found
}

// isLayer says whether n multiplies with a constant weight: a linear layer or a convolution.
func (f *finder) isLayer(n *graph.Node) bool {
	in := n.Inputs()
	switch n.Type() {
	case graph.NodeTypeDotGeneral:
		return f.dynamic[in[0]] != f.dynamic[in[1]]
	case graph.NodeTypeConvGeneral:
		return !f.dynamic[in[1]]
	}
	return false
}

// wholeOutput is the result of a branch before scales: the sum with its last bias, or its last layer.
func (f *finder) wholeOutput(n *graph.Node, stop map[*graph.Node]bool) *graph.Node {
	top := n
	for {
		in := n.Inputs()
		inputs, statistic, ok := f.linear(n)
		if !ok || stop[n] || statistic != nil || len(inputs) != 1 || stop[inputs[0]] {
			return top
		}
		switch n.Type() {
		case graph.NodeTypeMul, graph.NodeTypeDiv, graph.NodeTypeReshape, graph.NodeTypeTranspose, graph.NodeTypeIdentity, graph.NodeTypeConvertDType:
			n = inputs[0]
		case graph.NodeTypeAdd:
			if f.dynamic[in[0]] && f.dynamic[in[1]] {
				return top
			}
			return n
		case graph.NodeTypeDotGeneral, graph.NodeTypeConvGeneral:
			return n
		default:
			return top
		}
	}
}

// convolvedBetween says whether the ends are computed by a spatial convolution of a non-linear function of what the branch
// reads: an inverted bottleneck, not an MLP that begins or ends with a convolution.
func (f *finder) convolvedBetween(ends []*graph.Node, input *graph.Node) bool {
	for _, n := range f.between(ends, input) {
		if f.isSpatial(n) && f.gatedBehind(n.Inputs()[0], input) {
			return true
		}
	}
	return false
}

// convolvedAfter says whether a spatial convolution follows on the non-linear part of a branch: it mixes what an MLP would not.
func (f *finder) convolvedAfter(branch *graph.Node, stop map[*graph.Node]bool) bool {
	found := false
	f.walk(branch, stop, func(n *graph.Node, linear bool) { found = found || linear && f.isSpatial(n) })
	return found
}

// isSpatial says whether n is a convolution with a kernel larger than one position.
func (f *finder) isSpatial(n *graph.Node) bool {
	switch n.Type() {
	case graph.NodeTypePad: // of a convolution that is written as a sum of shifted maps
		return true
	case graph.NodeTypeConvGeneral:
		for _, axis := range kernelSpatial(n) {
			if n.Inputs()[1].Shape().Dim(axis) > 1 {
				return true
			}
		}
	}
	return false
}

// gatedBehind says whether n is not linear in input.
func (f *finder) gatedBehind(n, input *graph.Node) bool {
	for _, end := range f.endsOf(n, map[*graph.Node]bool{input: true}) {
		if f.descendants(input)[end] {
			return true
		}
	}
	return false
}

// between lists the nodes from input to the ends.
func (f *finder) between(ends []*graph.Node, input *graph.Node) []*graph.Node {
	below := f.descendants(input)
	seen := make(map[*graph.Node]bool)
	list := slices.Clone(ends)
	var nodes []*graph.Node
	for len(list) > 0 {
		n := list[len(list)-1]
		list = list[:len(list)-1]
		if seen[n] || !below[n] || n == input {
			continue
		}
		seen[n] = true
		nodes = append(nodes, n)
		list = append(list, n.Inputs()...)
	}
	return nodes
}

// tokenProduct says whether an end is a product of two maps of which one was mixed over tokens and the other was not, as focal
// modulation is: a token mixer without heads.
func (f *finder) tokenProduct(ends []*graph.Node, input *graph.Node) bool {
	for _, end := range ends {
		in := end.Inputs()
		switch end.Type() {
		case graph.NodeTypeDotGeneral:
			if f.dynamic[in[0]] && f.dynamic[in[1]] {
				return true
			}
		case graph.NodeTypeMul:
			if f.activation(end) {
				continue
			}
			mixed := [2]bool{}
			for i, operand := range in {
				for _, n := range f.between([]*graph.Node{operand}, input) {
					mixed[i] = mixed[i] || f.isSpatial(n)
				}
			}
			if mixed[0] != mixed[1] && in[0].Shape().Size() == in[1].Shape().Size() {
				return true
			}
		}
	}
	return false
}

// activation says whether a product is one of a node with a function of it: x σ(x), x Φ(x).
func (f *finder) activation(n *graph.Node) bool {
	in := n.Inputs()
	for i, x := range in {
		for x.Type() == graph.NodeTypeMul && (!f.dynamic[x.Inputs()[0]] || !f.dynamic[x.Inputs()[1]]) {
			if f.dynamic[x.Inputs()[0]] {
				x = x.Inputs()[0]
			} else {
				x = x.Inputs()[1]
			}
		}
		// Element by element back from the other side to x.
		y := in[1-i]
		for range 16 {
			if y == x {
				return true
			}
			var next *graph.Node
			for _, input := range y.Inputs() {
				if f.dynamic[input] {
					next = input
				}
			}
			if next == nil || f.isLayer(y) || next.Shape().Size() != n.Shape().Size() {
				break
			}
			y = next
		}
	}
	return false
}

// headsSource finds the last node before the output projection at which each element of an attention product still belongs
// to one head; nil if there is none. p is the product.
func (f *finder) headsSource(top *graph.Node, stop map[*graph.Node]bool, p *graph.Node) *source {
	dims := p.Shape().Dimensions
	batch := len(productOf(p).batch[0])
	below := f.descendants(p)
	// What lies between the product and the top, the last first.
	var candidates []*graph.Node
	seen := make(map[*graph.Node]bool)
	f.walk(top, stop, func(n *graph.Node, _ bool) {
		if below[n] && !seen[n] {
			seen[n] = true
			candidates = append(candidates, n)
		}
	})
	slices.SortFunc(candidates, func(a, b *graph.Node) int { return int(b.Id()) - int(a.Id()) })

	labels := make([]*labelling, 0, batch+1)
	for axis := range batch {
		if dims[axis] > 1 {
			labels = append(labels, f.label(p, indexAlong(dims, axis), false))
		}
	}
	alone := f.label(p, make([]int32, p.Shape().Size()), false)
	for _, n := range candidates {
		if !f.through(top, stop, n, p) {
			continue
		}
		if whole := alone.of(n); whole == nil || slices.Contains(whole, several) {
			continue
		}
		layer, preferred := f.projection(n, candidates)
		if layer != nil && len(f.endsOf(layer, with(stop, n))) > 0 {
			layer = nil
		}
		for _, l := range labels {
			if a := headsAt(n, l.of(n), preferred); a != nil {
				return &source{node: n, part: mark.Attn, heads: a, product: p, layer: layer}
			}
		}
		// One head: no axis of the product tells channels apart.
		a := &mark.Attention{Heads: 1, Axis: preferred}
		if preferred < 0 {
			a.Axis = n.Rank() - 1
		}
		a.Owner = make([]int, n.Shape().Dim(a.Axis))
		return &source{node: n, part: mark.Attn, heads: a, product: p, layer: layer}
	}
	return nil
}

// through says whether all ways on the path from top that lead to p go through n.
func (f *finder) through(top *graph.Node, stop map[*graph.Node]bool, n, p *graph.Node) bool {
	if n == top {
		return true
	}
	without := with(stop, n)
	ok := true
	below := f.descendants(p)
	f.walk(top, without, func(m *graph.Node, linear bool) {
		if !linear && below[m] || m == p {
			ok = false
		}
	})
	return ok
}

// projection is the linear layer on the path that reads n, and the axis of n that it sums over; nil and -1 if none does.
func (f *finder) projection(n *graph.Node, candidates []*graph.Node) (layer *graph.Node, axis int) {
	for _, c := range candidates {
		if !f.isLayer(c) || c.Inputs()[1].Type() == graph.NodeTypeConstant { // of 0 and 1, that only moves
			continue
		}
		for i, input := range c.Inputs() {
			if input != n {
				continue
			}
			if c.Type() == graph.NodeTypeConvGeneral {
				return c, convChannelAxis(c)
			}
			if axes := productOf(c).contract[i]; len(axes) == 1 {
				return c, axes[0]
			}
		}
	}
	return nil, -1
}

// with is a set and one more.
func with(set map[*graph.Node]bool, n *graph.Node) map[*graph.Node]bool {
	more := maps.Clone(set)
	more[n] = true
	return more
}

// indexAlong labels the elements of a node by their index along an axis.
func indexAlong(dims []int, axis int) []int32 {
	step := strides(dims)
	size := 1
	for _, d := range dims {
		size *= d
	}
	out := make([]int32, size)
	for i := range out {
		out[i] = int32(i / step[axis] % dims[axis])
	}
	return out
}

// headsAt finds the axis of n along which labels tell heads apart: indices with the same labels everywhere are of one head,
// and those of different heads share none at any place.
func headsAt(n *graph.Node, labels []int32, preferred int) *mark.Attention {
	if labels == nil || slices.Contains(labels, several) {
		return nil
	}
	dims := n.Shape().Dimensions
	axes := []int{preferred}
	if preferred < 0 {
		axes = nil
		for axis := len(dims) - 1; axis > 0; axis-- {
			axes = append(axes, axis)
		}
	}
	step := strides(dims)
	for _, axis := range axes {
		if dims[axis] < 2 {
			continue
		}
		var firsts []int // an index of each head
		owner := make([]int, dims[axis])
		places := len(labels) / dims[axis]
		at := func(place, index int) int32 {
			outer, inner := place/step[axis], place%step[axis]
			return labels[outer*step[axis]*dims[axis]+index*step[axis]+inner]
		}
		ok := true
		for index := range owner {
			owner[index] = -1
			for head, first := range firsts {
				equal, shared := true, false
				for place := range places {
					if at(place, index) == at(place, first) {
						shared = true
					} else {
						equal = false
					}
				}
				if equal {
					owner[index] = head
					break
				}
				ok = ok && !shared
			}
			if owner[index] < 0 {
				owner[index] = len(firsts)
				firsts = append(firsts, index)
			}
			if !ok || len(firsts) > 1<<10 {
				ok = false
				break
			}
		}
		if !ok || len(firsts) < 2 {
			continue
		}
		// Heads are numbered as the product does.
		order := make([]int, len(firsts))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return int(at(0, firsts[a])) - int(at(0, firsts[b])) })
		number := make([]int, len(firsts))
		for i, head := range order {
			number[head] = i
		}
		for i := range owner {
			owner[i] = number[owner[i]]
		}
		return &mark.Attention{Heads: len(firsts), Axis: axis, Owner: owner}
	}
	return nil
}

// beforeMoves is the node whose elements x has in another order: x is the same in windows, shifted, or with all tokens in one axis.
func beforeMoves(x *graph.Node) *graph.Node {
	for {
		switch x.Type() {
		case graph.NodeTypeReshape, graph.NodeTypeTranspose:
			x = x.Inputs()[0]
		case graph.NodeTypeConcatenate: // of the slices of one node where that is shifted
			first := x.Inputs()[0]
			if slices.ContainsFunc(x.Inputs(), func(part *graph.Node) bool {
				return part.Type() != graph.NodeTypeSlice || part.Inputs()[0] != first.Inputs()[0]
			}) {
				return x
			}
			x = first.Inputs()[0]
		default:
			return x
		}
	}
}

// readBy is what an attention or MLP of a branch reads: what its first layers multiply with their weights, [batch, token..., dim], which is
// the stream behind a norm. It is nil where they read different nodes, or pictures are not apart in the first axis.
func (f *finder) readBy(r *residual, s *source) *graph.Node {
	if r.input == nil || s.part != mark.Attn && s.part != mark.MLP {
		return nil
	}
	nodes := f.between([]*graph.Node{s.node}, r.input)
	slices.SortFunc(nodes, func(a, b *graph.Node) int { return int(a.Id()) - int(b.Id()) })
	behind := map[*graph.Node]bool{} // a layer
	var read *graph.Node
	for _, n := range nodes {
		behind[n] = slices.ContainsFunc(n.Inputs(), func(input *graph.Node) bool { return behind[input] })
		if behind[n] || !f.isLayer(n) {
			continue
		}
		behind[n] = true
		x := n.Inputs()[0]
		if !f.dynamic[x] {
			x = n.Inputs()[1]
		}
		x = beforeMoves(x)
		if read != nil && read != x {
			return nil
		}
		read = x
	}
	if read == nil || read.Rank() < 3 || read.Shape().Dim(0) != f.batch {
		return nil
	}
	return read
}
