package safetensors

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// File is an open file whose header has been checked. Its methods may be called from several goroutines.
type File struct {
	name     string
	reader   io.ReaderAt
	closer   io.Closer // nil when there is nothing to close
	header   *header
	byName   map[string]int // index in header.tensors
	fileSize int64
}

// Open opens a file and checks its header. See [FormatError] for what can be wrong with it.
func Open(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for a writer
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err = file.Stat(); err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", path)
	}
	var f *File
	if err == nil {
		f, err = New(file, info.Size(), path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	f.closer = file
	return f, nil
}

// New checks the header of a file of size bytes read through r. The name is for messages. r stays
// the caller's to close.
func New(r io.ReaderAt, size int64, name string) (*File, error) {
	h, err := readHeader(r, size, name)
	if err != nil {
		return nil, err
	}
	f := &File{name: name, reader: r, header: h, byName: make(map[string]int, len(h.tensors)), fileSize: size}
	for i, t := range h.tensors {
		f.byName[t.Name] = i
	}
	return f, nil
}

// Close closes what Open opened. What was given to New stays open.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

// Name is the path given to Open, or the name given to New.
func (f *File) Name() string { return f.name }

// Size is the file's size in bytes.
func (f *File) Size() int64 { return f.fileSize }

// Names lists the tensors in the order of their bytes.
func (f *File) Names() []string {
	names := make([]string, len(f.header.tensors))
	for i, t := range f.header.tensors {
		names[i] = t.Name
	}
	return names
}

// Info describes a tensor; false when there is none of that name.
func (f *File) Info(name string) (Info, bool) {
	i, ok := f.byName[name]
	if !ok {
		return Info{}, false
	}
	info := f.header.tensors[i]
	info.Shape = slices.Clone(info.Shape)
	return info, true
}

// Metadata is a copy of the header's free text, empty when there is none.
func (f *File) Metadata() map[string]string {
	metadata := map[string]string{}
	maps.Copy(metadata, f.header.metadata)
	return metadata
}

// Float32 reads a tensor, row-major. All types but the 8-bit floats are converted; float64 and the wide integers are
// rounded to the nearest float32.
func (f *File) Float32(name string) ([]float32, error) {
	return readAll(f, name, decodeFloat[float32])
}

// Float64 reads a tensor like [File.Float32], without the loss of float32.
func (f *File) Float64(name string) ([]float64, error) {
	return readAll(f, name, decodeFloat[float64])
}

// Int64 reads a tensor of any integer type or BOOL, row-major. A floating-point tensor is an error.
func (f *File) Int64(name string) ([]int64, error) {
	return readAll(f, name, decodeInt)
}

// ReadFloat32At fills dst with the elements from the first one on, counted row-major over the whole tensor, and converts
// like [File.Float32]. It is for tensors larger than memory.
func (f *File) ReadFloat32At(name string, first int, dst []float32) error {
	info, err := f.find(name)
	if err != nil {
		return err
	}
	if n := info.Len(); first < 0 || first > n || len(dst) > n-first {
		return fmt.Errorf("%s: tensor %.100q has %d elements: cannot read %d from %d on", f.name, name, n, len(dst), first)
	}
	return readElements(f, info, first, dst, decodeFloat[float32])
}

func (f *File) find(name string) (Info, error) {
	i, ok := f.byName[name]
	if !ok {
		return Info{}, fmt.Errorf("%s: there is no tensor %.100q", f.name, name)
	}
	return f.header.tensors[i], nil
}

// decoder converts as many stored elements of the type as dst has room for. It is false when it cannot.
type decoder[T any] func(dst []T, src []byte, dtype DType) bool

func readAll[T any](f *File, name string, decode decoder[T]) ([]T, error) {
	info, err := f.find(name)
	if err != nil {
		return nil, err
	}
	dst := make([]T, info.Len()) // the header was checked: the file has that many elements
	return dst, readElements(f, info, 0, dst, decode)
}

// chunkBytes is how much is read at a time: large enough for the disk, small enough for the processor's cache.
const chunkBytes = 1 << 18

func readElements[T any](f *File, info Info, first int, dst []T, decode decoder[T]) error {
	size := info.DType.Size()
	buffer := make([]byte, min(chunkBytes, len(dst)*size))
	offset := info.offset + int64(first)*int64(size)
	for len(dst) > 0 {
		n := min(len(dst), len(buffer)/size)
		src := buffer[:n*size]
		if read, err := f.reader.ReadAt(src, offset); read < len(src) {
			return fmt.Errorf("%s: tensor %.100q: cannot be read, did the file change? %w", f.name, info.Name, err)
		}
		if !decode(dst[:n], src, info.DType) {
			return fmt.Errorf("%s: tensor %.100q: dtype %s cannot be converted to %T", f.name, info.Name, info.DType, dst)
		}
		dst = dst[n:]
		offset += int64(len(src))
	}
	return nil
}
