package gomlxvit

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// Activation is the non-linearity of the MLPs.
type Activation string

// The activations of the ViT family.
const (
	GELU      Activation = "gelu"       // x Φ(x), with the error function
	GELUTanh  Activation = "gelu_tanh"  // the tanh approximation of it
	QuickGELU Activation = "quick_gelu" // x σ(1.702 x), of the first CLIP models
	SwiGLU    Activation = "swiglu"     // of two halves x and y: x σ(x) y (Shazeer 2020, arXiv 2002.05202)
)

// Beside is what a representation has beside the class token, behind it.
type Beside string

// What stands beside the class token: nothing, the mean of the patch tokens (DINOv2's linear heads), or the second token
// (the distillation token of a DeiT with two heads, Touvron et al. 2021, arXiv 2012.12877).
const (
	BesideNothing Beside = ""
	BesidePatches Beside = "patches"
	BesideSecond  Beside = "second token"
)

// ViTConfig describes a plain vision transformer: Dosovitskiy et al. 2020 (arXiv 2010.11929) with the variations of
// DeiT, AugReg, DINO, DINOv2 (LayerScale, register tokens) and the image tower of CLIP.
type ViTConfig struct {
	ImageSize int // side of the square picture in pixels
	PatchSize int // side of a patch in pixels
	Width     int // channels of the residual stream
	Depth     int // number of blocks
	Heads     int // attention heads of each block
	MLPHidden int // hidden channels of each MLP

	ClassToken      bool    // a class token is put before the patches
	RegisterTokens  int     // register tokens between class token and patches (arXiv 2309.16588)
	PositionPatches bool    // position embeddings are for patches only, added before class and registers are put in front
	PatchBias       bool    // the patch embedding has a bias
	QKVBias         bool    // queries, keys and values have biases
	PreNorm         bool    // a norm before the first block (CLIP)
	LayerScale      bool    // a learned scale per channel on what attention and MLP add (arXiv 2103.17239)
	FinalNorm       bool    // a norm after the last block, before pooling
	AveragePool     bool    // mean of the patch tokens instead of the class token
	Beside          Beside  // what the representation has behind the class token
	PoolNorm        bool    // a norm after pooling (timm's fc_norm)
	Projection      int     // width of a linear projection after pooling without bias (CLIP), 0 for none
	Classes         int     // outputs of the linear head, 0 for none
	Epsilon         float64 // of every norm
	Activation      Activation

	names vitNames
	// filter is what position embeddings are resampled with.
	filter positionFilter
}

// vitNames are the names of the tensors in a checkpoint. timm and open_clip call the same things differently.
type vitNames struct {
	patch, class, position, register, preNorm             string
	block                                                 string // with %d
	norm1, qkvWeight, qkvBias, attnOut, scale1            string // within a block
	norm2, fc1, fc2, scale2                               string
	finalNorm, poolNorm, projection, headWeight, headBias string
}

var timmNames = vitNames{
	patch: "patch_embed.proj", class: "cls_token", position: "pos_embed", register: "reg_token", preNorm: "norm_pre",
	block: "blocks.%d.",
	norm1: "norm1", qkvWeight: "attn.qkv.weight", qkvBias: "attn.qkv.bias", attnOut: "attn.proj", scale1: "ls1.gamma",
	norm2: "norm2", fc1: "mlp.fc1", fc2: "mlp.fc2", scale2: "ls2.gamma",
	finalNorm: "norm", poolNorm: "fc_norm", headWeight: "head.weight", headBias: "head.bias",
}

var openCLIPNames = vitNames{
	patch: "visual.conv1", class: "visual.class_embedding", position: "visual.positional_embedding",
	preNorm: "visual.ln_pre", block: "visual.transformer.resblocks.%d.",
	norm1: "ln_1", qkvWeight: "attn.in_proj_weight", qkvBias: "attn.in_proj_bias", attnOut: "attn.out_proj", scale1: "ls_1.gamma",
	norm2: "ln_2", fc1: "mlp.c_fc", fc2: "mlp.c_proj", scale2: "ls_2.gamma",
	finalNorm: "visual.ln_post", projection: "visual.proj",
}

