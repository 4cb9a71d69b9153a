package onnx

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit/golden"
)

func goBackend(t testing.TB) compute.Backend {
	t.Helper()
	b, err := gobackend.New("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Finalize)
	return b
}

// runGraph computes named values of a graph.
func runGraph(t *testing.T, g *Graph, pixels *tensors.Tensor, names ...string) []*tensors.Tensor {
	t.Helper()
	weights := make(map[string]Weight)
	for _, w := range g.Weights {
		weights[w.Name] = w
	}
	exec, err := graph.NewExec(goBackend(t), func(x *graph.Node) []*graph.Node {
		return g.Build(x, func(name string) *graph.Node {
			return graph.Const(x.Graph(), tensors.FromFlatDataAndDimensions(weights[name].Data, weights[name].Dims...))
		}, names...)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	outputs, err := exec.Call(pixels)
	if err != nil {
		t.Fatal(err)
	}
	return outputs
}

// inputOf is what a reference file calls the pixels.
func inputOf(t *testing.T, io golden.File) *tensors.Tensor {
	t.Helper()
	name := "input"
	if !io.Has(name) {
		name = "pixel_values"
	}
	return tensors.FromFlatDataAndDimensions(io.Tensor(t, name), io.Shape(t, name)...)
}

// compareOutputs imports a file and compares its outputs with PyTorch's.
func compareOutputs(t *testing.T, path string) {
	t.Helper()
	g, err := Load(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	io := golden.Open(t, filepath.Dir(path), "io.safetensors")
	for i, out := range runGraph(t, g, inputOf(t, io), g.Outputs...) {
		golden.Close(t, g.Outputs[i], tensors.MustCopyFlatData[float32](out), io.Tensor(t, g.Outputs[i]), 2e-5)
	}
}

// References: PyTorch 2.15 (testdata/README.md).
func TestOutputs(t *testing.T) {
	paths, err := filepath.Glob("testdata/*/*.onnx")
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d files in testdata, %v", len(paths), err)
	}
	for _, path := range paths {
		if filepath.Base(filepath.Dir(path)) == "mobilevit" {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) { compareOutputs(t, path) })
	}
}

// The whole set of reference files.
func TestZooOutputs(t *testing.T) {
	if os.Getenv("LONG") == "" {
		t.Skip("the whole set of ONNX files is imported with LONG=1")
	}
	paths, err := filepath.Glob(filepath.Join(golden.Beside(t, "onnxzoo"), "*", "*.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if filepath.Base(filepath.Dir(path)) == "refused" {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) { compareOutputs(t, path) })
	}
}
