package gomlxvit_test

import (
	"encoding/json"
	"strings"
	"testing"

	"vitdecompose/gomlxvit"
)

// countParameters counts the numbers in an architecture's parameters; running statistics are not among them.
func countParameters(arch gomlxvit.Architecture) int {
	total := 0
	for _, p := range arch.Params() {
		if strings.Contains(p.Name, "running_") {
			continue
		}
		size := 1
		for _, d := range p.Dims {
			size *= d
		}
		total += size
	}
	return total
}

// Millions of parameters with 1000 classes as timm publishes them with its results on ImageNet (results-imagenet.csv).
func TestPublishedNumbersOfParameters(t *testing.T) {
	for name, want := range map[string]float64{
		"vit_huge_patch14_clip_336": 632.46, "vit_huge_patch14_clip_224": 632.05, "eva_large_patch14_336": 304.53, "eva_large_patch14_196": 304.14,
		"maxvit_xlarge_tf_512": 475.77, "maxvit_xlarge_tf_384": 475.32, "maxvit_large_tf_512": 212.33, "maxvit_large_tf_384": 212.03,
		"maxvit_base_tf_512": 119.88, "maxvit_base_tf_384": 119.65, "maxvit_small_tf_512": 69.13, "maxvit_small_tf_384": 69.02, "maxvit_tiny_tf_512": 31.05,
		"vit_large_patch14_clip_336": 304.53, "vit_large_patch14_clip_224": 304.20, "vit_large_patch16_384": 304.72, "vit_large_patch16_224": 304.33,
		"vit_base_patch16_clip_384": 86.86, "vit_base_patch16_clip_224": 86.57, "vit_base_patch32_clip_448": 88.34, "vit_base_patch32_clip_384": 88.30,
		"vit_base_patch8_224": 86.58, "vit_base_patch16_384": 86.86, "vit_medium_patch16_gap_384": 39.03, "flexivit_large": 304.36,
		"deit3_large_patch16_384": 304.76, "deit3_large_patch16_224": 304.37, "deit3_huge_patch14_224": 632.13,
		"deit3_base_patch16_384": 86.88, "deit3_base_patch16_224": 86.59,
		"eva02_large_patch14_448": 305.08, "eva_giant_patch14_336": 1013.01, "eva_giant_patch14_560": 1014.45, "eva02_base_patch14_448": 87.12,
		"eva02_small_patch14_336": 22.13, "eva02_tiny_patch14_336": 5.76, "vit_betwixt_patch16_rope_reg4_gap_256": 60.23,
		"vit_mediumd_patch16_rope_reg1_gap_256": 63.95, "vit_base_patch16_rope_reg1_gap_256": 86.43,
		"beit_large_patch16_512": 305.67, "beit_large_patch16_384": 305.00, "beit_large_patch16_224": 304.43, "beitv2_large_patch16_224": 304.43,
		"beit_base_patch16_384": 86.74, "beit_base_patch16_224": 86.53,
		"deit_base_distilled_patch16_384": 87.63, "deit_base_distilled_patch16_224": 87.34, "deit_small_distilled_patch16_224": 22.44, "deit_tiny_distilled_patch16_224": 5.91,
		"hiera_tiny_224": 27.91, "hiera_small_224": 35.01, "hiera_base_224": 51.52, "hiera_base_plus_224": 69.90, "hiera_large_224": 213.74,
		"hiera_huge_224": 672.78, "hiera_small_abswin_256": 34.36,
		"swinv2_large_window12to24_192to384": 196.74, "swinv2_base_window12to16_192to256": 87.92, "swinv2_small_window16_256": 49.73, "swinv2_tiny_window8_256": 28.35,
		"swin_large_patch4_window12_384": 196.74, "swin_large_patch4_window7_224": 196.53, "swin_base_patch4_window12_384": 87.90, "swin_base_patch4_window7_224": 87.77,
	} {
		arch, err := gomlxvit.Timm(name, map[string]any{"num_classes": 1000.0})
		if err != nil {
			t.Error(err)
			continue
		}
		if got := float64(countParameters(arch)) / 1e6; got < want-0.0051 || got > want+0.0051 {
			t.Errorf("%s has %.3f million parameters, want %.2f", name, got, want)
		}
	}
}

