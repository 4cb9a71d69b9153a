package gomlxvit

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// SwinConfig describes a Swin transformer: Liu et al. 2021 (arXiv 2103.14030), or Swin V2 (arXiv 2111.09883), in the layout of
// timm, where a stage begins with the merging of patches.
type SwinConfig struct {
	ImageSize int   // side of the square picture in pixels
	PatchSize int   // side of a patch in pixels
	Width     int   // channels of the first stage; every stage doubles them
	Depths    []int // blocks of each stage
	Heads     []int // attention heads of each stage
	// Windows are the sides of the attention windows of each stage, in tokens. Where the map is no larger the window is
	// the map, and nothing is shifted.
	Windows  []int
	MLPRatio float64 // hidden channels of an MLP relative to the stage's
	QKVBias  bool    // queries, keys and values have biases
	Classes  int     // outputs of the linear head, 0 for none
	Epsilon  float64 // of every norm

	// V2 makes a Swin V2: scores are cosines, the bias of a pair of tokens is computed from their offset, and norms are behind
	// attention, MLP and merging.
	V2 bool
	// Pretrained are the sides of the windows of each stage for which a Swin V2 was trained first; 0 or none stands for
	// Windows.
	Pretrained []int
	// MaskedTwice adds what keeps tokens apart that shifting brought together twice to their scores, as the transformers library
	// does in a Swin V2; with cosines times up to 100 it can be seen.
	MaskedTwice bool
}

// swinArguments are the arguments of timm's SwinTransformer.
type swinArguments struct{ SwinConfig }

func newSwinArguments() *swinArguments {
	return &swinArguments{SwinConfig{
		ImageSize: 224, PatchSize: 4, Width: 96, Depths: []int{2, 2, 6, 2}, Heads: []int{3, 6, 12, 24}, Windows: []int{7, 7, 7, 7},
		MLPRatio: 4, QKVBias: true, Epsilon: 1e-5,
	}}
}

func newSwinV2Arguments() *swinArguments {
	a := newSwinArguments()
	a.V2 = true
	return a
}

func (c *swinArguments) set(arg argument) (known bool, err error) {
	switch arg.key {
	case "img_size":
		err = arg.side(&c.ImageSize)
	case "patch_size":
		err = arg.side(&c.PatchSize)
	case "embed_dim":
		err = arg.integer(&c.Width)
	case "depths":
		// One window size serves all stages, however many there are, until window_size says otherwise.
		if err = arg.integers(&c.Depths); err == nil {
			c.Windows = slices.Repeat(c.Windows[:1], len(c.Depths))
		}
	case "num_heads":
		err = arg.integers(&c.Heads)
	case "mlp_ratio":
		err = arg.number(&c.MLPRatio)
	case "qkv_bias":
		err = arg.boolean(&c.QKVBias)
	case "window_size":
		c.Windows, err = windowSizes(arg, len(c.Depths))
	case "strict_img_size", "dynamic_img_size":
		// pictures of other sizes are not taken here
	case "head_dim":
		if c.V2 {
			return false, nil
		}
		err = arg.mustBe(nil)
	case "pretrained_window_sizes":
		if !c.V2 {
			return false, nil
		}
		err = arg.integers(&c.Pretrained)
	case "act_layer":
		err = arg.mustBe(nil, "gelu")
	case "always_partition":
		err = arg.mustBe(nil, false)
	case "embed_layer":
		err = arg.mustBe("PatchEmbed")
	case "norm_layer":
		err = arg.mustBe("LayerNorm", "layernorm")
	default:
		return false, nil
	}
	return true, err
}

func (c *swinArguments) build(classes int, pool string) (resizable, error) {
	c.Classes = classes
	if err := onlyAverage(pool); err != nil {
		return nil, err
	}
	return &c.SwinConfig, c.check()
}

// onlyAverage refuses what an architecture with stages cannot be pooled by.
func onlyAverage(pool string) error {
	if pool != "" && pool != "avg" {
		return fmt.Errorf("global_pool %q is not supported: only avg", pool)
	}
	return nil
}

