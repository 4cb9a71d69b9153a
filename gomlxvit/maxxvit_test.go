package gomlxvit_test

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/golden"
)

// References: timm 1.0.31, random weights and statistics (golden data).
func TestGoldenMaxViT(t *testing.T) {
	model, io, pixels := goldenStaged(t, "maxvit_tf")
	got := runModel(t, unlessShort(t), model, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		features := gomlxvit.FeatureMap(model.Arch, w, in[0])
		z := model.Arch.Representation(w, in[0])
		stem := model.Arch.(*gomlxvit.MaxxViTConfig).Stem(w, in[0])
		return []*graph.Node{graph.Transpose(stem, 1, 2), graph.Transpose(features, 1, 2), z, model.Arch.Head(w, z)}
	}, pixels)
	golden.Close(t, "stem", got[0], io.Tensor(t, "stem_output"), 2e-5)
	golden.Close(t, "feature map", got[1], io.Tensor(t, "feature_map_nchw"), 2e-5)
	golden.Close(t, "features", got[2], io.Tensor(t, "features"), 2e-5)
	golden.Close(t, "logits", got[3], io.Tensor(t, "logits"), 2e-5)
}

// The golden CoAtNet again, with XLA and as far as its map of features. References: timm 1.0.31, random weights and statistics.
func TestGoldenCoAtNet(t *testing.T) {
	dir := golden.Shared(t, "golden2", "coatnet")
	model, err := load(t, dir, gomlxvit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	io := golden.Open(t, dir, "io.safetensors")
	got := runModel(t, unlessShort(t), model, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		z := model.Arch.Representation(w, in[0])
		return []*graph.Node{graph.Transpose(gomlxvit.FeatureMap(model.Arch, w, in[0]), 1, 2), z, model.Arch.Head(w, z)}
	}, tensors.FromFlatDataAndDimensions(io.Tensor(t, "input"), io.Shape(t, "input")...))
	golden.Close(t, "feature map", got[0], io.Tensor(t, "feature_map_nhwc"), 2e-5) // [batch, channel, row, column], whatever it is called
	golden.Close(t, "features", got[1], io.Tensor(t, "features"), 2e-5)
	golden.Close(t, "logits", got[2], io.Tensor(t, "logits"), 2e-5)
}

// Biases that are computed from offsets are those of larger pictures too; tables are not. References: timm 1.0.31
// (testdata/maxxvit.py), built for pictures of twice the side with the same weights.
func TestLargerPicturesOfMaxxViTs(t *testing.T) {
	for _, name := range []string{"rmlp", "maxvit_rmlp"} {
		dir := filepath.Join("testdata", "maxxvit", name)
		io := golden.Open(t, dir, "io.safetensors")
		shape := io.Shape(t, "larger.input")
		model, err := load(t, dir, gomlxvit.Options{ImageSize: shape[2]})
		if err != nil {
			t.Fatal(err)
		}
		got := runModel(t, onGo(t), model, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
			return []*graph.Node{model.Arch.Head(w, model.Arch.Representation(w, in[0]))}
		}, tensors.FromFlatDataAndDimensions(io.Tensor(t, "larger.input"), shape...))
		golden.Close(t, name, got[0], io.Tensor(t, "larger.logits"), 2e-5)
	}
	for _, name := range []string{"nano", "tf"} {
		if _, err := load(t, filepath.Join("testdata", "maxxvit", name), gomlxvit.Options{ImageSize: 64}); err == nil ||
			!strings.Contains(err.Error(), "position biases for pictures of 32 only") {
			t.Errorf("%s with larger pictures: error %v", name, err)
		}
	}
}

