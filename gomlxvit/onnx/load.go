package onnx

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/gomlx/compute/dtypes/float16"
)

// The limits within which a file is read. They are far beyond any vision transformer that one machine runs.
const (
	maxFile     = 2 << 30 // bytes of the file itself: protocol buffers hold no more
	maxNodes    = 1 << 16
	maxElements = 1 << 31 // of one tensor, stored or computed
	maxRank     = 16
)

// ONNX's types of elements (TensorProto.DataType).
const (
	typeFloat    = 1
	typeUint8    = 2
	typeInt8     = 3
	typeUint16   = 4
	typeInt16    = 5
	typeInt32    = 6
	typeInt64    = 7
	typeBool     = 9
	typeFloat16  = 10
	typeDouble   = 11
	typeUint32   = 12
	typeUint64   = 13
	typeBFloat16 = 16
)

// sizes are the bytes of an element of the types that are read.
var sizes = map[int64]int64{
	typeFloat: 4, typeUint8: 1, typeInt8: 1, typeUint16: 2, typeInt16: 2, typeInt32: 4, typeInt64: 8, typeBool: 1,
	typeFloat16: 2, typeDouble: 8, typeUint32: 4, typeUint64: 8, typeBFloat16: 2,
}

// isFloat says whether a type is one that is computed in float32 here.
func isFloat(dataType int64) bool {
	switch dataType {
	case typeFloat, typeFloat16, typeDouble, typeBFloat16:
		return true
	}
	return false
}

// readFile reads the bytes of a file within the limits.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d that an ONNX file may have", path, info.Size(), maxFile)
	}
	return os.ReadFile(path)
}

// elements is the number of elements that a tensor says it has.
func (t *tensor) elements() (int64, error) {
	if len(t.dims) > maxRank {
		return 0, fmt.Errorf("tensor %q has %d axes", t.name, len(t.dims))
	}
	n := int64(1)
	for _, d := range t.dims {
		if d < 0 || d > maxElements || (d > 0 && n > maxElements/d) {
			return 0, fmt.Errorf("tensor %q says that it is shaped %v, which cannot be", t.name, t.dims)
		}
		n *= d
	}
	return n, nil
}

// resolve checks a tensor and reads its data from the file beside dir where it is external, so that raw or one of the lists
// holds all of it.
func (t *tensor) resolve(dir string) error {
	n, err := t.elements()
	if err != nil {
		return err
	}
	size, known := sizes[t.dataType]
	if !known || t.strange {
		return fmt.Errorf("tensor %q holds elements of a kind (%d) that is not supported", t.name, t.dataType)
	}
	if t.location == 1 {
		if t.raw, err = readExternal(dir, t.external, n*size); err != nil {
			return fmt.Errorf("tensor %q: %w", t.name, err)
		}
		t.location, t.external = 0, nil
		return nil
	}
	if t.raw != nil {
		if int64(len(t.raw)) != n*size {
			return fmt.Errorf("tensor %q is shaped %v, but has %d bytes instead of %d", t.name, t.dims, len(t.raw), n*size)
		}
		return nil
	}
	count := len(t.floats) + len(t.int32s) + len(t.int64s) + len(t.doubles) + len(t.uint64s)
	if int64(count) != n {
		return fmt.Errorf("tensor %q is shaped %v, but has %d elements instead of %d", t.name, t.dims, count, n)
	}
	return nil
}