// windowSizes reads window_size: one side, a pair of equal sides, or a list of those, one for each stage.
func windowSizes(arg argument, stages int) ([]int, error) {
	sizes := make([]int, stages)
	list, ok := arg.value.([]any)
	perStage := ok && len(list) == stages && stages != 2
	if stages == 2 && len(list) == 2 { // two numbers are height and width
		_, perStage = list[0].([]any)
	}
	for stage := range sizes {
		side := arg
		if perStage {
			side.value = list[stage]
		}
		if err := side.side(&sizes[stage]); err != nil {
			return nil, arg.wrong("one size, or one for each stage; windows are square")
		}
	}
	return sizes, nil
}

// side is the number of tokens along one side of a stage's map.
func (c *SwinConfig) side(stage int) int { return c.ImageSize / c.PatchSize >> stage }

// dim is the number of channels of a stage.
func (c *SwinConfig) dim(stage int) int { return c.Width << stage }

// hidden is the number of hidden channels of a stage's MLPs.
func (c *SwinConfig) hidden(stage int) int { return int(float64(c.dim(stage)) * c.MLPRatio) }

// windows gives the windows of a block: odd blocks shift them by half a window.
func (c *SwinConfig) windows(block mark.Block) windows {
	g := windows{side: c.side(block.Stage), size: c.Windows[block.Stage], maskedTwice: c.MaskedTwice}
	switch {
	case g.side <= g.size:
		g.size = g.side
	case block.Index%2 == 1:
		g.shift = g.size / 2
	}
	return g
}

// check says what in the configuration cannot be built.
func (c *SwinConfig) check() error {
	stages := len(c.Depths)
	switch {
	case c.ImageSize <= 0 || c.PatchSize <= 0 || c.Width <= 0 || c.MLPRatio <= 0 || c.Classes < 0:
		return fmt.Errorf("image size, patch size, width and MLP ratio must be positive and classes not negative, got %d, %d, %d, %g, %d",
			c.ImageSize, c.PatchSize, c.Width, c.MLPRatio, c.Classes)
	case stages == 0 || stages > 16 || len(c.Heads) != stages || len(c.Windows) != stages:
		return fmt.Errorf("there are depths for %d stages, heads for %d and windows for %d: there must be as many of each, 1 to 16",
			stages, len(c.Heads), len(c.Windows))
	case c.ImageSize > 1<<14 || c.Width > 1<<16 || c.Classes > 1<<24 || c.MLPRatio > 64:
		return fmt.Errorf("image size %d, width %d, classes %d or MLP ratio %g is beyond any known Swin transformer",
			c.ImageSize, c.Width, c.Classes, c.MLPRatio)
	case c.ImageSize < c.PatchSize:
		return fmt.Errorf("image size %d is smaller than the patch size %d", c.ImageSize, c.PatchSize)
	case c.ImageSize/c.PatchSize%(1<<(stages-1)) != 0:
		return fmt.Errorf("a map of %d x %d patches cannot be halved %d times; choose an image size that is a multiple of %d",
			c.side(0), c.side(0), stages-1, c.PatchSize<<(stages-1))
	}
	for _, side := range c.Pretrained {
		if side < 0 {
			return fmt.Errorf("pretrained_window_sizes must not be negative, got %v", c.Pretrained)
		}
	}
	for stage, depth := range c.Depths {
		heads, window := c.Heads[stage], c.Windows[stage]
		switch {
		case depth <= 0 || depth > 1<<12 || heads <= 0 || window <= 0:
			return fmt.Errorf("stage %d has %d blocks, %d heads and windows of %d: all must be positive", stage, depth, heads, window)
		case c.dim(stage)%heads != 0:
			return fmt.Errorf("stage %d: width %d is not a multiple of the number of heads %d", stage, c.dim(stage), heads)
		case c.side(stage) > window && c.side(stage)%window != 0:
			return fmt.Errorf("stage %d: windows of %d do not divide a map of %d x %d tokens evenly, which is not supported; change window_size or the image size",
				stage, window, c.side(stage), c.side(stage))
		}
	}
	return nil
}

// withImageSize returns the same transformer for pictures of another size. As in timm the windows keep their size.
func (c *SwinConfig) withImageSize(size int) (resizable, error) {
	resized := *c
	resized.ImageSize = size
	if err := resized.check(); err != nil {
		return nil, err
	}
	for _, block := range c.Blocks() {
		if was, is := c.windows(block).size, resized.windows(block).size; was != is {
			return nil, fmt.Errorf("stage %d would have windows of %d instead of %d, for which the checkpoint has no position biases", block.Stage, is, was)
		}
	}
	return &resized, nil
}