// Numbers of parameters, and names and shapes of tensors, of all architectures of timm's class (timm 1.0.31, testdata/maxxvit.py).
func TestTensorsOfMaxxViTs(t *testing.T) {
	all := readJSON[[][3]any](t, "testdata/maxxvit.json")
	if len(all) != 58 {
		t.Errorf("%d architectures, want 58", len(all))
	}
	for _, want := range all {
		name := want[0].(string)
		arch, err := gomlxvit.Timm(name, nil)
		if name == "maxvit_tiny_pm_256" {
			if err == nil || !strings.Contains(err.Error(), "PM, attention in windows and in a grid side by side, is not supported") {
				t.Errorf("%s: error %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		if got := countParameters(arch); float64(got) != want[1] {
			t.Errorf("%s has %d parameters, want %.0f", name, got, want[1])
		}
		params := arch.Params()
		slices.SortFunc(params, func(a, b gomlxvit.Param) int { return strings.Compare(a.Name, b.Name) })
		hash := sha256.New()
		for _, p := range params {
			fmt.Fprintf(hash, "%s %s\n", p.Name, strings.ReplaceAll(fmt.Sprint(p.Dims), " ", ", "))
		}
		if got := fmt.Sprintf("%x", hash.Sum(nil)); got != want[2] {
			t.Errorf("%s has other names or shapes of tensors than timm", name)
		}
	}
}

func TestCoAtNetArguments(t *testing.T) {
	for _, test := range []struct {
		name, args string
		want       string // part of the error, empty for none
	}{
		{"coatnet_0_rw_224", `{"conv_stride_mode": "dw", "conv_attn_act_layer": "silu", "transformer_act_layer": "gelu_tanh", "transformer_attn_drop": 0.1}`, ""},
		{"coatnet_0_rw_224", `{"conv_stride_mode": null, "conv_kernel_size": 3, "conv_group_size": 1, "transformer_norm_layer_cl": "layernorm"}`, ""},
		{"coatnet_0_rw_224", `{"block_type": ["C", "C", "T", ["C", "T"]]}`, ""},
		{"coatnet_0_rw_224", `{"block_type": ["C", "C", "T", ["C", "X"]]}`, "a list with C, T or M"},
		{"coatnet_0_rw_224", `{"block_type": ["C", "C", "T", []]}`, "a list with C, T or M"},
		{"coatnet_0_rw_224", `{"block_type": ["C", "C", "T"]}`, "kinds of blocks for 3"},
		{"coatnet_0_rw_224", `{"block_type": "CCTT"}`, "a list with C, T or M"},
		{"coatnet_0_rw_224", `{"block_type": ["PM", "PM", "PM", "PM"]}`, "PM, attention in windows and in a grid side by side, is not supported"},
		{"coatnet_0_rw_224", `{"img_size": 240}`, "multiple of 32"},
		{"coatnet_0_rw_224", `{"transformer_dim_head": 40}`, "not a multiple of the width of a head"},
		{"coatnet_0_rw_224", `{"conv_stride_mode": "1x1"}`, `conv_stride_mode "1x1" is not one of "dw", "pool"`},
		{"coatnet_0_rw_224", `{"conv_pool_type": "avg"}`, `conv_pool_type "avg" is not one of`},
		{"coatnet_0_rw_224", `{"transformer_pool_type": "max2"}`, `transformer_pool_type "max2" is not one of`},
		{"coatnet_0_rw_224", `{"conv_downsample_pool_type": "max"}`, "conv_downsample_pool_type is not supported"},
		{"coatnet_0_rw_224", `{"conv_pool_type": "max", "conv_padding": "same"}`, "conv_pool_type max"},
		{"coatnet_0_rw_224", `{"conv_kernel_size": 5}`, "conv_kernel_size is not supported"},
		{"coatnet_0_rw_224", `{"conv_group_size": 8}`, "conv_group_size is not supported"},
		{"coatnet_0_rw_224", `{"conv_attn_layer": "eca"}`, "conv_attn_layer is not supported"},
		{"coatnet_0_rw_224", `{"conv_act_layer": "relu"}`, "conv_act_layer"},
		{"coatnet_0_rw_224", `{"conv_norm_layer": "layernorm2d"}`, "conv_norm_layer layernorm2d is not supported"},
		{"coatnet_0_rw_224", `{"conv_block_type": "convnext"}`, "mbconv, as the architecture has it"},
		{"coatnext_nano_rw_224", `{"conv_padding": "same"}`, "conv_padding same is not supported"},
		{"coatnext_nano_rw_224", `{"embed_dim": [64, 160, 256, 512]}`, "must be a multiple"},
		{"coatnet_0_rw_224", `{"transformer_rel_pos_type": "none"}`, `transformer_rel_pos_type "none" is not one of "bias", "bias_tf", "mlp"`},
		{"coatnet_0_rw_224", `{"transformer_attn_bias": false}`, "transformer_attn_bias is not supported"},
		{"coatnet_0_rw_224", `{"transformer_use_nchw_attn": true}`, "transformer_use_nchw_attn is not supported"},
		{"coatnet_0_rw_224", `{"transformer_norm_layer": "rmsnorm2d"}`, "transformer_norm_layer"},
		{"coatnet_0_224", `{"transformer_norm_layer": "batchnorm2d"}`, "with a head_hidden_size"},
		{"coatnet_0_rw_224", `{"transformer_grid_size": 7}`, "transformer_grid_size is not supported"},
		{"coatnet_0_rw_224", `{"transformer_init_values": "small"}`, "want a number"},
		{"coatnet_0_rw_224", `{"global_pool": "max"}`, "only avg"},
		{"coatnet_rmlp_0_rw_224", `{"transformer_rel_pos_dim": 0}`, "must be positive"},
	} {
		_, err := timm(t, test.name, test.args)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.args, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: error %v, want one with %q", test.args, err, test.want)
		}
	}
}

func TestMaxViTArguments(t *testing.T) {
	for _, test := range []struct {
		args string
		want string // part of the error, empty for none
	}{
		{`{"img_size": 64, "transformer_partition_ratio": 32}`, ""},
		{`{"stem_width": [32, 64], "head_hidden_size": 100, "conv_expand_ratio": 2, "transformer_expand_ratio": 2.5}`, ""},
		{`{"img_size": 240}`, "multiple of 32"},
		{`{"transformer_partition_ratio": 28}`, "windows of 8 do not divide a map of 28 x 28"},
		{`{"transformer_partition_ratio": 48}`, "not a multiple of the partition ratio"},
		{`{"depths": [2, 2, 5]}`, "depths for 3"},
		{`{"transformer_dim_head": 48}`, "not a multiple of the width of a head"},
		{`{"block_type": ["M", "C", "T", "M"]}`, ""},
		{`{"stem_width": [1, 2, 3]}`, "stem_width"},
		{`{"stem_bias": false}`, ""},
		{`{"head_hidden_size": null}`, ""},
		{`{"conv_attn_ratio": 0}`, "squeeze ratio"},
		{`{"transformer_window_size": 7}`, "model_args.transformer_window_size is not supported"},
	} {
		_, err := timm(t, "maxvit_tiny_tf_224", test.args)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.args, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: error %v, want one with %q", test.args, err, test.want)
		}
	}
}
