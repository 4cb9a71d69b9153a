package gomlxvit

import (
	"fmt"
	"strings"

	"vitdecompose/data/counted"
	"vitdecompose/gomlxvit/checkpoint"
)

// The layouts of the transformers library: how it calls what our architectures have. A model type is a row.

// transformersLayout is how models of a type are stored and what they compute.
type transformersLayout struct {
	// prefixes stand before the names of the transformer in models with a head.
	prefixes []string
	// names are pairs of what the library writes and what the architecture says, for parts of names.
	names []string
	// parts are the ends of the names of queries, keys and values, which become one tensor called joined.
	parts  [3]string
	joined string
	// unused begin the names of tensors that the representation does not need, and why says what they are for.
	unused []string
	// build gives the architecture; stored says which tensors there are.
	build func(c *checkpoint.TransformersConfig, stored *storedTensors) (resizable, *TextTower, error)
}

// viTLayout serves the types that are called as ViT is.
var viTLayout = transformersLayout{
	prefixes: []string{"vit.", "deit.", "dinov2.", "dinov2_with_registers."},
	names: []string{
		"embeddings.cls_token", "cls_token", "embeddings.position_embeddings", "pos_embed", "embeddings.mask_token", "mask_token",
		"embeddings.patch_embeddings.projection.", "patch_embed.proj.",
		"embeddings.register_tokens", "reg_token", "embeddings.distillation_token", distillationToken,
		"encoder.layer.", "blocks.", ".attention.attention.", ".attention.", ".attention.output.dense.", ".attn.proj.",
		".intermediate.dense.", ".mlp.fc1.", ".output.dense.", ".mlp.fc2.", ".layernorm_before.", ".norm1.", ".layernorm_after.", ".norm2.",
		".layer_scale1.lambda1", ".ls1.gamma", ".layer_scale2.lambda1", ".ls2.gamma",
		".mlp.weights_in.", ".mlp.fc1.", ".mlp.weights_out.", ".mlp.fc2.", "layernorm.", "norm.", "cls_classifier.", "head.", "distillation_classifier.", "head_dist.", "classifier.", "head.",
	},
	parts: [3]string{".attention.query.", ".attention.key.", ".attention.value."}, joined: ".attn.qkv.",
	unused: []string{"mask_token", "pooler.", "decoder."},
	build:  buildTransformersViT,
}

var swinLayout = transformersLayout{
	prefixes: []string{"swin."},
	names: []string{
		"embeddings.patch_embeddings.projection.", "patch_embed.proj.", "embeddings.norm.", "patch_embed.norm.", "embeddings.mask_token", "mask_token",
		"encoder.layers.", "layers.", ".attention.self.relative_position", ".attn.relative_position", ".attention.self.", ".attention.",
		".attention.output.dense.", ".attn.proj.", ".intermediate.dense.", ".mlp.fc1.", ".output.dense.", ".mlp.fc2.",
		".layernorm_before.", ".norm1.", ".layernorm_after.", ".norm2.", "layernorm.", "norm.", "classifier.", "head.",
	},
	parts: viTLayout.parts, joined: viTLayout.joined, unused: []string{"mask_token", "decoder."},
	build: buildTransformersSwin,
}

var swinV2Layout = transformersLayout{
	prefixes: []string{"swinv2."},
	names: append([]string{
		".attention.self.query.bias", ".attn.q_bias", ".attention.self.value.bias", ".attn.v_bias", ".attention.self.logit_scale", ".attn.logit_scale",
		".attention.self.continuous_position_bias_mlp.", ".attn.cpb_mlp.", ".attention.self.relative_coords_table", ".attn.relative_coords_table",
	}, swinLayout.names...),
	parts: viTLayout.parts, joined: viTLayout.joined, unused: swinLayout.unused,
	build: buildTransformersSwin,
}

