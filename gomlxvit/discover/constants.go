package discover

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// integers are the elements of a constant expression of integers, as indices are; nil for anything else.
func (f *finder) integers(n *graph.Node) []int {
	if values, ok := f.constants[n]; ok {
		return values
	}
	values := f.evaluate(n)
	f.constants[n] = values
	return values
}

func (f *finder) evaluate(n *graph.Node) []int {
	if f.dynamic[n] || n.Shape().Size() > 1<<22 {
		return nil
	}
	in := n.Inputs()
	size := n.Shape().Size()
	switch n.Type() {
	case graph.NodeTypeConstant:
		return constantIntegers(n.ConstantValue())
	case graph.NodeTypeReshape, graph.NodeTypeIdentity, graph.NodeTypeConvertDType:
		return f.integers(in[0])
	case graph.NodeTypeBroadcastInDim:
		x := f.integers(in[0])
		if len(x) != 1 {
			return nil
		}
		out := make([]int, size)
		for i := range out {
			out[i] = x[0]
		}
		return out
	case graph.NodeTypeAdd, graph.NodeTypeSub, graph.NodeTypeMul, graph.NodeTypeLessThan, graph.NodeTypeWhere:
		operands := make([][]int, len(in))
		for i, input := range in {
			operands[i] = f.integers(input)
			if len(operands[i]) != size && len(operands[i]) != 1 {
				return nil
			}
		}
		at := func(operand, i int) int { return operands[operand][i%len(operands[operand])] }
		out := make([]int, size)
		for i := range out {
			switch n.Type() {
			case graph.NodeTypeAdd:
				out[i] = at(0, i) + at(1, i)
			case graph.NodeTypeSub:
				out[i] = at(0, i) - at(1, i)
			case graph.NodeTypeMul:
				out[i] = at(0, i) * at(1, i)
			case graph.NodeTypeLessThan:
				if at(0, i) < at(1, i) {
					out[i] = 1
				}
			case graph.NodeTypeWhere:
				if at(0, i) != 0 {
					out[i] = at(1, i)
				} else {
					out[i] = at(2, i)
				}
			}
		}
		return out
	}
	return nil
}

func constantIntegers(t *tensors.Tensor) []int {
	if t == nil {
		return nil
	}
	switch t.DType() {
	case dtypes.Int64:
		return copyIntegers[int64](t)
	case dtypes.Int32:
		return copyIntegers[int32](t)
	case dtypes.Uint32:
		return copyIntegers[uint32](t)
	case dtypes.Uint8:
		return copyIntegers[uint8](t)
	}
	return nil
}

func copyIntegers[T int64 | int32 | uint32 | uint8](t *tensors.Tensor) []int {
	flat, err := tensors.CopyFlatData[T](t)
	if err != nil {
		return nil
	}
	out := make([]int, len(flat))
	for i, v := range flat {
		out[i] = int(v)
	}
	return out
}
