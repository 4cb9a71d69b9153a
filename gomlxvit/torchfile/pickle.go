package torchfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Tuple is Python's tuple, *List its list (and set), *Dict its dictionary, *Namespace an argparse.Namespace. None is nil;
// the rest are bool, int64, *big.Int, float64, string, []byte and *Tensor.
type Tuple []any

// List is a list.
type List struct{ Items []any }

// Dict is a dictionary, in its order.
type Dict struct {
	Keys, Values []any
	byText       map[string]int // index of the keys that are texts
}

// Get returns the value of a key that is a text.
func (d *Dict) Get(key string) (value any, ok bool) {
	i, ok := d.byText[key]
	if !ok {
		return nil, false
	}
	return d.Values[i], true
}

func (d *Dict) set(key, value any) error {
	switch key := key.(type) {
	case string:
		if i, ok := d.byText[key]; ok {
			d.Values[i] = value
			return nil
		}
		if d.byText == nil {
			d.byText = make(map[string]int)
		}
		d.byText[key] = len(d.Keys)
	case nil, bool, int64, float64, Tuple, []byte, *big.Int:
	default:
		return fmt.Errorf("%w: a key that is %T", errPickle, key)
	}
	d.Keys, d.Values = append(d.Keys, key), append(d.Values, value)
	return nil
}

// Namespace is an argparse.Namespace: attributes by name, nil for none.
type Namespace struct{ Attributes *Dict }

// global is a class or function that a pickle names, one of those that are known.
type global string

// mark is what MARK leaves on the stack.
type mark struct{}

var (
	errPickle = errors.New("not a sound pickle")
	errCut    = errors.New("the file is cut short")
)

// RefusedError says that a pickle asks for a class or a function that is not built.
type RefusedError struct{ Name string }

// Error implements error.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the pickle asks for %.100q, which is refused: only tensors, containers, numbers, texts and argparse.Namespace are built, and nothing in a file is run; save the model's state_dict() alone", e.Name)
}

// What bounds the work that a pickle makes. Numbers lie outside of it, so that the largest known have less than one megabyte.
const (
	maxPickle = 8 << 20 // bytes
	maxCopied = 1 << 22 // values and bytes that calls copy, together
	maxLine   = 1 << 10 // bytes of a name that ends with its line
)

// machine runs the opcodes of a pickle. Nothing but values is made: what a global stands for is decided by call.
type machine struct {
	r     *bufio.Reader
	left  int64 // bytes that may still be read
	read  int64
	stack []any
	memo  map[uint64]any

	// storage gives what a persistent id names, and call the result of calling a known global.
	storage func(id Tuple) (any, error)
	call    func(name global, args Tuple) (any, error)
	known   func(name global) bool
}

// run reads one pickle from r, of which size bytes are left, and returns its value and its length.
func (m *machine) run(r io.Reader, size int64) (value any, length int64, err error) {
	m.r, m.left = bufio.NewReader(r), min(size, maxPickle)
	m.read, m.stack, m.memo = 0, nil, make(map[uint64]any)
	for {
		op, err := m.byte()
		if err != nil {
			return nil, 0, err
		}
		if op == '.' {
			value, err := m.pop()
			return value, m.read, err
		}
		if err := m.step(op); err != nil {
			return nil, 0, err
		}
	}
}

func (m *machine) byte() (byte, error) {
	raw, err := m.bytes(1)
	if err != nil {
		return 0, err
	}
	return raw[0], nil
}

// bytes reads n bytes. No more is allocated than the file has.
func (m *machine) bytes(n uint64) ([]byte, error) {
	if n > uint64(m.left) {
		if m.left+m.read >= maxPickle {
			return nil, fmt.Errorf("%w: longer than %d MB without its tensors", errPickle, maxPickle>>20)
		}
		return nil, errCut
	}
	raw := make([]byte, n)
	if _, err := io.ReadFull(m.r, raw); err != nil {
		return nil, fmt.Errorf("%w: %w", errCut, err)
	}
	m.left -= int64(n)
	m.read += int64(n)
	return raw, nil
}

