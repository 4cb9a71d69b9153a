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

	// Queries and Width make it that of a CoCa (Yu et al. 2022, arXiv 2205.01917), of which the first query is read: so many of
	// them, normalised, in that many channels, and no MLP.
	Queries, Width int
}

// addPool lists the tensors of the pooling attention and its MLP.
func (c *ViTConfig) addPool(l *paramList) {
	pool, d := c.names.pool, c.Width
	if p := &c.AttentionPool; p.Queries > 0 {
		l.add(pool+"query", p.Queries, p.Width)
		l.norm(pool+"ln_q", p.Width)
		if p.Width == d { // PyTorch joins the three where they are as wide
			l.add(pool+"attn.in_proj_weight", 3*d, d)
		} else {
			l.add(pool+"attn.q_proj_weight", p.Width, p.Width)
			l.add(pool+"attn.k_proj_weight", p.Width, d)
			l.add(pool+"attn.v_proj_weight", p.Width, d)
		}
		l.add(pool+"attn.in_proj_bias", 3*p.Width)
		l.linear(pool+"attn.out_proj", p.Width, p.Width)
		return
	}
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
	p, name, d := &c.AttentionPool, c.names.pool, c.pooledWidth()
	if !p.Prefix && c.PrefixTokens() > 0 {
		x = c.patches(x)
	}
	batch, tokens, headDim := x.Shape().Dim(0), x.Shape().Dim(1), d/p.Heads
	query, key, value := c.poolProjections(w, x)
	query = graph.BroadcastToDims(graph.Reshape(query, 1, 1, p.Heads, headDim), batch, 1, p.Heads, headDim)
	byHead := func(y *graph.Node) *graph.Node { return graph.Reshape(y, batch, tokens, p.Heads, headDim) }
	weights, read := attend(w, query, byHead(key), byHead(value), nil)
	weights = graph.Squeeze(weights, 2) // [batch, head, token]
	mark.Statistic(weights)
	pooled := graph.Reshape(read, batch, d)
	mark.PooledBy(pooled, mark.Pool{Values: value, Weights: weights})

	if p.Queries > 0 {
		return addBias(contractLast(w, pooled, w.Get(name+"attn.out_proj.weight")), w.Get(name+"attn.out_proj.bias"))
	}
	y := addBias(contractLast(w, pooled, w.Get(name+"proj.weight")), w.Get(name+"proj.bias"))
	normed := c.norm(w, name+"norm", y)
	last := mark.Block{Index: c.Depth, Order: c.Depth}
	return addBranch(y, mlp(w, normed, name+"mlp.fc1", name+"mlp.fc2", p.Activation, last, mark.PoolMLP))
}

// poolProjections gives the query [1, dim] that is read, and keys and values [batch, token, dim] of the tokens x.
func (c *ViTConfig) poolProjections(w Weights, x *graph.Node) (query, key, value *graph.Node) {
	p, name, d := &c.AttentionPool, c.names.pool, c.pooledWidth()
	rows := func(tensor string, i int) *graph.Node {
		return graph.SliceAxis(w.Get(name+tensor), 0, graph.AxisRange(i*d, (i+1)*d))
	}
	if p.Queries == 0 {
		latent := graph.Reshape(w.Get(name+"latent"), 1, d)
		query = addBias(contractLast(w, latent, w.Get(name+"q.weight")), w.Get(name+"q.bias"))
		key = addBias(contractLast(w, x, rows("kv.weight", 0)), rows("kv.bias", 0))
		return query, key, addBias(contractLast(w, x, rows("kv.weight", 1)), rows("kv.bias", 1))
	}
	first := graph.SliceAxis(w.Get(name+"query"), 0, graph.AxisRange(0, 1))
	parts := []*graph.Node{layerNorm(w, name+"ln_q", first, c.Epsilon), x, x}
	for i, kind := range []string{"q", "k", "v"} {
		weight := "attn." + kind + "_proj_weight"
		if p.Width == c.Width {
			parts[i] = contractLast(w, parts[i], rows("attn.in_proj_weight", i))
		} else {
			parts[i] = contractLast(w, parts[i], w.Get(name+weight))
		}
		parts[i] = addBias(parts[i], rows("attn.in_proj_bias", i))
	}
	return parts[0], parts[1], parts[2]
}

// pooledWidth is the number of channels of the pooled tokens.
func (c *ViTConfig) pooledWidth() int {
	if c.AttentionPool.Queries > 0 {
		return c.AttentionPool.Width
	}
	return c.Width
}
