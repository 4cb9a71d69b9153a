package imagenet

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf16"
)

// The parts of MATLAB's MAT-file format, version 5, that meta.mat of the development kit needs: arrays of numbers, of
// characters, of cells and of structs, plain or compressed. The format is described in "MAT-File Format", The MathWorks.

// Types of data elements.
const (
	matInt8       = 1
	matUint8      = 2
	matInt16      = 3
	matUint16     = 4
	matInt32      = 5
	matUint32     = 6
	matSingle     = 7
	matDouble     = 9
	matInt64      = 12
	matUint64     = 13
	matMatrix     = 14
	matCompressed = 15
	matUTF8       = 16
	matUTF16      = 17
	matUTF32      = 18
)

// Classes of arrays.
const (
	classCell   = 1
	classStruct = 2
	classChar   = 4
	classDouble = 6 // the first of the numeric ones
	classUint64 = 15
)

const (
	matHeader   = 128       // bytes before the first element
	matUnpacked = 256 << 20 // bytes of a compressed element
	matArrays   = 1 << 20   // arrays of a file
	matDepth    = 16        // arrays within arrays
)

// array is an array of a MAT-file. One of a class that is not read is empty.
type array struct {
	name    string
	fields  []string  // of a struct array
	arrays  []*array  // cells; of a struct array the fields of the first struct, then those of the second, and so on
	numbers []float64 // column by column
	text    string    // column by column
}

// field is a field of struct i of a struct array; an empty array where there is none.
func (a *array) field(i int, name string) *array {
	for k, field := range a.fields {
		if at := i*len(a.fields) + k; field == name && at < len(a.arrays) {
			return a.arrays[at]
		}
	}
	return &array{}
}

// structs is the number of structs of a struct array.
func (a *array) structs() int {
	if len(a.fields) == 0 {
		return 0
	}
	return len(a.arrays) / len(a.fields)
}

// matReader reads data elements.
type matReader struct {
	order  binary.ByteOrder
	arrays int // read so far
}

// readMAT reads the arrays of a file.
func readMAT(content []byte) ([]*array, error) {
	if len(content) < matHeader {
		return nil, errors.New("is too short for a MAT-file")
	}
	r := &matReader{}
	switch string(content[126:128]) {
	case "IM":
		r.order = binary.LittleEndian
	case "MI":
		r.order = binary.BigEndian
	default:
		return nil, errors.New("is not a MAT-file of version 5")
	}
	if version := r.order.Uint16(content[124:]); version != 0x0100 {
		return nil, fmt.Errorf("is a MAT-file of version %#x, not %#x", version, 0x0100)
	}
	var arrays []*array
	for rest := content[matHeader:]; len(rest) > 0; {
		kind, data, next, err := r.element(rest)
		if err != nil {
			return nil, err
		}
		rest = next
		if kind == matCompressed {
			if kind, data, err = r.unpack(data); err != nil {
				return nil, err
			}
		}
		if kind != matMatrix {
			continue
		}
		a, err := r.array(data, 0)
		if err != nil {
			return nil, err
		}
		arrays = append(arrays, a)
	}
	return arrays, nil
}

var errMATShort = errors.New("is a MAT-file that is cut short or damaged")

// element splits the first element off, and what pads it to a multiple of eight bytes.
func (r *matReader) element(b []byte) (kind uint32, data, rest []byte, err error) {
	if len(b) < 8 {
		return 0, nil, nil, errMATShort
	}
	kind = r.order.Uint32(b)
	if size := int(kind >> 16); size != 0 { // a small element: the size is in the upper half, the data in place of it
		if size > 4 {
			return 0, nil, nil, errMATShort
		}
		return kind & 0xffff, b[4 : 4+size], b[8:], nil
	}
	size := uint64(r.order.Uint32(b[4:]))
	b = b[8:]
	if size > uint64(len(b)) {
		return 0, nil, nil, errMATShort
	}
	data, rest = b[:size], b[size:]
	if padding := int(-size % 8); kind != matCompressed {
		rest = rest[min(padding, len(rest)):] // the last one may lack it
	}
	return kind, data, rest, nil
}

// unpack decompresses an element that holds one other.
func (r *matReader) unpack(data []byte) (uint32, []byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errMATShort, err)
	}
	content, err := io.ReadAll(io.LimitReader(z, matUnpacked+1))
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errMATShort, err)
	}
	if len(content) > matUnpacked {
		return 0, nil, fmt.Errorf("unpacks to more than %d MB", matUnpacked>>20)
	}
	kind, inner, _, err := r.element(content)
	return kind, inner, err
}

