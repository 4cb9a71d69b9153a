package zoo

import (
	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit"
)

// What self-distillation changes in a vision transformer of timm.

const (
	maskToken         = "mask_token" // weight [1, width] that stands for a patch which training hides; no checkpoint has it
	positionEmbedding = "pos_embed"
)

// mask gives what hides patches [batch, patch, width] where masked [batch, patch] is 1 (iBOT, Zhou et al. 2021, arXiv
// 2111.07832); nil for nothing masked.
func mask(w gomlxvit.Weights, masked *graph.Node) func(patches *graph.Node) *graph.Node {
	if masked == nil {
		return nil
	}
	return func(patches *graph.Node) *graph.Node {
		hidden := graph.InsertAxes(masked, -1)
		return graph.Add(graph.Mul(patches, graph.OneMinus(hidden)), graph.Mul(graph.InsertAxes(w.Get(maskToken), 0), hidden))
	}
}

// localView is the same transformer for a local view, which has grid x grid patches of the same size. Its weights are
// those of localWeights.
func localView(c *gomlxvit.ViTConfig, grid int) *gomlxvit.ViTConfig {
	local := *c
	local.ImageSize = grid * c.PatchSize
	return &local
}

// localWeights are the weights for a local view: position embeddings are the means of those of the patches that lie
// where a patch of the local view would, if the view was the whole picture. grid must divide the grid of c.
func localWeights(c *gomlxvit.ViTConfig, w gomlxvit.Weights, grid int) gomlxvit.Weights {
	position, prefix, factor := w.Get(positionEmbedding), c.PrefixTokens(), c.Grid()/grid
	if c.PositionPatches {
		prefix = 0
	}
	fixed := graph.SliceAxis(position, 1, graph.AxisRange(0, prefix))
	patches := graph.SliceAxis(position, 1, graph.AxisRange(prefix, prefix+c.Grid()*c.Grid()))
	patches = graph.ReduceMean(graph.Reshape(patches, grid, factor, grid, factor, c.Width), 1, 3)
	patches = graph.Reshape(patches, 1, grid*grid, c.Width)
	if prefix > 0 {
		patches = graph.Concatenate([]*graph.Node{fixed, patches}, 1)
	}
	return replaced{w, positionEmbedding, patches}
}

// replaced are weights of which one has another value.
type replaced struct {
	gomlxvit.Weights
	name  string
	value *graph.Node
}

// Get implements gomlxvit.Weights.
func (r replaced) Get(name string) *graph.Node {
	if name == r.name {
		return r.value
	}
	return r.Weights.Get(name)
}
