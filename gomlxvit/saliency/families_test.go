package saliency_test

import (
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/golden"
	"vitdecompose/gomlxvit/saliency"
)

// GradCAM explains every family; the method of Chefer et al. says in one line why it does not explain most of them.
func TestFamilies(t *testing.T) {
	goBackend, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	defer goBackend.Finalize()
	for name, refused := range map[string]string{
		"vit_map": "no rule", "vit_rope": "no rule", "vit_rope_mixed": "no rule", "eva02_clip": "no rule", "dinov3_qkvb": "no rule", "beit": "no rule",
		"pe": "no rule", "vit_rpn": "no rule", "deit_distilled": "no rule", "vit_quickgelu": "", "swinv2": "no rule", "coatnet": "no rule",
	} {
		t.Run(name, func(t *testing.T) {
			dir := golden.Shared(t, "golden2", name)
			ckpt, err := checkpoint.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer ckpt.Close()
			model, err := gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{})
			if err != nil {
				t.Fatal(err)
			}
			io := golden.Open(t, dir, "io.safetensors")
			pixels := tensors.FromFlatDataAndDimensions(io.Tensor(t, "input"), io.Shape(t, "input")...)
			cam, err := saliency.NewGradCAM(goBackend, model)
			if err != nil {
				t.Fatal(err)
			}
			defer cam.Close()
			maps, err := cam.Run(pixels, []int{1, 2})
			if err != nil {
				t.Fatal(err)
			}
			side := 6
			switch name {
			case "swinv2":
				side = 3
			case "coatnet":
				side = 2
			}
			if maps.Rows != side || maps.Columns != side {
				t.Errorf("maps of %d x %d, want %d x %d", maps.Rows, maps.Columns, side, side)
			}
			chefer, err := saliency.NewChefer(goBackend, model)
			if (err != nil) != (refused != "") || err != nil && (!strings.Contains(err.Error(), refused) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("error %v, want one line with %q", err, refused)
			}
			if err == nil {
				chefer.Close()
			}
		})
	}
	arch, err := gomlxvit.Timm("vit_small_patch16_rope_224", map[string]any{"embed_dim": 24.0, "num_heads": 2.0, "depth": 1.0, "init_values": nil})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := saliency.NewChefer(goBackend, gomlxvit.RandomOf("rope", arch, 1)); err == nil || !strings.Contains(err.Error(), "rotated") {
		t.Errorf("error %v, want one that says that queries are rotated", err)
	}
}
