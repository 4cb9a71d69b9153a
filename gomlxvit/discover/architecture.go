package discover

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/mark"
)

// Function builds the forward pass of a model from pixels [batch, 3, height, width], normalised, with the weights that it gets
// by their names. It may do what GoMLX's graphs can do; it need not mark anything.
type Function func(w gomlxvit.Weights, pixels *graph.Node) Results

// Results are what a forward pass computed. One of the two may be nil.
type Results struct {
	// Logits are shaped [batch, class].
	Logits *graph.Node
	// Representation is shaped [batch, dim]. If it is nil, it is what the last linear layer before the logits reads.
	Representation *graph.Node
	// Namer, if not nil, describes nodes for messages.
	Namer Namer
}

// Options are what a model needs beside its function and weights.
type Options struct {
	// Size is the side of the square pictures.
	Size int
	// Batch is the number of pictures that the function is fixed to, 0 if it takes any.
	Batch int
}

// Architecture is a model of which the parts were found in its graph. It implements [gomlxvit.Architecture].
type Architecture struct {
	build  Function
	opts   Options
	params []gomlxvit.Param

	parts        *Parts // as they were found when the model was made
	mu           sync.Mutex
	found        map[string]*Parts // by backend
	prefix       int
	dim, classes int
}

// NewModel makes a model, with all that is done with models, from the function that builds its forward pass and its weights:
// the parts are found in the graph. It is an error if there are none.
func NewModel(name string, build Function, weights map[string]*tensors.Tensor, opts Options) (*gomlxvit.Model, error) {
	arch := &Architecture{build: build, opts: opts, found: make(map[string]*Parts)}
	for _, key := range slices.Sorted(maps.Keys(weights)) {
		arch.params = append(arch.params, gomlxvit.Param{Name: key, Dims: weights[key].Shape().Dimensions})
	}
	if opts.Size < 1 {
		return nil, fmt.Errorf("%s: the size of its pictures must be given", name)
	}
	if err := arch.learn(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return gomlxvit.NewModel(name, arch, weights)
}

// learn builds the graph once, to find the blocks and sizes. Nothing is computed.
func (a *Architecture) learn() error {
	backend, err := gobackend.New("")
	if err != nil {
		return err
	}
	defer backend.Finalize()
	err = exceptions.TryCatch[error](func() {
		a.partsOn(backend, func(r *forwardPass) {
			a.parts, a.prefix, a.dim = r.parts, r.parts.Prefix, r.z.Shape().Dim(-1)
			if r.logits != nil {
				a.classes = r.logits.Shape().Dim(-1)
			}
		})
	})
	if err != nil {
		line, _, _ := strings.Cut(err.Error(), "\n") // without the call stack that GoMLX attaches
		return errors.New(line)
	}
	return nil
}

// partsOn finds the parts in a graph for a backend, which decides what operations GoMLX makes of a function: a softmax is one of
// some backends. It is done once for each, with few pictures; visit, if not nil, sees the graph.
func (a *Architecture) partsOn(backend compute.Backend, visit func(*forwardPass)) *Parts {
	a.mu.Lock()
	defer a.mu.Unlock()
	if parts := a.found[backend.Name()]; parts != nil {
		return parts
	}
	g := graph.NewGraph(backend, "discover")
	defer g.Finalize()
	pixels := graph.Parameter(g, "pixels", shapes.Make(dtypes.Float32, a.batch(), 3, a.opts.Size, a.opts.Size))
	pass := a.run(parameters{g, a.params}, pixels, func(z *graph.Node, namer Namer) (*Parts, error) { return Mark(z, pixels, namer) })
	if visit != nil {
		visit(pass)
	}
	a.found[backend.Name()] = pass.parts
	return pass.parts
}

// batch is a number of pictures to build the graph for.
func (a *Architecture) batch() int {
	if a.opts.Batch > 0 {
		return a.opts.Batch
	}
	return 2
}

// parameters are weights without values.
type parameters struct {
	graph  *graph.Graph
	params []gomlxvit.Param
}

// Get implements gomlxvit.Weights.
func (p parameters) Get(name string) *graph.Node {
	if n := p.graph.GetParameterByName(name); n != nil {
		return n
	}
	for _, param := range p.params {
		if param.Name == name {
			return graph.Parameter(p.graph, name, shapes.Make(dtypes.Float32, param.Dims...))
		}
	}
	panic(fmt.Errorf("the function asks for a weight %q that it was not given", name))
}

// forwardPass is a forward pass in a graph.
type forwardPass struct {
	z, logits *graph.Node // logits are nil where they are no function of z alone
	// read is what the head reads: z, or what it is a copy of, or the parts that z joins.
	read  []*graph.Node
	parts *Parts
}

type passKey struct{}

// forward builds the forward pass and marks it. The pass is kept beside the graph, so that Head finds it.
func (a *Architecture) forward(w gomlxvit.Weights, pixels *graph.Node) *forwardPass {
	if typed, ok := w.(interface{ OperandType() dtypes.DType }); ok && typed.OperandType() != dtypes.Float32 {
		panic(fmt.Errorf("a model of which the parts were found in its graph computes in float32 only, not in %s", typed.OperandType()))
	}
	parts := a.partsOn(pixels.Graph().Backend(), nil)
	pass := a.run(w, pixels, func(z *graph.Node, _ Namer) (*Parts, error) { return parts, parts.Apply(z, pixels) })
	pixels.Graph().AttachState(passKey{}, pass)
	return pass
}

// run builds the forward pass and has it marked.
func (a *Architecture) run(w gomlxvit.Weights, pixels *graph.Node, mark func(z *graph.Node, namer Namer) (*Parts, error)) *forwardPass {
	results := a.build(w, pixels)
	z, err := representation(results, pixels)
	if err != nil {
		panic(err)
	}
	parts, err := mark(z, results.Namer)
	if err != nil {
		panic(err)
	}
	pass := &forwardPass{z: z, logits: results.Logits, parts: parts}
	if pass.logits != nil {
		pass.read = readBy(pass.logits, z, pixels)
	}
	if pass.read == nil {
		pass.logits = nil
	}
	return pass
}

// readBy is what of z the logits are a function of, nil if they depend on more.
func readBy(logits, z, pixels *graph.Node) []*graph.Node {
	if dependsOnlyOn(logits, pixels, z) {
		return []*graph.Node{z}
	}
	switch {
	case z.Type() == graph.NodeTypeIdentity, z.Type() == graph.NodeTypeReshape && z.Inputs()[0].Shape().Equal(z.Shape()):
		return readBy(logits, z.Inputs()[0], pixels) // the output is a copy of what the head reads
	case z.Type() == graph.NodeTypeConcatenate && axisOf(z) == 1 && dependsOnlyOn(logits, pixels, z.Inputs()...):
		return z.Inputs()
	}
	return nil
}

// dependsOnlyOn says whether all ways from n to the pixels lead through some nodes.
func dependsOnlyOn(n, pixels *graph.Node, through ...*graph.Node) bool {
	seen := make(map[*graph.Node]bool)
	for _, m := range through {
		seen[m] = true
	}
	list := []*graph.Node{n}
	for len(list) > 0 {
		n := list[len(list)-1]
		list = list[:len(list)-1]
		if n == pixels {
			return false
		}
		if seen[n] {
			continue
		}
		seen[n] = true
		list = append(list, n.Inputs()...)
	}
	return true
}

// FixedBatch implements gomlxvit.FixedBatch.
func (a *Architecture) FixedBatch() int { return a.opts.Batch }

// Notes say in words what a reader of the decomposition should know.
func (a *Architecture) Notes() []string { return a.parts.Notes }

// Params implements gomlxvit.Architecture.
func (a *Architecture) Params() []gomlxvit.Param { return a.params }

// Blocks implements gomlxvit.Architecture.
func (a *Architecture) Blocks() []mark.Block { return a.parts.Blocks }

// InputSize implements gomlxvit.Architecture.
func (a *Architecture) InputSize() int { return a.opts.Size }

// PrefixTokens implements gomlxvit.Architecture.
func (a *Architecture) PrefixTokens() int { return a.prefix }

// OutputDim implements gomlxvit.Architecture.
func (a *Architecture) OutputDim() int { return a.dim }

// NumClasses implements gomlxvit.Architecture.
func (a *Architecture) NumClasses() int { return a.classes }

// Representation implements gomlxvit.Architecture.
func (a *Architecture) Representation(w gomlxvit.Weights, pixels *graph.Node) *graph.Node {
	return a.forward(w, pixels).z
}

// Head implements gomlxvit.Architecture: what leads from the representation to the logits is cloned.
func (a *Architecture) Head(w gomlxvit.Weights, z *graph.Node) *graph.Node {
	if a.classes == 0 {
		return nil
	}
	pass, ok := z.Graph().State(passKey{}).(*forwardPass)
	if ok && pass.z == z {
		return pass.logits
	}
	if !ok || pass.z.Shape().Dim(0) != z.Shape().Dim(0) {
		// A graph of the head alone: the rest is built for zeros, and dropped when it is compiled.
		zeros := graph.BroadcastToDims(graph.ScalarZero(z.Graph(), z.DType()), z.Shape().Dim(0), 3, a.opts.Size, a.opts.Size)
		pass = a.forward(w, zeros)
	}
	return replace(pass.logits, pass.read, z)
}

// replace clones what leads from some nodes [batch, dim] to n, with parts of another in their places, one after the other.
// Statistics that are marked between are marked in the clone too.
func replace(n *graph.Node, from []*graph.Node, to *graph.Node) *graph.Node {
	statistics := mark.Of(n.Graph()).Statistics
	clones := make(map[*graph.Node]*graph.Node)
	at := 0
	for _, part := range from {
		width := part.Shape().Dim(1)
		clones[part] = to
		if len(from) > 1 {
			clones[part] = graph.Slice(to, graph.AxisRange(), graph.AxisRange(at, at+width))
		}
		at += width
	}
	var clone func(n *graph.Node) *graph.Node
	clone = func(n *graph.Node) *graph.Node {
		if c, ok := clones[n]; ok {
			return c
		}
		inputs := slices.Clone(n.Inputs())
		for i, input := range inputs {
			inputs[i] = clone(input)
		}
		c := n
		if !slices.Equal(inputs, n.Inputs()) {
			c = n.CloneWithInputs(inputs...)
			if statistics[n] {
				statistics[c] = true
			}
		}
		clones[n] = c
		return c
	}
	return clone(n)
}

// representation finds the representation of a forward pass.
func representation(results Results, pixels *graph.Node) (*graph.Node, error) {
	if z := results.Representation; z != nil {
		if z.Rank() != 2 {
			return nil, fmt.Errorf("the representation is shaped %s instead of [batch, dim]", z.Shape())
		}
		return z, nil
	}
	if results.Logits == nil {
		return nil, fmt.Errorf("there are neither logits nor a representation")
	}
	return beforeLogits(results.Logits, pixels, results.Namer)
}

// beforeLogits finds what the last linear layer before the logits reads, and if that is not a sum of parts, what the layer
// before that reads.
func beforeLogits(logits, pixels *graph.Node, namer Namer) (*graph.Node, error) {
	f := newFinder(logits, pixels, namer)
	if !f.dynamic[logits] {
		return nil, fmt.Errorf("the logits do not depend on the pixels")
	}
	level := []*graph.Node{logits}
	for range 4 {
		var inputs []*graph.Node
		for _, n := range level {
			inputs = append(inputs, f.layerInputs(n)...)
		}
		inputs = slices.DeleteFunc(inputs, func(n *graph.Node) bool { return n.Rank() != 2 })
		slices.SortFunc(inputs, func(a, b *graph.Node) int { return int(a.Id()) - int(b.Id()) })
		inputs = slices.Compact(inputs)
		var sums []*graph.Node
		for _, n := range inputs {
			if f.hasResidual(n) {
				sums = append(sums, n)
			}
		}
		switch {
		case len(sums) == 1:
			return sums[0], nil
		case len(sums) > 1:
			return f.common(sums)
		case len(inputs) == 0:
			return nil, fmt.Errorf("what the last linear layer before the logits reads is no sum of parts, from %s on; choose another output with --output", f.describe(logits))
		}
		// Behind a non-linearity: the head is an MLP.
		level = nil
		for _, n := range inputs {
			for _, end := range f.endsOf(n, nil) {
				if end != pixels {
					level = append(level, end.Inputs()...)
				}
			}
		}
		level = slices.DeleteFunc(level, func(n *graph.Node) bool { return !f.dynamic[n] })
	}
	return nil, fmt.Errorf("no linear layer before the logits reads a sum of parts; choose another output with --output")
}

// layerInputs are what the last linear layers before n read.
func (f *finder) layerInputs(n *graph.Node) []*graph.Node {
	var found []*graph.Node
	seen := make(map[*graph.Node]bool)
	list := []*graph.Node{n}
	for len(list) > 0 {
		n := list[len(list)-1]
		list = list[:len(list)-1]
		if seen[n] || n == f.pixels {
			continue
		}
		seen[n] = true
		inputs, _, ok := f.linear(n)
		if !ok {
			// An activation element by element may lie between.
			for _, input := range n.Inputs() {
				if f.dynamic[input] && input.Shape().Size() == n.Shape().Size() {
					list = append(list, input)
				}
			}
			continue
		}
		if f.isLayer(n) {
			found = append(found, inputs[0])
			continue
		}
		list = append(list, inputs...)
	}
	return found
}

// common joins what several heads read: one node behind norms of their own, or the mean of several tokens.
func (f *finder) common(heads []*graph.Node) (*graph.Node, error) {
	chains := make([][]*graph.Node, len(heads))
	for i, n := range heads {
		chains[i] = f.chain(n)
	}
	for _, n := range chains[0] {
		shared := n.Rank() == 2
		for _, other := range chains[1:] {
			shared = shared && slices.Contains(other, n)
		}
		if shared {
			return n, nil
		}
	}
	// Distilled models have a class token for each head, and mean of the two is what timm calls their features. Where the
	// widths differ, as CrossViT's, the representation is all of them.
	sum := heads[0]
	for _, n := range heads[1:] {
		if !n.Shape().Equal(sum.Shape()) {
			return graph.Concatenate(heads, -1), nil
		}
		sum = graph.Add(sum, n)
	}
	return graph.MulScalar(sum, 1/float64(len(heads))), nil
}

var _ gomlxvit.Architecture = (*Architecture)(nil)
