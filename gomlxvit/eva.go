package gomlxvit

import "fmt"

// evaArguments are the arguments of timm's Eva, which is EVA and EVA-02 (arXiv 2303.11331), EVA-CLIP, DINOv3, the Perception
// Encoder (arXiv 2504.13181) and vision transformers with rotary embeddings: all of them are a [ViTConfig].
type evaArguments struct {
	ViTConfig
	mlpRatio     float64
	poolMLPRatio float64 // 0 stands for mlpRatio
	poolHeads    int     // 0 stands for Heads
	align        int     // what the width of a SwiGLU is rounded up to a multiple of
	gated        bool
	fullBias     bool // attn_type "rope": keys have a bias too
	rotary       bool
	// The norms after the last block and after pooling; nil leaves them to the pooling.
	lastNorm, poolNorm *bool
	padded             bool
}

// evaNames are timm's names in Eva and Beit.
var evaNames = func() vitNames {
	n := timmNames
	n.scale1, n.scale2 = "gamma_1", "gamma_2"
	return n
}()

func newEvaArguments() *evaArguments {
	return &evaArguments{mlpRatio: 4, ViTConfig: ViTConfig{
		ImageSize: 224, PatchSize: 16, Width: 768, Depth: 12, Heads: 12, ClassToken: true, PatchBias: true, QKVBias: true,
		Epsilon: 1e-6, Activation: GELU, names: evaNames, Rotary: Rotary{Kind: AxialRotation, Temperature: 10000},
	}}
}

func (a *evaArguments) set(arg argument) (known bool, err error) {
	optional := func(to **bool) {
		if *to = nil; arg.value != nil {
			*to = new(bool)
			err = arg.boolean(*to)
		}
	}
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
	case "qkv_bias":
		err = arg.boolean(&a.QKVBias)
	case "qkv_fused":
		fused := true
		err = arg.boolean(&fused)
		a.SplitQKV = !fused
	case "qk_norm":
		err = arg.boolean(&a.QKNorm)
	case "mlp_ratio":
		err = arg.number(&a.mlpRatio)
	case "swiglu_mlp":
		err = arg.boolean(&a.gated)
	case "swiglu_align_to":
		err = arg.integer(&a.align)
	case "scale_mlp":
		err = arg.boolean(&a.MLPNorm)
	case "scale_attn_inner":
		err = arg.boolean(&a.AttnNorm)
	case "attn_type":
		a.fullBias = arg.is("rope")
		err = arg.mustBe("eva", "rope")
	case "norm_layer":
		err = arg.norm(&a.RMSNorm, &a.Epsilon)
	case "init_values":
		a.LayerScale = arg.value != nil
	case "class_token":
		err = arg.boolean(&a.ClassToken)
	case "num_reg_tokens":
		err = arg.integer(&a.RegisterTokens)
	case "no_embed_class":
		err = arg.boolean(&a.PositionPatches)
	case "use_abs_pos_emb":
		added := true
		err = arg.boolean(&added)
		a.NoPositions = !added
	case "use_rot_pos_emb":
		err = arg.boolean(&a.rotary)
	case "rope_type":
		kinds := map[any]RotaryKind{"cat": AxialRotation, "dinov3": CentredRotation, "mixed": MixedRotation}
		a.Rotary.Kind = kinds[arg.value]
		err = arg.mustBe("cat", "dinov3", "mixed")
	case "rope_grid_offset":
		err = arg.number(&a.Rotary.Offset)
	case "rope_grid_indexing":
		a.Rotary.ColumnFirst = arg.is("xy")
		err = arg.mustBe("ij", "xy")
	case "rope_temperature":
		err = arg.number(&a.Rotary.Temperature)
	case "rope_rotate_half":
		err = arg.boolean(&a.Rotary.Halves)
	case "rope_shift_coords", "rope_jitter_coords", "rope_rescale_coords", "head_init_scale": // in training only
	case "ref_feat_shape":
		if a.Rotary.Reference = 0; arg.value != nil {
			err = arg.side(&a.Rotary.Reference)
		}
	case "use_post_norm":
		err = arg.boolean(&a.PostNorm)
	case "use_pre_transformer_norm":
		err = arg.boolean(&a.PreNorm)
		a.PatchBias = !a.PreNorm
	case "use_post_transformer_norm":
		optional(&a.lastNorm)
	case "use_fc_norm":
		optional(&a.poolNorm)
	case "attn_pool_num_heads":
		if a.poolHeads = 0; arg.value != nil {
			err = arg.integer(&a.poolHeads)
		}
	case "attn_pool_mlp_ratio":
		if a.poolMLPRatio = 0; arg.value != nil {
			err = arg.number(&a.poolMLPRatio)
		}
	case "dynamic_img_size": // pictures are prepared at one size
	case "dynamic_img_pad":
		err = arg.boolean(&a.padded)
	case "attn_only_layer_scale":
		err = arg.mustBe(nil, false)
	case "num_kv_heads", "rope_mrope_section":
		err = arg.mustBe(nil)
	default:
		return false, nil
	}
	return true, err
}

