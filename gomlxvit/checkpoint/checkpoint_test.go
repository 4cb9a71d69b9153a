package checkpoint

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"vitdecompose/gomlxvit/golden"
	"vitdecompose/gomlxvit/preprocess"
	"vitdecompose/gomlxvit/safetensors"
)

// weights are the bytes of a file with one tensor.
func weights(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "w")
	err := safetensors.Write(path, nil, []safetensors.Tensor{{Name: "head.bias", Shape: []int{2}, Data: []float32{1, 2}}})
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// checkpointFS is a file system with these files; "W" stands for weights.
func checkpointFS(t testing.TB, files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, content := range files {
		data := []byte(content)
		if content == "W" {
			data = weights(t)
		}
		fsys[name] = &fstest.MapFile{Data: data}
	}
	return fsys
}

const (
	tinyTimm     = `{"architecture": "vit_tiny_patch16_224", "num_classes": 2, "pretrained_cfg": {"label_names": ["cat", "dog"]}}`
	tinyOpenCLIP = `{"model_cfg": {"embed_dim": 8, "vision_cfg": {"layers": 2, "width": 64}, "text_cfg": {}}, "preprocess_cfg": {}}`
)

func TestParseTimm(t *testing.T) {
	half := [3]float32{0.5, 0.5, 0.5}
	defaults := preprocess.Config{Library: Timm, Size: [2]int{224, 224}, Interpolation: "bicubic", CropPct: 0.875, CropMode: "center",
		Mean: imageNetMean, Std: imageNetStd}
	with := func(change func(c *preprocess.Config)) preprocess.Config {
		c := defaults
		change(&c)
		return c
	}
	for _, test := range []struct {
		name, config string
		want         Checkpoint
	}{
		{"defaults", `{"architecture": "vit_tiny_patch16_224", "pretrained_cfg": {}}`,
			Checkpoint{Architecture: "vit_tiny_patch16_224", NumClasses: -1, Preprocess: defaults}},
		{"as timm writes it", `{"architecture": "swin_base_patch4_window7_224", "num_classes": 10, "num_features": 1024, "global_pool": "avg",
			"model_args": {"img_size": 64, "embed_dim": 24, "class_token": false},
			"pretrained_cfg": {"tag": "ms_in1k", "custom_load": false, "input_size": [3, 64, 96], "fixed_input_size": true,
				"interpolation": "bilinear", "crop_pct": 0.9, "crop_mode": "squash", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
				"num_classes": 1000, "pool_size": null, "first_conv": "patch_embed.proj", "classifier": "head"}}`,
			Checkpoint{Architecture: "swin_base_patch4_window7_224", NumClasses: 10, GlobalPool: "avg", FixedSize: [2]int{64, 96},
				ModelArgs: map[string]any{"img_size": 64.0, "embed_dim": 24.0, "class_token": false},
				Preprocess: preprocess.Config{Library: Timm, Size: [2]int{64, 96}, Interpolation: "bilinear", CropPct: 0.9, CropMode: "squash",
					Mean: half, Std: half}}},
		{"flat, as of old", `{"architecture": "vit_base_patch16_224", "num_classes": 3, "input_size": [3, 224, 224], "crop_pct": 0.9,
			"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "labels": ["a", "b", "c"], "global_pool": "token"}`,
			Checkpoint{Architecture: "vit_base_patch16_224", NumClasses: 3, GlobalPool: "token", LabelNames: []string{"a", "b", "c"},
				Preprocess: with(func(c *preprocess.Config) { c.CropPct, c.Mean, c.Std = 0.9, half, half })}},
		{"nulls", `{"architecture": "v", "model_args": null, "num_classes": null, "pretrained_cfg": {"mean": null, "crop_pct": null, "num_classes": 0}}`,
			Checkpoint{Architecture: "v", NumClasses: 0, Preprocess: defaults}},
		{"labels beside the architecture", `{"architecture": "v", "label_names": ["n01", "n02"], "label_descriptions": {"n01": "tench"},
			"pretrained_cfg": {"num_classes": 2, "label_names": ["x", "y"]}}`,
			Checkpoint{Architecture: "v", NumClasses: 2, LabelNames: []string{"tench", "n02"}, Preprocess: defaults}},
		{"classes and size by argument", `{"architecture": "v", "num_classes": 1000, "model_args": {"num_classes": 5, "img_size": [64, 32]}, "pretrained_cfg": {}}`,
			Checkpoint{Architecture: "v", NumClasses: 5, ModelArgs: map[string]any{"num_classes": 5.0, "img_size": []any{64.0, 32.0}},
				Preprocess: with(func(c *preprocess.Config) { c.Size = [2]int{64, 32} })}},
	} {
		got, err := parseTimm([]byte(test.config))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if test.want.ModelArgs == nil {
			test.want.ModelArgs = map[string]any{}
		}
		if diff := cmp.Diff(test.want, *got, cmp.Comparer(func(a, b *safetensors.File) bool { return a == b }), cmp.FilterPath(unexported, cmp.Ignore())); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

// unexported tells the fields that only an open checkpoint has.
func unexported(p cmp.Path) bool {
	field, ok := p.Last().(cmp.StructField)
	return ok && strings.ToLower(field.Name()[:1]) == field.Name()[:1]
}

func TestParseTimmRefuses(t *testing.T) {
	for _, test := range []struct{ config, message string }{
		{``, "not a JSON object"},
		{`[]`, "not a JSON object"},
		{`{"architecture": "v"`, "not a JSON object"},
		{`{}`, "no architecture"},
		{`{"architectures": ["ViTModel"], "model_type": "vit"}`, "no architecture"},
		{`{"architecture": ""}`, "architecture: empty"},
		{`{"architecture": 3}`, "architecture: found number, expected a text"},
		{`{"architecture": "v", "num_classes": "ten"}`, "num_classes: found string, expected a whole number"},
		{`{"architecture": "v", "num_classes": -2}`, "num_classes: -2"},
		{`{"architecture": "v", "num_classes": 1e12}`, "num_classes"},
		{`{"architecture": "v", "model_args": [1]}`, "model_args: found array, expected an object"},
		{`{"architecture": "v", "model_args": {"img_size": "big"}}`, "model_args.img_size"},
		{`{"architecture": "v", "pretrained_cfg": {"input_size": [1, 28, 28]}}`, "pretrained_cfg.input_size"},
		{`{"architecture": "v", "pretrained_cfg": {"input_size": 224}}`, "pretrained_cfg.input_size"},
		{`{"architecture": "v", "pretrained_cfg": {"input_size": [3, 0, 224]}}`, "0 pixels"},
		{`{"architecture": "v", "pretrained_cfg": {"input_size": [3, 224, 99999]}}`, "99999 pixels"},
		{`{"architecture": "v", "pretrained_cfg": {"crop_pct": 0}}`, "pretrained_cfg.crop_pct"},
		{`{"architecture": "v", "pretrained_cfg": {"mean": [0.5, 0.5]}}`, "pretrained_cfg.mean"},
		{`{"architecture": "v", "pretrained_cfg": {"std": [0.5, 0, 0.5]}}`, "pretrained_cfg.std"},
		{`{"architecture": "v", "num_classes": 3, "label_names": ["a"]}`, "1 names for 3 classes"},
		{`{"architecture": "v", "label_descriptions": 3}`, "label_descriptions"},
	} {
		_, err := parseTimm([]byte(test.config))
		checkMessage(t, test.config, err, test.message)
	}
}

// checkMessage checks that an error is one line that says what it should.
func checkMessage(t *testing.T, what string, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error, want one that says %q", what, parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %q, want one line that says %q", what, err, part)
		}
	}
}

