package discover

import (
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
)

// linear says through which of its inputs a node is linear in what depends on the pixels. statistic is an operand that counts
// as a constant there although it was computed from them: what a norm divides by. A node that is not linear has ok false.
func (f *finder) linear(n *graph.Node) (inputs []*graph.Node, statistic *graph.Node, ok bool) {
	in := n.Inputs()
	only := func(i int) ([]*graph.Node, *graph.Node, bool) {
		for k, input := range in {
			if k != i && f.dynamic[input] {
				return nil, nil, false
			}
		}
		return in[i : i+1], nil, true
	}
	switch n.Type() {
	case graph.NodeTypeAdd, graph.NodeTypeSub, graph.NodeTypeConcatenate:
		for _, input := range in {
			if f.dynamic[input] {
				inputs = append(inputs, input)
			}
		}
		return inputs, nil, true
	case graph.NodeTypeNeg, graph.NodeTypeIdentity, graph.NodeTypeReshape, graph.NodeTypeTranspose, graph.NodeTypeSlice,
		graph.NodeTypeBroadcastInDim, graph.NodeTypeReverse, graph.NodeTypeReduceSum, graph.NodeTypeGather,
		graph.NodeTypeDynamicSlice, graph.NodeTypeConvGeneral, graph.NodeTypePad,
		graph.NodeTypeReduceMax: // the selection that the values make
		return only(0)
	case graph.NodeTypeConvertDType:
		if !n.DType().IsFloat() || !in[0].DType().IsFloat() {
			return nil, nil, false
		}
		return only(0)
	case graph.NodeTypeReduceWindow:
		if !strings.Contains(n.String(), "reductionType=Sum") && !strings.Contains(n.String(), "reductionType=ReduceOpSum") {
			return nil, nil, false
		}
		return only(0)
	case graph.NodeTypeWhere:
		if f.dynamic[in[0]] {
			return nil, nil, false
		}
		for _, input := range in[1:] {
			if f.dynamic[input] {
				inputs = append(inputs, input)
			}
		}
		return inputs, nil, true
	case graph.NodeTypeMul, graph.NodeTypeDiv:
		if !f.dynamic[in[1]] {
			return in[:1], nil, true
		}
		if !f.dynamic[in[0]] {
			if n.Type() == graph.NodeTypeDiv {
				return nil, nil, false
			}
			return in[1:], nil, true
		}
		switch {
		case f.frozen[in[1]]:
			return in[:1], in[1], true
		case f.frozen[in[0]] && n.Type() == graph.NodeTypeMul:
			return in[1:], in[0], true
		case f.isStatistic(in[1]):
			return in[:1], in[1], true
		case n.Type() == graph.NodeTypeMul && f.isStatistic(in[0]):
			return in[1:], in[0], true
		}
	case graph.NodeTypeDotGeneral:
		for i := range in {
			if !f.dynamic[in[1-i]] {
				return in[i : i+1], nil, true
			}
			if f.frozen[in[1-i]] {
				return in[i : i+1], in[1-i], true
			}
		}
	case graph.NodeTypeMax, graph.NodeTypeMin:
		// A maximum of what lies at several places of one map is the selection that the values make.
		if a, b := f.selectedFrom(in[0], n.Type()), f.selectedFrom(in[1], n.Type()); a != nil && a == b {
			return in, nil, true
		}
	}
	return nil, nil, false
}

// selectedFrom is the map that a maximum of slices is taken from, nil if n is none.
func (f *finder) selectedFrom(n *graph.Node, op graph.NodeType) *graph.Node {
	for n.Type() == op {
		n = n.Inputs()[0]
	}
	if n.Type() != graph.NodeTypeSlice {
		return nil
	}
	return n.Inputs()[0]
}

// isStatistic says whether n is what a norm multiplies with or divides by: a root of a mean of squares, scaled and shaped.
func (f *finder) isStatistic(n *graph.Node) bool {
	if is, seen := f.statistics[n]; seen {
		return is
	}
	is := f.findStatistic(n, 0)
	f.statistics[n] = is
	return is
}

func (f *finder) findStatistic(n *graph.Node, depth int) bool {
	if depth > 16 {
		return false
	}
	in := n.Inputs()
	switch n.Type() {
	case graph.NodeTypeReshape, graph.NodeTypeBroadcastInDim, graph.NodeTypeTranspose, graph.NodeTypeIdentity,
		graph.NodeTypeConvertDType, graph.NodeTypeSlice:
		return f.findStatistic(in[0], depth+1)
	case graph.NodeTypeMul, graph.NodeTypeAdd, graph.NodeTypeMax, graph.NodeTypeMin:
		for i := range in {
			if f.dynamic[in[i]] && !f.dynamic[in[1-i]] {
				return f.findStatistic(in[i], depth+1)
			}
		}
	case graph.NodeTypeDiv:
		if f.dynamic[in[0]] != f.dynamic[in[1]] {
			for i := range in {
				if f.dynamic[in[i]] {
					return f.findStatistic(in[i], depth+1)
				}
			}
		}
	case graph.NodeTypeSqrt, graph.NodeTypeRsqrt:
		return f.sumOfSquares(in[0], 0)
	case graph.NodeTypePow:
		return !f.dynamic[in[1]] && f.sumOfSquares(in[0], 0)
	}
	return false
}

// sumOfSquares says whether n is a sum of squares, scaled and shaped and with something added.
func (f *finder) sumOfSquares(n *graph.Node, depth int) bool {
	if depth > 16 {
		return false
	}
	in := n.Inputs()
	switch n.Type() {
	case graph.NodeTypeReshape, graph.NodeTypeBroadcastInDim, graph.NodeTypeTranspose, graph.NodeTypeIdentity, graph.NodeTypeConvertDType:
		return f.sumOfSquares(in[0], depth+1)
	case graph.NodeTypeAdd, graph.NodeTypeMul, graph.NodeTypeDiv, graph.NodeTypeMax, graph.NodeTypeSub:
		if f.dynamic[in[0]] && !f.dynamic[in[1]] {
			return f.sumOfSquares(in[0], depth+1)
		}
		if f.dynamic[in[1]] && !f.dynamic[in[0]] {
			return f.sumOfSquares(in[1], depth+1)
		}
		// E[x²] - E[x]²
		return n.Type() == graph.NodeTypeSub && f.sumOfSquares(in[0], depth+1)
	case graph.NodeTypeReduceSum, graph.NodeTypeReduceWindow:
		x := in[0]
		for slices.Contains([]graph.NodeType{graph.NodeTypeReshape, graph.NodeTypeTranspose, graph.NodeTypeConvertDType}, x.Type()) {
			x = x.Inputs()[0]
		}
		switch x.Type() {
		case graph.NodeTypeMul:
			return x.Inputs()[0] == x.Inputs()[1] || same(x.Inputs()[0], x.Inputs()[1])
		case graph.NodeTypePow:
			return !f.dynamic[x.Inputs()[1]]
		}
	case graph.NodeTypeDotGeneral:
		return in[0] == in[1]
	}
	return false
}

// same says whether two nodes are the same but for identities.
func same(a, b *graph.Node) bool {
	strip := func(n *graph.Node) *graph.Node {
		for n.Type() == graph.NodeTypeIdentity {
			n = n.Inputs()[0]
		}
		return n
	}
	return strip(a) == strip(b)
}
