package gomlxvit_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
)

func TestCheckFinite(t *testing.T) {
	for at, bad := range map[int]float64{-1: 0, 0: math.NaN(), 5: math.Inf(1), 7: math.Inf(-1)} {
		numbers := []float32{0, 1, -1, math.MaxFloat32, 1e-45, 3, 4, 5}
		if at >= 0 {
			numbers[at] = float32(bad)
		}
		err := gomlxvit.CheckFinite("logits", tensors.FromFlatDataAndDimensions(numbers, 4, 2))
		switch {
		case at < 0 && err != nil:
			t.Error(err)
		case at >= 0 && (!errors.Is(err, gomlxvit.ErrNotFinite) || !strings.Contains(err.Error(), "logits of picture "+string(rune('0'+at/2)))):
			t.Errorf("%v at %d: error %v", bad, at, err)
		}
	}
}

func TestRepresentationOf(t *testing.T) {
	for name, want := range map[string]string{
		"vit_tiny_patch16_224": "class token after", "vit_medium_patch16_gap_256": "mean of the patch tokens after the last norm",
		"swin_tiny_patch4_window7_224": "mean of the tokens", "maxvit_tiny_tf_224": "before the head's norm", "ViT-B-32": "projected",
	} {
		arch, err := gomlxvit.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if name == "vit_tiny_patch16_224" { // another head changes nothing
			headed, err := gomlxvit.RandomOf(name, arch, 1).WithLinearHead(make([]float32, arch.OutputDim()), make([]float32, 1), nil)
			if err != nil {
				t.Fatal(err)
			}
			arch = headed.Arch
		}
		if got := gomlxvit.RepresentationOf(arch); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
