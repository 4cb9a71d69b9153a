// Package golden finds the reference tensors that tests compare with: small random models and what PyTorch, timm and
// open_clip compute with them. They lie in ../shared/golden beside the repository when they are there at all; a test that
// needs them is skipped, saying so, when they are not.
//
//	dir := golden.Dir(t, "vit_deit")
//	io := golden.Open(t, dir, "io.safetensors")
//	golden.Close(t, "features", got, io.Tensor(t, "features"), 2e-5)
package golden

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"vitdecompose/gomlxvit/safetensors"
)

// Shared returns a path below ../shared, and skips the test when it is not there.
func Shared(t testing.TB, elements ...string) string {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(root)
		if parent == root {
			t.Fatal("no go.mod above the test")
		}
		root = parent
	}
	path := filepath.Join(append([]string{root, "..", "shared"}, elements...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("reference data %s is not here", filepath.Join(append([]string{"../shared"}, elements...)...))
	}
	return path
}

// Dir returns the directory of a golden case, and skips the test when it is not there.
func Dir(t testing.TB, name string) string {
	t.Helper()
	return Shared(t, "golden", name)
}

// File is an open file of reference tensors.
type File struct{ *safetensors.File }

// Open opens a file of reference tensors; it is closed when the test ends.
func Open(t testing.TB, dir, name string) File {
	t.Helper()
	f, err := safetensors.Open(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return File{f}
}

// Has says whether the file holds a tensor.
func (f File) Has(name string) bool {
	_, ok := f.Info(name)
	return ok
}

// Shape returns the shape of a tensor.
func (f File) Shape(t testing.TB, name string) []int {
	t.Helper()
	info, ok := f.Info(name)
	if !ok {
		t.Fatalf("no reference tensor %q", name)
	}
	return info.Shape
}

// Tensor reads a tensor.
func (f File) Tensor(t testing.TB, name string) []float32 {
	t.Helper()
	data, err := f.Float32(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Close checks that got is within tolerance of want, relative to the largest absolute value of want.
func Close(t testing.TB, what string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) || len(want) == 0 {
		t.Fatalf("%s: %d numbers, want %d (and some)", what, len(got), len(want))
	}
	var worst, largest float64
	for i := range want {
		difference := math.Abs(float64(got[i]) - float64(want[i]))
		if math.IsNaN(difference) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
		worst = math.Max(worst, difference)
		largest = math.Max(largest, math.Abs(float64(want[i])))
	}
	if worst > tolerance*largest {
		t.Errorf("%s: off by %.2g of the largest value, allowed %.2g", what, worst/largest, tolerance)
	}
}

// Captions reads the captions of a CLIP case from its facts.json.
func Captions(t testing.TB, dir string) []string {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(dir, "facts.json"))
	if err != nil {
		t.Fatal(err)
	}
	var facts struct{ Captions []string }
	if err := json.Unmarshal(file, &facts); err != nil {
		t.Fatal(err)
	}
	if len(facts.Captions) == 0 {
		t.Fatalf("%s: no captions", dir)
	}
	return facts.Captions
}
