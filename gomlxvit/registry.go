package gomlxvit

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"vitdecompose/data/spelling"
	"vitdecompose/gomlxvit/checkpoint"
)

// The tables of the architectures that timm and open_clip have names for, a line each; tables/generate.py made them.
var (
	//go:embed tables/timm.jsonl
	timmTable []byte
	//go:embed tables/open_clip.jsonl
	openCLIPTable []byte
)

// row is a line of a table: an architecture with its name.
type row struct {
	Name string `json:"name"`

	// Of timm: the class that the name stands for, the arguments of its constructor, and what the configuration of its
	// first tag says of pictures and classes, with those of the tags that differ.
	Family string         `json:"family"`
	Args   map[string]any `json:"args"`
	configured
	Tags   []string              `json:"tags"`
	Differ map[string]configured `json:"differ"` // only what is different

	// ModelCfg is open_clip's configuration, nil for timm's names, and Weights the trained ones that open_clip lists, by their
	// tags.
	ModelCfg map[string]any           `json:"model_cfg"`
	Weights  map[string]listedWeights `json:"weights"`
}

// configured is what timm's pretrained_cfg says of a model and its pictures.
type configured struct {
	ImageSize  int  `json:"img_size"`
	NumClasses *int `json:"num_classes"`
	pictures
	CropPct  float64 `json:"crop_pct"`
	CropMode string  `json:"crop_mode"`
}

// pictures is how both libraries say how pictures are prepared.
type pictures struct {
	Mean          []float64 `json:"mean"`
	Std           []float64 `json:"std"`
	Interpolation string    `json:"interpolation"`
}

// with is the configuration with what differs replaced.
func (c configured) with(differ configured) configured {
	c.ImageSize = cmp.Or(differ.ImageSize, c.ImageSize)
	c.NumClasses = cmp.Or(differ.NumClasses, c.NumClasses)
	c.Interpolation = cmp.Or(differ.Interpolation, c.Interpolation)
	c.CropPct, c.CropMode = cmp.Or(differ.CropPct, c.CropPct), cmp.Or(differ.CropMode, c.CropMode)
	if differ.Mean != nil {
		c.Mean = differ.Mean
	}
	if differ.Std != nil {
		c.Std = differ.Std
	}
	return c
}

// preparesAs reports whether two configurations prepare pictures in the same way, up to their size.
func (c configured) preparesAs(other configured) bool {
	return slices.Equal(c.Mean, other.Mean) && slices.Equal(c.Std, other.Std) && c.Interpolation == other.Interpolation &&
		c.CropPct == other.CropPct && c.CropMode == other.CropMode
}

// listedWeights says where weights of open_clip are and how pictures are prepared for them.
type listedWeights struct {
	Hub       string `json:"hub"` // owner/repository of the Hugging Face Hub
	URL       string `json:"url"` // where there is no Hub
	QuickGELU bool   `json:"quick_gelu"`
	pictures
	ResizeMode string `json:"resize_mode"`
}

// table maps names to rows.
var table = sync.OnceValue(func() map[string]row {
	rows := make(map[string]row)
	for line := range bytes.Lines(slices.Concat(timmTable, openCLIPTable)) {
		var r row
		if err := json.Unmarshal(line, &r); err != nil {
			panic(fmt.Errorf("table of architectures: %w", err))
		}
		if _, ok := rows[r.Name]; !ok { // what both libraries have, such as swin_base_patch4_window7_224, is timm's
			rows[r.Name] = r
		}
	}
	return rows
})

// constructor takes the keyword arguments of one of timm's constructors and builds what it would build.
type constructor interface {
	// set applies one argument; it says whether it knows it.
	set(arg argument) (known bool, err error)
	// build gives the architecture with that many classes and that pooling, "" for the constructor's own.
	build(classes int, pool string) (resizable, error)
}

