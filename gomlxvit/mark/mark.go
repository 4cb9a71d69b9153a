// Package mark tells package decompose where the parts of a model are in its computation graph.
//
// A GoMLX graph says of a node what it computes, not what it is for. The architectures of package gomlxvit therefore
// mark, while they build the graph, the few nodes where a part of the model begins: the stream that enters a block, the
// concatenated attention heads, what an MLP adds, the statistics of a norm. A mark changes nothing in the graph; it is
// a note beside it, found again with [Of]:
//
//	merged := ... // [batch, token, heads*headDim]
//	mark.Heads(merged, mark.Attention{Block: block, Heads: 12, Weights: weights, Values: values})
//	out := Dot(merged, projection)
//	mark.Component(out, block, mark.Attn)
//
// Package saliency passes relevance back through the same graphs. For it the layers are marked too: what a part of a
// block reads, linear layers, residual sums, and what only changes elements one for one.
//
// All marked nodes follow one convention: axis 0 is the batch, the last axis holds the channels, and everything between
// is token positions, counted row by row (a [batch, height, width, channel] map has height*width tokens).
//
// Any GoMLX graph can be decomposed once it is marked; the graph need not come from package gomlxvit.
package mark

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
)

// Block names a block of a model: blocks 0, 1, ... of a plain vision transformer, (stage, block) of a staged one.
type Block struct {
	Staged       bool
	Stage, Index int
	// Order is the position of the block in the forward pass, from 0.
	Order int
	// Sublayer tells the attentions and MLPs of a block apart that has several: MaxViT's "block" and "grid".
	Sublayer string
}

// Plain returns the block number index of a model without stages.
func Plain(index int) Block { return Block{Index: index, Order: index} }

// Staged returns the blocks of a model that has depths[s] blocks in stage s, in forward order.
func Staged(depths []int) []Block {
	var blocks []Block
	for stage, depth := range depths {
		for i := range depth {
			blocks = append(blocks, Block{Staged: true, Stage: stage, Index: i, Order: len(blocks)})
		}
	}
	return blocks
}

// Within returns the block as the place of one of its sublayers.
func (b Block) Within(sublayer string) Block {
	b.Sublayer = sublayer
	return b
}

// String returns the name used in component names, without sublayer: "layer:07", or "layer:(2,14)" in a staged model.
func (b Block) String() string {
	if b.Staged {
		return fmt.Sprintf("layer:(%d,%d)", b.Stage, b.Index)
	}
	return fmt.Sprintf("layer:%02d", b.Index)
}

// Part is what within a block a component is.
type Part int

// The parts of a block, in the order in which a block computes them.
const (
	Conv    Part = iota // a convolution's (MBConv's) addition to the stream
	Attn                // an attention's addition, its heads together
	MLP                 // an MLP's addition
	Mixer               // the addition of a token mixer without heads
	PoolMLP             // the addition of the MLP of an attention that pools the tokens, behind all blocks
)

// String returns the part as it stands in component names.
func (p Part) String() string { return [...]string{"conv", "attns", "mlp", "mixer", "pool_mlp"}[p] }

// Attention describes the node that holds the concatenated heads of one attention layer.
type Attention struct {
	Block Block
	// Heads is the number of heads; head h owns channels h*headDim ... (h+1)*headDim-1 of the marked node.
	Heads int
	// Weights holds softmax(QKᵀ/√d), shaped [batch, head, query token, source token]; with windows
	// [batch*window, head, query token, source token].
	Weights *graph.Node
	// Values is shaped [batch, source token, head, headDim]; with windows [batch*window, source token, head, headDim].
	Values *graph.Node
	// QKV is what Weights and Values were computed from, shaped [batch, token, 3*heads*headDim] (with windows
	// [batch*window, ...]): the queries of all heads, not yet scaled, then the keys, then the values.
	QKV *graph.Node
	// Windows is the number of groups of tokens that attend only within themselves (Swin's windows, MaxViT's blocks and
	// grids): group w holds tokens w*n ... (w+1)*n-1 of the marked node. 0 means that all attend to all.
	Windows int
	// Positions gives for each token of the marked node its position on the block's grid, row by row, with shift and
	// partition undone; nil means that they are the same.
	Positions []int
	// Owner, if not nil, gives the head of each index along Axis of the marked node instead, which then need not be shaped
	// as other marked nodes are; Weights and Values may be nil, and then heads cannot be split by token.
	Owner []int
	Axis  int
}

// TokenMap says that a node is, channel by channel, a fixed linear map of the tokens of another:
//
//	y[b, k, c] = Weight * Σ_j x[b, Index[k][j], c]
//
// Taking the class token is {Index: {{0}}, Weight: 1}, the mean of 4 tokens {Index: {{0, 1, 2, 3}}, Weight: 0.25}.
type TokenMap struct {
	Index  [][]int
	Weight float64
}

// Tokens is a marked token map with the node it reads.
type Tokens struct {
	TokenMap
	Input *graph.Node
}

// Join says that the channels of a node are those of several token maps of one node, one after the other, as where patches are
// merged.
type Join struct {
	Parts []TokenMap
	Input *graph.Node
}

// Pool says that a node [batch, heads*headDim] is read from values by an attention that counts as a constant: what a head reads of
// its own channels,
//
//	y[b, h*headDim+c] = Σ_n Weights[b, h, n] Values[b, n, h*headDim+c]
type Pool struct {
	Values  *graph.Node // [batch, token, heads*headDim]
	Weights *graph.Node // [batch, head, token], a marked statistic
}

