package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"

	"vitdecompose/gomlxvit/preprocess"
)

// TransformersConfig is what a config.json of the transformers library says of a model of pictures. Absent fields have the
// library's defaults.
type TransformersConfig struct {
	ModelType string // "vit", "deit", "dinov2", "clip", ...
	Classes   []string
	// Class is the first of the classes that the file was written for ("ViTForImageClassification").
	Class  string
	Vision TransformersTower
	Text   *TransformersTower // of a CLIP
	// EmbedDim is the width of the space that the towers of a CLIP share.
	EmbedDim int
}

// TransformersTower is one transformer.
type TransformersTower struct {
	ImageSize, PatchSize int // of pictures, in pixels
	ContextLength, Vocab int // of texts, in tokens
	Width, Depth, Heads  int
	MLPHidden            int
	MLPRatio             float64
	Registers            int
	Depths, StageHeads   []int // of a Swin
	Window               int
	Pretrained           []int // of a Swin V2: the windows that it was trained with first
	Activation           string
	Epsilon              float64
	QKVBias, SwiGLU      bool

	// Of a DINOv3: whether keys have a bias too, gated MLPs, the base of the rotary embeddings.
	KeyBias, Gated bool
	RotaryBase     float64
	// Of a BEiT.
	LayerScale, RelativePositions, MeanPooling bool
}

// Grid is the number of patches along one side of the picture.
func (t *TransformersTower) Grid() int { return t.ImageSize / t.PatchSize }

// isTransformers tells the library's config.json from timm's, which names an architecture.
func isTransformers(text []byte) bool {
	var c struct {
		Architecture string   `json:"architecture"`
		ModelType    string   `json:"model_type"`
		Classes      []string `json:"architectures"`
	}
	return json.Unmarshal(text, &c) == nil && c.Architecture == "" && (c.ModelType != "" || len(c.Classes) > 0)
}

// parseTransformers parses the library's config.json.
func parseTransformers(text []byte) (*Checkpoint, error) {
	o, err := parseObject(text)
	if err != nil {
		return nil, err
	}
	t := &TransformersConfig{ModelType: take(o, "model_type", "")}
	if classes := take(o, "architectures", []string(nil)); len(classes) > 0 {
		t.Class = classes[0]
	}
	if t.ModelType == "" {
		return nil, fmt.Errorf("no model_type, only the class %s: write the checkpoint again with save_pretrained", t.Class)
	}
	vision := o
	switch t.ModelType {
	case "siglip", "siglip2":
		vision = o.object("vision_config")
		text := o.object("text_config").tower(TransformersTower{ContextLength: 64, Vocab: 32000, Width: 768, Depth: 12, Heads: 12, MLPHidden: 3072,
			Activation: "gelu_pytorch_tanh", Epsilon: 1e-6})
		t.Text = &text
	case "clip":
		vision = o.object("vision_config")
		text := o.object("text_config").tower(TransformersTower{ContextLength: 77, Vocab: 49408, Width: 512, Depth: 12, Heads: 8, MLPHidden: 2048,
			Activation: "quick_gelu", Epsilon: 1e-5})
		t.Text, t.EmbedDim = &text, o.count("projection_dim", 512, 1, largestQuantity)
	}
	defaults := TransformersTower{ImageSize: defaultSide, PatchSize: 16, Width: 768, Depth: 12, Heads: 12, MLPHidden: 3072, MLPRatio: 4,
		Activation: "gelu", Epsilon: 1e-12, QKVBias: true}
	switch t.ModelType {
	case "clip", "clip_vision_model":
		defaults.PatchSize, defaults.Activation, defaults.Epsilon = 32, "quick_gelu", 1e-5
	case "dinov2", "dinov2_with_registers":
		defaults.PatchSize, defaults.Epsilon = 14, 1e-6
		if t.ModelType != "dinov2" {
			defaults.Registers = 4
		}
	case "siglip", "siglip_vision_model":
		defaults.Activation, defaults.Epsilon = "gelu_pytorch_tanh", 1e-6
	case "siglip2", "siglip2_vision_model":
		defaults.Activation, defaults.Epsilon = "gelu_pytorch_tanh", 1e-6
		defaults.ImageSize = vision.flexible()
	case "dinov3_vit":
		defaults.Width, defaults.Heads, defaults.MLPHidden, defaults.Epsilon = 384, 6, 1536, 1e-5
	case "vit_msn":
		defaults.Epsilon = 1e-6
	case "swin", "swinv2":
		defaults.PatchSize, defaults.Width, defaults.Epsilon = 4, 96, 1e-5
		defaults.Depths, defaults.StageHeads, defaults.Window = []int{2, 2, 6, 2}, []int{3, 6, 12, 24}, 7
	}
	t.Vision = vision.tower(defaults)
	switch t.ModelType {
	case "siglip", "siglip2":
		t.EmbedDim = t.Vision.Width
		if vision.has("vision_use_head") && !take(vision, "vision_use_head", true) {
			vision.fail("vision_use_head", errors.New("false is not supported"))
		}
	case "dinov3_vit":
		o.dinov3(&t.Vision)
	case "beit":
		o.beit(&t.Vision)
	case "clip_vision_model":
		t.EmbedDim = o.count("projection_dim", 512, 1, largestQuantity)
	}
	if channels := take(vision, "num_channels", 3); channels != 3 {
		vision.fail("num_channels", fmt.Errorf("%d; only colour pictures (3) are supported", channels))
	}
	t.Classes = take(o, "id2label", labels(nil)).named()
	c := &Checkpoint{NumClasses: defaultClasses, ModelArgs: map[string]any{}, Architecture: t.ModelType, Transformers: t, LabelNames: t.Classes}
	return c, *o.err
}

