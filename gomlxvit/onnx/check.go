package onnx

import (
	"fmt"
	"slices"
	"strings"
)

// An import is never trusted. supported lists the operators of which it is known that they are computed as ONNX says, each
// with the attributes that they may have; repairs brings others into this form, and what is then not in the list is refused
// by name.
var supported = map[string][]string{
	"Abs": nil, "Add": nil, "And": nil, "BatchNormalization": {"epsilon", "momentum"}, "Cast": {"to"}, "Ceil": nil,
	"Clip": nil, "Concat": {"axis"}, "Constant": {"value"}, "ConstantOfShape": {"value"},
	"Conv": {"dilations", "group", "kernel_shape", "pads", "strides"}, "Cos": nil, "Div": nil, "Einsum": {"equation"},
	"Equal": nil, "Erf": nil, "Exp": nil, "Expand": nil, "FastGelu": nil, "Flatten": {"axis"}, "Floor": nil, "Gather": {"axis"},
	"GatherElements": {"axis"}, "GatherND": nil, "Gelu": nil, "Gemm": {"alpha", "beta", "transA", "transB"},
	"GlobalAveragePool": nil, "Greater": nil, "GreaterOrEqual": nil, "HardSwish": nil, "Identity": nil,
	"LayerNormalization": {"axis", "epsilon"}, "Less": nil, "LessOrEqual": nil, "Log": nil, "MatMul": nil, "Max": nil, "Min": nil,
	"Mod": {"fmod"}, "Mul": nil, "Neg": nil, "Not": nil, "Or": nil, "Pad": {"mode"}, "Pow": nil, "Range": nil, "Reciprocal": nil,
	"ReduceL2": {"axes", "keepdims", "noop_with_empty_axes"}, "ReduceMax": {"axes", "keepdims", "noop_with_empty_axes"},
	"ReduceMean": {"axes", "keepdims", "noop_with_empty_axes"}, "ReduceMin": {"axes", "keepdims", "noop_with_empty_axes"},
	"ReduceSum": {"axes", "keepdims", "noop_with_empty_axes"}, "Relu": nil, "Reshape": nil, "Shape": {"start", "end"},
	"Sigmoid": nil, "Sign": nil, "Sin": nil, "Slice": nil, "Softmax": {"axis"}, "Split": {"axis", "num_outputs"}, "Sqrt": nil, "Squeeze": nil,
	"Sub": nil, "Tanh": nil, "Tile": nil, "Transpose": {"perm"}, "Unsqueeze": nil, "Where": nil, "Xor": nil,
}

// ignored are attributes that say nothing about what is computed by the files that are read.
var ignored = []string{"layout", "saturate"}

// check refuses nodes that are not known to be computed right.
func (g *graphProto) check() error {
	for _, n := range g.nodes {
		attributes, ok := supported[n.op]
		if !ok || n.domain != "" {
			return fmt.Errorf("%s: this operator is not supported", n)
		}
		for _, a := range n.attributes {
			if !slices.Contains(attributes, a.name) {
				return fmt.Errorf("%s: its attribute %q, %s, is not supported", n, a.name, a)
			}
		}
	}
	return nil
}

// String names a node for messages: node "/blocks.0/attn/MatMul" (MatMul), with the layer that it is in where the name does not
// say it.
func (n *node) String() string {
	op := n.op
	if n.domain != "" {
		op = n.domain + "." + op
	}
	name := n.name
	if name == "" && len(n.outputs) > 0 {
		name = n.outputs[0]
	}
	return fmt.Sprintf("node %q (%s)%s", name, op, n.layer)
}

// String is the value of an attribute for messages.
func (a *attribute) String() string {
	switch a.kind {
	case kindFloat:
		return fmt.Sprint(a.f)
	case kindInt:
		return fmt.Sprint(a.i)
	case kindString:
		return fmt.Sprintf("%q", a.s)
	case kindFloats:
		return fmt.Sprint(a.floats)
	case kindInts:
		return fmt.Sprint(a.ints)
	}
	return "which is no number or text"
}

// sort brings the nodes into an order in which each follows what it reads, and drops those that the outputs do not need.
func (g *graphProto) sort() error {
	made := make(map[string]*node)
	available := make(map[string]bool)
	for _, v := range g.inputs {
		available[v.name] = true
	}
	for _, t := range g.initializers {
		available[t.name] = true
	}
	for _, n := range g.nodes {
		for _, o := range n.outputs {
			if o == "" {
				continue
			}
			if made[o] != nil || available[o] {
				return fmt.Errorf("%s: its result %q is made twice", n, o)
			}
			made[o] = n
		}
	}
	const entered, left = 1, 2
	state := make(map[*node]int)
	var sorted []*node
	// A stack of our own: a file may be a chain as long as it has nodes.
	type frame struct {
		n    *node
		next int
	}
	for _, output := range g.outputs {
		if available[output.name] {
			continue
		}
		first := made[output.name]
		if first == nil {
			return fmt.Errorf("the output %q is not computed by any node", output.name)
		}
		if state[first] != 0 {
			continue
		}
		stack := []frame{{n: first}}
		state[first] = entered
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == len(top.n.inputs) {
				state[top.n] = left
				sorted = append(sorted, top.n)
				stack = stack[:len(stack)-1]
				continue
			}
			name := top.n.inputs[top.next]
			top.next++
			if name == "" || available[name] {
				continue
			}
			before := made[name]
			switch {
			case before == nil:
				return fmt.Errorf("%s reads %q, which nothing computes", top.n, name)
			case state[before] == entered:
				return fmt.Errorf("%s depends on itself: the graph has a cycle", before)
			case state[before] == 0:
				state[before] = entered
				stack = append(stack, frame{n: before})
			}
		}
	}
	g.nodes = sorted
	return nil
}

// verify refuses what no reading of the file can handle.
func (f *file) verify() error {
	g := f.graph
	if f.functions > 0 {
		return fmt.Errorf("it defines functions of its own, which is not supported; inline them when exporting")
	}
	if g.sparse {
		return fmt.Errorf("it has sparse tensors, which are not supported")
	}
	if len(g.nodes) > maxNodes {
		return fmt.Errorf("it has %d nodes, more than the %d that are supported", len(g.nodes), maxNodes)
	}
	if len(g.outputs) == 0 {
		return fmt.Errorf("it has no output")
	}
	if v := f.opsets[""]; v != 0 && (v < 9 || v > 24) {
		return fmt.Errorf("its operators are of version %d; versions 9 to 24 are supported", v)
	}
	for _, n := range g.nodes {
		for _, a := range n.attributes {
			if a.graph || a.other {
				return fmt.Errorf("%s holds a graph or another part (%s) that is not supported", n, a.name)
			}
		}
		if len(n.outputs) == 0 {
			return fmt.Errorf("%s has no result", n)
		}
	}
	return nil
}

// place says of each node after which layer it comes, for messages, where neither the exporter nor the node's name does. The
// nodes are in order, and weights are named.
func (g *graphProto) place(weights map[string]bool) {
	last := make(map[string]string) // the layer before a value
	for _, n := range g.nodes {
		layer := ""
		for _, name := range n.inputs {
			if weights[name] {
				layer = name
				break
			}
			if layer == "" {
				layer = last[name]
			}
		}
		for _, o := range n.outputs {
			last[o] = layer
		}
		if module := strings.LastIndex(layer, "."); n.layer == "" && module > 0 && !strings.Contains(n.name, "/") {
			n.layer = ", after " + layer[:module]
		}
	}
}