// InputSize implements Architecture.
func (c *SwinConfig) InputSize() int { return c.ImageSize }

// PrefixTokens implements Architecture: all tokens are positions.
func (c *SwinConfig) PrefixTokens() int { return 0 }

// OutputDim implements Architecture.
func (c *SwinConfig) OutputDim() int { return c.dim(len(c.Depths) - 1) }

// NumClasses implements Architecture.
func (c *SwinConfig) NumClasses() int { return c.Classes }

// Blocks lists the blocks in forward order.
func (c *SwinConfig) Blocks() []mark.Block { return mark.Staged(c.Depths) }

func (c *SwinConfig) blockName(b mark.Block) string {
	return fmt.Sprintf("layers.%d.blocks.%d.", b.Stage, b.Index)
}

func (c *SwinConfig) mergeName(stage int) string { return fmt.Sprintf("layers.%d.downsample.", stage) }

// Params lists every tensor of the checkpoint, in forward order.
func (c *SwinConfig) Params() []Param {
	var l paramList
	l.add("patch_embed.proj.weight", c.Width, 3, c.PatchSize, c.PatchSize)
	l.add("patch_embed.proj.bias", c.Width)
	l.norm("patch_embed.norm", c.Width)
	for _, b := range c.Blocks() {
		dim := c.dim(b.Stage)
		if b.Stage > 0 && b.Index == 0 {
			merge := c.mergeName(b.Stage)
			if c.V2 {
				l.norm(merge+"norm", dim)
			} else {
				l.norm(merge+"norm", 2*dim) // 4 patches of half the channels
			}
			l.add(merge+"reduction.weight", dim, 2*dim)
		}
		name, offsets := c.blockName(b), 2*c.windows(b).size-1
		l.norm(name+"norm1", dim)
		if c.V2 {
			l.add(name+"attn.logit_scale", c.Heads[b.Stage], 1, 1)
			l.linear(name+"attn.cpb_mlp.0", positionHidden, 2)
			l.add(name+"attn.cpb_mlp.2.weight", c.Heads[b.Stage], positionHidden)
		} else {
			l.add(name+"attn.relative_position_bias_table", offsets*offsets, c.Heads[b.Stage])
		}
		l.add(name+"attn.qkv.weight", 3*dim, dim)
		switch {
		case c.QKVBias && c.V2:
			l.add(name+"attn.q_bias", dim)
			l.add(name+"attn.v_bias", dim)
		case c.QKVBias:
			l.add(name+"attn.qkv.bias", 3*dim)
		}
		l.linear(name+"attn.proj", dim, dim)
		l.norm(name+"norm2", dim)
		l.linear(name+"mlp.fc1", c.hidden(b.Stage), dim)
		l.linear(name+"mlp.fc2", dim, c.hidden(b.Stage))
	}
	l.norm("norm", c.OutputDim())
	if c.Classes > 0 {
		l.linear("head.fc", c.Classes, c.OutputDim())
	}
	return l
}

// Representation builds the forward pass from normalised pixels [batch, 3, height, width] to the final representation
// [batch, dim], the mean over tokens after the last norm, and marks its parts for package decompose.
func (c *SwinConfig) Representation(w Weights, pixels *graph.Node) *graph.Node {
	return averageTokens(c.features(w, pixels))
}

// features gives the tokens [batch, token, dim] after the last norm.
func (c *SwinConfig) features(w Weights, pixels *graph.Node) *graph.Node {
	x := addBias(patchEmbedding(w, pixels, w.Get("patch_embed.proj.weight")), w.Get("patch_embed.proj.bias"))
	x = layerNorm(w, "patch_embed.norm", x, c.Epsilon)
	for _, b := range c.Blocks() {
		if b.Stage > 0 && b.Index == 0 {
			x = c.mergePatches(w, x, b.Stage)
		}
		x = mark.BlockInput(x, b)
		x = c.block(w, x, b)
	}
	return layerNorm(w, "norm", x, c.Epsilon)
}

// Head builds the logits [batch, class] from the representation [batch, dim]; nil for a model without a head.
func (c *SwinConfig) Head(w Weights, representation *graph.Node) *graph.Node {
	if c.Classes == 0 {
		return nil
	}
	return addBias(contractLast(w, representation, w.Get("head.fc.weight")), w.Get("head.fc.bias"))
}

