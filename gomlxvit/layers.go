package gomlxvit

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// The layers that several architectures share.

// paramList collects the tensors of an architecture.
type paramList []Param

func (l *paramList) add(name string, dims ...int) { *l = append(*l, Param{Name: name, Dims: dims}) }

// linear adds weight [out, in] and bias [out].
func (l *paramList) linear(name string, out, in int) {
	l.add(name+".weight", out, in)
	l.add(name+".bias", out)
}

// convolution adds a square kernel [out, in, side, side], and with bias [out].
func (l *paramList) convolution(name string, bias bool, out, in, side int) {
	l.add(name+".weight", out, in, side, side)
	if bias {
		l.add(name+".bias", out)
	}
}

// norm adds scale and shift of a norm.
func (l *paramList) norm(name string, dim int) {
	l.add(name+".weight", dim)
	l.add(name+".bias", dim)
}

// batchNorm adds scale and shift of a batch norm and the statistics gathered in training.
func (l *paramList) batchNorm(name string, dim int) {
	l.norm(name, dim)
	l.add(name+RunningMean, dim)
	l.add(name+RunningVariance, dim)
}

// product prepares the product of two nodes in the type that the weights ask for, see [Model.InBFloat16]. Sums are float32,
// and so is the result. (Its Einsum would forget the types.)
func product(w Weights, a, b *graph.Node) *graph.DotBuilder {
	a, b, rounded := operands(w, a, b)
	if !rounded {
		return graph.Dot(a, b)
	}
	// The result's type is that of the sums.
	return graph.Dot(a, b).WithAccumulatorDType(dtypes.InvalidDType).WithOutputDType(dtypes.Float32)
}

// operandType is what Weights implement that say which type the operands of matrix products and convolutions have.
type operandType interface{ OperandType() dtypes.DType }

// operands are two nodes in the type that the weights ask for, and whether that is another than float32.
func operands(w Weights, a, b *graph.Node) (x, y *graph.Node, rounded bool) {
	typed, ok := w.(operandType)
	if !ok || typed.OperandType() == dtypes.Float32 {
		return a, b, false
	}
	return graph.ConvertDType(a, typed.OperandType()), graph.ConvertDType(b, typed.OperandType()), true
}

// multiHead splits qkv [batch, token, 3*width], ordered (3, head, headDim), into heads and computes scaled dot-product
// attention. bias, added to the scores [batch, head, token, token], may be nil, and so may prepare, which changes queries
// and keys [batch, token, head, headDim] first. It returns the concatenated heads [batch, token, width], the attention weights
// [batch, head, token, token] and the values [batch, token, head, headDim].
func multiHead(w Weights, qkv *graph.Node, heads int, bias *graph.Node, prepare func(q, k *graph.Node) (*graph.Node, *graph.Node)) (merged, weights, values *graph.Node) {
	batch, tokens, width := qkv.Shape().Dim(0), qkv.Shape().Dim(1), qkv.Shape().Dim(2)/3
	headDim := width / heads
	part := func(i int) *graph.Node {
		return graph.Reshape(graph.SliceAxis(qkv, 2, graph.AxisRange(i*width, (i+1)*width)), batch, tokens, heads, headDim)
	}
	q, k := part(0), part(1)
	values = part(2)
	if prepare != nil {
		q, k = prepare(q, k)
	}
	weights, read := attend(w, q, k, values, bias)
	return graph.Reshape(read, batch, tokens, width), weights, values
}

// attend computes scaled dot-product attention of queries q [batch, query, head, headDim] to keys and values
// [batch, token, head, headDim]: its weights [batch, head, query, token], and what the queries read
// [batch, query, head, headDim].
func attend(w Weights, q, k, values, bias *graph.Node) (weights, read *graph.Node) {
	q = graph.MulScalar(q, 1/math.Sqrt(float64(q.Shape().Dim(-1))))
	scores := product(w, q, k).General([]int{3}, []int{0, 2}, []int{3}, []int{0, 2})
	if bias != nil {
		scores = graph.Add(scores, bias)
	}
	weights = graph.Softmax(scores, -1)
	perHead := product(w, weights, values).General([]int{3}, []int{0, 1}, []int{1}, []int{0, 2}) // [batch, head, query, headDim]
	return weights, graph.TransposeAllAxes(perHead, 0, 2, 1, 3)
}

// layerNorm normalises the last axis of x at its actual mean and variance:
//
//	(x - mean(x)) / sqrt(var(x) + epsilon) * weight + bias
//
// The inverse standard deviation is marked as a statistic: a constant of the decomposition.
func layerNorm(w Weights, name string, x *graph.Node, epsilon float64) *graph.Node {
	centred := graph.Sub(x, graph.ReduceAndKeep(x, graph.ReduceMean, -1))
	y := addBias(rmsNorm(w, name, centred, epsilon), w.Get(name+".bias"))
	mark.ElementwiseOf(y, x)
	return y
}

// rmsNorm divides by the root of the actual mean square of the last axis of x, which is the standard deviation where x is
// centred:
//
//	x / sqrt(mean(x²) + epsilon) * weight
//
// The inverse is marked as a statistic.
func rmsNorm(w Weights, name string, x *graph.Node, epsilon float64) *graph.Node {
	square := graph.ReduceAndKeep(graph.Square(x), graph.ReduceMean, -1)
	inverse := graph.Rsqrt(graph.AddScalar(square, epsilon))
	mark.Statistic(inverse)
	return graph.Mul(graph.Mul(x, inverse), channels(w.Get(name+".weight"), x.Rank()))
}

