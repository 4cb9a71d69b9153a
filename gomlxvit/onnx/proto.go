package onnx

import (
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// What is read of an ONNX file, and written back after repairs: the messages of onnx.proto with the fields that are needed
// here. Sub-graphs, functions, sparse tensors and training information are noted, so that they can be refused.

// file is a ModelProto.
type file struct {
	irVersion    uint64
	producer     string
	opsets       map[string]int64
	functions    int
	graph        *graphProto
	metadata     map[string]string
	trainingInfo bool
}

// graphProto is a GraphProto.
type graphProto struct {
	name            string
	nodes           []*node
	initializers    []*tensor
	inputs, outputs []*valueInfo
	sparse          bool
}

// node is a NodeProto.
type node struct {
	name, op, domain string
	inputs, outputs  []string
	attributes       []*attribute
	layer            string // words about the layer that it is in, for messages
}

// attribute is an AttributeProto.
type attribute struct {
	name    string
	kind    int64 // AttributeProto.AttributeType
	f       float32
	i       int64
	s       string
	t       *tensor
	floats  []float32
	ints    []int64
	strings []string
	graph   bool // it holds sub-graphs
	other   bool // it holds something that is not read here
}

// The kinds of attributes.
const (
	kindFloat  = 1
	kindInt    = 2
	kindString = 3
	kindTensor = 4
	kindFloats = 6
	kindInts   = 7
)

// tensor is a TensorProto.
type tensor struct {
	name     string
	dims     []int64
	dataType int64
	raw      []byte
	floats   []float32
	int32s   []int32
	int64s   []int64
	doubles  []float64
	uint64s  []uint64
	external map[string]string // location, offset, length
	location int64             // 1: external
	strange  bool              // strings or a segment
}

// valueInfo is a ValueInfoProto of a tensor.
type valueInfo struct {
	name     string
	elemType int64
	hasShape bool
	dims     []dimension
	tensor   bool
}

// dimension is fixed, or has a name or nothing.
type dimension struct {
	value int64
	known bool
	param string
}

// fields walks over the fields of a message.
func fields(data []byte, visit func(number protowire.Number, kind protowire.Type, value []byte, varint uint64) error) error {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		var value []byte
		var varint uint64
		switch kind {
		case protowire.VarintType:
			varint, n = protowire.ConsumeVarint(data)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(data)
			varint = uint64(v)
		case protowire.Fixed64Type:
			varint, n = protowire.ConsumeFixed64(data)
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(data)
		default:
			n = protowire.ConsumeFieldValue(number, kind, data)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		if err := visit(number, kind, value, varint); err != nil {
			return err
		}
	}
	return nil
}

// repeated reads a repeated number, packed or not; one that is not packed has been read.
func repeated[T any](consume func([]byte) (T, int), kind protowire.Type, packed []byte, single T, add func(T)) error {
	if kind != protowire.BytesType {
		add(single)
		return nil
	}
	for len(packed) > 0 {
		v, n := consume(packed)
		if n < 0 {
			return protowire.ParseError(n)
		}
		add(v)
		packed = packed[n:]
	}
	return nil
}

func parseFile(data []byte) (*file, error) {
	f := &file{opsets: make(map[string]int64), metadata: make(map[string]string)}
	err := fields(data, func(number protowire.Number, kind protowire.Type, value []byte, varint uint64) error {
		var err error
		switch number {
		case 1:
			f.irVersion = varint
		case 2:
			f.producer = string(value)
		case 7:
			if f.graph == nil {
				f.graph = &graphProto{}
			}
			err = f.graph.parse(value)
		case 8:
			var domain string
			var version int64
			err = fields(value, func(number protowire.Number, _ protowire.Type, value []byte, varint uint64) error {
				switch number {
				case 1:
					domain = string(value)
				case 2:
					version = int64(varint)
				}
				return nil
			})
			if domain == "ai.onnx" {
				domain = ""
			}
			f.opsets[domain] = version
		case 14:
			key, text, e := parseEntry(value)
			f.metadata[key], err = text, e
		case 20:
			f.trainingInfo = true
		case 25:
			f.functions++
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("not an ONNX file, or one that is damaged: %w", err)
	}
	if f.graph == nil {
		return nil, fmt.Errorf("not an ONNX file, or one that is damaged: it holds no graph")
	}
	return f, nil
}

func parseEntry(data []byte) (key, text string, err error) {
	err = fields(data, func(number protowire.Number, _ protowire.Type, value []byte, _ uint64) error {
		switch number {
		case 1:
			key = string(value)
		case 2:
			text = string(value)
		}
		return nil
	})
	return key, text, err
}

func (g *graphProto) parse(data []byte) error {
	return fields(data, func(number protowire.Number, _ protowire.Type, value []byte, _ uint64) error {
		switch number {
		case 1:
			n := &node{}
			g.nodes = append(g.nodes, n)
			return n.parse(value)
		case 2:
			g.name = string(value)
		case 5:
			t := &tensor{}
			g.initializers = append(g.initializers, t)
			return t.parse(value)
		case 11, 12:
			v := &valueInfo{}
			if number == 11 {
				g.inputs = append(g.inputs, v)
			} else {
				g.outputs = append(g.outputs, v)
			}
			return v.parse(value)
		case 15:
			g.sparse = true
		}
		return nil
	})
}

func (n *node) parse(data []byte) error {
	return fields(data, func(number protowire.Number, _ protowire.Type, value []byte, _ uint64) error {
		switch number {
		case 1:
			n.inputs = append(n.inputs, string(value))
		case 2:
			n.outputs = append(n.outputs, string(value))
		case 3:
			n.name = string(value)
		case 4:
			n.op = string(value)
		case 5:
			a := &attribute{}
			n.attributes = append(n.attributes, a)
			return a.parse(value)
		case 7:
			n.domain = string(value)
			if n.domain == "ai.onnx" {
				n.domain = ""
			}
		case 9:
			key, text, err := parseEntry(value)
			if err != nil {
				return err
			}
			if key == "pkg.torch.onnx.name_scopes" {
				if scope := lastScope(text); scope != "" {
					n.layer = " in " + scope
				}
			}
		}
		return nil
	})
}

// lastScope is the innermost module of a list like [”, 'blocks.0', 'blocks.0.attn', 'softmax'], of which the last is the
// operation.
func lastScope(text string) string {
	scopes := strings.Split(strings.Trim(text, "[]"), ",")
	if len(scopes) < 2 {
		return ""
	}
	return strings.Trim(scopes[len(scopes)-2], " '\"")
}

func (a *attribute) parse(data []byte) error {
	return fields(data, func(number protowire.Number, kind protowire.Type, value []byte, varint uint64) error {
		switch number {
		case 1:
			a.name = string(value)
		case 2:
			a.f = math.Float32frombits(uint32(varint))
		case 3:
			a.i = int64(varint)
		case 4:
			a.s = string(value)
		case 5:
			a.t = &tensor{}
			return a.t.parse(value)
		case 6, 11:
			a.graph = true
		case 7:
			return repeated(protowire.ConsumeFixed32, kind, value, uint32(varint), func(v uint32) { a.floats = append(a.floats, math.Float32frombits(v)) })
		case 8:
			return repeated(protowire.ConsumeVarint, kind, value, varint, func(v uint64) { a.ints = append(a.ints, int64(v)) })
		case 9:
			a.strings = append(a.strings, string(value))
		case 10, 14, 15, 22, 23:
			a.other = true
		case 20:
			a.kind = int64(varint)
		}
		return nil
	})
}

func (t *tensor) parse(data []byte) error {
	return fields(data, func(number protowire.Number, kind protowire.Type, value []byte, varint uint64) error {
		switch number {
		case 1:
			return repeated(protowire.ConsumeVarint, kind, value, varint, func(v uint64) { t.dims = append(t.dims, int64(v)) })
		case 2:
			t.dataType = int64(varint)
		case 3, 6:
			t.strange = true
		case 4:
			return repeated(protowire.ConsumeFixed32, kind, value, uint32(varint), func(v uint32) { t.floats = append(t.floats, math.Float32frombits(v)) })
		case 5:
			return repeated(protowire.ConsumeVarint, kind, value, varint, func(v uint64) { t.int32s = append(t.int32s, int32(v)) })
		case 7:
			return repeated(protowire.ConsumeVarint, kind, value, varint, func(v uint64) { t.int64s = append(t.int64s, int64(v)) })
		case 8:
			t.name = string(value)
		case 9:
			t.raw = value
		case 10:
			return repeated(protowire.ConsumeFixed64, kind, value, varint, func(v uint64) { t.doubles = append(t.doubles, math.Float64frombits(v)) })
		case 11:
			return repeated(protowire.ConsumeVarint, kind, value, varint, func(v uint64) { t.uint64s = append(t.uint64s, v) })
		case 13:
			if t.external == nil {
				t.external = make(map[string]string)
			}
			key, text, err := parseEntry(value)
			t.external[key] = text
			return err
		case 14:
			t.location = int64(varint)
		}
		return nil
	})
}

func (v *valueInfo) parse(data []byte) error {
	return fields(data, func(number protowire.Number, _ protowire.Type, value []byte, _ uint64) error {
		switch number {
		case 1:
			v.name = string(value)
		case 2:
			return fields(value, func(number protowire.Number, _ protowire.Type, value []byte, _ uint64) error {
				if number != 1 {
					return nil
				}
				v.tensor = true
				return fields(value, func(number protowire.Number, _ protowire.Type, value []byte, varint uint64) error {
					switch number {
					case 1:
						v.elemType = int64(varint)
					case 2:
						v.hasShape = true
						return fields(value, func(number protowire.Number, _ protowire.Type, value []byte, _ uint64) error {
							if number != 1 {
								return nil
							}
							var d dimension
							err := fields(value, func(number protowire.Number, _ protowire.Type, value []byte, varint uint64) error {
								switch number {
								case 1:
									d.value, d.known = int64(varint), true
								case 2:
									d.param = string(value)
								}
								return nil
							})
							v.dims = append(v.dims, d)
							return err
						})
					}
					return nil
				})
			})
		}
		return nil
	})
}

// Writing.

func appendString(b []byte, number protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), s)
}

func appendBytes(b []byte, number protowire.Number, data []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), data)
}

