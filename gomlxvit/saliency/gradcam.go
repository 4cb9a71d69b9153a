package saliency

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// gradCAM builds GradCAM of the class [batch] of each picture from logits [batch, class]. Every channel of a layer A
// [batch, token, dim] has a weight, the mean over the grid's tokens of the logit's derivative, and the map is the
// weighted sum of channels:
//
//	weight[b, c] = mean over patches p of ∂logit[b] / ∂A[b, p, c]
//	signed[b, p] = Σ_c weight[b, c] A[b, p, c]
//
// Patches come after prefix other tokens. It returns the signed map [batch, row, column], before ReLU, and the weights
// [batch, dim].
func gradCAM(logits, classes *graph.Node, prefix int) (signed, weights *graph.Node) {
	layer := explainedLayer(mark.Of(logits.Graph()))
	dims := layer.Shape().Dimensions
	batch, dim := dims[0], dims[len(dims)-1]
	tokens := layer.Shape().Size() / (batch * dim)
	patches := func(x *graph.Node) *graph.Node {
		return graph.SliceAxis(graph.Reshape(x, batch, tokens, dim), 1, graph.AxisRange(prefix, tokens))
	}
	derivative := gradients(logits, choose(logits, classes), layer)[0]
	weights = graph.ReduceMean(patches(derivative), 1)
	signed = graph.ReduceSum(graph.Mul(patches(layer), graph.InsertAxes(weights, 1)), -1)
	return grid(signed), weights
}

// explainedLayer finds the layer that GradCAM is taken of, the one that the authors of arXiv 2406.01583 take: what the last
// block's first attention reads, and in Swin, a model with stages and one attention in a block, what the last block's MLP
// reads. In a ViT that reads its class token no later layer would do, for the logit does not depend on its patches.
func explainedLayer(marks *mark.Table) (layer *graph.Node) {
	var read mark.ComponentMark
	for n, r := range marks.Reads {
		part := mark.Attn
		if r.Block.Staged && r.Block.Sublayer == "" {
			part = mark.MLP
		}
		switch {
		case r.Part != part:
		case layer == nil, r.Block.Order > read.Block.Order, r.Block.Order == read.Block.Order && n.Id() < layer.Id():
			layer, read = n, r
		}
	}
	if layer == nil {
		panic(fmt.Errorf("no node is marked as what a block's attention or MLP reads (mark.ReadBy)"))
	}
	return layer
}
