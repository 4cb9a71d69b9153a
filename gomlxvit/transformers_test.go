package gomlxvit_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	photo "vitdecompose/data/picture"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/golden"
)

// Tiny models that the transformers library 5.24.0 wrote, with what it computes (golden/testdata/golden2/README.md).
var transformersModels = map[string]string{
	"hf_vit": "", "hf_vit_base": "pooler", "hf_deit": "", "hf_dinov2": "mask_token", "hf_dinov2_reg": "mask_token", "hf_swin": "",
	"hf_dinov2_cls": "mask_token", "hf_dinov2_swiglu": "mask_token", "hf_deit_teacher": "",
	"hf_clip": "", "hf_vit_mae": "decoder", "hf_siglip": "", "hf_dinov3": "mask_token", "hf_dinov3_gated": "mask_token", "hf_beit": "",
}

func TestTransformers(t *testing.T) {
	for name, assumed := range transformersModels {
		t.Run(name, func(t *testing.T) {
			dir := golden.Shared(t, "golden2", name)
			io := golden.Open(t, dir, "io.safetensors")
			model, err := load(t, dir, gomlxvit.Options{ImageSize: io.Shape(t, "pixel_values")[2]})
			if err != nil {
				t.Fatal(err)
			}
			z, logits := forward(t, model, io.Tensor(t, "pixel_values"), io.Shape(t, "pixel_values"))
			wanted := "features"
			if !io.Has(wanted) {
				wanted = "pooler_output"
			}
			golden.Close(t, "representation", z, io.Tensor(t, wanted), 2e-5)
			if io.Has("logits") {
				golden.Close(t, "logits", logits, io.Tensor(t, "logits"), 2e-5)
			} else if logits != nil {
				t.Error("there are logits")
			}
			if text := strings.Join(model.Assumptions, "; "); assumed == "" && text != "" || !strings.Contains(text, assumed) {
				t.Errorf("assumptions %q, want %q", text, assumed)
			}
			if io.Has("other_size.pixel_values") {
				shape := io.Shape(t, "other_size.pixel_values")
				model, err := load(t, dir, gomlxvit.Options{ImageSize: shape[2]})
				if err != nil {
					t.Fatal(err)
				}
				z, _ := forward(t, model, io.Tensor(t, "other_size.pixel_values"), shape)
				want := io.Tensor(t, "other_size.last_hidden_state") // [1, token, dim]
				golden.Close(t, "another size", z, want[:len(z)], 2e-5)
			}
		})
	}
}