func TestParseOpenCLIP(t *testing.T) {
	vision := VisionConfig{ImageSize: [2]int{224, 224}, PatchSize: 16, Layers: 12, Width: 768, HeadWidth: 64, MLPRatio: 4,
		PoolType: "tok", PosEmbedType: "learnable", NormEps: 1e-5}
	text := TextConfig{ContextLength: 77, VocabSize: 49408, Width: 512, Heads: 8, Layers: 12, MLPRatio: 4, PoolType: "argmax", NormEps: 1e-5}
	transform := preprocess.Config{Library: OpenCLIP, Size: [2]int{224, 224}, Interpolation: "bicubic", ResizeMode: "shortest",
		Mean: openAIMean, Std: openAIStd}
	for _, test := range []struct {
		name, config string
		want         func() (OpenCLIPConfig, preprocess.Config)
	}{
		{"defaults", `{"model_cfg": {"embed_dim": 512}}`, func() (OpenCLIPConfig, preprocess.Config) {
			return OpenCLIPConfig{EmbedDim: 512, VisionCfg: vision, TextCfg: text}, transform
		}},
		{"all", `{"model_cfg": {"embed_dim": 768, "quick_gelu": true, "init_logit_bias": null, "custom_text": true,
				"vision_cfg": {"image_size": [336, 224], "layers": 24, "width": 1024, "patch_size": [14, 14], "head_width": 128, "mlp_ratio": 2.5,
					"ls_init_value": 1e-4, "no_ln_pre": true, "pool_type": "avg", "final_ln_after_pool": true, "norm_kwargs": {"eps": 1e-6},
					"patch_dropout": 0.5, "attentional_pool": false, "attn_pooler_heads": 8, "qk_norm": true,
					"timm_model_name": "vit_base", "timm_pool": "map", "timm_proj": null, "timm_proj_bias": true, "timm_drop": 0.1, "timm_drop_path": null},
				"text_cfg": {"context_length": 64, "vocab_size": 32000, "width": 768, "heads": 12, "layers": 6, "pad_id": 1, "no_causal_mask": true,
					"proj_bias": true, "pool_type": "last", "hf_model_name": "roberta", "hf_tokenizer_name": "bert", "tokenizer_kwargs": {"clean": "lower"},
					"act_kwargs": {"approximate": "tanh"}}},
			"preprocess_cfg": {"size": 224, "mode": "RGB", "mean": [0.5, 0.5, 0.5], "std": 0.25, "interpolation": "random", "resize_mode": "squash", "fill_color": 128}}`,
			func() (OpenCLIPConfig, preprocess.Config) {
				return OpenCLIPConfig{EmbedDim: 768, QuickGELU: true, CustomText: true,
						VisionCfg: VisionConfig{ImageSize: [2]int{336, 224}, PatchSize: 14, Layers: 24, Width: 1024, HeadWidth: 128, MLPRatio: 2.5,
							LSInitValue: 1e-4, NoLNPre: true, PoolType: "avg", FinalLNAfterPool: true, PosEmbedType: "learnable", NormEps: 1e-6,
							Timm:  &TimmTower{Name: "vit_base", Pool: "map", ProjectionBias: true, Args: map[string]any{}},
							Extra: map[string]any{"qk_norm": true}},
						TextCfg: TextConfig{ContextLength: 64, VocabSize: 32000, Width: 768, Heads: 12, Layers: 6, MLPRatio: 4, PadID: 1,
							NoCausalMask: true, ProjBias: true, PoolType: "last", NormEps: 1e-5, GELUTanh: true, Tokenizer: "bert", Clean: "lower",
							Extra: map[string]any{"hf_model_name": "roberta"}}},
					preprocess.Config{Library: OpenCLIP, Size: [2]int{336, 224}, Interpolation: "bicubic", ResizeMode: "squash", FillColor: 128,
						Mean: [3]float32{0.5, 0.5, 0.5}, Std: [3]float32{0.25, 0.25, 0.25}}
			}},
	} {
		got, err := parseOpenCLIP([]byte(test.config))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		config, transform := test.want()
		if diff := cmp.Diff(config, *got.OpenCLIP); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
		if diff := cmp.Diff(transform, got.Preprocess); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestParseOpenCLIPRefuses(t *testing.T) {
	for _, test := range []struct{ config, message string }{
		{`{"preprocess_cfg": {}}`, "no model_cfg"},
		{`{"model_cfg": {}}`, "model_cfg.embed_dim: 0"},
		{`{"model_cfg": {"embed_dim": 8, "vision_cfg": {"layers": [3, 4, 6, 3]}}}`, "ResNet"},
		{`{"model_cfg": {"embed_dim": 8, "vision_cfg": {"width": "wide"}}}`, "model_cfg.vision_cfg.width: found string"},
		{`{"model_cfg": {"embed_dim": 8, "vision_cfg": {"head_width": 0}}}`, "model_cfg.vision_cfg.head_width: 0"},
		{`{"model_cfg": {"embed_dim": 8, "vision_cfg": {"width": 100}}}`, "not a multiple"},
		{`{"model_cfg": {"embed_dim": 8, "vision_cfg": {"patch_size": [16, 8]}}}`, "square"},
		{`{"model_cfg": {"embed_dim": 8, "vision_cfg": {"image_size": [1, 2, 3]}}}`, "image_size"},
		{`{"model_cfg": {"embed_dim": 8, "text_cfg": {"mlp_ratio": -1}}}`, "mlp_ratio"},
		{`{"model_cfg": {"embed_dim": 8, "text_cfg": {"norm_kwargs": {"bias": true}}}}`, "norm_kwargs.bias: not supported"},
		{`{"model_cfg": {"embed_dim": 8}, "preprocess_cfg": {"fill_color": 300}}`, "fill_color: 300"},
		{`{"model_cfg": {"embed_dim": 8}, "preprocess_cfg": {"size": 0}}`, "preprocess_cfg.size"},
	} {
		_, err := parseOpenCLIP([]byte(test.config))
		checkMessage(t, test.config, err, test.message)
	}
}

func TestChoose(t *testing.T) {
	for _, test := range []struct {
		names string
		want  layout
	}{
		{"config.json model.safetensors README.md", layout{Timm, timmConfig, safeWeights, "", "", "", 0}},
		{"config.json model.safetensors pytorch_model.bin", layout{Timm, timmConfig, safeWeights, "", "", "", 0}},
		{"config.json model.safetensors vocab.json merges.txt preprocessor_config.json", layout{Timm, timmConfig, safeWeights, vocabularyFile, mergesFile, imageProcessor, 0}},
		{"config.json model.safetensors.index.json model-00002-of-00002.safetensors model-00001-of-00002.safetensors",
			layout{Timm, timmConfig, "model.safetensors.index.json", "", "", "", 2}},
		{"config.json pytorch_model.bin training_args.bin", layout{Timm, timmConfig, torchWeights, "", "", "", 0}},
		{"config.json pytorch_model.bin.index.json pytorch_model-00001-of-00002.bin pytorch_model-00002-of-00002.bin",
			layout{Timm, timmConfig, "pytorch_model.bin.index.json", "", "", "", 2}},
		{"config.json other.pth optimizer.pt README.md", layout{Timm, timmConfig, "other.pth", "", "", "", 0}},
		{"config.json last.pth.tar model_best.pth.tar", layout{Timm, timmConfig, "model_best.pth.tar", "", "", "", 0}},
		{"config.json weights.npz", layout{Timm, timmConfig, "weights.npz", "", "", "", 0}},
		{"checkpoint-3.pth.tar summary.csv", layout{Timm, "", "checkpoint-3.pth.tar", "", "", "", 0}},
		{"open_clip_config.json open_clip_pytorch_model.bin config.json", layout{OpenCLIP, openCLIPConfig, openCLIPTorch, "", "", "", 0}},
		{"open_clip_config.json model.safetensors tokenizer.json", layout{OpenCLIP, openCLIPConfig, safeWeights, tokenizerFile, "", "", 0}},
		{"open_clip_config.json model.safetensors open_clip_model.safetensors", layout{OpenCLIP, openCLIPConfig, openCLIPWeights, "", "", "", 0}},
		{"open_clip_config.json open_clip_model.safetensors config.json model.safetensors tokenizer.json", layout{OpenCLIP, openCLIPConfig, openCLIPWeights, tokenizerFile, "", "", 0}},
		{"open_clip_config.json config.json model.safetensors", layout{Timm, timmConfig, safeWeights, "", "", "", 0}},
	} {
		got, err := choose(strings.Fields(test.names), "", false)
		if err != nil || got != test.want {
			t.Errorf("%s: %v (%v), want %v", test.names, got, err, test.want)
		}
	}
}

// A pipe in the place of a file is refused, for opening it would wait for a writer.
func TestPipes(t *testing.T) {
	for _, name := range []string{timmConfig, safeWeights} {
		dir := t.TempDir()
		for file, content := range map[string][]byte{timmConfig: []byte(tinyTimm), safeWeights: weights(t)} {
			path := filepath.Join(dir, file)
			err := os.WriteFile(path, content, 0o666)
			if file == name {
				err = errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o666))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		_, err := Open(dir)
		checkMessage(t, name, err, filepath.Join(dir, name), "not a regular file")
	}
}

// Numbers that no picture can be prepared with and no norm computed, and names of classes by their numbers.
func TestConfigurationsOutOfRange(t *testing.T) {
	timm := func(field string) string {
		return `{"architecture": "vit_tiny_patch16_224", "num_classes": 2, ` + field + `}`
	}
	openCLIP := func(vision string) string {
		return `{"model_cfg": {"embed_dim": 8, "vision_cfg": {"layers": 2, "width": 64` + vision + `}, "text_cfg": {}}}`
	}
	for _, test := range []struct{ file, text, want string }{
		{timmConfig, timm(`"pretrained_cfg": {"std": [1e-38, 1, 1]}`), "std"},
		{timmConfig, timm(`"pretrained_cfg": {"std": [0.2, 0.2, 1e38]}`), "std"},
		{timmConfig, timm(`"pretrained_cfg": {"mean": [1e38, 0, 0]}`), "mean"},
		{timmConfig, timm(`"pretrained_cfg": {"mean": [127.5, 127.5, 127.5]}`), "mean"},
		{timmConfig, timm(`"pretrained_cfg": {"interpolation": "best"}`), "interpolation"},
		{timmConfig, timm(`"pretrained_cfg": {"crop_mode": "best"}`), "crop_mode"},
		{timmConfig, timm(`"pretrained_cfg": {"crop_pct": 0.001}`), "crop_pct"},
		{timmConfig, timm(`"label_names": {"0": "a", "2": "b"}`), "label_names"},
		{timmConfig, timm(`"label_names": {"0": "a", "01": "b"}`), "label_names"},
		{openCLIPConfig, openCLIP(`, "norm_kwargs": {"eps": 1e39}`), "eps"},
		{openCLIPConfig, openCLIP(`, "norm_kwargs": {"eps": -1}`), "eps"},
	} {
		_, err := OpenFS(checkpointFS(t, map[string]string{test.file: test.text, safeWeights: "W"}), "tiny")
		checkMessage(t, test.text, err, filepath.Join("tiny", test.file), test.want)
	}
	c, err := OpenFS(checkpointFS(t, map[string]string{timmConfig: timm(`"label_names": {"1": "dog", "0": "cat"}`), safeWeights: "W"}), "tiny")
	if err != nil || !cmp.Equal(c.LabelNames, []string{"cat", "dog"}) {
		t.Errorf("labels by number: %v (%v)", c, err)
	}
	for field, want := range map[string]bool{
		`"init_logit_scale": 2.3`: false, `"init_logit_bias": -10`: true, `"init_logit_bias": null`: false, `"nonscalar_logit_scale": true`: false, `"output_dict": true`: false,
	} {
		text := `{"model_cfg": {"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}, ` + field + `}}`
		c, err := OpenFS(checkpointFS(t, map[string]string{openCLIPConfig: text, safeWeights: "W"}), "tiny")
		if err != nil || c.OpenCLIP.LogitBias != want || len(c.OpenCLIP.Extra) > 0 {
			t.Errorf("%s: %+v (%v)", field, c, err)
		}
	}
}

func TestOpenFSRefuses(t *testing.T) {
	whole := weights(t)
	cut := string(whole[:len(whole)-4])
	for _, test := range []struct {
		files map[string]string
		parts []string
	}{
		{map[string]string{"notes.txt": ""}, []string{"config.json", "open_clip_config.json", "is it a checkpoint directory?"}},
		{map[string]string{timmConfig: tinyTimm}, []string{"model.safetensors are missing", "get them"}},
		{map[string]string{openCLIPConfig: tinyOpenCLIP}, []string{"open_clip_model.safetensors or model.safetensors are missing"}},
		{map[string]string{timmConfig: tinyTimm, "model.safetensors.index.json": "{}", "model-00001-of-00002.safetensors": "W"}, []string{"model-00002-of-00002.safetensors is missing"}},
		{map[string]string{timmConfig: tinyTimm, "pytorch_model.bin": "PK"}, []string{"pytorch_model.bin", "neither what torch.save writes"}},
		{map[string]string{timmConfig: tinyTimm, "pytorch_model.bin": "PK\x03\x04"}, []string{"pytorch_model.bin", "get it again"}},
		{map[string]string{timmConfig: tinyTimm, "model.pth": "\x80\x02cposix\nsystem\n"}, []string{"model.pth", `"posix.system"`, "refused"}},
		{map[string]string{timmConfig: tinyTimm, "model.pth": "version https://git-lfs.github.com/spec/v1\n"}, []string{"git lfs pull"}},
		{map[string]string{timmConfig: tinyTimm, "a.pth": "", "b.pth.tar": ""}, []string{"several files", "a.pth, b.pth.tar", "name one"}},
		{map[string]string{"a.pth": "", "b.pth.tar": ""}, []string{"several files", "a.pth, b.pth.tar", "name one"}},
		{map[string]string{timmConfig: tinyTimm, "weights.npz": "PK\x03\x04"}, []string{"weights.npz", "get the file again"}},
		{map[string]string{timmConfig: tinyTimm, "tf_model.h5": "HDF"}, []string{"tf_model.h5 is there", "not read"}},
		{map[string]string{timmConfig: "{", safeWeights: "W"}, []string{filepath.Join("tiny", "config.json"), "not a JSON object"}},
		{map[string]string{timmConfig: tinyTimm, safeWeights: cut}, []string{filepath.Join("tiny", safeWeights), "cut short", "get it again"}},
		{map[string]string{timmConfig: tinyTimm, safeWeights: ""}, []string{filepath.Join("tiny", safeWeights), "cut short"}},
		{map[string]string{timmConfig: tinyTimm, safeWeights: "version https://git-lfs.github.com/spec/v1\n"}, []string{"git lfs pull"}},
	} {
		_, err := OpenFS(checkpointFS(t, test.files), "tiny")
		checkMessage(t, fmt.Sprint(test.files), err, append(test.parts, "tiny")...)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "model.safetensors")
	if err := os.WriteFile(file, weights(t), 0o666); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "photo.png")
	if err := os.WriteFile(other, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for ref, part := range map[string]string{
		filepath.Join(dir, "absent"): "no such checkpoint directory or file",
		file:                         "beside it; put the configuration beside it",
		dir:                          "neither config.json",
		other:                        "not a file of weights",
	} {
		_, err := Open(ref)
		checkMessage(t, ref, err, ref, part)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, checkpointFS(t, map[string]string{openCLIPConfig: tinyOpenCLIP, openCLIPWeights: "W", tokenizerFile: "{}"})); err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Ref != dir || c.Dir != dir || c.Library != OpenCLIP || c.OpenCLIP.EmbedDim != 8 || c.OpenCLIP.VisionCfg.Width != 64 {
		t.Errorf("opened %+v", c)
	}
	if data, err := c.Weights.Float32("head.bias"); err != nil || !cmp.Equal(data, []float32{1, 2}) {
		t.Errorf("weights %v (%v)", data, err)
	}
	sum := sha256.Sum256(append([]byte(tinyOpenCLIP), weights(t)...))
	if want := hex.EncodeToString(sum[:]); c.Hash != want {
		t.Errorf("hash %s, want %s", c.Hash, want)
	}
	if text, err := c.Tokenizer(); err != nil || string(text) != "{}" {
		t.Errorf("tokenizer %q (%v)", text, err)
	}
}

// A file system whose files cannot be read at an offset does as well.
// TestTokenizerLink: a link to another checkpoint's tokenizer.json that was stored as a text is followed, another text
// is not.
func TestTokenizerLink(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "model")
	if err := os.WriteFile(filepath.Join(parent, tokenizerFile), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"../tokenizer.json\n":                   "{}",
		filepath.Join(parent, "x.json"):         filepath.Join(parent, "x.json"),
		"../../nowhere/tokenizer.json":          "",
		filepath.Join(parent, "tokenizer.json"): filepath.Join(parent, "tokenizer.json"),
	} {
		files := checkpointFS(t, map[string]string{openCLIPConfig: tinyOpenCLIP, openCLIPWeights: "W", tokenizerFile: text})
		if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, files)); err != nil {
			t.Fatal(err)
		}
		c, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Tokenizer()
		if string(got) != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q (%v), want %q", text, got, err, want)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenFSOfZip(t *testing.T) {
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	if err := w.AddFS(checkpointFS(t, map[string]string{timmConfig: tinyTimm, safeWeights: "W"})); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(archive.Bytes()), int64(archive.Len()))
	if err != nil {
		t.Fatal(err)
	}
	c, err := OpenFS(r, "tiny")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Ref != "tiny" || c.Dir != "" || !cmp.Equal(c.LabelNames, []string{"cat", "dog"}) {
		t.Errorf("opened %+v", c)
	}
	if data, err := c.Weights.Float32("head.bias"); err != nil || !cmp.Equal(data, []float32{1, 2}) {
		t.Errorf("weights %v (%v)", data, err)
	}
	_, err = c.Tokenizer()
	checkMessage(t, "no tokenizer", err, "tiny", "tokenizer.json")
}

