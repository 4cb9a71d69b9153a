package gomlxvit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/golden"
	"vitdecompose/gomlxvit/safetensors"
	"vitdecompose/gomlxvit/tokenizer"
)

// openText opens a CLIP checkpoint with its text tower.
func openText(dir string) (*gomlxvit.Model, error) {
	ckpt, err := checkpoint.Open(dir)
	if err != nil {
		return nil, err
	}
	defer ckpt.Close()
	return gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{Text: true})
}

// tinyCLIP writes a CLIP of random weights with a tokenizer of its own. The context is short, so that texts can be too
// long for it.
func tinyCLIP(dir string) error {
	tokens, err := tokenizer.Learn([]string{"a picture of a red square", "a photo of a blue circle", "a small drawing"}, 60)
	if err != nil {
		return err
	}
	t, err := tokenizer.Parse(tokens)
	if err != nil {
		return err
	}
	const width, hidden, embed, context = 16, 64, 8, 48
	config, err := json.Marshal(map[string]any{
		"model_cfg": map[string]any{
			"embed_dim":  embed,
			"vision_cfg": map[string]any{"layers": 1, "width": width, "head_width": 8, "patch_size": 8, "image_size": 16},
			"text_cfg": map[string]any{
				"context_length": context, "vocab_size": t.VocabSize(), "width": width, "heads": 2, "layers": 2, "ls_init_value": 0.1,
			},
		},
		"preprocess_cfg": map[string]any{},
	})
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(7, 7))
	var weights []safetensors.Tensor
	add := func(name string, dims ...int) {
		size := 1
		for _, d := range dims {
			size *= d
		}
		data := make([]float32, size)
		for i := range data {
			data[i] = float32(0.3 * rng.NormFloat64())
			if strings.HasPrefix(name, "ln") || strings.Contains(name, ".ln") {
				data[i]++
			}
		}
		weights = append(weights, safetensors.Tensor{Name: name, Shape: dims, Data: data})
	}
	blocks := func(tower string, layers int, scales bool) {
		for i := range layers {
			block := fmt.Sprintf("%stransformer.resblocks.%d.", tower, i)
			for _, norm := range []string{"ln_1", "ln_2"} {
				add(block+norm+".weight", width)
				add(block+norm+".bias", width)
			}
			add(block+"attn.in_proj_weight", 3*width, width)
			add(block+"attn.in_proj_bias", 3*width)
			add(block+"attn.out_proj.weight", width, width)
			add(block+"attn.out_proj.bias", width)
			add(block+"mlp.c_fc.weight", hidden, width)
			add(block+"mlp.c_fc.bias", hidden)
			add(block+"mlp.c_proj.weight", width, hidden)
			add(block+"mlp.c_proj.bias", width)
			if scales {
				add(block+"ls_1.gamma", width)
				add(block+"ls_2.gamma", width)
			}
		}
	}
	add("visual.conv1.weight", width, 3, 8, 8)
	add("visual.class_embedding", width)
	add("visual.positional_embedding", 5, width)
	for _, norm := range []string{"visual.ln_pre", "visual.ln_post", "ln_final"} {
		add(norm+".weight", width)
		add(norm+".bias", width)
	}
	add("visual.proj", width, embed)
	blocks("visual.", 1, false)
	add("logit_scale")
	add("token_embedding.weight", t.VocabSize(), width)
	add("positional_embedding", context, width)
	add("text_projection", width, embed)
	blocks("", 2, true)

	if err := os.WriteFile(filepath.Join(dir, "open_clip_config.json"), config, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), tokens, 0o600); err != nil {
		return err
	}
	return safetensors.Write(filepath.Join(dir, "open_clip_model.safetensors"), nil, weights)
}

