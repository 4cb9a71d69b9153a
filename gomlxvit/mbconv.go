package gomlxvit

import (
	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// expanded is the number of channels within a block's MBConv: a multiple of 8, not much less than asked for.
func (c *MaxxViTConfig) expanded(b mark.Block) int {
	of := c.Widths[b.Stage]
	if c.Conv.ExpandInput {
		of, _ = c.input(b)
	}
	want := float64(of) * c.Conv.Ratio
	n := max(8, int(want+4)/8*8)
	if float64(n) < 0.9*want {
		n += 8
	}
	return n
}

// squeezed is the number of channels within a block's squeeze-and-excitation.
func (c *MaxxViTConfig) squeezed(b mark.Block) int {
	of := c.Widths[b.Stage]
	if c.Conv.ExpandInput {
		of = c.expanded(b)
	}
	return int(float64(of) * c.Conv.SqueezeRatio)
}

// addMBConv lists the tensors of a block's MBConv.
func (c *MaxxViTConfig) addMBConv(l *paramList, name string, b mark.Block) {
	dim, expanded := c.Widths[b.Stage], c.expanded(b)
	in, stride := c.input(b)
	if stride > 1 && in != dim {
		l.convolution(name+"shortcut.expand", c.Conv.OutputBias, dim, in, 1)
	}
	l.batchNorm(name+"pre_norm", in)
	l.convolution(name+"conv1_1x1", false, expanded, in, 1)
	l.batchNorm(name+"norm1", expanded)
	l.convolution(name+"conv2_kxk", false, expanded, 1, 3)
	l.batchNorm(name+"norm2", expanded)
	squeeze := "se"
	if c.Conv.SqueezeEarly {
		squeeze = "se_early"
	}
	l.convolution(name+squeeze+".fc1", true, c.squeezed(b), expanded, 1)
	l.convolution(name+squeeze+".fc2", true, expanded, c.squeezed(b), 1)
	l.convolution(name+"conv3_1x1", c.Conv.OutputBias, dim, expanded, 1)
}

// mbConv adds an MBConv to the residual stream x [batch, token, channel]:
//
//	x = shortcut(x) + conv3(SE(act(norm2(conv2(act(norm1(conv1(pre_norm(x)))))))))
//
// An early SE is before norm2. The first block of a stage halves the map: by the stride of conv2, or of the mean of every 2 x 2
// tokens before conv1.
func (c *MaxxViTConfig) mbConv(w Weights, x *graph.Node, name string, b mark.Block) *graph.Node {
	_, stride := c.input(b)
	batch, side := x.Shape().Dim(0), c.side(b.Stage)

	shortcut := x
	if stride > 1 {
		shortcut = c.halvedStream(w, x, name, b, c.Conv.MaxPool, c.Conv.OutputBias)
	}
	x = batchNorm(w, name+"pre_norm", x, c.Conv.Epsilon)
	if c.Conv.PreActivation {
		x = activate(x, c.Conv.Activation)
	}
	if stride > 1 && c.Conv.PoolStride {
		x, stride = averageFours(x, 2*side), 1
	}
	x = contractLast(w, x, w.Get(name+"conv1_1x1.weight"))
	x = activate(batchNorm(w, name+"norm1", x, c.Conv.Epsilon), c.Conv.Activation)
	x = graph.Reshape(x, batch, stride*side, stride*side, c.expanded(b))
	x = depthwise(x, w.Get(name+"conv2_kxk.weight"), stride, c.Conv.padding())
	x = graph.Reshape(x, batch, side*side, c.expanded(b))
	if c.Conv.SqueezeEarly {
		x = squeezeExcite(w, name+"se_early", x, c.Conv.SqueezeActivation)
	}
	x = activate(batchNorm(w, name+"norm2", x, c.Conv.Epsilon), c.Conv.Activation)
	if !c.Conv.SqueezeEarly {
		x = squeezeExcite(w, name+"se", x, c.Conv.SqueezeActivation)
	}
	x = contractLast(w, x, w.Get(name+"conv3_1x1.weight"))
	mark.Component(x, b, mark.Conv)
	if c.Conv.OutputBias {
		x = addBias(x, w.Get(name+"conv3_1x1.bias"))
	}
	return addBranch(shortcut, x)
}

// squeezeExcite scales the channels of x [batch, token, channel] by what two layers make of their means.
func squeezeExcite(w Weights, name string, x *graph.Node, activation Activation) *graph.Node {
	means := graph.ReduceAndKeep(x, graph.ReduceMean, 1)
	hidden := activate(addBias(contractLast(w, means, w.Get(name+".fc1.weight")), w.Get(name+".fc1.bias")), activation)
	gate := graph.Sigmoid(addBias(contractLast(w, hidden, w.Get(name+".fc2.weight")), w.Get(name+".fc2.bias")))
	return graph.Mul(x, gate)
}
