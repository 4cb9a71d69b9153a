package gomlxvit

import (
	"fmt"
	"math"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/mark"
	"vitdecompose/gomlxvit/tokenizer"
)

// TextTower is CLIP's text transformer (Radford et al. 2021, arXiv 2103.00020): causal, with the blocks of the vision
// transformer, read at the end token; or SigLIP's (Zhai et al. 2023, arXiv 2303.15343), which sees all tokens and is read at the
// last.
type TextTower struct {
	ContextLength int // most tokens of a text
	VocabSize     int
	Width         int // channels of the residual stream
	Layers        int
	Heads         int
	MLPHidden     int
	EmbedDim      int  // channels of the joint image-text space
	LayerScale    bool // as in [ViTConfig]
	LogitBias     bool // a learned number is added to the logits of pictures and texts
	Epsilon       float64
	Activation    Activation

	Bidirectional  bool // tokens see those behind them too
	ReadLast       bool // the embedding is read at the last position of the context, not at the end token
	ProjectionBias bool // the projection has a bias and is stored as a linear layer

	prefix string // of the names of the tower's tensors
	// tokens says why texts cannot be made tokens, "" when they may be.
	tokens string
	// pieces tells that tokens are SentencePiece's, and clean what is done to texts before; nil stands for what the transformers
	// library does.
	pieces bool
	clean  func(text string) string
}

// The text tower's tensors outside its blocks, the logarithm of what cosines are multiplied with, and what is added then.
const (
	tokenEmbedding = "token_embedding.weight"
	textPosition   = "positional_embedding"
	textNorm       = "ln_final"
	textProjection = "text_projection"
	logitScale     = "logit_scale"
	logitBias      = "logit_bias"
)

// textTower reads text_cfg of open_clip_config.json; nil stands for a tower of a kind that is not read.
func textTower(cfg *checkpoint.OpenCLIPConfig) (*TextTower, error) {
	t := cfg.TextCfg
	switch {
	case len(t.Extra) > 0 || t.PoolType != "argmax" && t.PoolType != "last":
		return nil, nil
	case t.Width%t.Heads != 0:
		return nil, fmt.Errorf("text_cfg.width %d is not a multiple of heads %d", t.Width, t.Heads)
	case t.ContextLength < 2 || t.ContextLength > 1<<14:
		return nil, fmt.Errorf("text_cfg.context_length %d is not in 2..%d", t.ContextLength, 1<<14)
	case t.Layers > 1<<12 || t.Width > 1<<16:
		return nil, fmt.Errorf("text_cfg: %d layers of width %d are beyond any known CLIP", t.Layers, t.Width)
	}
	tower := &TextTower{
		ContextLength: t.ContextLength, VocabSize: t.VocabSize, Width: t.Width, Layers: t.Layers, Heads: t.Heads,
		MLPHidden: int(t.MLPRatio * float64(t.Width)), EmbedDim: cfg.EmbedDim,
		LayerScale: t.LSInitValue != 0, LogitBias: cfg.LogitBias, Epsilon: t.NormEps, Activation: GELU,
	}
	tower.Bidirectional, tower.ReadLast, tower.ProjectionBias = t.NoCausalMask, t.PoolType == "last", t.ProjBias
	if cfg.CustomText {
		tower.prefix = "text."
	}
	switch {
	case cfg.QuickGELU:
		tower.Activation = QuickGELU
	case t.GELUTanh:
		tower.Activation = GELUTanh
	}
	switch {
	case t.Tokenizer == "":
	case strings.Contains(t.Tokenizer, "SigLIP") && t.Clean == "canonicalize":
		tower.pieces, tower.clean = true, tokenizer.Canonical
	default:
		tower.tokens = fmt.Sprintf("they are tokenized as %s does", t.Tokenizer)
	}
	return tower, nil
}

// blocks describes the transformer blocks, which are those of the image tower under other names.
func (t *TextTower) blocks() *ViTConfig {
	names := openCLIPNames
	names.block = t.prefix + "transformer.resblocks.%d."
	return &ViTConfig{
		Width: t.Width, Depth: t.Layers, Heads: t.Heads, MLPHidden: t.MLPHidden, QKVBias: true, LayerScale: t.LayerScale,
		Epsilon: t.Epsilon, Activation: t.Activation, names: names,
	}
}

// Params lists the tensors of the tower and the logit scale, by open_clip's names.
func (t *TextTower) Params() []Param {
	l := paramList{{Name: logitScale, Dims: []int{}}}
	if t.LogitBias {
		l = append(l, Param{Name: logitBias, Dims: []int{}})
	}
	l.add(t.prefix+tokenEmbedding, t.VocabSize, t.Width)
	l.add(t.prefix+textPosition, t.ContextLength, t.Width)
	l.norm(t.prefix+textNorm, t.Width)
	if t.ProjectionBias {
		l.linear(t.prefix+textProjection, t.EmbedDim, t.Width)
	} else {
		l.add(t.prefix+textProjection, t.Width, t.EmbedDim)
	}
	t.blocks().addBlocks(&l)
	return l
}

