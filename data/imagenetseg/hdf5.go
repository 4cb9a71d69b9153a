package imagenetseg

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// A reader of the parts of HDF5 that MATLAB writes its 7.3 files with: the library's oldest format after a block of
// MATLAB's own, arrays of numbers or of references to other objects, in one piece or in pieces, compressed with deflate.
// github.com/scigolib/hdf5 (0.13) neither opens a file that begins with a block of somebody else's nor follows a reference,
// and reads numbers as float64 only. What the names below mean is in "HDF5 File Format Specification", version 3.0, whose
// sections are named.

// Sizes and limits.
const (
	hdf5Signature = "\x89HDF\r\n\x1a\n"
	offsetSize    = 8 // of addresses and lengths; other sizes are not read
	symbolEntry   = 40

	maxUserBlock = 1 << 20
	maxMessages  = 4096    // of an object
	maxHeader    = 1 << 20 // bytes of an object's messages
	maxRank      = 4
	maxMembers   = 1 << 10 // of a group that is searched, and nodes with their names
	maxHeap      = 1 << 20 // bytes of a group's names
	maxDepth     = 32      // of a B-tree
)

// Types of header messages (section IV.A.2).
const (
	messageDataspace    = 0x0001
	messageDatatype     = 0x0003
	messageLayout       = 0x0008
	messageFilters      = 0x000b
	messageContinuation = 0x0010
	messageSymbolTable  = 0x0011
)

// Classes of datatypes, and of layouts.
const (
	classFixedPoint = 0
	classReference  = 7

	layoutCompact    = 0
	layoutContiguous = 1
	layoutChunked    = 2
)

// Filters of pieces.
const (
	filterDeflate = 1
	filterShuffle = 2
)

const undefined = ^uint64(0) // the address of what is not there

// hdf5 is an open file.
type hdf5 struct {
	r    io.ReaderAt
	size uint64 // of the file, from base on
	base int64  // where HDF5's part begins: addresses count from there
	root uint64 // the root group's header
}

var errHDF5 = errors.New("is an HDF5 file that is cut short or damaged")

// broken says what is damaged.
func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errHDF5, fmt.Sprintf(format, args...))
}

// openHDF5 reads the superblock (section II.A) of a file of the given size.
func openHDF5(r io.ReaderAt, size int64) (*hdf5, error) {
	const length = 96 // of a superblock of version 0
	block := make([]byte, length)
	for at := int64(0); at <= maxUserBlock && at+length <= size; at = max(512, 2*at) {
		if _, err := r.ReadAt(block, at); err != nil {
			return nil, err
		}
		if string(block[:8]) != hdf5Signature {
			continue
		}
		switch {
		case block[8] != 0:
			return nil, fmt.Errorf("is an HDF5 file of version %d; those of MATLAB 7.3 are of version 0", block[8])
		case block[13] != offsetSize || block[14] != offsetSize:
			return nil, fmt.Errorf("is an HDF5 file with addresses of %d and %d bytes; those of MATLAB 7.3 have %d", block[13], block[14], offsetSize)
		}
		// The base address is where the file was when it was written; what counts is where it is.
		h := &hdf5{r: r, base: at, size: uint64(size - at), root: binary.LittleEndian.Uint64(block[64:])}
		return h, nil
	}
	return nil, errors.New("is not an HDF5 file, the format that MATLAB 7.3 writes")
}

// read reads n bytes at an address.
func (h *hdf5) read(address, n uint64) ([]byte, error) {
	if address > h.size || n > h.size-address {
		return nil, broken("%d bytes at %d are outside of it", n, address)
	}
	b := make([]byte, n)
	if _, err := h.r.ReadAt(b, h.base+int64(address)); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errHDF5
		}
		return nil, err
	}
	return b, nil
}

// message is a message of an object header.
type message struct {
	kind uint16
	data []byte
}