// The checkpoints of the reference data were written by timm and open_clip's own conventions; a sample of what their
// configurations say.
func TestGolden(t *testing.T) {
	half := [3]float32{0.5, 0.5, 0.5}
	for name, check := range map[string]func(c *Checkpoint) bool{
		"vit_deit":    func(c *Checkpoint) bool { return c.Preprocess.CropPct == 0.9 && c.ModelArgs["depth"] == 4.0 },
		"vit_dinov2":  func(c *Checkpoint) bool { return c.NumClasses == 0 && c.Preprocess.Size == [2]int{56, 56} },
		"vit_reg4":    func(c *Checkpoint) bool { return c.ModelArgs["no_embed_class"] == true },
		"vit_avgpool": func(c *Checkpoint) bool { return c.ModelArgs["global_pool"] == "avg" && c.Preprocess.Mean == half },
		"swin":        func(c *Checkpoint) bool { return c.Architecture == "swin_tiny_patch4_window7_224" },
		"maxvit_tf":   func(c *Checkpoint) bool { return c.Preprocess.CropPct == 0.95 },
		"clip_vitb": func(c *Checkpoint) bool {
			return c.OpenCLIP.EmbedDim == 32 && !c.OpenCLIP.QuickGELU && c.tokenizer != "" && c.Preprocess.Size == [2]int{64, 64}
		},
		"clip_quickgelu": func(c *Checkpoint) bool {
			return c.OpenCLIP.QuickGELU && c.OpenCLIP.VisionCfg.HeadWidth == 12 && c.OpenCLIP.VisionCfg.Extra == nil && c.OpenCLIP.TextCfg.Extra == nil
		},
	} {
		t.Run(name, func(t *testing.T) { checkOpened(t, golden.Dir(t, name), check) })
	}
}

