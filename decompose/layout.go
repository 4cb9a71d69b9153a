package decompose

import (
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// layout says which axes of a node are batch, tokens and channels, when that is known: axis 0 is the batch, and maybe groups
// of tokens within a picture, the last is the channels (unless they were summed away), all between are tokens.
type layout struct {
	known       bool
	groups      int // of tokens, which axis 0 holds beside the batch: windows
	tokenDims   []int
	tokens      int // product of groups and tokenDims
	channels    int // 1 when summed away
	hasChannels bool
}

func (t *transform) knownLayout(dims []int, hasChannels bool) layout {
	groups := dims[0] / t.batch
	l := layout{known: true, hasChannels: hasChannels, channels: 1, groups: groups, tokens: groups}
	l.tokenDims = dims[1:]
	if hasChannels {
		l.tokenDims, l.channels = dims[1:len(dims)-1], dims[len(dims)-1]
	}
	for _, d := range l.tokenDims {
		l.tokens *= d
	}
	return l
}

// withRows gives the dimensions of a node of this layout with other tokens: all on the last token axis, so that the
// rank stays. A node without token axes cannot take several rows, except as a separate batch.
func (l layout) withRows(batch, rows int) []int {
	dims := []int{batch}
	if len(l.tokenDims) == 0 {
		dims[0] *= rows
	} else {
		for range len(l.tokenDims) - 1 {
			dims = append(dims, 1)
		}
		dims = append(dims, rows)
	}
	if l.hasChannels {
		dims = append(dims, l.channels)
	}
	return dims
}

// layout follows the axes from the sources to n through the operations that keep them apart.
func (t *transform) layout(n *graph.Node) layout {
	if l, ok := t.layouts[n]; ok {
		return l
	}
	l := t.findLayout(n)
	t.layouts[n] = l
	return l
}

func (t *transform) findLayout(n *graph.Node) layout {
	dims := n.Shape().Dimensions
	if len(dims) == 0 || dims[0]%t.batch != 0 {
		return layout{}
	}
	if s, ok := t.sources[n]; ok && len(dims) > 1 {
		if s.kind == Head && s.attention.Owner != nil && s.attention.Axis != len(dims)-1 {
			return layout{} // its last axis does not hold the channels
		}
		if groups := dims[0] / t.batch; groups > 1 && (s.kind != Head || s.attention.Windows != groups) {
			return layout{} // it is not known what axis 0 holds beside the batch
		}
		return t.knownLayout(dims, true)
	}
	if m, ok := t.marks.TokenMaps[n]; ok {
		in := t.layout(m.Input)
		if !in.known || !in.hasChannels || dims[len(dims)-1] != in.channels {
			return layout{}
		}
		if l := t.knownLayout(dims, true); l.tokens == len(m.Index) {
			return l
		}
		return layout{}
	}
	if m, ok := t.marks.Joins[n]; ok {
		in := t.layout(m.Input)
		if l := t.knownLayout(dims, true); in.known && in.hasChannels && l.channels == in.channels*len(m.Parts) && l.tokens == len(m.Parts[0].Index) {
			return l
		}
		return layout{}
	}
	if p, ok := t.marks.Pools[n]; ok {
		if in := t.layout(p.Values); !in.known || !in.hasChannels || in.groups != 1 || len(dims) != 2 || dims[0] != t.batch || dims[1] != in.channels {
			return layout{}
		}
		return t.knownLayout(dims, true)
	}
	carrying := t.carryingInputs(n)
	if len(carrying) == 0 {
		return layout{}
	}
	for _, i := range carrying {
		if !t.layout(n.Inputs()[i]).known {
			return layout{}
		}
	}
	in := t.layout(n.Inputs()[carrying[0]])
	inDims := n.Inputs()[carrying[0]].Shape().Dimensions
	switch n.Type() {
	case graph.NodeTypeIdentity, graph.NodeTypeNeg, graph.NodeTypeConvertDType:
		return in
	case graph.NodeTypeAdd, graph.NodeTypeSub:
		for _, i := range carrying {
			other := t.layout(n.Inputs()[i])
			operand := n.Inputs()[i].Shape().Dimensions
			// An operand may lack channels (a mean over them), never tokens.
			if other.hasChannels != in.hasChannels || len(operand) != len(dims) ||
				!slices.Equal(operand[:len(dims)-1], dims[:len(dims)-1]) {
				return layout{}
			}
		}
		return t.knownLayout(dims, in.hasChannels)
	case graph.NodeTypeMul, graph.NodeTypeDiv:
		if !slices.Equal(dims, inDims) {
			return layout{}
		}
		return in
	case graph.NodeTypeReshape:
		// Tokens may be counted along other axes, and summed channels may come back as an axis of 1.
		last := dims[len(dims)-1]
		if l := t.knownLayout(dims, true); l.tokens == in.tokens && last == in.channels {
			return l
		}
		return layout{}
	case graph.NodeTypeConcatenate:
		// Joined along the channels (patch merging): all other axes stay.
		if len(carrying) != len(n.Inputs()) {
			return layout{}
		}
		for _, input := range n.Inputs() {
			operand := input.Shape().Dimensions
			if !t.layout(input).hasChannels || !slices.Equal(operand[:len(operand)-1], dims[:len(dims)-1]) {
				return layout{}
			}
		}
		return t.knownLayout(dims, true)
	case graph.NodeTypeReduceMax:
		// Fewer tokens, each the largest of some.
		if last := len(dims) - 1; in.hasChannels && last > 0 && dims[0] == inDims[0] && dims[last] == in.channels {
			return t.knownLayout(dims, true)
		}
	case graph.NodeTypeReduceSum:
		if in.hasChannels && t.treatsTokensAlike(n, in, dims) {
			return t.knownLayout(dims, false)
		}
	case graph.NodeTypeDotGeneral:
		if carrying[0] == 0 && in.hasChannels && len(dims) == len(inDims) && t.treatsTokensAlike(n, in, dims) {
			return t.knownLayout(dims, true)
		}
	}
	return layout{}
}

// treatsTokensAlike asks the operation itself whether it keeps the token axes: it is cloned with one token more (one
// picture more where there are no token axes), and the shape of the result must show it at the same axis. The clone is
// never used, so XLA drops it.
func (t *transform) treatsTokensAlike(n *graph.Node, in layout, dims []int) bool {
	axis := len(in.tokenDims) // axis 0 is the batch, so this is the last token axis
	original := n.Inputs()[0]
	longer := slices.Clone(original.Shape().Dimensions)
	longer[axis]++
	inputs := slices.Clone(n.Inputs())
	inputs[0] = graph.BroadcastToDims(graph.ScalarZero(t.graph, original.DType()), longer...)
	var clone *graph.Node
	if err := exceptions.TryCatch[error](func() { clone = n.CloneWithInputs(inputs...) }); err != nil {
		return false
	}
	want := slices.Clone(dims)
	if axis >= len(want) {
		return false
	}
	want[axis]++
	return slices.Equal(clone.Shape().Dimensions, want)
}

// varies says whether a constant factor of n differs between tokens, and whether between channels.
func (t *transform) varies(n, factor *graph.Node) (tokens, channels bool) {
	dims := factor.Shape().Dimensions
	if len(dims) == 0 {
		return false, false
	}
	l := t.layout(n)
	for _, d := range dims[1 : 1+len(l.tokenDims)] {
		tokens = tokens || d != 1
	}
	channels = l.hasChannels && dims[len(dims)-1] != 1
	// A factor per picture alone is treated like one per token; one per picture and channel broadcasts over tokens,
	// unless there is no axis for them.
	if dims[0] != 1 && (!channels || len(l.tokenDims) == 0 || dims[0] != t.batch) {
		tokens = true
	}
	return tokens, channels
}
