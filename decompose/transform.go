package decompose

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// Result is a decomposition as nodes of the graph it was made in.
type Result struct {
	// Components names the parts: init, then the blocks in forward order, rest, pool_mlp, const.
	Components []Component
	// Pieces hold the contributions. A component may be spread over several pieces (the tokens of the token split); the
	// sum over all pieces is the representation.
	Pieces   []Piece
	captures []capture // sources of components that were left for a second graph
}

// Piece is a stack of contributions.
type Piece struct {
	// Node is shaped [batch, contribution, dim].
	Node *graph.Node
	// Keys says what each contribution is.
	Keys []Key
}

// Key identifies one contribution: a component, and in a token split the source token.
type Key struct {
	Component int // index into Result.Components
	// Token is the position in the component's block; 0 for const and unless tokens are split.
	Token int
}

// capture holds what the token split of one attention layer is computed from, as one readout sees it.
type capture struct {
	block  mark.Block
	tokens []int // what the readout reads; no two readouts of a layer read the same
	// weights is the attention paid by what is read of the block to each source token, [batch, head, row, token].
	weights *graph.Node
	// values is shaped [batch, source token, head, headDim].
	values *graph.Node
}

// Transform takes the node z apart, shaped [batch, dim], into the contributions of the components that are marked in its
// graph (package mark), as new nodes of the same graph.
//
// It walks back from z. An operation that is linear in what flows into it is applied to every contribution by cloning
// its node; the marks say where a contribution begins and which nodes count as constants. A node that is not linear in
// contributions that reach it is an error naming the node. Where marks say that only some tokens, or a weighted sum of
// them, are read further on, that selection is moved in front of all operations that treat tokens alike, so that
// contributions are computed for what is read and not for whole token maps.
//
// Like all graph-building code it panics with an error; gomlxvit.Model.Compile turns that into an error of the program.
func Transform(z *graph.Node, opts Options) *Result {
	t := newTransform(z, opts)
	var r *readout
	if l := t.layout(z); l.known && l.tokens == 1 {
		r = &readout{tokens: []int{0}}
	} else if opts.Split == Tokens {
		panic(fmt.Errorf("the token split needs the selection of tokens to be marked (mark.TokensOf) up to the representation"))
	}
	value := t.value(z, r)
	if r == nil {
		for _, e := range value.entries {
			e.node = graph.Reshape(e.node, t.batch, 1, z.Shape().Size()/t.batch)
		}
	}
	value.sumConst(t.constComponent())
	result := &Result{Components: t.components, captures: t.captures}
	for _, e := range value.entries {
		result.Pieces = append(result.Pieces, Piece{Node: e.node, Keys: e.keys})
	}
	return result
}

// newTransform finds the components of z.
func newTransform(z *graph.Node, opts Options) *transform {
	t := &transform{
		graph: z.Graph(), marks: mark.Of(z.Graph()), opts: opts, batch: z.Shape().Dim(0),
		sources:  make(map[*graph.Node]source),
		carries:  make(map[*graph.Node]bool),
		layouts:  make(map[*graph.Node]layout),
		values:   make(map[valueKey]*bundle),
		readouts: make(map[readoutKey]*readout),
		reached:  make(map[*graph.Node]map[int]bool),
	}
	t.findSources(z)
	if len(t.sources) == 0 {
		panic(fmt.Errorf("nothing to decompose: no marked component contributes to the representation"))
	}
	t.nameComponents()
	return t
}

type transform struct {
	graph *graph.Graph
	marks *mark.Table
	opts  Options
	batch int

	sources    map[*graph.Node]source
	carries    map[*graph.Node]bool // whether contributions flow through a node
	components []Component
	layouts    map[*graph.Node]layout
	values     map[valueKey]*bundle
	readouts   map[readoutKey]*readout
	reached    map[*graph.Node]map[int]bool
	captures   []capture
}

// source is a node where contributions begin.
type source struct {
	kind      Kind
	block     mark.Block
	attention *mark.Attention // the heads of one attention layer
	first     int             // its first component
}

// valueKey identifies the contributions at a node, as seen by a readout; nil stands for the whole node.
type valueKey struct {
	node *graph.Node
	r    *readout
}

// findSources walks back from z to the marked sources and notes through which nodes contributions flow.
func (t *transform) findSources(z *graph.Node) {
	var visit func(n *graph.Node) bool
	visit = func(n *graph.Node) bool {
		if carries, seen := t.carries[n]; seen {
			return carries
		}
		if s, ok := t.sourceAt(n); ok {
			t.sources[n] = s
			t.carries[n] = true
			return true
		}
		carries := false
		if !t.marks.Statistics[n] {
			for _, input := range n.Inputs() {
				carries = visit(input) || carries
			}
		}
		t.carries[n] = carries
		return carries
	}
	visit(z)
}

