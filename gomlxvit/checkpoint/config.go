package checkpoint

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"vitdecompose/gomlxvit/preprocess"
)

// Mean and standard deviation of the pixels where a configuration names none.
var (
	imageNetMean = triple{0.485, 0.456, 0.406}
	imageNetStd  = triple{0.229, 0.224, 0.225}
	openAIMean   = triple{0.48145466, 0.4578275, 0.40821073}
	openAIStd    = triple{0.26862954, 0.26130258, 0.27577711}
)

const (
	defaultSide     = 224
	defaultCropPct  = 0.875
	defaultClasses  = -1      // NumClasses: as many as the architecture has
	largestSide     = 1 << 14 // pixels
	largestQuantity = 1 << 24 // of what a model counts: widths, layers, words, classes
)

// object is a JSON object being taken apart. The first error stays and ends the work.
type object struct {
	path   string // of this object in the file, "" or ending in a dot
	fields map[string]json.RawMessage
	err    *error
}

func parseObject(text []byte) (*object, error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w; get the file again", err)
	}
	return &object{fields: fields, err: new(error)}, nil
}

func (o *object) fail(name string, err error) {
	if *o.err == nil {
		*o.err = fmt.Errorf("%s%s: %w", o.path, name, err)
	}
}

// has tells whether the field is there and not null.
func (o *object) has(name string) bool {
	raw, ok := o.fields[name]
	return ok && string(raw) != "null"
}

// take removes a field and decodes it. A field that is absent or null leaves value as it is, which is the default.
func take[T any](o *object, name string, value T) T {
	if !o.has(name) {
		delete(o.fields, name)
		return value
	}
	decoded := new(T)
	if err := json.Unmarshal(o.fields[name], decoded); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			err = fmt.Errorf("found %s, expected %s", kind.Value, expected(kind.Type.Kind()))
		}
		o.fail(name, err)
		return value
	}
	delete(o.fields, name)
	return *decoded
}

// expected says in words what a field holds.
func expected(kind reflect.Kind) string {
	switch kind {
	case reflect.Int:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	}
	return "an object"
}

// count takes a whole number from low to high.
func (o *object) count(name string, value, low, high int) int {
	n := take(o, name, value)
	if n < low || n > high {
		o.fail(name, fmt.Errorf("%d is not in %d..%d", n, low, high))
		return low
	}
	return n
}

// object takes an object, an empty one when the field is absent.
func (o *object) object(name string) *object {
	inner := &object{path: o.path + name + ".", err: o.err}
	inner.fields = take(o, name, map[string]json.RawMessage{})
	return inner
}

// rest is what was not taken, nil when nothing is left.
func (o *object) rest() map[string]any {
	var rest map[string]any
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		var value any
		if err := json.Unmarshal(o.fields[name], &value); err != nil {
			o.fail(name, err)
		}
		if value == nil { // null says nothing
			continue
		}
		if rest == nil {
			rest = map[string]any{}
		}
		rest[name] = value
	}
	return rest
}

// pair is a height and width: [H, W], or one number for both.
type pair [2]int

// UnmarshalJSON implements json.Unmarshaler.
func (p *pair) UnmarshalJSON(text []byte) error {
	var side int
	if err := json.Unmarshal(text, &side); err == nil {
		*p = pair{side, side}
		return nil
	}
	var sides []int
	if err := json.Unmarshal(text, &sides); err != nil || len(sides) != 2 {
		return fmt.Errorf("%s is neither a whole number nor a list of two", text)
	}
	*p = pair(sides)
	return nil
}

// triple is a number for each of red, green and blue, or one for all.
type triple [3]float32

// UnmarshalJSON implements json.Unmarshaler.
func (t *triple) UnmarshalJSON(text []byte) error {
	var numbers []float32
	if text[0] != '[' {
		text = slices.Concat([]byte{'['}, text, []byte{']'})
	}
	if err := json.Unmarshal(text, &numbers); err != nil || len(numbers) != 3 && len(numbers) != 1 {
		return fmt.Errorf("%s is not a list of three numbers", text)
	}
	for i := range t {
		t[i] = numbers[i%len(numbers)]
	}
	return nil
}

