package hf

import (
	"encoding/binary"
	"errors"
	"slices"
)

// The footer and the headers of pages are written in Thrift's compact protocol. The decoder of parquet-go allocates what a
// list says it has before it reads it, so what comes from outside is walked through first: that costs no memory.

// Types of Thrift's compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftInt16  = 4
	thriftInt32  = 5
	thriftInt64  = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

const thriftDepth = 32 // structs and lists within others

var (
	errThriftShort = errors.New("it is cut short")
	errThrift      = errors.New("it is damaged")
)

// thriftWalker walks through a struct.
type thriftWalker struct {
	rest     []byte
	elements uint64 // that lists may still have
	structs  uint64 // among them
}

// thriftLength is the number of bytes of the struct at the beginning of b. The error is errThriftShort where b is too
// short, and errThrift where it would not help to have more.
func thriftLength(b []byte) (int, error) {
	// What is genuine has an element of a list for each ten bytes or so, and a struct for 25; of structs a decoder makes
	// hundreds of bytes each.
	w := &thriftWalker{b, uint64(len(b))/4 + 1000, uint64(len(b))/12 + 1000}
	if err := w.fields(0); err != nil {
		return 0, err
	}
	return len(b) - len(w.rest), nil
}

func (w *thriftWalker) byte() (byte, error) {
	if len(w.rest) == 0 {
		return 0, errThriftShort
	}
	b := w.rest[0]
	w.rest = w.rest[1:]
	return b, nil
}

func (w *thriftWalker) varint() (uint64, error) {
	v, n := binary.Uvarint(w.rest)
	switch {
	case n == 0:
		return 0, errThriftShort
	case n < 0:
		return 0, errThrift
	}
	w.rest = w.rest[n:]
	return v, nil
}

func (w *thriftWalker) skip(n uint64) error {
	if n > uint64(len(w.rest)) {
		return errThriftShort
	}
	w.rest = w.rest[n:]
	return nil
}

// fields walks through a struct.
func (w *thriftWalker) fields(depth int) error {
	for {
		head, err := w.byte()
		if err != nil {
			return err
		}
		kind := head & 0xf
		if head == 0 {
			return nil
		}
		if head>>4 == 0 { // the field's number does not follow from that of the one before
			if _, err := w.varint(); err != nil {
				return err
			}
		}
		if kind == thriftTrue || kind == thriftFalse { // the value is in the kind
			continue
		}
		if err := w.value(kind, depth); err != nil {
			return err
		}
	}
}

// value walks through a value of a kind.
func (w *thriftWalker) value(kind byte, depth int) error {
	if depth > thriftDepth {
		return errThrift
	}
	switch kind {
	case thriftTrue, thriftFalse, thriftByte:
		return w.skip(1)
	case thriftInt16, thriftInt32, thriftInt64:
		_, err := w.varint()
		return err
	case thriftDouble:
		return w.skip(8)
	case thriftBinary:
		n, err := w.varint()
		if err != nil {
			return err
		}
		return w.skip(n)
	case thriftList, thriftSet:
		head, err := w.byte()
		if err != nil {
			return err
		}
		n := uint64(head >> 4)
		if n == 0xf {
			if n, err = w.varint(); err != nil {
				return err
			}
		}
		return w.values(n, depth, head&0xf)
	case thriftMap:
		n, err := w.varint()
		if err != nil || n == 0 {
			return err
		}
		kinds, err := w.byte()
		if err != nil {
			return err
		}
		return w.values(n, depth, kinds>>4, kinds&0xf)
	case thriftStruct:
		return w.fields(depth + 1)
	}
	return errThrift
}

// values walks through n values of a list, or pairs of values of a map.
func (w *thriftWalker) values(n uint64, depth int, kinds ...byte) error {
	if n > w.elements {
		return errThrift
	}
	w.elements -= n
	if slices.Contains(kinds, thriftStruct) {
		if n > w.structs {
			return errThrift
		}
		w.structs -= n
	}
	for range n {
		for _, kind := range kinds {
			if err := w.value(kind, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
