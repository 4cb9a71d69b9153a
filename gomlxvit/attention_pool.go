package gomlxvit

import (
	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// AttentionPool is timm's pooling "map", of SigLIP and the Perception Encoder: a learned query attends to the tokens, and an MLP
// is added to what it reads (Zhai et al. 2021, arXiv 2106.04560).
type AttentionPool struct {
	Heads      int // 0: the model pools in another way
	MLPHidden  int
	Prefix     bool // class and register tokens are read too, not the patches alone
	Activation Activation
}

// addPool lists the tensors of the pooling attention and its MLP.
func (c *ViTConfig) addPool(l *paramList) {
	pool, d := c.names.pool, c.Width
	l.add(pool+"latent", 1, 1, d)
	l.linear(pool+"q", d, d)
	l.linear(pool+"kv", 2*d, d)
	l.linear(pool+"proj", d, d)
	c.addNorm(l, pool+"norm", d)
	l.linear(pool+"mlp.fc1", c.AttentionPool.MLPHidden, d)
	l.linear(pool+"mlp.fc2", d, c.AttentionPool.MLPHidden)
}

// poolByAttention reads the tokens x [batch, token, width] with the learned query. The attention that it pays counts as a
// constant of the decomposition, and its MLP is a component.
//
//	y = proj(softmax(q Kᵀ/√d) V);  z = y + MLP(norm(y))
func (c *ViTConfig) poolByAttention(w Weights, x *graph.Node) *graph.Node {
	p, name, d := &c.AttentionPool, c.names.pool, c.Width
	if !p.Prefix && c.PrefixTokens() > 0 {
		x = c.patches(x)
	}
	batch, tokens, headDim := x.Shape().Dim(0), x.Shape().Dim(1), d/p.Heads
	latent := graph.Reshape(w.Get(name+"latent"), 1, d)
	query := addBias(contractLast(w, latent, w.Get(name+"q.weight")), w.Get(name+"q.bias"))
	query = graph.BroadcastToDims(graph.Reshape(query, 1, 1, p.Heads, headDim), batch, 1, p.Heads, headDim)
	half := func(i int) *graph.Node {
		rows := graph.AxisRange(i*d, (i+1)*d)
		y := contractLast(w, x, graph.SliceAxis(w.Get(name+"kv.weight"), 0, rows))
		return addBias(y, graph.SliceAxis(w.Get(name+"kv.bias"), 0, rows))
	}
	key, value := half(0), half(1)
	byHead := func(y *graph.Node) *graph.Node { return graph.Reshape(y, batch, tokens, p.Heads, headDim) }
	weights, read := attend(w, query, byHead(key), byHead(value), nil)
	weights = graph.Squeeze(weights, 2) // [batch, head, token]
	mark.Statistic(weights)
	pooled := graph.Reshape(read, batch, d)
	mark.PooledBy(pooled, mark.Pool{Values: value, Weights: weights})

	y := addBias(contractLast(w, pooled, w.Get(name+"proj.weight")), w.Get(name+"proj.bias"))
	normed := c.norm(w, name+"norm", y)
	last := mark.Block{Index: c.Depth, Order: c.Depth}
	return addBranch(y, mlp(w, normed, name+"mlp.fc1", name+"mlp.fc2", p.Activation, last, mark.PoolMLP))
}
