// Package gomlxvit holds vision transformers as GoMLX graphs: their architectures, the registry of their names, and the
// loading of checkpoints with the tensor names of timm and open_clip.
//
// An [Architecture] only builds graphs; a [Model] is an architecture with its weights; a [Program] is a graph over a
// model's weights, compiled once for each shape of its inputs:
//
//	ckpt, err := checkpoint.Open("path/to/vit_tiny_patch16_224")
//	model, err := gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{})
//	program, err := model.Compile(backend, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
//		z := model.Arch.Representation(w, in[0])
//		return []*graph.Node{z, model.Arch.Head(w, z)}
//	})
//	outputs, err := program.Run(pixels) // pixels [batch, 3, height, width], normalised
//
// A CLIP loaded with Options{Text: true} has its text tower and tokenizer too: [Model.WithZeroShotHead] makes a classifier
// of the names of classes, [TextEncoder] embeds texts.
package gomlxvit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data/wnid"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/mark"
	"vitdecompose/gomlxvit/preprocess"
	"vitdecompose/gomlxvit/tokenizer"
)

// Param is one tensor of a checkpoint.
type Param struct {
	Name string
	Dims []int

	position       bool // a position embedding, which may be resampled to another grid
	filter         positionFilter
	positionPrefix int // its leading rows that belong to class and register tokens
}

// size returns the number of elements.
func (p Param) size() int {
	n := 1
	for _, d := range p.Dims {
		n *= d
	}
	return n
}

// Weights gives the tensors of a checkpoint as nodes of the graph being built.
type Weights interface {
	// Get returns the node of the tensor with this name. It panics when the architecture did not list it in Params.
	Get(name string) *graph.Node
}

// WeightMap are weights held as nodes, as a training step has them.
type WeightMap map[string]*graph.Node

// Get implements Weights.
func (m WeightMap) Get(name string) *graph.Node {
	node, ok := m[name]
	if !ok {
		panic(fmt.Errorf("no weight is called %q", name))
	}
	return node
}

// BatchStatistics is what Weights implement in training so that batch norms take the statistics of the batch instead of
// those gathered before.
type BatchStatistics interface {
	// Statistics returns mean and variance [channel] for the batch norm with this name over x [..., channel].
	Statistics(name string, x *graph.Node) (mean, variance *graph.Node)
}

// Architecture builds the graph of a vision model and marks its parts.
type Architecture interface {
	// Params lists every tensor the graph needs.
	Params() []Param
	// Blocks lists the blocks in forward order.
	Blocks() []mark.Block
	// InputSize is the side of the square input picture in pixels.
	InputSize() int
	// PrefixTokens is the number of tokens that blocks have before those of the picture's positions: class and register
	// tokens.
	PrefixTokens() int
	// OutputDim is the number of channels of the representation.
	OutputDim() int
	// NumClasses is the number of logits, 0 without a head.
	NumClasses() int
	// Representation maps normalised pixels [batch, 3, height, width] to the final representation [batch, dim].
	Representation(w Weights, pixels *graph.Node) *graph.Node
	// Head maps the representation [batch, dim] to logits [batch, class]; nil without a head.
	Head(w Weights, representation *graph.Node) *graph.Node
}

// InputSize implements Architecture.
func (c *ViTConfig) InputSize() int { return c.ImageSize }

// NumClasses implements Architecture.
func (c *ViTConfig) NumClasses() int { return c.Classes }

// Model is an architecture with its weights.
type Model struct {
	// Name is what the user called it: a directory, hf:owner/repo, or a name of the registry.
	Name string
	// ArchName is the architecture's name in the registry.
	ArchName string
	Arch     Architecture
	// ClassNames name the logits: the checkpoint's, or those of ImageNet where it has as many classes and does not say
	// ([Model.NamesAssumed]); else nil.
	ClassNames []string
	Preprocess preprocess.Config
	// Hash is the SHA-256 of configuration and weights, in hexadecimal.
	Hash string
	// Assumptions are what was done to the checkpoint that could change a number, a line each: a prefix of the tensors'
	// names left out, position embeddings resampled, tensors or class names not used.
	Assumptions []string
	// Text and Tokenizer are the text side of a CLIP, nil unless they were asked for in [Options].
	Text      *TextTower
	Tokenizer *tokenizer.Tokenizer

	namesAssumed string // the line of Assumptions that says so
	weights      map[string]*tensors.Tensor
	devices      *deviceWeights
	encoders     *textEncoders
	// operands is the type of the operands of matrix products and convolutions.
	operands dtypes.DType
}