// families are timm's constructors with the defaults of their arguments.
var families = map[string]func() constructor{
	"vit":           func() constructor { return newViTArguments() },
	"vit_distilled": func() constructor { return newDistilledArguments() },
	"swin":          func() constructor { return newSwinArguments() },
	"eva":           func() constructor { return newEvaArguments() },
	"beit":          func() constructor { return newBeitArguments() },
	"swinv2":        func() constructor { return newSwinV2Arguments() },
	"hiera":         func() constructor { return newHieraArguments() },
	"maxxvit":       func() constructor { return newMaxxViTArguments() },
}

// unknown says that a name is of no architecture, and which names are like it.
func unknown(name string) error {
	return fmt.Errorf("architecture %q is not known; the nearest names are %s. A model of one of these families can be described by the nearest name and model_args in config.json; `vitdecompose models` lists all names",
		name, strings.Join(spelling.Nearest(name, Names(), 3), ", "))
}

// names holds what Names has found.
var names struct {
	once sync.Once
	list []string
}

// Names lists the architectures that can be built by name, sorted.
func Names() []string {
	names.once.Do(func() {
		for name := range table() {
			if _, err := Lookup(name); err == nil {
				names.list = append(names.list, name)
			}
		}
		slices.Sort(names.list)
	})
	return slices.Clone(names.list)
}

// Lookup finds an architecture by its name in timm or open_clip. What stands after a dot in timm's names
// ("vit_base_patch16_224.dino") names weights, which may have another head and other pictures.
func Lookup(name string) (Architecture, error) {
	if r, ok := table()[name]; ok && r.ModelCfg != nil {
		arch, _, err := OpenCLIP(r.ModelCfg)
		return arch, err
	}
	return Timm(name, nil)
}

// Configuration is a configuration file for an architecture of timm or open_clip, for weights that come without one. It says
// what the library knows beside the name: how pictures are prepared. basis tells whose preparation that is, a line; "" for that of
// a tag that was named.
func Configuration(name string) (config []byte, basis string, err error) {
	base, tag, tagged := strings.Cut(name, ".")
	r, ok := table()[name]
	if !ok {
		r, ok = table()[base]
	}
	switch {
	case !ok:
		return nil, "", unknown(name)
	case r.ModelCfg != nil:
		return r.openCLIPConfiguration()
	}
	known := slices.Contains(r.Tags, tag)
	cfg := r.configured.with(r.Differ[tag])
	switch {
	case tagged && known:
	case len(r.Tags) == 0:
		basis = fmt.Sprintf("pictures are prepared as timm does for %s", base)
	case slices.ContainsFunc(r.Tags, func(tag string) bool { return !cfg.preparesAs(r.configured.with(r.Differ[tag])) }):
		basis = fmt.Sprintf("pictures are prepared as timm does for %s.%s, and for others of its tags they are not: name one (%s)", base, r.Tags[0], strings.Join(r.Tags, ", "))
	default:
		basis = fmt.Sprintf("pictures are prepared as timm does for all tags of %s", base)
	}
	if tagged && !known && tag != "" {
		basis = fmt.Sprintf("timm has no tag %s of %s; %s", tag, base, basis)
	}
	prepared := map[string]any{"mean": cfg.Mean, "std": cfg.Std, "interpolation": cfg.Interpolation, "crop_pct": cfg.CropPct, "input_size": []int{3, cfg.ImageSize, cfg.ImageSize}}
	if cfg.CropMode != "" {
		prepared["crop_mode"] = cfg.CropMode
	}
	config, err = json.Marshal(map[string]any{"architecture": name, "pretrained_cfg": prepared})
	return config, basis, err
}

// openCLIPConfiguration is [Configuration] of a row of open_clip.
func (r row) openCLIPConfiguration() (config []byte, basis string, err error) {
	whole := map[string]any{"model_cfg": r.ModelCfg}
	tags := sortedKeys(r.Weights)
	if len(tags) > 0 {
		first := r.Weights[tags[0]]
		whole["preprocess_cfg"] = map[string]any{"mean": first.Mean, "std": first.Std, "interpolation": first.Interpolation, "resize_mode": first.ResizeMode}
		basis = fmt.Sprintf("pictures are prepared as open_clip does for %s, %s", r.Name, tags[0])
	} else {
		basis = fmt.Sprintf("open_clip has no weights of %s: pictures are prepared as for OpenAI's CLIPs", r.Name)
	}
	config, err = json.Marshal(whole)
	return config, basis, err
}

