package gomlxvit_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/golden"
)

// runModel computes what build returns, one slice for each output.
func runModel(t *testing.T, b compute.Backend, model *gomlxvit.Model, build func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node, inputs ...*tensors.Tensor) [][]float32 {
	t.Helper()
	program, err := model.Compile(b, build)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	outputs, err := program.Run(inputs...)
	if err != nil {
		t.Fatal(err)
	}
	var flat [][]float32
	for _, o := range outputs {
		flat = append(flat, tensors.MustCopyFlatData[float32](o))
	}
	return flat
}

// unlessShort is the default backend, and with -short the Go backend: XLA takes seconds to compile a model with stages.
func unlessShort(t *testing.T) compute.Backend {
	t.Helper()
	if testing.Short() {
		return onGo(t)
	}
	return testBackend
}

// goldenStaged loads a golden case of an architecture with stages and its pictures.
func goldenStaged(t *testing.T, name string) (*gomlxvit.Model, golden.File, *tensors.Tensor) {
	t.Helper()
	dir := golden.Dir(t, name)
	model, err := load(t, dir, gomlxvit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	io := golden.Open(t, dir, "io.safetensors")
	return model, io, tensors.FromFlatDataAndDimensions(io.Tensor(t, "input"), io.Shape(t, "input")...)
}

// References: timm 1.0.31, random weights (golden data).
func TestGoldenSwin(t *testing.T) {
	model, io, pixels := goldenStaged(t, "swin")
	got := runModel(t, unlessShort(t), model, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		z := model.Arch.Representation(w, in[0])
		return []*graph.Node{gomlxvit.FeatureMap(model.Arch, w, in[0]), z, model.Arch.Head(w, z)}
	}, pixels)
	golden.Close(t, "feature map", got[0], io.Tensor(t, "feature_map_nhwc"), 2e-5)
	golden.Close(t, "features", got[1], io.Tensor(t, "features"), 2e-5)
	golden.Close(t, "logits", got[2], io.Tensor(t, "logits"), 2e-5)
}

// timm(name, args) with JSON arguments.
func timm(t *testing.T, name, args string) (gomlxvit.Architecture, error) {
	t.Helper()
	var decoded map[string]any
	if err := json.Unmarshal([]byte(args), &decoded); err != nil {
		t.Fatal(err)
	}
	return gomlxvit.Timm(name, decoded)
}

func TestSwinWindows(t *testing.T) {
	arch, err := timm(t, "swin_tiny_patch4_window7_224", `{"img_size": 448, "window_size": [7, 14, [28, 28], 20]}`)
	if err != nil {
		t.Fatal(err)
	}
	swin := arch.(*gomlxvit.SwinConfig)
	// A map no larger than the window is one window, never shifted; else odd blocks shift by half a window.
	for block, want := range map[[2]int][3]int{
		{0, 0}: {112, 7, 0}, {0, 1}: {112, 7, 3}, {1, 1}: {56, 14, 7}, {2, 5}: {28, 28, 0}, {3, 1}: {14, 14, 0},
	} {
		side, size, shift := swin.Shift(block[0], block[1])
		if got := [3]int{side, size, shift}; got != want {
			t.Errorf("block %v: side, window and shift %v, want %v", block, got, want)
		}
	}
}

func TestSwinArguments(t *testing.T) {
	for _, test := range []struct {
		args string
		want string // part of the error, empty for none
	}{
		{`{"depths": [1, 2, 1], "num_heads": [2, 2, 4], "embed_dim": 32, "img_size": 64, "window_size": 4}`, ""},
		{`{"depths": [1, 1], "num_heads": [2, 2], "embed_dim": 32, "img_size": 64, "window_size": [8, 8]}`, ""},
		{`{"img_size": 256}`, "windows of 7 do not divide a map of 64 x 64"},
		{`{"img_size": 240}`, "multiple of 32"},
		{`{"img_size": [224, 448]}`, "img_size"},
		{`{"num_heads": [3, 6, 12]}`, "heads for 3"},
		{`{"num_heads": [5, 6, 12, 24]}`, "multiple of the number of heads"},
		{`{"depths": [2, 2, 6.5, 2]}`, "whole numbers"},
		{`{"depths": [2, 2, -6, 2]}`, "must be positive"},
		{`{"depths": []}`, "whole numbers"},
		{`{"window_size": [7, 7, 7]}`, "window_size"},
		{`{"window_size": [7, 14]}`, "windows are square"},
		{`{"in_chans": 4}`, "only colour pictures"},
		{`{"global_pool": "max"}`, "only avg"},
		{`{"always_partition": true}`, "model_args.always_partition is not supported"},
	} {
		_, err := timm(t, "swin_tiny_patch4_window7_224", test.args)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.args, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: error %v, want one with %q", test.args, err, test.want)
		}
	}
}

// Training needs the gradients of all weights. For models as small as these the Go backend is much faster than the time
// XLA takes to compile them.
func TestGradients(t *testing.T) {
	goBackend, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(goBackend.Finalize)
	for name, args := range map[string]string{
		"swin_tiny_patch4_window7_224": `{"img_size": 32, "window_size": 4, "embed_dim": 8, "depths": [2, 1], "num_heads": [2, 2], "num_classes": 3}`,
		"maxvit_tiny_tf_224": `{"img_size": 32, "embed_dim": [8, 16], "depths": [1, 1], "block_type": ["M", "M"], "stem_width": 8,
			"head_hidden_size": 8, "transformer_dim_head": 8, "transformer_partition_ratio": 16, "num_classes": 3}`,
		"coatnet_rmlp_1_rw_224": `{"img_size": 32, "embed_dim": [8, 16], "depths": [1, 1], "block_type": ["C", "T"], "stem_width": 8,
			"transformer_rel_pos_dim": 4, "transformer_dim_head": 8, "num_classes": 3}`,
	} {
		t.Run(name, func(t *testing.T) {
			arch, err := timm(t, name, args)
			if err != nil {
				t.Fatal(err)
			}
			model := gomlxvit.RandomOf(name, arch, 1)
			params := arch.Params()
			loss := func(w gomlxvit.Weights, pixels *graph.Node) *graph.Node {
				return graph.ReduceAllSum(graph.Square(arch.Head(w, arch.Representation(w, pixels))))
			}
			gradients := runModel(t, goBackend, model, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
				var nodes []*graph.Node
				for _, p := range params {
					nodes = append(nodes, w.Get(p.Name))
				}
				return graph.Gradient(loss(w, in[0]), nodes...)
			}, picture(2, 32))
			for i, p := range params {
				var largest float32
				for _, g := range gradients[i] {
					largest = max(largest, g, -g)
				}
				if !(largest > 0) {
					t.Errorf("%s has no gradient", p.Name)
				}
			}
		})
	}
}

// picture is a batch of pictures of noise.
func picture(batch, side int) *tensors.Tensor {
	data := make([]float32, batch*3*side*side)
	for i := range data {
		data[i] = float32((i*7919)%211)/100 - 1
	}
	return tensors.FromFlatDataAndDimensions(data, batch, 3, side, side)
}