// Embedding builds the forward pass from token ids [text, position], int32, to the embeddings [text, dim] in the joint
// space, not normalised. Where attention looks back only and the end token is read, there may be fewer positions than
// ContextLength as long as every text has its end token: what follows it does not matter.
func (t *TextTower) Embedding(w Weights, tokens *graph.Node) *graph.Node {
	g, length := tokens.Graph(), tokens.Shape().Dim(1)
	x := graph.Gather(w.Get(t.prefix+tokenEmbedding), graph.InsertAxes(tokens, -1))
	position := graph.SliceAxis(w.Get(t.prefix+textPosition), 0, graph.AxisRange(0, length))
	x = graph.Add(x, graph.InsertAxes(position, 0))

	var mask *graph.Node
	if !t.Bidirectional {
		square := shapes.Make(dtypes.Int32, length, length)
		ahead := graph.GreaterThan(graph.Iota(g, square, 1), graph.Iota(g, square, 0))
		// Finite, so that gradients are; its exponential is 0 beside that of any score.
		mask = graph.MulScalar(graph.ConvertDType(ahead, dtypes.Float32), -1e9)
		mask = graph.InsertAxes(mask, 0, 0)
	}
	blocks := t.blocks()
	for i := range t.Layers {
		x = blocks.block(w, x, mark.Plain(i), fmt.Sprintf(blocks.names.block, i), attentionScores{mask: mask})
	}

	// The norm is per position: one is enough.
	if t.ReadLast {
		x = oneToken(x, length-1)
	} else { // the end token has the largest id
		end := graph.OneHot(graph.ArgMax(tokens, 1, dtypes.Int32), length, dtypes.Float32)
		x = graph.Einsum("tn,tnd->td", end, x)
	}
	x = layerNorm(w, t.prefix+textNorm, x, t.Epsilon)
	if t.ProjectionBias {
		return addBias(contractLast(w, x, w.Get(t.prefix+textProjection+".weight")), w.Get(t.prefix+textProjection+".bias"))
	}
	return product(w, x, w.Get(t.prefix+textProjection)).Product()
}

// CosineLogits builds exp(logit_scale) times the cosines [image, text] of two sets of embeddings [image, dim] and
// [text, dim]: CLIP's logits per image.
func CosineLogits(w Weights, images, texts *graph.Node) *graph.Node {
	scale := graph.Exp(w.Get(logitScale))
	return graph.Mul(contractLast(w, unit(images), unit(texts)), scale)
}

// unit scales x to length 1 along its last axis.
func unit(x *graph.Node) *graph.Node {
	norm := graph.MaxScalar(graph.Sqrt(graph.ReduceAndKeep(graph.Square(x), graph.ReduceSum, -1)), 1e-12)
	mark.Statistic(norm)
	return graph.Div(x, norm)
}

// loadText loads the text tower's weights and the tokenizer.
func (m *Model) loadText(ckpt *checkpoint.Checkpoint, stored *storedTensors, tower *TextTower) error {
	switch {
	case tower == nil:
		return fmt.Errorf("texts are not available: the text tower is of a kind that is not read; the image tower alone can be used")
	case tower.tokens != "":
		return fmt.Errorf("texts are not available: %s, and only the tokenizers of CLIP and SigLIP are read; the image tower alone can be used", tower.tokens)
	}
	file, err := ckpt.Tokenizer()
	if err != nil {
		return err
	}
	parse := tokenizer.Parse
	if tower.pieces {
		clean := tower.clean
		switch {
		case clean != nil:
		case tokenizer.IsUnigram(file):
			clean = tokenizer.Plain
		default: // a SigLIP 2's
			clean = tokenizer.Lowercase
		}
		parse = func(file []byte) (*tokenizer.Tokenizer, error) { return tokenizer.ParsePieces(file, clean) }
	}
	if m.Tokenizer, err = parse(file); err != nil {
		return fmt.Errorf("tokenizer.json: %w", err)
	}
	// SentencePiece's may have fewer: widths are rounded up.
	if n := m.Tokenizer.VocabSize(); n != tower.VocabSize && !(tower.pieces && n < tower.VocabSize) {
		return fmt.Errorf("tokenizer.json has %d tokens and text_cfg.vocab_size is %d; they are not of the same model", n, tower.VocabSize)
	}
	return m.loadTextTower(stored, tower)
}

// loadTextTower loads the weights of the text tower.
func (m *Model) loadTextTower(stored *storedTensors, tower *TextTower) error {
	for _, p := range tower.Params() {
		data, err := stored.float32(p.Name)
		if err != nil {
			return err
		}
		m.weights[p.Name] = tensors.FromFlatDataAndDimensions(data, p.Dims...)
	}
	m.Text = tower
	return nil
}

// LogitScale returns exp(logit_scale), by which CLIP multiplies cosines. The model must have been loaded with its text
// tower, see [Options].
func (m *Model) LogitScale() (float64, error) {
	if _, err := m.textTower(); err != nil {
		return 0, err
	}
	data, err := tensors.CopyFlatData[float32](m.weights[logitScale])
	if err != nil {
		return 0, err
	}
	return math.Exp(float64(data[0])), nil
}

// textTower returns the text tower, or says why there is none.
func (m *Model) textTower() (*TextTower, error) {
	if m.Text == nil {
		return nil, fmt.Errorf("%s has no text tower: texts need a CLIP or SigLIP that was opened with its text tower", m.Name)
	}
	return m.Text, nil
}
