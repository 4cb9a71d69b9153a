package safetensors

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"unicode/utf8"

	"vitdecompose/data/atomicfile"
)

// Half is float32 data to be stored as F16, rounded to nearest even.
type Half []float32

// BFloat16 is float32 data to be stored as BF16, rounded to nearest even.
type BFloat16 []float32

// Tensor is a tensor to be written.
type Tensor struct {
	Name  string
	Shape []int // row-major; empty for a scalar
	// Data holds the elements: []float32, []float64, []int64, []int32, []uint8, []bool, Half, or BFloat16.
	Data any
}

// Write writes the tensors to path, atomically. The metadata may be nil. The file depends on nothing but its content:
// wide types come first, as the reference implementation has it, and within them the order is the caller's.
func Write(path string, metadata map[string]string, tensors []Tensor) error {
	infos := make([]Info, len(tensors))
	for i, t := range tensors {
		dtype, n := describe(t.Data)
		if dtype == "" {
			return fmt.Errorf("%s: tensor %q: data of type %T cannot be stored", path, t.Name, t.Data)
		}
		infos[i] = Info{Name: t.Name, DType: dtype, Shape: t.Shape}
		if size, err := byteSize(dtype, t.Shape); err == nil && size != int64(n*dtype.Size()) {
			return fmt.Errorf("%s: tensor %q: shape %v does not fit %d elements", path, t.Name, t.Shape, n)
		}
	}
	w, err := Create(path, metadata, infos)
	if err != nil {
		return err
	}
	for _, t := range tensors {
		if err := w.write(t); err != nil {
			return errors.Join(err, w.Abort())
		}
	}
	return w.Commit()
}