// What timm's constructor makes of arguments that say what holds anyway, and of null (timm 1.0.31).
func TestArgumentsThatChangeNothing(t *testing.T) {
	plain, err := gomlxvit.Timm("vit_tiny_patch16_224", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range []map[string]any{
		{"qk_norm": false}, {"qk_norm": nil}, {"fc_norm": nil}, {"fc_norm": false}, {"init_values": nil}, {"init_values": 0.0},
		{"act_layer": nil}, {"act_layer": "gelu"}, {"norm_layer": nil}, {"norm_layer": "layernorm"}, {"pos_embed": "learn"},
		{"proj_bias": true}, {"scale_attn_norm": false, "scale_mlp_norm": nil}, {"no_embed_class": nil, "pre_norm": nil}, {"drop_rate": 0.1},
		{"pool_include_prefix": false}, {"dynamic_img_size": true}, {"embed_norm_layer": nil},
	} {
		arch, err := gomlxvit.Timm("vit_tiny_patch16_224", args)
		if err != nil {
			t.Errorf("%v: %v", args, err)
			continue
		}
		if *arch.(*gomlxvit.ViTConfig) != *plain.(*gomlxvit.ViTConfig) {
			t.Errorf("%v: %+v, want %+v", args, arch, plain)
		}
	}
	for name, change := range map[string]func(c *gomlxvit.ViTConfig){
		"qkv_bias":   func(c *gomlxvit.ViTConfig) { c.QKVBias = false },
		"final_norm": func(c *gomlxvit.ViTConfig) { c.FinalNorm = false },
	} {
		want := *plain.(*gomlxvit.ViTConfig)
		change(&want)
		arch, err := gomlxvit.Timm("vit_tiny_patch16_224", map[string]any{name: nil})
		if err != nil || *arch.(*gomlxvit.ViTConfig) != want {
			t.Errorf("%s: null gives %+v (%v), want %+v", name, arch, err, want)
		}
	}
	for _, name := range []string{"embed_dim", "depth", "num_heads", "img_size", "mlp_ratio", "num_classes", "global_pool", "reg_tokens", "proj_bias"} {
		if _, err := gomlxvit.Timm("vit_tiny_patch16_224", map[string]any{name: nil}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: null: error %v, want one that names it", name, err)
		}
	}
}

// Without class token there are positions for registers unless no_embed_class says otherwise.
func TestPositionsOfRegisters(t *testing.T) {
	for _, test := range []struct {
		patchesOnly bool
		want        int
	}{{false, 196 + 4}, {true, 196}} {
		arch, err := gomlxvit.Timm("vit_tiny_patch16_224", map[string]any{
			"class_token": false, "reg_tokens": 4.0, "global_pool": "avg", "no_embed_class": test.patchesOnly,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range arch.Params() {
			if p.Name == "pos_embed" && p.Dims[1] != test.want {
				t.Errorf("no_embed_class %v: %d positions, want %d", test.patchesOnly, p.Dims[1], test.want)
			}
		}
	}
}

func TestUnknownNames(t *testing.T) {
	for name, want := range map[string]string{
		"vit_base_patch16_225":       "vit_base_patch16_224",
		"deit3_huge_patch14":         "deit3_huge_patch14_224",
		"swin_tiny_window7":          "model_args",
		"vit_small_patch16_18x2_224": "block_fn",
	} {
		if _, err := gomlxvit.Lookup(name); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v, want one with %q", name, err, want)
		}
	}
	// open_clip's refusal is the same each time, and says what the model is.
	first := ""
	for range 20 {
		_, err := gomlxvit.Lookup("MobileCLIP-S1")
		if err == nil || !strings.Contains(err.Error(), "a MobileCLIP") || first != "" && err.Error() != first {
			t.Fatalf("error %v after %q", err, first)
		}
		first = err.Error()
	}
}

// Whatever stands in model_args, an architecture is built or refused.
func FuzzModelArguments(f *testing.F) {
	for _, name := range []string{"vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "maxvit_tiny_tf_224", "vit_giant_patch14_dinov2",
		"vit_base_patch16_siglip_224", "eva02_base_patch16_clip_224", "vit_small_patch16_rope_mixed_224", "beit_base_patch16_224", "swinv2_tiny_window8_256",
		"coatnet_0_rw_224", "coatnext_nano_rw_224"} {
		f.Add(name, `{"img_size": [64, 64], "embed_dim": 32, "depths": [1, 1], "window_size": [[4, 4], 2], "block_type": [["C", "T"], "M"], "act_layer": null, "mlp_ratio": 1e300}`)
	}
	f.Fuzz(func(t *testing.T, name, text string) {
		var args map[string]any
		if json.Unmarshal([]byte(text), &args) != nil {
			return
		}
		if arch, err := gomlxvit.Timm(name, args); err == nil && (len(arch.Blocks()) == 0 || arch.OutputDim() <= 0) {
			t.Errorf("%s %s: %+v", name, text, arch)
		}
	})
}

// Whatever stands in a model_cfg of open_clip, an image tower is built or refused.
func FuzzOpenCLIP(f *testing.F) {
	f.Add(`{"embed_dim": 64, "custom_text": true, "vision_cfg": {"timm_model_name": "vit_base_patch16_siglip_224", "timm_pool": "map", "timm_proj": "none",
		"timm_model_args": {"embed_dim": 64, "num_heads": 2}}, "text_cfg": {"pool_type": "last", "proj_bias": true, "no_causal_mask": true}}`)
	f.Add(`{"embed_dim": 64, "vision_cfg": {"timm_model_name": "eva02_base_patch16_clip_224", "timm_proj": null, "image_size": 48}, "text_cfg": {"hf_model_name": "x"}}`)
	f.Add(`{"embed_dim": 64, "vision_cfg": {"pool_type": "avg", "final_ln_after_pool": true}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var cfg map[string]any
		if json.Unmarshal([]byte(text), &cfg) != nil {
			return
		}
		if arch, _, err := gomlxvit.OpenCLIP(cfg); err == nil && (len(arch.Blocks()) == 0 || len(arch.Params()) == 0) {
			t.Errorf("%s: %+v", text, arch)
		}
	})
}
