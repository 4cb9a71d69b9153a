package gomlxvit

import (
	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// attentionWidth is the number of channels of all heads together in a block of CoAtNet.
func (c *MaxxViTConfig) attentionWidth(b mark.Block) int {
	if c.Attention.ExpandFirst {
		return c.Widths[b.Stage]
	}
	in, _ := c.input(b)
	return in
}

// norm1 is the name of the first norm of a block of CoAtNet.
func norm1(name string, stride int) string {
	if stride > 1 {
		return name + "norm1.norm"
	}
	return name + "norm1"
}

// addTransformer lists the tensors of a transformer block of CoAtNet.
func (c *MaxxViTConfig) addTransformer(l *paramList, name string, b mark.Block) {
	dim, width := c.Widths[b.Stage], c.attentionWidth(b)
	in, stride := c.input(b)
	if stride > 1 && in != dim {
		l.convolution(name+"shortcut.expand", c.Attention.ShortcutBias, dim, in, 1)
	}
	c.addNorm(l, norm1(name, stride), in)
	l.convolution(name+"attn.qkv", true, 3*width, in, 1)
	c.addPositions(l, name+"attn.rel_pos.", c.whole(b.Stage), width/c.Attention.HeadDim)
	l.convolution(name+"attn.proj", true, dim, width, 1)
	c.addNorm(l, name+"norm2", dim)
	l.convolution(name+"mlp.fc1", true, c.hidden(b.Stage), dim, 1)
	l.convolution(name+"mlp.fc2", true, dim, c.hidden(b.Stage), 1)
	if c.Attention.LayerScale {
		l.add(name+"ls1.gamma", dim)
		l.add(name+"ls2.gamma", dim)
	}
}

// whole is the group of all tokens of a stage's map.
func (c *MaxxViTConfig) whole(stage int) windows {
	return windows{side: c.side(stage), size: c.side(stage)}
}

// transformer adds attention of all tokens to all, and an MLP, to the residual stream x [batch, token, channel]:
//
//	x = shortcut(x) + Attention(norm1(x));  x = x + MLP(norm2(x))
//
// The first block of a stage halves the map: the stream, and what attention reads behind its norm.
func (c *MaxxViTConfig) transformer(w Weights, x *graph.Node, name string, b mark.Block) *graph.Node {
	_, stride := c.input(b)
	normed := c.norm(w, norm1(name, stride), x)
	if stride > 1 {
		normed = halved(normed, 2*c.side(b.Stage), c.Attention.MaxPool)
		x = c.halvedStream(w, x, name, b, c.Attention.MaxPool, c.Attention.ShortcutBias)
	}
	mark.ReadBy(normed, b, mark.Attn)
	heads := c.attentionWidth(b) / c.Attention.HeadDim
	attention := windowAttention{
		windows: c.whole(b.Stage), block: b, heads: heads, prefix: name + "attn.", qkvBias: w.Get(name + "attn.qkv.bias"), headFirst: true,
	}
	c.setPositions(w, &attention)
	x = addBranch(x, c.scaled(w, attention.apply(w, normed), name+"ls1"))

	normed = c.norm(w, name+"norm2", x)
	mark.ReadBy(normed, b, mark.MLP)
	return addBranch(x, c.scaled(w, mlp(w, normed, name+"mlp.fc1", name+"mlp.fc2", c.Attention.Activation, b, mark.MLP), name+"ls2"))
}

// addNorm lists the tensors of a norm of CoAtNet's transformer blocks, or of the last norm.
func (c *MaxxViTConfig) addNorm(l *paramList, name string, dim int) {
	if c.Attention.BatchNorm {
		l.batchNorm(name, dim)
	} else {
		l.norm(name, dim)
	}
}

func (c *MaxxViTConfig) norm(w Weights, name string, x *graph.Node) *graph.Node {
	if c.Attention.BatchNorm {
		return batchNorm(w, name, x, c.Attention.Epsilon)
	}
	return layerNorm(w, name, x, c.Attention.Epsilon)
}
