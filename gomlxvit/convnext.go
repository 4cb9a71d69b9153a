package gomlxvit

import (
	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// convNeXtKernel is the side of a ConvNeXt block's convolution.
const convNeXtKernel = 7

// addConvNeXt lists the tensors of a ConvNeXt block.
func (c *MaxxViTConfig) addConvNeXt(l *paramList, name string, b mark.Block) {
	dim := c.Widths[b.Stage]
	in, stride := c.input(b)
	if stride > 1 && in != dim {
		l.convolution(name+"shortcut.expand", true, dim, in, 1)
	}
	l.convolution(name+"conv_dw", c.Conv.OutputBias, dim, 1, convNeXtKernel)
	l.norm(name+"norm", dim)
	l.convolution(name+"mlp.fc1", c.Conv.OutputBias, c.convNeXtHidden(b), dim, 1)
	l.convolution(name+"mlp.fc2", c.Conv.OutputBias, dim, c.convNeXtHidden(b), 1)
	if c.Conv.LayerScale {
		l.add(name+"ls.gamma", dim)
	}
}

func (c *MaxxViTConfig) convNeXtHidden(b mark.Block) int {
	return int(float64(c.Widths[b.Stage]) * c.Conv.Ratio)
}

// convNeXt adds a block of ConvNeXt (Liu et al. 2022, arXiv 2201.03545) to the residual stream x [batch, token, channel]:
//
//	x = shortcut(x) + scale * fc2(act(fc1(norm(conv(x)))))
//
// The first block of a stage halves the map: by the convolution's stride, or of the mean of every 2 x 2 tokens before it.
func (c *MaxxViTConfig) convNeXt(w Weights, x *graph.Node, name string, b mark.Block) *graph.Node {
	in, stride := c.input(b)
	batch, side := x.Shape().Dim(0), c.side(b.Stage)
	biased := func(x *graph.Node, layer string) *graph.Node {
		if c.Conv.OutputBias {
			x = addBias(x, w.Get(name+layer+".bias"))
		}
		return x
	}

	shortcut := x
	if stride > 1 {
		shortcut = c.halvedStream(w, x, name, b, false, true)
	}
	if stride > 1 && c.Conv.PoolStride {
		x, stride = averageFours(x, 2*side), 1
	}
	x = graph.Reshape(x, batch, stride*side, stride*side, in)
	x = depthwise(x, w.Get(name+"conv_dw.weight"), stride, evenPadding)
	x = biased(graph.Reshape(x, batch, side*side, c.Widths[b.Stage]), "conv_dw")
	x = layerNorm(w, name+"norm", x, c.Conv.Epsilon)
	x = activate(biased(contractLast(w, x, w.Get(name+"mlp.fc1.weight")), "mlp.fc1"), c.Conv.Activation)
	x = contractLast(w, x, w.Get(name+"mlp.fc2.weight"))
	mark.Component(x, b, mark.Conv)
	x = biased(x, "mlp.fc2")
	if c.Conv.LayerScale {
		x = graph.Mul(x, channels(w.Get(name+"ls.gamma"), x.Rank()))
	}
	return addBranch(shortcut, x)
}
