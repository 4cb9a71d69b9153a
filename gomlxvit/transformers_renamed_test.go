package gomlxvit_test

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/golden"
	"vitdecompose/gomlxvit/safetensors"
)

// renamed writes the weights of a reference model as another library or another type of it calls them.
func renamed(t *testing.T, dir, config string, rename func(name string, shape []int, numbers []float32) []safetensors.Tensor) string {
	t.Helper()
	return renamedFrom(t, dir, "model.safetensors", config, rename)
}

func renamedFrom(t *testing.T, dir, weights, config string, rename func(name string, shape []int, numbers []float32) []safetensors.Tensor) string {
	t.Helper()
	file := golden.Open(t, dir, weights)
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
	reference := golden.Open(t, dir, "io.safetensors")
	twice, _ := forward(t, model, reference.Tensor(t, "input"), reference.Shape(t, "input"))
	arch := model.Arch.(*gomlxvit.SwinConfig)
	if !arch.MaskedTwice {
		t.Error("the mask is added once")
	}
	arch.MaskedTwice = false
	z, logits := forward(t, model, reference.Tensor(t, "input"), reference.Shape(t, "input"))
	if slices.Equal(z, twice) {
		t.Error("it makes no difference how often the mask is added")
	}
	golden.Close(t, "representation", z, reference.Tensor(t, "features"), 2e-4)
	golden.Close(t, "logits", logits, reference.Tensor(t, "logits"), 2e-4)
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
	reference := golden.Open(t, dir, "io.safetensors")
	z, _ := forward(t, model, reference.Tensor(t, "pixel_values"), reference.Shape(t, "pixel_values"))
	golden.Close(t, "representation", z, reference.Tensor(t, "features"), 2e-5)
	if text := strings.Join(model.Assumptions, "; "); !strings.Contains(text, "a square of 48 pixels") {
		t.Errorf("assumptions %q", text)
	}
}

// Texts of a SigLIP go through its tokenizer: the embeddings are those of the ids that the tokenizers library gives
// (tokenizer/testdata/pieces.json), in the layouts of both libraries.
func TestSigLIPTexts(t *testing.T) {
	const vocabulary = 900
	for name, test := range map[string]struct{ table, tokenizer, clean, config, from, to string }{
		"hf_siglip":       {"text_model.embeddings.token_embedding.weight", "unigram", "plain", "config.json", `"vocab_size": 120`, `"vocab_size": 900`},
		"openclip_siglip": {"text.token_embedding.weight", "pairs", "canonical", "open_clip_config.json", `"vocab_size": 200`, `"vocab_size": 900, "hf_tokenizer_name": "timm/ViT-B-16-SigLIP2", "tokenizer_kwargs": {"clean": "canonicalize"}`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := golden.Shared(t, "golden2", name)
			weights := map[string]string{"hf_siglip": "model.safetensors", "openclip_siglip": "open_clip_model.safetensors"}[name]
			text, err := os.ReadFile(filepath.Join(dir, test.config))
			if err != nil || !strings.Contains(string(text), test.from) {
				t.Fatal(err, string(text))
			}
			to := renamedFrom(t, dir, weights, "", func(name string, shape []int, numbers []float32) []safetensors.Tensor {
				if name == test.table {
					width := shape[1]
					for len(numbers) < vocabulary*width {
						numbers = append(numbers, numbers[len(numbers)%977])
					}
					shape, numbers = []int{vocabulary, width}, numbers[:vocabulary*width]
				}
				return []safetensors.Tensor{{Name: name, Shape: shape, Data: numbers}}
			})
			packed, err := os.Open(filepath.Join("tokenizer", "testdata", test.tokenizer+".json.gz"))
			if err != nil {
				t.Fatal(err)
			}
			defer packed.Close()
			unpacked, err := gzip.NewReader(packed)
			if err != nil {
				t.Fatal(err)
			}
			tokens, err := io.ReadAll(unpacked)
			if err := errors.Join(err, os.Remove(filepath.Join(to, "config.json")), os.WriteFile(filepath.Join(to, test.config), []byte(strings.Replace(string(text), test.from, test.to, 1)), 0o666),
				os.WriteFile(filepath.Join(to, "tokenizer.json"), tokens, 0o666)); err != nil {
				t.Fatal(err)
			}
			model, err := load(t, to, gomlxvit.Options{Text: true})
			if err != nil {
				t.Fatal(err)
			}
			encoder, err := model.NewTextEncoder(goBackend())
			if err != nil {
				t.Fatal(err)
			}
			defer encoder.Close()
			var cases []struct {
				Tokenizer, Clean, Text string
				IDs                    []int32
			}
			content, err := os.ReadFile(filepath.Join("tokenizer", "testdata", "pieces.json"))
			if err := errors.Join(err, json.Unmarshal(content, &cases)); err != nil {
				t.Fatal(err)
			}
			program, err := model.Compile(goBackend(), func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
				return []*graph.Node{model.Text.Embedding(w, in[0])}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer program.Close()
			seen := 0
			for _, c := range cases {
				if c.Tokenizer != test.tokenizer || c.Clean != test.clean || len(c.IDs) > model.Text.ContextLength {
					continue
				}
				seen++
				pad := map[string]int32{"unigram": 1, "pairs": 0}[test.tokenizer]
				for len(c.IDs) < model.Text.ContextLength {
					c.IDs = append(c.IDs, pad)
				}
				outputs, err := program.Run(tensors.FromFlatDataAndDimensions(c.IDs, 1, len(c.IDs)))
				if err != nil {
					t.Fatal(err)
				}
				got, err := encoder.Embed(t.Context(), []string{c.Text})
				if err != nil {
					t.Fatal(err)
				}
				golden.Close(t, c.Text, got, tensors.MustCopyFlatData[float32](outputs[0]), 1e-6)
			}
			if seen < 10 {
				t.Errorf("%d texts", seen)
			}
		})
	}
}
