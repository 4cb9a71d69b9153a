// Package golden opens the reference tensors that tests compare with: small random models and what PyTorch, timm,
// open_clip and the transformers library compute with them. They lie in testdata beside this package in sets, a folder for
// each model, with READMEs that say where they are from.
//
//	dir := golden.Dir(t, "vit_deit")
//	io := golden.Open(t, dir, "io.safetensors")
//	golden.Close(t, "features", got, io.Tensor(t, "features"), 2e-5)
package golden

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vitdecompose/gomlxvit/safetensors"
)

// sets is where the sets lie, below the module's root.
const sets = "gomlxvit/golden/testdata"

// root is the module's root: the nearest folder above the test that has the sets.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(sets))); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatalf("there is no %s above the test", sets)
		}
		dir = parent
	}
}

// Shared returns the path of a file or folder of a set of reference data: the repository's own, or, of what the repository
// does not hold, such as a trained model, what Beside finds.
//
// What is stored as NAME.gz is unpacked into a folder of the test's own and found as NAME.
func Shared(t testing.TB, set string, elements ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{root(t), filepath.FromSlash(sets), set}, elements...)...)
	for _, stored := range []string{path, path + ".gz"} {
		if _, err := os.Stat(stored); err == nil {
			return unpacked(t, path)
		}
	}
	return Beside(t, set, elements...)
}

// Beside returns the path of a file or folder of a whole set in ../shared beside the repository; the test is skipped, saying
// so, when it is not there.
func Beside(t testing.TB, set string, elements ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{root(t), "..", "shared", set}, elements...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("reference data %s is not here", filepath.Join(append([]string{"../shared", set}, elements...)...))
	}
	return path
}

// unpacked returns path itself where nothing in it is packed, and an unpacked copy where something is.
func unpacked(t testing.TB, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return unpack(t, path+".gz", t.TempDir())
	}
	if err != nil {
		t.Fatal(err)
	}
	if !info.IsDir() {
		return path
	}
	packed, err := filepath.Glob(filepath.Join(path, "*.gz"))
	if err != nil {
		t.Fatal(err)
	}
	if len(packed) == 0 {
		return path
	}
	dir := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.CopyFS(dir, os.DirFS(path)); err != nil {
		t.Fatal(err)
	}
	for _, file := range packed {
		unpack(t, file, dir)
	}
	// The CLIPs share a tokenizer: theirs holds the path of it, as a link does in a checkout without links.
	if link, err := os.ReadFile(filepath.Join(path, tokenizerFile)); err == nil && strings.HasPrefix(string(link), "../") {
		unpack(t, filepath.Join(path, string(link))+".gz", filepath.Dir(filepath.Join(dir, string(link))))
	}
	return dir
}

const tokenizerFile = "tokenizer.json"

// unpack writes what the file NAME.gz holds to NAME in dir.
func unpack(t testing.TB, file, dir string) string {
	t.Helper()
	content, err := readPacked(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, strings.TrimSuffix(filepath.Base(file), ".gz"))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readPacked(file string) (content []byte, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// Dir returns the folder of a case of the set "golden".
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
