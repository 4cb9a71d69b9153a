package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"vitdecompose/gomlxvit/npz"
	"vitdecompose/gomlxvit/safetensors"
	"vitdecompose/gomlxvit/strided"
	"vitdecompose/gomlxvit/torchfile"
)

// Tensors are tensors by their names, whatever the format of their file.
type Tensors interface {
	// Name is the file's path, for messages.
	Name() string
	// Names lists the tensors in the order of the file.
	Names() []string
	// Info describes a tensor; false when there is none of that name.
	Info(name string) (safetensors.Info, bool)
	// Float32 reads a tensor, row-major, converted to float32.
	Float32(name string) ([]float32, error)
}

// views are tensors that are views of a file. Several of one name are one tensor, joined along their first axis.
type views struct {
	file  string
	names []string
	parts map[string][]strided.Tensor
}

func newViews(file string) *views {
	return &views{file: file, parts: make(map[string][]strided.Tensor)}
}

// add adds a tensor of a name that is not there yet.
func (v *views) add(name string, t strided.Tensor) error {
	if _, ok := v.parts[name]; ok {
		return fmt.Errorf("tensor %.100q is there twice", name)
	}
	v.names = append(v.names, name)
	v.parts[name] = []strided.Tensor{t}
	return nil
}

// extend puts a tensor behind what is there of the name.
func (v *views) extend(name string, t strided.Tensor) error {
	parts, ok := v.parts[name]
	if !ok {
		return v.add(name, t)
	}
	if first := parts[0].Shape; len(first) == 0 || len(first) != len(t.Shape) || !slices.Equal(first[1:], t.Shape[1:]) {
		return fmt.Errorf("tensor %.100q: parts of shapes %v and %v cannot be joined", name, first, t.Shape)
	}
	v.parts[name] = append(parts, t)
	return nil
}

// Name implements Tensors.
func (v *views) Name() string { return v.file }

// Names implements Tensors.
func (v *views) Names() []string { return slices.Clone(v.names) }

// Info implements Tensors.
func (v *views) Info(name string) (safetensors.Info, bool) {
	parts, ok := v.parts[name]
	if !ok {
		return safetensors.Info{}, false
	}
	info := safetensors.Info{Name: name, DType: parts[0].DType, Shape: slices.Clone(parts[0].Shape)}
	for _, part := range parts[1:] {
		info.Shape[0] += part.Shape[0]
	}
	return info, true
}

// Float32 implements Tensors.
func (v *views) Float32(name string) ([]float32, error) {
	parts, ok := v.parts[name]
	if !ok {
		return nil, fmt.Errorf("%s: there is no tensor %.100q", v.file, name)
	}
	var all []float32
	for _, part := range parts {
		numbers, err := part.Float32()
		if err != nil {
			return nil, fmt.Errorf("%s: tensor %.100q: %w", v.file, name, err)
		}
		if len(parts) == 1 {
			return numbers, nil
		}
		all = append(all, numbers...)
	}
	return all, nil
}

// shards are the tensors of several files.
type shards struct {
	file  string
	names []string
	of    map[string]Tensors
}

// join gives the tensors of several files as those of one. A name in two of them is an error.
func join(file string, parts []Tensors) (*shards, error) {
	s := &shards{file: file, of: make(map[string]Tensors)}
	for _, part := range parts {
		for _, name := range part.Names() {
			if other, ok := s.of[name]; ok {
				return nil, fmt.Errorf("%s: tensor %.100q is in %s too", part.Name(), name, other.Name())
			}
			s.of[name] = part
			s.names = append(s.names, name)
		}
	}
	return s, nil
}

// Name implements Tensors.
func (s *shards) Name() string { return s.file }

// Names implements Tensors.
func (s *shards) Names() []string { return slices.Clone(s.names) }

// Info implements Tensors.
func (s *shards) Info(name string) (safetensors.Info, bool) {
	if part, ok := s.of[name]; ok {
		return part.Info(name)
	}
	return safetensors.Info{}, false
}

// Float32 implements Tensors.
func (s *shards) Float32(name string) ([]float32, error) {
	if part, ok := s.of[name]; ok {
		return part.Float32(name)
	}
	return nil, fmt.Errorf("%s: there is no tensor %.100q", s.file, name)
}

// openTensors reads the names and shapes of the tensors of a file, whose format is told by its beginning, and says what it
// assumed.
func openTensors(r io.ReaderAt, size int64, path string) (Tensors, []string, error) {
	switch format, err := formatOf(r, size, path); {
	case err != nil:
		return nil, nil, err
	case format == torch:
		f, err := torchfile.New(r, size, path)
		if err != nil {
			return nil, nil, err
		}
		return stateOf(f.Root, path)
	case format == numpy:
		arrays, err := npz.New(r, size, path)
		if err != nil {
			return nil, nil, err
		}
		return fromFlax(arrays, path)
	}
	weights, err := safetensors.New(r, size, path)
	var format *safetensors.FormatError
	switch {
	case !errors.As(err, &format) || errors.Is(err, safetensors.ErrLFSPointer):
		return weights, nil, err
	case strings.HasSuffix(path, ".safetensors"):
		return nil, nil, fmt.Errorf("%w; the file is damaged, get it again", err)
	}
	return nil, nil, fmt.Errorf("%s: neither what torch.save writes nor an archive of NumPy nor safetensors; the file is damaged, get it again", path)
}

// The formats of weights.
const (
	safe  = "safetensors"
	torch = "torch"
	numpy = "numpy"
)

// formatOf tells the format by the file's first bytes.
func formatOf(r io.ReaderAt, size int64, path string) (string, error) {
	start := make([]byte, min(size, 4))
	if n, err := r.ReadAt(start, 0); n < len(start) {
		return "", fmt.Errorf("%s: %w", path, cause(err))
	}
	isZip := string(start) == "PK\x03\x04"
	switch {
	case strings.HasSuffix(path, ".safetensors"):
		return safe, nil
	case isZip && strings.HasSuffix(path, ".npz"):
		return numpy, nil
	case isZip || len(start) > 1 && start[0] == 0x80 && start[1] <= 5: // a zip or a pickle
		return torch, nil
	}
	return safe, nil
}
