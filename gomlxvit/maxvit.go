package gomlxvit

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// MaxViTConfig describes a MaxViT: Tu et al. 2022 (arXiv 2204.01697), in the variant that timm calls tf: 'same' padding,
// tanh GELU, a relative position bias for each offset, and a head with a hidden layer.
type MaxViTConfig struct {
	ImageSize  int    // side of the square picture in pixels
	StemWidths [2]int // channels after the two convolutions of the stem, which halves the picture
	Widths     []int  // channels of each stage; every stage halves the map
	Depths     []int  // blocks of each stage
	HeadDim    int    // channels of an attention head
	// Partition is the side of the picture divided by the side of an attention window, and of a grid's group.
	Partition    int
	ConvRatio    float64 // channels within the convolution of a block relative to its output's
	SqueezeRatio float64 // channels of squeeze-and-excitation relative to the block's output
	MLPRatio     float64 // hidden channels of an MLP relative to the stage's
	HeadHidden   int     // hidden channels of the head
	Classes      int     // outputs of the head, 0 for none
	ConvEpsilon  float64 // of the batch norms
	Epsilon      float64 // of the layer norms
}

// maxViTArguments are the arguments of timm's MaxxVit and of the configurations called tf.
type maxViTArguments struct{ MaxViTConfig }

func newMaxViTArguments() *maxViTArguments {
	return &maxViTArguments{MaxViTConfig{
		ImageSize: 224, StemWidths: [2]int{64, 64}, HeadDim: 32, Partition: 32, ConvRatio: 4, SqueezeRatio: 0.25, MLPRatio: 4,
		ConvEpsilon: 1e-3, Epsilon: 1e-5,
	}}
}

func (c *maxViTArguments) set(arg argument) (known bool, err error) {
	switch arg.key {
	case "img_size":
		err = arg.side(&c.ImageSize)
	case "embed_dim":
		err = arg.integers(&c.Widths)
	case "depths":
		err = arg.integers(&c.Depths)
	case "block_type":
		list, ok := arg.value.([]any)
		if !ok || slices.ContainsFunc(list, func(kind any) bool { return kind != "M" }) {
			err = arg.wrong(`a list of "M": only MaxViT's own blocks are supported`)
		}
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
		var bias bool
		if err = arg.boolean(&bias); err == nil && !bias {
			err = arg.wrong("true: a stem without bias is not supported")
		}
	case "head_hidden_size":
		err = arg.integer(&c.HeadHidden)
	case "conv_expand_ratio":
		err = arg.number(&c.ConvRatio)
	case "conv_attn_ratio":
		err = arg.number(&c.SqueezeRatio)
	case "transformer_expand_ratio":
		err = arg.number(&c.MLPRatio)
	case "transformer_dim_head":
		err = arg.integer(&c.HeadDim)
	case "transformer_partition_ratio":
		err = arg.integer(&c.Partition)
	default:
		return false, nil
	}
	return true, err
}

func (c *maxViTArguments) build(classes int, pool string) (resizable, error) {
	c.Classes = classes
	if err := onlyAverage(pool); err != nil {
		return nil, err
	}
	return &c.MaxViTConfig, c.check()
}

// The sublayers of a block that have an attention and an MLP each.
const (
	blockAttention = "block" // within windows of neighbours
	gridAttention  = "grid"  // within groups that span the map
)

// side is the number of tokens along one side of a stage's map.
func (c *MaxViTConfig) side(stage int) int { return c.ImageSize >> (stage + 2) }

// input describes what enters a block: its channels, and the stride of the block's convolution.
func (c *MaxViTConfig) input(b mark.Block) (channels, stride int) {
	switch {
	case b.Index > 0:
		return c.Widths[b.Stage], 1
	case b.Stage > 0:
		return c.Widths[b.Stage-1], 2
	}
	return c.StemWidths[1], 2
}

// expanded is the number of channels within a stage's convolutions: a multiple of 8, not much less than asked for.
func (c *MaxViTConfig) expanded(stage int) int {
	want := float64(c.Widths[stage]) * c.ConvRatio
	n := max(8, int(want+4)/8*8)
	if float64(n) < 0.9*want {
		n += 8
	}
	return n
}

