package gomlxvit

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// MaxxViTConfig describes the hybrids of convolutions and attention that timm's class MaxxVit builds: CoAtNet (Dai et al. 2021,
// arXiv 2106.04803), MaxViT (Tu et al. 2022, arXiv 2204.01697), and both with blocks of ConvNeXt (CoAtNeXt, MaxxViT).
type MaxxViTConfig struct {
	ImageSize  int    // side of the square picture in pixels
	StemWidths [2]int // channels after the two convolutions of the stem, which halves the picture
	StemBias   bool   // of these convolutions
	Widths     []int  // channels of each stage; every stage halves the map
	Depths     []int  // blocks of each stage
	// Kinds says of each stage what its blocks are; the last that is named stands for all that follow.
	Kinds      [][]BlockKind
	Conv       MaxxViTConvolution
	Attention  MaxxViTAttention
	HeadHidden int // hidden channels of the head; 0 for a linear head behind a norm of each position
	Classes    int // outputs of the head, 0 for none
}

// BlockKind says what a block of a MaxxVit is.
type BlockKind string

// The kinds of blocks, by timm's letters.
const (
	ConvolutionBlock BlockKind = "C" // a convolution alone
	TransformerBlock BlockKind = "T" // attention of all tokens and an MLP, of CoAtNet
	MaxViTBlock      BlockKind = "M" // a convolution, and attention in windows and in a grid with an MLP each
)

// MaxxViTConvolution is what the convolutions of the blocks are: MBConvs, or blocks of ConvNeXt.
type MaxxViTConvolution struct {
	NeXt        bool // blocks of ConvNeXt
	SamePadding bool // the odd zero of a padding is after; else paddings are alike on both sides. In the stem too
	Activation  Activation
	Epsilon     float64 // of the norms, in the stem too
	Ratio       float64 // channels within relative to the output's
	OutputBias  bool    // of the last layer and of the shortcut; in a ConvNeXt block of all layers but the shortcut
	PoolStride  bool    // what the first convolution of a stage reads is halved by means; else by its stride

	// Of MBConvs.

	ExpandInput       bool // the channels within are relative to the input's, and those of squeeze-and-excitation to the channels within
	PreActivation     bool // an activation behind the first norm
	MaxPool           bool // the stream is halved by the largest of 3 x 3 tokens; else by the mean of 2 x 2
	SqueezeRatio      float64
	SqueezeActivation Activation
	SqueezeEarly      bool // squeeze-and-excitation is before the last norm

	LayerScale bool // of ConvNeXt: a learned scale per channel on what a block adds
}

// padding is how convolutions are padded.
func (c *MaxxViTConvolution) padding() padding {
	if c.SamePadding {
		return samePadding
	}
	return evenPadding
}

// MaxxViTAttention is what the attentions and MLPs of the blocks are.
type MaxxViTAttention struct {
	HeadDim        int       // channels of an attention head
	MLPRatio       float64   // hidden channels of an MLP relative to the stage's
	Positions      Positions // relative position biases
	PositionHidden int       // hidden channels of what computes them
	LayerScale     bool      // a learned scale per channel on what attention and MLP add
	Activation     Activation
	Epsilon        float64 // of the norms, of the last one too

	// Of CoAtNet.

	ExpandFirst  bool // the first attention of a stage has the stage's channels; else those of the stage before
	ShortcutBias bool // of the layer that widens the stream
	MaxPool      bool // stream and attention's input are halved by the largest of 3 x 3 tokens; else by the mean of 2 x 2
	BatchNorm    bool // norms are batch norms, the last one too

	// Of MaxViT.

	// Partition is the side of the picture divided by the side of an attention window, and of a grid's group.
	Partition int
	GridOnly  bool // there is no attention in windows
	HeadFirst bool // queries, keys and values of one head stand together
}

// Positions says where relative position biases are from.
type Positions string

