// Package safetensors reads and writes safetensors files: tensors by name, each with a type and a shape, one after the
// other behind a JSON header.
//
// The header of a file is checked in full before any tensor is touched, because the file may come from anywhere:
// a broken, truncated or hostile one is an error that names the file and the tensor, never a panic, and no more memory
// is asked for than the file has bytes. Tensors are read when they are asked for, converted to the type wanted:
//
//	f, err := safetensors.Open("model.safetensors")
//	if err != nil {
//		return err
//	}
//	defer f.Close()
//	weights, err := f.Float32("blocks.0.attn.qkv.weight") // F32, F16, BF16, ... all become float32
//
// [Write] writes a file at once, [Create] one that is larger than memory in pieces. Both are atomic, and the same
// tensors give the same bytes.
package safetensors

import (
	"fmt"
	"math"
)

// DType is the type of a tensor's elements, as the header spells it.
type DType string

// The types that are known. They are stored little-endian.
const (
	Bool   DType = "BOOL" // one byte, 0 or 1
	U8     DType = "U8"
	I8     DType = "I8"
	F8E5M2 DType = "F8_E5M2" // not converted: Float32 refuses it
	F8E4M3 DType = "F8_E4M3" // not converted: Float32 refuses it
	I16    DType = "I16"
	U16    DType = "U16"
	F16    DType = "F16"
	BF16   DType = "BF16"
	I32    DType = "I32"
	U32    DType = "U32"
	F32    DType = "F32"
	F64    DType = "F64"
	I64    DType = "I64"
	U64    DType = "U64"
)

// Size is the number of bytes of one element, 0 for a type that is not known.
func (d DType) Size() int {
	switch d {
	case Bool, U8, I8, F8E5M2, F8E4M3:
		return 1
	case I16, U16, F16, BF16:
		return 2
	case I32, U32, F32:
		return 4
	case F64, I64, U64:
		return 8
	}
	return 0
}

// Info is what the header says of a tensor.
type Info struct {
	Name  string
	DType DType
	Shape []int // row-major; empty for a scalar

	offset int64 // of the first byte, from the start of the file
	size   int64 // in bytes
}

// Len is the number of elements.
func (i Info) Len() int {
	n := 1
	for _, d := range i.Shape {
		n *= d
	}
	return n
}

// String is for messages: "name F32 [2 3]".
func (i Info) String() string {
	return fmt.Sprintf("%s %s %v", i.Name, i.DType, i.Shape)
}

// byteSize is the number of bytes of a tensor of that type and shape. Every partial product has to fit, so that
// [2^40 2^40 0] is refused rather than called empty.
func byteSize(dtype DType, shape []int) (int64, error) {
	size := int64(dtype.Size())
	if size == 0 {
		return 0, fmt.Errorf("%w %q", ErrDType, dtype)
	}
	if len(shape) > maxRank {
		return 0, fmt.Errorf("%w: %d dimensions, at most %d are allowed", ErrShape, len(shape), maxRank)
	}
	for axis, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("%w %v: dimension %d is negative", ErrShape, shape, axis)
		}
		if d > 0 && size > math.MaxInt64/int64(d) {
			return 0, fmt.Errorf("%w %v: the number of bytes overflows", ErrShape, shape)
		}
		size *= int64(d)
	}
	return size, nil
}