func (c *MaxViTConfig) squeezed(stage int) int { return int(float64(c.Widths[stage]) * c.SqueezeRatio) }
func (c *MaxViTConfig) hidden(stage int) int   { return int(float64(c.Widths[stage]) * c.MLPRatio) }

// windows gives the groups of a sublayer's attention.
func (c *MaxViTConfig) windows(stage int, sublayer string) windows {
	return windows{side: c.side(stage), size: c.ImageSize / c.Partition, apart: sublayer == gridAttention}
}

// check says what in the configuration cannot be built.
func (c *MaxViTConfig) check() error {
	stages := len(c.Widths)
	switch {
	case c.ImageSize <= 0 || c.StemWidths[0] <= 0 || c.StemWidths[1] <= 0 || c.HeadDim <= 0 || c.Partition <= 0 || c.HeadHidden <= 0:
		return fmt.Errorf("image size, stem widths, head width, partition ratio and hidden width of the head must be positive, got %d, %v, %d, %d, %d",
			c.ImageSize, c.StemWidths, c.HeadDim, c.Partition, c.HeadHidden)
	case stages == 0 || stages > 12 || len(c.Depths) != stages:
		return fmt.Errorf("there are widths for %d stages and depths for %d: there must be as many of each, 1 to 12", stages, len(c.Depths))
	case c.ImageSize > 1<<14 || max(c.StemWidths[0], c.StemWidths[1], c.HeadHidden) > 1<<16 || c.Classes > 1<<24:
		return fmt.Errorf("image size %d, stem widths %v, hidden width of the head %d or classes %d is beyond any known MaxViT",
			c.ImageSize, c.StemWidths, c.HeadHidden, c.Classes)
	case c.Classes < 0:
		return fmt.Errorf("the number of classes must not be negative, got %d", c.Classes)
	case c.ImageSize%(2<<stages) != 0:
		return fmt.Errorf("image size %d cannot be halved %d times; choose a multiple of %d", c.ImageSize, stages+1, 2<<stages)
	case c.ImageSize%c.Partition != 0:
		return fmt.Errorf("image size %d is not a multiple of the partition ratio %d", c.ImageSize, c.Partition)
	}
	for stage, width := range c.Widths {
		window := c.ImageSize / c.Partition
		switch {
		case width <= 0 || width > 1<<16 || c.Depths[stage] <= 0 || c.Depths[stage] > 1<<12:
			return fmt.Errorf("stage %d has %d channels and %d blocks", stage, width, c.Depths[stage])
		case width%c.HeadDim != 0:
			return fmt.Errorf("stage %d: width %d is not a multiple of the width of a head %d", stage, width, c.HeadDim)
		case c.side(stage)%window != 0:
			return fmt.Errorf("stage %d: windows of %d do not divide a map of %d x %d tokens evenly", stage, window, c.side(stage), c.side(stage))
		case !(c.ConvRatio > 0 && c.ConvRatio <= 64 && c.MLPRatio <= 64) || c.squeezed(stage) <= 0 || c.squeezed(stage) > 1<<20 || c.hidden(stage) <= 0:
			return fmt.Errorf("stage %d: expansion ratios %g (convolution), %g (MLP) and squeeze ratio %g cannot be built",
				stage, c.ConvRatio, c.MLPRatio, c.SqueezeRatio)
		}
	}
	return nil
}

// withImageSize returns the same model for pictures of another size, which would need windows of another size.
func (c *MaxViTConfig) withImageSize(size int) (resizable, error) {
	if size != c.ImageSize {
		return nil, fmt.Errorf("the windows of a MaxViT change with the picture, and the checkpoint has position biases for pictures of %d only", c.ImageSize)
	}
	return c, nil
}

// InputSize implements Architecture.
func (c *MaxViTConfig) InputSize() int { return c.ImageSize }

// PrefixTokens implements Architecture: all tokens are positions.
func (c *MaxViTConfig) PrefixTokens() int { return 0 }