// InBFloat16 returns the model with matrix products and convolutions that round their operands to bfloat16, as tensor cores
// and matrix units take them. Their sums are float32, and so is all else: the residual stream, norms, softmax, weights in
// memory. The models share their weights.
func (m *Model) InBFloat16() *Model { return m.withOperands(dtypes.BFloat16) }

// InFloat32 returns the model with all in float32, as a model is when it was opened.
func (m *Model) InFloat32() *Model { return m.withOperands(dtypes.Float32) }

func (m *Model) withOperands(operands dtypes.DType) *Model {
	other := *m
	other.operands = operands
	return &other
}

// precisions are the names that [Model.WithPrecision] takes.
var precisions = map[string]dtypes.DType{"": dtypes.Float32, "float32": dtypes.Float32, "bfloat16": dtypes.BFloat16}

// IsPrecision says whether [Model.WithPrecision] takes a name.
func IsPrecision(name string) bool { return precisions[name] != dtypes.InvalidDType }

// WithPrecision returns the model in a precision that [Model.Precision] names; "" is float32.
func (m *Model) WithPrecision(name string) (*Model, error) {
	if !IsPrecision(name) {
		return nil, fmt.Errorf("precision %q is not float32 or bfloat16", name)
	}
	return m.withOperands(precisions[name]), nil
}

// Precision names the type of the operands of matrix products and convolutions: "float32", or "bfloat16".
func (m *Model) Precision() string {
	if m.operands == dtypes.BFloat16 {
		return "bfloat16"
	}
	return "float32"
}

// Options change how a checkpoint is loaded.
type Options struct {
	// ImageSize, if not 0, is the side of the pictures; position embeddings are resampled to its grid as timm does.
	ImageSize int
	// Text loads the text tower and the tokenizer too, when the checkpoint is a CLIP of open_clip.
	Text bool
}

