package gomlxvit

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"

	"vitdecompose/gomlxvit/checkpoint"
)

// size is one of the standard sizes of the ViT family.
type size struct{ width, depth, heads int }

var sizes = map[string]size{
	"tiny":  {192, 12, 3},
	"small": {384, 12, 6},
	"base":  {768, 12, 12},
	"large": {1024, 24, 16},
}

// registry maps names, as timm and open_clip publish them, to architectures.
var registry = buildRegistry()

// plainViTs are the transformers with nothing but a class token, by size, patch and picture, as timm names them
// (vit_SIZE_patchP_I, and DeiT's deit_SIZE_patch16_I).
var plainViTs = []struct {
	size, patches, images string
}{
	{"tiny", "16", "224 384"},
	{"small", "16 32", "224 384"},
	{"small", "8", "224"},
	{"base", "16 32", "224 384"},
	{"base", "8", "224"},
	{"large", "16 32", "224 384"},
	{"large", "14", "224"},
}

func buildRegistry() map[string]ViTConfig {
	r := make(map[string]ViTConfig)
	plain := func(sizeName string, patch, image int) ViTConfig {
		s := sizes[sizeName]
		return ViTConfig{
			ImageSize: image, PatchSize: patch, Width: s.width, Depth: s.depth, Heads: s.heads, MLPHidden: 4 * s.width,
			ClassToken: true, PatchBias: true, QKVBias: true, FinalNorm: true,
			Classes: 1000, Epsilon: 1e-6, Activation: GELU, names: timmNames,
		}
	}
	for _, family := range plainViTs {
		for _, patch := range numbers(family.patches) {
			for _, image := range numbers(family.images) {
				r[fmt.Sprintf("vit_%s_patch%d_%d", family.size, patch, image)] = plain(family.size, patch, image)
			}
		}
	}
	for _, name := range []string{"tiny_patch16_224", "small_patch16_224", "base_patch16_224", "base_patch16_384"} {
		r["deit_"+name] = r["vit_"+name]
	}
	for _, sizeName := range []string{"small", "base", "large"} {
		for _, image := range []int{224, 384} {
			deit3 := plain(sizeName, 16, image)
			deit3.LayerScale, deit3.PositionPatches = true, true
			r[fmt.Sprintf("deit3_%s_patch16_%d", sizeName, image)] = deit3
		}
		dinov2 := plain(sizeName, 14, 518)
		dinov2.LayerScale, dinov2.Classes = true, 0
		r["vit_"+sizeName+"_patch14_dinov2"] = dinov2
		dinov2.RegisterTokens, dinov2.PositionPatches = 4, true
		r["vit_"+sizeName+"_patch14_reg4_dinov2"] = dinov2
	}

	// CLIP's image towers as timm publishes them: a norm before the blocks, no bias in the patch embedding, and the
	// projection as the head.
	for name, classes := range map[string]int{
		"base_patch32_clip_224": 512, "base_patch16_clip_224": 512, "base_patch16_clip_384": 512,
		"large_patch14_clip_224": 768, "large_patch14_clip_336": 768,
	} {
		var patch, image int
		sizeName, rest, _ := strings.Cut(name, "_")
		if _, err := fmt.Sscanf(rest, "patch%d_clip_%d", &patch, &image); err != nil {
			panic(err) // the names above do not fit the pattern
		}
		clip := plain(sizeName, patch, image)
		clip.PreNorm, clip.PatchBias, clip.Epsilon, clip.Classes = true, false, 1e-5, classes
		r["vit_"+name] = clip
		if image != 384 {
			clip.Activation = QuickGELU
			r["vit_"+strings.Replace(name, "_clip_", "_clip_quickgelu_", 1)] = clip
		}
	}
	for name, c := range map[string]struct {
		image, patch, embed int
		size                string
	}{
		"ViT-B-32": {224, 32, 512, "base"}, "ViT-B-16": {224, 16, 512, "base"},
		"ViT-L-14": {224, 14, 768, "large"}, "ViT-L-14-336": {336, 14, 768, "large"},
	} {
		s := sizes[c.size]
		clip := clipTower(c.image, c.patch, s.width, s.depth, s.heads, 4*s.width, c.embed)
		r[name] = clip
		clip.Activation = QuickGELU
		r[name+"-quickgelu"] = clip
	}
	return r
}

// numbers reads numbers separated by spaces.
func numbers(text string) []int {
	var out []int
	for _, field := range strings.Fields(text) {
		n, err := strconv.Atoi(field)
		if err != nil {
			panic(err) // only called with the constants above
		}
		out = append(out, n)
	}
	return out
}

// clipTower is open_clip's image tower.
func clipTower(image, patch, width, depth, heads, hidden, embed int) ViTConfig {
	return ViTConfig{
		ImageSize: image, PatchSize: patch, Width: width, Depth: depth, Heads: heads, MLPHidden: hidden,
		ClassToken: true, QKVBias: true, PreNorm: true, FinalNorm: true, Projection: embed,
		Epsilon: 1e-5, Activation: GELU, names: openCLIPNames,
	}
}

