package gomlxvit

import (
	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// The attention of a plain vision transformer with its variations.

// attentionScores is what the attention layers of a model have in common that changes their scores.
type attentionScores struct {
	mask   *graph.Node // added to the scores [batch, head, token, token], nil for none
	rotate rotation    // of queries and keys, nil for none
}

// addAttention lists the tensors of the attention of a block.
func (c *ViTConfig) addAttention(l *paramList, block string) {
	n, d := &c.names, c.Width
	switch {
	case c.SplitQKV:
		for _, layer := range []string{n.query, n.key, n.value} {
			l.add(block+layer+".weight", d, d)
			if c.QKVBias && !(layer == n.key && c.KeysWithoutBias) {
				l.add(block+layer+".bias", d)
			}
		}
	default:
		l.add(block+n.qkvWeight, 3*d, d)
		switch {
		case c.QKVBias && c.KeysWithoutBias:
			l.add(block+n.queryBias, d)
			l.add(block+n.valueBias, d)
		case c.QKVBias:
			l.add(block+n.qkvBias, 3*d)
		}
	}
	if c.QKNorm {
		c.addNorm(l, block+n.qNorm, d/c.Heads)
		c.addNorm(l, block+n.kNorm, d/c.Heads)
	}
	if c.RelativePositions {
		span := 2*c.Grid() - 1
		l.add(block+n.relativePositions, span*span+3, c.Heads)
	}
	if c.AttnNorm {
		c.addNorm(l, block+n.attnNorm, d)
	}
	c.addLayer(l, block+n.attnOut, d, d)
}

// attention computes multi-head self-attention of x [batch, token, width] with its output projection.
func (c *ViTConfig) attention(w Weights, x *graph.Node, block mark.Block, prefix string, scores attentionScores) *graph.Node {
	n := &c.names
	qkv := c.queriesKeysValues(w, x, prefix)
	marked := mark.Attention{Block: block, Heads: c.Heads, QKV: qkv}
	bias := scores.mask
	if c.RelativePositions {
		bias = c.relativeBias(w.Get(prefix + n.relativePositions))
	}
	var prepare func(q, k *graph.Node) (*graph.Node, *graph.Node)
	if c.QKNorm || scores.rotate != nil {
		prepare = func(q, k *graph.Node) (*graph.Node, *graph.Node) {
			if c.QKNorm {
				q, k = c.norm(w, prefix+n.qNorm, q), c.norm(w, prefix+n.kNorm, k)
			}
			if scores.rotate != nil {
				q, k = scores.rotate(q, block.Index), scores.rotate(k, block.Index)
			}
			return q, k
		}
	}
	if prepare != nil || c.RelativePositions {
		marked.QKV = nil // the scores are more than products of what it holds
	}
	var merged *graph.Node
	merged, marked.Weights, marked.Values = multiHead(w, qkv, c.Heads, bias, prepare)
	mark.Heads(merged, marked)

	projection := w.Get(prefix + n.attnOut + ".weight")
	read := merged
	if c.AttnNorm {
		if c.RMSNorm {
			read = rmsNorm(w, prefix+n.attnNorm, merged, c.Epsilon)
		} else {
			centred := graph.Sub(merged, graph.ReduceAndKeep(merged, graph.ReduceMean, -1))
			read = rmsNorm(w, prefix+n.attnNorm, centred, c.Epsilon)
		}
		mark.ElementwiseOf(read, merged)
	}
	out := contractLast(w, read, projection)
	mark.Component(out, block, mark.Attn)
	if c.AttnNorm && !c.RMSNorm { // the norm's shift, projected, is a bias behind the component
		shift := graph.Reshape(w.Get(prefix+n.attnNorm+".bias"), 1, c.Width)
		out = addBias(out, graph.Reshape(contractLast(w, shift, projection), c.Width))
	}
	if c.NoOutputBias {
		return out
	}
	return addBias(out, w.Get(prefix+n.attnOut+".bias"))
}

// queriesKeysValues computes queries, keys and values of x, one behind the other: [batch, token, 3*width].
func (c *ViTConfig) queriesKeysValues(w Weights, x *graph.Node, prefix string) *graph.Node {
	n := &c.names
	// together puts what belongs to queries, keys and values one behind the other; nothing stands for zeros.
	together := func(query, key, value string) *graph.Node {
		q, v := w.Get(prefix+query), w.Get(prefix+value)
		k := graph.ZerosLike(q)
		if key != "" {
			k = w.Get(prefix + key)
		}
		return graph.Concatenate([]*graph.Node{q, k, v}, 0)
	}
	var weight, bias *graph.Node
	keyBias := n.key + ".bias"
	if c.KeysWithoutBias {
		keyBias = ""
	}
	switch {
	case c.SplitQKV:
		weight = together(n.query+".weight", n.key+".weight", n.value+".weight")
		if c.QKVBias {
			bias = together(n.query+".bias", keyBias, n.value+".bias")
		}
	default:
		weight = w.Get(prefix + n.qkvWeight)
		switch {
		case c.QKVBias && c.KeysWithoutBias:
			bias = together(n.queryBias, "", n.valueBias)
		case c.QKVBias:
			bias = w.Get(prefix + n.qkvBias)
		}
	}
	qkv := contractLast(w, x, weight)
	if bias != nil {
		qkv = addBias(qkv, bias)
	}
	return qkv
}

// relativeBias is BEiT's bias [1, head, query, key] of attention scores (arXiv 2106.08254). The table [offset, head] has a
// number for each offset (dy, dx) between two patches, at (dy+grid-1)*(2*grid-1) + dx+grid-1, taken from key to query, and three
// more: for the class token as query, as key, and as both.
func (c *ViTConfig) relativeBias(table *graph.Node) *graph.Node {
	grid := c.Grid()
	span := 2*grid - 1
	tokens := 1 + grid*grid
	rows := make([][]int32, 0, tokens*tokens)
	for query := range tokens {
		for key := range tokens {
			row := span * span
			switch {
			case query == 0 && key == 0:
				row += 2
			case key == 0:
				row++
			case query > 0:
				q, k := query-1, key-1
				row = (q/grid-k/grid+grid-1)*span + q%grid - k%grid + grid - 1
			}
			rows = append(rows, []int32{int32(row)})
		}
	}
	bias := graph.Gather(table, graph.Const(table.Graph(), rows)) // [query*key, head]
	return graph.Reshape(graph.Transpose(bias, 0, 1), 1, c.Heads, tokens, tokens)
}