// sourceAt says whether the marks and options make n a source.
func (t *transform) sourceAt(n *graph.Node) (source, bool) {
	if block, ok := t.marks.Inputs[n]; ok && block.Order == t.opts.First {
		return source{kind: Init}, true
	}
	if c, ok := t.marks.Components[n]; ok {
		switch {
		case c.Part == mark.PoolMLP:
			return source{kind: PoolMLP}, true
		case t.opts.End > 0 && c.Block.Order >= t.opts.End:
			return source{kind: Rest}, true
		case c.Part == mark.Attn && t.opts.Split != Attns:
			return source{}, false // walk on to its heads
		}
		return source{kind: kindOf[c.Part], block: c.Block}, true
	}
	if a, ok := t.marks.Heads[n]; ok {
		switch {
		case t.opts.End > 0 && a.Block.Order >= t.opts.End: // nothing projects the heads
			return source{kind: Rest}, true
		case t.opts.Split == Attns:
			return source{kind: Attn, block: a.Block}, true
		}
		return source{kind: Head, block: a.Block, attention: &a}, true
	}
	return source{}, false
}

// nameComponents numbers the components in their published order: init, forward order, rest, pool_mlp, const.
func (t *transform) nameComponents() {
	nodes := make([]*graph.Node, 0, len(t.sources))
	for n := range t.sources {
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b *graph.Node) int {
		x, y := t.sources[a], t.sources[b]
		place := map[Kind]int{Init: -1, Rest: 1, PoolMLP: 2} // the others are of blocks
		return cmp.Or(cmp.Compare(place[x.kind], place[y.kind]), cmp.Compare(x.block.Order, y.block.Order), cmp.Compare(a.Id(), b.Id()))
	})
	rest, init := -1, -1
	for _, n := range nodes {
		s := t.sources[n]
		s.first = len(t.components)
		switch {
		case s.kind == Rest && rest >= 0:
			s.first = rest
		case s.kind == Init && init >= 0: // several streams
			s.first = init
		case s.kind == Head:
			for h := range s.attention.Heads {
				t.components = append(t.components, Component{Kind: Head, Block: s.block, Head: h, Tokens: t.layout(n).tokens})
			}
		default:
			switch s.kind {
			case Rest:
				rest = s.first
			case Init:
				init = s.first
			}
			t.components = append(t.components, Component{Kind: s.kind, Block: s.block, Tokens: t.layout(n).tokens})
		}
		t.sources[n] = s
	}
	if t.opts.Biases == BiasesApart {
		t.components = append(t.components, Component{Kind: Const, Tokens: 1})
	}
}

// constComponent is the index of const, -1 when biases are shared.
func (t *transform) constComponent() int {
	if t.opts.Biases != BiasesApart {
		return -1
	}
	return len(t.components) - 1
}

// reaching returns the components whose contributions flow through n.
func (t *transform) reaching(n *graph.Node) map[int]bool {
	if set, ok := t.reached[n]; ok {
		return set
	}
	set := make(map[int]bool)
	t.reached[n] = set
	if s, ok := t.sources[n]; ok {
		count := 1
		if s.kind == Head {
			count = s.attention.Heads
		}
		for i := range count {
			set[s.first+i] = true
		}
		return set
	}
	for _, input := range t.carryingInputs(n) {
		for c := range t.reaching(n.Inputs()[input]) {
			set[c] = true
		}
	}
	return set
}

func (t *transform) carryingInputs(n *graph.Node) []int {
	var indices []int
	for i, input := range n.Inputs() {
		if t.carries[input] {
			indices = append(indices, i)
		}
	}
	return indices
}

// notLinear is the error for a node that contributions cannot pass.
func notLinear(n *graph.Node, why string) error {
	name := fmt.Sprintf("node #%d (%s, %s)", n.Id(), n.Type(), n.Shape())
	if alias := n.GetAlias(); alias != "" {
		name = fmt.Sprintf("node %q, #%d (%s, %s)", alias, n.Id(), n.Type(), n.Shape())
	}
	return fmt.Errorf("%s is not linear in the contributions that flow into it: %s; mark what it computes as a component or a statistic (package mark)", name, why)
}