var clipLayout = transformersLayout{
	names: []string{
		"vision_model.embeddings.patch_embedding.", "visual.conv1.", "vision_model.embeddings.class_embedding", "visual.class_embedding",
		"vision_model.embeddings.position_embedding.weight", "visual.positional_embedding", "vision_model.embeddings.position_ids", "position_ids.vision",
		"vision_model.pre_layrnorm.", "visual.ln_pre.", "vision_model.post_layernorm.", "visual.ln_post.",
		"vision_model.encoder.layers.", "visual.transformer.resblocks.", "visual_projection.weight", "visual.proj",
		"text_model.embeddings.token_embedding.", "token_embedding.", "text_model.embeddings.position_embedding.weight", "positional_embedding",
		"text_model.embeddings.position_ids", "position_ids.text", "text_model.encoder.layers.", "transformer.resblocks.",
		"text_model.final_layer_norm.", "ln_final.", "text_projection.weight", "text_projection",
		".self_attn.out_proj.", ".attn.out_proj.", ".layer_norm1.", ".ln_1.", ".layer_norm2.", ".ln_2.", ".mlp.fc1.", ".mlp.c_fc.", ".mlp.fc2.", ".mlp.c_proj.",
	},
	parts: [3]string{".self_attn.q_proj.", ".self_attn.k_proj.", ".self_attn.v_proj."}, joined: ".attn.in_proj_",
	unused: []string{"position_ids."},
	build:  buildTransformersCLIP,
}

var siglipLayout = transformersLayout{
	prefixes: []string{"siglip."},
	names: []string{
		"vision_model.embeddings.patch_embedding.", "patch_embed.proj.", "vision_model.embeddings.position_embedding.weight", "pos_embed",
		"vision_model.embeddings.position_ids", "position_ids.vision", "vision_model.encoder.layers.", "blocks.", "vision_model.post_layernorm.", "norm.",
		"vision_model.head.probe", "attn_pool.latent", "vision_model.head.attention.in_proj_", "attn_pool.in_proj_",
		"vision_model.head.attention.out_proj.", "attn_pool.proj.", "vision_model.head.layernorm.", "attn_pool.norm.", "vision_model.head.mlp.", "attn_pool.mlp.",
		"text_model.embeddings.token_embedding.", "text.token_embedding.", "text_model.embeddings.position_embedding.weight", "text.positional_embedding",
		"text_model.embeddings.position_ids", "position_ids.text", "text_model.encoder.layers.", "text.transformer.resblocks.",
		"text_model.final_layer_norm.", "text.ln_final.", "text_model.head.", "text.text_projection.", "classifier.", "head.",
		".layer_norm1.", ".norm1.", ".layer_norm2.", ".norm2.", ".self_attn.out_proj.", ".attn.proj.",
	},
	parts: clipLayout.parts, joined: ".attn.qkv.",
	unused: []string{"position_ids."},
	build:  buildTransformersSigLIP,
}

var dinov3Layout = transformersLayout{
	prefixes: []string{"dinov3_vit.", "model."},
	names: []string{
		"embeddings.cls_token", "cls_token", "embeddings.register_tokens", "reg_token", "embeddings.mask_token", "mask_token",
		"embeddings.patch_embeddings.", "patch_embed.proj.", "layer.", "blocks.", ".attention.o_proj.", ".attn.proj.", ".attention.", ".attn.",
		".layer_scale1.lambda1", ".gamma_1", ".layer_scale2.lambda1", ".gamma_2", ".mlp.down_proj.", ".mlp.fc2.", "classifier.", "head.",
	},
	unused: []string{"mask_token"},
	build:  buildTransformersDINOv3,
}

var beitLayout = transformersLayout{
	prefixes: []string{"beit."},
	names: []string{
		"embeddings.cls_token", "cls_token", "embeddings.mask_token", "mask_token", "embeddings.position_embeddings", "pos_embed",
		"embeddings.patch_embeddings.projection.", "patch_embed.proj.", "encoder.layer.", "blocks.", "encoder.relative_position_bias.", "relative_position_bias.",
		".attention.attention.relative_position_bias.relative_position_", ".attn.relative_position_",
		".attention.attention.query.", ".attn.q_proj.", ".attention.attention.key.", ".attn.k_proj.", ".attention.attention.value.", ".attn.v_proj.",
		".attention.output.dense.", ".attn.proj.", ".intermediate.dense.", ".mlp.fc1.", ".output.dense.", ".mlp.fc2.",
		".layernorm_before.", ".norm1.", ".layernorm_after.", ".norm2.", ".lambda_1", ".gamma_1", ".lambda_2", ".gamma_2",
		"pooler.layernorm.", "fc_norm.", "layernorm.", "norm.", "classifier.", "head.",
	},
	unused: []string{"mask_token", "lm_head."},
	build:  buildTransformersBeit,
}

