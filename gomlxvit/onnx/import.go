// Package onnx reads ONNX files of vision models as GoMLX graphs.
//
// The graph is built by github.com/gomlx/onnx-gomlx. Before that a file is checked against a list of operators and
// attributes that are known to be computed right, and repaired where they are not (repair.go); everything else is refused by
// the name of its node. Files are hostile until the opposite is shown: sizes, cycles and missing data are checked first.
package onnx

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/bits"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
	"github.com/gomlx/onnx-gomlx/onnx/parser"
)

// Graph is an ONNX file whose graph can be built. Weights are inputs of the graph.
type Graph struct {
	// Hash is the SHA-256 of the file and of the data beside it, in hexadecimal.
	Hash string
	// Input is the name of the pixels, Outputs are those of the results, as the file has them.
	Input   string
	Outputs []string
	// Batch is the number of pictures that the file is fixed to, 0 if it takes any.
	Batch int
	// Height and Width are those of the pictures, 0 if the file takes any.
	Height, Width int
	// Weights are the tensors that the graph reads, in the order of the file.
	Weights []Weight

	file    *file
	encoded []byte
}

// Weight is a tensor of a file, in float32.
type Weight struct {
	Name string
	Dims []int
	Data []float32
}

// Load reads the file at path and prepares its graph. size is the side of the pictures for files that do not say it, 0 for
// none.
func Load(path string, size int) (*Graph, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	g, err := Parse(data, filepath.Dir(path), size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// Parse prepares the graph of a file's bytes. dir is where data lies that is not in the file, "" for nowhere; size is as in
// [Load].
func Parse(data []byte, dir string, size int) (*Graph, error) {
	f, err := parseFile(data)
	if err != nil {
		return nil, err
	}
	if err := f.verify(); err != nil {
		return nil, err
	}
	sum := sha256.New()
	sum.Write(data)
	g := &Graph{file: f}
	if err := g.takeTensors(dir, sum.Write); err != nil {
		return nil, err
	}
	if err := f.graph.sort(); err != nil {
		return nil, err
	}
	if err := g.takeInput(size); err != nil {
		return nil, err
	}
	weights := make(map[string]bool)
	for _, w := range g.Weights {
		weights[w.Name] = true
	}
	f.graph.place(weights)
	opset := f.opsets[""]
	if opset == 0 {
		opset = 1
	}
	r := &repairer{opset: opset}
	r.shape = func(name string) ([]int, error) { return g.scratchShape(r, name) }
	r.value = func(name string) ([]int64, bool, error) { return g.scratchValue(r, name) }
	if err := r.run(f.graph); err != nil {
		return nil, err
	}
	if err := f.graph.check(); err != nil {
		return nil, err
	}
	if err := f.graph.sort(); err != nil { // repairs leave nodes behind that nothing reads
		return nil, err
	}
	g.dropWeights()
	f.opsets = map[string]int64{"": max(opset, 13)}
	g.encoded = f.encode()
	g.Hash = hex.EncodeToString(sum.Sum(nil))
	for _, v := range f.graph.outputs {
		g.Outputs = append(g.Outputs, v.name)
	}
	return g, nil
}

// takeTensors resolves all tensors, floats in float32. What is not a single number becomes an input of the graph, the rest
// constants.
func (g *Graph) takeTensors(dir string, hash func([]byte) (int, error)) error {
	var total int64
	resolve := func(t *tensor) error {
		n, err := t.elements()
		if err != nil {
			return err
		}
		if total += n; total > 4*maxElements {
			return fmt.Errorf("the tensors of the file are larger than is supported")
		}
		external := t.location == 1
		if err := t.resolve(dir); err != nil {
			return err
		}
		if external {
			if _, err := hash(t.raw); err != nil {
				return err
			}
		}
		return nil
	}
	f := g.file.graph
	var constants []*node
	names := make(map[string]bool)
	for _, t := range f.initializers {
		if t.name == "" || names[t.name] {
			return fmt.Errorf("the tensor %q is there twice", t.name)
		}
		names[t.name] = true
		if err := resolve(t); err != nil {
			return err
		}
		elements, err := t.elements()
		if err != nil {
			return err
		}
		if isFloat(t.dataType) && elements > 1 {
			values, err := t.float32s()
			if err != nil {
				return err
			}
			dims := make([]int, len(t.dims))
			for i, d := range t.dims {
				dims[i] = int(d)
			}
			g.Weights = append(g.Weights, Weight{Name: t.name, Dims: dims, Data: values})
			continue
		}
		if isFloat(t.dataType) {
			values, err := t.float32s()
			if err != nil {
				return err
			}
			t = &tensor{name: t.name, dims: t.dims, dataType: typeFloat, raw: float32Tensor(values).raw}
		}
		t.raw = bytes.Clone(t.raw) // so that the file itself can be forgotten
		constants = append(constants, &node{
			name: t.name, op: "Constant", outputs: []string{t.name},
			attributes: []*attribute{{name: "value", kind: kindTensor, t: t}},
		})
	}
	f.initializers = nil
	for _, n := range f.nodes {
		for _, a := range n.attributes {
			if a.t == nil {
				if a.name == "to" && n.op == "Cast" && isFloat(a.i) {
					a.i = typeFloat
				}
				continue
			}
			if err := resolve(a.t); err != nil {
				return fmt.Errorf("%s: %w", n, err)
			}
			a.t.raw = bytes.Clone(a.t.raw)
			if isFloat(a.t.dataType) {
				values, err := a.t.float32s()
				if err != nil {
					return fmt.Errorf("%s: %w", n, err)
				}
				a.t = float32Tensor(values, a.t.dims...)
			}
		}
	}
	// Inputs that have a value are weights of files before version 4 of the format.
	f.inputs = slices.DeleteFunc(f.inputs, func(v *valueInfo) bool { return names[v.name] })
	f.nodes = append(constants, f.nodes...)
	for _, w := range g.Weights {
		v := &valueInfo{name: w.Name, elemType: typeFloat, hasShape: true, tensor: true}
		for _, d := range w.Dims {
			v.dims = append(v.dims, dimension{value: int64(d), known: true})
		}
		f.inputs = append(f.inputs, v)
	}
	return nil
}

// takeInput finds the pixels among the inputs.
func (g *Graph) takeInput(size int) error {
	f := g.file.graph
	used := make(map[string]bool)
	for _, n := range f.nodes {
		for _, name := range n.inputs {
			used[name] = true
		}
	}
	weights := make(map[string]bool)
	for _, w := range g.Weights {
		weights[w.Name] = true
	}
	f.inputs = slices.DeleteFunc(f.inputs, func(v *valueInfo) bool { return !weights[v.name] && !used[v.name] })
	var pixels []*valueInfo
	for _, v := range f.inputs {
		if weights[v.name] {
			continue
		}
		if !v.tensor || !isFloat(v.elemType) || !v.hasShape || len(v.dims) != 4 {
			return fmt.Errorf("its input %q does not take pictures: pixels [batch, 3, height, width] of floats are wanted", v.name)
		}
		v.elemType = typeFloat
		pixels = append(pixels, v)
	}
	if len(pixels) != 1 {
		return fmt.Errorf("it has %d inputs that take pictures instead of one", len(pixels))
	}
	v := pixels[0]
	g.Input = v.name
	for i, d := range v.dims {
		if d.known && (d.value < 1 || d.value > 1<<14) {
			return fmt.Errorf("its input %q has an axis of %d", v.name, d.value)
		}
		switch {
		case !d.known && i > 1:
			v.dims[i] = dimension{value: int64(size), known: size > 0}
		case i == 1 && !(d.known && d.value == 3 || !d.known):
			return fmt.Errorf("its input %q has %d channels instead of 3", v.name, d.value)
		}
	}
	v.dims[1] = dimension{value: 3, known: true}
	g.Batch, g.Height, g.Width = int(v.dims[0].value), int(v.dims[2].value), int(v.dims[3].value)
	if g.Height == 0 || g.Width == 0 {
		return fmt.Errorf("it takes pictures of any size; say which with --size")
	}
	return nil
}

// dropWeights forgets weights that no node reads.
func (g *Graph) dropWeights() {
	used := make(map[string]bool)
	for _, n := range g.file.graph.nodes {
		for _, name := range n.inputs {
			used[name] = true
		}
	}
	for _, v := range g.file.graph.outputs {
		used[v.name] = true
	}
	g.Weights = slices.DeleteFunc(g.Weights, func(w Weight) bool { return !used[w.Name] })
	g.file.graph.inputs = slices.DeleteFunc(g.file.graph.inputs, func(v *valueInfo) bool { return v.name != g.Input && !used[v.name] })
}

// Build adds the graph to that of pixels [batch, 3, height, width] and returns the nodes of the named values. weight gives
// the node of a weight. It panics like all graph-building code.
func (g *Graph) Build(pixels *graph.Node, weight func(name string) *graph.Node, names ...string) []*graph.Node {
	inputs := map[string]*graph.Node{g.Input: pixels}
	for _, w := range g.Weights {
		inputs[w.Name] = weight(w.Name)
	}
	return build(g.encoded, pixels.Graph(), inputs, names)
}

// build has onnx-gomlx convert an encoded file.
func build(encoded []byte, to *graph.Graph, inputs map[string]*graph.Node, names []string) []*graph.Node {
	model, err := parser.Parse(encoded)
	if err != nil {
		panic(err)
	}
	// Its fusions mistake the rank of a bias, and hide what package discover looks for.
	model.DisableFusion()
	return model.CallGraph(nil, to, inputs, names...)
}

// Values are the names of all values that nodes compute, with the node's name and operator for messages.
func (g *Graph) Values() (names []string, described []string) {
	for _, n := range g.file.graph.nodes {
		if n.op == "Constant" {
			continue
		}
		for _, o := range n.outputs {
			if o != "" {
				names = append(names, o)
				described = append(described, n.String())
			}
		}
	}
	return names, described
}

// scratch builds what the nodes done so far compute of a value, with zeros in the place of weights and pixels.
func (g *Graph) scratch(r *repairer, to *graph.Graph, batch int, name string) *graph.Node {
	part := *g.file
	part.opsets = map[string]int64{"": max(r.opset, 13)}
	part.graph = &graphProto{name: "part", nodes: r.done, inputs: g.file.graph.inputs, outputs: []*valueInfo{{name: name, elemType: typeFloat}}}
	if err := part.graph.sort(); err != nil {
		panic(err)
	}
	used := map[string]bool{name: true, g.Input: true}
	for _, n := range part.graph.nodes {
		for _, input := range n.inputs {
			used[input] = true
		}
	}
	part.graph.inputs = slices.DeleteFunc(slices.Clone(part.graph.inputs), func(v *valueInfo) bool { return !used[v.name] })
	inputs := make(map[string]*graph.Node)
	for _, v := range part.graph.inputs {
		dims := make([]int, len(v.dims))
		for i, d := range v.dims {
			dims[i] = int(d.value)
		}
		if v.name == g.Input {
			dims[0] = batch
		}
		inputs[v.name] = graph.BroadcastToDims(graph.ScalarZero(to, dtypes.Float32), dims...)
	}
	return build(part.encode(), to, inputs, []string{name})[0]
}

// someBatch is a batch to try the graph with.
func (g *Graph) someBatch() int {
	if g.Batch > 0 {
		return g.Batch
	}
	return 2
}

// try runs what panics and makes a one-line error of it.
func try(f func()) error {
	if err := exceptions.TryCatch[error](f); err != nil {
		line, _, _ := strings.Cut(err.Error(), "\n")
		return fmt.Errorf("%s", line)
	}
	return nil
}

// scratchBackend computes shapes while a file is read.
func scratchBackend() (compute.Backend, error) { return gobackend.New("") }

func (g *Graph) scratchShape(r *repairer, name string) (dims []int, err error) {
	if name == "" {
		return nil, fmt.Errorf("it lacks an input")
	}
	for _, v := range g.file.graph.inputs {
		if v.name == name {
			for _, d := range v.dims {
				dims = append(dims, int(d.value))
			}
			if name == g.Input {
				dims[0] = g.someBatch()
			}
			return dims, nil
		}
	}
	backend, err := scratchBackend()
	if err != nil {
		return nil, err
	}
	defer backend.Finalize()
	err = try(func() {
		to := graph.NewGraph(backend, "shape")
		defer to.Finalize()
		dims = slices.Clone(g.scratch(r, to, g.someBatch(), name).Shape().Dimensions)
	})
	if err != nil {
		return nil, fmt.Errorf("the shape of %q cannot be found: %w", name, err)
	}
	return dims, nil
}

func (g *Graph) scratchValue(r *repairer, name string) (values []int64, fixed bool, err error) {
	if name == "" {
		return nil, false, fmt.Errorf("it lacks an input")
	}
	for i := len(r.done) - 1; i >= 0; i-- {
		n := r.done[i]
		if n.outputs[0] == name && n.op == "Constant" && n.attributes[0].t != nil {
			if values, err := n.attributes[0].t.int64Values(); err == nil {
				return values, true, nil
			}
			break
		}
	}
	of := func(batch int) (values []int64, err error) {
		backend, err := scratchBackend()
		if err != nil {
			return nil, err
		}
		defer backend.Finalize()
		err = try(func() {
			exec := graph.MustNewExec(backend, func(to *graph.Graph) *graph.Node {
				n := g.scratch(r, to, batch, name)
				if n.Shape().Size() > 1<<10 || n.DType().IsFloat() && n.Shape().Size() > 1 {
					exceptions.Panicf("it is not a few integers")
				}
				return graph.ConvertDType(n, dtypes.Int64)
			})
			defer exec.Finalize()
			values, err = tensors.CopyFlatData[int64](exec.MustCall()[0])
			if err != nil {
				panic(err)
			}
		})
		return values, err
	}
	batch := g.someBatch()
	if values, err = of(batch); err != nil {
		return nil, false, fmt.Errorf("the value of %q cannot be found: %w", name, err)
	}
	if g.Batch > 0 {
		return values, true, nil
	}
	other, err := of(batch + 1)
	return values, err == nil && slices.Equal(values, other), nil
}

// tooLarge says whether a shape has more elements than are supported.
func tooLarge(dims []int) bool {
	n := uint64(1)
	for _, d := range dims {
		high, low := bits.Mul64(n, uint64(d))
		if high != 0 || low > maxElements {
			return true
		}
		n = low
	}
	return false
}