// The kinds of relative position biases.
const (
	PositionTable   Positions = "bias"    // a learned number for each offset from key to query and head
	PositionTableTF Positions = "bias_tf" // of each head a map of offsets from query to key
	PositionMLP     Positions = "mlp"     // computed from the offset's logarithm
)

// maxxViTArguments are the arguments of timm's MaxxVit. Those of its convolutions begin with conv_, those of attentions and MLPs with
// transformer_.
type maxxViTArguments struct {
	MaxxViTConfig
	blockType    string  // conv_block_type, once it is known: mbconv or convnext
	convNorm     string  // conv_norm_layer, "" for that of the kind of block
	convEpsilon  float64 // conv_norm_eps, 0 for that of the kind of block
	expandOutput bool    // conv_expand_output
}

func newMaxxViTArguments() *maxxViTArguments {
	return &maxxViTArguments{expandOutput: true, MaxxViTConfig: MaxxViTConfig{
		ImageSize: 224, StemWidths: [2]int{64, 64}, Widths: []int{96, 192, 384, 768}, Depths: []int{2, 3, 5, 2},
		Kinds: [][]BlockKind{{ConvolutionBlock}, {ConvolutionBlock}, {TransformerBlock}, {TransformerBlock}},
		Conv: MaxxViTConvolution{
			Activation: GELU, Ratio: 4, OutputBias: true, SqueezeRatio: 0.25, SqueezeActivation: SiLU, LayerScale: true,
		},
		Attention: MaxxViTAttention{
			HeadDim: 32, MLPRatio: 4, Positions: PositionTable, PositionHidden: 512, Activation: GELU, Epsilon: 1e-6, ExpandFirst: true,
			ShortcutBias: true, Partition: 32, HeadFirst: true,
		},
	}}
}