// Names lists the architectures of the registry, sorted.
func Names() []string {
	names := slices.Concat(sortedKeys(registry), sortedKeys(swins), sortedKeys(maxViTs))
	sort.Strings(names)
	return names
}

// Lookup finds an architecture by its name in timm or open_clip. A timm tag after a dot ("vit_base_patch16_224.dino")
// is left out: it names weights, not an architecture.
func Lookup(name string) (Architecture, error) {
	if c := lookupStaged(name); c != nil {
		return c, nil
	}
	c, err := lookupViT(name)
	if err != nil {
		return nil, err
	}
	return &c, nil
}

func lookupViT(name string) (ViTConfig, error) {
	base, tag, _ := strings.Cut(name, ".")
	c, ok := registry[base]
	if !ok {
		return ViTConfig{}, fmt.Errorf("architecture %q is not known; `vitdecompose models` lists those that are", name)
	}
	if strings.HasPrefix(tag, "dino") {
		c.Classes = 0
	}
	return c, nil
}

// resizable is an architecture that can be built for pictures of another size.
type resizable interface {
	Architecture
	withImageSize(size int) (resizable, error)
}

// architectureOf builds the architecture that a checkpoint's configuration describes, and the text tower of a CLIP,
// nil for others.
func architectureOf(ckpt *checkpoint.Checkpoint) (arch resizable, text *TextTower, err error) {
	if c := lookupStaged(ckpt.Architecture); c != nil && ckpt.OpenCLIP == nil {
		return c, nil, fromTimmStaged(c, ckpt)
	}
	var c ViTConfig
	if ckpt.OpenCLIP != nil {
		c, text, err = fromOpenCLIP(ckpt.OpenCLIP)
	} else {
		c, err = fromTimm(ckpt)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := c.check(); err != nil {
		return nil, nil, err
	}
	return &c, text, nil
}

// Timm builds the architecture that timm's create_model(name, **args) builds. Numbers in args are float64, as
// encoding/json decodes them.
func Timm(name string, args map[string]any) (Architecture, error) {
	arch, _, err := architectureOf(&checkpoint.Checkpoint{Architecture: name, NumClasses: -1, ModelArgs: args})
	return arch, err
}

// OpenCLIP builds the image and text tower that open_clip builds from a model_cfg, the object of that name in
// open_clip_config.json.
func OpenCLIP(modelCfg map[string]any) (Architecture, *TextTower, error) {
	cfg, err := checkpoint.ParseOpenCLIP(modelCfg)
	if err != nil {
		return nil, nil, err
	}
	arch, text, err := architectureOf(&checkpoint.Checkpoint{OpenCLIP: cfg})
	return arch, text, err
}

// fromTimm applies model_args, the keyword arguments of timm's constructor, to the named architecture.
func fromTimm(ckpt *checkpoint.Checkpoint) (ViTConfig, error) {
	c, err := lookupViT(ckpt.Architecture)
	if err != nil {
		return c, err
	}
	if ckpt.NumClasses >= 0 {
		c.Classes = ckpt.NumClasses
	}
	pool := ckpt.GlobalPool
	mlpRatio := float64(c.MLPHidden) / float64(c.Width)
	var poolNorm *bool
	for _, key := range sortedKeys(ckpt.ModelArgs) {
		value := ckpt.ModelArgs[key]
		arg := argument{key, value}
		switch key {
		case "img_size":
			err = arg.side(&c.ImageSize)
		case "patch_size":
			err = arg.side(&c.PatchSize)
		case "embed_dim":
			err = arg.integer(&c.Width)
		case "depth":
			err = arg.integer(&c.Depth)
		case "num_heads":
			err = arg.integer(&c.Heads)
		case "mlp_ratio":
			err = arg.number(&mlpRatio)
		case "num_classes":
			err = arg.integer(&c.Classes)
		case "reg_tokens":
			err = arg.integer(&c.RegisterTokens)
		case "qkv_bias":
			err = arg.boolean(&c.QKVBias)
		case "class_token":
			err = arg.boolean(&c.ClassToken)
		case "no_embed_class":
			err = arg.boolean(&c.PositionPatches)
		case "pre_norm":
			err = arg.boolean(&c.PreNorm)
			c.PatchBias = !c.PreNorm
		case "final_norm":
			err = arg.boolean(&c.FinalNorm)
		case "fc_norm":
			poolNorm = new(bool)
			err = arg.boolean(poolNorm)
		case "global_pool":
			err = arg.text(&pool)
		case "init_values":
			c.LayerScale = value != nil
		case "in_chans":
			err = arg.colour()
		case "act_layer":
			var name string
			if err = arg.text(&name); err == nil {
				c.Activation = Activation(name)
				if !slices.Contains([]Activation{GELU, GELUTanh, QuickGELU}, c.Activation) {
					err = fmt.Errorf("model_args.act_layer %q is not one of gelu, gelu_tanh, quick_gelu", name)
				}
			}
		case "drop_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate", "attn_drop_rate", "drop_path_rate",
			"weight_init", "fix_init", "dynamic_img_size", "dynamic_img_pad":
			// these change training or pictures of other sizes, not what is computed here
		default:
			err = fmt.Errorf("model_args.%s is not supported", key)
		}
		if err != nil {
			return c, err
		}
	}
	if !c.PositionPatches && !c.ClassToken {
		c.PositionPatches = true // with no class token there is nothing but patches to place
	}
	switch pool {
	case "", "token":
	case "avg":
		c.AveragePool = true
	default:
		return c, fmt.Errorf("global_pool %q is not supported: only token and avg", pool)
	}
	// timm moves the norm behind the pooling when tokens are averaged, unless fc_norm says otherwise.
	c.PoolNorm = c.AveragePool
	if poolNorm != nil {
		c.PoolNorm = *poolNorm
	}
	c.FinalNorm = c.FinalNorm && !c.PoolNorm
	c.MLPHidden = int(mlpRatio * float64(c.Width))
	return c, nil
}

// fromOpenCLIP reads model_cfg of open_clip_config.json.
func fromOpenCLIP(cfg *checkpoint.OpenCLIPConfig) (ViTConfig, *TextTower, error) {
	v := cfg.VisionCfg
	refuse := func(format string, args ...any) (ViTConfig, *TextTower, error) {
		return ViTConfig{}, nil, fmt.Errorf(format, args...)
	}
	for where, extra := range map[string]map[string]any{
		"model_cfg": cfg.Extra, "vision_cfg": v.Extra, "text_cfg": cfg.TextCfg.Extra,
	} {
		if len(extra) > 0 {
			return refuse("%s.%s is not supported: only CLIP's own transformer towers are", where, sortedKeys(extra)[0])
		}
	}
	switch {
	case v.ImageSize[0] != v.ImageSize[1]:
		return refuse("vision_cfg.image_size %v is not square", v.ImageSize)
	case v.PoolType != "tok":
		return refuse("vision_cfg.pool_type %q is not supported, only tok", v.PoolType)
	case v.FinalLNAfterPool:
		return refuse("vision_cfg.final_ln_after_pool is not supported")
	case v.PosEmbedType != "learnable":
		return refuse("vision_cfg.pos_embed_type %q is not supported, only learnable", v.PosEmbedType)
	case v.HeadWidth <= 0 || v.Width%v.HeadWidth != 0:
		return refuse("vision_cfg.width %d is not a multiple of head_width %d", v.Width, v.HeadWidth)
	}
	c := clipTower(v.ImageSize[0], v.PatchSize, v.Width, v.Layers, v.Width/v.HeadWidth, int(v.MLPRatio*float64(v.Width)), cfg.EmbedDim)
	c.LayerScale = v.LSInitValue != 0
	c.PreNorm = !v.NoLNPre
	c.Epsilon = v.NormEps
	if cfg.QuickGELU {
		c.Activation = QuickGELU
	}
	text, err := textTower(cfg)
	return c, text, err
}

// argument is one entry of model_args, read from JSON.
type argument struct {
	key   string
	value any
}

func (a argument) wrong(want string) error {
	return fmt.Errorf("model_args.%s is %v, want %s", a.key, a.value, want)
}

func (a argument) number(to *float64) error {
	switch v := a.value.(type) {
	case float64:
		*to = v
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return a.wrong("a number")
		}
		*to = f
	default:
		return a.wrong("a number")
	}
	return nil
}