// meanStd takes how the pixels are normalised.
func (o *object) meanStd(config *preprocess.Config, mean, std triple) {
	config.Mean = take(o, "mean", mean)
	config.Std = take(o, "std", std)
	// Pixels are 0..1 here; a mean or deviation of bytes, or a damaged number, would give a picture of nothing.
	for i := range 3 {
		if v := config.Mean[i]; !(v >= -1 && v <= 2) {
			o.fail("mean", fmt.Errorf("%v: a mean of pixels, which are 0..1, lies in -1..2", config.Mean))
		}
		if v := config.Std[i]; !(v >= 1e-3 && v <= 100) {
			o.fail("std", fmt.Errorf("%v: a standard deviation of pixels, which are 0..1, lies in 0.001..100", config.Std))
		}
	}
}

// checkSize checks the size of what the model sees.
func (o *object) checkSize(name string, size pair) [2]int {
	for _, side := range size {
		if side < 1 || side > largestSide {
			o.fail(name, fmt.Errorf("%d pixels: a side has 1..%d", side, largestSide))
		}
	}
	return size
}

// parseTimm parses timm's config.json. In files of old the fields of pretrained_cfg stand beside the architecture.
func parseTimm(text []byte) (*Checkpoint, error) {
	o, err := parseObject(text)
	if err != nil {
		return nil, err
	}
	if !o.has("architecture") {
		return nil, errors.New("no architecture: it is not timm's config.json")
	}
	c := &Checkpoint{Architecture: take(o, "architecture", ""), ModelArgs: take(o, "model_args", map[string]any{})}
	if c.Architecture == "" {
		o.fail("architecture", errors.New("empty"))
	}
	p := o
	if o.has("pretrained_cfg") {
		p = o.object("pretrained_cfg")
	}
	// What stands beside the architecture goes before pretrained_cfg, as in timm, the pooling excepted.
	c.NumClasses = p.count("num_classes", defaultClasses, defaultClasses, largestQuantity)
	c.GlobalPool = take(p, "global_pool", "")
	labels := take(p, "label_names", take(p, "labels", labels(nil)))
	words := take(p, "label_descriptions", descriptions{})
	if p != o {
		c.NumClasses = o.count("num_classes", c.NumClasses, defaultClasses, largestQuantity)
		c.GlobalPool = cmp.Or(c.GlobalPool, take(o, "global_pool", ""))
		labels = take(o, "label_names", take(o, "labels", labels))
		words = take(o, "label_descriptions", words)
	}
	if n, ok := c.ModelArgs["num_classes"].(float64); ok && n == math.Trunc(n) && n >= 0 && n <= largestQuantity {
		c.NumClasses = int(n)
	}
	c.LabelNames = words.of(labels.named())
	if n := len(c.LabelNames); n > 0 && c.NumClasses > 0 && n != c.NumClasses {
		o.fail("label_names", fmt.Errorf("%d names for %d classes; correct or remove them", n, c.NumClasses))
	}

	// Without input_size the size is that of the model: img_size where it was overridden.
	size := pair{defaultSide, defaultSide}
	args := &object{path: o.path + "model_args.", fields: map[string]json.RawMessage{}, err: o.err}
	if value, ok := c.ModelArgs["img_size"]; ok {
		if args.fields["img_size"], err = json.Marshal(value); err != nil {
			return nil, err
		}
		size = args.checkSize("img_size", take(args, "img_size", size))
	}
	given := p.has("input_size")
	input := take(p, "input_size", []int{3, size[0], size[1]})
	if len(input) != 3 || input[0] != 3 {
		p.fail("input_size", fmt.Errorf("%v: [3, height, width] is expected", input))
		return nil, *o.err
	}
	if dynamic, _ := c.ModelArgs["dynamic_img_size"].(bool); given && take(p, "fixed_input_size", false) && !dynamic {
		c.FixedSize = [2]int{input[1], input[2]}
	}
	c.Preprocess = preprocess.Config{
		Library:       Timm,
		Size:          p.checkSize("input_size", pair{input[1], input[2]}),
		Interpolation: take(p, "interpolation", "bicubic"),
		CropPct:       take(p, "crop_pct", defaultCropPct),
		CropMode:      take(p, "crop_mode", "center"),
	}
	if pct := c.Preprocess.CropPct; pct <= 0 || pct > 10 {
		p.fail("crop_pct", fmt.Errorf("%g is not in 0..10", pct))
	}
	p.meanStd(&c.Preprocess, imageNetMean, imageNetStd)
	return c, *o.err
}

// labels are the names of classes: a list, or an object with the names by number.
type labels []string