// vitArguments are the arguments of timm's VisionTransformer.
type vitArguments struct {
	ViTConfig
	mlpRatio float64
	packed   bool  // the MLPs are gated, both halves in one layer (SwiGLUPacked)
	silu     bool  // act_layer is SiLU, which gates only
	poolNorm *bool // fc_norm; nil leaves it to the pooling
	padded   bool
}

func newViTArguments() *vitArguments {
	return &vitArguments{mlpRatio: 4, ViTConfig: ViTConfig{
		ImageSize: 224, PatchSize: 16, Width: 768, Depth: 12, Heads: 12, ClassToken: true, PatchBias: true, QKVBias: true,
		FinalNorm: true, Epsilon: 1e-6, Activation: GELU, names: timmNames,
	}}
}

func (a *vitArguments) set(arg argument) (known bool, err error) {
	switch arg.key {
	case "img_size":
		err = arg.side(&a.ImageSize)
	case "patch_size":
		err = arg.side(&a.PatchSize)
	case "embed_dim":
		err = arg.integer(&a.Width)
	case "depth":
		err = arg.integer(&a.Depth)
	case "num_heads":
		err = arg.integer(&a.Heads)
	case "mlp_ratio":
		err = arg.number(&a.mlpRatio)
	case "reg_tokens":
		err = arg.integer(&a.RegisterTokens)
	case "qkv_bias":
		err = arg.boolean(&a.QKVBias)
	case "class_token":
		err = arg.boolean(&a.ClassToken)
	case "no_embed_class":
		err = arg.boolean(&a.PositionPatches)
	case "pre_norm":
		err = arg.boolean(&a.PreNorm)
		a.PatchBias = !a.PreNorm
	case "final_norm":
		err = arg.boolean(&a.FinalNorm)
	case "fc_norm":
		if a.poolNorm = nil; arg.value != nil {
			a.poolNorm = new(bool)
			err = arg.boolean(a.poolNorm)
		}
	case "init_values":
		a.LayerScale = !arg.is(nil, 0.0, false)
	case "act_layer":
		if a.silu = arg.is("silu", "swish", "SiLU"); !a.silu {
			err = arg.activation(&a.Activation)
		}
	case "norm_layer":
		err = arg.layerNorm(&a.Epsilon)
	case "dynamic_img_size": // pictures are prepared at one size
	case "dynamic_img_pad":
		err = arg.boolean(&a.padded)
	case "qk_norm", "scale_attn_norm", "scale_mlp_norm", "pool_include_prefix":
		err = arg.mustBe(nil, false)
	case "proj_bias":
		err = arg.mustBe(true)
	case "pos_embed":
		err = arg.mustBe("learn")
	case "embed_norm_layer":
		err = arg.mustBe(nil, "")
	case "mlp_layer":
		a.packed = arg.is("SwiGLUPacked")
		err = arg.mustBe(nil, "Mlp", "SwiGLUPacked")
	case "embed_layer", "block_fn", "attn_layer": // classes, which JSON can name in the tables only
		err = arg.mustBe("PatchEmbed", "Block", "Mlp", "Attention", "attn")
	default:
		return false, nil
	}
	return true, err
}

func (a *vitArguments) build(classes int, pool string) (resizable, error) {
	c := a.ViTConfig
	c.Classes, c.MLPHidden = classes, int(a.mlpRatio*float64(c.Width))
	switch {
	case a.packed && a.silu && c.MLPHidden%2 == 0:
		c.Activation, c.MLPHidden = SwiGLU, c.MLPHidden/2
	case a.packed || a.silu:
		return nil, fmt.Errorf("act_layer silu and mlp_layer SwiGLUPacked are supported together only, with an even number of hidden channels")
	}
	switch pool {
	case "", "token":
	case "avg":
		c.AveragePool = true
	default:
		return nil, fmt.Errorf("global_pool %q is not supported: only token and avg", pool)
	}
	// timm moves the norm behind the pooling when tokens are averaged, unless fc_norm says otherwise.
	c.PoolNorm = c.AveragePool
	if a.poolNorm != nil {
		c.PoolNorm = *a.poolNorm
	}
	c.PoolNorm, c.FinalNorm = c.FinalNorm && c.PoolNorm, c.FinalNorm && !c.PoolNorm
	if err := c.check(); err != nil {
		return nil, err
	}
	if a.padded && c.ImageSize%c.PatchSize != 0 {
		return nil, fmt.Errorf("image size %d is not a multiple of the patch size %d, and padding (dynamic_img_pad) is not supported", c.ImageSize, c.PatchSize)
	}
	return &c, nil
}