// mergePatches halves the map that enters a stage: the channels of 2 x 2 tokens are concatenated, column by column,
// normalised and mapped to twice the channels of one; in a Swin V2 mapped and then normalised.
func (c *SwinConfig) mergePatches(w Weights, x *graph.Node, stage int) *graph.Node {
	side := c.side(stage - 1)
	x = graph.Concatenate([]*graph.Node{
		everyOther(x, side, 0, 0), everyOther(x, side, 1, 0), everyOther(x, side, 0, 1), everyOther(x, side, 1, 1),
	}, -1)
	if !c.V2 {
		x = layerNorm(w, c.mergeName(stage)+"norm", x, c.Epsilon)
	}
	x = contractLast(w, x, w.Get(c.mergeName(stage)+"reduction.weight"))
	if c.V2 {
		x = layerNorm(w, c.mergeName(stage)+"norm", x, c.Epsilon)
	}
	return x
}

// block adds attention within windows and MLP to the residual stream x [batch, token, dim]:
//
//	x = x + Attention(norm1(x));  x = x + MLP(norm2(x))
//
// or, in a Swin V2, x + norm1(Attention(x)) and x + norm2(MLP(x)).
func (c *SwinConfig) block(w Weights, x *graph.Node, b mark.Block) *graph.Node {
	name := c.blockName(b)
	attention := windowAttention{windows: c.windows(b), block: b, heads: c.Heads[b.Stage], prefix: name + "attn."}
	switch {
	case c.QKVBias && c.V2:
		q, v := w.Get(name+"attn.q_bias"), w.Get(name+"attn.v_bias")
		attention.qkvBias = graph.Concatenate([]*graph.Node{q, graph.ZerosLike(q), v}, 0)
	case c.QKVBias:
		attention.qkvBias = w.Get(name + "attn.qkv.bias")
	}
	if c.V2 {
		attention.table = c.continuousBias(w, b)
		attention.prepare = cosines(w.Get(name + "attn.logit_scale"))
	} else {
		attention.table = w.Get(name + "attn.relative_position_bias_table")
	}
	part := func(part mark.Part, norm string, compute func(x *graph.Node) *graph.Node) {
		read := x
		if !c.V2 {
			read = layerNorm(w, name+norm, x, c.Epsilon)
		}
		mark.ReadBy(read, b, part)
		y := compute(read)
		if c.V2 {
			y = layerNorm(w, name+norm, y, c.Epsilon)
		}
		x = addBranch(x, y)
	}
	part(mark.Attn, "norm1", func(x *graph.Node) *graph.Node { return attention.apply(w, x) })
	part(mark.MLP, "norm2", func(x *graph.Node) *graph.Node { return mlp(w, x, name+"mlp.fc1", name+"mlp.fc2", GELU, b, mark.MLP) })
	return x
}

// positionHidden is the width of the MLP that computes the biases of a Swin V2.
const positionHidden = 512

// continuousBias is the table [offset, head] of a Swin V2's relative position biases, which an MLP computes from the offsets
// on a logarithmic scale.
func (c *SwinConfig) continuousBias(w Weights, b mark.Block) *graph.Node {
	name, size := c.blockName(b)+"attn.cpb_mlp.", c.windows(b).size
	span := size
	if b.Stage < len(c.Pretrained) && c.Pretrained[b.Stage] > 0 {
		span = c.Pretrained[b.Stage]
	}
	coordinate := func(offset int) float32 {
		scaled := 8 * float64(offset) / float64(max(span-1, 1))
		return float32(math.Copysign(math.Log2(math.Abs(scaled)+1)/3, scaled))
	}
	return graph.MulScalar(graph.Sigmoid(computedBias(w, name+"0", name+"2", size, coordinate)), 16)
}

// cosines makes queries and keys [batch, token, head, headDim] such that their scaled products are the cosines between them,
// times exp(logScale) of each head, at most 100.
func cosines(logScale *graph.Node) func(q, k *graph.Node) (*graph.Node, *graph.Node) {
	return func(q, k *graph.Node) (*graph.Node, *graph.Node) {
		scale := graph.Exp(graph.MinScalar(logScale, math.Log(100)))
		scale = graph.MulScalar(graph.Reshape(scale, 1, 1, q.Shape().Dim(2), 1), math.Sqrt(float64(q.Shape().Dim(3))))
		return graph.Mul(unit(q), scale), unit(k)
	}
}