// tower takes the fields of a transformer.
func (o *object) tower(d TransformersTower) TransformersTower {
	size := o.checkSize("image_size", take(o, "image_size", pair{max(d.ImageSize, 1), max(d.ImageSize, 1)}))
	patch := o.checkSize("patch_size", take(o, "patch_size", pair{max(d.PatchSize, 1), max(d.PatchSize, 1)}))
	if size[0] != size[1] || patch[0] != patch[1] {
		o.fail("image_size", fmt.Errorf("%v with patches of %v: only square pictures and patches are supported", size, patch))
	}
	d.ImageSize, d.PatchSize = size[0], patch[0]
	d.ContextLength = o.count("max_position_embeddings", d.ContextLength, 0, 1<<14)
	d.Vocab = o.count("vocab_size", d.Vocab, 0, largestQuantity)
	if d.Depths != nil {
		d.Width = o.count("embed_dim", d.Width, 1, largestQuantity)
		d.Depths, d.StageHeads = take(o, "depths", d.Depths), take(o, "num_heads", d.StageHeads)
		d.Window = o.count("window_size", d.Window, 1, largestQuantity)
		d.Pretrained = take(o, "pretrained_window_sizes", d.Pretrained)
		if take(o, "use_absolute_embeddings", false) {
			o.fail("use_absolute_embeddings", errors.New("not supported"))
		}
	} else {
		d.Width = o.count("hidden_size", d.Width, 1, largestQuantity)
		d.Depth = o.count("num_hidden_layers", d.Depth, 1, largestQuantity)
		d.Heads = o.count("num_attention_heads", d.Heads, 1, largestQuantity)
	}
	d.MLPHidden = o.count("intermediate_size", d.MLPHidden, 1, largestQuantity)
	if d.MLPRatio > 0 {
		d.MLPRatio = o.ratio()
	}
	d.Registers = o.count("num_register_tokens", d.Registers, 0, largestQuantity)
	d.Activation = take(o, "hidden_act", d.Activation)
	d.Epsilon = take(o, "layer_norm_eps", d.Epsilon)
	o.checkEpsilon("layer_norm_eps", d.Epsilon)
	d.QKVBias = take(o, "qkv_bias", d.QKVBias)
	d.SwiGLU = take(o, "use_swiglu_ffn", false)
	return d
}

