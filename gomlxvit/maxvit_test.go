package gomlxvit_test

import (
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/golden"
)

// References: timm 1.0.31, random weights and statistics (golden data).
func TestGoldenMaxViT(t *testing.T) {
	model, io, pixels := goldenStaged(t, "maxvit_tf")
	got := runModel(t, unlessShort(t), model, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		features := gomlxvit.FeatureMap(model.Arch, w, in[0])
		z := model.Arch.Representation(w, in[0])
		stem := model.Arch.(*gomlxvit.MaxViTConfig).Stem(w, in[0])
		return []*graph.Node{graph.Transpose(stem, 1, 2), graph.Transpose(features, 1, 2), z, model.Arch.Head(w, z)}
	}, pixels)
	golden.Close(t, "stem", got[0], io.Tensor(t, "stem_output"), 2e-5)
	golden.Close(t, "feature map", got[1], io.Tensor(t, "feature_map_nchw"), 2e-5)
	golden.Close(t, "features", got[2], io.Tensor(t, "features"), 2e-5)
	golden.Close(t, "logits", got[3], io.Tensor(t, "logits"), 2e-5)
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
		{`{"block_type": ["M", "C", "M", "M"]}`, "only MaxViT's own blocks"},
		{`{"stem_width": [1, 2, 3]}`, "stem_width"},
		{`{"stem_bias": false}`, "stem_bias"},
		{`{"head_hidden_size": null}`, "head_hidden_size"},
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
