package discover

import (
	"slices"

	"github.com/gomlx/gomlx/core/graph"
)

// labels say of each element of a node where it comes from: a number, or one of these two.
const (
	anything int32 = -1 // of an element that is the same whatever the labelled node is
	several  int32 = -2 // of one that was made of elements with different labels
)

// labelling follows labels from one node through operations that move elements.
type labelling struct {
	f     *finder
	known map[*graph.Node][]int32 // nil for a node of which nothing is known
	below map[*graph.Node]bool    // what is computed from the labelled node
	// strict refuses operations that compute: an element must be a copy. Otherwise operations that work element by element
	// pass labels on.
	strict bool
	// budget is how many elements may be labelled yet.
	budget int
}

func (f *finder) label(n *graph.Node, labels []int32, strict bool) *labelling {
	return &labelling{f: f, known: map[*graph.Node][]int32{n: labels}, below: f.descendants(n), strict: strict, budget: 1 << 28}
}

// of gives the labels of a node's elements, nil if they cannot be known.
func (l *labelling) of(n *graph.Node) []int32 {
	if labels, ok := l.known[n]; ok {
		return labels
	}
	var labels []int32
	if l.budget -= n.Shape().Size(); l.budget > 0 {
		if l.f.dynamic[n] && l.below[n] {
			labels = l.compute(n)
		} else {
			labels = slices.Repeat([]int32{anything}, n.Shape().Size())
		}
	}
	l.known[n] = labels
	return labels
}

func (l *labelling) compute(n *graph.Node) []int32 {
	in := n.Inputs()
	dims := n.Shape().Dimensions
	if len(in) == 0 {
		return nil
	}
	switch n.Type() {
	case graph.NodeTypeReshape, graph.NodeTypeIdentity, graph.NodeTypeConvertDType, graph.NodeTypeNeg:
		return l.of(in[0])
	case graph.NodeTypeTranspose:
		perm := lists(n)["permutation"]
		x := l.of(in[0])
		if x == nil || len(perm) != len(dims) {
			return nil
		}
		from := strides(in[0].Shape().Dimensions)
		step := make([]int, len(dims))
		for i, p := range perm {
			step[i] = from[p]
		}
		return pick(x, dims, 0, step)
	case graph.NodeTypeSlice:
		p := lists(n)
		x := l.of(in[0])
		if x == nil || len(p["starts"]) != len(dims) {
			return nil
		}
		step, offset := strides(in[0].Shape().Dimensions), 0
		for i, start := range p["starts"] {
			offset += start * step[i]
			if len(p["strides"]) == len(dims) {
				step[i] *= p["strides"][i]
			}
		}
		return pick(x, dims, offset, step)
	case graph.NodeTypeBroadcastInDim:
		axes, ok := lists(n)["broadcastAxes"]
		x := l.of(in[0])
		if x == nil || !ok || len(axes) != in[0].Rank() {
			return nil
		}
		from, step := strides(in[0].Shape().Dimensions), make([]int, len(dims))
		for i, axis := range axes {
			if in[0].Shape().Dim(i) != 1 {
				step[axis] = from[i]
			}
		}
		return pick(x, dims, 0, step)
	case graph.NodeTypeConcatenate:
		axis := axisOf(n)
		if axis < 0 || axis >= len(dims) {
			return nil
		}
		outer, inner := 1, 1
		for i, d := range dims {
			if i < axis {
				outer *= d
			} else if i > axis {
				inner *= d
			}
		}
		out := make([]int32, 0, n.Shape().Size())
		parts := make([][]int32, len(in))
		for i, input := range in {
			if parts[i] = l.of(input); parts[i] == nil {
				return nil
			}
		}
		for o := range outer {
			for i, input := range in {
				size := input.Shape().Dim(axis) * inner
				out = append(out, parts[i][o*size:][:size]...)
			}
		}
		return out
	case graph.NodeTypeGather:
		return l.gather(n)
	case graph.NodeTypePad:
		return nil
	case graph.NodeTypeAdd, graph.NodeTypeSub, graph.NodeTypeMul, graph.NodeTypeDiv, graph.NodeTypeMax, graph.NodeTypeMin:
		if l.strict {
			return nil
		}
		return l.join(n, in)
	case graph.NodeTypeReduceSum:
		if l.strict {
			return nil
		}
		return slices.Repeat([]int32{several}, n.Shape().Size())
	case graph.NodeTypeErf, graph.NodeTypeExp, graph.NodeTypeTanh, graph.NodeTypeLogistic, graph.NodeTypeAbs, graph.NodeTypeSqrt,
		graph.NodeTypeRsqrt, graph.NodeTypeClamp, graph.NodeTypePow:
		if l.strict {
			return nil
		}
		return l.of(in[0])
	}
	return nil
}