// OutputDim implements Architecture.
func (c *MaxViTConfig) OutputDim() int { return c.Widths[len(c.Widths)-1] }

// NumClasses implements Architecture.
func (c *MaxViTConfig) NumClasses() int { return c.Classes }

// Blocks lists the blocks in forward order.
func (c *MaxViTConfig) Blocks() []mark.Block { return mark.Staged(c.Depths) }

func (c *MaxViTConfig) blockName(b mark.Block) string {
	return fmt.Sprintf("stages.%d.blocks.%d.", b.Stage, b.Index)
}

// Params lists every tensor of the checkpoint, in forward order.
func (c *MaxViTConfig) Params() []Param {
	var l paramList
	biased := func(name string, out, in, kernel int) {
		l.add(name+".weight", out, in, kernel, kernel)
		l.add(name+".bias", out)
	}
	biased("stem.conv1", c.StemWidths[0], 3, 3)
	l.batchNorm("stem.norm1", c.StemWidths[0])
	biased("stem.conv2", c.StemWidths[1], c.StemWidths[0], 3)
	for _, b := range c.Blocks() {
		dim, expanded := c.Widths[b.Stage], c.expanded(b.Stage)
		in, stride := c.input(b)

		conv := c.blockName(b) + "conv."
		if stride > 1 && in != dim {
			biased(conv+"shortcut.expand", dim, in, 1)
		}
		l.batchNorm(conv+"pre_norm", in)
		l.add(conv+"conv1_1x1.weight", expanded, in, 1, 1)
		l.batchNorm(conv+"norm1", expanded)
		l.add(conv+"conv2_kxk.weight", expanded, 1, 3, 3)
		l.batchNorm(conv+"norm2", expanded)
		biased(conv+"se.fc1", c.squeezed(b.Stage), expanded, 1)
		biased(conv+"se.fc2", expanded, c.squeezed(b.Stage), 1)
		biased(conv+"conv3_1x1", dim, expanded, 1)

		for _, sublayer := range []string{blockAttention, gridAttention} {
			name := c.blockName(b) + "attn_" + sublayer + "."
			offsets := 2*c.windows(b.Stage, sublayer).size - 1
			l.norm(name+"norm1", dim)
			l.linear(name+"attn.qkv", 3*dim, dim)
			l.add(name+"attn.rel_pos.relative_position_bias_table", dim/c.HeadDim, offsets, offsets)
			l.linear(name+"attn.proj", dim, dim)
			l.norm(name+"norm2", dim)
			l.linear(name+"mlp.fc1", c.hidden(b.Stage), dim)
			l.linear(name+"mlp.fc2", dim, c.hidden(b.Stage))
		}
	}
	l.norm("head.norm", c.OutputDim())
	l.linear("head.pre_logits.fc", c.HeadHidden, c.OutputDim())
	if c.Classes > 0 {
		l.linear("head.fc", c.Classes, c.HeadHidden)
	}
	return l
}

// Representation builds the forward pass from normalised pixels [batch, 3, height, width] to the final representation
// [batch, dim], the mean over the positions of the last stage, and marks its parts for package decompose.
func (c *MaxViTConfig) Representation(w Weights, pixels *graph.Node) *graph.Node {
	return averageTokens(c.features(w, pixels))
}

// features gives the tokens [batch, token, dim] of the last stage.
func (c *MaxViTConfig) features(w Weights, pixels *graph.Node) *graph.Node {
	x := c.stem(w, pixels)
	for _, b := range c.Blocks() {
		x = mark.BlockInput(x, b)
		x = c.convolution(w, x, b)
		x = c.attention(w, x, b.Within(blockAttention))
		x = c.attention(w, x, b.Within(gridAttention))
	}
	return x
}

