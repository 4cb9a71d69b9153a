package gomlxvit

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"vitdecompose/data/spelling"
	"vitdecompose/gomlxvit/mark"
)

// Entry is an architecture that can be built by its name, and where its trained weights are.
type Entry struct {
	Name    string
	Library string // "timm" or "open_clip"
	Family  *Family
	Arch    Architecture
	// Text is the text tower of a CLIP, nil for other models and where it is of a kind that is not read.
	Text *TextTower
	// Arguments are those of timm's constructor, or open_clip's model_cfg, as JSON.
	Arguments string
	Weights   []Weighted
}

// Weighted are trained weights.
type Weighted struct {
	Tag string
	// Ref names them for option Model, hf:owner/repo, or is an address where they are not on the Hugging Face Hub; "" if
	// neither is known.
	Ref string
}

// Family is a group of architectures that have much in common.
type Family struct {
	Name, About string
	parts       []string // of names, any of which makes it this family
}

// families of names, the first that fits; the last fits all.
var catalogFamilies = []Family{
	{"SigLIP, SigLIP 2", "CLIPs with a sigmoid loss; most pool their tokens by attention", []string{"siglip"}},
	{"Perception Encoder", "rotary embeddings, attention pooling", []string{"vit_pe_", "pe-core"}},
	{"EVA, EVA-02, EVA-CLIP", "relative or rotary positions, SwiGLU, norms within attention and MLP", []string{"eva_", "eva02_", "eva01-", "eva02-"}},
	{"BEiT, BEiT v2, BEiT-3", "learned biases of pairs of tokens", []string{"beit"}},
	{"DINOv3", "rotary embeddings, registers", []string{"dinov3"}},
	{"DINOv2", "LayerScale, with and without registers", []string{"dinov2"}},
	{"AIMv2", "RMSNorm and SwiGLU, the mean of the tokens", []string{"aimv2"}},
	{"RADIO", "several summary tokens", []string{"radio"}},
	{"Swin V2", "windows, attention by cosines, norms behind attention and MLP", []string{"swinv2"}},
	{"Swin", "windows in four stages", []string{"swin_"}},
	{"MaxViT, MaxxViT", "convolutions, windows and grids in four stages", []string{"maxvit", "maxxvit"}},
	{"CoAtNet, CoAtNeXt", "stages of convolutions, then stages of attention", []string{"coatne"}},
	{"DeiT, DeiT III", "plain vision transformers, some distilled", []string{"deit"}},
	{"FlexiViT", "patches of any size", []string{"flexivit"}},
	{"ViT with rotary embeddings", "axial or mixed rotations", []string{"_rope_"}},
	{"CLIP", "image and text towers of open_clip, and the image towers that timm has", []string{"_clip_", "vit-", "vit_relpos", "coca", "mobileclip", "nllb", "mt5", "roberta"}},
	{"ViT", "plain vision transformers: AugReg, DINO, MAE and others", nil},
}

// familyOf finds the family of a name.
func familyOf(name string) *Family {
	name = strings.ToLower(name)
	for i, family := range catalogFamilies {
		if slices.ContainsFunc(family.parts, func(part string) bool { return strings.Contains(name, part) }) {
			return &catalogFamilies[i]
		}
	}
	return &catalogFamilies[len(catalogFamilies)-1]
}

// Catalog lists the architectures that can be built by name, by family and then by name.
func Catalog() []Entry {
	var entries []Entry
	for _, name := range Names() {
		if entry, err := Find(name); err == nil {
			entries = append(entries, entry)
		}
	}
	order := func(e Entry) int {
		return slices.IndexFunc(catalogFamilies, func(f Family) bool { return f.Name == e.Family.Name })
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return cmp.Compare(order(a), order(b)) })
	return entries
}

