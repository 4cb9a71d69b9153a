package gomlxvit

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
)

// stemEpsilon is PyTorch's default of batch norms.
const stemEpsilon = 1e-5

// stemWidths are the channels behind each of the three convolutions of [ViTConfig].ConvStem.
func (c *ViTConfig) stemWidths() [3]int { return [3]int{c.Width / 4, c.Width / 4, c.Width} }

// addStem lists the tensors of the convolutions that embed patches: of 4 x 4 pixels, then of 2 x 2 positions, twice. A batch norm
// follows the first two, the last has a bias.
func (c *ViTConfig) addStem(l *paramList) {
	in, kernel := 3, 4
	for i, out := range c.stemWidths() {
		name := fmt.Sprintf(c.names.stem, i)
		l.add(name+"conv.weight", out, in, kernel, kernel)
		if i == 2 {
			l.add(name+"conv.bias", out)
		} else {
			l.batchNorm(name+"bn", out)
		}
		in, kernel = out, 2
	}
}

// stem embeds patches: pixels [batch, 3, height, width] become tokens [batch, patch, width]. No convolution overlaps itself, so each
// is a product with patches of what is before it.
func (c *ViTConfig) stem(w Weights, pixels *graph.Node) *graph.Node {
	x := pixels
	for i := range c.stemWidths() {
		name := fmt.Sprintf(c.names.stem, i)
		kernel := w.Get(name + "conv.weight")
		if i > 0 { // tokens as a map again
			side := c.Grid() * 4 >> (i - 1)
			x = graph.Reshape(graph.TransposeAllAxes(x, 0, 2, 1), x.Shape().Dim(0), x.Shape().Dim(2), side, side)
		} else if seen := c.Grid() * c.PatchSize; seen < c.ImageSize {
			x = graph.Slice(x, graph.AxisRange(), graph.AxisRange(), graph.AxisRange(0, seen), graph.AxisRange(0, seen))
		}
		x = patchEmbedding(w, x, kernel)
		if i == 2 {
			return addBias(x, w.Get(name+"conv.bias"))
		}
		x = activate(batchNorm(w, name+"bn", x, stemEpsilon), c.Activation)
	}
	return x
}
