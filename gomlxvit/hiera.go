package gomlxvit

import (
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// HieraConfig describes a Hiera: Ryali et al. 2023 (arXiv 2306.00989), in the layout of timm. Its first blocks attend within
// mask units, squares of 8 x 8 patches; the first block of each later stage halves the map by taking the largest of every four
// queries, and of every four tokens of the stream.
type HieraConfig struct {
	ImageSize  int     // side of the square picture in pixels
	Width      int     // channels of the first stage; every stage doubles them
	Heads      int     // attention heads of the first stage; every stage doubles them
	Depths     []int   // blocks of each of the four stages
	MLPRatio   float64 // hidden channels of an MLP relative to the stage's
	LayerScale bool    // a learned scale per channel on what attention and MLP add
	Concat     bool    // the stream is widened by its largest and its mean values side by side, not by a linear layer
	// GlobalPositions, if not 0, is the side of a map of positions that is resampled to the picture's; positions within a mask
	// unit are added to it (arXiv 2311.05613). 0 stands for a learned position of each patch.
	GlobalPositions int
	Classes         int // outputs of the linear head, 0 for none
}

const (
	hieraPatch   = 4 // pixels from one patch to the next
	hieraKernel  = 7 // side of a patch in pixels: patches overlap
	hieraUnit    = 8 // side of a mask unit in patches
	hieraEpsilon = 1e-6
)

// hieraWithin says in which stages attention stays within mask units. The first block of a stage does as the stage before.
var hieraWithin = [4]bool{true, true, false, false}

// hieraArguments are the arguments of timm's Hiera.
type hieraArguments struct {
	HieraConfig
	windowed bool // abs_win_pos_embed
	global   int  // global_pos_size
}

func newHieraArguments() *hieraArguments {
	return &hieraArguments{HieraConfig: HieraConfig{ImageSize: 224, Width: 96, Heads: 1, Depths: []int{2, 3, 16, 3}, MLPRatio: 4}, global: 14}
}

func (c *hieraArguments) set(arg argument) (known bool, err error) {
	switch arg.key {
	case "img_size":
		err = arg.side(&c.ImageSize)
	case "embed_dim":
		err = arg.integer(&c.Width)
	case "num_heads":
		err = arg.integer(&c.Heads)
	case "stages":
		err = arg.integers(&c.Depths)
	case "mlp_ratio":
		err = arg.number(&c.MLPRatio)
	case "init_values":
		c.LayerScale = arg.value != nil
	case "use_expand_proj":
		linear := true
		err = arg.boolean(&linear)
		c.Concat = !linear
	case "abs_win_pos_embed":
		err = arg.boolean(&c.windowed)
	case "global_pos_size":
		err = arg.side(&c.global)
	case "head_init_scale": // of training
	case "q_pool":
		err = arg.mustBe(3.0)
	case "dim_mul", "head_mul":
		err = arg.mustBe(2.0)
	case "sep_pos_embed":
		err = arg.mustBe(nil, false)
	case "norm_layer":
		err = arg.mustBe("LayerNorm", "layernorm")
	case "q_stride":
		err = onlySide(arg, 2)
	case "mask_unit_size":
		err = onlySide(arg, hieraUnit)
	case "patch_kernel":
		err = onlySide(arg, hieraKernel)
	case "patch_stride":
		err = onlySide(arg, hieraPatch)
	case "patch_padding":
		err = onlySide(arg, hieraKernel/2)
	default:
		return false, nil
	}
	return true, err
}

// onlySide refuses a length other than the usual one.
func onlySide(arg argument, usual int) error {
	side := 0
	if err := arg.side(&side); err != nil || side == usual {
		return err
	}
	return arg.wrong(fmt.Sprint(usual))
}

func (c *hieraArguments) build(classes int, pool string) (resizable, error) {
	c.Classes = classes
	if c.windowed {
		c.GlobalPositions = c.global
	}
	if err := onlyAverage(pool); err != nil {
		return nil, err
	}
	return &c.HieraConfig, c.check()
}

// side is the number of tokens along one side of a stage's map.
func (c *HieraConfig) side(stage int) int { return c.ImageSize / hieraPatch >> stage }

func (c *HieraConfig) dim(stage int) int { return c.Width << stage }

func (c *HieraConfig) hidden(stage int) int { return int(float64(c.dim(stage)) * c.MLPRatio) }

// widens reports whether a block is the first of a later stage, which halves the map and doubles the channels.
func widens(b mark.Block) bool { return b.Stage > 0 && b.Index == 0 }

// windows gives the groups of tokens that attend within themselves in a block, as it reads them.
func (c *HieraConfig) windows(b mark.Block) windows {
	stage := b.Stage
	if widens(b) {
		stage--
	}
	g := windows{side: c.side(stage), size: hieraUnit >> stage}
	if !hieraWithin[stage] {
		g.size = g.side
	}
	return g
}

// check says what in the configuration cannot be built.
func (c *HieraConfig) check() error {
	switch unit := hieraPatch * hieraUnit; {
	case c.ImageSize <= 0 || c.Width <= 0 || c.Heads <= 0 || c.MLPRatio <= 0 || c.Classes < 0:
		return fmt.Errorf("image size, width, heads and MLP ratio must be positive and classes not negative, got %d, %d, %d, %g, %d",
			c.ImageSize, c.Width, c.Heads, c.MLPRatio, c.Classes)
	case c.ImageSize > 1<<14 || c.Width > 1<<14 || c.Classes > 1<<24 || c.MLPRatio > 64:
		return fmt.Errorf("image size %d, width %d, classes %d or MLP ratio %g is beyond any known Hiera", c.ImageSize, c.Width, c.Classes, c.MLPRatio)
	case c.ImageSize%unit != 0:
		return fmt.Errorf("image size %d is not a multiple of %d, the side of a mask unit in pixels", c.ImageSize, unit)
	case len(c.Depths) != len(hieraWithin):
		return fmt.Errorf("there are %d stages, only %d are supported", len(c.Depths), len(hieraWithin))
	case c.Width%c.Heads != 0:
		return fmt.Errorf("width %d is not a multiple of the number of heads %d", c.Width, c.Heads)
	case c.GlobalPositions < 0 || c.GlobalPositions > 1<<10:
		return fmt.Errorf("global_pos_size %d is beyond any known Hiera", c.GlobalPositions)
	}
	for stage, depth := range c.Depths {
		if depth <= 0 || depth > 1<<12 {
			return fmt.Errorf("stage %d has %d blocks", stage, depth)
		}
	}
	return nil
}

// withImageSize returns the same Hiera for pictures of another size. A learned position of each patch is resampled.
func (c *HieraConfig) withImageSize(size int) (resizable, error) {
	resized := *c
	resized.ImageSize = size
	return &resized, resized.check()
}

// InputSize implements Architecture.
func (c *HieraConfig) InputSize() int { return c.ImageSize }

// PrefixTokens implements Architecture: all tokens are positions.
func (c *HieraConfig) PrefixTokens() int { return 0 }

// OutputDim implements Architecture.
func (c *HieraConfig) OutputDim() int { return c.dim(len(c.Depths) - 1) }

// NumClasses implements Architecture.
func (c *HieraConfig) NumClasses() int { return c.Classes }

// Blocks lists the blocks in forward order.
func (c *HieraConfig) Blocks() []mark.Block { return mark.Staged(c.Depths) }

// Params lists every tensor of the checkpoint, in forward order.
func (c *HieraConfig) Params() []Param {
	var l paramList
	if c.GlobalPositions > 0 {
		l.add("pos_embed", 1, c.Width, c.GlobalPositions, c.GlobalPositions)
		l.add("pos_embed_win", 1, c.Width, hieraUnit, hieraUnit)
	} else {
		l = append(l, Param{Name: "pos_embed", Dims: []int{1, c.side(0) * c.side(0), c.Width}, position: true})
	}
	l.add("patch_embed.proj.weight", c.Width, 3, hieraKernel, hieraKernel)
	l.add("patch_embed.proj.bias", c.Width)
	for _, b := range c.Blocks() {
		name, dim, in := fmt.Sprintf("blocks.%d.", b.Order), c.dim(b.Stage), c.dim(b.Stage)
		if widens(b) {
			in /= 2
			if !c.Concat {
				l.linear(name+"proj", dim, in)
			}
		}
		l.norm(name+"norm1", in)
		l.linear(name+"attn.qkv", 3*dim, in)
		l.linear(name+"attn.proj", dim, dim)
		l.norm(name+"norm2", dim)
		l.linear(name+"mlp.fc1", c.hidden(b.Stage), dim)
		l.linear(name+"mlp.fc2", dim, c.hidden(b.Stage))
		if c.LayerScale {
			l.add(name+"ls1.gamma", dim)
			l.add(name+"ls2.gamma", dim)
		}
	}
	l.norm("head.norm", c.OutputDim())
	if c.Classes > 0 {
		l.linear("head.fc", c.Classes, c.OutputDim())
	}
	return l
}

// Representation builds the forward pass from normalised pixels [batch, 3, height, width] to the final representation
// [batch, dim], the last norm of the mean over tokens, and marks its parts for package decompose.
func (c *HieraConfig) Representation(w Weights, pixels *graph.Node) *graph.Node {
	x := c.embedding(w, pixels)
	for _, b := range c.Blocks() {
		x = c.block(w, mark.BlockInput(x, b), b)
	}
	return layerNorm(w, "head.norm", averageTokens(x), hieraEpsilon)
}

// Head builds the logits [batch, class] from the representation [batch, dim]; nil for a model without a head.
func (c *HieraConfig) Head(w Weights, representation *graph.Node) *graph.Node {
	if c.Classes == 0 {
		return nil
	}
	return addBias(contractLast(w, representation, w.Get("head.fc.weight")), w.Get("head.fc.bias"))
}

// embedding gives the tokens [batch, patch, width] with their positions, row by row.
func (c *HieraConfig) embedding(w Weights, pixels *graph.Node) *graph.Node {
	x := graph.TransposeAllAxes(pixels, 0, 2, 3, 1)
	padding := [2]int{hieraKernel / 2, hieraKernel / 2}
	x = convolvePadded(w, x, w.Get("patch_embed.proj.weight"), hieraPatch, [][2]int{padding, padding})
	side := c.side(0)
	x = graph.Reshape(x, x.Shape().Dim(0), side*side, c.Width)
	return graph.Add(addBias(x, w.Get("patch_embed.proj.bias")), c.positions(w))
}

// positions are the position embeddings [1, patch, width].
func (c *HieraConfig) positions(w Weights) *graph.Node {
	positions := w.Get("pos_embed")
	if c.GlobalPositions == 0 {
		return positions
	}
	side := c.side(0)
	if c.GlobalPositions != side {
		taps := antialiasedFilter.taps(c.GlobalPositions, side)
		matrix := make([][]float32, side) // [new, old]
		for i, t := range taps {
			matrix[i] = make([]float32, c.GlobalPositions)
			for k, weight := range t.Weights {
				matrix[i][t.First+k] = float32(weight)
			}
		}
		m := graph.Const(positions.Graph(), matrix)
		positions = graph.Einsum("bciw,jw->bcij", graph.Einsum("bcyx,iy->bcix", positions, m), m)
	}
	within := graph.Concatenate(slices.Repeat([]*graph.Node{w.Get("pos_embed_win")}, side/hieraUnit), 2)
	within = graph.Concatenate(slices.Repeat([]*graph.Node{within}, side/hieraUnit), 3)
	positions = graph.Reshape(graph.Add(positions, within), 1, c.Width, side*side)
	return graph.Transpose(positions, 1, 2)
}

// block adds attention and MLP to the residual stream x [batch, token, dim]:
//
//	x = shortcut(x) + Attention(norm1(x));  x = x + MLP(norm2(x))
//
// In the first block of a later stage the shortcut is the largest of every 2 x 2 tokens of a linear layer of norm1(x), or, with
// Concat, the largest and the mean of every 2 x 2 of x itself side by side; else it is x.
func (c *HieraConfig) block(w Weights, x *graph.Node, b mark.Block) *graph.Node {
	name := fmt.Sprintf("blocks.%d.", b.Order)
	scaled := func(branch *graph.Node, scale string) *graph.Node {
		if c.LayerScale {
			branch = graph.Mul(branch, channels(w.Get(name+scale), branch.Rank()))
		}
		return branch
	}
	normed := layerNorm(w, name+"norm1", x, hieraEpsilon)
	mark.ReadBy(normed, b, mark.Attn)
	if widens(b) {
		side := c.side(b.Stage - 1)
		if c.Concat {
			x = graph.Concatenate([]*graph.Node{largestOfFours(x, side), averageFours(x, side)}, -1)
		} else {
			x = largestOfFours(addBias(contractLast(w, normed, w.Get(name+"proj.weight")), w.Get(name+"proj.bias")), side)
		}
	}
	x = addBranch(x, scaled(c.attention(w, normed, b), "ls1.gamma"))

	normed = layerNorm(w, name+"norm2", x, hieraEpsilon)
	mark.ReadBy(normed, b, mark.MLP)
	return addBranch(x, scaled(mlp(w, normed, name+"mlp.fc1", name+"mlp.fc2", GELU, b, mark.MLP), "ls2.gamma"))
}

// attention computes the attention of x [batch, token, dim] within mask units, or of all tokens. The first block of a later
// stage takes the largest of every 2 x 2 queries, so that a quarter of the tokens remains.
func (c *HieraConfig) attention(w Weights, x *graph.Node, b mark.Block) *graph.Node {
	name, g := fmt.Sprintf("blocks.%d.attn.", b.Order), c.windows(b)
	batch, dim, heads := x.Shape().Dim(0), c.dim(b.Stage), c.Heads<<b.Stage
	qkv := addBias(contractLast(w, g.partition(x), w.Get(name+"qkv.weight")), w.Get(name+"qkv.bias"))
	part := func(i int) *graph.Node { return graph.SliceAxis(qkv, 2, graph.AxisRange(i*dim, (i+1)*dim)) }
	byHead := func(x *graph.Node) *graph.Node {
		return graph.Reshape(x, x.Shape().Dim(0), x.Shape().Dim(1), heads, dim/heads)
	}
	a := mark.Attention{Block: b, Heads: heads, QKV: qkv}
	queries, read := part(0), g
	if widens(b) {
		queries, a.QKV = largestOfFours(queries, g.size), nil
		read = windows{side: g.side / 2, size: g.size / 2}
	}
	if g.count() > 1 {
		a.Windows, a.Positions = g.count(), g.positions()
	}
	a.Values = byHead(part(2))
	a.Weights, queries = attend(w, byHead(queries), byHead(part(1)), a.Values, nil)
	merged := graph.Reshape(queries, batch, read.side*read.side, dim)
	mark.Heads(merged, a)
	out := contractLast(w, merged, w.Get(name+"proj.weight"))
	mark.Component(out, b, mark.Attn)
	return read.merge(addBias(out, w.Get(name+"proj.bias")))
}
