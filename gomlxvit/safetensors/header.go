package safetensors

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"
)

const (
	maxHeader   = 100_000_000 // bytes; the cap of the reference implementation
	maxNames    = 1 << 18     // tensors, or entries of the metadata: what bounds the time that a header takes
	maxRank     = 64          // dimensions of a tensor; NumPy's limit
	lengthBytes = 8           // the header's length comes first, as a little-endian uint64
	metadataKey = "__metadata__"
	dtypeKey    = "dtype"
	shapeKey    = "shape"
	offsetsKey  = "data_offsets"
)

// What can be wrong with a file, for [errors.Is]. Each rule of the format has its own.
var (
	ErrTruncated     = errors.New("the file is cut short")
	ErrLFSPointer    = errors.New("the file is a Git LFS pointer, not the tensors themselves; fetch them with `git lfs pull`")
	ErrHeaderTooLong = errors.New("the header is too long")
	ErrHeaderJSON    = errors.New("the header is not valid JSON of the expected form")
	ErrDuplicate     = errors.New("a name occurs twice in the header")
	ErrDType         = errors.New("unknown dtype")
	ErrShape         = errors.New("bad shape")
	ErrOffsets       = errors.New("bad data_offsets")
	ErrOverlap       = errors.New("tensors overlap")
	ErrGap           = errors.New("bytes that belong to no tensor")
	ErrTensorSize    = errors.New("data_offsets do not fit the shape and dtype")
	ErrFileSize      = errors.New("the file is longer than its header says")
)

// ErrTooLarge is that of a finite number written as a type that would make it infinite.
var ErrTooLarge = errors.New("is too large for")

// FormatError says which file breaks the format, and at which tensor when it is about one. It wraps one of the errors
// above.
type FormatError struct {
	File   string
	Tensor string // "" when the file as a whole is wrong
	Err    error
}