// flexible is the side of the pictures of a SigLIP 2 that takes any: that for which it has positions.
func (o *object) flexible() int {
	patch := take(&object{path: o.path, fields: maps.Clone(o.fields), err: o.err}, "patch_size", pair{16, 16})
	patches := o.count("num_patches", 256, 1, largestQuantity)
	side := int(math.Sqrt(float64(patches)))
	if side*side != patches {
		o.fail("num_patches", fmt.Errorf("%d is no square", patches))
	}
	return side * patch[0]
}

// dinov3 takes what only a DINOv3 has.
func (o *object) dinov3(t *TransformersTower) {
	queries, values := take(o, "query_bias", true), take(o, "value_bias", true)
	if queries != values {
		o.fail("value_bias", errors.New("another value than query_bias is not supported"))
	}
	t.QKVBias, t.KeyBias = queries, take(o, "key_bias", false)
	if t.KeyBias && !queries {
		o.fail("key_bias", errors.New("true without query_bias is not supported"))
	}
	for _, name := range []string{"proj_bias", "mlp_bias", "apply_layernorm"} {
		if !take(o, name, true) {
			o.fail(name, errors.New("false is not supported"))
		}
	}
	t.Gated, t.RotaryBase = take(o, "use_gated_mlp", false), take(o, "rope_theta", 100.0)
	rope := o.object("rope_parameters")
	if t.RotaryBase = take(rope, "rope_theta", t.RotaryBase); !(t.RotaryBase > 0 && t.RotaryBase < 1e12) {
		o.fail("rope_theta", fmt.Errorf("%g is not in 0..1e12", t.RotaryBase))
	}
}

// beit takes what only a BEiT has.
func (o *object) beit(t *TransformersTower) {
	t.LayerScale = take(o, "layer_scale_init_value", 0.1) > 0
	t.RelativePositions, t.MeanPooling = take(o, "use_relative_position_bias", false), take(o, "use_mean_pooling", true)
	if take(o, "use_shared_relative_position_bias", false) {
		o.fail("use_shared_relative_position_bias", errors.New("not supported"))
	}
}

// resamplings are Pillow's filters by the numbers that the library writes.
var resamplings = []string{"nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"}

