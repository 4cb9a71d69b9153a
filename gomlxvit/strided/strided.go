// Package strided reads tensors that are views of numbers in a file: slices, transpositions and expansions of a storage,
// as PyTorch keeps them in its checkpoints and NumPy in its archives.
package strided

import (
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"

	"vitdecompose/gomlxvit/safetensors"
)

// Storage is where numbers lie, one behind the other, little-endian.
type Storage interface {
	io.ReaderAt
	Size() int64 // in bytes
}

// Tensor is a view of a storage: its element [i, j, ...] is number Offset + i*Strides[0] + j*Strides[1] + ... of it.
type Tensor struct {
	DType   safetensors.DType
	Shape   []int
	Strides []int // in numbers, none negative
	Offset  int   // in numbers
	Storage Storage
}

// Contiguous is the tensor of that shape whose elements lie in row-major order at the beginning of a storage.
func Contiguous(storage Storage, dtype safetensors.DType, shape []int) Tensor {
	return Tensor{DType: dtype, Shape: shape, Strides: rowMajor(shape), Storage: storage}
}

func rowMajor(shape []int) []int {
	strides, next := make([]int, len(shape)), 1
	for axis, size := range slices.Backward(shape) {
		strides[axis] = next
		next *= max(size, 1)
	}
	return strides
}

// MaxRank is the number of axes that PyTorch and NumPy allow at most.
const MaxRank = 64

// Check says what is wrong with a view: it must lie within its storage, and have no more than so many elements, which
// expansion could multiply. All that other methods do relies on it.
func (t Tensor) Check(most int64) error {
	size := int64(t.DType.Size())
	switch {
	case size == 0:
		return fmt.Errorf("numbers of the type %q are not known", t.DType)
	case len(t.Shape) != len(t.Strides) || len(t.Shape) > MaxRank:
		return fmt.Errorf("%d axes with %d strides are not a tensor's", len(t.Shape), len(t.Strides))
	case t.Offset < 0 || slices.ContainsFunc(t.Shape, negative) || slices.ContainsFunc(t.Strides, negative):
		return fmt.Errorf("the shape %v, the strides %v or the offset %d is negative", t.Shape, t.Strides, t.Offset)
	}
	count, last, overflow := uint64(1), uint64(t.Offset), false
	for axis, n := range t.Shape {
		high, low := bits.Mul64(count, uint64(max(n, 1)))
		overflow = overflow || high > 0 || low > math.MaxInt64
		count = low
		high, low = bits.Mul64(uint64(max(n-1, 0)), uint64(t.Strides[axis]))
		overflow = overflow || high > 0 || low > math.MaxInt64 || last+low > math.MaxInt64
		last += low
	}
	switch {
	case overflow || count > uint64(max(most, 1)):
		return fmt.Errorf("the shape %v with strides %v has more numbers than the whole file could hold", t.Shape, t.Strides)
	case slices.Contains(t.Shape, 0):
		return nil
	case last >= uint64(t.Storage.Size()/size):
		return fmt.Errorf("the shape %v with strides %v from number %d on reaches number %d of %d: the file is cut short or damaged",
			t.Shape, t.Strides, t.Offset, last, t.Storage.Size()/size)
	}
	return nil
}

func negative(n int) bool { return n < 0 }

// Len is the number of elements.
func (t Tensor) Len() int {
	n := 1
	for _, size := range t.Shape {
		n *= size
	}
	return n
}

// chunk is how many numbers are read at a time.
const chunk = 1 << 16

// Float32 reads the elements in row-major order, converted as package safetensors converts them.
func (t Tensor) Float32() ([]float32, error) {
	count := t.Len()
	if count == 0 {
		return []float32{}, nil
	}
	last := t.Offset
	for axis, size := range t.Shape {
		last += (size - 1) * t.Strides[axis]
	}
	numbers, size := make([]float32, last-t.Offset+1), t.DType.Size()
	buffer := make([]byte, min(chunk, len(numbers))*size)
	for first := 0; first < len(numbers); first += chunk {
		part := numbers[first:min(first+chunk, len(numbers))]
		bytes := buffer[:len(part)*size]
		if n, err := t.Storage.ReadAt(bytes, int64(t.Offset+first)*int64(size)); n < len(bytes) {
			return nil, fmt.Errorf("cannot be read, did the file change? %w", err)
		}
		if err := safetensors.Decode(part, bytes, t.DType); err != nil {
			return nil, err
		}
	}
	if t.isRowMajor() {
		return numbers, nil
	}
	out := make([]float32, 0, count)
	return gather(out, numbers, t.Shape, t.Strides), nil
}

// isRowMajor tells whether the elements lie in the order in which they are read.
func (t Tensor) isRowMajor() bool {
	for axis, stride := range rowMajor(t.Shape) {
		if t.Shape[axis] > 1 && t.Strides[axis] != stride {
			return false
		}
	}
	return true
}

func gather(out, numbers []float32, shape, strides []int) []float32 {
	if len(shape) == 0 {
		return append(out, numbers[0])
	}
	if len(shape) == 1 {
		for i := range shape[0] {
			out = append(out, numbers[i*strides[0]])
		}
		return out
	}
	for i := range shape[0] {
		out = gather(out, numbers[i*strides[0]:], shape[1:], strides[1:])
	}
	return out
}

// Permuted is the tensor with its axes in another order: axis i is what axis axes[i] was.
func (t Tensor) Permuted(axes ...int) Tensor {
	shape, strides := make([]int, len(axes)), make([]int, len(axes))
	for i, axis := range axes {
		shape[i], strides[i] = t.Shape[axis], t.Strides[axis]
	}
	t.Shape, t.Strides = shape, strides
	return t
}

// At is the part of the tensor at an index of its first axis.
func (t Tensor) At(index int) Tensor {
	t.Offset += index * t.Strides[0]
	t.Shape, t.Strides = t.Shape[1:], t.Strides[1:]
	return t
}

// Joined is the tensor with two neighbouring axes, axis and axis+1, as one; false where their numbers do not lie so.
func (t Tensor) Joined(axis int) (Tensor, bool) {
	outer, inner := t.Shape[axis], t.Shape[axis+1]
	if outer > 1 && inner > 0 && t.Strides[axis] != inner*t.Strides[axis+1] {
		return t, false
	}
	t.Shape = slices.Concat(t.Shape[:axis], []int{outer * inner}, t.Shape[axis+2:])
	t.Strides = slices.Concat(t.Strides[:axis], t.Strides[axis+1:])
	return t, true
}
