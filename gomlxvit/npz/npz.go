// Package npz reads NumPy's archives of arrays (.npz), such as the checkpoints that big_vision and its predecessors publish:
// a zip with a file in NumPy's format (.npy) for each array. Headers are checked when the archive is opened; numbers are read
// when they are asked for. Arrays of Python objects, which are pickles, are refused.
package npz

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"vitdecompose/gomlxvit/safetensors"
	"vitdecompose/gomlxvit/strided"
)

// Array is an array of an archive by its name, without ".npy".
type Array struct {
	Name string
	strided.Tensor
}

const (
	maxArrays = 1 << 16
	maxHeader = 1 << 16 // bytes
	// maxRatio is how much deflate can compress at most.
	maxRatio = 1032
)

var errFormat = errors.New("not a sound archive of NumPy")

// New reads the headers of an archive of size bytes. The name is for messages. r stays the caller's, who closes it when the
// arrays have been read.
func New(r io.ReaderAt, size int64, name string) ([]Array, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w; get the file again", name, errFormat, err)
	}
	if len(archive.File) > maxArrays {
		return nil, fmt.Errorf("%s: %w: %d arrays, at most %d are read", name, errFormat, len(archive.File), maxArrays)
	}
	arrays := make([]Array, 0, len(archive.File))
	seen := make(map[string]bool, len(archive.File))
	for _, f := range archive.File {
		array, err := open(r, size, f)
		if err == nil && seen[array.Name] {
			err = fmt.Errorf("%w: there twice", errFormat)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: array %.100q: %w", name, f.Name, err)
		}
		seen[array.Name] = true
		arrays = append(arrays, array)
	}
	return arrays, nil
}

// open reads the header of an array.
func open(r io.ReaderAt, size int64, f *zip.File) (Array, error) {
	name, ok := strings.CutSuffix(f.Name, ".npy")
	if !ok {
		return Array{}, fmt.Errorf("%w: its name does not end in .npy", errFormat)
	}
	length := int64(f.UncompressedSize64)
	if f.UncompressedSize64 > uint64(size)*maxRatio || length < 0 {
		return Array{}, fmt.Errorf("%w: %d bytes, which the archive cannot hold", errFormat, f.UncompressedSize64)
	}
	content, err := f.Open()
	if err != nil {
		return Array{}, fmt.Errorf("%w: %w", errFormat, err)
	}
	header, skip, err := readHeader(content)
	if err = errors.Join(err, content.Close()); err != nil {
		return Array{}, err
	}
	t, err := parseHeader(header)
	if err != nil {
		return Array{}, err
	}
	if skip > length {
		return Array{}, fmt.Errorf("%w: it ends in its header", errFormat)
	}
	if f.Method == zip.Store {
		offset, err := f.DataOffset()
		if err != nil {
			return Array{}, fmt.Errorf("%w: %w", errFormat, err)
		}
		if offset < 0 || length > size-min(offset, size) {
			return Array{}, fmt.Errorf("%w: it ends behind the file", errFormat)
		}
		t.Storage = io.NewSectionReader(r, offset+skip, length-skip)
	} else {
		t.Storage = &compressed{file: f, skip: skip}
	}
	// All numbers of an array are in the file, so there are no more than it has bytes.
	if err := t.Check(t.Storage.Size()); err != nil {
		return Array{}, fmt.Errorf("%w: %w", errFormat, err)
	}
	return Array{Name: name, Tensor: t}, nil
}

// compressed is the storage of an array that was saved with savez_compressed: it is unpacked when first read.
type compressed struct {
	file *zip.File
	skip int64
	once sync.Once
	data []byte
	err  error
}

// Size implements strided.Storage.
func (c *compressed) Size() int64 { return int64(c.file.UncompressedSize64) - c.skip }