// The text tower of a CLIP of the transformers library.
func TestTransformersText(t *testing.T) {
	dir := golden.Shared(t, "golden2", "hf_clip")
	io := golden.Open(t, dir, "io.safetensors")
	whole := t.TempDir()
	for from, name := range map[string]string{
		filepath.Join(dir, "config.json"): "config.json", filepath.Join(dir, "model.safetensors"): "model.safetensors",
		filepath.Join(dir, "preprocessor_config.json"):                 "preprocessor_config.json",
		golden.Shared(t, "golden", "clip_tokenizer", "tokenizer.json"): "tokenizer.json",
	} {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(whole, name), content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	model, err := load(t, whole, gomlxvit.Options{Text: true})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := io.Int64("input_ids")
	if err != nil {
		t.Fatal(err)
	}
	shape := io.Shape(t, "input_ids")
	tokens := make([]int32, len(ids))
	for i, id := range ids {
		tokens[i] = int32(id)
	}
	program, err := model.Compile(goBackend(), func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		return []*graph.Node{model.Text.Embedding(w, in[0])}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	outputs, err := program.Run(tensors.FromFlatDataAndDimensions(tokens, shape...))
	if err != nil {
		t.Fatal(err)
	}
	golden.Close(t, "text features", tensors.MustCopyFlatData[float32](outputs[0]), io.Tensor(t, "text_features"), 2e-5)

	// The same tokenizer as vocabulary and merges, which older checkpoints have.
	file, err := os.ReadFile(filepath.Join(whole, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var content struct {
		Model struct {
			Vocab  map[string]int32
			Merges [][2]string
		}
	}
	if err := json.Unmarshal(file, &content); err != nil {
		t.Fatal(err)
	}
	vocabulary, err := json.Marshal(content.Model.Vocab)
	if err != nil {
		t.Fatal(err)
	}
	merges := []byte("#version: 0.2\n")
	for _, pair := range content.Model.Merges {
		merges = append(merges, pair[0]+" "+pair[1]+"\n"...)
	}
	if err := errors.Join(os.Remove(filepath.Join(whole, "tokenizer.json")), os.WriteFile(filepath.Join(whole, "vocab.json"), vocabulary, 0o666),
		os.WriteFile(filepath.Join(whole, "merges.txt"), merges, 0o666)); err != nil {
		t.Fatal(err)
	}
	older, err := load(t, whole, gomlxvit.Options{Text: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"a photo of a cat", "Größe 12 #version it's", "\u4e2d\u6587 <|endoftext|>"} {
		want, _ := model.Tokenizer.Tokens(text, 77)
		if got, _ := older.Tokenizer.Tokens(text, 77); !slices.Equal(got, want) {
			t.Errorf("%q: tokens %v, want %v", text, got, want)
		}
	}
}

// Pictures are prepared as the Pillow backend of the checkpoint's image processor does; golden/testdata/golden/preprocess says
// how the reference was made and compared with the library.
func TestTransformersPixels(t *testing.T) {
	dir := golden.Dir(t, "preprocess")
	text, err := os.ReadFile(filepath.Join(dir, "preprocess.json"))
	if err != nil {
		t.Fatal(err)
	}
	var reference struct{ Processors map[string]string }
	if err := json.Unmarshal(text, &reference); err != nil {
		t.Fatal(err)
	}
	if len(reference.Processors) == 0 {
		t.Fatal("preprocess.json lists no image processors")
	}
	io := golden.Open(t, dir, "io.safetensors")
	for name, file := range reference.Processors {
		got, _ := pixels(t, golden.Shared(t, "golden2", name), filepath.Join(dir, file))
		golden.Close(t, name, got, io.Tensor(t, name+"/pixel_values"), 1e-6)
	}
}

// pixels is what a checkpoint makes of a picture, and the standard deviation that it divides by.
func pixels(t *testing.T, dir, file string) ([]float32, [3]float32) {
	t.Helper()
	ckpt, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer ckpt.Close()
	drawing, err := photo.DecodeFile(file, photo.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := ckpt.Preprocess.Apply(drawing)
	if err != nil {
		t.Fatal(err)
	}
	return got, ckpt.Preprocess.Std
}

// What the library itself made of a picture that is not the repository's: the Pillow backend gives our pixels, the other one
// differs by single steps of 8 bits.
func TestTransformersPhoto(t *testing.T) {
	file := golden.Beside(t, "golden", "preprocess", "striped_ball.png")
	for _, name := range []string{"hf_vit", "hf_deit", "hf_dinov2", "hf_clip", "hf_siglip", "hf_dinov3", "hf_beit"} {
		dir := golden.Beside(t, "golden2", name)
		io := golden.Open(t, dir, "io.safetensors")
		got, std := pixels(t, dir, file)
		if io.Has("photo_pixel_values_pil") {
			golden.Close(t, name+", Pillow", got, io.Tensor(t, "photo_pixel_values_pil"), 1e-6)
		}
		want := io.Tensor(t, "photo_pixel_values")
		if len(got) != len(want) {
			t.Fatalf("%s: %d pixels, want %d", name, len(got), len(want))
		}
		step := float64(slices.Max(std[:])) * 255
		for i := range got {
			if d := math.Abs(float64(got[i] - want[i])); d > 2.5/step*2 {
				t.Fatalf("%s: pixel %d is %v, want %v", name, i, got[i], want[i])
			}
		}
	}
}