// checkLinear panics unless n is linear in its carrying inputs together.
func (t *transform) checkLinear(n *graph.Node) {
	carrying := t.carryingInputs(n)
	only := func(allowed int, what string) {
		if len(carrying) != 1 || carrying[0] != allowed {
			panic(notLinear(n, what))
		}
	}
	switch n.Type() {
	case graph.NodeTypeAdd, graph.NodeTypeSub, graph.NodeTypeNeg, graph.NodeTypeIdentity, graph.NodeTypeReshape,
		graph.NodeTypeTranspose, graph.NodeTypeSlice, graph.NodeTypeBroadcastInDim, graph.NodeTypeReverse,
		graph.NodeTypeReduceSum, graph.NodeTypeConcatenate:
	case graph.NodeTypeConvertDType:
		if !n.DType().IsFloat() || !n.Inputs()[0].DType().IsFloat() {
			panic(notLinear(n, "it converts to or from a type that is not a float"))
		}
	case graph.NodeTypeMul, graph.NodeTypeDotGeneral:
		if len(carrying) != 1 {
			panic(notLinear(n, "it multiplies contributions with each other"))
		}
	case graph.NodeTypeDiv:
		only(0, "it divides by contributions")
	case graph.NodeTypeGather, graph.NodeTypeDynamicSlice:
		only(0, "contributions choose the elements")
	case graph.NodeTypeConvGeneral:
		only(0, "contributions are the kernel of a convolution")
	case graph.NodeTypePad:
		only(0, "contributions are the padding")
	case graph.NodeTypeWhere:
		if t.carries[n.Inputs()[0]] {
			panic(notLinear(n, "contributions choose the elements"))
		}
	case graph.NodeTypeMax, graph.NodeTypeMin:
		if len(carrying) != 2 {
			panic(notLinear(n, "it compares contributions with a constant"))
		}
	case graph.NodeTypeReduceMax:
	case graph.NodeTypeReduceWindow:
		only(0, "contributions are its window")
		if !strings.Contains(n.String(), "reductionType=Sum") && !strings.Contains(n.String(), "reductionType=ReduceOpSum") {
			panic(notLinear(n, "it is not a sum over windows"))
		}
	default:
		panic(notLinear(n, "no linear rule for this operation"))
	}
}

// value returns the contributions at node n as readout r sees them.
func (t *transform) value(n *graph.Node, r *readout) *bundle {
	key := valueKey{n, r}
	if v, ok := t.values[key]; ok {
		return v
	}
	var v *bundle
	if s, ok := t.sources[n]; ok {
		v = t.sourceValue(n, s, r)
	} else if r == nil {
		t.checkLinear(n)
		v = t.wholeValue(n)
	} else {
		v = t.narrowValue(n, r)
	}
	t.values[key] = v
	return v
}

// rounds says whether n converts to a half-precision type or back. Contributions pass it as they are: that what they sum to
// was rounded is one small error, and to round each of them would be many.
func rounds(n *graph.Node) bool {
	return n.Type() == graph.NodeTypeConvertDType && (n.DType().IsHalfPrecision() || n.Inputs()[0].DType().IsHalfPrecision())
}

// alike converts a constant operand to the type of the contributions beside it.
func alike(constant, contributions *graph.Node) *graph.Node {
	if constant.DType() == contributions.DType() || !constant.DType().IsHalfPrecision() {
		return constant
	}
	return graph.ConvertDType(constant, contributions.DType())
}