// Sum is the SHA-256, in hexadecimal, of a text and numbers: what a file can say of itself in its metadata, so that damage
// shows.
func Sum(text string, numbers ...[]float32) (string, error) {
	sum := sha256.New()
	sum.Write([]byte(text))
	for _, values := range numbers {
		if err := binary.Write(sum, binary.LittleEndian, values); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// describe is the type that data is stored as and its number of elements; "" when it cannot be stored.
func describe(data any) (DType, int) {
	switch data := data.(type) {
	case []float32:
		return F32, len(data)
	case Half:
		return F16, len(data)
	case BFloat16:
		return BF16, len(data)
	case []float64:
		return F64, len(data)
	case []int64:
		return I64, len(data)
	case []int32:
		return I32, len(data)
	case []uint8:
		return U8, len(data)
	case []bool:
		return Bool, len(data)
	}
	return "", 0
}

func (w *Writer) write(t Tensor) error {
	switch data := t.Data.(type) {
	case []float32:
		return writeElements(w, t.Name, 0, data, encodeFloat)
	case Half:
		return writeElements(w, t.Name, 0, data, encodeFloat)
	case BFloat16:
		return writeElements(w, t.Name, 0, data, encodeFloat)
	case []float64:
		return writeElements(w, t.Name, 0, data, encodeFloat)
	case []int64:
		return writeElements(w, t.Name, 0, data, encodeInt)
	case []int32:
		return writeElements(w, t.Name, 0, data, encodeInt)
	case []uint8:
		return writeElements(w, t.Name, 0, data, encodeInt)
	case []bool:
		return writeElements(w, t.Name, 0, data, encodeBool)
	}
	return fmt.Errorf("%s: tensor %q: data of type %T cannot be stored", w.path, t.Name, t.Data)
}

// Writer writes a file in pieces, in any order, and holds none of them in memory. End it with [Writer.Commit] or
// [Writer.Abort]; Abort after Commit does nothing, so that it can be deferred. The WriteAt methods may be called from
// several goroutines.
type Writer struct {
	path   string
	file   *atomicfile.File
	infos  map[string]Info
	mu     sync.Mutex
	filled map[string]*spans
}

// Create begins a file with these tensors; name, type and shape of each are used. What is written becomes visible at
// path on Commit. The metadata may be nil.
func Create(path string, metadata map[string]string, infos []Info) (*Writer, error) {
	text, placed, size, err := encodeHeader(metadata, infos)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	file, err := atomicfile.Create(path)
	if err != nil {
		return nil, err
	}
	w := &Writer{path: path, file: file, infos: make(map[string]Info, len(placed)), filled: make(map[string]*spans, len(placed))}
	for _, info := range placed {
		w.infos[info.Name] = info
		w.filled[info.Name] = &spans{}
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Truncate(size)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Abort())
	}
	return w, nil
}

// encodeHeader gives the bytes in front of the data, the tensors with their offsets, and the size of the whole file.
func encodeHeader(metadata map[string]string, infos []Info) (text []byte, placed []Info, size int64, err error) {
	type entry struct {
		DType   DType    `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	var fields [][]byte // of the JSON object
	add := func(name string, value any) error {
		if !utf8.ValidString(name) {
			return errors.New("it is not UTF-8")
		}
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		encoded, err := json.Marshal(value)
		fields = append(fields, slices.Concat(key, []byte{':'}, encoded))
		return err
	}
	if len(metadata) > 0 {
		for key, value := range metadata {
			if !utf8.ValidString(key) || !utf8.ValidString(value) {
				return nil, nil, 0, fmt.Errorf("metadata %q: it is not UTF-8", key)
			}
		}
		if err := add(metadataKey, metadata); err != nil { // encoding/json sorts the keys
			return nil, nil, 0, err
		}
	}
	placed = slices.Clone(infos)
	slices.SortStableFunc(placed, func(a, b Info) int { return cmp.Compare(b.DType.Size(), a.DType.Size()) })
	seen := map[string]bool{metadataKey: true}
	for i := range placed {
		t := &placed[i]
		t.Shape = append([]int{}, t.Shape...) // never null
		t.offset = size
		t.size, err = byteSize(t.DType, t.Shape)
		switch {
		case err != nil:
		case seen[t.Name]:
			err = ErrDuplicate
		case t.size > math.MaxInt64-maxHeader-lengthBytes-size:
			err = fmt.Errorf("%w %v: the number of bytes overflows", ErrShape, t.Shape)
		default:
			seen[t.Name] = true
			size += t.size
			err = add(t.Name, entry{t.DType, t.Shape, [2]int64{t.offset, size}})
		}
		if err != nil {
			return nil, nil, 0, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
	}
	text = slices.Concat(make([]byte, lengthBytes), []byte{'{'}, bytes.Join(fields, []byte{','}), []byte{'}'})
	for len(text)%8 != 0 { // the data begins where any type is aligned
		text = append(text, ' ')
	}
	length := len(text) - lengthBytes
	if length > maxHeader {
		return nil, nil, 0, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrHeaderTooLong, length, maxHeader)
	}
	little.PutUint64(text, uint64(length))
	for i := range placed {
		placed[i].offset += int64(len(text))
	}
	return text, placed, size + int64(len(text)), nil
}

// WriteFloat32At writes elements from the first one on, counted row-major over the whole tensor, which is of type F32,
// F64, F16 or BF16.
func (w *Writer) WriteFloat32At(name string, first int, data []float32) error {
	return writeElements(w, name, first, data, encodeFloat)
}

// Commit puts the file in its place. It is an error when part of a tensor was never written.
func (w *Writer) Commit() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, filled := range w.filled {
		n := w.infos[name].Len()
		if missing, ok := filled.missing(n); ok {
			err := fmt.Errorf("%s: tensor %q: element %d of %d was never written", w.path, name, missing, n)
			return errors.Join(err, w.file.Abort())
		}
	}
	return w.file.Commit()
}

// Abort gives up and leaves path as it was.
func (w *Writer) Abort() error { return w.file.Abort() }

// encoder stores the elements as the type in dst, which is just large enough.
type encoder[T any] func(dst []byte, src []T, dtype DType) error

func writeElements[T any](w *Writer, name string, first int, data []T, encode encoder[T]) error {
	info, ok := w.infos[name]
	if !ok {
		return fmt.Errorf("%s: there is no tensor %q", w.path, name)
	}
	if n := info.Len(); first < 0 || first > n || len(data) > n-first {
		return fmt.Errorf("%s: tensor %q has %d elements: cannot write %d from %d on", w.path, name, n, len(data), first)
	}
	size := info.DType.Size()
	buffer := make([]byte, min(chunkBytes, len(data)*size))
	for done := 0; done < len(data); {
		n := min(len(data)-done, len(buffer)/size)
		dst := buffer[:n*size]
		if err := encode(dst, data[done:done+n], info.DType); err != nil {
			return fmt.Errorf("%s: tensor %q: %w", w.path, name, err)
		}
		if _, err := w.file.WriteAt(dst, info.offset+int64(first+done)*int64(size)); err != nil {
			return fmt.Errorf("%s: %w", w.path, err)
		}
		done += n
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.filled[name].add(first, first+len(data))
	return nil
}

// spans is a set of whole numbers, as sorted intervals that do not touch.
type spans [][2]int

// add adds begin..end-1.
func (s *spans) add(begin, end int) {
	if begin == end {
		return
	}
	// The intervals from..to-1 touch the new one and become part of it.
	from, _ := slices.BinarySearchFunc(*s, begin, func(i [2]int, begin int) int { return cmp.Compare(i[1], begin) })
	to := from
	for to < len(*s) && (*s)[to][0] <= end {
		begin, end = min(begin, (*s)[to][0]), max(end, (*s)[to][1])
		to++
	}
	*s = slices.Replace(*s, from, to, [2]int{begin, end})
}

// missing is the first of 0..n-1 that is not in the set; false when all are.
func (s *spans) missing(n int) (int, bool) {
	first := 0
	if len(*s) > 0 && (*s)[0][0] == 0 {
		first = (*s)[0][1]
	}
	return first, first < n
}