// join joins the labels of operands element by element, with broadcasting of scalars and of axes of 1.
func (l *labelling) join(n *graph.Node, operands []*graph.Node) []int32 {
	dims := n.Shape().Dimensions
	var out []int32
	for _, operand := range operands {
		if !l.f.dynamic[operand] {
			continue
		}
		x := l.of(operand)
		if x == nil {
			return nil
		}
		if operand.Shape().Size() != n.Shape().Size() {
			step := make([]int, len(dims))
			if operand.Rank() == len(dims) {
				for i, s := range strides(operand.Shape().Dimensions) {
					if operand.Shape().Dim(i) != 1 {
						step[i] = s
					}
				}
			} else if operand.Rank() != 0 {
				return nil
			}
			x = pick(x, dims, 0, step)
		}
		if out == nil {
			out = x
			continue
		}
		joined := make([]int32, len(out))
		for i := range out {
			joined[i] = meet(out[i], x[i])
		}
		out = joined
	}
	return out
}

func meet(a, b int32) int32 {
	switch {
	case a == b || b == anything:
		return a
	case a == anything:
		return b
	}
	return several
}

// gather follows a gather along axis 0 with constant indices of one axis.
func (l *labelling) gather(n *graph.Node) []int32 {
	in := n.Inputs()
	x := l.of(in[0])
	indices := l.f.integers(in[1])
	operand := in[0].Shape().Dimensions
	if x == nil || indices == nil || len(operand) == 0 {
		return nil
	}
	p := lists(n)
	if !slices.Equal(p["startIndexMap"], []int{0}) || !slices.Equal(p["collapsedSliceAxes"], []int{0}) {
		return nil
	}
	row := in[0].Shape().Size() / operand[0]
	sizes := p["sliceSizes"]
	if len(sizes) != len(operand) || sizes[0] != 1 || !slices.Equal(sizes[1:], operand[1:]) || len(indices)*row != n.Shape().Size() {
		return nil
	}
	// The rows must stay together at the end.
	offsets := p["offsetOutputAxes"]
	for i, axis := range offsets {
		if axis != n.Rank()-len(offsets)+i {
			return nil
		}
	}
	out := make([]int32, 0, n.Shape().Size())
	for _, index := range indices {
		index = min(max(index, 0), operand[0]-1) // as XLA does
		out = append(out, x[index*row:][:row]...)
	}
	return out
}

// strides are the distances between neighbours along each axis.
func strides(dims []int) []int {
	s := make([]int, len(dims))
	size := 1
	for i := len(dims) - 1; i >= 0; i-- {
		s[i] = size
		size *= dims[i]
	}
	return s
}

// pick takes elements at regular distances.
func pick(x []int32, dims []int, offset int, step []int) []int32 {
	size := 1
	for _, d := range dims {
		size *= d
	}
	out := make([]int32, size)
	index := make([]int, len(dims))
	at := offset
	for i := range out {
		out[i] = x[at]
		for axis := len(dims) - 1; axis >= 0; axis-- {
			index[axis]++
			at += step[axis]
			if index[axis] < dims[axis] {
				break
			}
			at -= dims[axis] * step[axis]
			index[axis] = 0
		}
	}
	return out
}
