// Package decompose splits the final representation of a vision model exactly into what each of its parts contributed
// (RepDecompose of arXiv 2406.01583).
//
// [Transform] works on any marked GoMLX graph. A [Decomposer] applies it to a model of package gomlxvit and runs it:
//
//	d, err := decompose.New(backend, model, decompose.Options{First: 7, End: 12, Split: decompose.Heads})
//	out, err := d.Run(pixels) // pixels [batch, 3, height, width]
//	for i, c := range d.Components() {
//		fmt.Println(c, out.Contribution(i, 0)) // dim numbers of picture 0
//	}
//
// The contributions are direct effects: what a block reads counts as a constant, only what it adds to the residual
// stream is followed. A norm is linear at its actual statistics.
package decompose

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/mark"
)

// Version changes whenever the numbers of a decomposition may change; cached contributions depend on it.
const Version = "2"

// Split says how finely attention is split.
type Split string

// The splits of attention.
const (
	Heads  Split = "heads"  // one component for each head
	Attns  Split = "attns"  // one component for all heads of a layer
	Tokens Split = "tokens" // one component for each head, and each of them split over the source tokens
)

// Biases says what becomes of biases and norm shifts.
type Biases string

// The ways to treat biases.
const (
	BiasesApart  Biases = "const"  // they form a component of their own, const
	BiasesShared Biases = "shared" // each is shared equally over the contributions it is added to
)

// Options choose what is taken apart.
type Options struct {
	// First is the first block that is decomposed, counted from 0 in forward order, and End one past the last; 0 stands
	// for the end of the model. What enters the first is the component init; what blocks after the last add, if there
	// are any, the component rest.
	First, End int
	Split      Split
	Biases     Biases

	capture bool        // leaves the heads of a token split for a second graph and returns what that needs
	layer   *layerSplit // in such a second graph, the only layer that is split
	scores  *scoring    // of [TokenScores]
}

// layerSplit is the attention layer that a second graph splits, with what the first captured of it.
type layerSplit struct {
	block    mark.Block
	captured []capture
}

// of returns what the first graph captured for tokens that are read of the layer.
func (l *layerSplit) of(tokens []int) capture {
	for _, c := range l.captured {
		if slices.Equal(c.tokens, tokens) {
			return c
		}
	}
	panic(fmt.Errorf("nothing was captured of %s for the tokens that are read from it", l.block))
}

// forModel fills in the blocks that were left open and checks them.
func (o Options) forModel(model *gomlxvit.Model) (Options, error) {
	blocks := len(model.Arch.Blocks())
	if o.End == 0 {
		o.End = blocks
	}
	if o.First < 0 || o.First >= o.End || o.End > blocks {
		return o, fmt.Errorf("%s has blocks 0 to %d, got %d to %d", model.Name, blocks-1, o.First, o.End-1)
	}
	return o, nil
}

// skip says whether a source is left out of this graph.
func (o *Options) skip(s source) bool {
	return o.layer != nil && (s.kind != Head || s.block != o.layer.block)
}

// Output is the decomposition of a batch of pictures.
type Output struct {
	Components     []Component
	Batch, Dim     int
	Contributions  []float32 // [component, batch, dim]
	Representation []float32 // [batch, dim]
	Logits         []float32 // [batch, class], nil without a head
	// Error is max |sum of components - representation| / max |representation|.
	Error float64
}

// Contribution returns what a component contributed to one picture, dim numbers.
func (o *Output) Contribution(component, picture int) []float32 {
	return o.Contributions[(component*o.Batch+picture)*o.Dim:][:o.Dim]
}

// Truncate keeps the first n pictures, for batches that were padded.
func (o *Output) Truncate(n int) {
	if n >= o.Batch {
		return
	}
	var kept []float32
	for component := range o.Components {
		kept = append(kept, o.Contributions[component*o.Batch*o.Dim:][:n*o.Dim]...)
	}
	o.Logits = o.Logits[:len(o.Logits)/o.Batch*n]
	o.Contributions, o.Representation, o.Batch = kept, o.Representation[:n*o.Dim], n
}

// TokenBlock is the token split of some components of a batch.
type TokenBlock struct {
	Components []int // indices into Decomposer.Components
	// Tokens is the number of token positions, the same in all blocks of a model: the most that any component has.
	// A component with fewer (Component.Tokens) is zero beyond them.
	Tokens int
	// Contributions is shaped [component, batch, token, dim]. It is used again for the next block.
	Contributions []float32
}