// readProcessor reads how pictures are prepared from the library's image processor; nil stands for the usual one of the model.
func (c *Checkpoint) readProcessor(text []byte) error {
	t := c.Transformers
	clip := strings.HasPrefix(t.ModelType, "clip")
	if text == nil {
		text = []byte("{}")
		c.Assumptions = append(c.Assumptions, fmt.Sprintf("there is no %s: pictures are prepared as models of the type %s usually are", imageProcessor, t.ModelType))
	}
	o, err := parseObject(text)
	if err != nil {
		return err
	}
	if o.has("image_processor") {
		o = o.object("image_processor")
	}
	if o.has("max_num_patches") {
		c.Assumptions = append(c.Assumptions, fmt.Sprintf("pictures are scaled to a square of %d pixels, where the library would keep the ratio of their sides", t.Vision.ImageSize))
	}
	kind := take(o, "image_processor_type", take(o, "feature_extractor_type", ""))
	// A size that is one number is the shorter side's in these, both sides' in the others.
	shorter := clip || strings.Contains(kind, "CLIP") || strings.Contains(kind, "Bit") || strings.HasPrefix(t.ModelType, "dinov2")
	mean, std, filter := imageNetMean, imageNetStd, 3
	switch {
	case clip:
		mean, std = openAIMean, openAIStd
	case strings.HasPrefix(t.ModelType, "siglip"), t.ModelType == "beit":
		mean, std = triple{0.5, 0.5, 0.5}, triple{0.5, 0.5, 0.5}
		if strings.HasPrefix(t.ModelType, "siglip2") {
			filter = 2
		}
	case t.ModelType == "vit":
		mean, std, filter = triple{0.5, 0.5, 0.5}, triple{0.5, 0.5, 0.5}, 2
	}
	crop := [2]int{}
	if take(o, "do_center_crop", o.has("crop_size") || shorter) {
		crop = o.sides("crop_size", pair{t.Vision.ImageSize, t.Vision.ImageSize})
	}
	resize, side := [2]int{}, 0
	var size map[string]json.RawMessage
	if raw := o.fields["size"]; len(raw) > 0 && raw[0] == '{' {
		size = take(o, "size", size)
	}
	switch {
	case size["shortest_edge"] != nil:
		inner := &object{path: o.path + "size.", fields: size, err: o.err}
		side = inner.count("shortest_edge", 0, 1, largestSide)
	case size != nil:
		inner := &object{path: o.path + "size.", fields: size, err: o.err}
		resize = [2]int{inner.count("height", 0, 1, largestSide), inner.count("width", 0, 1, largestSide)}
	default:
		resize = o.sides("size", pair{t.Vision.ImageSize, t.Vision.ImageSize})
		if shorter {
			side, resize = resize[0], [2]int{}
		}
	}
	if crop == [2]int{} {
		crop = resize
	}
	c.Preprocess = preprocess.Config{Library: preprocess.Transformers, Size: crop, CropMode: "squash"}
	switch {
	case !take(o, "do_resize", true):
		o.fail("do_resize", errors.New("false: pictures of all sizes cannot be computed together"))
	case side > 0 && crop == [2]int{}:
		o.fail("do_center_crop", errors.New("false with the shorter side's size: pictures would not be square"))
	case side > 0:
		c.Preprocess.CropMode, c.Preprocess.CropPct = "center", cropShare(crop[0], side)
	case resize[0]*crop[1] != resize[1]*crop[0]:
		o.fail("size", fmt.Errorf("%v cropped to %v: another ratio of the sides is not supported", resize, crop))
	default:
		c.Preprocess.CropPct = cropShare(crop[0], resize[0])
	}
	number := take(o, "resample", filter)
	if number < 0 || number >= len(resamplings) {
		o.fail("resample", fmt.Errorf("%d is not one of Pillow's filters 0..%d", number, len(resamplings)-1))
		return *o.err
	}
	c.Preprocess.Interpolation = resamplings[number]
	if factor := take(o, "rescale_factor", 1/255.0); !take(o, "do_rescale", true) || math.Abs(factor*255-1) > 1e-6 {
		o.fail("rescale_factor", fmt.Errorf("%v: only 1/255 is supported", factor))
	}
	o.fields["mean"], o.fields["std"] = o.fields["image_mean"], o.fields["image_std"]
	if !take(o, "do_normalize", true) {
		mean, std = triple{}, triple{1, 1, 1}
		delete(o.fields, "mean")
		delete(o.fields, "std")
	}
	for _, name := range []string{"mean", "std"} {
		if len(o.fields[name]) == 0 {
			delete(o.fields, name)
		}
	}
	if o.meanStd(&c.Preprocess, mean, std); *o.err != nil {
		return *o.err
	}
	return c.Preprocess.Check()
}

// sides takes a height and width: {"height": h, "width": w}, [h, w] or one number.
func (o *object) sides(name string, value pair) [2]int {
	var named struct{ Height, Width int }
	if raw := o.fields[name]; json.Unmarshal(raw, &named) == nil && named.Height > 0 {
		delete(o.fields, name)
		return o.checkSize(name, pair{named.Height, named.Width})
	}
	return o.checkSize(name, take(o, name, value))
}

// cropShare is the crop_pct with which timm's transform scales to the side and crops to crop.
func cropShare(crop, side int) float64 {
	share := float64(crop) / float64(side)
	for int(math.Floor(float64(crop)/share)) < side { // division rounded the wrong way
		share = math.Nextafter(share, 0)
	}
	return share
}

// tokenizerOf makes a tokenizer.json of CLIP's vocabulary (vocab.json) and merges (merges.txt: a comment, then a pair a line).
func tokenizerOf(vocabulary, merges []byte) ([]byte, error) {
	var vocab map[string]int32
	if err := json.Unmarshal(vocabulary, &vocab); err != nil {
		return nil, fmt.Errorf("not a vocabulary: %w", err)
	}
	pairs := []string{}
	for line := range strings.Lines(string(merges)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" && !strings.HasPrefix(line, "#version") {
			pairs = append(pairs, line)
		}
	}
	return json.Marshal(map[string]any{"model": map[string]any{"type": "BPE", "end_of_word_suffix": "</w>", "vocab": vocab, "merges": pairs}})
}