// FromCheckpoint builds the model that a checkpoint describes and loads its weights. Every tensor of the file must be
// one of the architecture's and every one of those must be there with its shape; the error lists the differences.
func FromCheckpoint(ckpt *checkpoint.Checkpoint, opts Options) (*Model, error) {
	file := newStoredTensors(ckpt.Weights)
	if ckpt.Counted && ckpt.NumClasses < 0 && ckpt.OpenCLIP == nil {
		counted := *ckpt
		counted.NumClasses = file.classes()
		ckpt = &counted
	}
	arch, text, err := architectureOf(ckpt, file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ckpt.ConfigFile(), err)
	}
	stored := arch.Params()
	var textParams []Param
	if text != nil {
		textParams = text.Params()
	}
	if ckpt.Transformers == nil {
		file.stripPrefix(stored)
		file.convertTimm(arch)
	}
	if text == nil && ckpt.OpenCLIP != nil {
		file.keepOnly("visual.", "the text tower, which is of a kind that is not read")
	}
	if text != nil { // may be stored as vectors of one number
		file.reshape(logitScale)
		file.reshape(logitBias)
	}
	for i := range stored {
		stored[i].Dims = file.storedGrid(stored[i])
	}
	if err := file.compare(stored, textParams); err != nil {
		return nil, err
	}
	if size := ckpt.Preprocess.Size; opts.ImageSize == 0 && ckpt.Transformers != nil && size[0] != arch.InputSize() {
		if size[0] != size[1] {
			return nil, fmt.Errorf("%s: pictures are prepared as %d x %d pixels; only square ones are supported", ckpt.Ref, size[0], size[1])
		}
		opts.ImageSize = size[0] // the library takes pictures of any size
	}
	if opts.ImageSize != 0 {
		if arch, err = arch.withImageSize(opts.ImageSize); err != nil {
			return nil, fmt.Errorf("%s: image size %d: %w", ckpt.Ref, opts.ImageSize, err)
		}
	}

	m := &Model{
		Name:       ckpt.Ref,
		ArchName:   ckpt.Architecture,
		Arch:       arch,
		ClassNames: ckpt.LabelNames,
		Preprocess: ckpt.Preprocess,
		Hash:       ckpt.Hash,
		weights:    make(map[string]*tensors.Tensor),
		devices:    new(deviceWeights),
		operands:   dtypes.Float32,
	}
	m.Preprocess.Size = [2]int{arch.InputSize(), arch.InputSize()}
	m.Assumptions = slices.Concat(ckpt.Assumptions, file.assumptions)
	if n := len(m.ClassNames); n > 0 && n != arch.NumClasses() {
		m.ClassNames = nil
		m.assume("the %d class names of the configuration are left out: the model has %d classes", n, arch.NumClasses())
	}
	if vit, ok := arch.(*ViTConfig); ok && vit.ImageSize%vit.PatchSize != 0 {
		m.assume("pictures have %d pixels a side, no multiple of the patch of %d: %d pixels at the right and at the bottom are not seen, as in timm and open_clip",
			vit.ImageSize, vit.PatchSize, vit.ImageSize%vit.PatchSize)
	}
	for i, p := range arch.Params() {
		data, err := file.float32(p.Name)
		if err != nil {
			return nil, err
		}
		if p.position && !slices.Equal(p.Dims, stored[i].Dims) {
			data = resamplePositions(data, stored[i], p)
			m.assume("the position embeddings %s are resampled from %v to %v", p.Name, stored[i].Dims, p.Dims)
		}
		m.weights[p.Name] = tensors.FromFlatDataAndDimensions(data, p.Dims...)
	}
	m.AssumeClassNames()
	if opts.Text && (text != nil || ckpt.OpenCLIP != nil) {
		if err := m.loadText(ckpt, file, text); err != nil {
			return nil, fmt.Errorf("%s: %w", ckpt.Ref, err)
		}
	}
	return m, nil
}

// AssumeClassNames names the classes, where the checkpoint does not, as those of the subset of ImageNet that has as many.
func (m *Model) AssumeClassNames() {
	if subset, ok := wnid.OfSize(m.Arch.NumClasses()); ok && m.ClassNames == nil {
		m.ClassNames = slices.Clone(subset.Names)
		m.namesAssumed = fmt.Sprintf("class names: %s's, the files name none", subset.Name)
		m.Assumptions = append(m.Assumptions, m.namesAssumed)
	}
}

// NamesAssumed reports whether the names of the classes are ImageNet's because the checkpoint has none.
func (m *Model) NamesAssumed() bool { return m.namesAssumed != "" }

// WithClassNames returns the model with other names of its classes.
func (m *Model) WithClassNames(names []string) *Model {
	own := *m
	own.ClassNames = slices.Clone(names)
	if m.NamesAssumed() {
		own.namesAssumed = ""
		own.Assumptions = slices.DeleteFunc(slices.Clone(m.Assumptions), func(line string) bool { return line == m.namesAssumed })
	}
	return &own
}

// assume notes something that was done, a line.
func (m *Model) assume(format string, args ...any) {
	m.Assumptions = append(m.Assumptions, fmt.Sprintf(format, args...))
}

// Random builds a model of the registry with random weights, for benchmarks: normal values of standard deviation 0.02,
// norms at 1 and 0.
func Random(name string, seed uint64) (*Model, error) {
	arch, err := Lookup(name)
	if err != nil {
		return nil, err
	}
	return RandomOf(name, arch, seed), nil
}