func appendVarint(b []byte, number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), v)
}

func (f *file) encode() []byte {
	var b []byte
	b = appendVarint(b, 1, f.irVersion)
	b = appendBytes(b, 7, f.graph.encode())
	for domain, version := range f.opsets {
		entry := appendVarint(appendString(nil, 1, domain), 2, uint64(version))
		b = appendBytes(b, 8, entry)
	}
	return b
}

func (g *graphProto) encode() []byte {
	var b []byte
	for _, n := range g.nodes {
		b = appendBytes(b, 1, n.encode())
	}
	b = appendString(b, 2, g.name)
	for _, t := range g.initializers {
		b = appendBytes(b, 5, t.encode())
	}
	for _, v := range g.inputs {
		b = appendBytes(b, 11, v.encode())
	}
	for _, v := range g.outputs {
		b = appendBytes(b, 12, v.encode())
	}
	return b
}

func (n *node) encode() []byte {
	var b []byte
	for _, s := range n.inputs {
		b = appendString(b, 1, s)
	}
	for _, s := range n.outputs {
		b = appendString(b, 2, s)
	}
	b = appendString(appendString(b, 3, n.name), 4, n.op)
	for _, a := range n.attributes {
		b = appendBytes(b, 5, a.encode())
	}
	if n.domain != "" {
		b = appendString(b, 7, n.domain)
	}
	return b
}