// Grid returns the number of patches along one side of the picture. What is left over at the right and at the bottom is
// not seen.
func (c *ViTConfig) Grid() int { return c.ImageSize / c.PatchSize }

// PrefixTokens returns the number of tokens before the patches: class and register tokens.
func (c *ViTConfig) PrefixTokens() int {
	if c.ClassToken {
		return 1 + c.RegisterTokens
	}
	return c.RegisterTokens
}

// Tokens returns the number of tokens in a block.
func (c *ViTConfig) Tokens() int { return c.PrefixTokens() + c.Grid()*c.Grid() }

// check says what in the configuration cannot be built.
func (c *ViTConfig) check() error {
	switch {
	case c.ImageSize <= 0 || c.PatchSize <= 0 || c.Width <= 0 || c.Depth <= 0 || c.Heads <= 0 || c.MLPHidden <= 0:
		return fmt.Errorf("image size, patch size, width, depth, heads and MLP width must be positive, got %d, %d, %d, %d, %d, %d",
			c.ImageSize, c.PatchSize, c.Width, c.Depth, c.Heads, c.MLPHidden)
	case c.Width > 1<<16 || c.Depth > 1<<12 || c.ImageSize > 1<<14 || c.MLPHidden > 1<<20 || c.Classes > 1<<24:
		return fmt.Errorf("width %d, depth %d, image size %d, MLP width %d or classes %d is beyond any known vision transformer",
			c.Width, c.Depth, c.ImageSize, c.MLPHidden, c.Classes)
	case c.ImageSize < c.PatchSize:
		return fmt.Errorf("image size %d is smaller than the patch size %d", c.ImageSize, c.PatchSize)
	case c.Width%c.Heads != 0:
		return fmt.Errorf("width %d is not a multiple of the number of heads %d", c.Width, c.Heads)
	case !c.ClassToken && !c.AveragePool:
		return fmt.Errorf("a model without class token needs average pooling")
	case c.Beside != BesideNothing && (!c.ClassToken || c.AveragePool || c.PoolNorm || c.Projection > 0 || c.Beside == BesideSecond && c.PrefixTokens() < 2):
		return fmt.Errorf("the %s beside the class token needs both, and neither a norm nor a projection after pooling", c.Beside)
	case c.RegisterTokens < 0 || c.Classes < 0 || c.Projection < 0:
		return fmt.Errorf("register tokens, classes and projection width must not be negative")
	}
	return nil
}

// withImageSize returns the same transformer for pictures of another size.
func (c *ViTConfig) withImageSize(size int) (resizable, error) {
	if left := size % c.PatchSize; left != 0 {
		if size < c.PatchSize {
			return nil, fmt.Errorf("it is not a multiple of the patch size %d; the smallest is %d", c.PatchSize, c.PatchSize)
		}
		return nil, fmt.Errorf("it is not a multiple of the patch size %d; %d and %d are", c.PatchSize, size-left, size-left+c.PatchSize)
	}
	resized := *c
	resized.ImageSize = size
	return &resized, resized.check()
}

// OutputDim is the number of channels of the final representation.
func (c *ViTConfig) OutputDim() int {
	if c.Projection > 0 {
		return c.Projection
	}
	if c.Beside != BesideNothing {
		return 2 * c.Width
	}
	return c.Width
}

// Blocks lists the blocks in forward order.
func (c *ViTConfig) Blocks() []mark.Block {
	blocks := make([]mark.Block, c.Depth)
	for i := range blocks {
		blocks[i] = mark.Plain(i)
	}
	return blocks
}