func (a argument) integer(to *int) error {
	var f float64
	if err := a.number(&f); err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<30 {
		return a.wrong("a whole number")
	}
	*to = int(f)
	return nil
}

// side reads a length that timm takes as a number or as a pair of equal numbers.
func (a argument) side(to *int) error {
	if pair, ok := a.value.([]any); ok {
		if len(pair) != 2 || fmt.Sprint(pair[0]) != fmt.Sprint(pair[1]) {
			return a.wrong("one number, or two that are equal")
		}
		return argument{a.key, pair[0]}.integer(to)
	}
	return a.integer(to)
}

// integers reads a list of at least one whole number.
func (a argument) integers(to *[]int) error {
	list, ok := a.value.([]any)
	if !ok || len(list) == 0 {
		return a.wrong("a list of whole numbers")
	}
	numbers := make([]int, len(list))
	for i, value := range list {
		if err := (argument{a.key, value}).integer(&numbers[i]); err != nil {
			return a.wrong("a list of whole numbers")
		}
	}
	*to = numbers
	return nil
}

// colour checks that in_chans is 3.
func (a argument) colour() error {
	channels := 0
	if err := a.integer(&channels); err != nil {
		return err
	}
	if channels != 3 {
		return fmt.Errorf("model_args.%s is %d; only colour pictures (3) are supported", a.key, channels)
	}
	return nil
}

func (a argument) boolean(to *bool) error {
	v, ok := a.value.(bool)
	if !ok {
		return a.wrong("true or false")
	}
	*to = v
	return nil
}

func (a argument) text(to *string) error {
	v, ok := a.value.(string)
	if !ok {
		return a.wrong("a word")
	}
	*to = v
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