func (a *attribute) encode() []byte {
	b := appendString(nil, 1, a.name)
	switch a.kind {
	case kindFloat:
		b = protowire.AppendFixed32(protowire.AppendTag(b, 2, protowire.Fixed32Type), math.Float32bits(a.f))
	case kindInt:
		b = appendVarint(b, 3, uint64(a.i))
	case kindString:
		b = appendString(b, 4, a.s)
	case kindTensor:
		if a.t != nil {
			b = appendBytes(b, 5, a.t.encode())
		}
	case kindFloats:
		for _, f := range a.floats {
			b = protowire.AppendFixed32(protowire.AppendTag(b, 7, protowire.Fixed32Type), math.Float32bits(f))
		}
	case kindInts:
		for _, i := range a.ints {
			b = appendVarint(b, 8, uint64(i))
		}
	}
	return appendVarint(b, 20, uint64(a.kind))
}

func (t *tensor) encode() []byte {
	var b []byte
	for _, d := range t.dims {
		b = appendVarint(b, 1, uint64(d))
	}
	b = appendVarint(b, 2, uint64(t.dataType))
	b = appendString(b, 8, t.name)
	if t.raw != nil || len(t.floats)+len(t.int32s)+len(t.int64s)+len(t.doubles)+len(t.uint64s) == 0 {
		return appendBytes(b, 9, t.raw)
	}
	for _, v := range t.floats {
		b = protowire.AppendFixed32(protowire.AppendTag(b, 4, protowire.Fixed32Type), math.Float32bits(v))
	}
	for _, v := range t.int32s {
		b = appendVarint(b, 5, uint64(int64(v)))
	}
	for _, v := range t.int64s {
		b = appendVarint(b, 7, uint64(v))
	}
	for _, v := range t.doubles {
		b = protowire.AppendFixed64(protowire.AppendTag(b, 10, protowire.Fixed64Type), math.Float64bits(v))
	}
	for _, v := range t.uint64s {
		b = appendVarint(b, 11, v)
	}
	return b
}

func (v *valueInfo) encode() []byte {
	var shape []byte
	for _, d := range v.dims {
		var dim []byte
		switch {
		case d.known:
			dim = appendVarint(nil, 1, uint64(d.value))
		case d.param != "":
			dim = appendString(nil, 2, d.param)
		}
		shape = appendBytes(shape, 1, dim)
	}
	typed := appendVarint(nil, 1, uint64(v.elemType))
	if v.hasShape {
		typed = appendBytes(typed, 2, shape)
	}
	return appendBytes(appendString(nil, 1, v.name), 2, appendBytes(nil, 1, typed))
}