// Params lists every tensor of the checkpoint, in forward order.
func (c *ViTConfig) Params() []Param {
	n, d := &c.names, c.Width
	var params paramList
	add, norm := params.add, params.norm

	add(n.patch+".weight", d, 3, c.PatchSize, c.PatchSize)
	if c.PatchBias {
		add(n.patch+".bias", d)
	}
	positions := c.Tokens()
	if c.PositionPatches {
		positions = c.Grid() * c.Grid()
	}
	open := c.names.class == openCLIPNames.class
	if open { // open_clip stores both without the leading axes of 1
		add(n.class, d)
		params = append(params, Param{Name: n.position, Dims: []int{positions, d}, positionPrefix: 1, position: true, filter: c.filter})
	} else {
		if c.ClassToken {
			add(n.class, 1, 1, d)
		}
		if c.RegisterTokens > 0 {
			add(n.register, 1, c.RegisterTokens, d)
		}
		prefix := c.PrefixTokens()
		if c.PositionPatches {
			prefix = 0
		}
		params = append(params, Param{Name: n.position, Dims: []int{1, positions, d}, positionPrefix: prefix, position: true, filter: c.filter})
	}
	if c.PreNorm {
		norm(n.preNorm, d)
	}
	c.addBlocks(&params)
	if c.FinalNorm {
		norm(n.finalNorm, d)
	}
	if c.PoolNorm {
		norm(n.poolNorm, d)
	}
	if c.Projection > 0 {
		add(n.projection, d, c.Projection)
	}
	if c.Classes > 0 {
		add(n.headWeight, c.Classes, c.OutputDim())
		add(n.headBias, c.Classes)
	}
	return params
}

// addBlocks lists the tensors of the blocks.
func (c *ViTConfig) addBlocks(l *paramList) {
	n, d := &c.names, c.Width
	for i := range c.Depth {
		block := fmt.Sprintf(n.block, i)
		l.norm(block+n.norm1, d)
		l.add(block+n.qkvWeight, 3*d, d)
		if c.QKVBias {
			l.add(block+n.qkvBias, 3*d)
		}
		l.linear(block+n.attnOut, d, d)
		if c.LayerScale {
			l.add(block+n.scale1, d)
		}
		l.norm(block+n.norm2, d)
		if c.Activation == SwiGLU {
			l.linear(block+n.fc1, 2*c.MLPHidden, d)
		} else {
			l.linear(block+n.fc1, c.MLPHidden, d)
		}
		l.linear(block+n.fc2, d, c.MLPHidden)
		if c.LayerScale {
			l.add(block+n.scale2, d)
		}
	}
}

// Representation builds the forward pass from normalised pixels [batch, 3, height, width] to the final representation
// [batch, dim], the input of the classifier head, and marks its parts for package decompose.
func (c *ViTConfig) Representation(w Weights, pixels *graph.Node) *graph.Node {
	x := c.pool(c.Features(w, pixels, nil))
	if c.PoolNorm {
		x = layerNorm(w, c.names.poolNorm, x, c.Epsilon)
	}
	if c.Projection > 0 {
		x = product(w, x, w.Get(c.names.projection)).Product()
	}
	return x
}

// Features builds the tokens [batch, token, width] after the last norm from normalised pixels [batch, 3, height, width].
// edit, nil for none, changes the embedded patches [batch, patch, width] before their positions are added.
func (c *ViTConfig) Features(w Weights, pixels *graph.Node, edit func(patches *graph.Node) *graph.Node) *graph.Node {
	x := c.embed(w, pixels, edit)
	for i, block := range c.Blocks() {
		x = mark.BlockInput(x, block)
		x = c.block(w, x, block, fmt.Sprintf(c.names.block, i), nil)
	}
	if c.FinalNorm {
		x = layerNorm(w, c.names.finalNorm, x, c.Epsilon)
	}
	return x
}

// Head builds the logits [batch, class] from the representation [batch, dim]; nil for a model without a head.
func (c *ViTConfig) Head(w Weights, representation *graph.Node) *graph.Node {
	if c.Classes == 0 {
		return nil
	}
	logits := contractLast(w, representation, w.Get(c.names.headWeight))
	return addBias(logits, w.Get(c.names.headBias))
}