// mlp computes fc2(act(fc1(x))) of x [batch, token..., width] and marks it as a component, without fc2's bias.
func mlp(w Weights, x *graph.Node, fc1, fc2 string, activation Activation, block mark.Block, part mark.Part) *graph.Node {
	hidden := contractLast(w, x, w.Get(fc1+".weight"))
	hidden = activate(addBias(hidden, w.Get(fc1+".bias")), activation)
	out := contractLast(w, hidden, w.Get(fc2+".weight"))
	mark.Component(out, block, part)
	return addBias(out, w.Get(fc2+".bias"))
}

// patchEmbedding multiplies each patch of the pixels [batch, 3, height, width] with a kernel [width, 3, patch, patch]:
// a convolution whose stride is its kernel, which is one matrix product. It returns [batch, patch, width], row by row; what
// is no whole patch at the right and at the bottom is left out, as a convolution does.
func patchEmbedding(w Weights, pixels, kernel *graph.Node) *graph.Node {
	batch, side := pixels.Shape().Dim(0), pixels.Shape().Dim(2)
	width, patch := kernel.Shape().Dim(0), kernel.Shape().Dim(2)
	grid := side / patch
	if seen := grid * patch; seen < side {
		pixels = graph.Slice(pixels, graph.AxisRange(), graph.AxisRange(), graph.AxisRange(0, seen), graph.AxisRange(0, seen))
	}
	depth := kernel.Shape().Dim(1)
	patches := graph.Reshape(pixels, batch, depth, grid, patch, grid, patch)
	patches = graph.TransposeAllAxes(patches, 0, 2, 4, 1, 3, 5)
	patches = graph.Reshape(patches, batch, grid*grid, depth*patch*patch)
	return contractLast(w, patches, graph.Reshape(kernel, width, depth*patch*patch))
}

// contractLast multiplies the last axis of x with a weight [out, in], as PyTorch's linear layers store it, or with the kernel
// [out, in, 1, 1] of a 1 x 1 convolution.
func contractLast(w Weights, x, weight *graph.Node) *graph.Node {
	if weight.Rank() > 2 {
		weight = graph.Reshape(weight, weight.Shape().Dim(0), weight.Shape().Dim(1))
	}
	y := product(w, x, weight).General([]int{x.Rank() - 1}, nil, []int{1}, nil)
	mark.LinearOf(y, x, weight)
	return y
}

// addBranch adds what a part of a block computed to the residual stream x.
func addBranch(x, branch *graph.Node) *graph.Node {
	sum := graph.Add(x, branch)
	mark.ResidualOf(sum, x, branch)
	return sum
}

// channels reshapes a vector [dim] to [1, ..., 1, dim] of the given rank, so that it broadcasts over tokens.
func channels(vector *graph.Node, rank int) *graph.Node {
	return graph.ExpandLeftToRank(vector, rank)
}

// addBias adds a vector [dim] to the last axis of x.
func addBias(x, bias *graph.Node) *graph.Node {
	y := graph.Add(x, channels(bias, x.Rank()))
	mark.ElementwiseOf(y, x)
	return y
}

// activate applies the non-linearity of an MLP to x [..., channel]; SwiGLU halves the channels.
func activate(x *graph.Node, activation Activation) *graph.Node {
	var y *graph.Node
	half := func(y *graph.Node) *graph.Node { return graph.Mul(graph.MulScalar(x, 0.5), graph.AddScalar(y, 1)) }
	switch activation {
	case SwiGLU:
		axis, hidden := x.Rank()-1, x.Shape().Dim(-1)/2
		gate := graph.SliceAxis(x, axis, graph.AxisRange(0, hidden))
		return graph.Mul(graph.Mul(gate, graph.Sigmoid(gate)), graph.SliceAxis(x, axis, graph.AxisRange(hidden, 2*hidden)))
	case QuickGELU:
		y = graph.Mul(x, graph.Sigmoid(graph.MulScalar(x, 1.702)))
	case SiLU:
		y = graph.Mul(x, graph.Sigmoid(x))
	case ReLU:
		y = graph.MaxScalar(x, 0)
	case GELUTanh:
		cubic := graph.Mul(x, graph.AddScalar(graph.MulScalar(graph.Square(x), 0.044715), 1))
		y = half(graph.Tanh(graph.MulScalar(cubic, math.Sqrt(2/math.Pi))))
	default:
		y = half(graph.Erf(graph.MulScalar(x, 1/math.Sqrt2)))
	}
	mark.ElementwiseOf(y, x)
	return y
}

// The ends of the names of a batch norm's statistics in a checkpoint.
const (
	RunningMean     = ".running_mean"
	RunningVariance = ".running_var"
)

// batchNorm normalises channels with the statistics gathered in training, and in training with those of the batch, see
// [BatchStatistics].
func batchNorm(w Weights, name string, x *graph.Node, epsilon float64) *graph.Node {
	var mean, variance *graph.Node
	if batch, ok := w.(BatchStatistics); ok {
		mean, variance = batch.Statistics(name, x)
	} else {
		mean, variance = w.Get(name+RunningMean), w.Get(name+RunningVariance)
	}
	scale := graph.Div(w.Get(name+".weight"), graph.Sqrt(graph.AddScalar(variance, epsilon)))
	shift := graph.Sub(w.Get(name+".bias"), graph.Mul(mean, scale))
	return addBias(graph.Mul(x, channels(scale, x.Rank())), shift)
}