// wholeValue applies n to every contribution in its full shape, by cloning it.
func (t *transform) wholeValue(n *graph.Node) *bundle {
	inputs := n.Inputs()
	if rounds(n) {
		return t.value(inputs[0], nil)
	}
	carrying := t.carryingInputs(n)
	if n.Type() == graph.NodeTypeReduceMax {
		return t.value(inputs[0], nil).mapNodes(selection(n))
	}
	// A maximum is the selection that the values make: what is chosen passes.
	var chosen *graph.Node
	switch n.Type() {
	case graph.NodeTypeMax:
		chosen = graph.GreaterOrEqual(inputs[0], inputs[1])
	case graph.NodeTypeMin:
		chosen = graph.LessOrEqual(inputs[0], inputs[1])
	}
	values := make([]*bundle, len(inputs))
	keys := make(map[Key]bool)
	for _, i := range carrying {
		values[i] = t.value(inputs[i], nil)
		for _, e := range values[i].entries {
			keys[e.keys[0]] = true
		}
	}
	// Only these join several inputs: a constant input is a separate contribution there.
	joins := chosen != nil
	constants := 0 // inputs that are contributions of their own
	switch n.Type() {
	case graph.NodeTypeAdd, graph.NodeTypeSub, graph.NodeTypeConcatenate:
		joins, constants = true, len(inputs)-len(carrying)
	case graph.NodeTypeWhere:
		joins, constants = true, len(inputs)-1-len(carrying)
	case graph.NodeTypePad:
		joins = true
		if fill := inputs[1].ConstantValue(); fill == nil || fmt.Sprint(fill.Value()) != "0" {
			constants = 1
		}
	}
	constKey := Key{Component: t.constComponent()}
	if constants > 0 && t.opts.Biases == BiasesApart {
		keys[constKey] = true
	}
	sorted := make([]Key, 0, len(keys))
	for k := range keys {
		sorted = append(sorted, k)
	}
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].less(sorted[j]) })

	out := &bundle{}
	for _, k := range sorted {
		clone := make([]*graph.Node, len(inputs))
		for i, input := range inputs {
			switch {
			case values[i] == nil && (!joins || n.Type() == graph.NodeTypeWhere && i == 0):
				clone[i] = input
			case values[i] == nil:
				switch {
				case t.opts.Biases == BiasesShared:
					clone[i] = graph.DivScalar(input, float64(len(t.reaching(n))))
				case k == constKey:
					clone[i] = input
				}
			default:
				if e := values[i].find(k); e != nil {
					clone[i] = e.node
				}
			}
			if clone[i] == nil {
				clone[i] = graph.ZerosLike(input)
			}
		}
		for i := range clone {
			if !joins {
				clone[i] = alike(clone[i], clone[carrying[0]])
			}
		}
		node := (*graph.Node)(nil)
		if chosen != nil {
			node = graph.Where(chosen, clone[0], clone[1])
		} else {
			node = n.CloneWithInputs(clone...)
		}
		out.entries = append(out.entries, &entry{keys: []Key{k}, node: node})
	}
	return out
}

var axesPattern = regexp.MustCompile(`axes=\[([0-9 ]*)\]`)

// selection is what a maximum over axes passes of contributions: those at the places where the values are largest. Where
// several are, each passes its share.
func selection(n *graph.Node) func(*graph.Node) *graph.Node {
	x := n.Inputs()[0]
	match := axesPattern.FindStringSubmatch(n.String()) // GoMLX tells a node's axes only there
	var axes []int
	if match != nil {
		for _, field := range strings.Fields(match[1]) {
			axis, err := strconv.Atoi(field)
			if err != nil || axis >= x.Rank() {
				panic(notLinear(n, "over which axes it is a maximum is not known"))
			}
			axes = append(axes, axis)
		}
	}
	if len(axes) == 0 {
		panic(notLinear(n, "over which axes it is a maximum is not known"))
	}
	largest := graph.ConvertDType(graph.Equal(x, graph.BroadcastToShape(graph.ReduceAndKeep(x, graph.ReduceMax, axes...), x.Shape())), x.DType())
	share := graph.Div(largest, graph.ReduceAndKeep(largest, graph.ReduceSum, axes...))
	return func(contribution *graph.Node) *graph.Node {
		return graph.ReduceSum(graph.Mul(contribution, share), axes...)
	}
}

// narrowValue pulls the readout through n where n allows it, else reads from the whole value.
func (t *transform) narrowValue(n *graph.Node, r *readout) *bundle {
	if m, ok := t.marks.TokenMaps[n]; ok && t.layout(n).known {
		return t.value(m.Input, t.throughTokenMap(r, n, m.TokenMap, 0))
	}
	if m, ok := t.marks.Joins[n]; ok && t.layout(n).known {
		parts := make([]*bundle, len(m.Parts))
		channels := make([]int, len(m.Parts))
		for i, part := range m.Parts {
			parts[i], channels[i] = t.value(m.Input, t.throughTokenMap(r, n, part, i)), t.layout(m.Input).channels
		}
		return joinChannels(parts, t.opts.Split != Tokens, t.constComponent(), channels)
	}
	if p, ok := t.marks.Pools[n]; ok && t.layout(n).known {
		return t.pooled(t.value(p.Values, t.throughPool(n, p)), p, r)
	}
	t.checkLinear(n)
	if !t.layout(n).known {
		return t.readWhole(n, r)
	}
	inputs, carrying := n.Inputs(), t.carryingInputs(n)[0]
	if rounds(n) {
		return t.value(inputs[0], r)
	}
	switch n.Type() {
	case graph.NodeTypeReduceMax: // which token it takes differs between channels
		return t.readWhole(n, r)
	case graph.NodeTypeReshape, graph.NodeTypeIdentity:
		return t.value(inputs[0], r)
	case graph.NodeTypeAdd, graph.NodeTypeSub:
		return t.narrowSum(n, r)
	case graph.NodeTypeConcatenate:
		parts := make([]*bundle, len(inputs))
		for i, input := range inputs {
			parts[i] = t.value(input, r)
		}
		return joinChannels(parts, t.opts.Split != Tokens, t.constComponent(), t.channelsOf(inputs))
	case graph.NodeTypeMul, graph.NodeTypeDiv:
		factor := inputs[1-carrying]
		switch tokens, chans := t.varies(n, factor); {
		case tokens && chans:
			return t.readWhole(n, r)
		case tokens:
			return t.value(inputs[carrying], t.throughTokenScale(r, n, factor))
		}
	}
	return t.applyNarrow(n, carrying, t.value(inputs[carrying], r))
}