func (c *maxxViTArguments) set(arg argument) (known bool, err error) {
	if arg.value == nil { // create_model leaves it out
		return true, nil
	}
	conv, attention := &c.Conv, &c.Attention
	switch arg.key {
	case "img_size":
		err = arg.side(&c.ImageSize)
	case "embed_dim":
		err = arg.integers(&c.Widths)
	case "depths":
		err = arg.integers(&c.Depths)
	case "block_type":
		c.Kinds, err = blockKinds(arg)
	case "stem_width":
		widths := make([]int, 1)
		if _, list := arg.value.([]any); list {
			err = arg.integers(&widths)
		} else {
			err = arg.integer(&widths[0])
		}
		if err == nil && len(widths) > 2 {
			err = arg.wrong("one or two whole numbers")
		}
		if err == nil {
			c.StemWidths = [2]int{widths[0], widths[len(widths)-1]}
		}
	case "stem_bias":
		err = arg.boolean(&c.StemBias)
	case "head_hidden_size":
		err = arg.integer(&c.HeadHidden)

	case "conv_block_type":
		kind := ""
		if err = arg.oneOf(&kind, "mbconv", "convnext"); err == nil && c.blockType != "" && c.blockType != kind {
			err = arg.wrong(c.blockType + ", as the architecture has it")
		}
		c.blockType = kind
	case "conv_expand_ratio":
		err = arg.number(&conv.Ratio)
	case "conv_expand_output":
		err = arg.boolean(&c.expandOutput)
	case "conv_pre_norm_act":
		err = arg.boolean(&conv.PreActivation)
	case "conv_output_bias":
		err = arg.boolean(&conv.OutputBias)
	case "conv_stride_mode":
		err = arg.choice(&conv.PoolStride, "dw", "pool")
	case "conv_pool_type":
		err = arg.choice(&conv.MaxPool, "avg2", "max")
	case "conv_padding":
		err = arg.choice(&conv.SamePadding, "", "same")
	case "conv_attn_early":
		err = arg.boolean(&conv.SqueezeEarly)
	case "conv_attn_act_layer":
		err = arg.oneOfActivations(&conv.SqueezeActivation, SiLU, ReLU)
	case "conv_attn_ratio":
		err = arg.number(&conv.SqueezeRatio)
	case "conv_init_values":
		conv.LayerScale, err = arg.present()
	case "conv_act_layer":
		err = arg.oneOfActivations(&conv.Activation, GELU, GELUTanh, SiLU)
	case "conv_norm_layer":
		err = arg.oneOf(&c.convNorm, "", "batchnorm2d", "layernorm2d")
	case "conv_norm_eps":
		err = arg.number(&c.convEpsilon)
	case "conv_norm_layer_cl": // of ConvNeXt blocks of another kind than the stages have
	case "conv_kernel_size":
		err = arg.mustBe(3.0)
	case "conv_group_size":
		err = arg.mustBe(1.0)
	case "conv_downsample_pool_type":
		err = arg.mustBe("avg2")
	case "conv_attn_layer":
		err = arg.mustBe("se")

	case "transformer_dim_head":
		err = arg.integer(&attention.HeadDim)
	case "transformer_head_first":
		err = arg.boolean(&attention.HeadFirst)
	case "transformer_expand_ratio":
		err = arg.number(&attention.MLPRatio)
	case "transformer_expand_first":
		err = arg.boolean(&attention.ExpandFirst)
	case "transformer_shortcut_bias":
		err = arg.boolean(&attention.ShortcutBias)
	case "transformer_pool_type":
		err = arg.choice(&attention.MaxPool, "avg2", "max")
	case "transformer_rel_pos_type":
		kind := ""
		if err = arg.oneOf(&kind, string(PositionTable), string(PositionTableTF), string(PositionMLP)); err == nil {
			attention.Positions = Positions(kind)
		}
	case "transformer_rel_pos_dim":
		err = arg.integer(&attention.PositionHidden)
	case "transformer_partition_ratio":
		err = arg.integer(&attention.Partition)
	case "transformer_no_block_attn":
		err = arg.boolean(&attention.GridOnly)
	case "transformer_init_values":
		attention.LayerScale, err = arg.present()
	case "transformer_act_layer":
		err = arg.oneOfActivations(&attention.Activation, GELU, GELUTanh)
	case "transformer_norm_layer":
		err = arg.choice(&attention.BatchNorm, "layernorm2d", "batchnorm2d")
	case "transformer_norm_eps":
		err = arg.number(&attention.Epsilon)
	case "transformer_attn_drop", "transformer_proj_drop": // of training
	case "transformer_attn_bias":
		err = arg.mustBe(true)
	case "transformer_norm_layer_cl":
		err = arg.mustBe("layernorm")
	case "transformer_use_nchw_attn":
		err = arg.mustBe(false)
	case "transformer_window_size", "transformer_grid_size":
		err = arg.mustBe()
	default:
		return false, nil
	}
	return true, err
}

// blockKinds reads block_type: of each stage a letter, or a list of letters for its blocks.
func blockKinds(arg argument) (kinds [][]BlockKind, err error) {
	wrong := arg.wrong("a list with C, T or M, or a list of these, for each stage")
	stages, ok := arg.value.([]any)
	if !ok {
		return nil, wrong
	}
	for _, stage := range stages {
		letters, list := stage.([]any)
		if !list {
			letters = []any{stage}
		}
		var blocks []BlockKind
		for _, letter := range letters {
			text, ok := letter.(string)
			if kind := BlockKind(text); ok && slices.Contains([]BlockKind{ConvolutionBlock, TransformerBlock, MaxViTBlock}, kind) {
				blocks = append(blocks, kind)
			} else if text == "PM" {
				return nil, fmt.Errorf("model_args.%s: PM, attention in windows and in a grid side by side, is not supported", arg.key)
			} else {
				return nil, wrong
			}
		}
		if len(blocks) == 0 {
			return nil, wrong
		}
		kinds = append(kinds, blocks)
	}
	return kinds, nil
}

