package gomlxvit

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

// Convolutions of maps [batch, height, width, channel].

// padding says how many zeros go before and after an axis of this length, for a convolution with this kernel and stride that
// gives length/stride positions.
type padding func(length, kernel, stride int) [2]int

// samePadding pads as TensorFlow does, as little as is needed and the odd zero after.
func samePadding(length, kernel, stride int) [2]int {
	total := max(((length+stride-1)/stride-1)*stride+kernel-length, 0)
	return [2]int{total / 2, total - total/2}
}

// evenPadding pads as PyTorch does, alike on both sides.
func evenPadding(_, kernel, stride int) [2]int {
	side := (kernel + stride - 2) / 2
	return [2]int{side, side}
}

// convolve convolves x [batch, height, width, channel] with a kernel [out, in, height, width].
func convolve(w Weights, x, kernel *graph.Node, stride int, pad padding) *graph.Node {
	padding := make([][2]int, 2)
	for i := range padding {
		padding[i] = pad(x.Shape().Dim(1+i), kernel.Shape().Dim(2+i), stride)
	}
	return convolvePadded(w, x, kernel, stride, padding)
}

// convolvePadded convolves x [batch, height, width, channel] with a kernel [out, in, height, width], with as many zeros before
// and after its rows and columns.
func convolvePadded(w Weights, x, kernel *graph.Node, stride int, padding [][2]int) *graph.Node {
	x, kernel, rounded := operands(w, x, graph.TransposeAllAxes(kernel, 2, 3, 1, 0))
	y := graph.Convolve(x, kernel).Strides(stride).PaddingPerDim(padding).Done()
	if rounded {
		y = graph.ConvertDType(y, dtypes.Float32)
	}
	return y
}

// depthwise convolves every channel of x [batch, height, width, in] on its own, with a kernel [out, 1, height, width]: of out
// channels, out/in are made of each, one after the other.
//
// It is written as a sum of shifted and scaled maps, which XLA makes one loop of: on 2 cores 3 to 10 times faster than
// its grouped convolution (56 x 56 x 384, batch 4: 46 ms against 450 ms with the activations around it).
func depthwise(x, kernel *graph.Node, stride int, by padding) *graph.Node {
	kernelDims := kernel.Shape().Dimensions
	var axes [4]compute.PadAxis
	var out [2]int
	for i := range out {
		length := x.Shape().Dim(1 + i)
		padding := by(length, kernelDims[2+i], stride)
		axes[1+i] = compute.PadAxis{Start: padding[0], End: padding[1]}
		out[i] = (length + stride - 1) / stride
	}
	if dims := x.Shape().Dimensions; kernelDims[0] != dims[3] {
		x = graph.BroadcastToDims(graph.InsertAxes(x, -1), dims[0], dims[1], dims[2], dims[3], kernelDims[0]/dims[3])
		x = graph.Reshape(x, dims[0], dims[1], dims[2], kernelDims[0])
	}
	x = pad(x, axes[:]...)
	byPosition := graph.TransposeAllAxes(kernel, 2, 3, 1, 0) // [height, width, 1, channel]
	var sum *graph.Node
	for dy := range kernelDims[2] {
		for dx := range kernelDims[3] {
			shifted := graph.Slice(x, graph.AxisRange(),
				graph.AxisRange(dy, dy+(out[0]-1)*stride+1).Stride(stride), graph.AxisRange(dx, dx+(out[1]-1)*stride+1).Stride(stride))
			term := graph.Mul(shifted, graph.Slice(byPosition, graph.AxisElem(dy), graph.AxisElem(dx)))
			if sum == nil {
				sum = term
			} else {
				sum = graph.Add(sum, term)
			}
		}
	}
	return sum
}