// Find is the entry of an architecture of timm or open_clip. With a tag of timm behind a dot
// ("vit_base_patch16_224.dino") it has these weights alone, and what they change.
func Find(name string) (Entry, error) {
	r, ok := table()[name]
	base, tag, tagged := strings.Cut(name, ".")
	if !ok {
		r, ok = table()[base]
	}
	if !ok {
		return Entry{}, unknown(name)
	}
	e := Entry{Name: name, Library: "timm", Family: familyOf(r.Name)}
	if r.ModelCfg != nil {
		e.Library = "open_clip"
		var err error
		if e.Arch, e.Text, err = OpenCLIP(r.ModelCfg); err != nil {
			return Entry{}, fmt.Errorf("%s: %w", name, err)
		}
		if e.Text != nil && e.Text.tokens != "" {
			e.Text = nil
		}
		for _, tag := range sortedKeys(r.Weights) {
			weights, ref := r.Weights[tag], ""
			if ref = weights.URL; weights.Hub != "" {
				ref = "hf:" + weights.Hub
			}
			e.Weights = append(e.Weights, Weighted{tag, ref})
		}
		return e, e.arguments(r.ModelCfg)
	}
	var err error
	if e.Arch, err = Timm(name, nil); err != nil {
		return Entry{}, err
	}
	for _, known := range r.Tags {
		if !tagged || tag == known {
			e.Weights = append(e.Weights, Weighted{known, "hf:timm/" + base + "." + known})
		}
	}
	if tagged && len(e.Weights) == 0 {
		return Entry{}, fmt.Errorf("timm has no tag %q of %s; it has %s", tag, base, strings.Join(spelling.Nearest(tag, r.Tags, 5), ", "))
	}
	return e, e.arguments(r.Args)
}

// arguments notes the arguments of the constructor.
func (e *Entry) arguments(args map[string]any) error {
	text, err := json.Marshal(args)
	e.Arguments = string(text)
	return err
}

// Fact is a line about an architecture: what it is about, and what is so.
type Fact struct{ Name, Value string }

// Describe says what an architecture is and what it is taken apart into.
func Describe(arch Architecture) []Fact {
	size := arch.InputSize()
	facts := []Fact{{"pictures", fmt.Sprintf("%d x %d pixels", size, size)}}
	add := func(name, format string, args ...any) {
		facts = append(facts, Fact{name, fmt.Sprintf(format, args...)})
	}
	components := ""
	switch c := arch.(type) {
	case *ViTConfig:
		grid := c.ImageSize / c.PatchSize
		add("tokens", "%d x %d patches of %d pixels%s", grid, grid, c.PatchSize, c.prefixes())
		add("blocks", "%d, each of %d heads and an MLP of %d", c.Depth, c.Heads, c.MLPHidden)
		add("width", "%d", c.Width)
		add("variations", "%s", c.variations())
		components = fmt.Sprintf("%d heads, %d MLPs, init", c.Depth*c.Heads, c.Depth)
		if c.AttentionPool.Heads > 0 && c.AttentionPool.MLPHidden > 0 {
			components += ", pool_mlp"
		}
		add("representation", "%s, %d channels", c.readOut(), c.OutputDim())
	case *SwinConfig:
		add("tokens", "%d x %d patches of %d pixels, halved at each stage", c.side(0), c.side(0), c.PatchSize)
		add("blocks", "%v in stages of %v heads, windows of %v tokens", c.Depths, c.Heads, c.Windows)
		add("width", "%d, doubled at each stage", c.Width)
		heads := 0
		for stage, depth := range c.Depths {
			heads += depth * c.Heads[stage]
		}
		components = fmt.Sprintf("%d heads, %d MLPs, init", heads, len(c.Blocks()))
		add("representation", "mean of the tokens, %d channels", c.OutputDim())
	case *MaxxViTConfig:
		heads, mlps, convolutions := c.count()
		add("blocks", "%v in stages, %s", c.Depths, c.kinds())
		add("width", "%v", c.Widths)
		components = fmt.Sprintf("%d heads, %d MLPs, %d convolutions, init", heads, mlps, convolutions)
		add("representation", "mean of the tokens, %d channels", c.OutputDim())
	default:
		add("blocks", "%d", len(arch.Blocks()))
		add("representation", "%d channels", arch.OutputDim())
		components = "heads, MLPs, init"
	}
	if n := arch.NumClasses(); n > 0 {
		add("classes", "%d", n)
	} else {
		add("classes", "none: no head")
	}
	add("parameters", "%.3g million", parameters(arch)/1e6)
	tokens := "and heads can be split by token"
	if halvedByMaxima(arch) {
		tokens = "and tokens are not followed through maxima over tokens"
	}
	add("taken apart into", "%s; biases are const, %s", components, tokens)
	return slices.DeleteFunc(facts, func(f Fact) bool { return f.Value == "" })
}

// halvedByMaxima says whether the stream passes maxima over tokens on its way.
func halvedByMaxima(arch Architecture) bool {
	switch c := arch.(type) {
	case *HieraConfig:
		return true
	case *MaxxViTConfig:
		return slices.ContainsFunc(c.Blocks(), func(b mark.Block) bool {
			if c.kind(b) == TransformerBlock {
				return b.Index == 0 && c.Attention.MaxPool
			}
			return b.Index == 0 && c.Conv.MaxPool && !c.Conv.NeXt
		})
	}
	return false
}