// messages reads an object header of version 1 (section IV.A.1.a).
func (h *hdf5) messages(address uint64) ([]message, error) {
	prefix, err := h.read(address, 16)
	if err != nil {
		return nil, err
	}
	count := int(binary.LittleEndian.Uint16(prefix[2:]))
	if prefix[0] != 1 || count > maxMessages {
		return nil, broken("there is no object of version 1 at %d", address)
	}
	type block struct{ address, length uint64 }
	blocks := []block{{address + 16, uint64(binary.LittleEndian.Uint32(prefix[8:]))}}
	var messages []message
	total := uint64(0)
	for len(blocks) > 0 && len(messages) < count {
		b := blocks[0]
		blocks = blocks[1:]
		if total += b.length; b.length > maxHeader || total > maxHeader {
			return nil, broken("the object at %d describes itself in more than %d bytes", address, maxHeader)
		}
		rest, err := h.read(b.address, b.length)
		if err != nil {
			return nil, err
		}
		for len(rest) >= 8 && len(messages) < count {
			m := message{kind: binary.LittleEndian.Uint16(rest)}
			n, flags := int(binary.LittleEndian.Uint16(rest[2:])), rest[4]
			const shared = 2
			if n > len(rest)-8 {
				return nil, broken("a message of the object at %d is too long", address)
			}
			m.data, rest = rest[8:8+n], rest[8+n:]
			switch {
			case flags&shared != 0 && m.kind == messageDatatype:
				return nil, fmt.Errorf("has an array of a named type, at %d, which is not supported", address)
			case m.kind == messageContinuation && n >= 16:
				blocks = append(blocks, block{binary.LittleEndian.Uint64(m.data), binary.LittleEndian.Uint64(m.data[8:])})
			}
			messages = append(messages, m)
		}
	}
	return messages, nil
}

// member finds an object in a group by its name (sections III.A.1, III.B to III.D).
func (h *hdf5) member(group uint64, name string) (address uint64, err error) {
	messages, err := h.messages(group)
	if err != nil {
		return 0, err
	}
	at := slices.IndexFunc(messages, func(m message) bool { return m.kind == messageSymbolTable && len(m.data) >= 16 })
	if at < 0 {
		return 0, broken("the object at %d is not a group", group)
	}
	tree, heap := binary.LittleEndian.Uint64(messages[at].data), binary.LittleEndian.Uint64(messages[at].data[8:])
	names, err := h.heap(heap)
	if err != nil {
		return 0, err
	}
	found, members := undefined, 0
	const key = offsetSize
	err = h.walk(tree, 0, key, maxMembers, func(_ []byte, child uint64) error {
		node, err := h.read(child, 8)
		if err != nil {
			return err
		}
		n := int(binary.LittleEndian.Uint16(node[6:]))
		if members += n; string(node[:4]) != "SNOD" || members > maxMembers {
			return broken("the group at %d has more than %d members, or none can be read", group, maxMembers)
		}
		entries, err := h.read(child+8, uint64(n)*symbolEntry)
		if err != nil {
			return err
		}
		for ; len(entries) > 0; entries = entries[symbolEntry:] {
			offset := binary.LittleEndian.Uint64(entries)
			if offset >= uint64(len(names)) {
				return broken("a name in the group at %d is outside of its heap", group)
			}
			if text, _, ok := bytes.Cut(names[offset:], []byte{0}); ok && string(text) == name {
				found = binary.LittleEndian.Uint64(entries[8:])
			}
		}
		return nil
	})
	if err == nil && found == undefined {
		err = fmt.Errorf("has no %s: it is not gtsegs_ijcv.mat", name)
	}
	return found, err
}

// heap reads the names of a group's members.
func (h *hdf5) heap(address uint64) ([]byte, error) {
	header, err := h.read(address, 32)
	if err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(header[8:])
	if string(header[:4]) != "HEAP" || n > maxHeap {
		return nil, broken("there are no names at %d", address)
	}
	return h.read(binary.LittleEndian.Uint64(header[24:]), n)
}