// UnmarshalJSON implements json.Unmarshaler.
func (l *labels) UnmarshalJSON(text []byte) error {
	var list []string
	if err := json.Unmarshal(text, &list); err == nil {
		*l = list
		return nil
	}
	byNumber := map[string]string{}
	if err := json.Unmarshal(text, &byNumber); err != nil {
		return errors.New("neither a list of texts nor texts by the number of the class")
	}
	*l = make([]string, len(byNumber))
	for number, name := range byNumber {
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n >= len(byNumber) || strconv.Itoa(n) != number {
			return fmt.Errorf("%.40q is not one of the numbers 0..%d", number, len(byNumber)-1)
		}
		(*l)[n] = name
	}
	return nil
}

// named leaves out what the transformers library writes where classes have no names: LABEL_0, LABEL_1, ...
func (l labels) named() labels {
	if slices.ContainsFunc(l, func(name string) bool { return !strings.HasPrefix(name, "LABEL_") }) {
		return l
	}
	return nil
}

// descriptions are what the label names mean in words: by name, or in the order of the classes.
type descriptions struct {
	byName map[string]string
	list   []string
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *descriptions) UnmarshalJSON(text []byte) error {
	if err := json.Unmarshal(text, &d.list); err == nil {
		return nil
	}
	if err := json.Unmarshal(text, &d.byName); err != nil {
		return errors.New("neither a list of texts nor texts by label name")
	}
	return nil
}

// of gives the classes in words: the description where there is one, else the name.
func (d descriptions) of(names []string) []string {
	if len(d.list) > 0 {
		return d.list
	}
	words := slices.Clone(names)
	for i, name := range names {
		if description := d.byName[name]; description != "" {
			words[i] = description
		}
	}
	return words
}

// OpenCLIPConfig is open_clip's model_cfg: the embedding that both towers share, and the towers.
type OpenCLIPConfig struct {
	EmbedDim  int
	QuickGELU bool // x*sigmoid(1.702x) in both towers
	LogitBias bool // a number is added to the logits of pictures and texts
	// CustomText puts "text." before the names of the text tower's tensors.
	CustomText bool
	VisionCfg  VisionConfig
	TextCfg    TextConfig
	// Extra are fields of model_cfg that are none of the above, as encoding/json decodes them.
	Extra map[string]any
}

// VisionConfig is the image tower. Absent fields have open_clip's defaults.
type VisionConfig struct {
	ImageSize [2]int // height, width in pixels
	PatchSize int
	Layers    int
	Width     int
	HeadWidth int
	MLPRatio  float64
	// LSInitValue is the initial LayerScale; 0: there is none.
	LSInitValue float64
	// NoLNPre leaves the norm before the blocks out.
	NoLNPre bool
	// PoolType is "tok", "avg" or "none".
	PoolType string
	// FinalLNAfterPool puts the last norm behind the pooling.
	FinalLNAfterPool bool
	// AttentionalPool is the pooling of a CoCa: PoolQueries learned queries attend to the tokens with PoolHeads heads.
	AttentionalPool        bool
	PoolHeads, PoolQueries int
	// PosEmbedType is "learnable" or "sin_cos_2d".
	PosEmbedType string
	// NormEps is the norms' epsilon.
	NormEps float64
	// Timm says which model of timm the tower is, nil for open_clip's own.
	Timm *TimmTower
	// Extra are other fields that change the model, as encoding/json decodes them (attentional_pool, ...). Whoever builds the model has to know them or to refuse.
	Extra map[string]any
}

// TimmTower is a model of timm as image tower.
type TimmTower struct {
	Name string
	Pool string // "" for the model's own
	// Projection is "linear", "mlp", "none", or "" where the model's classifier is the projection.
	Projection     string
	ProjectionBias bool
	Args           map[string]any // of the model's constructor
}

// TextConfig is the text tower. Absent fields have open_clip's defaults.
type TextConfig struct {
	ContextLength int // tokens
	VocabSize     int
	Width         int
	Heads         int
	Layers        int
	MLPRatio      float64
	LSInitValue   float64 // 0: no LayerScale
	PadID         int
	PoolType      string // "argmax", "first", "last", ...
	NoCausalMask  bool
	ProjBias      bool
	NormEps       float64
	GELUTanh      bool // the activation is the tanh approximation of GELU
	// Tokenizer is the name of another tokenizer than CLIP's own, in the transformers library.
	Tokenizer string
	// Clean is how texts are cleaned for that tokenizer: "whitespace" (or ""), "lower" or "canonicalize".
	Clean string
	// Extra are other fields that change the model (hf_model_name, embed_cls, ...), as in [VisionConfig].
	Extra map[string]any
}