// readExternal reads data that lies in a file of its own, which must be in or below dir.
func readExternal(dir string, external map[string]string, want int64) ([]byte, error) {
	location := external["location"]
	if dir == "" {
		return nil, fmt.Errorf("its data is said to be in the file %q, but there is no file to look beside", location)
	}
	if !filepath.IsLocal(location) {
		return nil, fmt.Errorf("its data is said to be in %q, which is not beside the model", location)
	}
	number := func(key string, otherwise int64) (int64, error) {
		text, ok := external[key]
		if !ok {
			return otherwise, nil
		}
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil || v < 0 {
			return 0, fmt.Errorf("%s of its data in %q is %q, not a number", key, location, text)
		}
		return v, nil
	}
	offset, err := number("offset", 0)
	if err != nil {
		return nil, err
	}
	length, err := number("length", want)
	if err != nil {
		return nil, err
	}
	if length != want {
		return nil, fmt.Errorf("its data in %q has %d bytes instead of %d", location, length, want)
	}
	root, err := os.OpenRoot(dir) // no link may lead out of the directory
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, err := root.Open(location)
	if err != nil {
		return nil, fmt.Errorf("its data is in a file of its own, %s, which cannot be read; put it beside the model: %w", location, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if offset > info.Size() || info.Size()-offset < length {
		return nil, fmt.Errorf("its data is %d bytes from %d on of %s, which has only %d", length, offset, location, info.Size())
	}
	data := make([]byte, length)
	if _, err := file.ReadAt(data, offset); err != nil && err != io.EOF {
		return nil, err
	}
	return data, nil
}

// float32s are the elements of a resolved tensor of floats, in float32.
func (t *tensor) float32s() ([]float32, error) {
	n, err := t.elements()
	if err != nil {
		return nil, err
	}
	out := make([]float32, n)
	switch {
	case t.raw == nil && t.dataType == typeFloat && int64(len(t.floats)) == n:
		copy(out, t.floats)
	case t.raw == nil && t.dataType == typeDouble && int64(len(t.doubles)) == n:
		for i, v := range t.doubles {
			out[i] = float32(v)
		}
	case t.raw == nil && (t.dataType == typeFloat16 || t.dataType == typeBFloat16) && int64(len(t.int32s)) == n:
		for i, v := range t.int32s {
			out[i] = halfPrecision(t.dataType, uint16(v))
		}
	case t.raw == nil:
		return nil, fmt.Errorf("tensor %q does not hold its elements as its type asks for", t.name)
	default:
		for i := range out {
			switch t.dataType {
			case typeFloat:
				out[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.raw[4*i:]))
			case typeDouble:
				out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(t.raw[8*i:])))
			default:
				out[i] = halfPrecision(t.dataType, binary.LittleEndian.Uint16(t.raw[2*i:]))
			}
		}
	}
	return out, nil
}

func halfPrecision(dataType int64, bits uint16) float32 {
	if dataType == typeBFloat16 {
		return math.Float32frombits(uint32(bits) << 16)
	}
	return float16.Float16(bits).Float32()
}

// int64Values are the elements of a resolved tensor of integers.
func (t *tensor) int64Values() ([]int64, error) {
	n, err := t.elements()
	if err != nil {
		return nil, err
	}
	switch {
	case t.dataType == typeInt64 && t.raw == nil && int64(len(t.int64s)) == n:
		return t.int64s, nil
	case t.dataType == typeInt32 && t.raw == nil && int64(len(t.int32s)) == n:
		out := make([]int64, n)
		for i, v := range t.int32s {
			out[i] = int64(v)
		}
		return out, nil
	case t.dataType == typeInt64 && int64(len(t.raw)) == 8*n:
		out := make([]int64, n)
		for i := range out {
			out[i] = int64(binary.LittleEndian.Uint64(t.raw[8*i:]))
		}
		return out, nil
	case t.dataType == typeInt32 && int64(len(t.raw)) == 4*n:
		out := make([]int64, n)
		for i := range out {
			out[i] = int64(int32(binary.LittleEndian.Uint32(t.raw[4*i:])))
		}
		return out, nil
	}
	return nil, fmt.Errorf("tensor %q does not hold integers", t.name)
}

// int64Tensor makes a tensor of integers.
func int64Tensor(values []int64, dims ...int64) *tensor {
	return &tensor{dims: dims, dataType: typeInt64, raw: rawInt64(values)}
}

func rawInt64(values []int64) []byte {
	raw := make([]byte, 8*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint64(raw[8*i:], uint64(v))
	}
	return raw
}

// float32Tensor makes a tensor of floats.
func float32Tensor(values []float32, dims ...int64) *tensor {
	raw := make([]byte, 4*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
	}
	return &tensor{dims: dims, dataType: typeFloat, raw: raw}
}