// walk visits the entries of a B-tree of version 1 (section III.A.1): each with its key, whose size is given, and its address.
// It is an error if there are more than limit.
func (h *hdf5) walk(tree uint64, kind byte, key int, limit uint64, visit func(key []byte, child uint64) error) error {
	seen := map[uint64]bool{} // a damaged tree can go round in a circle, or its nodes overlap
	entered := uint64(0)      // entries of all nodes, on all levels
	var node func(address uint64, depth int) error
	node = func(address uint64, depth int) error {
		if seen[address] || depth > maxDepth {
			return broken("the tree at %d does not end", tree)
		}
		seen[address] = true
		header, err := h.read(address, 24)
		if err != nil {
			return err
		}
		level, n := header[5], uint64(binary.LittleEndian.Uint16(header[6:]))
		if string(header[:4]) != "TREE" || header[4] != kind {
			return broken("there is no tree of kind %d at %d", kind, address)
		}
		if entered += n; entered > maxDepth*(limit+1) {
			return broken("the tree at %d has more than %d entries", tree, limit)
		}
		size := uint64(key) + offsetSize
		entries, err := h.read(address+24, n*size)
		if err != nil {
			return err
		}
		for ; len(entries) > 0; entries = entries[size:] {
			child := binary.LittleEndian.Uint64(entries[key:])
			if level == 0 {
				err = visit(entries[:key], child)
			} else {
				err = node(child, depth+1)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return node(tree, 0)
}

// array is what an object header says about an array.
type array struct {
	address uint64 // of the header
	dims    []uint64
	class   byte   // of its numbers
	width   uint64 // bytes of one
	layout  byte
	at      uint64   // of the numbers, or of the tree of the pieces
	length  uint64   // bytes of the numbers, if they are in one piece
	compact []byte   // the numbers themselves, if they are in the header
	piece   []uint64 // size of a piece
	filters []uint16
}

// array reads the header of an array.
func (h *hdf5) array(address uint64) (*array, error) {
	messages, err := h.messages(address)
	if err != nil {
		return nil, err
	}
	d := &array{address: address, layout: 255}
	for _, m := range messages {
		switch m.kind {
		case messageDataspace:
			err = d.dataspace(m.data)
		case messageDatatype:
			err = d.datatype(m.data)
		case messageFilters:
			err = d.pipeline(m.data)
		case messageLayout:
			err = d.storage(m.data)
		}
		if err != nil {
			return nil, err
		}
	}
	if d.dims == nil || d.width == 0 || d.layout == 255 {
		return nil, broken("the object at %d is not an array", address)
	}
	if d.layout == layoutChunked && len(d.piece) != len(d.dims) {
		return nil, broken("the array at %d has %d axes, its pieces have %d", address, len(d.dims), len(d.piece))
	}
	return d, nil
}

// dataspace is the number of values on each axis (section IV.A.2.b).
func (d *array) dataspace(b []byte) error {
	if len(b) < 4 {
		return broken("the array at %d has no size", d.address)
	}
	header := map[byte]int{1: 8, 2: 4}[b[0]]
	rank := int(b[1])
	if header == 0 || rank < 1 || rank > maxRank || len(b) < header+8*rank {
		return broken("the array at %d has no size that can be read", d.address)
	}
	d.dims = make([]uint64, rank)
	for i := range d.dims {
		d.dims[i] = binary.LittleEndian.Uint64(b[header+8*i:])
	}
	return nil
}

// datatype is what one value is (section IV.A.2.d).
func (d *array) datatype(b []byte) error {
	const bigEndian, objectReference = 1, 0
	if len(b) < 8 {
		return broken("the array at %d has no type", d.address)
	}
	d.class, d.width = b[0]&15, uint64(binary.LittleEndian.Uint32(b[4:]))
	switch {
	case d.class == classFixedPoint && d.width >= 1 && d.width <= 8 && b[1]&bigEndian == 0:
	case d.class == classReference && d.width == offsetSize && b[1]&15 == objectReference:
	default:
		return fmt.Errorf("has an array, at %d, of a type that is not supported: want whole numbers or references", d.address)
	}
	return nil
}

// pipeline is how pieces are stored (section IV.A.2.l).
func (d *array) pipeline(b []byte) error {
	if len(b) < 2 {
		return broken("the array at %d has no filters", d.address)
	}
	version, count := b[0], int(b[1])
	switch {
	case version == 1 && len(b) >= 8:
		b = b[8:]
	case version == 2:
		b = b[2:]
	default:
		return broken("the array at %d has filters of version %d", d.address, version)
	}
	for range count {
		if len(b) < 8 {
			return broken("the array at %d has fewer filters than it says", d.address)
		}
		id, name, values := binary.LittleEndian.Uint16(b), 0, 0
		if id != filterDeflate && id != filterShuffle {
			return fmt.Errorf("has an array, at %d, that is stored with the filter %d; only deflate (1) and shuffle (2) are supported", d.address, id)
		}
		if version == 1 {
			name, values = int(binary.LittleEndian.Uint16(b[2:])), int(binary.LittleEndian.Uint16(b[6:]))
			b = b[8:]
			values += values % 2 // padding
		} else { // known filters have no name
			values = int(binary.LittleEndian.Uint16(b[4:]))
			b = b[6:]
		}
		if skip := (name+7)/8*8 + 4*values; skip <= len(b) {
			b = b[skip:]
		} else {
			return broken("the array at %d has filters that are too long", d.address)
		}
		d.filters = append(d.filters, id)
	}
	return nil
}

// storage is where the numbers are (section IV.A.2.i).
func (d *array) storage(b []byte) error {
	if len(b) < 4 || b[0] != 3 {
		return broken("the array at %d has no place that can be read", d.address)
	}
	d.layout = b[1]
	switch b = b[2:]; d.layout {
	case layoutCompact:
		n := int(binary.LittleEndian.Uint16(b))
		if n > len(b)-2 {
			break
		}
		d.compact = b[2 : 2+n]
		return nil
	case layoutContiguous:
		if len(b) < 16 {
			break
		}
		d.at, d.length = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
		return nil
	case layoutChunked:
		axes := int(b[0]) - 1 // the last is the bytes of a number
		if axes < 1 || axes > maxRank || len(b) < 9+4*axes {
			break
		}
		d.at = binary.LittleEndian.Uint64(b[1:])
		d.piece = make([]uint64, axes)
		for i := range d.piece {
			if d.piece[i] = uint64(binary.LittleEndian.Uint32(b[9+4*i:])); d.piece[i] == 0 {
				return broken("the array at %d is in pieces of nothing", d.address)
			}
		}
		return nil
	}
	return broken("the array at %d has no place that can be read", d.address)
}

// bytes reads all numbers of an array that has not more than limit of them, in the order of the axes.
func (h *hdf5) bytes(d *array, limit uint64) ([]byte, error) {
	count, err := product(d.dims, limit)
	if err != nil {
		return nil, fmt.Errorf("the array at %d: %w", d.address, err)
	}
	size := count * d.width
	switch {
	case size == 0:
		return nil, nil
	case d.layout == layoutCompact:
		if uint64(len(d.compact)) < size {
			return nil, broken("the array at %d is shorter than its size", d.address)
		}
		return d.compact[:size], nil
	case d.layout == layoutContiguous:
		if d.at == undefined || d.length < size {
			return nil, broken("the array at %d is shorter than its size", d.address)
		}
		return h.read(d.at, size)
	}
	return h.pieces(d, size)
}

// product multiplies sizes, none of which makes it larger than limit.
func product(sizes []uint64, limit uint64) (uint64, error) {
	count := uint64(1)
	for _, n := range sizes {
		if n != 0 && count > limit/n {
			return 0, fmt.Errorf("it has more than %d values: %v", limit, sizes)
		}
		count *= n
	}
	return count, nil
}

// pieces assembles an array of the given number of bytes.
func (h *hdf5) pieces(d *array, size uint64) ([]byte, error) {
	// A piece may hang over the edges, but libraries don't make it larger than the array.
	for i, n := range d.piece {
		if n > max(d.dims[i], 64) {
			return nil, broken("the array at %d of size %v is in pieces of %v", d.address, d.dims, d.piece)
		}
	}
	values, err := product(d.piece, size+1<<20)
	if err != nil {
		return nil, broken("the array at %d of size %v is in pieces of %v", d.address, d.dims, d.piece)
	}
	length := values * d.width
	out := make([]byte, 0)
	rank := len(d.dims)
	missing, err := product(d.grid(), size)
	if err != nil {
		return nil, broken("the array at %d has too many pieces", d.address)
	}
	if missing*length > 8*size+1<<16 { // unpacking what hangs over must not take much longer than what is wanted
		return nil, broken("the array at %d of size %v is in pieces of %v", d.address, d.dims, d.piece)
	}
	seen := make(map[[maxRank]uint64]bool)
	err = h.walk(d.at, 1, 8+8*(rank+1), missing, func(key []byte, child uint64) error {
		stored, skipped := uint64(binary.LittleEndian.Uint32(key)), binary.LittleEndian.Uint32(key[4:])
		var start [maxRank]uint64
		for i := range rank {
			start[i] = binary.LittleEndian.Uint64(key[8+8*i:])
			if start[i] >= d.dims[i] || start[i]%d.piece[i] != 0 {
				return broken("a piece of the array at %d is outside of it", d.address)
			}
		}
		if seen[start] {
			return broken("the array at %d has a piece twice", d.address)
		}
		seen[start] = true
		missing--
		raw, err := h.read(child, stored)
		if err != nil {
			return err
		}
		piece, err := d.unpack(raw, skipped, length)
		if err != nil {
			return err
		}
		if len(out) == 0 { // not before a piece has been read: a header alone must not cost memory
			out = make([]byte, size)
		}
		d.place(out, piece, start[:rank])
		return nil
	})
	if err == nil && missing != 0 {
		err = broken("the array at %d lacks %d pieces", d.address, missing)
	}
	return out, err
}

// grid is the number of pieces on each axis.
func (d *array) grid() []uint64 {
	grid := make([]uint64, len(d.dims))
	for i, n := range d.dims {
		grid[i] = (n + d.piece[i] - 1) / d.piece[i]
	}
	return grid
}

// unpack undoes the filters of a piece, of which a bit each says that it was skipped.
func (d *array) unpack(raw []byte, skipped uint32, length uint64) ([]byte, error) {
	for i, filter := range slices.Backward(d.filters) {
		if i < 32 && skipped>>i&1 == 1 {
			continue
		}
		switch filter {
		case filterDeflate:
			// Deflate cannot expand more than 1032 times.
			if length/1032 > uint64(len(raw)) {
				return nil, broken("a piece of the array at %d is too short", d.address)
			}
			z, err := zlib.NewReader(bytes.NewReader(raw))
			if err != nil {
				return nil, broken("a piece of the array at %d: %v", d.address, err)
			}
			unpacked := make([]byte, length)
			if _, err := io.ReadFull(z, unpacked); err != nil {
				return nil, broken("a piece of the array at %d: %v", d.address, err)
			}
			// The checksum is read with the end of the data.
			if n, err := z.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				return nil, broken("a piece of the array at %d does not end where it should", d.address)
			}
			raw = unpacked
		case filterShuffle:
			raw = unshuffle(raw, int(d.width))
		}
	}
	if uint64(len(raw)) != length {
		return nil, broken("a piece of the array at %d has %d bytes, not %d", d.address, len(raw), length)
	}
	return raw, nil
}

// unshuffle puts the bytes of numbers together that were stored all first bytes first, then all second ones, and so on.
func unshuffle(b []byte, width int) []byte {
	n := len(b) / width
	if width < 2 || n < 2 {
		return b
	}
	out := slices.Clone(b) // bytes that are no whole number stay where they are
	for i := range n {
		for k := range width {
			out[i*width+k] = b[k*n+i]
		}
	}
	return out
}

// place copies the part of a piece that lies within the array.
func (d *array) place(out, piece []byte, start []uint64) {
	last := len(d.dims) - 1
	row := min(d.piece[last], d.dims[last]-start[last]) * d.width
	var axis func(i int, to, from uint64)
	axis = func(i int, to, from uint64) {
		if i == last {
			to, from = (to*d.dims[i]+start[i])*d.width, from*d.piece[i]*d.width
			copy(out[to:to+row], piece[from:])
			return
		}
		for k := range min(d.piece[i], d.dims[i]-start[i]) {
			axis(i+1, to*d.dims[i]+start[i]+k, from*d.piece[i]+k)
		}
	}
	axis(0, 0, 0)
}
