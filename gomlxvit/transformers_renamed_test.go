package gomlxvit_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/golden"
	"vitdecompose/gomlxvit/safetensors"
)

// renamed writes the weights of a reference model as another library or another type of it calls them.
func renamed(t *testing.T, dir, config string, rename func(name string, shape []int, numbers []float32) []safetensors.Tensor) string {
	t.Helper()
	file := golden.Open(t, dir, "model.safetensors")
	var tensors []safetensors.Tensor
	for _, name := range file.Names() {
		tensors = append(tensors, rename(name, file.Shape(t, name), file.Tensor(t, name))...)
	}
	to := t.TempDir()
	if err := errors.Join(safetensors.Write(filepath.Join(to, "model.safetensors"), nil, tensors),
		os.WriteFile(filepath.Join(to, "config.json"), []byte(config), 0o666)); err != nil {
		t.Fatal(err)
	}
	return to
}

var stageOf = regexp.MustCompile(`^layers\.(\d)\.downsample`)

// A Swin V2 in the layout of the transformers library: the reference weights and outputs are timm's (golden2/swinv2), which adds the
// mask of shifting once. The library (5.24.0, Swinv2SelfAttention.forward) adds it twice, which moves these outputs.
func TestTransformersSwinV2(t *testing.T) {
	dir := golden.Shared(t, "golden2", "swinv2")
	names := strings.NewReplacer("patch_embed.proj.", "swinv2.embeddings.patch_embeddings.projection.", "patch_embed.norm.", "swinv2.embeddings.norm.",
		"layers.", "swinv2.encoder.layers.", ".attn.proj.", ".attention.output.dense.", ".attn.q_bias", ".attention.self.query.bias",
		".attn.v_bias", ".attention.self.value.bias", ".attn.logit_scale", ".attention.self.logit_scale",
		".attn.cpb_mlp.", ".attention.self.continuous_position_bias_mlp.", ".mlp.fc1.", ".intermediate.dense.", ".mlp.fc2.", ".output.dense.",
		".norm1.", ".layernorm_before.", ".norm2.", ".layernorm_after.", "head.fc.", "classifier.")
	to := renamed(t, dir, `{"model_type": "swinv2", "image_size": 48, "patch_size": 4, "embed_dim": 12, "depths": [2, 2, 2], "num_heads": [1, 2, 4],
		"window_size": 3, "pretrained_window_sizes": [0, 0, 0], "mlp_ratio": 2.0, "layer_norm_eps": 1e-05}`,
		func(name string, shape []int, numbers []float32) []safetensors.Tensor {
			if match := stageOf.FindStringSubmatch(name); match != nil { // at the end of the stage before
				name = strings.Replace(name, "layers."+match[1], "layers."+string(match[1][0]-1), 1)
			}
			if name == "norm.weight" || name == "norm.bias" {
				return []safetensors.Tensor{{Name: "swinv2.layer" + name, Shape: shape, Data: numbers}}
			}
			if block, ok := strings.CutSuffix(name, ".attn.qkv.weight"); ok {
				var parts []safetensors.Tensor
				third := len(numbers) / 3
				for i, part := range []string{"query", "key", "value"} {
					parts = append(parts, safetensors.Tensor{Name: names.Replace(block) + ".attention.self." + part + ".weight",
						Shape: []int{shape[0] / 3, shape[1]}, Data: numbers[i*third : (i+1)*third]})
				}
				return parts
			}
			return []safetensors.Tensor{{Name: names.Replace(name), Shape: shape, Data: numbers}}
		})
	model, err := load(t, to, gomlxvit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	io := golden.Open(t, dir, "io.safetensors")
	twice, _ := forward(t, model, io.Tensor(t, "input"), io.Shape(t, "input"))
	arch := model.Arch.(*gomlxvit.SwinConfig)
	if !arch.MaskedTwice {
		t.Error("the mask is added once")
	}
	arch.MaskedTwice = false
	z, logits := forward(t, model, io.Tensor(t, "input"), io.Shape(t, "input"))
	if slices.Equal(z, twice) {
		t.Error("it makes no difference how often the mask is added")
	}
	golden.Close(t, "representation", z, io.Tensor(t, "features"), 2e-4)
	golden.Close(t, "logits", logits, io.Tensor(t, "logits"), 2e-4)
}

// A SigLIP 2 of the transformers library embeds patches by a linear layer over their pixels; else it is a SigLIP, whose reference
// outputs it has then (golden2/hf_siglip, transformers 5.24.0).
func TestTransformersSigLIP2(t *testing.T) {
	dir := golden.Shared(t, "golden2", "hf_siglip")
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	var config map[string]any
	if err := errors.Join(err, json.Unmarshal(text, &config)); err != nil {
		t.Fatal(err)
	}
	config["model_type"] = "siglip2"
	vision := config["vision_config"].(map[string]any)
	delete(vision, "image_size")
	vision["num_patches"] = 36
	if text, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	to := renamed(t, dir, string(text), func(name string, shape []int, numbers []float32) []safetensors.Tensor {
		if strings.HasSuffix(name, "patch_embedding.weight") {
			out, pixels := shape[0], shape[2]*shape[3]
			linear := make([]float32, len(numbers))
			for i := range numbers {
				row, colour, pixel := i/(3*pixels), i/pixels%3, i%pixels
				linear[(row*pixels+pixel)*3+colour] = numbers[i]
			}
			shape, numbers = []int{out, 3 * pixels}, linear
		}
		return []safetensors.Tensor{{Name: name, Shape: shape, Data: numbers}}
	})
	processor := `{"image_processor_type": "Siglip2ImageProcessor", "patch_size": 8, "max_num_patches": 36, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}`
	if err := os.WriteFile(filepath.Join(to, "preprocessor_config.json"), []byte(processor), 0o666); err != nil {
		t.Fatal(err)
	}
	model, err := load(t, to, gomlxvit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	io := golden.Open(t, dir, "io.safetensors")
	z, _ := forward(t, model, io.Tensor(t, "pixel_values"), io.Shape(t, "pixel_values"))
	golden.Close(t, "representation", z, io.Tensor(t, "features"), 2e-5)
	if text := strings.Join(model.Assumptions, "; "); !strings.Contains(text, "a square of 48 pixels") {
		t.Errorf("assumptions %q", text)
	}
}
