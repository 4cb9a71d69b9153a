package gomlxvit_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/golden"
)

// The text towers of SigLIP and of CLIPs with a model of timm as image tower compute what open_clip 3.3.0 and the
// transformers library 5.24.0 compute of the same tokens, and so do the logits of pictures and texts.
func TestTextTowers(t *testing.T) {
	for name, ids := range map[string]string{
		"openclip_siglip": "text_tokens", "openclip_vit_gap": "text_tokens", "openclip_eva02": "text_tokens", "hf_siglip": "input_ids",
	} {
		t.Run(name, func(t *testing.T) {
			dir := golden.Shared(t, "golden2", name)
			ckpt, err := checkpoint.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer ckpt.Close()
			model, err := gomlxvit.WithTextTower(ckpt)
			if err != nil {
				t.Fatal(err)
			}
			io := golden.Open(t, dir, "io.safetensors")
			numbers, err := io.Int64(ids)
			if err != nil {
				t.Fatal(err)
			}
			tokens := make([]int32, len(numbers))
			for i, id := range numbers {
				tokens[i] = int32(id)
			}
			program, err := model.Compile(goBackend(), func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
				texts := model.Text.Embedding(w, in[0])
				logits := gomlxvit.CosineLogits(w, in[1], texts)
				if model.Text.LogitBias {
					logits = graph.Add(logits, w.Get("logit_bias"))
				}
				return []*graph.Node{texts, logits}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer program.Close()
			outputs, err := program.Run(tensors.FromFlatDataAndDimensions(tokens, io.Shape(t, ids)...),
				tensors.FromFlatDataAndDimensions(io.Tensor(t, "features"), io.Shape(t, "features")...))
			if err != nil {
				t.Fatal(err)
			}
			golden.Close(t, "text features", tensors.MustCopyFlatData[float32](outputs[0]), io.Tensor(t, "text_features"), 2e-5)
			golden.Close(t, "logits", tensors.MustCopyFlatData[float32](outputs[1]), io.Tensor(t, "logits_per_image"), 2e-5)
		})
	}
}

// A CLIP whose texts cannot be read is loaded with its image tower, and asking for texts is refused in one line.
func TestTextsThatAreNotAvailable(t *testing.T) {
	dir := golden.Shared(t, "golden2", "openclip_siglip")
	for change, want := range map[string]string{
		`"hf_tokenizer_name": "bert-base-uncased"`: "as bert-base-uncased does",
		`"hf_model_name": "roberta-base"`:          "of a kind that is not read",
	} {
		changed := t.TempDir()
		if err := os.CopyFS(changed, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(changed, "open_clip_config.json")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before, after, found := strings.Cut(string(text), `"text_cfg": {`)
		if err := os.WriteFile(file, []byte(before+`"text_cfg": {`+change+`, `+after), 0o666); err != nil || !found {
			t.Fatal(err, found)
		}
		model, err := load(t, changed, gomlxvit.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if model.Text != nil || strings.Contains(change, "hf_model_name") != strings.Contains(strings.Join(model.Assumptions, "; "), "text tower") {
			t.Errorf("text tower %v, assumptions %q", model.Text, model.Assumptions)
		}
		if _, err := load(t, changed, gomlxvit.Options{Text: true}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
	}
}