// Decomposer runs the decomposition of a model. It may be used from several goroutines.
type Decomposer struct {
	model      *gomlxvit.Model
	backend    compute.Backend
	opts       Options
	components []Component
	program    *gomlxvit.Program

	mu       sync.Mutex
	outputs  *outputs // the same in all graphs, for pictures of any number
	perLayer map[mark.Block]*gomlxvit.Program
	keys     map[mark.Block][]Key
}

// outputs says what a graph returns after representation and logits: pieces, and weights and values of captured layers.
type outputs struct {
	pieces   [][]Key
	captures []capture // their nodes are not used, only what they mean
}

// New prepares the decomposition of a model. Options left zero mean all blocks, heads, biases apart.
func New(backend compute.Backend, model *gomlxvit.Model, opts Options) (*Decomposer, error) {
	opts, err := opts.forModel(model)
	if err != nil {
		return nil, err
	}
	if opts.Split == "" {
		opts.Split = Heads
	}
	if opts.Biases == "" {
		opts.Biases = BiasesApart
	}
	if opts.Split == Tokens && opts.Biases == BiasesShared {
		return nil, fmt.Errorf("biases cannot be shared over the tokens of a token split; keep them as the component const")
	}
	opts.capture = opts.Split == Tokens
	components, err := componentsOf(backend, model, opts)
	if err != nil {
		return nil, err
	}
	d := &Decomposer{
		model: model, backend: backend, opts: opts, components: components,
		perLayer: make(map[mark.Block]*gomlxvit.Program), keys: make(map[mark.Block][]Key),
	}
	d.program, err = model.Compile(backend, func(w gomlxvit.Weights, inputs []*graph.Node) []*graph.Node {
		z := model.Arch.Representation(w, inputs[0])
		nodes := []*graph.Node{z}
		if logits := model.Arch.Head(w, z); logits != nil {
			nodes = append(nodes, logits)
		}
		result := Transform(z, opts)
		meaning := &outputs{captures: result.captures}
		for _, p := range result.Pieces {
			nodes = append(nodes, p.Node)
			meaning.pieces = append(meaning.pieces, p.Keys)
		}
		for _, c := range result.captures {
			nodes = append(nodes, c.weights, c.values)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.outputs = meaning
		return nodes
	})
	return d, err
}

// componentsOf names the parts of a model. It builds the model's graph, but compiles nothing.
func componentsOf(backend compute.Backend, model *gomlxvit.Model, opts Options) (components []Component, err error) {
	g := graph.NewGraph(backend, model.Name)
	defer g.Finalize()
	err = exceptions.TryCatch[error](func() {
		weights := make(gomlxvit.WeightMap)
		for _, p := range model.Arch.Params() {
			weights[p.Name] = graph.Parameter(g, p.Name, shapes.Make(dtypes.Float32, p.Dims...))
		}
		side := model.Arch.InputSize()
		pixels := graph.Parameter(g, "pixels", shapes.Make(dtypes.Float32, max(1, gomlxvit.BatchOf(model.Arch)), 3, side, side))
		components = newTransform(model.Arch.Representation(weights, pixels), opts).components
	})
	if err != nil {
		message, _, _ := strings.Cut(err.Error(), "\n") // below are call stacks
		return nil, fmt.Errorf("%s: %s", model.Name, message)
	}
	return components, nil
}

// Close frees the compiled graphs.
func (d *Decomposer) Close() {
	d.program.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	for layer, program := range d.perLayer {
		program.Close()
		delete(d.perLayer, layer)
	}
}

// Options returns the options in full, with the defaults filled in.
func (d *Decomposer) Options() Options { return d.opts }

// Components names the parts, in the order of the outputs.
func (d *Decomposer) Components() []Component { return d.components }

// Run takes a batch of pictures apart. pixels is shaped [batch, 3, height, width].
func (d *Decomposer) Run(pixels *tensors.Tensor) (*Output, error) { return d.RunOn(0, pixels) }

// RunOn is Run on one of the backend's devices, from 0. Each device takes apart its own batch: the numbers are the same on
// all devices of a kind.
func (d *Decomposer) RunOn(device int, pixels *tensors.Tensor) (*Output, error) {
	if d.opts.Split == Tokens {
		return nil, fmt.Errorf("a token split is run by RunTokens")
	}
	out, meaning, rest, err := d.forward(device, pixels)
	if err != nil {
		return nil, err
	}
	pieces, err := flatten(d.model, rest)
	if err != nil {
		return nil, err
	}
	out.Contributions = make([]float32, len(d.components)*out.Batch*out.Dim)
	for i, keys := range meaning.pieces {
		scatter(pieces[i], keys, out.Batch, out.Dim, func(k Key, picture int) []float32 {
			return out.Contribution(k.Component, picture)
		})
	}
	out.Error = SumError(out.Contributions, out.Representation)
	return out, nil
}

// scatter adds a piece [batch, contribution, dim] to where each of its contributions belongs.
func scatter(piece []float32, keys []Key, batch, dim int, to func(k Key, picture int) []float32) {
	for picture := range batch {
		for i, k := range keys {
			target := to(k, picture)
			for c, v := range piece[(picture*len(keys)+i)*dim:][:dim] {
				target[c] += v
			}
		}
	}
}

// forward runs the first graph and returns the representation and the logits, and with what it means the rest of what the
// graph gave.
func (d *Decomposer) forward(device int, pixels *tensors.Tensor) (*Output, *outputs, []*tensors.Tensor, error) {
	given, err := d.program.RunOn(device, pixels)
	if err != nil {
		return nil, nil, nil, err
	}
	d.mu.Lock()
	meaning := d.outputs
	d.mu.Unlock()
	own := len(given) - len(meaning.pieces) - 2*len(meaning.captures)
	flat, err := flatten(d.model, given[:own])
	if err != nil {
		return nil, nil, nil, err
	}
	out := &Output{Components: d.components, Batch: pixels.Shape().Dim(0), Representation: flat[0]}
	out.Dim = len(flat[0]) / out.Batch
	if len(flat) > 1 {
		out.Logits = flat[1]
	}
	return out, meaning, given[own:], nil
}

// flatten copies the numbers of outputs and frees them.
func flatten(model *gomlxvit.Model, outputs []*tensors.Tensor) ([][]float32, error) {
	flat := make([][]float32, len(outputs))
	for i, o := range outputs {
		var err error
		if flat[i], err = tensors.CopyFlatData[float32](o); err != nil {
			return nil, fmt.Errorf("%s: reading results: %w", model.Name, err)
		}
		if err := o.FinalizeAll(); err != nil {
			return nil, fmt.Errorf("%s: freeing results: %w", model.Name, err)
		}
	}
	return flat, nil
}

// RunTokens splits a batch of pictures by component and source token. It hands one block after the other to visit, so
// that only one block's contributions are in memory: first those of all components without attention, each at the token
// it was added to, then the heads of each layer. The Output holds no contributions.
func (d *Decomposer) RunTokens(pixels *tensors.Tensor, visit func(TokenBlock) error) (*Output, error) {
	if d.opts.Split != Tokens {
		return nil, fmt.Errorf("RunTokens is for the token split; use Run")
	}
	out, meaning, rest, err := d.forward(0, pixels)
	if err != nil {
		return nil, err
	}
	pieces, err := flatten(d.model, rest[:len(meaning.pieces)])
	if err != nil {
		return nil, err
	}
	tokens := 1
	for _, c := range d.components {
		tokens = max(tokens, c.Tokens)
	}
	var others []int
	for i, c := range d.components {
		if c.Kind != Head {
			others = append(others, i)
		}
	}
	block := &tokenBuffer{out: out, tokens: tokens, sum: make([]float64, out.Batch*out.Dim)}
	block.reset(others)
	for i, keys := range meaning.pieces {
		block.add(pieces[i], keys)
	}
	if err := visit(block.TokenBlock); err != nil {
		return nil, err
	}

	// A layer that is read in several ways (by the four parts of a patch merging) was captured once for each: all of
	// them go into one graph.
	var layers []mark.Block
	inputs := make(map[mark.Block][]*tensors.Tensor)
	for i, captured := range slices.Collect(slices.Chunk(rest[len(meaning.pieces):], 2)) {
		layer := meaning.captures[i].block
		if inputs[layer] == nil {
			layers = append(layers, layer)
			inputs[layer] = []*tensors.Tensor{pixels}
		}
		inputs[layer] = append(inputs[layer], captured...)
	}
	slices.SortStableFunc(layers, func(a, b mark.Block) int { return a.Order - b.Order })
	for _, layer := range layers {
		if err := d.runLayer(layer, meaning, inputs[layer], block); err != nil {
			return nil, err
		}
		if err := visit(block.TokenBlock); err != nil {
			return nil, err
		}
	}
	out.Error = relativeError(block.sum, out.Representation)
	return out, nil
}

// runLayer splits the heads of one attention layer, into block. inputs are the pixels and what was captured.
func (d *Decomposer) runLayer(layer mark.Block, meaning *outputs, inputs []*tensors.Tensor, block *tokenBuffer) error {
	program, err := d.layerProgram(layer, meaning)
	if err != nil {
		return err
	}
	outputs, err := program.Run(inputs...)
	if err != nil {
		return err
	}
	d.mu.Lock()
	keys := d.keys[layer]
	d.mu.Unlock()
	var heads []int
	for _, k := range keys {
		if !slices.Contains(heads, k.Component) {
			heads = append(heads, k.Component)
		}
	}
	block.reset(heads)
	if err := tensors.ConstFlatData(outputs[0], func(piece []float32) { block.add(piece, keys) }); err != nil {
		return fmt.Errorf("%s: reading results: %w", d.model.Name, err)
	}
	for _, used := range append(inputs[1:], outputs...) {
		if err := used.FinalizeAll(); err != nil {
			return fmt.Errorf("%s: freeing results: %w", d.model.Name, err)
		}
	}
	return nil
}

// layerProgram compiles the graph that splits one attention layer. It is the model's graph again, but with the captured
// attention and values as inputs, so that XLA drops the forward pass.
func (d *Decomposer) layerProgram(layer mark.Block, meaning *outputs) (*gomlxvit.Program, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p, ok := d.perLayer[layer]; ok {
		return p, nil
	}
	p, err := d.model.Compile(d.backend, func(w gomlxvit.Weights, inputs []*graph.Node) []*graph.Node {
		opts := d.opts
		opts.capture = false
		opts.layer = &layerSplit{block: layer}
		given := inputs[1:]
		for _, c := range meaning.captures {
			if c.block == layer {
				opts.layer.captured = append(opts.layer.captured, capture{layer, c.tokens, given[0], given[1]})
				given = given[2:]
			}
		}
		result := Transform(d.model.Arch.Representation(w, inputs[0]), opts)
		var nodes []*graph.Node
		var keys []Key
		for _, piece := range result.Pieces {
			nodes = append(nodes, piece.Node)
			keys = append(keys, piece.Keys...)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.keys[layer] = keys
		if len(nodes) > 1 {
			nodes[0] = graph.Concatenate(nodes, 1)
		}
		return nodes[:1]
	})
	if err == nil {
		d.perLayer[layer] = p
	}
	return p, err
}

// tokenBuffer is a TokenBlock that is filled anew for each layer, and the sum of all that was put into it.
type tokenBuffer struct {
	TokenBlock
	out    *Output
	tokens int
	sum    []float64 // [batch, dim]
}

// reset empties the block for other components.
func (b *tokenBuffer) reset(components []int) {
	b.Components, b.Tokens = components, b.tokens
	size := len(components) * b.out.Batch * b.tokens * b.out.Dim
	if cap(b.Contributions) < size {
		b.Contributions = make([]float32, size)
		return
	}
	b.Contributions = b.Contributions[:size]
	clear(b.Contributions)
}

// add puts a piece [batch, contribution, dim] where its keys say, one goroutine for each picture.
func (b *tokenBuffer) add(piece []float32, keys []Key) {
	position := make(map[int]int)
	for i, component := range b.Components {
		position[component] = i
	}
	batch, dim := b.out.Batch, b.out.Dim
	var wait sync.WaitGroup
	for picture := range batch {
		wait.Go(func() {
			sum := b.sum[picture*dim:][:dim]
			for i, k := range keys {
				from := piece[(picture*len(keys)+i)*dim:][:dim]
				to := b.Contributions[((position[k.Component]*batch+picture)*b.tokens+k.Token)*dim:][:dim]
				for c, v := range from {
					to[c] += v
					sum[c] += float64(v)
				}
			}
		})
	}
	wait.Wait()
}

// SumError is max |sum of components - representation| / max |representation|, summed in float64, for contributions
// [component, batch, dim] of a representation [batch, dim]; 0 for no pictures.
func SumError(contributions, representation []float32) float64 {
	sum := make([]float64, len(representation))
	for size := len(sum); len(contributions) > 0 && size > 0; contributions = contributions[size:] {
		for i, v := range contributions[:size] {
			sum[i] += float64(v)
		}
	}
	return relativeError(sum, representation)
}

// relativeError is max |sum - reference| / max |reference|.
func relativeError(sum []float64, reference []float32) float64 {
	var worst, largest float64
	for i, v := range reference {
		worst = math.Max(worst, math.Abs(sum[i]-float64(v)))
		largest = math.Max(largest, math.Abs(float64(v)))
	}
	if worst == 0 {
		return 0
	}
	return worst / largest
}