func (a *evaArguments) build(classes int, pool string) (resizable, error) {
	c := a.ViTConfig
	c.Classes, c.MLPHidden = classes, int(a.mlpRatio*float64(c.Width))
	c.KeysWithoutBias = !a.fullBias
	c.LayerScale = c.LayerScale && !c.PostNorm
	if a.gated {
		c.Activation, c.SplitGate = SwiGLU, c.MLPNorm || a.align > 0 && !c.PostNorm
		if c.SplitGate && a.align > 0 {
			c.MLPHidden = (c.MLPHidden + a.align - 1) / a.align * a.align
		}
	}
	if pool == "" {
		pool = "avg"
	}
	if err := c.poolBy(pool); err != nil {
		return nil, err
	}
	if p := &c.AttentionPool; p.Heads > 0 {
		p.Prefix, p.Activation, p.MLPHidden = true, GELU, int(a.mlpRatio*float64(c.Width))
		if a.poolHeads > 0 {
			p.Heads = a.poolHeads
		}
		if a.poolMLPRatio > 0 {
			p.MLPHidden = int(a.poolMLPRatio * float64(c.Width))
		}
	}
	if !a.rotary {
		c.Rotary = Rotary{}
	}
	switch {
	case c.Rotary.Kind == MixedRotation && c.Rotary.Halves:
		return nil, fmt.Errorf("rope_type mixed and rope_rotate_half do not go together")
	case c.PostNorm && c.QKNorm:
		return nil, fmt.Errorf("use_post_norm and qk_norm do not go together")
	case a.padded && c.ImageSize%c.PatchSize != 0:
		return nil, fmt.Errorf("image size %d is not a multiple of the patch size %d, and padding (dynamic_img_pad) is not supported", c.ImageSize, c.PatchSize)
	}
	// Pooling by the mean moves the norm behind it, unless the arguments say otherwise.
	c.PoolNorm = c.AveragePool
	if a.poolNorm != nil {
		c.PoolNorm = *a.poolNorm
	}
	c.FinalNorm = !c.PoolNorm
	if a.lastNorm != nil {
		c.FinalNorm = *a.lastNorm
	}
	return &c, c.check()
}

// beitArguments are the arguments of timm's Beit: BEiT (arXiv 2106.08254) and BEiT v2 (arXiv 2208.06366).
type beitArguments struct{ evaArguments }

func newBeitArguments() *beitArguments {
	a := &beitArguments{*newEvaArguments()}
	return a
}

func (a *beitArguments) set(arg argument) (known bool, err error) {
	switch arg.key {
	case "use_rel_pos_bias":
		return true, arg.boolean(&a.RelativePositions)
	case "use_shared_rel_pos_bias":
		return true, arg.mustBe(nil, false)
	case "img_size", "patch_size", "embed_dim", "depth", "num_heads", "qkv_bias", "mlp_ratio", "swiglu_mlp", "scale_mlp", "norm_layer",
		"init_values", "use_abs_pos_emb", "head_init_scale", "use_fc_norm":
		return a.evaArguments.set(arg)
	}
	return false, nil
}

func (a *beitArguments) build(classes int, pool string) (resizable, error) {
	if pool == "map" {
		return nil, fmt.Errorf("global_pool %q is not supported by Beit: only token and avg", pool)
	}
	built, err := a.evaArguments.build(classes, pool)
	if err != nil {
		return nil, err
	}
	c := *built.(*ViTConfig)
	c.SplitGate = c.Activation == SwiGLU // whether or not there is a norm in front of the last layer
	return &c, c.check()
}