// transformersLayouts are the layouts by model_type.
var transformersLayouts = map[string]*transformersLayout{
	"vit": &viTLayout, "deit": &viTLayout, "vit_mae": &viTLayout, "vit_msn": &viTLayout, "dinov2": &viTLayout,
	"dinov2_with_registers": &viTLayout, "swin": &swinLayout, "clip": &clipLayout, "clip_vision_model": &clipLayout,
	"siglip": &siglipLayout, "siglip_vision_model": &siglipLayout, "dinov3_vit": &dinov3Layout, "beit": &beitLayout,
	"siglip2": &siglipLayout, "siglip2_vision_model": &siglipLayout, "swinv2": &swinV2Layout,
}

// fromTransformers builds the architecture of a checkpoint of the transformers library and gives its tensors our names.
func fromTransformers(c *checkpoint.TransformersConfig, stored *storedTensors) (resizable, *TextTower, error) {
	layout, ok := transformersLayouts[c.ModelType]
	if !ok {
		return nil, nil, fmt.Errorf("models of the type %q are not read in the layout of the transformers library (read are %s); take the same model from timm or open_clip",
			c.ModelType, strings.Join(sortedKeys(transformersLayouts), ", "))
	}
	layout.apply(stored)
	if err := layout.join(stored); err != nil {
		return nil, nil, err
	}
	return layout.build(c, stored)
}

// apply renames the tensors and leaves out what is not used.
func (l *transformersLayout) apply(stored *storedTensors) {
	replace := strings.NewReplacer(l.names...)
	stored.rename(func(name string) string {
		for _, prefix := range l.prefixes {
			name = strings.TrimPrefix(name, prefix)
		}
		return replace.Replace(name)
	})
	left := make(map[string]int)
	for _, name := range stored.names() {
		for _, beginning := range l.unused {
			if strings.HasPrefix(name, beginning) {
				stored.drop(name)
				left[strings.TrimSuffix(beginning, ".")]++
			}
		}
	}
	for _, what := range sortedKeys(left) {
		if what != "position_ids" { // which are 0, 1, 2, ... in every file
			stored.assume("%s of %s left out: the representation needs none of them", counted.Of(left[what], "tensor"), what)
		}
	}
}

// join makes one tensor of queries, keys and values.
func (l *transformersLayout) join(stored *storedTensors) error {
	if l.joined == "" {
		return nil
	}
	for _, name := range stored.names() {
		block, kind, ok := strings.Cut(name, l.parts[0])
		if !ok {
			continue
		}
		var parts []string
		for _, part := range l.parts {
			parts = append(parts, block+part+kind)
		}
		if err := stored.join(block+l.joined+kind, parts...); err != nil {
			return err
		}
	}
	return nil
}

// activations are the library's names of the activations that are known.
var activations = map[string]Activation{
	"gelu": GELU, "gelu_python": GELU, "quick_gelu": QuickGELU, "gelu_new": GELUTanh, "gelu_fast": GELUTanh, "gelu_pytorch_tanh": GELUTanh,
}

func activationOf(t *checkpoint.TransformersTower) (Activation, error) {
	activation, ok := activations[t.Activation]
	if !ok {
		return "", fmt.Errorf("hidden_act %q is not one of %s", t.Activation, strings.Join(sortedKeys(activations), ", "))
	}
	return activation, nil
}

// headOf is the number of outputs of the linear head in the file, 0 without one.
func headOf(stored *storedTensors, weight string) int {
	if shape := stored.made[weight].shape; len(shape) == 2 {
		return shape[0]
	}
	return 0
}

func buildTransformersViT(c *checkpoint.TransformersConfig, stored *storedTensors) (resizable, *TextTower, error) {
	v := &c.Vision
	activation, err := activationOf(v)
	if err != nil {
		return nil, nil, err
	}
	arch := &ViTConfig{
		ImageSize: v.ImageSize, PatchSize: v.PatchSize, Width: v.Width, Depth: v.Depth, Heads: v.Heads, MLPHidden: v.MLPHidden,
		ClassToken: true, PatchBias: true, QKVBias: v.QKVBias, FinalNorm: true, Classes: headOf(stored, "head.weight"),
		Epsilon: v.Epsilon, Activation: activation, filter: bicubicFilter, names: timmNames,
	}
	switch c.ModelType {
	case "deit":
		// The distillation token has a place like a register's and is not read, but by models with two heads.
		arch.RegisterTokens, arch.names.register = 1, distillationToken
		if stored.has(arch.names.secondHead + ".weight") {
			arch.Beside = BesideSecond
		}
	case "dinov2", "dinov2_with_registers":
		arch.LayerScale, arch.MLPHidden = true, int(v.MLPRatio*float64(v.Width))
		if v.SwiGLU {
			arch.Activation, arch.MLPHidden = SwiGLU, (arch.MLPHidden*2/3+7)/8*8
		}
		if stored.has("head.weight") {
			arch.Beside = BesidePatches
		}
		if c.ModelType == "dinov2_with_registers" {
			arch.RegisterTokens, arch.PositionPatches = v.Registers, true
			stored.splitClassPosition(arch.names.class, arch.names.position)
		}
	}
	return arch, nil, arch.check()
}

