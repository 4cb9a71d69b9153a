package gomlxvit_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/golden"
	"vitdecompose/gomlxvit/safetensors"
)

var testBackend compute.Backend

func TestMain(m *testing.M) {
	var err error
	if testBackend, err = backend.Open(""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Numbers of parameters as timm 1.0.31 and open_clip 3.3.0 (image tower) count them; running statistics are not among
// them.
func TestNumbersOfParameters(t *testing.T) {
	for name, want := range map[string]int{
		"vit_base_patch14_reg4_dinov2":        86582016,
		"vit_large_patch14_dinov2":            304367616,
		"vit_base_patch16_clip_quickgelu_224": 86193152,
		"vit_tiny_patch16_384":                5790376,
		"deit_small_patch16_224":              22050664,
		"vit_large_patch16_224":               304326632,
		"vit_base_patch32_224":                88224232,
		"ViT-B-16":                            86192640,
		"swin_tiny_patch4_window7_224":        28288354,
		"swin_base_patch4_window7_224":        87768224,
		"swin_large_patch4_window12_384":      196735516,
		"maxvit_tiny_tf_224":                  30916528,
		"maxvit_small_tf_224.in1k":            68927956,
		"maxvit_large_tf_512":                 212330456,
	} {
		arch, err := gomlxvit.Lookup(name)
		if err != nil {
			t.Error(err)
			continue
		}
		got := countParameters(arch)
		if got != want {
			t.Errorf("%s has %d parameters, want %d", name, got, want)
		}
	}
}

func TestTags(t *testing.T) {
	arch, err := gomlxvit.Lookup("vit_base_patch16_224.dino")
	if err != nil {
		t.Fatal(err)
	}
	if arch.NumClasses() != 0 {
		t.Errorf("DINO has %d classes, want no head", arch.NumClasses())
	}
	if _, err := gomlxvit.Lookup("resnet50"); err == nil || !strings.Contains(err.Error(), "resnet50") {
		t.Errorf("error %v, want one that names resnet50", err)
	}
}

func TestModelArguments(t *testing.T) {
	for _, test := range []struct {
		args string
		want string // part of the error, empty for none
	}{
		{`{"embed_dim": 48, "num_heads": 3, "depth": 2, "img_size": [64, 64]}`, ""},
		{`{"global_pool": "avg", "reg_tokens": 4, "class_token": false}`, ""},
		{`{"act_layer": "quick_gelu", "pre_norm": true, "init_values": 1e-5, "qkv_bias": false}`, ""},
		{`{"embed_dim": 50}`, "not a multiple of the number of heads"},
		{`{"img_size": 225}`, ""},
		{`{"img_size": 15}`, "smaller than the patch size"},
		{`{"img_size": [64, 32]}`, "img_size"},
		{`{"depth": 2.5}`, "model_args.depth is 2.5"},
		{`{"depth": -1}`, "must be positive"},
		{`{"depth": 1e9}`, "beyond any known"},
		{`{"qkv_bias": 1}`, "true or false"},
		{`{"global_pool": "map"}`, ""},
		{`{"global_pool": "prr"}`, "only token, avg and map"},
		{`{"class_token": false}`, "needs average or attention pooling"},
		{`{"in_chans": 1}`, "only colour pictures"},
		{`{"act_layer": "swish"}`, "act_layer"},
		{`{"qk_norm": true, "norm_layer": "rmsnorm", "pos_embed": "none"}`, ""},
		{`{"mlp_layer": "SwiGLU"}`, "supported together only"},
		{`{"mlp_layer": "SwiGLU", "act_layer": "silu", "global_pool": "map"}`, "attention pooling whose MLP has a SwiGLU"},
		{`{"embed_norm_layer": "rmsnorm"}`, "embed_norm_layer is another norm"},
		{`{"norm_layer": "batchnorm"}`, "norm_layer"},
		{`{"pool_include_prefix": true, "global_pool": "avg"}`, "pool_include_prefix"},
	} {
		var args map[string]any
		if err := json.Unmarshal([]byte(test.args), &args); err != nil {
			t.Fatal(err)
		}
		_, err := gomlxvit.Timm("vit_tiny_patch16_224", args)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.args, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: error %v, want one with %q", test.args, err, test.want)
		}
	}
}

// writeCheckpoint writes a tiny checkpoint directory; change may alter its tensors.
func writeCheckpoint(t *testing.T, change func([]safetensors.Tensor) []safetensors.Tensor) string {
	t.Helper()
	args := map[string]any{"img_size": 16.0, "patch_size": 8.0, "embed_dim": 12.0, "depth": 1.0, "num_heads": 3.0}
	config, err := json.Marshal(map[string]any{"architecture": "vit_tiny_patch16_224", "num_classes": 5, "model_args": args})
	if err != nil {
		t.Fatal(err)
	}
	args["num_classes"] = 5.0
	arch, err := gomlxvit.Timm("vit_tiny_patch16_224", args)
	if err != nil {
		t.Fatal(err)
	}
	model := gomlxvit.RandomOf("tiny", arch, 3)
	var stored []safetensors.Tensor
	for _, p := range arch.Params() {
		stored = append(stored, safetensors.Tensor{Name: p.Name, Shape: p.Dims, Data: tensors.MustCopyFlatData[float32](model.Weight(p.Name))})
	}
	if change != nil {
		stored = change(stored)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := safetensors.Write(filepath.Join(dir, "model.safetensors"), nil, stored); err != nil {
		t.Fatal(err)
	}
	return dir
}

func load(t *testing.T, dir string, opts gomlxvit.Options) (*gomlxvit.Model, error) {
	t.Helper()
	ckpt, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer ckpt.Close()
	return gomlxvit.FromCheckpoint(ckpt, opts)
}

func TestTensorsThatDoNotFit(t *testing.T) {
	rename := func(from, to string) func([]safetensors.Tensor) []safetensors.Tensor {
		return func(stored []safetensors.Tensor) []safetensors.Tensor {
			i := slices.IndexFunc(stored, func(s safetensors.Tensor) bool { return s.Name == from })
			stored[i].Name = to
			return stored
		}
	}
	for _, test := range []struct {
		name   string
		change func([]safetensors.Tensor) []safetensors.Tensor
		want   []string
	}{
		{"missing and unknown", rename("norm.weight", "gnorm.weight"), []string{"1 missing (norm.weight)", "does not have (gnorm.weight)"}},
		{"extra", func(s []safetensors.Tensor) []safetensors.Tensor {
			return append(s, safetensors.Tensor{Name: "head_dist.weight", Shape: []int{1}, Data: []float32{1}})
		}, []string{"head_dist.weight"}},
		{"shape", func(s []safetensors.Tensor) []safetensors.Tensor {
			i := slices.IndexFunc(s, func(s safetensors.Tensor) bool { return s.Name == "head.weight" })
			s[i].Shape = []int{12, 5}
			return s
		}, []string{"1 of another shape (head.weight is [12 5], not [5 12])"}},
		{"many", func(s []safetensors.Tensor) []safetensors.Tensor { return s[:1] }, []string{"missing", "and ", " more"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := load(t, writeCheckpoint(t, test.change), gomlxvit.Options{})
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error has several lines: %q", err)
			}
		})
	}
}

func TestImageSize(t *testing.T) {
	dir := writeCheckpoint(t, nil)
	model, err := load(t, dir, gomlxvit.Options{ImageSize: 32})
	if err != nil {
		t.Fatal(err)
	}
	if got := model.Weight("pos_embed").Shape().Dimensions; !slices.Equal(got, []int{1, 17, 12}) {
		t.Errorf("position embedding is %v, want 4 x 4 patches and the class token", got)
	}
	if model.Preprocess.Size != [2]int{32, 32} {
		t.Errorf("pictures are prepared at %v", model.Preprocess.Size)
	}
	if _, err := load(t, dir, gomlxvit.Options{ImageSize: 33}); err == nil || !strings.Contains(err.Error(), "33") {
		t.Errorf("error %v, want one that names the size 33", err)
	}
}

// A panic while a graph is built, from GoMLX or from our code, is an error of Run in one line.
func TestPanicsBecomeErrors(t *testing.T) {
	model, err := load(t, writeCheckpoint(t, nil), gomlxvit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pixels := tensors.FromFlatDataAndDimensions(make([]float32, 2*3*16*16), 2, 3, 16, 16)
	for name, build := range map[string]func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node{
		"unknown weight": func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node { return []*graph.Node{w.Get("nose")} },
		"wrong shapes": func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
			return []*graph.Node{graph.Add(in[0], w.Get("norm.weight"))}
		},
	} {
		program, err := model.Compile(testBackend, build)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := program.Run(pixels); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %q, want one line", name, err)
		}
		program.Close()
	}
}

// Forward passes agree with timm 1.0.31 and open_clip 3.3.0 on random models; package decompose tests the same numbers
// of the whole ViT family through the decomposition.
func TestGoldenForward(t *testing.T) {
	dir := golden.Dir(t, "vit_reg4")
	model, err := load(t, dir, gomlxvit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	io := golden.Open(t, dir, "io.safetensors")
	program, err := model.Compile(testBackend, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		return []*graph.Node{model.Arch.Representation(w, in[0])}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	outputs, err := program.Run(tensors.FromFlatDataAndDimensions(io.Tensor(t, "input"), io.Shape(t, "input")...))
	if err != nil {
		t.Fatal(err)
	}
	golden.Close(t, "features", tensors.MustCopyFlatData[float32](outputs[0]), io.Tensor(t, "features"), 2e-5)
}

func ExampleLookup() {
	arch, err := gomlxvit.Lookup("vit_base_patch14_dinov2.lvd142m")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(arch.InputSize(), "pixels,", len(arch.Blocks()), "blocks,", arch.OutputDim(), "channels")
	// Output: 518 pixels, 12 blocks, 768 channels
}