// number reads an unsigned number of n bytes, little-endian.
func (m *machine) number(n int) (uint64, error) {
	raw, err := m.bytes(uint64(n))
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	copy(wide[:], raw)
	return binary.LittleEndian.Uint64(wide[:]), nil
}

// counted reads a number of n bytes and as many bytes as it says.
func (m *machine) counted(n int) ([]byte, error) {
	length, err := m.number(n)
	if err != nil {
		return nil, err
	}
	return m.bytes(length)
}

func (m *machine) line() (string, error) {
	var line []byte
	for len(line) <= maxLine {
		c, err := m.byte()
		if err != nil {
			return "", err
		}
		if c == '\n' {
			return string(line), nil
		}
		line = append(line, c)
	}
	return "", fmt.Errorf("%w: a line of more than %d bytes", errPickle, maxLine)
}

func (m *machine) push(value any) { m.stack = append(m.stack, value) }

func (m *machine) pop() (any, error) {
	if len(m.stack) == 0 {
		return nil, fmt.Errorf("%w: nothing is left on the stack", errPickle)
	}
	value := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	if _, ok := value.(mark); ok {
		return nil, fmt.Errorf("%w: a mark where a value is expected", errPickle)
	}
	return value, nil
}

// top is the value that stays on the stack.
func (m *machine) top() (any, error) {
	value, err := m.pop()
	if err == nil {
		m.push(value)
	}
	return value, err
}

// marked takes what lies above the last mark, and the mark.
func (m *machine) marked() ([]any, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, ok := m.stack[i].(mark); ok {
			items := append([]any(nil), m.stack[i+1:]...)
			m.stack = m.stack[:i]
			return items, nil
		}
	}
	return nil, fmt.Errorf("%w: no mark on the stack", errPickle)
}

// tuple takes the last n values.
func (m *machine) tuple(n int) error {
	items := make(Tuple, n)
	for i := n - 1; i >= 0; i-- {
		var err error
		if items[i], err = m.pop(); err != nil {
			return err
		}
	}
	m.push(items)
	return nil
}

// step runs one opcode. They are named as Python's pickletools names them.
func (m *machine) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		version, err := m.byte()
		if err == nil && version > 5 {
			err = fmt.Errorf("%w: protocol %d", errPickle, version)
		}
		return err
	case 0x95: // FRAME
		_, err := m.number(8)
		return err
	case '(': // MARK
		m.push(mark{})
	case '0': // POP
		if len(m.stack) > 0 && m.stack[len(m.stack)-1] == any(mark{}) {
			m.stack = m.stack[:len(m.stack)-1]
			return nil
		}
		_, err := m.pop()
		return err
	case '1': // POP_MARK
		_, err := m.marked()
		return err
	case '2': // DUP
		value, err := m.top()
		m.push(value)
		return err
	case 'N':
		m.push(nil)
	case 0x88:
		m.push(true)
	case 0x89:
		m.push(false)
	case '}':
		m.push(&Dict{})
	case ']', 0x8f: // EMPTY_LIST, EMPTY_SET
		m.push(&List{})
	case ')':
		m.push(Tuple{})
	case 0x85, 0x86, 0x87:
		return m.tuple(int(op-0x85) + 1)
	case 't', 'l', 'd', 0x91: // TUPLE, LIST, DICT, FROZENSET
		return m.gather(op)
	case 'a', 'e', 0x90: // APPEND, APPENDS, ADDITEMS
		return m.add(op)
	case 's', 'u': // SETITEM, SETITEMS
		return m.set(op)
	case 'q', 'r', 0x94, 'p', 'h', 'j', 'g':
		return m.remember(op)
	case 'c', 0x93, 'R', 0x81, 0x92, 'b', 'Q':
		return m.object(op)
	default:
		return m.scalar(op)
	}
	return nil
}

// gather runs the opcodes that make a container of all above the mark.
func (m *machine) gather(op byte) error {
	items, err := m.marked()
	if err != nil {
		return err
	}
	switch op {
	case 't':
		m.push(Tuple(items))
	case 'd':
		d := &Dict{}
		m.push(d)
		return setAll(d, items)
	default:
		m.push(&List{items})
	}
	return nil
}

