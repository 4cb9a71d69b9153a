package gomlxvit

import (
	"fmt"
	"strings"

	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// Activation is the non-linearity of MLPs and of convolutions.
type Activation string

// The activations.
const (
	GELU      Activation = "gelu"       // x Φ(x), with the error function
	GELUTanh  Activation = "gelu_tanh"  // the tanh approximation of it
	SiLU      Activation = "silu"       // x σ(x)
	ReLU      Activation = "relu"       // the larger of x and 0
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

	RMSNorm         bool // norms divide by the root of the mean square; they neither centre nor shift (arXiv 1910.07467)
	PostNorm        bool // norms are behind attention and MLP, on what these add, and not before them
	QKNorm          bool // queries and keys of each head are normalised (arXiv 2302.05442)
	KeysWithoutBias bool // with QKVBias: only queries and values have biases (BEiT, EVA)
	SplitQKV        bool // queries, keys and values have layers of their own
	AttnNorm        bool // a norm of the concatenated heads before their output projection (arXiv 2110.09456)
	MLPNorm         bool // a norm in front of an MLP's last layer
	SplitGate       bool // the two halves of a SwiGLU have layers of their own
	NoOutputBias    bool // neither the output projections of attentions nor the layers of MLPs have biases
	EmbeddingNorm   bool // a norm of the embedded patches before their positions are added
	ConvStem        bool // patches are embedded by three convolutions in turn (MobileCLIP, arXiv 2311.17049)
	NoPositions     bool // no position embeddings are added
	Rotary          Rotary
	// RelativePositions are learned numbers for pairs of tokens that are added to attention scores (BEiT).
	RelativePositions bool
	AttentionPool     AttentionPool
	ProjectionBias    bool // the projection has a bias and is stored as a linear layer

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

	// Of variations that timm alone has. secondHead reads the second token of [BesideSecond].
	embeddingNorm, secondHead, pool, frequencies          string
	query, key, value, queryBias, valueBias, qNorm, kNorm string
	attnNorm, mlpNorm, gate, gated, relativePositions     string
	stem                                                  string // with %d
}

// within are the names where all stand behind a prefix.
func (n vitNames) within(prefix string) vitNames {
	for _, name := range []*string{
		&n.patch, &n.class, &n.position, &n.register, &n.preNorm, &n.block, &n.finalNorm, &n.poolNorm, &n.headWeight, &n.headBias,
		&n.embeddingNorm, &n.secondHead, &n.pool, &n.frequencies, &n.stem,
	} {
		*name = prefix + *name
	}
	return n
}

var timmNames = vitNames{
	patch: "patch_embed.proj", class: "cls_token", position: "pos_embed", register: "reg_token", preNorm: "norm_pre",
	block: "blocks.%d.",
	norm1: "norm1", qkvWeight: "attn.qkv.weight", qkvBias: "attn.qkv.bias", attnOut: "attn.proj", scale1: "ls1.gamma",
	norm2: "norm2", fc1: "mlp.fc1", fc2: "mlp.fc2", scale2: "ls2.gamma",
	finalNorm: "norm", poolNorm: "fc_norm", headWeight: "head.weight", headBias: "head.bias",

	embeddingNorm: "patch_embed.norm", secondHead: "head_dist", pool: "attn_pool.", frequencies: "rope.freqs",
	query: "attn.q_proj", key: "attn.k_proj", value: "attn.v_proj", queryBias: "attn.q_bias", valueBias: "attn.v_bias",
	qNorm: "attn.q_norm", kNorm: "attn.k_norm", attnNorm: "attn.norm", mlpNorm: "mlp.norm", gate: "mlp.fc1_g", gated: "mlp.fc1_x",
	relativePositions: "attn.relative_position_bias_table", stem: "patch_embed.backbone.%d.",
}

var openCLIPNames = vitNames{
	patch: "visual.conv1", class: "visual.class_embedding", position: "visual.positional_embedding",
	preNorm: "visual.ln_pre", block: "visual.transformer.resblocks.%d.",
	norm1: "ln_1", qkvWeight: "attn.in_proj_weight", qkvBias: "attn.in_proj_bias", attnOut: "attn.out_proj", scale1: "ls_1.gamma",
	norm2: "ln_2", fc1: "mlp.c_fc", fc2: "mlp.c_proj", scale2: "ls_2.gamma",
	finalNorm: "visual.ln_post", projection: "visual.proj", pool: "visual.attn_pool.",
}

// vitArguments are the arguments of timm's VisionTransformer.
type vitArguments struct {
	ViTConfig
	mlpRatio float64
	packed   bool  // the MLPs are gated, both halves in one layer (SwiGLUPacked)
	silu     bool  // act_layer is SiLU, which gates only
	poolNorm *bool // fc_norm; nil leaves it to the pooling
	padded   bool
	prefix   bool // pooling reads class and register tokens too
	// of embed_norm_layer
	embeddingRMS     bool
	embeddingEpsilon float64
}

func newViTArguments() *vitArguments {
	return &vitArguments{mlpRatio: 4, ViTConfig: ViTConfig{
		ImageSize: 224, PatchSize: 16, Width: 768, Depth: 12, Heads: 12, ClassToken: true, PatchBias: true, QKVBias: true,
		FinalNorm: true, Epsilon: 1e-6, Activation: GELU, names: timmNames,
	}}
}

// newDistilledArguments are those of timm's VisionTransformerDistilled: a DeiT with a second token and a head for each. Its
// representation has both side by side.
func newDistilledArguments() *vitArguments {
	a := newViTArguments()
	a.Beside, a.RegisterTokens, a.names.register = BesideSecond, 1, distillationToken
	return a
}

// distillationToken is timm's name for the token of a DeiT that learns from a teacher.
const distillationToken = "dist_token"

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
		err = arg.norm(&a.RMSNorm, &a.Epsilon)
	case "dynamic_img_size": // pictures are prepared at one size
	case "dynamic_img_pad":
		err = arg.boolean(&a.padded)
	case "qk_norm":
		err = arg.boolean(&a.QKNorm)
	case "scale_attn_norm":
		err = arg.boolean(&a.AttnNorm)
	case "scale_mlp_norm":
		err = arg.boolean(&a.MLPNorm)
	case "pool_include_prefix":
		err = arg.boolean(&a.prefix)
	case "proj_bias":
		bias := true
		err = arg.boolean(&bias)
		if arg.value == nil {
			err = arg.wrong("true or false")
		}
		a.NoOutputBias = !bias
	case "pos_embed":
		a.NoPositions = arg.is("", "none")
		err = arg.mustBe("learn", "", "none")
	case "embed_norm_layer":
		if arg.is(nil, "") {
			break
		}
		a.EmbeddingNorm, a.embeddingEpsilon = true, a.Epsilon
		err = arg.norm(&a.embeddingRMS, &a.embeddingEpsilon)
	case "mlp_layer":
		a.packed, a.SplitGate = arg.is("SwiGLUPacked"), arg.is("SwiGLU")
		err = arg.mustBe(nil, "Mlp", "SwiGLUPacked", "SwiGLU")
	case "block_fn": // classes, which JSON can name in the tables only
		a.PostNorm = arg.is("ResPostBlock")
		err = arg.mustBe("Block", "ResPostBlock")
	case "conv_stem": // of our tables
		err = arg.boolean(&a.ConvStem)
	case "embed_layer", "attn_layer":
		err = arg.mustBe("PatchEmbed", "Attention", "attn")
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
	case a.SplitGate && a.silu:
		c.Activation = SwiGLU
	case a.packed || a.SplitGate || a.silu:
		return nil, fmt.Errorf("act_layer silu and mlp_layer SwiGLU or SwiGLUPacked are supported together only, with an even number of hidden channels")
	}
	if c.EmbeddingNorm && (a.embeddingRMS != c.RMSNorm || a.embeddingEpsilon != c.Epsilon) {
		return nil, fmt.Errorf("embed_norm_layer is another norm than norm_layer, which is not supported")
	}
	c.LayerScale = c.LayerScale && !c.PostNorm // where init_values sets the weights of the norms
	if err := c.poolBy(pool); err != nil {
		return nil, err
	}
	if c.AttentionPool.Heads > 0 {
		c.AttentionPool.Prefix, c.AttentionPool.Activation = a.prefix, c.Activation
	} else if a.prefix {
		return nil, fmt.Errorf("pool_include_prefix is supported with global_pool map only")
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

// poolBy reads global_pool.
func (c *ViTConfig) poolBy(pool string) error {
	switch pool {
	case "", "token":
	case "avg":
		c.AveragePool = true
	case "map":
		c.AttentionPool.Heads, c.AttentionPool.MLPHidden = c.Heads, c.MLPHidden
	default:
		return fmt.Errorf("global_pool %q is not supported: only token, avg and map", pool)
	}
	return nil
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
	case c.ConvStem && (c.PatchSize != 16 || c.Width%4 != 0):
		return fmt.Errorf("three convolutions embed patches of 16 pixels in a multiple of 4 channels, not of %d in %d", c.PatchSize, c.Width)
	case c.Width%c.Heads != 0:
		return fmt.Errorf("width %d is not a multiple of the number of heads %d", c.Width, c.Heads)
	case !c.ClassToken && !c.AveragePool && c.AttentionPool.Heads == 0:
		return fmt.Errorf("a model without class token needs average or attention pooling")
	case c.AttentionPool.Heads > 0 && c.AttentionPool.Queries > 0:
		if c.AttentionPool.Width <= 0 || c.AttentionPool.Width > 1<<16 || c.AttentionPool.Width%c.AttentionPool.Heads != 0 {
			return fmt.Errorf("attention pooling of width %d with %d heads cannot be built", c.AttentionPool.Width, c.AttentionPool.Heads)
		}
	case c.AttentionPool.Heads < 0 || c.AttentionPool.Heads > 0 && (c.Width%c.AttentionPool.Heads != 0 || c.AttentionPool.MLPHidden <= 0 || c.AttentionPool.MLPHidden > 1<<20):
		return fmt.Errorf("attention pooling of width %d with %d heads and an MLP of width %d cannot be built", c.Width, c.AttentionPool.Heads, c.AttentionPool.MLPHidden)
	case c.AttentionPool.Heads > 0 && c.AttentionPool.Activation == SwiGLU:
		return fmt.Errorf("attention pooling whose MLP has a SwiGLU is not supported")
	case c.SplitGate && c.Activation != SwiGLU:
		return fmt.Errorf("layers for the two halves of a SwiGLU need one, and the activation is %s", c.Activation)
	case c.Rotary.Kind != NoRotation && !(c.Rotary.Temperature > 0):
		return fmt.Errorf("the temperature of rotary embeddings must be positive, got %g", c.Rotary.Temperature)
	case c.RegisterTokens > 1<<16:
		return fmt.Errorf("%d register tokens are beyond any known vision transformer", c.RegisterTokens)
	case c.Rotary.Kind != NoRotation && c.Width/c.Heads%4 != 0:
		return fmt.Errorf("rotary embeddings need heads of a multiple of 4 channels, and they have %d", c.Width/c.Heads)
	case c.Beside != BesideNothing && (!c.ClassToken || c.AveragePool || c.AttentionPool.Heads > 0 || c.PoolNorm || c.Projection > 0 || c.Beside == BesideSecond && c.PrefixTokens() < 2):
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
	if c.RelativePositions && size != c.ImageSize {
		return nil, fmt.Errorf("the model has relative position biases for pictures of %d pixels, and resampling them is not supported", c.ImageSize)
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
	add := params.add
	norm := func(name string, dim int) { c.addNorm(&params, name, dim) }

	switch {
	case c.ConvStem:
		c.addStem(&params)
	case c.PatchBias:
		add(n.patch+".weight", d, 3, c.PatchSize, c.PatchSize)
		add(n.patch+".bias", d)
	default:
		add(n.patch+".weight", d, 3, c.PatchSize, c.PatchSize)
	}
	if c.EmbeddingNorm {
		norm(n.embeddingNorm, d)
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
		if !c.NoPositions {
			params = append(params, Param{Name: n.position, Dims: []int{1, positions, d}, positionPrefix: prefix, position: true, filter: c.filter})
		}
	}
	if c.Rotary.Kind == MixedRotation {
		add(n.frequencies, 2, c.Depth, c.Heads, d/c.Heads/2)
	}
	if c.PreNorm {
		norm(n.preNorm, d)
	}
	c.addBlocks(&params)
	if c.FinalNorm {
		norm(n.finalNorm, d)
	}
	if c.AttentionPool.Heads > 0 {
		c.addPool(&params)
	}
	if c.PoolNorm {
		norm(n.poolNorm, c.pooledWidth())
	}
	switch {
	case c.Projection > 0 && c.projectionIsLinear():
		add(n.projection, c.Projection, d)
		if c.ProjectionBias {
			add(strings.TrimSuffix(n.projection, "weight")+"bias", c.Projection)
		}
	case c.Projection > 0:
		add(n.projection, c.pooledWidth(), c.Projection)
	}
	switch {
	case c.Classes > 0 && c.Beside == BesideSecond: // a head for each token
		params.linear(strings.TrimSuffix(n.headWeight, ".weight"), c.Classes, d)
		params.linear(n.secondHead, c.Classes, d)
	case c.Classes > 0:
		add(n.headWeight, c.Classes, c.OutputDim())
		add(n.headBias, c.Classes)
	}
	return params
}

// projectionIsLinear says whether the projection is stored [out, in], as linear layers are, and not [in, out].
func (c *ViTConfig) projectionIsLinear() bool {
	return strings.HasSuffix(c.names.projection, ".weight")
}

// addNorm adds the weight of a norm, and its shift.
func (c *ViTConfig) addNorm(l *paramList, name string, dim int) {
	if l.add(name+".weight", dim); !c.RMSNorm {
		l.add(name+".bias", dim)
	}
}

// addLayer adds a layer whose bias [ViTConfig].NoOutputBias leaves out.
func (c *ViTConfig) addLayer(l *paramList, name string, out, in int) {
	if l.add(name+".weight", out, in); !c.NoOutputBias {
		l.add(name+".bias", out)
	}
}

// addBlocks lists the tensors of the blocks.
func (c *ViTConfig) addBlocks(l *paramList) {
	n, d := &c.names, c.Width
	for i := range c.Depth {
		block := fmt.Sprintf(n.block, i)
		c.addNorm(l, block+n.norm1, d)
		c.addAttention(l, block)
		if c.LayerScale {
			l.add(block+n.scale1, d)
		}
		c.addNorm(l, block+n.norm2, d)
		switch {
		case c.SplitGate:
			c.addLayer(l, block+n.gate, c.MLPHidden, d)
			c.addLayer(l, block+n.gated, c.MLPHidden, d)
		case c.Activation == SwiGLU:
			c.addLayer(l, block+n.fc1, 2*c.MLPHidden, d)
		default:
			c.addLayer(l, block+n.fc1, c.MLPHidden, d)
		}
		if c.MLPNorm {
			c.addNorm(l, block+n.mlpNorm, c.MLPHidden)
		}
		c.addLayer(l, block+n.fc2, d, c.MLPHidden)
		if c.LayerScale {
			l.add(block+n.scale2, d)
		}
	}
}

// Representation builds the forward pass from normalised pixels [batch, 3, height, width] to the final representation
// [batch, dim], the input of the classifier head, and marks its parts for package decompose.
func (c *ViTConfig) Representation(w Weights, pixels *graph.Node) *graph.Node {
	x := c.pool(w, c.Features(w, pixels, nil))
	if c.PoolNorm {
		x = c.norm(w, c.names.poolNorm, x)
	}
	switch {
	case c.Projection > 0 && c.projectionIsLinear():
		x = contractLast(w, x, w.Get(c.names.projection))
		if c.ProjectionBias {
			x = addBias(x, w.Get(strings.TrimSuffix(c.names.projection, "weight")+"bias"))
		}
	case c.Projection > 0:
		x = product(w, x, w.Get(c.names.projection)).Product()
	}
	return x
}

// Features builds the tokens [batch, token, width] after the last norm from normalised pixels [batch, 3, height, width].
// edit, nil for none, changes the embedded patches [batch, patch, width] before their positions are added.
func (c *ViTConfig) Features(w Weights, pixels *graph.Node, edit func(patches *graph.Node) *graph.Node) *graph.Node {
	x := c.embed(w, pixels, edit)
	scores := attentionScores{rotate: c.rotation(w, x)}
	for i, block := range c.Blocks() {
		x = mark.BlockInput(x, block)
		x = c.block(w, x, block, fmt.Sprintf(c.names.block, i), scores)
	}
	if c.FinalNorm {
		x = c.norm(w, c.names.finalNorm, x)
	}
	return x
}

// Head builds the logits [batch, class] from the representation [batch, dim]; nil for a model without a head. Two heads, of
// the class token and the one beside it, are averaged.
func (c *ViTConfig) Head(w Weights, representation *graph.Node) *graph.Node {
	n := &c.names
	switch {
	case c.Classes == 0:
		return nil
	case c.Beside == BesideSecond:
		half := func(i int, weight, bias string) *graph.Node {
			token := graph.SliceAxis(representation, 1, graph.AxisRange(i*c.Width, (i+1)*c.Width))
			return addBias(contractLast(w, token, w.Get(weight)), w.Get(bias))
		}
		sum := graph.Add(half(0, n.headWeight, n.headBias), half(1, n.secondHead+".weight", n.secondHead+".bias"))
		return graph.MulScalar(sum, 0.5)
	}
	return addBias(contractLast(w, representation, w.Get(n.headWeight)), w.Get(n.headBias))
}

// norm is the norm of the model: a layer norm, or one that divides by the root of the mean square.
func (c *ViTConfig) norm(w Weights, name string, x *graph.Node) *graph.Node {
	if !c.RMSNorm {
		return layerNorm(w, name, x, c.Epsilon)
	}
	y := rmsNorm(w, name, x, c.Epsilon)
	mark.ElementwiseOf(y, x)
	return y
}

// embed turns pixels [batch, 3, height, width] into tokens [batch, token, width] with their positions. edit is as in
// [ViTConfig.Features].
func (c *ViTConfig) embed(w Weights, pixels *graph.Node, edit func(patches *graph.Node) *graph.Node) *graph.Node {
	n, d, batch := &c.names, c.Width, pixels.Shape().Dim(0)
	var x *graph.Node
	if c.ConvStem {
		x = c.stem(w, pixels)
	} else if x = patchEmbedding(w, pixels, w.Get(n.patch+".weight")); c.PatchBias {
		x = addBias(x, w.Get(n.patch+".bias"))
	}
	if c.EmbeddingNorm {
		x = c.norm(w, n.embeddingNorm, x)
	}
	if edit != nil {
		x = edit(x)
	}

	var position *graph.Node
	if !c.NoPositions {
		position = w.Get(n.position)
		position = graph.Reshape(position, 1, position.Shape().Size()/d, d)
	}
	if position != nil && c.PositionPatches {
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
	if position != nil && !c.PositionPatches {
		x = graph.Add(x, position)
	}
	if c.PreNorm {
		x = c.norm(w, n.preNorm, x)
	}
	return x
}

// block adds attention and MLP to the residual stream x [batch, token, width]:
//
//	x = x + ls1 * Attention(norm1(x));  x = x + ls2 * MLP(norm2(x))
//
// or, with [ViTConfig].PostNorm, x + norm1(Attention(x)) and so on.
func (c *ViTConfig) block(w Weights, x *graph.Node, block mark.Block, prefix string, scores attentionScores) *graph.Node {
	n := &c.names
	part := func(part mark.Part, norm, scale string, compute func(x *graph.Node) *graph.Node) {
		read := x
		if !c.PostNorm {
			read = c.norm(w, prefix+norm, x)
		}
		mark.ReadBy(read, block, part)
		y := compute(read)
		if c.PostNorm {
			y = c.norm(w, prefix+norm, y)
		}
		if c.LayerScale {
			y = graph.Mul(y, channels(w.Get(prefix+scale), y.Rank()))
		}
		x = addBranch(x, y)
	}
	part(mark.Attn, n.norm1, n.scale1, func(x *graph.Node) *graph.Node { return c.attention(w, x, block, prefix, scores) })
	part(mark.MLP, n.norm2, n.scale2, func(x *graph.Node) *graph.Node { return c.mlp(w, x, block, prefix) })
	return x
}

// mlp computes the MLP of a block from x [batch, token, width] and marks it as a component.
func (c *ViTConfig) mlp(w Weights, x *graph.Node, block mark.Block, prefix string) *graph.Node {
	n := &c.names
	hidden := func(name string) *graph.Node {
		y := contractLast(w, x, w.Get(prefix+name+".weight"))
		if c.NoOutputBias {
			return y
		}
		return addBias(y, w.Get(prefix+name+".bias"))
	}
	var y *graph.Node
	if c.SplitGate {
		gate := hidden(n.gate)
		y = graph.Mul(graph.Mul(gate, graph.Sigmoid(gate)), hidden(n.gated))
	} else {
		y = activate(hidden(n.fc1), c.Activation)
	}
	if c.MLPNorm {
		y = c.norm(w, prefix+n.mlpNorm, y)
	}
	y = contractLast(w, y, w.Get(prefix+n.fc2+".weight"))
	mark.Component(y, block, mark.MLP)
	if c.NoOutputBias {
		return y
	}
	return addBias(y, w.Get(prefix+n.fc2+".bias"))
}

// pool takes the class token, or a mean of tokens, of x [batch, token, width], or puts them side by side.
func (c *ViTConfig) pool(w Weights, x *graph.Node) *graph.Node {
	if c.AveragePool {
		return c.averagePatches(x)
	}
	if c.AttentionPool.Heads > 0 {
		return c.poolByAttention(w, x)
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
func (c *ViTConfig) averagePatches(x *graph.Node) *graph.Node { return averageTokens(c.patches(x)) }

// patches takes the patch tokens of x [batch, token, width].
func (c *ViTConfig) patches(x *graph.Node) *graph.Node {
	first, count := c.PrefixTokens(), c.Grid()*c.Grid()
	patches := graph.SliceAxis(x, 1, graph.AxisRange(first, first+count))
	index := make([][]int, count)
	for i := range index {
		index[i] = []int{first + i}
	}
	mark.TokensOf(patches, x, mark.TokenMap{Index: index, Weight: 1})
	return patches
}