// Timm builds the architecture that timm's create_model(name, **args) builds. Numbers in args are float64, as
// encoding/json decodes them.
func Timm(name string, args map[string]any) (Architecture, error) {
	return fromTimm(&checkpoint.Checkpoint{Architecture: name, NumClasses: -1, ModelArgs: args})
}

// OpenCLIP builds the image and text tower that open_clip builds from a model_cfg, the object of that name in
// open_clip_config.json.
func OpenCLIP(modelCfg map[string]any) (Architecture, *TextTower, error) {
	cfg, err := checkpoint.ParseOpenCLIP(modelCfg)
	if err != nil {
		return nil, nil, err
	}
	arch, text, err := architectureOf(&checkpoint.Checkpoint{OpenCLIP: cfg}, nil)
	return arch, text, err
}

// resizable is an architecture that can be built for pictures of another size.
type resizable interface {
	Architecture
	withImageSize(size int) (resizable, error)
}

// architectureOf builds the architecture that a checkpoint's configuration describes, and the text tower of a CLIP,
// nil for others. Tensors in the layout of the transformers library get the architecture's names.
func architectureOf(ckpt *checkpoint.Checkpoint, stored *storedTensors) (resizable, *TextTower, error) {
	if ckpt.Transformers != nil {
		return fromTransformers(ckpt.Transformers, stored)
	}
	if ckpt.OpenCLIP != nil {
		return fromOpenCLIP(ckpt.OpenCLIP)
	}
	arch, err := fromTimm(ckpt)
	return arch, nil, err
}

// inTraining are arguments of timm's constructors that change training, not what is computed here.
var inTraining = []string{
	"drop_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate", "attn_drop_rate", "drop_path_rate", "weight_init", "fix_init",
}

// fromTimm builds what timm's create_model builds: the arguments of the name's row, what the checkpoint's configuration
// overrides, and model_args over all.
func fromTimm(ckpt *checkpoint.Checkpoint) (resizable, error) {
	base, tag, _ := strings.Cut(ckpt.Architecture, ".")
	if !isTimm(base) {
		return nil, unknown(ckpt.Architecture)
	}
	r := table()[base]
	construct, ok := families[r.Family]
	if !ok {
		return nil, fmt.Errorf("architecture %q is timm's, but models of its family (%s) are not supported", ckpt.Architecture, r.Family)
	}
	c, defaults := construct(), r.configured.with(r.Differ[tag])
	if vit, ok := c.(*vitArguments); ok {
		vit.filter = filterOf(base)
	}
	classes, pool := *defaults.NumClasses, ckpt.GlobalPool
	if ckpt.NumClasses >= 0 {
		classes = ckpt.NumClasses
	}
	size := [2]int{defaults.ImageSize, defaults.ImageSize}
	if ckpt.FixedSize != [2]int{} {
		size = ckpt.FixedSize
	}
	if _, err := c.set(argument{"img_size", []any{float64(size[0]), float64(size[1])}}); err != nil {
		return nil, err
	}
	for _, args := range []map[string]any{r.Args, ckpt.ModelArgs} {
		for _, key := range sortedKeys(args) {
			arg := argument{key, args[key]}
			known, err := true, error(nil)
			switch {
			case key == "num_classes":
				err = arg.integer(&classes)
			case key == "global_pool":
				err = arg.text(&pool)
			case key == "in_chans":
				err = arg.colour()
			case slices.Contains(inTraining, key):
			default:
				known, err = c.set(arg)
			}
			if err == nil && !known {
				err = fmt.Errorf("model_args.%s is not supported", key)
			}
			if err != nil {
				return nil, fmt.Errorf("architecture %q: %w", ckpt.Architecture, err)
			}
		}
	}
	return c.build(classes, pool)
}