// Head builds the logits [batch, class] from the representation [batch, dim]; nil for a model without a head.
func (c *MaxViTConfig) Head(w Weights, representation *graph.Node) *graph.Node {
	if c.Classes == 0 {
		return nil
	}
	x := layerNorm(w, "head.norm", representation, c.Epsilon)
	x = graph.Tanh(addBias(contractLast(w, x, w.Get("head.pre_logits.fc.weight")), w.Get("head.pre_logits.fc.bias")))
	return addBias(contractLast(w, x, w.Get("head.fc.weight")), w.Get("head.fc.bias"))
}

// stem turns pixels [batch, 3, height, width] into tokens [batch, token, channel] of half the height and width.
func (c *MaxViTConfig) stem(w Weights, pixels *graph.Node) *graph.Node {
	x := graph.TransposeAllAxes(pixels, 0, 2, 3, 1)
	x = addBias(convolve(w, x, w.Get("stem.conv1.weight"), 2), w.Get("stem.conv1.bias"))
	x = activate(batchNorm(w, "stem.norm1", x, c.ConvEpsilon), GELUTanh)
	x = addBias(convolve(w, x, w.Get("stem.conv2.weight"), 1), w.Get("stem.conv2.bias"))
	return graph.Reshape(x, x.Shape().Dim(0), x.Shape().Dim(1)*x.Shape().Dim(2), x.Shape().Dim(3))
}

// convolution adds the block's MBConv to the residual stream x [batch, token, channel]; the first block of a stage
// halves the map, in the stream by averaging:
//
//	x = shortcut(x) + conv3(SE(act(norm2(conv2(act(norm1(conv1(pre_norm(x)))))))))
func (c *MaxViTConfig) convolution(w Weights, x *graph.Node, b mark.Block) *graph.Node {
	name := c.blockName(b) + "conv."
	in, stride := c.input(b)
	batch, side := x.Shape().Dim(0), c.side(b.Stage)

	shortcut := x
	if stride > 1 {
		shortcut = averageFours(x, stride*side)
		if in != c.Widths[b.Stage] {
			shortcut = addBias(pointwise(w, shortcut, w.Get(name+"shortcut.expand.weight")), w.Get(name+"shortcut.expand.bias"))
		}
	}
	x = pointwise(w, batchNorm(w, name+"pre_norm", x, c.ConvEpsilon), w.Get(name+"conv1_1x1.weight"))
	x = activate(batchNorm(w, name+"norm1", x, c.ConvEpsilon), GELUTanh)
	x = graph.Reshape(x, batch, stride*side, stride*side, c.expanded(b.Stage))
	x = depthwise(x, w.Get(name+"conv2_kxk.weight"), stride)
	x = graph.Reshape(x, batch, side*side, c.expanded(b.Stage))
	x = activate(batchNorm(w, name+"norm2", x, c.ConvEpsilon), GELUTanh)
	x = squeezeExcite(w, name+"se", x)
	x = pointwise(w, x, w.Get(name+"conv3_1x1.weight"))
	mark.Component(x, b, mark.Conv)
	return addBranch(shortcut, addBias(x, w.Get(name+"conv3_1x1.bias")))
}

// attention adds the attention and MLP of one sublayer to the residual stream x [batch, token, channel].
func (c *MaxViTConfig) attention(w Weights, x *graph.Node, b mark.Block) *graph.Node {
	name := c.blockName(b) + "attn_" + b.Sublayer + "."
	table := w.Get(name + "attn.rel_pos.relative_position_bias_table")
	heads := table.Shape().Dim(0)
	attention := windowAttention{
		windows: c.windows(b.Stage, b.Sublayer), block: b, heads: heads, prefix: name + "attn.", qkvBias: w.Get(name + "attn.qkv.bias"),
		table: graph.Transpose(graph.Reshape(table, heads, table.Shape().Size()/heads), 0, 1), keyMinusQuery: true,
	}
	normed := layerNorm(w, name+"norm1", x, c.Epsilon)
	mark.ReadBy(normed, b, mark.Attn)
	x = addBranch(x, attention.apply(w, normed))

	normed = layerNorm(w, name+"norm2", x, c.Epsilon)
	mark.ReadBy(normed, b, mark.MLP)
	return addBranch(x, mlp(w, normed, name+"mlp.fc1", name+"mlp.fc2", GELUTanh, b, mark.MLP))
}