func (c *maxxViTArguments) build(classes int, pool string) (resizable, error) {
	c.Classes = classes
	conv := &c.Conv
	conv.NeXt, conv.ExpandInput = c.blockType == "convnext", !c.expandOutput
	conv.LayerScale = conv.LayerScale && conv.NeXt
	norm := "batchnorm2d"
	conv.Epsilon = 1e-5
	if conv.NeXt {
		norm, conv.Epsilon = "layernorm2d", 1e-6
	}
	if c.convEpsilon != 0 {
		conv.Epsilon = c.convEpsilon
	}
	switch {
	case c.convNorm != "" && c.convNorm != norm:
		return nil, fmt.Errorf("model_args.conv_norm_layer %s is not supported with this conv_block_type, only %s", c.convNorm, norm)
	case conv.NeXt && conv.SamePadding:
		return nil, fmt.Errorf("model_args.conv_padding same is not supported with conv_block_type convnext")
	case conv.MaxPool && conv.SamePadding:
		return nil, fmt.Errorf("model_args.conv_pool_type max is not supported with conv_padding same")
	case c.Attention.BatchNorm && c.HeadHidden > 0:
		return nil, fmt.Errorf("model_args.transformer_norm_layer batchnorm2d is not supported with a head_hidden_size")
	}
	if err := onlyAverage(pool); err != nil {
		return nil, err
	}
	return &c.MaxxViTConfig, c.check()
}

// side is the number of tokens along one side of a stage's map.
func (c *MaxxViTConfig) side(stage int) int { return c.ImageSize >> (stage + 2) }

// kind is what a block is.
func (c *MaxxViTConfig) kind(b mark.Block) BlockKind {
	kinds := c.Kinds[b.Stage]
	return kinds[min(b.Index, len(kinds)-1)]
}

// input describes what enters a block: its channels, and the stride with which the block reads the map.
func (c *MaxxViTConfig) input(b mark.Block) (channels, stride int) {
	switch {
	case b.Index > 0:
		return c.Widths[b.Stage], 1
	case b.Stage > 0:
		return c.Widths[b.Stage-1], 2
	}
	return c.StemWidths[1], 2
}

func (c *MaxxViTConfig) hidden(stage int) int {
	return int(float64(c.Widths[stage]) * c.Attention.MLPRatio)
}

// check says what in the configuration cannot be built.
func (c *MaxxViTConfig) check() error {
	stages, attention := len(c.Widths), &c.Attention
	switch {
	case c.ImageSize <= 0 || c.StemWidths[0] <= 0 || c.StemWidths[1] <= 0 || attention.HeadDim <= 0 || attention.Partition <= 0 ||
		attention.PositionHidden <= 0 || c.HeadHidden < 0:
		return fmt.Errorf("image size, stem widths, head width, partition ratio and the width of position biases must be positive, got %d, %v, %d, %d, %d, and the hidden width of the head not negative, got %d",
			c.ImageSize, c.StemWidths, attention.HeadDim, attention.Partition, attention.PositionHidden, c.HeadHidden)
	case stages == 0 || stages > 12 || len(c.Depths) != stages || len(c.Kinds) < stages:
		return fmt.Errorf("there are widths for %d stages, depths for %d and kinds of blocks for %d: there must be as many of each, 1 to 12",
			stages, len(c.Depths), len(c.Kinds))
	case c.ImageSize > 1<<14 || max(c.StemWidths[0], c.StemWidths[1], c.HeadHidden, attention.PositionHidden) > 1<<16 || c.Classes > 1<<24:
		return fmt.Errorf("image size %d, stem widths %v, hidden width of the head %d, width of position biases %d or classes %d is beyond any known MaxViT or CoAtNet",
			c.ImageSize, c.StemWidths, c.HeadHidden, attention.PositionHidden, c.Classes)
	case c.Classes < 0:
		return fmt.Errorf("the number of classes must not be negative, got %d", c.Classes)
	case c.ImageSize%(2<<stages) != 0:
		return fmt.Errorf("image size %d cannot be halved %d times; choose a multiple of %d", c.ImageSize, stages+1, 2<<stages)
	}
	for stage, width := range c.Widths {
		if width <= 0 || width > 1<<16 || c.Depths[stage] <= 0 || c.Depths[stage] > 1<<12 {
			return fmt.Errorf("stage %d has %d channels and %d blocks", stage, width, c.Depths[stage])
		}
		if !(c.Conv.Ratio > 0 && c.Conv.Ratio <= 64 && attention.MLPRatio <= 64) || c.hidden(stage) <= 0 {
			return fmt.Errorf("stage %d: expansion ratios %g (convolution) and %g (MLP) cannot be built", stage, c.Conv.Ratio, attention.MLPRatio)
		}
	}
	for _, b := range c.Blocks() {
		if err := c.checkBlock(b); err != nil {
			return fmt.Errorf("stage %d: %w", b.Stage, err)
		}
	}
	return nil
}

