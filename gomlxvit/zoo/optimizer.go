package zoo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
)

// layout says where each tensor of a model lies in the one vector that training
// works on. One vector makes the optimizer a handful of operations, however
// many tensors the model has.
type layout struct {
	params  []gomlxvit.Param
	offsets []int // len(params)+1
}

func newLayout(params []gomlxvit.Param) layout {
	l := layout{params: params, offsets: make([]int, len(params)+1)}
	for i, p := range params {
		l.offsets[i+1] = l.offsets[i] + elements(p)
	}
	return l
}

func elements(p gomlxvit.Param) int {
	n := 1
	for _, d := range p.Dims {
		n *= d
	}
	return n
}

func (l *layout) size() int { return l.offsets[len(l.params)] }

// part is tensor i within a vector.
func (l *layout) part(vector []float32, i int) []float32 {
	return vector[l.offsets[i]:l.offsets[i+1]]
}

// isMatrix tells the weights that are multiplied with from biases, norms,
// tokens, tables and position embeddings: only they decay and start at random scale.
func isMatrix(p gomlxvit.Param) bool {
	if len(p.Dims) < 2 || p.Name == "token_embedding.weight" {
		return false
	}
	for _, end := range []string{".weight", "_weight", ".proj", "text_projection"} {
		if strings.HasSuffix(p.Name, end) {
			return true
		}
	}
	return false
}

// startingScale is where weights begin that all start at one value: scales at one,
// biases at zero, LayerScale where it does not hold back a small model, and CLIP's
// logit scale at its published start. ok tells whether p is one of them.
func startingScale(p gomlxvit.Param) (value float64, ok bool) {
	switch {
	case p.Name == "logit_scale":
		return math.Log(1 / 0.07), true
	case strings.HasSuffix(p.Name, ".gamma"):
		return 0.2, true
	case strings.HasSuffix(p.Name, gomlxvit.RunningVariance), len(p.Dims) == 1 && strings.HasSuffix(p.Name, ".weight"):
		return 1, true
	case strings.HasSuffix(p.Name, ".bias"), strings.HasSuffix(p.Name, "_bias"), strings.HasSuffix(p.Name, gomlxvit.RunningMean):
		return 0, true
	}
	return 0, false
}

// initial draws the starting weights: matrices normal with variance
// 2/(fan in + fan out) (Glorot and Bengio 2010), norms at one, biases at zero,
// tokens, tables and positions normal with deviation 0.02.
func (l *layout) initial(seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	vector := make([]float32, l.size())
	for i, p := range l.params {
		part := l.part(vector, i)
		if value, ok := startingScale(p); ok {
			for k := range part {
				part[k] = float32(value)
			}
			continue
		}
		deviation := 0.02
		if isMatrix(p) {
			in, out := len(part)/p.Dims[0], p.Dims[0]
			if len(p.Dims) == 4 && p.Dims[1] == 1 { // depthwise: a channel goes to one channel
				out = in
			}
			deviation = math.Sqrt(2 / float64(out+in))
		}
		for k := range part {
			part[k] = float32(deviation * r.NormFloat64())
		}
	}
	return vector
}

// decays is one for each element that weight decay applies to, else zero.
func (l *layout) decays() []float32 {
	vector := make([]float32, l.size())
	for i, p := range l.params {
		if isMatrix(p) {
			for k := range l.part(vector, i) {
				vector[l.offsets[i]+k] = 1
			}
		}
	}
	return vector
}

// nodes are the tensors of a vector node [size], and the same by name.
func (l *layout) nodes(vector *graph.Node) ([]*graph.Node, gomlxvit.WeightMap) {
	nodes, byName := make([]*graph.Node, len(l.params)), gomlxvit.WeightMap{}
	for i, p := range l.params {
		part := graph.SliceAxis(vector, 0, graph.AxisRange(l.offsets[i], l.offsets[i+1]))
		nodes[i] = graph.Reshape(part, p.Dims...)
		byName[p.Name] = nodes[i]
	}
	return nodes, byName
}

// state is all that training remembers from one step to the next. What it
// draws is a function of the step, so that there is no random state to keep.
type state struct {
	step   int // steps done
	values []value
}

// value is one of the vectors of a state. The first three are the weights and
// their first and second moments, [size]; others are the task's.
type value struct {
	name   string
	tensor *tensors.Tensor
}

func vector(name string, values []float32) value {
	return value{name, tensors.FromFlatDataAndDimensions(values, len(values))}
}

// initialState is where training begins.
func (r *Recipe) initialState(l layout) (*state, error) {
	weights := l.initial(r.Seed)
	if r.From != "" {
		ckpt, err := Open(r.From)
		if err != nil {
			return nil, err
		}
		defer ckpt.Close()
		if err := startFrom(ckpt, l, weights); err != nil {
			return nil, err
		}
	}
	values := []value{vector("weights", weights), vector("first_moment", make([]float32, l.size())), vector("second_moment", make([]float32, l.size()))}
	return &state{values: append(values, r.task.memory(weights)...)}, nil
}