func buildTransformersSwin(c *checkpoint.TransformersConfig, stored *storedTensors) (resizable, *TextTower, error) {
	v := &c.Vision
	if activation, err := activationOf(v); err != nil || activation != GELU {
		return nil, nil, fmt.Errorf("hidden_act %q is not supported, only gelu", v.Activation)
	}
	stored.mergeAtBeginnings()
	windows := make([]int, len(v.Depths))
	for i := range windows {
		windows[i] = v.Window
	}
	arch := &SwinConfig{
		ImageSize: v.ImageSize, PatchSize: v.PatchSize, Width: v.Width, Depths: v.Depths, Heads: v.StageHeads, Windows: windows,
		MLPRatio: v.MLPRatio, QKVBias: v.QKVBias, Classes: headOf(stored, "head.fc.weight"), Epsilon: v.Epsilon,
	}
	if c.ModelType == "swinv2" {
		arch.V2, arch.Pretrained, arch.MaskedTwice = true, v.Pretrained, true
	}
	return arch, nil, arch.check()
}

func buildTransformersCLIP(c *checkpoint.TransformersConfig, stored *storedTensors) (resizable, *TextTower, error) {
	v := &c.Vision
	activation, err := activationOf(v)
	if err != nil {
		return nil, nil, err
	}
	stored.transpose(openCLIPNames.projection)
	stored.transpose(textProjection)
	arch := &ViTConfig{
		ImageSize: v.ImageSize, PatchSize: v.PatchSize, Width: v.Width, Depth: v.Depth, Heads: v.Heads, MLPHidden: v.MLPHidden,
		ClassToken: true, QKVBias: true, PreNorm: true, FinalNorm: true, Epsilon: v.Epsilon, Activation: activation,
		filter: bicubicFilter, names: openCLIPNames,
	}
	if stored.has(openCLIPNames.projection) {
		arch.Projection = c.EmbedDim
	}
	if err := arch.check(); err != nil || c.Text == nil {
		return arch, nil, err
	}
	text, err := transformersText(c)
	return arch, text, err
}

// transformersText is the text tower of a CLIP or a SigLIP.
func transformersText(c *checkpoint.TransformersConfig) (*TextTower, error) {
	t := c.Text
	activation, err := activationOf(t)
	if err != nil {
		return nil, fmt.Errorf("text_config: %w", err)
	}
	if t.Heads <= 0 || t.Width%t.Heads != 0 || t.ContextLength < 2 || t.Depth > 1<<12 || t.Width > 1<<16 {
		return nil, fmt.Errorf("text_config: %d layers of width %d with %d heads for %d tokens cannot be built", t.Depth, t.Width, t.Heads, t.ContextLength)
	}
	return &TextTower{
		ContextLength: t.ContextLength, VocabSize: t.Vocab, Width: t.Width, Layers: t.Depth, Heads: t.Heads, MLPHidden: t.MLPHidden,
		EmbedDim: c.EmbedDim, Epsilon: t.Epsilon, Activation: activation,
	}, nil
}