// parseOpenCLIP parses open_clip_config.json.
func parseOpenCLIP(text []byte) (*Checkpoint, error) {
	o, err := parseObject(text)
	if err != nil {
		return nil, err
	}
	if !o.has("model_cfg") {
		return nil, errors.New("no model_cfg: it is not open_clip's configuration")
	}
	m := o.object("model_cfg")
	config := &OpenCLIPConfig{
		EmbedDim:   m.count("embed_dim", 0, 1, largestQuantity),
		QuickGELU:  take(m, "quick_gelu", false),
		CustomText: take(m, "custom_text", false),
		VisionCfg:  parseVision(m.object("vision_cfg")),
		TextCfg:    parseText(m.object("text_cfg")),
	}
	// Where training begins and what form outputs have changes no number here.
	config.LogitBias = m.has("init_logit_bias")
	for _, name := range []string{"init_logit_scale", "init_logit_bias"} {
		take(m, name, 0.0)
	}
	for _, name := range []string{"nonscalar_logit_scale", "output_dict"} {
		take(m, name, false)
	}
	config.Extra = withoutFalse(m.rest())
	c := &Checkpoint{NumClasses: 0, ModelArgs: map[string]any{}, OpenCLIP: config}
	p := o.object("preprocess_cfg")
	// open_clip takes the size from the tower and looks at the one in preprocess_cfg no more; it has to be sound still.
	p.checkSize("size", take(p, "size", pair(config.VisionCfg.ImageSize)))
	c.Preprocess = preprocess.Config{
		Library:       OpenCLIP,
		Size:          config.VisionCfg.ImageSize,
		Interpolation: take(p, "interpolation", "bicubic"),
		ResizeMode:    take(p, "resize_mode", "shortest"),
		FillColor:     p.count("fill_color", 0, 0, 255),
	}
	if c.Preprocess.Interpolation == "random" { // a choice in training; open_clip evaluates with bicubic then
		c.Preprocess.Interpolation = "bicubic"
	}
	p.meanStd(&c.Preprocess, openAIMean, openAIStd)
	return c, *o.err
}

// isOpenCLIP tells open_clip's configuration from the others.
func isOpenCLIP(text []byte) bool {
	var c struct {
		ModelCfg json.RawMessage `json:"model_cfg"`
	}
	return json.Unmarshal(text, &c) == nil && c.ModelCfg != nil
}

// ParseOpenCLIP reads a model_cfg, the object of that name in open_clip_config.json.
func ParseOpenCLIP(modelCfg map[string]any) (*OpenCLIPConfig, error) {
	text, err := json.Marshal(map[string]any{"model_cfg": modelCfg})
	if err != nil {
		return nil, fmt.Errorf("model_cfg: %w", err)
	}
	c, err := parseOpenCLIP(text)
	if err != nil {
		return nil, err
	}
	return c.OpenCLIP, nil
}

func parseVision(v *object) VisionConfig {
	if raw := v.fields["layers"]; len(raw) > 0 && raw[0] == '[' {
		v.fail("layers", errors.New("a list stands for a ResNet as image tower, which is not supported; take a ViT"))
	}
	size := v.checkSize("image_size", take(v, "image_size", pair{defaultSide, defaultSide}))
	patch := take(v, "patch_size", pair{16, 16})
	if v.checkSize("patch_size", patch); patch[0] != patch[1] {
		v.fail("patch_size", fmt.Errorf("%v: patches that are not square are not supported", patch))
	}
	config := VisionConfig{
		ImageSize:        size,
		PatchSize:        patch[0],
		Layers:           v.count("layers", 12, 1, largestQuantity),
		Width:            v.count("width", 768, 1, largestQuantity),
		HeadWidth:        v.count("head_width", 64, 1, largestQuantity),
		MLPRatio:         v.ratio(),
		LSInitValue:      take(v, "ls_init_value", 0.0),
		NoLNPre:          take(v, "no_ln_pre", false),
		PoolType:         take(v, "pool_type", "tok"),
		FinalLNAfterPool: take(v, "final_ln_after_pool", false),
		PosEmbedType:     take(v, "pos_embed_type", "learnable"),
		NormEps:          v.normEps(),
	}
	if config.Width%config.HeadWidth != 0 {
		v.fail("width", fmt.Errorf("%d is not a multiple of head_width %d", config.Width, config.HeadWidth))
	}
	if v.has("timm_model_name") {
		config.Timm = v.timmTower()
	}
	for _, name := range []string{"patch_dropout", "output_tokens"} { // without effect on the image embedding
		delete(v.fields, name)
	}
	heads, queries := v.count("attn_pooler_heads", 8, 1, 1<<12), v.count("attn_pooler_queries", 256, 1, 1<<16)
	if pool := "attentional_pool"; string(v.fields[pool]) == "true" { // a text is one of two other kinds
		delete(v.fields, pool)
		config.AttentionalPool, config.PoolHeads, config.PoolQueries = true, heads, queries
	}
	config.Extra = withoutFalse(v.rest())
	return config
}