// channelsOf lists the channels of nodes of known layout.
func (t *transform) channelsOf(nodes []*graph.Node) []int {
	channels := make([]int, len(nodes))
	for i, n := range nodes {
		channels[i] = t.layout(n).channels
	}
	return channels
}

// readWhole reads r from contributions that exist only in their full shape.
func (t *transform) readWhole(n *graph.Node, r *readout) *bundle {
	if t.opts.Split == Tokens {
		panic(fmt.Errorf("the token split cannot pass node #%d (%s, %s), which does not treat all tokens alike", n.Id(), n.Type(), n.Shape()))
	}
	whole := t.value(n, nil)
	out := &bundle{}
	for _, e := range whole.entries {
		out.entries = append(out.entries, &entry{keys: e.keys, node: t.read(e.node, n, r)})
	}
	return out
}

// narrowSum adds or subtracts bundles; an operand without contributions is a constant.
func (t *transform) narrowSum(n *graph.Node, r *readout) *bundle {
	channels := t.layout(n).channels
	var operands [2]*bundle
	for i, input := range n.Inputs() {
		if t.carries[input] {
			operands[i] = t.value(input, r)
		}
	}
	subtract := n.Type() == graph.NodeTypeSub
	for i, constant := range n.Inputs() {
		if t.carries[constant] {
			continue
		}
		value := t.readConstant(constant, n, r)
		if subtract && i == 1 {
			value = graph.Neg(value)
		}
		other := operands[1-i]
		if subtract && i == 0 {
			other = other.mapNodes(graph.Neg)
		}
		if t.opts.Biases == BiasesShared {
			return other.spreadBias(value, len(t.reaching(n)), channels)
		}
		if t.opts.scores != nil || t.opts.skip(source{kind: Const}) {
			return other
		}
		constant := &entry{keys: []Key{{Component: t.constComponent()}}, node: value}
		return &bundle{entries: append(slices.Clone(other.entries), constant)}
	}
	return combine(operands[0], operands[1], subtract, channels, t.constComponent())
}

// applyNarrow clones n, which treats all tokens alike, on stacked contributions.
func (t *transform) applyNarrow(n *graph.Node, operand int, in *bundle) *bundle {
	if n.Type() != graph.NodeTypeDotGeneral {
		in.stack(t.opts.Split != Tokens, t.constComponent())
	}
	out := &bundle{}
	for _, e := range in.entries {
		node := e.node
		if e.heads != nil {
			if projected := t.projectHeads(n, operand, e.heads); projected != nil {
				out.entries = append(out.entries, &entry{keys: e.keys, node: projected})
				continue
			}
			node = padHeads(e.heads)
		}
		out.entries = append(out.entries, &entry{keys: e.keys, node: t.cloneOn(n, operand, node)})
	}
	return out
}

// cloneOn applies n to rows, shaped [batch, row, channel], in place of its operand's tokens.
func (t *transform) cloneOn(n *graph.Node, operand int, rows *graph.Node) *graph.Node {
	l := t.layout(n.Inputs()[operand])
	count := rows.Shape().Dim(1)
	inputs := slices.Clone(n.Inputs())
	inputs[operand] = graph.Reshape(rows, l.withRows(t.batch, count)...)
	for i := range inputs {
		inputs[i] = alike(inputs[i], rows)
	}
	clone := n.CloneWithInputs(inputs...)
	want := t.layout(n).withRows(t.batch, count)
	if !slices.Equal(clone.Shape().Dimensions, want) {
		panic(notLinear(n, fmt.Sprintf("on %d tokens it gives %v instead of %v", count, clone.Shape().Dimensions, want)))
	}
	return graph.Reshape(clone, t.batch, count, t.layout(n).channels)
}