// isTimm says whether the tables have an architecture of timm with that name.
func isTimm(name string) bool {
	r, ok := table()[name]
	return ok && r.ModelCfg == nil
}

// filterOf is what timm resamples the position embeddings of a vision transformer with, which its name decides.
func filterOf(name string) positionFilter {
	switch {
	case strings.Contains(name, "base_patch16_radio_v3") || strings.Contains(name, "huge_patch16_radio_v3"):
		return cornersFilter
	case strings.Contains(name, "flexi") || strings.Contains(name, "radio"):
		return bilinearFilter
	}
	return antialiasedFilter
}

// fromOpenCLIP reads model_cfg of open_clip_config.json. The text tower is nil where it is of a kind that is not read.
func fromOpenCLIP(cfg *checkpoint.OpenCLIPConfig) (resizable, *TextTower, error) {
	if err := checkOpenCLIP(cfg); err != nil {
		return nil, nil, err
	}
	text, err := textTower(cfg)
	if err != nil {
		return nil, nil, err
	}
	if cfg.VisionCfg.Timm != nil {
		arch, err := timmTower(cfg)
		return arch, text, err
	}
	v := cfg.VisionCfg
	c := &ViTConfig{
		ImageSize: v.ImageSize[0], PatchSize: v.PatchSize, Width: v.Width, Depth: v.Layers, Heads: v.Width / v.HeadWidth,
		MLPHidden: int(v.MLPRatio * float64(v.Width)), ClassToken: true, QKVBias: true, PreNorm: !v.NoLNPre, FinalNorm: true,
		LayerScale: v.LSInitValue != 0, Projection: cfg.EmbedDim, Epsilon: v.NormEps, Activation: GELU, names: openCLIPNames,
		AveragePool: v.PoolType == "avg",
	}
	if v.FinalLNAfterPool {
		c.FinalNorm, c.PoolNorm, c.names.poolNorm = false, true, c.names.finalNorm
	}
	if cfg.QuickGELU {
		c.Activation = QuickGELU
	}
	if v.AttentionalPool { // the norm of what is attended to, and the last one behind the pooling
		c.AttentionPool = AttentionPool{Heads: v.PoolHeads, Queries: v.PoolQueries, Width: cfg.EmbedDim, Prefix: true}
		c.PoolNorm, c.names.poolNorm, c.names.finalNorm = true, c.names.finalNorm, c.names.pool+"ln_k"
		if v.PoolType != "tok" || v.FinalLNAfterPool {
			return nil, nil, fmt.Errorf("vision_cfg.attentional_pool is supported with pool_type tok alone")
		}
	}
	return c, text, c.check()
}

// The tensors of a model of timm as the image tower of open_clip, and the projection behind it.
const (
	timmTrunk      = "visual.trunk."
	timmProjection = "visual.head.proj.weight"
)