// array reads the elements that an array consists of.
func (r *matReader) array(data []byte, depth int) (*array, error) {
	if r.arrays++; r.arrays > matArrays || depth > matDepth {
		return nil, fmt.Errorf("has more than %d arrays, or arrays that are nested deeper than %d", matArrays, matDepth)
	}
	a := &array{}
	if len(data) == 0 { // MATLAB writes nothing of an empty array
		return a, nil
	}
	flags, data, err := r.expect(data, matUint32)
	if err != nil || len(flags) < 8 {
		return nil, errMATShort
	}
	dims, data, err := r.expect(data, matInt32)
	if err != nil {
		return nil, err
	}
	name, data, err := r.expect(data, matInt8)
	if err != nil {
		return nil, err
	}
	a.name = string(name)
	count := uint64(1)
	for ; len(dims) >= 4; dims = dims[4:] {
		// Every value of an array takes a byte at least, so no array has more of them than there are bytes.
		if count *= uint64(r.order.Uint32(dims)); count > matUnpacked {
			return nil, errMATShort
		}
	}
	switch class := r.order.Uint32(flags) & 0xff; {
	case class == classCell:
		a.arrays, err = r.arraysOf(data, count, depth)
	case class == classStruct:
		if a.fields, data, err = r.fieldNames(data); err == nil {
			a.arrays, err = r.arraysOf(data, count*uint64(len(a.fields)), depth)
		}
	case class == classChar:
		a.text, err = r.characters(data)
	case classDouble <= class && class <= classUint64:
		a.numbers, err = r.values(data)
	}
	return a, err
}

// expect reads an element of a type.
func (r *matReader) expect(b []byte, want uint32) (data, rest []byte, err error) {
	kind, data, rest, err := r.element(b)
	if err == nil && kind != want {
		err = errMATShort
	}
	return data, rest, err
}

// arraysOf reads so many arrays, one after the other.
func (r *matReader) arraysOf(data []byte, count uint64, depth int) ([]*array, error) {
	if count > uint64(len(data))/8 { // each takes a tag at least
		return nil, errMATShort
	}
	arrays := make([]*array, count)
	for i := range arrays {
		element, rest, err := r.expect(data, matMatrix)
		if err != nil {
			return nil, err
		}
		if arrays[i], err = r.array(element, depth+1); err != nil {
			return nil, err
		}
		data = rest
	}
	return arrays, nil
}

// fieldNames reads the names of the fields of a struct array: all of one length, filled up with zeros.
func (r *matReader) fieldNames(data []byte) (names []string, rest []byte, err error) {
	length, data, err := r.expect(data, matInt32)
	if err != nil || len(length) != 4 {
		return nil, nil, errMATShort
	}
	size := uint64(r.order.Uint32(length))
	text, rest, err := r.expect(data, matInt8)
	if err != nil || size == 0 || uint64(len(text))%size != 0 {
		return nil, nil, errMATShort
	}
	for ; len(text) > 0; text = text[size:] {
		name, _, _ := strings.Cut(string(text[:size]), "\x00")
		names = append(names, name)
	}
	return names, rest, nil
}

// values reads numbers. They may be stored in a smaller type than that of the array.
func (r *matReader) values(data []byte) ([]float64, error) {
	kind, data, _, err := r.element(data)
	if err != nil {
		return nil, err
	}
	size, ok := map[uint32]int{matInt8: 1, matUint8: 1, matInt16: 2, matUint16: 2, matInt32: 4, matUint32: 4, matSingle: 4, matDouble: 8, matInt64: 8, matUint64: 8}[kind]
	if !ok || len(data)%size != 0 {
		return nil, errMATShort
	}
	values := make([]float64, 0, len(data)/size)
	for ; len(data) > 0; data = data[size:] {
		var v float64
		switch kind {
		case matInt8:
			v = float64(int8(data[0]))
		case matUint8:
			v = float64(data[0])
		case matInt16:
			v = float64(int16(r.order.Uint16(data)))
		case matUint16:
			v = float64(r.order.Uint16(data))
		case matInt32:
			v = float64(int32(r.order.Uint32(data)))
		case matUint32:
			v = float64(r.order.Uint32(data))
		case matSingle:
			v = float64(math.Float32frombits(r.order.Uint32(data)))
		case matDouble:
			v = math.Float64frombits(r.order.Uint64(data))
		case matInt64:
			v = float64(int64(r.order.Uint64(data)))
		case matUint64:
			v = float64(r.order.Uint64(data))
		}
		values = append(values, v)
	}
	return values, nil
}

// characters reads text in one of the encodings that MATLAB uses.
func (r *matReader) characters(data []byte) (string, error) {
	kind, data, _, err := r.element(data)
	if err != nil {
		return "", err
	}
	switch kind {
	case matUTF8:
		return strings.ToValidUTF8(string(data), "\ufffd"), nil
	case matInt8, matUint8: // Latin-1
		runes := make([]rune, len(data))
		for i, b := range data {
			runes[i] = rune(b)
		}
		return string(runes), nil
	case matUint16, matUTF16:
		units := make([]uint16, len(data)/2)
		for i := range units {
			units[i] = r.order.Uint16(data[2*i:])
		}
		return string(utf16.Decode(units)), nil
	case matUTF32:
		var text strings.Builder
		for ; len(data) >= 4; data = data[4:] {
			text.WriteRune(rune(r.order.Uint32(data)))
		}
		return text.String(), nil
	}
	return "", errMATShort
}