// RandomOf gives an architecture random weights, see [Random].
func RandomOf(name string, arch Architecture, seed uint64) *Model {
	m := &Model{
		Name: name, ArchName: name, Arch: arch, Hash: fmt.Sprintf("random-%d", seed),
		Preprocess: standardPreprocess(arch.InputSize()),
		weights:    make(map[string]*tensors.Tensor), devices: new(deviceWeights), encoders: new(textEncoders), operands: dtypes.Float32,
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, p := range arch.Params() {
		data := make([]float32, p.size())
		isScale := len(p.Dims) == 1 && !strings.HasSuffix(p.Name, "bias")
		for i := range data {
			switch {
			case isScale:
				data[i] = 1
			case len(p.Dims) > 1:
				data[i] = 0.02 * float32(rng.NormFloat64())
			}
		}
		m.weights[p.Name] = tensors.FromFlatDataAndDimensions(data, p.Dims...)
	}
	return m
}

// Weight returns the tensor with this name, nil if there is none.
func (m *Model) Weight(name string) *tensors.Tensor { return m.weights[name] }

// NumParams counts the numbers in all tensors.
func (m *Model) NumParams() int {
	n := 0
	for _, t := range m.weights {
		n += t.Size()
	}
	return n
}

// Program is a graph, usually over a model's weights. It is compiled once for each combination of input shapes and may be
// run from several goroutines.
type Program struct {
	name    string
	model   *Model // whose weights it reads, nil for none
	backend compute.Backend
	exec    *graph.Exec
}

// Compile prepares a program over the model's weights. build gets them and one node for each input of Run and returns
// the outputs.
func (m *Model) Compile(backend compute.Backend, build func(w Weights, inputs []*graph.Node) []*graph.Node) (*Program, error) {
	p, err := NewProgram(backend, m.Name, func(inputs []*graph.Node) []*graph.Node {
		return build(&boundWeights{graph: inputs[0].Graph(), model: m}, inputs)
	})
	if err != nil {
		return nil, err
	}
	p.model = m
	return p, nil
}

// NewProgram prepares a program of its inputs alone; the name is for messages. Whatever GoMLX or build panics with while
// the graph is built becomes an error of Run, in one line: this is the one place where panics turn into errors.
func NewProgram(backend compute.Backend, name string, build func(inputs []*graph.Node) []*graph.Node) (*Program, error) {
	exec, err := graph.NewExec(backend, build)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, rootCause(err))
	}
	p := &Program{name: name, backend: backend, exec: exec.WithName(name)}
	exec.SetSideParamsHook(p.bind)
	return p, nil
}

// Run executes the program, compiling it first when the inputs have new shapes.
func (p *Program) Run(inputs ...*tensors.Tensor) ([]*tensors.Tensor, error) {
	return p.RunOn(0, inputs...)
}

// RunOn is Run on one of the backend's devices, from 0. What was compiled runs on each of them; the weights are copied to a
// device when it is first used.
func (p *Program) RunOn(device int, inputs ...*tensors.Tensor) ([]*tensors.Tensor, error) {
	run := func(inputs []*tensors.Tensor) ([]*tensors.Tensor, error) { return p.runOnce(device, inputs) }
	if batch := p.fixedBatch(); batch > 0 && len(inputs) > 0 && inputs[0].Rank() > 0 && inputs[0].Shape().Dim(0) != batch {
		return p.runFixed(batch, inputs, run)
	}
	return run(inputs)
}

func (p *Program) runOnce(device int, inputs []*tensors.Tensor) ([]*tensors.Tensor, error) {
	outputs, _, err := p.exec.CallWithGraphOnDevice(compute.DeviceNum(device), inputs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, rootCause(err))
	}
	return outputs, nil
}

