// Package torchfile reads what PyTorch's torch.save writes (.pth, .pt, .bin, .pth.tar), in the zip format and in the one
// before it, and runs nothing.
//
// Such a file is a pickle: a program that builds values and may call anything. Here it can build tensors, containers,
// numbers, texts and argparse.Namespace; every other class or function that it asks for is refused by its name
// ([RefusedError]) before it could be used. A broken or hostile file is an error, never a panic, and takes no more memory
// than a multiple of its pickle's size, which is limited. Tensors are views of the file ([strided.Tensor]), checked when it
// is opened and read when asked for.
//
//	f, err := torchfile.New(file, size, "model.pth")
//	if err != nil {
//		return err
//	}
//	state := f.Root.(*torchfile.Dict)
//	weight, ok := state.Get("head.weight") // a *torchfile.Tensor
package torchfile

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strings"

	"vitdecompose/gomlxvit/safetensors"
	"vitdecompose/gomlxvit/strided"
)

// Tensor is a tensor of a file.
type Tensor = strided.Tensor

// File is an open file.
type File struct {
	// Root is the value that was saved.
	Root any
}

// New reads the values of a file of size bytes, without the numbers of its tensors. The name is for messages. r stays the
// caller's, who closes it when the tensors have been read.
func New(r io.ReaderAt, size int64, name string) (*File, error) {
	l := &loader{reader: r, size: size, storages: make(map[string]*storage)}
	root, err := l.load()
	switch {
	case errors.Is(err, errPickle) || errors.Is(err, errCut):
		return nil, fmt.Errorf("%s: %w; the file is damaged, or not what torch.save writes: get it again", name, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &File{Root: root}, nil
}

// loader is a file being read.
type loader struct {
	reader   io.ReaderAt
	size     int64
	storages map[string]*storage
	records  map[string]*zip.File // of a zip, by their names behind the first folder
	tensors  []*Tensor
	copied   int // values and bytes that calls have copied
}

// spend counts what a call copies. A pickle can name one long list again and again, so that the sum is limited.
func (l *loader) spend(n int) error {
	if l.copied += n; l.copied > maxCopied {
		return fmt.Errorf("%w: its calls copy more than %d values", errPickle, maxCopied)
	}
	return nil
}

// storage is a piece of the file. In the old format its place is known after the pickle only.
type storage struct {
	*io.SectionReader
	dtype   safetensors.DType
	untyped bool // of bytes, whose tensors name their type
}

// window is a part of a storage under a name of its own, as the old format has it: in numbers of the storage.
type window struct {
	of     *storage
	offset int
}

// dtypes are the types of numbers by the storages of old and by the names that tensors of bytes have.
var dtypes = map[global]safetensors.DType{
	"torch.FloatStorage": safetensors.F32, "torch.DoubleStorage": safetensors.F64, "torch.HalfStorage": safetensors.F16,
	"torch.BFloat16Storage": safetensors.BF16, "torch.LongStorage": safetensors.I64, "torch.IntStorage": safetensors.I32,
	"torch.ShortStorage": safetensors.I16, "torch.CharStorage": safetensors.I8, "torch.ByteStorage": safetensors.U8,
	"torch.BoolStorage": safetensors.Bool,

	"torch.float32": safetensors.F32, "torch.float64": safetensors.F64, "torch.float16": safetensors.F16, "torch.bfloat16": safetensors.BF16,
	"torch.int64": safetensors.I64, "torch.int32": safetensors.I32, "torch.int16": safetensors.I16, "torch.int8": safetensors.I8,
	"torch.uint8": safetensors.U8, "torch.bool": safetensors.Bool, "torch.uint16": safetensors.U16, "torch.uint32": safetensors.U32,
	"torch.uint64": safetensors.U64, "torch.float8_e4m3fn": safetensors.F8E4M3, "torch.float8_e5m2": safetensors.F8E5M2,
}

const untypedStorage = "torch.storage.UntypedStorage"

// calls are the functions and classes that may be called.
var calls = map[global]func(l *loader, args Tuple) (any, error){
	"torch._utils._rebuild_tensor":               (*loader).tensor,
	"torch._utils._rebuild_tensor_v2":            (*loader).tensor,
	"torch._utils._rebuild_tensor_v3":            (*loader).tensorOfBytes,
	"torch._utils._rebuild_parameter":            first,
	"torch._utils._rebuild_parameter_with_state": first,
	"torch.Size":                    first,
	"torch.device":                  first,
	"collections.Counter":           first,
	"collections.OrderedDict":       ordered,
	"argparse.Namespace":            func(*loader, Tuple) (any, error) { return &Namespace{}, nil },
	"builtins.set":                  first,
	"__builtin__.set":               first,
	"builtins.frozenset":            first,
	"__builtin__.frozenset":         first,
	"_codecs.encode":                encode,
	"numpy.dtype":                   newNumberType,
	"numpy.core.multiarray.scalar":  scalar,
	"numpy._core.multiarray.scalar": scalar,
}

func known(name global) bool {
	return calls[name] != nil || dtypes[name] != "" || name == untypedStorage
}

// load reads either format.
func (l *loader) load() (any, error) {
	start := make([]byte, min(4, l.size))
	if _, err := l.reader.ReadAt(start, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var root any
	var err error
	if string(start) == "PK\x03\x04" {
		root, err = l.loadZip()
	} else {
		root, err = l.loadOld()
	}
	if err != nil {
		return nil, err
	}
	for _, t := range l.tensors {
		if err := t.Check(l.size); err != nil {
			return nil, fmt.Errorf("%w: a tensor: %w", errPickle, err)
		}
	}
	return root, nil
}

// loadZip reads the zip format. The checksums of its records are not compared: PyTorch may leave them out.
func (l *loader) loadZip() (any, error) {
	archive, err := zip.NewReader(l.reader, l.size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCut, err)
	}
	l.records = make(map[string]*zip.File, len(archive.File))
	code := false
	for _, f := range archive.File {
		_, name, ok := strings.Cut(f.Name, "/")
		if !ok {
			name = f.Name
		}
		if l.records[name] != nil {
			return nil, fmt.Errorf("%w: record %.100q is there twice", errPickle, name)
		}
		l.records[name] = f
		code = code || strings.HasPrefix(name, "code/")
	}
	if code {
		return nil, errors.New("an archive of TorchScript, which is code and not read: save the model's state_dict() with torch.save")
	}
	if l.records["byteorder"] != nil {
		section, err := l.record("byteorder")
		if err != nil {
			return nil, err
		}
		order := make([]byte, min(section.Size(), 16))
		if _, err := section.ReadAt(order, 0); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if string(order) != "little" {
			return nil, fmt.Errorf("numbers are stored in the byte order %q; only little is read", order)
		}
	}
	pickle, err := l.record("data.pkl")
	if err != nil {
		return nil, err
	}
	m := machine{storage: l.storageOfZip, call: l.call, known: known}
	root, _, err := m.run(pickle, pickle.Size())
	return root, err
}

// record is a stored record of the zip.
func (l *loader) record(name string) (*io.SectionReader, error) {
	f := l.records[name]
	if f == nil {
		return nil, fmt.Errorf("%w: there is no record %.100q", errPickle, name)
	}
	offset, err := f.DataOffset()
	if err != nil {
		return nil, fmt.Errorf("%w: record %.100q: %w", errCut, name, err)
	}
	if f.Method != zip.Store || f.CompressedSize64 != f.UncompressedSize64 {
		return nil, fmt.Errorf("%w: record %.100q is compressed, which torch.save does not", errPickle, name)
	}
	if offset < 0 || f.UncompressedSize64 > uint64(l.size-min(offset, l.size)) {
		return nil, fmt.Errorf("%w: record %.100q ends behind it", errCut, name)
	}
	return io.NewSectionReader(l.reader, offset, int64(f.UncompressedSize64)), nil
}

// identity takes the parts of a persistent id: ("storage", type, key, device, size in numbers).
func identity(id Tuple) (kind global, key string, err error) {
	if len(id) >= 5 && id[0] == "storage" {
		kind, okKind := id[1].(global)
		key, okKey := id[2].(string)
		if okKind && okKey && (dtypes[kind] != "" || kind == untypedStorage) {
			return kind, key, nil
		}
	}
	return "", "", fmt.Errorf("%w: a persistent id that names no storage", errPickle)
}

func newStorage(kind global) *storage {
	if kind == untypedStorage {
		return &storage{dtype: safetensors.U8, untyped: true}
	}
	return &storage{dtype: dtypes[kind]}
}

func (l *loader) storageOfZip(id Tuple) (any, error) {
	kind, key, err := identity(id)
	if err != nil {
		return nil, err
	}
	// One record may be named by storages of several types, which then share its bytes.
	s, ok := l.storages[string(kind)+" "+key]
	if !ok {
		s = newStorage(kind)
		if s.SectionReader, err = l.record("data/" + key); err != nil {
			return nil, err
		}
		l.storages[string(kind)+" "+key] = s
	}
	return &window{of: s}, nil
}

func (l *loader) storageOfOld(id Tuple) (any, error) {
	kind, key, err := identity(id)
	if err != nil {
		return nil, err
	}
	s, ok := l.storages[key]
	if !ok {
		s = newStorage(kind)
		l.storages[key] = s
	}
	if s.dtype != newStorage(kind).dtype {
		return nil, fmt.Errorf("%w: storage %.40q has two types", errPickle, key)
	}
	w := &window{of: s}
	if len(id) > 5 && id[5] != nil {
		view, ok := id[5].(Tuple)
		if !ok || len(view) != 3 {
			return nil, fmt.Errorf("%w: a view of a storage is not understood", errPickle)
		}
		if w.offset, err = integer(view[1]); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// magic is the number that the old format begins with.
var magic, _ = new(big.Int).SetString("1950a86a20f9469cfc6c", 16)

const oldProtocol = 1001

// loadOld reads the old format: five pickles (magic number, protocol, machine, value, keys of the storages), then the
// storages, each behind the number of its numbers.
func (l *loader) loadOld() (any, error) {
	at := int64(0)
	var values [5]any
	for i := range values {
		m := machine{storage: l.storageOfOld, call: l.call, known: known}
		value, length, err := m.run(io.NewSectionReader(l.reader, at, l.size-at), l.size-at)
		if err != nil {
			return nil, err
		}
		at += length
		values[i] = value
		switch i {
		case 0:
			if n, ok := value.(*big.Int); !ok || n.Cmp(magic) != 0 {
				return nil, errors.New("a pickle, but none of torch.save: it has no tensors to read")
			}
		case 1:
			if value != any(int64(oldProtocol)) {
				return nil, fmt.Errorf("the protocol of torch.save is not %d, the only one known", oldProtocol)
			}
		case 2:
			if d, ok := value.(*Dict); !ok {
				return nil, fmt.Errorf("%w: nothing about the machine", errPickle)
			} else if little, _ := d.Get("little_endian"); little != true {
				return nil, errors.New("numbers are stored in another byte order than little; it is not read")
			}
		}
	}
	keys, ok := values[4].(*List)
	if !ok {
		return nil, fmt.Errorf("%w: no list of storages", errPickle)
	}
	placed := 0
	for _, key := range keys.Items {
		name, _ := key.(string)
		s := l.storages[name]
		if s == nil || s.SectionReader != nil {
			return nil, fmt.Errorf("%w: storage %.40q is not known, or there twice", errPickle, name)
		}
		var count [8]byte
		if n, _ := l.reader.ReadAt(count[:], at); n < len(count) {
			return nil, errCut
		}
		at += int64(len(count))
		numbers, size := binary.LittleEndian.Uint64(count[:]), int64(s.dtype.Size())
		if numbers > uint64((l.size-at)/size) {
			return nil, errCut
		}
		s.SectionReader = io.NewSectionReader(l.reader, at, int64(numbers)*size)
		at += int64(numbers) * size
		placed++
	}
	if placed != len(l.storages) {
		return nil, fmt.Errorf("%w: %d storages of %d are there", errPickle, placed, len(l.storages))
	}
	return values[3], nil
}

func (l *loader) call(name global, args Tuple) (any, error) {
	f := calls[name]
	if f == nil {
		return nil, fmt.Errorf("%w: %s is called", errPickle, name)
	}
	value, err := f(l, args)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return value, nil
}

var errArguments = fmt.Errorf("%w: other arguments than are known", errPickle)

func integer(value any) (int, error) {
	n, ok := value.(int64)
	if !ok || n != int64(int(n)) {
		return 0, errArguments
	}
	return int(n), nil
}

func integers(value any) ([]int, error) {
	tuple, ok := value.(Tuple)
	if !ok || len(tuple) > strided.MaxRank {
		return nil, errArguments
	}
	numbers := make([]int, len(tuple))
	for i, item := range tuple {
		var err error
		if numbers[i], err = integer(item); err != nil {
			return nil, err
		}
	}
	return numbers, nil
}

// tensor takes a storage, where the tensor begins in it, its shape and its strides.
func (l *loader) tensor(args Tuple) (any, error) {
	if len(args) < 4 {
		return nil, errArguments
	}
	w, ok := args[0].(*window)
	if !ok || w.of.untyped {
		return nil, errArguments
	}
	return l.view(w, w.of.dtype, args)
}

// tensorOfBytes is tensor of an untyped storage; the type of the numbers is the seventh argument.
func (l *loader) tensorOfBytes(args Tuple) (any, error) {
	if len(args) < 7 {
		return nil, errArguments
	}
	w, okStorage := args[0].(*window)
	name, okName := args[6].(global)
	if !okStorage || !okName || dtypes[name] == "" {
		return nil, errArguments
	}
	return l.view(w, dtypes[name], args)
}

func (l *loader) view(w *window, dtype safetensors.DType, args Tuple) (any, error) {
	offset, err := integer(args[1])
	if err != nil {
		return nil, err
	}
	shape, err := integers(args[2])
	if err != nil {
		return nil, err
	}
	strides, err := integers(args[3])
	if err != nil {
		return nil, err
	}
	if offset < 0 || w.offset < 0 || offset > math.MaxInt-w.offset {
		return nil, errArguments
	}
	t := &Tensor{DType: dtype, Shape: shape, Strides: strides, Offset: w.offset + offset, Storage: w.of}
	l.tensors = append(l.tensors, t)
	return t, nil
}

// first is a call that adds nothing to its first argument; without any it is a list of nothing.
func first(_ *loader, args Tuple) (any, error) {
	if len(args) == 0 {
		return &List{}, nil
	}
	return args[0], nil
}

// ordered makes a dictionary of nothing or of a list of pairs.
func ordered(l *loader, args Tuple) (any, error) {
	d := &Dict{}
	if len(args) == 0 {
		return d, nil
	}
	pairs, ok := args[0].(*List)
	if !ok || len(args) > 1 {
		return nil, errArguments
	}
	if err := l.spend(len(pairs.Items)); err != nil {
		return nil, err
	}
	for _, item := range pairs.Items {
		pair, ok := item.(Tuple)
		if list, isList := item.(*List); isList {
			pair, ok = list.Items, true
		}
		if !ok || len(pair) != 2 {
			return nil, errArguments
		}
		if err := d.set(pair[0], pair[1]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// encode makes the bytes that Python 2's protocol writes as text.
func encode(l *loader, args Tuple) (any, error) {
	if len(args) != 2 || args[1] != "latin1" {
		return nil, errArguments
	}
	text, ok := args[0].(string)
	if !ok {
		return nil, errArguments
	}
	if err := l.spend(len(text)); err != nil {
		return nil, err
	}
	var raw []byte
	for _, r := range text {
		if r > 0xff {
			return nil, errArguments
		}
		raw = append(raw, byte(r))
	}
	return raw, nil
}

// numberType is the type of a number of NumPy.
type numberType struct{ dtype safetensors.DType }

// numberTypes are NumPy's codes of what a number may be.
var numberTypes = map[string]safetensors.DType{"f8": safetensors.F64, "f4": safetensors.F32, "i8": safetensors.I64, "i4": safetensors.I32, "b1": safetensors.Bool}

func newNumberType(_ *loader, args Tuple) (any, error) {
	if len(args) > 0 {
		if code, ok := args[0].(string); ok && numberTypes[code] != "" {
			return &numberType{numberTypes[code]}, nil
		}
	}
	return nil, errArguments
}

// scalar is a number of NumPy.
func scalar(_ *loader, args Tuple) (any, error) {
	if len(args) != 2 {
		return nil, errArguments
	}
	kind, okKind := args[0].(*numberType)
	raw, okRaw := args[1].([]byte)
	if !okKind || !okRaw || len(raw) != kind.dtype.Size() {
		return nil, errArguments
	}
	bits := slices.Concat(raw, make([]byte, 8))
	wide := binary.LittleEndian.Uint64(bits)
	switch kind.dtype {
	case safetensors.F64:
		return math.Float64frombits(wide), nil
	case safetensors.F32:
		return float64(math.Float32frombits(uint32(wide))), nil
	case safetensors.I32:
		return int64(int32(wide)), nil
	case safetensors.Bool:
		return wide != 0, nil
	}
	return int64(wide), nil
}