func (c *MaxxViTConfig) checkBlock(b mark.Block) error {
	kind, width := c.kind(b), c.Widths[b.Stage]
	in, _ := c.input(b)
	heads := width
	switch kind {
	case MaxViTBlock:
		window := c.ImageSize / c.Attention.Partition
		switch {
		case c.ImageSize%c.Attention.Partition != 0:
			return fmt.Errorf("image size %d is not a multiple of the partition ratio %d", c.ImageSize, c.Attention.Partition)
		case c.side(b.Stage)%window != 0:
			return fmt.Errorf("windows of %d do not divide a map of %d x %d tokens evenly", window, c.side(b.Stage), c.side(b.Stage))
		}
	case TransformerBlock:
		heads = c.attentionWidth(b)
	}
	switch {
	case kind != ConvolutionBlock && heads%c.Attention.HeadDim != 0:
		return fmt.Errorf("width %d is not a multiple of the width of a head %d", heads, c.Attention.HeadDim)
	case kind == TransformerBlock:
	case c.Conv.NeXt && (width%in != 0 || c.convNeXtHidden(b) <= 0):
		return fmt.Errorf("a convolution of ConvNeXt makes no %d channels of %d: the number must be a multiple", width, in)
	case !c.Conv.NeXt && (!(c.Conv.SqueezeRatio <= 64) || c.squeezed(b) <= 0 || c.squeezed(b) > 1<<20):
		return fmt.Errorf("squeeze ratio %g cannot be built", c.Conv.SqueezeRatio)
	}
	return nil
}

// withImageSize returns the same model for pictures of another size, whose windows are of another size too. Position biases that
// are computed from offsets are then those of more offsets.
func (c *MaxxViTConfig) withImageSize(size int) (resizable, error) {
	if size == c.ImageSize {
		return c, nil
	}
	if c.Attention.Positions != PositionMLP {
		return nil, fmt.Errorf("the windows of a MaxViT or CoAtNet change with the picture, and the checkpoint has position biases for pictures of %d only", c.ImageSize)
	}
	resized := *c
	resized.ImageSize = size
	return &resized, resized.check()
}

// InputSize implements Architecture.
func (c *MaxxViTConfig) InputSize() int { return c.ImageSize }

// PrefixTokens implements Architecture: all tokens are positions.
func (c *MaxxViTConfig) PrefixTokens() int { return 0 }

// OutputDim implements Architecture.
func (c *MaxxViTConfig) OutputDim() int { return c.Widths[len(c.Widths)-1] }

// NumClasses implements Architecture.
func (c *MaxxViTConfig) NumClasses() int { return c.Classes }

// Blocks lists the blocks in forward order.
func (c *MaxxViTConfig) Blocks() []mark.Block { return mark.Staged(c.Depths) }