// embed turns pixels [batch, 3, height, width] into tokens [batch, token, width] with their positions. edit is as in
// [ViTConfig.Features].
func (c *ViTConfig) embed(w Weights, pixels *graph.Node, edit func(patches *graph.Node) *graph.Node) *graph.Node {
	n, d, batch := &c.names, c.Width, pixels.Shape().Dim(0)
	x := patchEmbedding(w, pixels, w.Get(n.patch+".weight"))
	if c.PatchBias {
		x = addBias(x, w.Get(n.patch+".bias"))
	}
	if edit != nil {
		x = edit(x)
	}

	position := w.Get(n.position)
	position = graph.Reshape(position, 1, position.Shape().Size()/d, d)
	if c.PositionPatches {
		x = graph.Add(x, position)
	}
	tokens := []*graph.Node{x}
	if c.RegisterTokens > 0 {
		tokens = append([]*graph.Node{graph.BroadcastToDims(w.Get(n.register), batch, c.RegisterTokens, d)}, tokens...)
	}
	if c.ClassToken {
		class := graph.Reshape(w.Get(n.class), 1, 1, d)
		tokens = append([]*graph.Node{graph.BroadcastToDims(class, batch, 1, d)}, tokens...)
	}
	if len(tokens) > 1 {
		x = graph.Concatenate(tokens, 1)
	}
	if !c.PositionPatches {
		x = graph.Add(x, position)
	}
	if c.PreNorm {
		x = layerNorm(w, n.preNorm, x, c.Epsilon)
	}
	return x
}

// block adds attention and MLP to the residual stream x [batch, token, width]:
//
//	x = x + ls1 * Attention(norm1(x));  x = x + ls2 * MLP(norm2(x))
//
// mask, added to the attention scores [batch, head, token, token], may be nil.
func (c *ViTConfig) block(w Weights, x *graph.Node, block mark.Block, prefix string, mask *graph.Node) *graph.Node {
	n := &c.names
	normed := layerNorm(w, prefix+n.norm1, x, c.Epsilon)
	mark.ReadBy(normed, block, mark.Attn)
	attn := c.attention(w, normed, block, prefix, mask)
	if c.LayerScale {
		attn = graph.Mul(attn, channels(w.Get(prefix+n.scale1), attn.Rank()))
	}
	x = addBranch(x, attn)

	normed = layerNorm(w, prefix+n.norm2, x, c.Epsilon)
	mark.ReadBy(normed, block, mark.MLP)
	mlp := mlp(w, normed, prefix+n.fc1, prefix+n.fc2, c.Activation, block)
	if c.LayerScale {
		mlp = graph.Mul(mlp, channels(w.Get(prefix+n.scale2), mlp.Rank()))
	}
	return addBranch(x, mlp)
}

// attention computes multi-head self-attention of x [batch, token, width] with its output projection.
func (c *ViTConfig) attention(w Weights, x *graph.Node, block mark.Block, prefix string, mask *graph.Node) *graph.Node {
	n := &c.names
	qkv := contractLast(w, x, w.Get(prefix+n.qkvWeight))
	if c.QKVBias {
		qkv = addBias(qkv, w.Get(prefix+n.qkvBias))
	}
	merged, weights, values := multiHead(w, qkv, c.Heads, mask)
	mark.Heads(merged, mark.Attention{Block: block, Heads: c.Heads, Weights: weights, Values: values, QKV: qkv})
	out := contractLast(w, merged, w.Get(prefix+n.attnOut+".weight"))
	mark.Component(out, block, mark.Attn)
	return addBias(out, w.Get(prefix+n.attnOut+".bias"))
}

// pool takes the class token, or the mean of the patch tokens, of x [batch, token, width], or puts them side by side.
func (c *ViTConfig) pool(x *graph.Node) *graph.Node {
	if c.AveragePool {
		return c.averagePatches(x)
	}
	class := oneToken(x, 0)
	switch c.Beside {
	case BesidePatches:
		return graph.Concatenate([]*graph.Node{class, c.averagePatches(x)}, -1)
	case BesideSecond:
		return graph.Concatenate([]*graph.Node{class, oneToken(x, 1)}, -1)
	}
	return class
}

// oneToken takes one of the tokens of x [batch, token, width].
func oneToken(x *graph.Node, index int) *graph.Node {
	token := graph.Squeeze(graph.SliceAxis(x, 1, graph.AxisElem(index)), 1)
	mark.TokensOf(token, x, mark.TokenMap{Index: [][]int{{index}}, Weight: 1})
	return token
}

// averagePatches takes the mean of the patch tokens of x [batch, token, width].
func (c *ViTConfig) averagePatches(x *graph.Node) *graph.Node {
	first, count := c.PrefixTokens(), c.Grid()*c.Grid()
	patches := graph.SliceAxis(x, 1, graph.AxisRange(first, first+count))
	index := make([][]int, count)
	for i := range index {
		index[i] = []int{first + i}
	}
	mark.TokensOf(patches, x, mark.TokenMap{Index: index, Weight: 1})
	return averageTokens(patches)
}