// named finds one of the values, nil if there is none of this name.
func (s *state) named(name string) *tensors.Tensor {
	for _, v := range s.values {
		if v.name == name {
			return v.tensor
		}
	}
	return nil
}

// rates of a step that change from step to step.
type rates struct {
	learning float64
	step     int     // from 1
	done     float64 // share of the training that is done
}

// AdamW (Loshchilov and Hutter 2019) constants.
const (
	beta1, beta2 = 0.9, 0.98
	adamEpsilon  = 1e-8
	clipNorm     = 1.0 // of the gradient of all weights together
)

const optimizerValues = 3 // of a state: weights and moments

// stepper runs one step of gradient descent, compiled once.
type stepper struct {
	program *gomlxvit.Program
	decays  *tensors.Tensor
}

// newStepper prepares the steps of a task whose state has so many values.
func newStepper(backend compute.Backend, l layout, weightDecay float64, t task, values int) (*stepper, error) {
	// Inputs: the values of the state, decay mask, rates, then the batch.
	program, err := gomlxvit.NewProgram(backend, "training", func(in []*graph.Node) []*graph.Node {
		w, m, v, mask, rate := in[0], in[1], in[2], in[values], in[values+1]
		scalar := func(i int) *graph.Node { return graph.Reshape(graph.SliceAxis(rate, 0, graph.AxisElem(i))) }
		params, byName := l.nodes(w)
		out := t.loss(lesson{weights: byName, memory: in[optimizerValues:values], inputs: in[values+2:], done: scalar(3), layout: l})
		gradients := graph.Gradient(out.loss, params...)
		for i, g := range gradients {
			gradients[i] = graph.Reshape(g, l.offsets[i+1]-l.offsets[i])
		}
		g := graph.Concatenate(gradients, 0)
		norm := graph.Sqrt(graph.ReduceAllSum(graph.Square(g)))
		g = graph.Mul(g, graph.MinScalar(graph.Reciprocal(graph.AddScalar(norm, 1e-6)), 1/clipNorm))

		m = graph.Add(graph.MulScalar(m, beta1), graph.MulScalar(g, 1-beta1))
		v = graph.Add(graph.MulScalar(v, beta2), graph.MulScalar(graph.Square(g), 1-beta2))
		update := graph.Div(graph.Mul(m, scalar(1)), graph.AddScalar(graph.Sqrt(graph.Mul(v, scalar(2))), adamEpsilon))
		update = graph.Add(update, graph.Mul(graph.MulScalar(w, weightDecay), mask))
		w = graph.Sub(w, graph.Mul(update, scalar(0)))
		outputs := []*graph.Node{w, m, v}
		if out.remember != nil {
			outputs = append(outputs, out.remember(w)...)
		}
		return append(outputs, out.loss, norm, out.score)
	})
	if err != nil {
		return nil, err
	}
	return &stepper{program: program, decays: tensors.FromFlatDataAndDimensions(l.decays(), l.size())}, nil
}

// step moves the state by one step on a batch and returns the loss, the norm of
// the gradient and the score. It takes over the batch's tensors.
func (s *stepper) step(to *state, r rates, batch []*tensors.Tensor) ([]float64, error) {
	rate := tensors.FromFlatDataAndDimensions([]float32{
		float32(r.learning),
		float32(1 / (1 - math.Pow(beta1, float64(r.step)))),
		float32(1 / (1 - math.Pow(beta2, float64(r.step)))),
		float32(r.done),
	}, 4)
	var args []*tensors.Tensor
	for _, v := range to.values {
		args = append(args, v.tensor)
	}
	used := append(slices.Clone(args), rate)
	args = append(append(args, s.decays, rate), batch...)
	outputs, err := s.program.Run(args...)
	if err != nil {
		return nil, fmt.Errorf("step %d: %w", r.step, err)
	}
	values := len(to.values)
	var reports []float64
	for _, t := range outputs[values:] {
		var value float32
		if err := tensors.ConstFlatData(t, func(flat []float32) { value = flat[0] }); err != nil {
			return nil, fmt.Errorf("training step %d: %w", r.step, err)
		}
		reports = append(reports, float64(value))
	}
	// Free device memory now rather than when the garbage collector comes by.
	for _, t := range slices.Concat(used, outputs[values:], batch) {
		if err := t.FinalizeAll(); err != nil {
			return nil, fmt.Errorf("training step %d: %w", r.step, err)
		}
	}
	for i := range to.values {
		to.values[i].tensor = outputs[i]
	}
	to.step = r.step
	return reports, nil
}

// close frees the compiled step.
func (s *stepper) close() { s.program.Close() }
