package gomlxvit_test

import (
	"path/filepath"
	"strings"
	"testing"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/golden"
)

// CoCa's pooling and MobileCLIP-B's stem against plain NumPy (testdata/towers.py).
func TestTowers(t *testing.T) {
	for _, name := range []string{"coca", "coca_same_width", "mci"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", name)
			model, err := load(t, dir, gomlxvit.Options{})
			if err != nil {
				t.Fatal(err)
			}
			io := golden.Open(t, dir, "io.safetensors")
			z, logits := forward(t, model, io.Tensor(t, "input"), io.Shape(t, "input"))
			golden.Close(t, "representation", z, io.Tensor(t, "features"), 2e-5)
			if io.Has("logits") {
				golden.Close(t, "logits", logits, io.Tensor(t, "logits"), 2e-5)
				return
			}
			if _, err := load(t, dir, gomlxvit.Options{Text: true}); err == nil || !strings.Contains(err.Error(), "texts are not available") {
				t.Errorf("error %v", err)
			}
		})
	}
}