// blockName is what the names of a block's tensors begin with, and convName those of its convolution.
func (c *MaxxViTConfig) blockName(b mark.Block) string {
	return fmt.Sprintf("stages.%d.blocks.%d.", b.Stage, b.Index)
}

func (c *MaxxViTConfig) convName(b mark.Block) string {
	if c.kind(b) == MaxViTBlock {
		return c.blockName(b) + "conv."
	}
	return c.blockName(b)
}

// Params lists every tensor of the checkpoint, in forward order.
func (c *MaxxViTConfig) Params() []Param {
	var l paramList
	l.convolution("stem.conv1", c.StemBias, c.StemWidths[0], 3, 3)
	if c.Conv.NeXt {
		l.norm("stem.norm1", c.StemWidths[0])
	} else {
		l.batchNorm("stem.norm1", c.StemWidths[0])
	}
	l.convolution("stem.conv2", c.StemBias, c.StemWidths[1], c.StemWidths[0], 3)
	for _, b := range c.Blocks() {
		name, kind := c.blockName(b), c.kind(b)
		switch {
		case kind == TransformerBlock:
			c.addTransformer(&l, name, b)
		case c.Conv.NeXt:
			c.addConvNeXt(&l, c.convName(b), b)
		default:
			c.addMBConv(&l, c.convName(b), b)
		}
		if kind == MaxViTBlock {
			c.addSublayers(&l, name, b)
		}
	}
	if features := c.OutputDim(); c.HeadHidden > 0 {
		l.norm("head.norm", features)
		l.linear("head.pre_logits.fc", c.HeadHidden, features)
		if c.Classes > 0 {
			l.linear("head.fc", c.Classes, c.HeadHidden)
		}
	} else {
		c.addNorm(&l, "norm", features)
		if c.Classes > 0 {
			l.linear("head.fc", c.Classes, features)
		}
	}
	return l
}

// addPositions lists the tensors of the relative position biases of an attention.
func (c *MaxxViTConfig) addPositions(l *paramList, name string, g windows, heads int) {
	switch offsets := 2*g.size - 1; c.Attention.Positions {
	case PositionTable:
		l.add(name+"relative_position_bias_table", offsets*offsets, heads)
	case PositionTableTF:
		l.add(name+"relative_position_bias_table", heads, offsets, offsets)
	case PositionMLP:
		l.linear(name+"mlp.fc1", c.Attention.PositionHidden, 2)
		l.linear(name+"mlp.fc2", heads, c.Attention.PositionHidden)
	}
}

// Representation builds the forward pass from normalised pixels [batch, 3, height, width] to the final representation
// [batch, dim], the mean over the positions of the last stage, and marks its parts for package decompose.
func (c *MaxxViTConfig) Representation(w Weights, pixels *graph.Node) *graph.Node {
	return averageTokens(c.features(w, pixels))
}

// features gives the tokens [batch, token, dim] of the last stage, behind the last norm where that is not the head's.
func (c *MaxxViTConfig) features(w Weights, pixels *graph.Node) *graph.Node {
	x := c.stem(w, pixels)
	for _, b := range c.Blocks() {
		x = c.block(w, mark.BlockInput(x, b), b)
	}
	if c.HeadHidden == 0 {
		x = c.norm(w, "norm", x)
	}
	return x
}

// Head builds the logits [batch, class] from the representation [batch, dim]; nil for a model without a head.
func (c *MaxxViTConfig) Head(w Weights, representation *graph.Node) *graph.Node {
	if c.Classes == 0 {
		return nil
	}
	x := representation
	if c.HeadHidden > 0 {
		x = c.norm(w, "head.norm", x)
		x = graph.Tanh(addBias(contractLast(w, x, w.Get("head.pre_logits.fc.weight")), w.Get("head.pre_logits.fc.bias")))
	}
	return addBias(contractLast(w, x, w.Get("head.fc.weight")), w.Get("head.fc.bias"))
}