// Linear is the product of a linear layer: Input [..., in] times the transpose of Weight [out, in].
type Linear struct{ Input, Weight *graph.Node }

// Residual is the sum of the residual stream and what a part of a block adds to it.
type Residual struct{ Stream, Branch *graph.Node }

// Table holds the marks of one graph.
type Table struct {
	// Inputs are the nodes that enter a block: the residual stream [batch, token..., dim] as the block reads it.
	Inputs map[*graph.Node]Block
	// Components are the nodes that a block adds to the stream, before the bias of their last linear map.
	Components map[*graph.Node]ComponentMark
	// Heads are the concatenated heads [batch, token..., heads*headDim] that an output projection reads.
	Heads map[*graph.Node]Attention
	// Statistics are nodes that count as constants although they were computed from the stream: the inverse standard
	// deviation of a norm.
	Statistics map[*graph.Node]bool
	// TokenMaps are the nodes that only select or average tokens.
	TokenMaps map[*graph.Node]Tokens
	// Joins are the nodes whose channels are those of several tokens.
	Joins map[*graph.Node]Join
	// Pools are the nodes that an attention with a query of its own reads from all tokens.
	Pools map[*graph.Node]Pool
	// Reads are the nodes [batch, token..., dim] that a part of a block reads: the stream after the norm before it.
	Reads map[*graph.Node]ComponentMark
	// Linears are the products of linear layers, before their bias.
	Linears map[*graph.Node]Linear
	// Residuals are the sums that become the residual stream.
	Residuals map[*graph.Node]Residual
	// Elementwise are the nodes whose elements stand for those of another, one for one: what a bias, a norm or an
	// activation made of it.
	Elementwise map[*graph.Node]*graph.Node
}

// ComponentMark says which part of which block a node is, or is read by.
type ComponentMark struct {
	Block Block
	Part  Part
}

type tableKey struct{}

// Of returns the marks of a graph, an empty table if it has none yet.
func Of(g *graph.Graph) *Table {
	if t, ok := g.State(tableKey{}).(*Table); ok {
		return t
	}
	t := &Table{
		Inputs:      make(map[*graph.Node]Block),
		Components:  make(map[*graph.Node]ComponentMark),
		Heads:       make(map[*graph.Node]Attention),
		Statistics:  make(map[*graph.Node]bool),
		TokenMaps:   make(map[*graph.Node]Tokens),
		Joins:       make(map[*graph.Node]Join),
		Pools:       make(map[*graph.Node]Pool),
		Reads:       make(map[*graph.Node]ComponentMark),
		Linears:     make(map[*graph.Node]Linear),
		Residuals:   make(map[*graph.Node]Residual),
		Elementwise: make(map[*graph.Node]*graph.Node),
	}
	g.AttachState(tableKey{}, t)
	return t
}

// BlockInput marks x, shaped [batch, token..., dim], as the residual stream that enters the block, and returns a node
// of its own for it: two blocks never share their mark.
func BlockInput(x *graph.Node, block Block) *graph.Node {
	x = graph.Identity(x)
	Of(x.Graph()).Inputs[x] = block
	return x
}

// Component marks y, shaped [batch, token..., dim], as what a part of the block contributes.
func Component(y *graph.Node, block Block, part Part) {
	Of(y.Graph()).Components[y] = ComponentMark{Block: block, Part: part}
}

// Heads marks the concatenated heads, shaped [batch, token..., heads*headDim].
func Heads(merged *graph.Node, attention Attention) {
	Of(merged.Graph()).Heads[merged] = attention
}

// Statistic marks x as a constant of the decomposition (the inverse standard deviation of a norm).
func Statistic(x *graph.Node) { Of(x.Graph()).Statistics[x] = true }

// TokensOf marks y as the token map m of x. It is a promise that lets the decomposition read only the tokens it needs.
func TokensOf(y, x *graph.Node, m TokenMap) {
	Of(y.Graph()).TokenMaps[y] = Tokens{TokenMap: m, Input: x}
}

// PooledBy marks y as what an attention of constant weights reads.
func PooledBy(y *graph.Node, p Pool) { Of(y.Graph()).Pools[y] = p }

// ReadBy marks x, shaped [batch, token..., dim], as what a part of the block reads.
func ReadBy(x *graph.Node, block Block, part Part) {
	Of(x.Graph()).Reads[x] = ComponentMark{Block: block, Part: part}
}

// LinearOf marks y as the product of x [..., in] and the transpose of a weight [out, in].
func LinearOf(y, x, weight *graph.Node) {
	Of(y.Graph()).Linears[y] = Linear{Input: x, Weight: weight}
}

// ResidualOf marks sum as the residual stream after branch was added to it.
func ResidualOf(sum, stream, branch *graph.Node) {
	Of(sum.Graph()).Residuals[sum] = Residual{Stream: stream, Branch: branch}
}

// ElementwiseOf marks y as x after a bias, a norm or an activation. The last mark of a y counts: a norm is marked as a
// whole after its shift was.
func ElementwiseOf(y, x *graph.Node) { Of(y.Graph()).Elementwise[y] = x }

// JoinOf marks the channels of y as those of several token maps of x. As [TokensOf] it is a promise.
func JoinOf(y, x *graph.Node, parts []TokenMap) {
	Of(y.Graph()).Joins[y] = Join{Parts: parts, Input: x}
}