func buildTransformersSigLIP(c *checkpoint.TransformersConfig, stored *storedTensors) (resizable, *TextTower, error) {
	v := &c.Vision
	activation, err := activationOf(v)
	if err != nil {
		return nil, nil, err
	}
	// The blocks of both towers have the same names in the library, and ours have not.
	replace := strings.NewReplacer(".attn.qkv.", ".attn.in_proj_", ".attn.proj.", ".attn.out_proj.", ".norm1.", ".ln_1.", ".norm2.", ".ln_2.",
		".mlp.fc1.", ".mlp.c_fc.", ".mlp.fc2.", ".mlp.c_proj.")
	stored.rename(func(name string) string {
		if strings.HasPrefix(name, "text.") {
			return replace.Replace(name)
		}
		return name
	})
	stored.reshape(timmNames.position, 1, v.Grid()*v.Grid(), v.Width)
	stored.unfold(timmNames.patch+".weight", v.PatchSize)
	for _, kind := range []string{"weight", "bias"} {
		stored.divide("attn_pool.in_proj_"+kind, v.Width, "attn_pool.q."+kind, "attn_pool.kv."+kind)
	}
	arch := &ViTConfig{
		ImageSize: v.ImageSize, PatchSize: v.PatchSize, Width: v.Width, Depth: v.Depth, Heads: v.Heads, MLPHidden: v.MLPHidden,
		PatchBias: true, QKVBias: true, FinalNorm: true, Epsilon: v.Epsilon, Activation: activation, filter: bicubicFilter, names: timmNames,
		Classes: headOf(stored, timmNames.headWeight),
	}
	if stored.has("attn_pool.latent") && arch.Classes == 0 {
		arch.AttentionPool = AttentionPool{Heads: v.Heads, MLPHidden: v.MLPHidden, Activation: activation}
	} else { // as the library's classifier does
		arch.AveragePool = true
	}
	if err := arch.check(); err != nil || c.Text == nil {
		return arch, nil, err
	}
	text, err := transformersText(c)
	if err != nil {
		return nil, nil, err
	}
	text.prefix, text.Bidirectional, text.ReadLast, text.ProjectionBias, text.LogitBias = "text.", true, true, true, true
	text.pieces = true
	return arch, text, nil
}

func buildTransformersDINOv3(c *checkpoint.TransformersConfig, stored *storedTensors) (resizable, *TextTower, error) {
	v := &c.Vision
	arch := &ViTConfig{
		ImageSize: v.ImageSize, PatchSize: v.PatchSize, Width: v.Width, Depth: v.Depth, Heads: v.Heads, MLPHidden: v.MLPHidden,
		ClassToken: true, RegisterTokens: v.Registers, PatchBias: true, FinalNorm: true, LayerScale: true, NoPositions: true,
		SplitQKV: true, QKVBias: v.QKVBias, KeysWithoutBias: !v.KeyBias, Epsilon: v.Epsilon, names: evaNames,
		Rotary:  Rotary{Kind: CentredRotation, Temperature: v.RotaryBase, Halves: true},
		Classes: headOf(stored, evaNames.headWeight),
	}
	if v.Gated {
		if v.Activation != "silu" {
			return nil, nil, fmt.Errorf("hidden_act %q is not supported with use_gated_mlp, only silu", v.Activation)
		}
		arch.Activation, arch.SplitGate = SwiGLU, true
	} else {
		var err error
		if arch.Activation, err = activationOf(v); err != nil {
			return nil, nil, err
		}
	}
	replace := strings.NewReplacer(".mlp.up_proj.", ".mlp.fc1.")
	if arch.SplitGate {
		replace = strings.NewReplacer(".mlp.gate_proj.", "."+evaNames.gate+".", ".mlp.up_proj.", "."+evaNames.gated+".")
	}
	stored.rename(replace.Replace)
	return arch, nil, arch.check()
}

func buildTransformersBeit(c *checkpoint.TransformersConfig, stored *storedTensors) (resizable, *TextTower, error) {
	v := &c.Vision
	activation, err := activationOf(v)
	if err != nil {
		return nil, nil, err
	}
	arch := &ViTConfig{
		ImageSize: v.ImageSize, PatchSize: v.PatchSize, Width: v.Width, Depth: v.Depth, Heads: v.Heads, MLPHidden: v.MLPHidden,
		ClassToken: true, PatchBias: true, SplitQKV: true, QKVBias: true, KeysWithoutBias: true, LayerScale: v.LayerScale,
		RelativePositions: v.RelativePositions, NoPositions: !stored.has(evaNames.position), Epsilon: v.Epsilon, Activation: activation,
		AveragePool: v.MeanPooling, PoolNorm: v.MeanPooling, FinalNorm: !v.MeanPooling, Classes: headOf(stored, evaNames.headWeight),
		filter: bicubicFilter, names: evaNames,
	}
	return arch, nil, arch.check()
}