func (e *FormatError) Error() string {
	if e.Tensor != "" {
		return fmt.Sprintf("%s: tensor %.100q: %v", e.File, e.Tensor, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.File, e.Err)
}

func (e *FormatError) Unwrap() error { return e.Err }

// header is the checked content of a file's header.
type header struct {
	tensors  []Info // in the order of their bytes
	metadata map[string]string
}

// readHeader reads and checks the header of a file of the size. Format errors come as *FormatError.
func readHeader(r io.ReaderAt, size int64, file string) (*header, error) {
	h, tensor, err := parseFile(r, size)
	if err != nil {
		var read *readError
		if errors.As(err, &read) {
			return nil, fmt.Errorf("%s: %w", file, read.err)
		}
		return nil, &FormatError{File: file, Tensor: tensor, Err: err}
	}
	return h, nil
}

// readError sets a failure to read apart from what is wrong with the format.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }

// parseFile does the work of readHeader. It names the tensor that the error is about, if there is one.
func parseFile(r io.ReaderAt, size int64) (h *header, tensor string, err error) {
	if size < lengthBytes {
		return nil, "", fmt.Errorf("%w: %d bytes, not even the length of the header", ErrTruncated, size)
	}
	start := make([]byte, min(size, int64(len(lfsPrefix))))
	if err := readFull(r, start, 0); err != nil {
		return nil, "", err
	}
	if string(start) == lfsPrefix {
		return nil, "", ErrLFSPointer
	}
	length := binary.LittleEndian.Uint64(start)
	if length > maxHeader {
		return nil, "", fmt.Errorf("%w: %d bytes, at most %d are allowed; is it a safetensors file?", ErrHeaderTooLong, length, maxHeader)
	}
	if int64(length) > size-lengthBytes {
		return nil, "", fmt.Errorf("%w: the header has %d bytes, the file has %d", ErrTruncated, length, size)
	}
	text := make([]byte, length)
	if err := readFull(r, text, lengthBytes); err != nil {
		return nil, "", err
	}
	h, tensor, err = parseHeader(text)
	if err != nil {
		return nil, tensor, err
	}
	tensor, err = h.place(lengthBytes+int64(length), size)
	return h, tensor, err
}

// lfsPrefix is how the stand-in begins that Git leaves where Git LFS has not fetched a file.
const lfsPrefix = "version https://git-lfs.github.com/spec/"

// readFull fills p from the offset. That the bytes end early is a truncated file.
func readFull(r io.ReaderAt, p []byte, offset int64) error {
	n, err := r.ReadAt(p, offset)
	switch {
	case n == len(p):
		return nil
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it ends at byte %d", ErrTruncated, offset+int64(n))
	}
	return &readError{err}
}

// parseHeader parses the JSON. The offsets in the result count from the first byte behind the header.
func parseHeader(text []byte) (h *header, tensor string, err error) {
	if len(text) == 0 || text[0] != '{' {
		return nil, "", fmt.Errorf("%w: it does not begin with {", ErrHeaderJSON)
	}
	if !utf8.Valid(text) {
		return nil, "", fmt.Errorf("%w: it is not UTF-8", ErrHeaderJSON)
	}
	if !json.Valid(text) { // what follows relies on it
		return nil, "", ErrHeaderJSON
	}
	d := &scanner{text: text}
	h = &header{}
	var current string // the tensor at which it went wrong
	err = d.eachKey(func(name string) (err error) {
		if name == metadataKey {
			h.metadata, err = decodeMetadata(d)
			return err
		}
		info, err := decodeInfo(d)
		if err != nil {
			current = name
			return err
		}
		info.Name = name
		h.tensors = append(h.tensors, info)
		return nil
	})
	return h, current, err
}

// decodeMetadata reads an object of texts, or null for none.
func decodeMetadata(d *scanner) (map[string]string, error) {
	metadata := map[string]string{}
	if d.peek() == 'n' {
		d.value()
		return metadata, nil
	}
	err := d.eachKey(func(key string) (err error) {
		metadata[key], err = d.quoted()
		if err != nil {
			return fmt.Errorf("%s: the value of %.100q: %w", metadataKey, key, err)
		}
		return nil
	})
	return metadata, err
}

func decodeInfo(d *scanner) (Info, error) {
	var info Info
	var found int
	var begin, end int64
	err := d.eachKey(func(key string) error {
		switch key {
		case dtypeKey:
			raw := d.value()
			name, err := (&scanner{text: raw}).quoted()
			if err != nil || DType(name).Size() == 0 {
				return fmt.Errorf("%w %.40s", ErrDType, raw)
			}
			info.DType = DType(name)
		case shapeKey:
			dims, err := d.integers(maxRank)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrShape, err)
			}
			info.Shape = make([]int, len(dims))
			for axis, dim := range dims {
				if info.Shape[axis] = int(dim); int64(info.Shape[axis]) != dim {
					return fmt.Errorf("%w: dimension %d is too large for this machine", ErrShape, dim)
				}
			}
		case offsetsKey:
			offsets, err := d.integers(2)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrOffsets, err)
			}
			if len(offsets) != 2 {
				return fmt.Errorf("%w: two were expected, there are %d", ErrOffsets, len(offsets))
			}
			begin, end = offsets[0], offsets[1]
		default: // the reference implementation ignores what it does not know
			d.value()
			return nil
		}
		found++
		return nil
	})
	if err != nil {
		return info, err
	}
	if found != 3 {
		return info, fmt.Errorf("%w: %s, %s and %s are all needed", ErrHeaderJSON, dtypeKey, shapeKey, offsetsKey)
	}
	if begin < 0 || end < begin {
		return info, fmt.Errorf("%w [%d %d]", ErrOffsets, begin, end)
	}
	want, err := byteSize(info.DType, info.Shape)
	if err != nil {
		return info, err
	}
	if end-begin != want {
		return info, fmt.Errorf("%w: they span %d bytes, %s %v has %d", ErrTensorSize, end-begin, info.DType, info.Shape, want)
	}
	info.offset, info.size = begin, want
	return info, nil
}

// place sorts the tensors by offset, moves the offsets to where the data begins, and checks that the tensors fill the
// file without gap or overlap.
func (h *header) place(dataStart, size int64) (tensor string, err error) {
	slices.SortFunc(h.tensors, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.size, b.size), cmp.Compare(a.Name, b.Name))
	})
	end := int64(0)
	for i := range h.tensors {
		t := &h.tensors[i]
		switch {
		case t.offset < end:
			return t.Name, fmt.Errorf("%w: it begins at byte %d of the data, the one before it ends at %d", ErrOverlap, t.offset, end)
		case t.offset > end:
			return t.Name, fmt.Errorf("%w: %d of them before byte %d of the data", ErrGap, t.offset-end, t.offset)
		case t.size > math.MaxInt64-dataStart-end:
			return t.Name, fmt.Errorf("%w: the end overflows", ErrOffsets)
		}
		end += t.size
		t.offset += dataStart
		if dataStart+end > size {
			return t.Name, fmt.Errorf("%w: the tensor ends at byte %d, the file has %d", ErrTruncated, dataStart+end, size)
		}
	}
	if extra := size - dataStart - end; extra > 0 {
		return "", fmt.Errorf("%w: %d more bytes", ErrFileSize, extra)
	}
	return "", nil
}