// openTiny opens a fresh tinyCLIP.
func openTiny(t testing.TB) (dir string, model *gomlxvit.Model) {
	t.Helper()
	dir = t.TempDir()
	if err := tinyCLIP(dir); err != nil {
		t.Fatal(err)
	}
	model, err := openText(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, model
}

// openGo is the Go backend, which need not compile: most of what such small models take with XLA.
var openGo = sync.OnceValues(func() (compute.Backend, error) { return backend.Open("go") })

func onGo(t testing.TB) compute.Backend {
	t.Helper()
	b, err := openGo()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run computes one graph.
func run(t testing.TB, b compute.Backend, model *gomlxvit.Model, build func(w gomlxvit.Weights, in []*graph.Node) *graph.Node, inputs ...*tensors.Tensor) []float32 {
	t.Helper()
	program, err := model.Compile(b, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		return []*graph.Node{build(w, in)}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	outputs, err := program.Run(inputs...)
	if err != nil {
		t.Fatal(err)
	}
	data, err := tensors.CopyFlatData[float32](outputs[0])
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestGoldenText compares with open_clip 3.3.0, from captions to the logits per image.
func TestGoldenText(t *testing.T) {
	for name, b := range map[string]compute.Backend{"clip_vitb": testBackend, "clip_quickgelu": onGo(t)} {
		t.Run(name, func(t *testing.T) {
			dir := golden.Dir(t, name)
			model, err := openText(dir)
			if err != nil {
				t.Fatal(err)
			}
			io := golden.Open(t, dir, "io.safetensors")
			want := io.Tensor(t, "text_features")
			encoder, err := model.NewTextEncoder(b)
			if err != nil {
				t.Fatal(err)
			}
			defer encoder.Close()
			captions := golden.Captions(t, dir)
			got, err := encoder.Embed(context.Background(), captions)
			if err != nil {
				t.Fatal(err)
			}
			golden.Close(t, "text features", got, want, 2e-5)

			// The last caption does not fit into the context, which a class name must.
			_, err = model.WithZeroShotHead(context.Background(), b, captions, gomlxvit.Templates{"{}"})
			if err == nil || !strings.Contains(err.Error(), "too long") {
				t.Errorf("error %v, want one that says that a caption is too long", err)
			}
			// With a template that adds nothing the head gives the logits per image. Fewer positions are computed for
			// these texts.
			head, err := model.WithZeroShotHead(context.Background(), b, captions[:3], gomlxvit.Templates{"{}"})
			if err != nil {
				t.Fatal(err)
			}
			pixels := tensors.FromFlatDataAndDimensions(io.Tensor(t, "input"), io.Shape(t, "input")...)
			texts := tensors.FromFlatDataAndDimensions(want, io.Shape(t, "text_features")...)
			got = run(t, b, head, func(w gomlxvit.Weights, in []*graph.Node) *graph.Node {
				z := head.Arch.Representation(w, in[0])
				return graph.Concatenate([]*graph.Node{gomlxvit.CosineLogits(w, z, in[1]), head.Arch.Head(w, z)}, 1)
			}, pixels, texts)
			logits := io.Tensor(t, "logits_per_image") // [2, 4]
			golden.Close(t, "logits per image and of the head", got,
				slices.Concat(logits[:4], logits[:3], logits[4:], logits[4:7]), 2e-5)

			scale, err := model.LogitScale()
			if err != nil {
				t.Fatal(err)
			}
			golden.Close(t, "logit scale", []float32{float32(scale)}, io.Tensor(t, "logit_scale_exp"), 2e-5)
		})
	}
}

func TestTextEncoder(t *testing.T) {
	_, model := openTiny(t)
	encoder, err := model.NewTextEncoder(onGo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	t.Run("phrases", func(t *testing.T) { testPhrases(t, encoder) })
	t.Run("many texts", func(t *testing.T) { testManyTexts(t, encoder) })
}

// testPhrases recomputes the mean over templates from single embeddings.
func testPhrases(t *testing.T, encoder *gomlxvit.TextEncoder) {
	ctx := context.Background()
	got, err := encoder.Phrases(ctx, []string{"red square", "circle"}, gomlxvit.Templates{"a {}", "a picture of a small {}"})
	if err != nil {
		t.Fatal(err)
	}
	single, err := encoder.Embed(ctx, []string{"a red square", "a picture of a small red square", "a circle", "a picture of a small circle"})
	if err != nil {
		t.Fatal(err)
	}
	dim := encoder.Dim()
	scaled := func(v []float64) []float64 {
		square := 0.0
		for _, x := range v {
			square += x * x
		}
		out := slices.Clone(v)
		for i := range out {
			out[i] /= math.Sqrt(square)
		}
		return out
	}
	var want []float32
	for phrase := range 2 {
		mean := make([]float64, dim)
		for k := range 2 {
			var row []float64
			for _, x := range single[(2*phrase+k)*dim:][:dim] {
				row = append(row, float64(x))
			}
			for d, x := range scaled(row) {
				mean[d] += x
			}
		}
		for _, x := range scaled(mean) {
			want = append(want, float32(x))
		}
	}
	golden.Close(t, "phrases", got, want, 1e-6)
}

// testManyTexts: more texts than are computed at a time, of many lengths, give what a few of them give.
func testManyTexts(t *testing.T, encoder *gomlxvit.TextEncoder) {
	var texts []string
	for i := range 45 {
		texts = append(texts, strings.Repeat("red ", i%9)+fmt.Sprint("square ", i))
	}
	all, err := encoder.Embed(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	some := []int{0, 8, 31, 44}
	var few []string
	for _, i := range some {
		few = append(few, texts[i])
	}
	want, err := encoder.Embed(context.Background(), few)
	if err != nil {
		t.Fatal(err)
	}
	for k, i := range some {
		golden.Close(t, texts[i], all[i*encoder.Dim():][:encoder.Dim()], want[k*encoder.Dim():][:encoder.Dim()], 1e-5)
	}
	none, err := encoder.Embed(context.Background(), nil)
	if err != nil || len(none) != 0 {
		t.Errorf("no texts give %v (%v)", none, err)
	}
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := encoder.Embed(stopped, texts); err != context.Canceled {
		t.Errorf("error %v, want that it was cancelled", err)
	}
}

func TestTextErrors(t *testing.T) {
	dir, model := openTiny(t)
	ctx := context.Background()
	check := func(what string, err error, parts ...string) {
		t.Helper()
		if err == nil {
			t.Errorf("%s: no error", what)
			return
		}
		for _, part := range parts {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: error %q does not say %q", what, err, part)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %q is not one line", what, err)
		}
	}
	_, err := model.WithZeroShotHead(ctx, testBackend, nil, nil)
	check("no classes", err, dir, "class names")
	_, err = model.WithZeroShotHead(ctx, testBackend, []string{"cat", "  "}, nil)
	check("empty class", err, "is empty")
	_, err = model.WithZeroShotHead(ctx, testBackend, []string{"cat"}, gomlxvit.Templates{})
	check("no templates", err, "templates")
	_, err = model.WithZeroShotHead(ctx, testBackend, []string{"cat"}, gomlxvit.Templates{"a photo"})
	check("template without a place", err, "a photo", "{}")
	_, err = model.WithZeroShotHead(ctx, testBackend, []string{strings.Repeat("long ", 40)}, nil)
	check("long class name", err, "long long", "too long", "48 tokens")

	// Without its text tower, or without one at all.
	ckpt, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer ckpt.Close()
	image, err := gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if image.Weight("text_projection") != nil || model.Weight("text_projection") == nil {
		t.Error("text weights are not loaded just when they are asked for")
	}
	_, err = image.WithZeroShotHead(ctx, testBackend, []string{"cat"}, nil)
	check("image tower alone", err, dir, "no text tower")
	_, err = image.LogitScale()
	check("scale of image tower", err, "no text tower")

	file := filepath.Join(dir, "tokenizer.json")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other, err := tokenizer.Learn([]string{"other words, other words"}, 5)
	if err != nil {
		t.Fatal(err)
	}
	for what, content := range map[string][]byte{"not a tokenizer.json": []byte("?"), "not of the same model": other} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = openText(dir)
		check(what, err, dir, "tokenizer.json", what)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	_, err = openText(dir)
	check("no tokenizer", err, dir, "there is no tokenizer.json")

	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "open_clip_config.json")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{`"heads":2`: `"heads":3`, `"context_length":48`: `"context_length":1`, `"layers":2`: `"layers":9999`} {
		if err := os.WriteFile(config, []byte(strings.Replace(string(text), from, to, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = openText(dir)
		check(to, err, dir, "text_cfg")
	}
}

func TestTemplates(t *testing.T) {
	templates := gomlxvit.DefaultTemplates()
	if len(templates) < 5 {
		t.Errorf("only %d templates", len(templates))
	}
	file := filepath.Join(t.TempDir(), "templates.txt")
	if err := os.WriteFile(file, []byte("\ufeff# own\n\n a {} \nthe {} and the {}\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := gomlxvit.ReadTemplates(file)
	if want := (gomlxvit.Templates{"a {}", "the {} and the {}"}); err != nil || !slices.Equal(got, want) {
		t.Errorf("templates %q (%v), want %q", got, err, want)
	}
	for content, want := range map[string]string{
		"":                       "no templates",
		"# nothing":              "no templates",
		"a {}\na photo":          "line 2",
		strings.Repeat("a", 1e6): "too long",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := gomlxvit.ReadTemplates(file); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%.20q: error %v, want one that names the file and says %q", content, err, want)
		}
	}
	if _, err := gomlxvit.ReadTemplates(file + ".none"); err == nil {
		t.Error("no error for a file that is not there")
	}
	if err := syscall.Mkfifo(file+".pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := gomlxvit.ReadTemplates(file + ".pipe"); err == nil || !strings.Contains(err.Error(), "a pipe") {
		t.Errorf("a pipe: error %v", err)
	}
}

func FuzzParseTemplates(f *testing.F) {
	f.Add("a {}\n# b\n")
	f.Add("{}{}\r\n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		templates, err := gomlxvit.ParseTemplates(strings.NewReader(text))
		if (err == nil) != (len(templates) > 0) {
			t.Fatalf("%q: %d templates and error %v", text, len(templates), err)
		}
		for _, template := range templates {
			if !strings.Contains(string(template), "{}") {
				t.Errorf("%q has no place", template)
			}
		}
	})
}

// A CLIP becomes a classifier with nothing but the names of the classes.
func ExampleModel_WithZeroShotHead() {
	dir, err := os.MkdirTemp("", "clip")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	if err := tinyCLIP(dir); err != nil { // any open_clip checkpoint with its tokenizer.json
		fmt.Println(err)
		return
	}
	ckpt, err := checkpoint.Open(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ckpt.Close()
	model, err := gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{Text: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	model, err = model.WithZeroShotHead(context.Background(), testBackend, []string{"square", "circle"}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(model.Arch.NumClasses(), model.ClassNames)
	// Output: 2 [square circle]
}
