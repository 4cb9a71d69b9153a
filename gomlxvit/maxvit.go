package gomlxvit

import (
	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// The sublayers of a block of MaxViT that have an attention and an MLP each.
const (
	blockAttention = "block" // within windows of neighbours
	gridAttention  = "grid"  // within groups that span the map
)

// sublayers lists the sublayers of a block of MaxViT behind its convolution.
func (c *MaxxViTConfig) sublayers() []string {
	if c.Attention.GridOnly {
		return []string{gridAttention}
	}
	return []string{blockAttention, gridAttention}
}

// partition gives the groups of a sublayer's attention.
func (c *MaxxViTConfig) partition(stage int, sublayer string) windows {
	return windows{side: c.side(stage), size: c.ImageSize / c.Attention.Partition, apart: sublayer == gridAttention}
}

// addSublayers lists the tensors of a block's attentions and MLPs.
func (c *MaxxViTConfig) addSublayers(l *paramList, block string, b mark.Block) {
	dim := c.Widths[b.Stage]
	for _, sublayer := range c.sublayers() {
		name := block + "attn_" + sublayer + "."
		l.norm(name+"norm1", dim)
		l.linear(name+"attn.qkv", 3*dim, dim)
		c.addPositions(l, name+"attn.rel_pos.", c.partition(b.Stage, sublayer), dim/c.Attention.HeadDim)
		l.linear(name+"attn.proj", dim, dim)
		l.norm(name+"norm2", dim)
		l.linear(name+"mlp.fc1", c.hidden(b.Stage), dim)
		l.linear(name+"mlp.fc2", dim, c.hidden(b.Stage))
		if c.Attention.LayerScale {
			l.add(name+"ls1.gamma", dim)
			l.add(name+"ls2.gamma", dim)
		}
	}
}

// sublayer adds the attention and MLP of one sublayer to the residual stream x [batch, token, channel].
func (c *MaxxViTConfig) sublayer(w Weights, x *graph.Node, block string, b mark.Block) *graph.Node {
	name := block + "attn_" + b.Sublayer + "."
	attention := windowAttention{
		windows: c.partition(b.Stage, b.Sublayer), block: b, heads: c.Widths[b.Stage] / c.Attention.HeadDim, prefix: name + "attn.",
		qkvBias: w.Get(name + "attn.qkv.bias"), headFirst: c.Attention.HeadFirst,
	}
	c.setPositions(w, &attention)
	normed := layerNorm(w, name+"norm1", x, c.Attention.Epsilon)
	mark.ReadBy(normed, b, mark.Attn)
	x = addBranch(x, c.scaled(w, attention.apply(w, normed), name+"ls1"))

	normed = layerNorm(w, name+"norm2", x, c.Attention.Epsilon)
	mark.ReadBy(normed, b, mark.MLP)
	return addBranch(x, c.scaled(w, mlp(w, normed, name+"mlp.fc1", name+"mlp.fc2", c.Attention.Activation, b, mark.MLP), name+"ls2"))
}