// kinds says what the blocks of a MaxViT or CoAtNet are.
func (c *MaxxViTConfig) kinds() string {
	convolution, partitioned := "a convolution", "attention in windows and attention in a grid, with an MLP each"
	if c.Conv.NeXt {
		convolution = "a block of ConvNeXt"
	}
	if c.Attention.GridOnly {
		partitioned = "attention in a grid with an MLP"
	}
	what := map[BlockKind]string{
		ConvolutionBlock: convolution, TransformerBlock: "attention of all tokens with an MLP", MaxViTBlock: convolution + ", " + partitioned,
	}
	var each []string
	for _, b := range c.Blocks() {
		if text := what[c.kind(b)]; !slices.Contains(each, text) {
			each = append(each, text)
		}
	}
	if len(each) == 1 {
		return "each " + each[0]
	}
	return "each " + strings.Join(each, ", or ")
}

// count counts the components of a MaxViT or CoAtNet.
func (c *MaxxViTConfig) count() (heads, mlps, convolutions int) {
	for _, b := range c.Blocks() {
		attentions, width := 0, c.Widths[b.Stage]
		switch c.kind(b) {
		case ConvolutionBlock:
			convolutions++
		case TransformerBlock:
			attentions, width = 1, c.attentionWidth(b)
		case MaxViTBlock:
			convolutions++
			attentions = len(c.sublayers())
		}
		heads, mlps = heads+attentions*(width/c.Attention.HeadDim), mlps+attentions
	}
	return heads, mlps, convolutions
}

// parameters counts the numbers in all tensors.
func parameters(arch Architecture) float64 {
	total := 0
	for _, p := range arch.Params() {
		total += p.size()
	}
	return float64(total)
}

// prefixes says which tokens stand before the patches.
func (c *ViTConfig) prefixes() string {
	var parts []string
	if c.ClassToken {
		parts = append(parts, "a class token")
	}
	switch {
	case c.Beside == BesideSecond || c.names.register == distillationToken:
		parts = append(parts, "a distillation token")
	case c.RegisterTokens > 0:
		parts = append(parts, fmt.Sprintf("%d registers", c.RegisterTokens))
	}
	if len(parts) == 0 {
		return ""
	}
	return " behind " + strings.Join(parts, " and ")
}

// readOut says what of the tokens the representation is.
func (c *ViTConfig) readOut() string {
	what := "the class token"
	switch {
	case c.AttentionPool.Heads > 0:
		what = fmt.Sprintf("a learned query's attention of %d heads to the tokens", c.AttentionPool.Heads)
		if c.AttentionPool.MLPHidden > 0 {
			what += ", and an MLP"
		}
	case c.AveragePool:
		what = "the mean of the patches"
	case c.Beside == BesidePatches:
		what += " and the mean of the patches"
	case c.Beside == BesideSecond:
		what += " and the distillation token"
	}
	if c.Projection > 0 {
		what += ", projected"
	}
	return what
}

// variations lists what distinguishes the model from a plain vision transformer.
func (c *ViTConfig) variations() string {
	var parts []string
	for _, part := range []struct {
		has  bool
		name string
	}{
		{c.Rotary.Kind != NoRotation, string(c.Rotary.Kind) + " rotary embeddings"}, {c.RelativePositions, "biases of pairs of tokens"},
		{c.NoPositions && c.Rotary.Kind == NoRotation && !c.RelativePositions, "no position embeddings"},
		{c.Activation != GELU, string(c.Activation)}, {c.RMSNorm, "RMSNorm"}, {c.PreNorm, "a norm before the blocks"}, {c.PostNorm, "norms behind attention and MLP"},
		{c.QKNorm, "norms of queries and keys"}, {c.AttnNorm, "a norm of the concatenated heads"}, {c.MLPNorm, "a norm within MLPs"},
		{c.LayerScale, "LayerScale"}, {!c.QKVBias, "no biases of queries, keys and values"},
		{c.QKVBias && c.KeysWithoutBias, "no biases of keys"},
	} {
		if part.has {
			parts = append(parts, part.name)
		}
	}
	return strings.Join(parts, ", ")
}

// TransformersTypes are the model types of the transformers library that are read, sorted.
func TransformersTypes() []string { return append(sortedKeys(transformersLayouts), "timm_wrapper") }
