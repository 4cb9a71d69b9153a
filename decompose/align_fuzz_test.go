package decompose_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"vitdecompose/decompose"
)

// Whatever is in a file, reading it gives a consistent aligner or an error.
func FuzzReadAligner(f *testing.F) {
	a := &decompose.Aligner{
		Components: []string{"init", "layer:00, mlp"}, Dim: 2, ClipDim: 1, Weights: []float32{1, 2, 3, 4}, Bias: []float32{5},
		Orthogonality: []float64{0, 1},
	}
	origin := decompose.Origin{Checkpoint: "model", Reference: "clip", Blocks: "0..0", Split: "heads", Biases: "const"}
	path := filepath.Join(f.TempDir(), "seed.safetensors")
	if err := a.WriteFile(path, origin, "pictures"); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(whole[:8])
	f.Add([]byte{})
	changed := slices.Clone(whole)
	changed[len(changed)-1] ^= 0x40
	f.Add(changed)
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "fuzzed.safetensors")
		if err := os.WriteFile(path, content, 0o666); err != nil {
			t.Fatal(err)
		}
		a, _, err := decompose.ReadAligner(path, origin)
		if err != nil {
			return
		}
		if n := len(a.Components); n*a.Dim*a.ClipDim != len(a.Weights) || len(a.Bias) != a.ClipDim || len(a.Orthogonality) != n {
			t.Errorf("%d components of %d x %d, %d weights, %d biases, %d distances", n, a.Dim, a.ClipDim, len(a.Weights), len(a.Bias), len(a.Orthogonality))
		}
	})
}
