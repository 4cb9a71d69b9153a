package zoo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
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
// tokens and position embeddings: only they decay and start at random scale.
func isMatrix(p gomlxvit.Param) bool {
	return len(p.Dims) >= 2 && strings.HasSuffix(p.Name, ".weight")
}

// initial draws the starting weights: matrices normal with variance
// 2/(fan in + fan out) (Glorot and Bengio 2010), norms at one, biases at zero,
// tokens and positions normal with deviation 0.02.
func (l *layout) initial(seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	vector := make([]float32, l.size())
	for i, p := range l.params {
		part := l.part(vector, i)
		deviation := 0.02
		switch {
		case isMatrix(p):
			deviation = math.Sqrt(2 / float64(p.Dims[0]+len(part)/p.Dims[0]))
		case strings.HasSuffix(p.Name, ".bias"):
			continue
		case strings.HasSuffix(p.Name, ".weight"):
			for k := range part {
				part[k] = 1
			}
			continue
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
	step    int                // steps done
	weights [3]*tensors.Tensor // weights, first and second moments, each [size]
}

// rates of a step that change from step to step.
type rates struct {
	learning float64
	step     int // from 1
}

// AdamW (Loshchilov and Hutter 2019) constants.
const (
	beta1, beta2 = 0.9, 0.98
	adamEpsilon  = 1e-8
	clipNorm     = 1.0 // of the gradient of all weights together
)

// objective builds the loss, a scalar to minimise, and further scalars to
// report, from the weights and a batch's inputs.
type objective func(w gomlxvit.Weights, inputs []*graph.Node) (loss *graph.Node, reports []*graph.Node)

// stepper runs one step of gradient descent, compiled once.
type stepper struct {
	program *gomlxvit.Program
	decays  *tensors.Tensor
}

func newStepper(backend compute.Backend, l layout, weightDecay float64, loss objective) (*stepper, error) {
	// Inputs: weights, moments, decay mask, rates, then the batch.
	program, err := gomlxvit.NewProgram(backend, "training", func(in []*graph.Node) []*graph.Node {
		w, m, v, mask, rate := in[0], in[1], in[2], in[3], in[4]
		params, byName := l.nodes(w)
		value, reports := loss(byName, in[5:])
		gradients := graph.Gradient(value, params...)
		for i, g := range gradients {
			gradients[i] = graph.Reshape(g, l.offsets[i+1]-l.offsets[i])
		}
		g := graph.Concatenate(gradients, 0)
		norm := graph.Sqrt(graph.ReduceAllSum(graph.Square(g)))
		g = graph.Mul(g, graph.MinScalar(graph.Reciprocal(graph.AddScalar(norm, 1e-6)), 1/clipNorm))

		scalar := func(i int) *graph.Node { return graph.Reshape(graph.SliceAxis(rate, 0, graph.AxisElem(i))) }
		m = graph.Add(graph.MulScalar(m, beta1), graph.MulScalar(g, 1-beta1))
		v = graph.Add(graph.MulScalar(v, beta2), graph.MulScalar(graph.Square(g), 1-beta2))
		update := graph.Div(graph.Mul(m, scalar(1)), graph.AddScalar(graph.Sqrt(graph.Mul(v, scalar(2))), adamEpsilon))
		update = graph.Add(update, graph.Mul(graph.MulScalar(w, weightDecay), mask))
		w = graph.Sub(w, graph.Mul(update, scalar(0)))
		return append([]*graph.Node{w, m, v, value, norm}, reports...)
	})
	if err != nil {
		return nil, err
	}
	return &stepper{program: program, decays: tensors.FromFlatDataAndDimensions(l.decays(), l.size())}, nil
}

// step moves the state by one step on a batch and returns the loss, the norm of
// the gradient and the reports. It takes over the batch's tensors.
func (s *stepper) step(to *state, r rates, batch []*tensors.Tensor) ([]float64, error) {
	rate := tensors.FromFlatDataAndDimensions([]float32{
		float32(r.learning),
		float32(1 / (1 - math.Pow(beta1, float64(r.step)))),
		float32(1 / (1 - math.Pow(beta2, float64(r.step)))),
	}, 3)
	args := append([]*tensors.Tensor{to.weights[0], to.weights[1], to.weights[2], s.decays, rate}, batch...)
	outputs, err := s.program.Run(args...)
	if err != nil {
		return nil, fmt.Errorf("step %d: %w", r.step, err)
	}
	var reports []float64
	for _, t := range outputs[3:] {
		var value float32
		if err := tensors.ConstFlatData(t, func(flat []float32) { value = flat[0] }); err != nil {
			return nil, fmt.Errorf("training step %d: %w", r.step, err)
		}
		reports = append(reports, float64(value))
	}
	// Free device memory now rather than when the garbage collector comes by.
	for _, t := range append(append(outputs[3:len(outputs):len(outputs)], batch...), to.weights[0], to.weights[1], to.weights[2], rate) {
		if err := t.FinalizeAll(); err != nil {
			return nil, fmt.Errorf("training step %d: %w", r.step, err)
		}
	}
	copy(to.weights[:], outputs[:3])
	to.step = r.step
	return reports, nil
}

// close frees the compiled step.
func (s *stepper) close() { s.program.Close() }

// crossEntropy is the mean loss of logits [batch, class] against labels [batch]
// with smoothing s: the target has 1-s on the label and s spread over all
// classes. It also returns the share of the batch that is right.
func crossEntropy(logits, labels *graph.Node, smoothing float64) (loss, accuracy *graph.Node) {
	classes := logits.Shape().Dim(1)
	logProbability := graph.LogSoftmax(logits, -1)
	target := graph.OneHot(labels, classes, dtypes.Float32)
	target = graph.AddScalar(graph.MulScalar(target, 1-smoothing), smoothing/float64(classes))
	loss = graph.Neg(graph.ReduceAllMean(graph.ReduceSum(graph.Mul(target, logProbability), -1)))
	right := graph.Equal(graph.ArgMax(logits, -1, labels.DType()), labels)
	return loss, graph.ReduceAllMean(graph.ConvertDType(right, dtypes.Float32))
}