// Advance executes the program with the state as its first inputs, which it may overwrite: the tensors of the state are
// used up, and the first outputs are the state anew. On a device this saves the memory of a second one.
func (p *Program) Advance(state []*tensors.Tensor, inputs ...*tensors.Tensor) ([]*tensors.Tensor, error) {
	args := make([]any, 0, len(state)+len(inputs))
	for _, t := range state {
		// A tensor made on this side would stay behind, and its memory might be the device's too.
		if !t.IsOnDevice(0) {
			if err := t.MaterializeOnDevice(p.backend, false, 0); err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, rootCause(err))
			}
		}
		given, err := graph.DonateTensorBuffer(t, p.backend, 0)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, rootCause(err))
		}
		args = append(args, given)
	}
	for _, t := range inputs {
		args = append(args, t)
	}
	outputs, _, err := p.exec.CallWithGraphOnDevice(0, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, rootCause(err))
	}
	return outputs, nil
}

// Backend is what computes the program.
func (p *Program) Backend() compute.Backend { return p.backend }

// Close frees the compiled graphs.
func (p *Program) Close() { p.exec.Finalize() }

// rootCause drops the call stacks that GoMLX attaches to its errors and keeps the message on one line.
func rootCause(err error) error {
	message, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(message)
}

// bind hands the model's tensors to the parameters that the graph asked for, on the device where the inputs are.
func (p *Program) bind(g *graph.Graph, buffers []compute.Buffer, _ []bool) error {
	device, err := buffers[0].DeviceNum()
	if err != nil {
		return err
	}
	if p.model != nil {
		p.model.devices.mu.Lock() // a tensor that is copied to a device may not be read meanwhile
		defer p.model.devices.mu.Unlock()
	}
	for handle := range buffers {
		if buffers[handle] != nil {
			continue
		}
		name := g.GetParameterByHandle(graph.ParameterHandle(handle)).GetParameterName()
		var tensor *tensors.Tensor
		if p.model != nil {
			tensor, err = p.model.weightOn(p.backend, device, strings.TrimPrefix(name, weightPrefix))
		}
		if err != nil {
			return fmt.Errorf("weight %s: %w", name, err)
		}
		if tensor == nil {
			return fmt.Errorf("the graph asks for an unknown parameter %q", name)
		}
		if buffers[handle], err = tensor.Buffer(p.backend, device); err != nil {
			return fmt.Errorf("weight %s: %w", name, err)
		}
	}
	return nil
}

// deviceWeights are copies of a model's weights on devices other than the first.
type deviceWeights struct {
	mu     sync.Mutex
	copies map[deviceWeight]*tensors.Tensor
}

// deviceWeight is a weight, as the tensor on the first device, on another.
type deviceWeight struct {
	original *tensors.Tensor
	device   compute.DeviceNum
}

// weightOn returns a weight on a device, copying it there when it is first used; nil if the model has none of this name. The
// caller holds the lock of the model's devices.
func (m *Model) weightOn(backend compute.Backend, device compute.DeviceNum, name string) (*tensors.Tensor, error) {
	original := m.weights[name]
	if original == nil || device == 0 {
		return original, nil
	}
	key := deviceWeight{original, device}
	if there := m.devices.copies[key]; there != nil {
		return there, nil
	}
	there, err := original.OnDeviceClone(backend, device)
	if err != nil {
		return nil, err
	}
	if m.devices.copies == nil {
		m.devices.copies = make(map[deviceWeight]*tensors.Tensor)
	}
	m.devices.copies[key] = there
	return there, nil
}

const weightPrefix = "weight:"

// boundWeights makes a graph parameter of every weight that the graph uses.
type boundWeights struct {
	graph *graph.Graph
	model *Model
}

// OperandType is the type of the operands of matrix products and convolutions.
func (w *boundWeights) OperandType() dtypes.DType { return w.model.operands }

// Get implements Weights.
func (w *boundWeights) Get(name string) *graph.Node {
	tensor, ok := w.model.weights[name]
	if !ok {
		panic(fmt.Errorf("architecture asks for a weight %q that it did not list", name))
	}
	if node := w.graph.GetParameterByName(weightPrefix + name); node != nil {
		return node
	}
	return graph.Parameter(w.graph, weightPrefix+name, shapes.Make(dtypes.Float32, tensor.Shape().Dimensions...))
}