// timmTower takes the fields of a model of timm.
func (o *object) timmTower() *TimmTower {
	projection := "linear"
	if raw, ok := o.fields["timm_proj"]; ok && string(raw) == "null" {
		projection = ""
	}
	t := &TimmTower{
		Name: take(o, "timm_model_name", ""), Pool: take(o, "timm_pool", "avg"), Projection: take(o, "timm_proj", projection),
		ProjectionBias: take(o, "timm_proj_bias", false), Args: take(o, "timm_model_args", map[string]any{}),
	}
	for _, name := range []string{"timm_model_pretrained", "timm_drop", "timm_drop_path"} { // of training
		delete(o.fields, name)
	}
	return t
}

func parseText(t *object) TextConfig {
	config := TextConfig{
		ContextLength: t.count("context_length", 77, 1, largestQuantity),
		VocabSize:     t.count("vocab_size", 49408, 1, largestQuantity),
		Width:         t.count("width", 512, 1, largestQuantity),
		Heads:         t.count("heads", 8, 1, largestQuantity),
		Layers:        t.count("layers", 12, 1, largestQuantity),
		MLPRatio:      t.ratio(),
		LSInitValue:   take(t, "ls_init_value", 0.0),
		PadID:         t.count("pad_id", 0, 0, largestQuantity),
		PoolType:      take(t, "pool_type", "argmax"),
		NoCausalMask:  take(t, "no_causal_mask", false),
		ProjBias:      take(t, "proj_bias", false),
		NormEps:       t.normEps(),
		Tokenizer:     take(t, "hf_tokenizer_name", ""),
		Clean:         take(t.object("tokenizer_kwargs"), "clean", ""),
	}
	if act := t.object("act_kwargs"); act.has("approximate") {
		if approximation := take(act, "approximate", "none"); approximation == "tanh" {
			config.GELUTanh = true
		} else if approximation != "none" {
			act.fail("approximate", fmt.Errorf("%q is not tanh", approximation))
		}
	}
	delete(t.fields, "output_tokens")
	config.Extra = withoutFalse(t.rest())
	return config
}

// ratio takes the width of the MLPs as a multiple of the tower's.
func (o *object) ratio() float64 {
	ratio := take(o, "mlp_ratio", 4.0)
	if ratio <= 0 || ratio > 64 {
		o.fail("mlp_ratio", fmt.Errorf("%g is not in 0..64", ratio))
	}
	return ratio
}

// normEps takes the norms' epsilon.
func (o *object) normEps() float64 {
	norm := o.object("norm_kwargs")
	eps := take(norm, "eps", 1e-5)
	norm.checkEpsilon("eps", eps)
	if rest := norm.rest(); rest != nil {
		norm.fail(slices.Sorted(maps.Keys(rest))[0], errors.New("not supported"))
	}
	return eps
}

// checkEpsilon refuses what no norm can be computed with.
func (o *object) checkEpsilon(name string, epsilon float64) {
	if !(epsilon >= 0 && epsilon <= 0.1) {
		o.fail(name, fmt.Errorf("%g is not in 0..0.1", epsilon))
	}
}

// withoutFalse leaves out the options that are switched off, which is the default of all of them.
func withoutFalse(fields map[string]any) map[string]any {
	maps.DeleteFunc(fields, func(_ string, value any) bool { return value == false })
	if len(fields) == 0 {
		return nil
	}
	return fields
}