// A trained ViT-Ti in half precision, where it is at hand.
func TestReal(t *testing.T) {
	checkOpened(t, golden.Shared(t, "real", "vit_tiny_patch16_224"), func(c *Checkpoint) bool {
		info, ok := c.Weights.Info("head.weight")
		return c.NumClasses == 1000 && c.Preprocess.Mean == [3]float32{0.5, 0.5, 0.5} && ok && info.DType == safetensors.F16
	})
}

func checkOpened(t *testing.T, dir string, check func(c *Checkpoint) bool) {
	t.Helper()
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !check(c) || len(c.Hash) != 64 {
		t.Errorf("read as %+v", c)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func FuzzParseTimm(f *testing.F) {
	f.Add([]byte(tinyTimm))
	f.Add([]byte(`{"architecture":"v","labels":["a"],"mean":0.5,"model_args":{"img_size":[1,2],"num_classes":1e300}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseTimm(text)
		if err != nil {
			return
		}
		checkParsed(t, c)
		if c.Architecture == "" || c.ModelArgs == nil || c.NumClasses < -1 || c.Preprocess.CropPct <= 0 {
			t.Errorf("accepted as %+v", c)
		}
	})
}

func FuzzParseOpenCLIP(f *testing.F) {
	f.Add([]byte(tinyOpenCLIP))
	f.Add([]byte(`{"model_cfg":{"embed_dim":1,"vision_cfg":{"head_width":1,"layers":[1],"norm_kwargs":{"eps":1}}},"preprocess_cfg":{"size":[1,2],"std":1}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseOpenCLIP(text)
		if err != nil {
			return
		}
		checkParsed(t, c)
		if v := c.OpenCLIP.VisionCfg; c.OpenCLIP.EmbedDim < 1 || v.Layers < 1 || v.PatchSize < 1 || v.HeadWidth < 1 || v.Width%v.HeadWidth != 0 {
			t.Errorf("accepted as %+v", c.OpenCLIP)
		}
	})
}

// checkParsed checks what has to hold of any configuration that is accepted.
func checkParsed(t *testing.T, c *Checkpoint) {
	t.Helper()
	for axis := range 2 {
		if side := c.Preprocess.Size[axis]; side < 1 || side > largestSide {
			t.Errorf("size %v accepted", c.Preprocess.Size)
		}
	}
	for _, v := range c.Preprocess.Std {
		if !(v > 0) {
			t.Errorf("standard deviation %v accepted", c.Preprocess.Std)
		}
	}
}

func ExampleOpenFS() {
	// In a program the file system would be an embed.FS or os.DirFS(...).
	dir, err := os.MkdirTemp("", "checkpoint")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "config.json"), []byte(tinyTimm), 0o666),
		safetensors.Write(filepath.Join(dir, "model.safetensors"), nil, []safetensors.Tensor{{Name: "head.bias", Shape: []int{2}, Data: []float32{1, 2}}}))
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := OpenFS(os.DirFS(dir), "tiny")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println(c.Library, c.Architecture, c.NumClasses, c.LabelNames)
	fmt.Println(c.Preprocess.Size, c.Preprocess.CropPct, c.Preprocess.Interpolation)
	fmt.Println(c.Weights.Names())
	// Output:
	// timm vit_tiny_patch16_224 2 [cat dog]
	// [224 224] 0.875 bicubic
	// [head.bias]
}