// stem turns pixels [batch, 3, height, width] into tokens [batch, token, channel] of half the height and width.
func (c *MaxxViTConfig) stem(w Weights, pixels *graph.Node) *graph.Node {
	convolution := func(x *graph.Node, name string, stride int) *graph.Node {
		x = convolve(w, x, w.Get(name+".weight"), stride, c.Conv.padding())
		if c.StemBias {
			x = addBias(x, w.Get(name+".bias"))
		}
		return x
	}
	x := convolution(graph.TransposeAllAxes(pixels, 0, 2, 3, 1), "stem.conv1", 2)
	if c.Conv.NeXt {
		x = layerNorm(w, "stem.norm1", x, c.Conv.Epsilon)
	} else {
		x = batchNorm(w, "stem.norm1", x, c.Conv.Epsilon)
	}
	x = convolution(activate(x, c.Conv.Activation), "stem.conv2", 1)
	return graph.Reshape(x, x.Shape().Dim(0), x.Shape().Dim(1)*x.Shape().Dim(2), x.Shape().Dim(3))
}

// block adds to the residual stream x [batch, token, channel] what a block computes. The first block of a stage halves the map.
func (c *MaxxViTConfig) block(w Weights, x *graph.Node, b mark.Block) *graph.Node {
	name, kind := c.blockName(b), c.kind(b)
	switch {
	case kind == TransformerBlock:
		x = c.transformer(w, x, name, b)
	case c.Conv.NeXt:
		x = c.convNeXt(w, x, c.convName(b), b)
	default:
		x = c.mbConv(w, x, c.convName(b), b)
	}
	if kind == MaxViTBlock {
		for _, sublayer := range c.sublayers() {
			x = c.sublayer(w, x, name, b.Within(sublayer))
		}
	}
	return x
}

// halved is a map with this side of which every 2 x 2 tokens became one: their mean, or the largest of those around the first.
func halved(x *graph.Node, side int, largest bool) *graph.Node {
	if largest {
		return largestOfNines(x, side)
	}
	return averageFours(x, side)
}

// halvedStream is what of the residual stream x goes around the first block of a stage: the map halved, and where the block changes
// the number of channels mapped to it by a layer, with a bias or without.
func (c *MaxxViTConfig) halvedStream(w Weights, x *graph.Node, name string, b mark.Block, largest, bias bool) *graph.Node {
	x = halved(x, 2*c.side(b.Stage), largest)
	if x.Shape().Dim(2) == c.Widths[b.Stage] {
		return x
	}
	x = contractLast(w, x, w.Get(name+"shortcut.expand.weight"))
	if bias {
		x = addBias(x, w.Get(name+"shortcut.expand.bias"))
	}
	return x
}

// scaled is what attention or an MLP adds, with its scale per channel if the model has one.
func (c *MaxxViTConfig) scaled(w Weights, branch *graph.Node, scale string) *graph.Node {
	if c.Attention.LayerScale {
		branch = graph.Mul(branch, channels(w.Get(scale+".gamma"), branch.Rank()))
	}
	return branch
}

// setPositions gives an attention its table of relative position biases.
func (c *MaxxViTConfig) setPositions(w Weights, a *windowAttention) {
	name := a.prefix + "rel_pos."
	switch c.Attention.Positions {
	case PositionTable:
		a.table = w.Get(name + "relative_position_bias_table")
	case PositionTableTF:
		table := w.Get(name + "relative_position_bias_table")
		a.table, a.keyMinusQuery = graph.Transpose(graph.Reshape(table, a.heads, table.Shape().Size()/a.heads), 0, 1), true
	case PositionMLP:
		coordinate := func(offset int) float32 {
			return float32(math.Copysign(math.Log(1+math.Abs(float64(offset))), float64(offset)))
		}
		a.table = addBias(computedBias(w, name+"mlp.fc1", name+"mlp.fc2", a.size, coordinate), w.Get(name+"mlp.fc2.bias"))
	}
}