// squeezeExcite scales the channels of x [batch, token, channel] by what two layers make of their means.
func squeezeExcite(w Weights, name string, x *graph.Node) *graph.Node {
	means := graph.ReduceAndKeep(x, graph.ReduceMean, 1)
	hidden := addBias(pointwise(w, means, w.Get(name+".fc1.weight")), w.Get(name+".fc1.bias"))
	hidden = graph.Mul(hidden, graph.Sigmoid(hidden))
	gate := graph.Sigmoid(addBias(pointwise(w, hidden, w.Get(name+".fc2.weight")), w.Get(name+".fc2.bias")))
	return graph.Mul(x, gate)
}

// pointwise is a 1 x 1 convolution of x [batch, token, channel] with a kernel [out, in, 1, 1].
func pointwise(w Weights, x, kernel *graph.Node) *graph.Node {
	return contractLast(w, x, graph.Reshape(kernel, kernel.Shape().Dim(0), kernel.Shape().Dim(1)))
}

// samePadding is how many zeros go before and after an axis, so that a convolution with this kernel gives length/stride
// positions: as TensorFlow pads, the odd one after.
func samePadding(length, kernel, stride int) [2]int {
	total := max(((length+stride-1)/stride-1)*stride+kernel-length, 0)
	return [2]int{total / 2, total - total/2}
}

// convolve convolves x [batch, height, width, channel] with a kernel [out, in, height, width], 'same' padded.
func convolve(w Weights, x, kernel *graph.Node, stride int) *graph.Node {
	padding := make([][2]int, 2)
	for i := range padding {
		padding[i] = samePadding(x.Shape().Dim(1+i), kernel.Shape().Dim(2+i), stride)
	}
	return convolvePadded(w, x, kernel, stride, padding)
}

// convolvePadded convolves x [batch, height, width, channel] with a kernel [out, in, height, width], with as many zeros before
// and after its rows and columns.
func convolvePadded(w Weights, x, kernel *graph.Node, stride int, padding [][2]int) *graph.Node {
	x, kernel, rounded := operands(w, x, graph.TransposeAllAxes(kernel, 2, 3, 1, 0))
	y := graph.Convolve(x, kernel).Strides(stride).PaddingPerDim(padding).Done()
	if rounded {
		y = graph.ConvertDType(y, dtypes.Float32)
	}
	return y
}

// depthwise convolves every channel of x [batch, height, width, channel] on its own, with a kernel
// [channel, 1, height, width], 'same' padded.
//
// It is written as a sum of shifted and scaled maps, which XLA makes one loop of: on 2 cores 3 to 10 times faster than
// its grouped convolution (56 x 56 x 384, batch 4: 46 ms against 450 ms with the activations around it).
func depthwise(x, kernel *graph.Node, stride int) *graph.Node {
	kernelDims := kernel.Shape().Dimensions
	var axes [4]compute.PadAxis
	var out [2]int
	for i := range out {
		length := x.Shape().Dim(1 + i)
		padding := samePadding(length, kernelDims[2+i], stride)
		axes[1+i] = compute.PadAxis{Start: padding[0], End: padding[1]}
		out[i] = (length + stride - 1) / stride
	}
	x = pad(x, axes[:]...)
	byPosition := graph.TransposeAllAxes(kernel, 2, 3, 1, 0) // [height, width, 1, channel]
	var sum *graph.Node
	for dy := range kernelDims[2] {
		for dx := range kernelDims[3] {
			shifted := graph.Slice(x, graph.AxisRange(),
				graph.AxisRange(dy, dy+(out[0]-1)*stride+1).Stride(stride), graph.AxisRange(dx, dx+(out[1]-1)*stride+1).Stride(stride))
			term := graph.Mul(shifted, graph.Slice(byPosition, graph.AxisElem(dy), graph.AxisElem(dx)))
			if sum == nil {
				sum = term
			} else {
				sum = graph.Add(sum, term)
			}
		}
	}
	return sum
}