// timmTower builds a vision transformer of timm as the image tower of a CLIP.
func timmTower(cfg *checkpoint.OpenCLIPConfig) (resizable, error) {
	v, t := &cfg.VisionCfg, cfg.VisionCfg.Timm
	ckpt := &checkpoint.Checkpoint{Architecture: t.Name, ModelArgs: maps.Clone(t.Args), FixedSize: v.ImageSize}
	behind := t.Projection == "linear" // a layer of its own behind the model, whose norms stay as the model's own pooling has them
	switch {
	case behind || t.Projection == "none":
	case t.Projection == "":
		ckpt.NumClasses = cfg.EmbedDim
	default:
		return nil, fmt.Errorf("vision_cfg.timm_proj %q is not supported, only linear, none and null", t.Projection)
	}
	if t.Pool != "" && !behind {
		ckpt.ModelArgs["global_pool"] = t.Pool
	}
	if base, _, _ := strings.Cut(t.Name, "."); !isTimm(base) {
		return nil, fmt.Errorf("vision_cfg.timm_model_name %q is not supported: the model is %s, and only CLIPs with a plain vision transformer as image tower are read",
			t.Name, openCLIPFamily(cfg))
	}
	arch, err := fromTimm(ckpt)
	if err != nil {
		return nil, fmt.Errorf("vision_cfg.timm_model_name: %w", err)
	}
	vit, ok := arch.(*ViTConfig)
	if !ok || vit.Beside != BesideNothing {
		return nil, fmt.Errorf("vision_cfg.timm_model_name %q is not supported as an image tower: only vision transformers with one token or a pooling are", t.Name)
	}
	c := *vit
	if behind && t.Pool != "" {
		if (t.Pool == "map") != (c.AttentionPool.Heads > 0) || t.Pool != "map" && t.Pool != "avg" && t.Pool != "token" {
			return nil, fmt.Errorf("vision_cfg.timm_pool %q is not supported with %s", t.Pool, t.Name)
		}
		c.AveragePool = t.Pool == "avg"
	}
	c.names = c.names.within(timmTrunk)
	switch {
	case behind:
		c.Projection, c.ProjectionBias, c.names.projection = cfg.EmbedDim, t.ProjectionBias, timmProjection
	case c.Classes > 0: // the classifier is the projection
		c.Projection, c.ProjectionBias, c.names.projection, c.Classes = c.Classes, true, c.names.headWeight, 0
	case c.Width != cfg.EmbedDim:
		return nil, fmt.Errorf("vision_cfg.timm_proj is none, and the width %d is not embed_dim %d", c.Width, cfg.EmbedDim)
	}
	return &c, c.check()
}

// checkOpenCLIP refuses image towers that are not read, and says what they are.
func checkOpenCLIP(cfg *checkpoint.OpenCLIPConfig) error {
	v := cfg.VisionCfg
	for _, part := range []struct {
		where string
		extra map[string]any
	}{{"vision_cfg", v.Extra}, {"model_cfg", withoutDecoder(cfg)}} {
		if len(part.extra) > 0 {
			return fmt.Errorf("%s.%s is not supported: the model is %s, and only CLIPs with a plain vision transformer as image tower are read",
				part.where, sortedKeys(part.extra)[0], openCLIPFamily(cfg))
		}
	}
	switch {
	case v.ImageSize[0] != v.ImageSize[1]:
		return fmt.Errorf("vision_cfg.image_size %v is not square", v.ImageSize)
	case v.Timm != nil:
	case v.PoolType != "tok" && v.PoolType != "avg":
		return fmt.Errorf("vision_cfg.pool_type %q is not supported, only tok and avg", v.PoolType)
	case v.PosEmbedType != "learnable":
		return fmt.Errorf("vision_cfg.pos_embed_type %q is not supported, only learnable", v.PosEmbedType)
	case v.HeadWidth <= 0 || v.Width%v.HeadWidth != 0:
		return fmt.Errorf("vision_cfg.width %d is not a multiple of head_width %d", v.Width, v.HeadWidth)
	}
	return nil
}

// withoutDecoder are the fields of model_cfg that are not known, but for those of a CoCa's decoder of captions, which reads what its
// image tower computes.
func withoutDecoder(cfg *checkpoint.OpenCLIPConfig) map[string]any {
	extra := maps.Clone(cfg.Extra)
	if cfg.VisionCfg.AttentionalPool {
		delete(extra, "multimodal_cfg")
	}
	return extra
}

// openCLIPFamily says in words what kind of model a configuration describes.
func openCLIPFamily(cfg *checkpoint.OpenCLIPConfig) string {
	if cfg.VisionCfg.Timm != nil {
		name := cfg.VisionCfg.Timm.Name
		for _, family := range []struct{ part, name string }{
			{"vitamin", "a ViTamin"}, {"convnext", "a CLIP with a ConvNeXt as image tower"}, {"fastvit", "a MobileCLIP"}, {"mci", "a MobileCLIP"},
		} {
			if strings.Contains(name, family.part) {
				return family.name
			}
		}
		return fmt.Sprintf("a CLIP with timm's %s as image tower", name)
	}
	if _, ok := cfg.Extra["multimodal_cfg"]; ok {
		return "a CoCa"
	}
	return "a CLIP with towers of another kind"
}
