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
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

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

	// Capture leaves the heads of a token split for a second graph and returns what that needs.
	Capture bool
	// Captured gives, in such a second graph, what the first captured for one attention layer; with OnlyBlock it is the
	// only layer that is split.
	Captured  []Capture
	OnlyBlock *mark.Block

	scores *scoring // of [TokenScores]
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
	return o.OnlyBlock != nil && (s.kind != Head || s.block != *o.OnlyBlock)
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
	model   *gomlxvit.Model
	backend compute.Backend
	opts    Options
	program *gomlxvit.Program

	mu       sync.Mutex
	result   *Result // of the last graph built; its nodes are not used, only what they mean
	perBlock map[mark.Block]*gomlxvit.Program
	keys     map[mark.Block][]Key
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
	opts.Capture = opts.Split == Tokens
	d := &Decomposer{
		model: model, backend: backend, opts: opts,
		perBlock: make(map[mark.Block]*gomlxvit.Program), keys: make(map[mark.Block][]Key),
	}
	d.program, err = model.Compile(backend, func(w gomlxvit.Weights, inputs []*graph.Node) []*graph.Node {
		z := model.Arch.Representation(w, inputs[0])
		outputs := []*graph.Node{z}
		if logits := model.Arch.Head(w, z); logits != nil {
			outputs = append(outputs, logits)
		}
		result := Transform(z, opts)
		for _, p := range result.Pieces {
			outputs = append(outputs, p.Node)
		}
		for _, c := range result.Captures {
			outputs = append(outputs, c.Weights, c.Values)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.result = result
		return outputs
	})
	return d, err
}

// Close frees the compiled graphs.
func (d *Decomposer) Close() {
	d.program.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	for layer, program := range d.perBlock {
		program.Close()
		delete(d.perBlock, layer)
	}
}

// Options returns the options in full, with the defaults filled in.
func (d *Decomposer) Options() Options { return d.opts }

// Components names the parts, in the order of the outputs. It is known after the first Run or RunTokens.
func (d *Decomposer) Components() []Component {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.result == nil {
		return nil
	}
	return d.result.Components
}

// Run takes a batch of pictures apart. pixels is shaped [batch, 3, height, width].
func (d *Decomposer) Run(pixels *tensors.Tensor) (*Output, error) { return d.RunOn(0, pixels) }

// RunOn is Run on one of the backend's devices, from 0. Each device takes apart its own batch: the numbers are the same on
// all devices of a kind.
func (d *Decomposer) RunOn(device int, pixels *tensors.Tensor) (*Output, error) {
	if d.opts.Split == Tokens {
		return nil, fmt.Errorf("a token split is run by RunTokens")
	}
	out, pieces, result, err := d.forward(device, pixels)
	if err != nil {
		return nil, err
	}
	out.Contributions = make([]float32, len(result.Components)*out.Batch*out.Dim)
	for i, p := range result.Pieces {
		scatter(pieces[i], p.Keys, out.Batch, out.Dim, func(k Key, picture int) []float32 {
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

// forward runs the first graph and returns the representation, the logits and the pieces.
func (d *Decomposer) forward(device int, pixels *tensors.Tensor) (*Output, [][]float32, *Result, error) {
	outputs, err := d.program.RunOn(device, pixels)
	if err != nil {
		return nil, nil, nil, err
	}
	d.mu.Lock()
	result := d.result
	d.mu.Unlock()
	flat, err := flatten(d.model, outputs)
	if err != nil {
		return nil, nil, nil, err
	}
	out := &Output{Components: result.Components, Batch: pixels.Shape().Dim(0), Representation: flat[0]}
	out.Dim = len(flat[0]) / out.Batch
	flat = flat[1:]
	if d.model.Arch.NumClasses() > 0 {
		out.Logits, flat = flat[0], flat[1:]
	}
	return out, flat, result, nil
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
	out, flat, result, err := d.forward(0, pixels)
	if err != nil {
		return nil, err
	}
	pieces, captured := flat[:len(result.Pieces)], flat[len(result.Pieces):]
	tokens := 1
	for _, c := range result.Components {
		tokens = max(tokens, c.Tokens)
	}
	var others []int
	for i, c := range result.Components {
		if c.Kind != Head {
			others = append(others, i)
		}
	}
	block := &tokenBuffer{out: out, tokens: tokens, sum: make([]float64, out.Batch*out.Dim)}
	block.reset(others)
	for i, p := range result.Pieces {
		block.add(pieces[i], p.Keys)
	}
	if err := visit(block.TokenBlock); err != nil {
		return nil, err
	}

	// A layer that is read in several ways (by the four parts of a patch merging) was captured once for each: all of
	// them go into one graph.
	var layers []mark.Block
	inputs := make(map[mark.Block][]*tensors.Tensor)
	for i, c := range result.Captures {
		if inputs[c.Block] == nil {
			layers = append(layers, c.Block)
			inputs[c.Block] = []*tensors.Tensor{pixels}
		}
		inputs[c.Block] = append(inputs[c.Block],
			tensors.FromFlatDataAndDimensions(captured[2*i], c.Weights.Shape().Dimensions...),
			tensors.FromFlatDataAndDimensions(captured[2*i+1], c.Values.Shape().Dimensions...))
	}
	slices.SortStableFunc(layers, func(a, b mark.Block) int { return a.Order - b.Order })
	for _, layer := range layers {
		if err := d.runLayer(layer, inputs[layer], block); err != nil {
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
func (d *Decomposer) runLayer(layer mark.Block, inputs []*tensors.Tensor, block *tokenBuffer) error {
	program, err := d.layerProgram(layer)
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
	if err := outputs[0].FinalizeAll(); err != nil {
		return fmt.Errorf("%s: freeing results: %w", d.model.Name, err)
	}
	return nil
}

// layerProgram compiles the graph that splits one attention layer. It is the model's graph again, but with the captured
// attention and values as inputs, so that XLA drops the forward pass.
func (d *Decomposer) layerProgram(layer mark.Block) (*gomlxvit.Program, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p, ok := d.perBlock[layer]; ok {
		return p, nil
	}
	p, err := d.model.Compile(d.backend, func(w gomlxvit.Weights, inputs []*graph.Node) []*graph.Node {
		opts := d.opts
		opts.Capture = false
		opts.OnlyBlock = &layer
		for i := 1; i < len(inputs); i += 2 {
			opts.Captured = append(opts.Captured, Capture{Weights: inputs[i], Values: inputs[i+1]})
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
		d.perBlock[layer] = p
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