func (m *machine) add(op byte) error {
	var items []any
	var err error
	if op == 'a' {
		items = make([]any, 1)
		items[0], err = m.pop()
	} else {
		items, err = m.marked()
	}
	if err != nil {
		return err
	}
	to, err := m.top()
	if err != nil {
		return err
	}
	list, ok := to.(*List)
	if !ok {
		return fmt.Errorf("%w: %T is no list", errPickle, to)
	}
	list.Items = append(list.Items, items...)
	return nil
}

func (m *machine) set(op byte) error {
	var items []any
	var err error
	if op == 's' {
		pair := make([]any, 2)
		for i := 1; i >= 0 && err == nil; i-- {
			pair[i], err = m.pop()
		}
		items = pair
	} else {
		items, err = m.marked()
	}
	if err != nil {
		return err
	}
	to, err := m.top()
	if err != nil {
		return err
	}
	d, ok := to.(*Dict)
	if !ok {
		return fmt.Errorf("%w: %T is no dictionary", errPickle, to)
	}
	return setAll(d, items)
}

func setAll(d *Dict, items []any) error {
	if len(items)%2 != 0 {
		return fmt.Errorf("%w: a key without a value", errPickle)
	}
	for i := 0; i < len(items); i += 2 {
		if err := d.set(items[i], items[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// remember runs the opcodes of the memo.
func (m *machine) remember(op byte) error {
	var key uint64
	var err error
	switch op {
	case 'q', 'h': // BINPUT, BINGET
		key, err = m.number(1)
	case 'r', 'j': // LONG_BINPUT, LONG_BINGET
		key, err = m.number(4)
	case 'p', 'g': // PUT, GET
		var line string
		if line, err = m.line(); err == nil {
			if key, err = strconv.ParseUint(line, 10, 64); err != nil {
				err = fmt.Errorf("%w: memo %.40q", errPickle, line)
			}
		}
	default: // MEMOIZE
		key = uint64(len(m.memo))
	}
	if err != nil {
		return err
	}
	switch op {
	case 'h', 'j', 'g':
		value, ok := m.memo[key]
		if !ok {
			return fmt.Errorf("%w: nothing is remembered as %d", errPickle, key)
		}
		m.push(value)
	default:
		value, err := m.top()
		if err != nil {
			return err
		}
		m.memo[key] = value
	}
	return nil
}

// object runs the opcodes that would call Python.
func (m *machine) object(op byte) error {
	switch op {
	case 'c': // GLOBAL
		module, err := m.line()
		if err != nil {
			return err
		}
		name, err := m.line()
		if err != nil {
			return err
		}
		return m.global(module, name)
	case 0x93: // STACK_GLOBAL
		if err := m.tuple(2); err != nil {
			return err
		}
		pair := m.stack[len(m.stack)-1].(Tuple)
		m.stack = m.stack[:len(m.stack)-1]
		module, okModule := pair[0].(string)
		name, okName := pair[1].(string)
		if !okModule || !okName {
			return fmt.Errorf("%w: the name of a class is no text", errPickle)
		}
		return m.global(module, name)
	case 'Q': // BINPERSID
		id, err := m.pop()
		if err != nil {
			return err
		}
		tuple, ok := id.(Tuple)
		if !ok {
			return fmt.Errorf("%w: a persistent id that is %T", errPickle, id)
		}
		value, err := m.storage(tuple)
		m.push(value)
		return err
	case 'b': // BUILD
		return m.build()
	}
	if op == 0x92 { // NEWOBJ_EX
		if keywords, err := m.pop(); err != nil {
			return err
		} else if d, ok := keywords.(*Dict); !ok || len(d.Keys) > 0 {
			return fmt.Errorf("%w: arguments by name", errPickle)
		}
	}
	if err := m.tuple(2); err != nil { // REDUCE, NEWOBJ
		return err
	}
	pair := m.stack[len(m.stack)-1].(Tuple)
	m.stack = m.stack[:len(m.stack)-1]
	name, okName := pair[0].(global)
	args, okArgs := pair[1].(Tuple)
	if !okName || !okArgs {
		return fmt.Errorf("%w: %T is called", errPickle, pair[0])
	}
	value, err := m.call(name, args)
	m.push(value)
	return err
}

func (m *machine) global(module, name string) error {
	full := global(module + "." + name)
	if !m.known(full) {
		return &RefusedError{string(full)}
	}
	m.push(full)
	return nil
}

// build gives an object its state: attributes, which are kept of a Namespace and of nothing else.
func (m *machine) build() error {
	state, err := m.pop()
	if err != nil {
		return err
	}
	to, err := m.top()
	if err != nil {
		return err
	}
	switch to := to.(type) {
	case *Namespace:
		attributes, ok := state.(*Dict)
		if !ok || to.Attributes != nil {
			return fmt.Errorf("%w: the state of a Namespace is %T, or there twice", errPickle, state)
		}
		to.Attributes = attributes // not copied, for many may share a large one
	case *numberType:
		if tuple, ok := state.(Tuple); !ok || len(tuple) < 2 || tuple[1] == ">" {
			return fmt.Errorf("%w: a number of NumPy in another byte order than little", errPickle)
		}
	case *Dict, *Tensor: // such as _metadata of a state dict
	default:
		return fmt.Errorf("%w: %T has no state", errPickle, to)
	}
	return nil
}

// scalar runs the opcodes of numbers and texts.
func (m *machine) scalar(op byte) error {
	switch op {
	case 'K', 'M': // BININT1, BININT2
		n, err := m.number(1 + int(op-'K')/2)
		m.push(int64(n))
		return err
	case 'J': // BININT
		n, err := m.number(4)
		m.push(int64(int32(n)))
		return err
	case 0x8a, 0x8b: // LONG1, LONG4
		raw, err := m.counted(1 + 3*int(op-0x8a))
		if err == nil {
			m.push(long(raw))
		}
		return err
	case 'G': // BINFLOAT
		raw, err := m.bytes(8)
		if err == nil {
			m.push(math.Float64frombits(binary.BigEndian.Uint64(raw)))
		}
		return err
	case 'X', 0x8c, 0x8d, 'T', 'U': // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8, and Python 2's BINSTRING, SHORT_BINSTRING
		raw, err := m.counted(map[byte]int{'X': 4, 0x8c: 1, 0x8d: 8, 'T': 4, 'U': 1}[op])
		m.push(string(raw))
		return err
	case 'B', 'C', 0x8e, 0x96: // BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8
		raw, err := m.counted(map[byte]int{'B': 4, 'C': 1, 0x8e: 8, 0x96: 8}[op])
		m.push(raw)
		return err
	case 'I', 'L', 'F', 'V': // INT, LONG, FLOAT, UNICODE
		line, err := m.line()
		if err != nil {
			return err
		}
		value, err := written(op, line)
		m.push(value)
		return err
	}
	return fmt.Errorf("%w: opcode %#x", errPickle, op)
}

// long reads an integer of any length, two's complement. One that fits is an int64.
func long(raw []byte) any {
	big1 := new(big.Int)
	reversed := make([]byte, len(raw))
	for i, b := range raw {
		reversed[len(raw)-1-i] = b
	}
	big1.SetBytes(reversed)
	if len(raw) > 0 && raw[len(raw)-1] >= 0x80 {
		big1.Sub(big1, new(big.Int).Lsh(big.NewInt(1), uint(8*len(raw))))
	}
	if big1.IsInt64() {
		return big1.Int64()
	}
	return big1
}

// written reads a value that is written as text.
func written(op byte, line string) (any, error) {
	switch {
	case op == 'V':
		return line, nil
	case op == 'I' && (line == "00" || line == "01"):
		return line == "01", nil
	case op == 'F':
		if v, err := strconv.ParseFloat(line, 64); err == nil {
			return v, nil
		}
	default:
		if v, err := strconv.ParseInt(strings.TrimSuffix(line, "L"), 10, 64); err == nil {
			return v, nil
		}
	}
	return nil, fmt.Errorf("%w: number %.40q", errPickle, line)
}