// ReadAt implements strided.Storage.
func (c *compressed) ReadAt(p []byte, offset int64) (int, error) {
	c.once.Do(func() {
		content, err := c.file.Open()
		if err != nil {
			c.err = err
			return
		}
		// Grown as it comes: a size in the archive may be wrong.
		var all bytes.Buffer
		_, err = io.Copy(&all, content)
		c.data, c.err = all.Bytes(), errors.Join(err, content.Close())
	})
	if c.err != nil {
		return 0, c.err
	}
	return bytes.NewReader(c.data).ReadAt(p, offset+c.skip)
}

// readHeader reads what stands before the numbers, and how many bytes that is.
func readHeader(r io.Reader) (header []byte, skip int64, err error) {
	var start [8]byte // \x93NUMPY and two bytes of a version
	if _, err := io.ReadFull(r, start[:]); err != nil || string(start[:6]) != "\x93NUMPY" {
		return nil, 0, fmt.Errorf("%w: it does not begin as NumPy's files do", errFormat)
	}
	width := map[byte]int{1: 2, 2: 4, 3: 4}[start[6]]
	if width == 0 {
		return nil, 0, fmt.Errorf("%w: version %d", errFormat, start[6])
	}
	var raw [4]byte
	if _, err := io.ReadFull(r, raw[:width]); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errFormat, err)
	}
	length := binary.LittleEndian.Uint32(raw[:])
	if length > maxHeader {
		return nil, 0, fmt.Errorf("%w: a header of %d bytes", errFormat, length)
	}
	header = make([]byte, length)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errFormat, err)
	}
	return header, int64(len(start)+width) + int64(length), nil
}

// The fields of a header, a dictionary as Python writes it.
var (
	descr   = regexp.MustCompile(`'descr'\s*:\s*'([^']*)'`)
	fortran = regexp.MustCompile(`'fortran_order'\s*:\s*(True|False)`)
	shape   = regexp.MustCompile(`'shape'\s*:\s*\(([\d\s,]*)\)`)
)

// types are NumPy's codes of types. A V2 is what jax writes for bfloat16, which NumPy has no name for.
var types = map[string]safetensors.DType{
	"<f4": safetensors.F32, "<f8": safetensors.F64, "<f2": safetensors.F16, "|V2": safetensors.BF16, "<V2": safetensors.BF16, "<i8": safetensors.I64, "<i4": safetensors.I32, "<i2": safetensors.I16,
	"|i1": safetensors.I8, "|u1": safetensors.U8, "<u2": safetensors.U16, "<u4": safetensors.U32, "<u8": safetensors.U64, "|b1": safetensors.Bool,
}

// parseHeader gives the tensor that a header describes, without its storage.
func parseHeader(header []byte) (strided.Tensor, error) {
	kind, order, sides := descr.FindSubmatch(header), fortran.FindSubmatch(header), shape.FindSubmatch(header)
	if kind == nil || order == nil || sides == nil {
		return strided.Tensor{}, fmt.Errorf("%w: its header is %.200q", errFormat, header)
	}
	dtype, ok := types[string(kind[1])]
	if !ok {
		return strided.Tensor{}, fmt.Errorf("values of the type %.40q are not read", kind[1])
	}
	var dims []int
	for side := range strings.SplitSeq(string(sides[1]), ",") {
		if side = strings.TrimSpace(side); side == "" {
			continue
		}
		n, err := strconv.Atoi(side)
		if err != nil || len(dims) == strided.MaxRank {
			return strided.Tensor{}, fmt.Errorf("%w: shape (%.100s)", errFormat, sides[1])
		}
		dims = append(dims, n)
	}
	if string(order[1]) == "False" {
		return strided.Contiguous(nil, dtype, dims), nil
	}
	axes := make([]int, len(dims))
	for i := range axes {
		axes[i] = len(dims) - 1 - i
	}
	slices.Reverse(dims)
	return strided.Contiguous(nil, dtype, dims).Permuted(axes...), nil
}
