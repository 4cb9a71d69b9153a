package decompose_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/golden"
	"vitdecompose/gomlxvit/onnx"
)

// onnxTestdata holds ONNX files with what PyTorch makes of them, see the README there.
const onnxTestdata = "../gomlxvit/onnx/testdata"

// layers are contributions by what they are of: heads[layer][head], and the others in forward order, each [batch, dim].
type layers struct {
	heads                  [][][]float32
	mlp, conv, mixer, pool [][]float32
	initial, constant      []float32
}

// layersOf sorts the contributions of an output.
func layersOf(out *decompose.Output) layers {
	var l layers
	size := out.Batch * out.Dim
	last := ""
	for i, c := range out.Components {
		contribution := out.Contributions[i*size:][:size]
		switch c.Kind {
		case decompose.Init:
			l.initial = contribution
		case decompose.Const:
			l.constant = contribution
		case decompose.Head:
			if name := fmt.Sprint(c.Block, c.Block.Sublayer); name != last {
				last = name
				l.heads = append(l.heads, nil)
			}
			l.heads[len(l.heads)-1] = append(l.heads[len(l.heads)-1], contribution)
		case decompose.Conv:
			l.conv = append(l.conv, contribution)
		case decompose.Mixer:
			l.mixer = append(l.mixer, contribution)
		case decompose.MLP:
			if strings.HasPrefix(c.Block.Sublayer, "pool") {
				l.pool = append(l.pool, contribution)
			} else {
				l.mlp = append(l.mlp, contribution)
			}
		}
	}
	return l
}

// referenceLayers reads a decomposition.safetensors.
func referenceLayers(t *testing.T, f golden.File) layers {
	t.Helper()
	l := layers{initial: f.Tensor(t, "init"), constant: f.Tensor(t, "const")}
	rows := func(name string) [][]float32 {
		if !f.Has(name) {
			return nil
		}
		data, shape := f.Tensor(t, name), f.Shape(t, name)
		if len(shape) == 2 { // one, [batch, dim]
			shape = append([]int{1}, shape...)
		}
		return slices.Collect(slices.Chunk(data, shape[1]*shape[2]))
	}
	l.mlp, l.conv, l.mixer, l.pool = rows("mlp"), rows("conv"), rows("mixer"), rows("pool_mlp")
	layer := func(data []float32, batch, heads, dim int) {
		l.heads = append(l.heads, nil)
		for h := range heads {
			l.heads[len(l.heads)-1] = append(l.heads[len(l.heads)-1], pick(data, batch, heads, dim, h))
		}
	}
	if f.Has("attn_heads") {
		s := f.Shape(t, "attn_heads") // [layer, batch, head, dim]
		for data := range slices.Chunk(f.Tensor(t, "attn_heads"), s[1]*s[2]*s[3]) {
			layer(data, s[1], s[2], s[3])
		}
	}
	for i := 0; f.Has(fmt.Sprintf("attn_heads.%d", i)); i++ {
		name := fmt.Sprintf("attn_heads.%d", i)
		s := f.Shape(t, name)
		layer(f.Tensor(t, name), s[0], s[1], s[2])
	}
	return l
}

// compareLayers compares what was found with the reference. Components that the graph's path to the representation does not
// reach are not found: their contribution must be 0.
func compareLayers(t *testing.T, out *decompose.Output, want layers) {
	t.Helper()
	got := layersOf(out)
	var largest float64
	for _, v := range out.Representation {
		largest = max(largest, float64(v), -float64(v))
	}
	one := func(name string, got, want []float32) {
		t.Helper()
		for i, w := range want {
			g := float32(0)
			if got != nil {
				g = got[i]
			}
			if d := float64(g) - float64(w); max(d, -d) > 5e-5*largest {
				t.Errorf("%s: %g instead of %g", name, g, w)
				return
			}
		}
	}
	// The first ones are those that are not reached.
	several := func(name string, got, want [][]float32) {
		t.Helper()
		if len(got) > len(want) {
			t.Errorf("found %d of %s, there are %d", len(got), name, len(want))
			return
		}
		missing := len(want) - len(got)
		for i := range want {
			var found []float32
			if i >= missing {
				found = got[i-missing]
			}
			one(fmt.Sprintf("%s %d", name, i), found, want[i])
		}
	}
	one("init", got.initial, want.initial)
	one("const", got.constant, want.constant)
	several("mlp", got.mlp, want.mlp)
	several("conv", got.conv, want.conv)
	several("mixer", got.mixer, want.mixer)
	several("pool mlp", got.pool, want.pool)
	missing := len(want.heads) - len(got.heads)
	if missing < 0 {
		t.Errorf("found %d attention layers, there are %d", len(got.heads), len(want.heads))
		return
	}
	for i := range want.heads {
		var found [][]float32
		if i >= missing {
			found = got.heads[i-missing]
			if len(found) != len(want.heads[i]) {
				t.Errorf("attention layer %d: found %d heads, there are %d", i, len(found), len(want.heads[i]))
			}
		}
		several(fmt.Sprintf("attention layer %d, head", i), found, want.heads[i])
	}
}

// decomposeONNX takes the pictures of io.safetensors apart with a file.
func decomposeONNX(t *testing.T, path string, io golden.File) *decompose.Output {
	t.Helper()
	model, err := onnx.Open(path, onnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	name := "input"
	if !io.Has(name) {
		name = "pixel_values"
	}
	// GoMLX builds other graphs for XLA: of a softmax, its parts.
	b := goBackend(t)
	if strings.HasPrefix(filepath.Base(path), "hf_vit") || strings.HasPrefix(filepath.Base(path), "swin_dynamo") {
		b = testBackend
	}
	return runOn(t, b, model, tensors.FromFlatDataAndDimensions(io.Tensor(t, name), io.Shape(t, name)...), decompose.Options{})
}

// checkONNX compares the decomposition of a file with the one beside it.
func checkONNX(t *testing.T, path string) {
	t.Helper()
	dir := filepath.Dir(path)
	io := golden.Open(t, dir, "io.safetensors")
	out := decomposeONNX(t, path, io)
	name := "representation"
	if !io.Has(name) {
		name = "features"
	}
	golden.Close(t, name, out.Representation, io.Tensor(t, name), 2e-5)
	if out.Logits != nil {
		golden.Close(t, "logits", out.Logits, io.Tensor(t, "logits"), 2e-5)
	}
	if out.Error > 1e-5 {
		t.Errorf("components sum to the representation within %.2g, allowed 1e-5", out.Error)
	}
	compareLayers(t, out, referenceLayers(t, golden.Open(t, dir, "decomposition.safetensors")))
}

// Files of twelve families, by both of PyTorch's exporters and by onnxruntime's optimizer, are taken apart as the model itself is
// in PyTorch. References: forward-mode differentiation in float64 (README of the testdata).
func TestONNX(t *testing.T) {
	if !unoptimised(t) {
		return
	}
	paths, err := filepath.Glob(filepath.Join(onnxTestdata, "*", "*.onnx"))
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d files in testdata, %v", len(paths), err)
	}
	for _, path := range paths {
		if filepath.Base(filepath.Dir(path)) == "mobilevit" {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) { checkONNX(t, path) })
	}
}

// A model whose stream is no sum of parts is refused in words.
func TestONNXRefused(t *testing.T) {
	_, err := onnx.Open(filepath.Join(onnxTestdata, "mobilevit", "mobilevit_dynamo18_fixed.onnx"), onnx.Options{})
	if err == nil || !strings.Contains(err.Error(), `node "node_silu_18" (Mul), after m.final_conv`) || !strings.Contains(err.Error(), "is not linear and lies between the last block and the representation") {
		t.Errorf("got %v", err)
	}
}

// The whole set of reference files: those that have a decomposition, and those that must be refused.
func TestONNXZoo(t *testing.T) {
	if os.Getenv("LONG") == "" {
		t.Skip("the whole set of ONNX files is taken apart with LONG=1")
	}
	root := golden.Beside(t, "onnxzoo")
	data, err := os.ReadFile(filepath.Join(root, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index struct {
		Cases map[string]struct {
			Decomposition any
			Files         []struct{ File string }
		}
	}
	if err := json.Unmarshal(data, &index); err != nil {
		t.Fatal(err)
	}
	files, refused := 0, 0
	for name, c := range index.Cases {
		for _, f := range c.Files {
			files++
			t.Run(filepath.Base(f.File), func(t *testing.T) {
				path := filepath.Join(root, f.File)
				if _, ok := c.Decomposition.(string); ok {
					checkONNX(t, path)
					return
				}
				refused++
				if _, err := onnx.Open(path, onnx.Options{}); err == nil || !strings.Contains(err.Error(), "not a sum of parts") {
					t.Errorf("%s has no decomposition, and got %v", name, err)
				}
			})
		}
	}
	if files < 40 || refused*10 > files {
		t.Errorf("%d of %d files are refused", refused, files)
	}
	paths, err := filepath.Glob(filepath.Join(root, "refused", "*.onnx"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d files to refuse, %v", len(paths), err)
	}
	for _, path := range paths {
		if _, err := onnx.Open(path, onnx.Options{}); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v", filepath.Base(path), err)
		} else {
			t.Log(err)
		}
	}
}

// A head is a graph of its own too: logits of a representation are those of its picture. Scores by token sum to the heads'
// share of the logit.
func TestONNXHead(t *testing.T) {
	path := filepath.Join(onnxTestdata, "hf_vit", "hf_vit_legacy17.onnx")
	io := golden.Open(t, filepath.Dir(path), "io.safetensors")
	model, err := onnx.Open(path, onnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := goBackend(t)
	program, err := model.Compile(b, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		return []*graph.Node{model.Arch.Head(w, in[0])}
	})
	if err != nil {
		t.Fatal(err)
	}
	features, shape := io.Tensor(t, "features"), io.Shape(t, "features")
	out, err := program.Run(tensors.FromFlatDataAndDimensions(slices.Clone(features), shape...))
	if err != nil {
		t.Fatal(err)
	}
	golden.Close(t, "logits", tensors.MustCopyFlatData[float32](out[0]), io.Tensor(t, "logits"), 2e-5)

	scorer, err := decompose.NewScorer(b, model, decompose.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer scorer.Close()
	pixels := tensors.FromFlatDataAndDimensions(io.Tensor(t, "pixel_values"), io.Shape(t, "pixel_values")...)
	scores, logits, err := scorer.Run(pixels, []int{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	// The weights of the head, as its gradient: the logits of unit representations less those of none.
	dim, classes := shape[1], len(logits)/shape[0]
	units := make([]float32, (dim+1)*dim)
	for i := range dim {
		units[i*dim+i] = 1
	}
	out, err = program.Run(tensors.FromFlatDataAndDimensions(units, dim+1, dim))
	if err != nil {
		t.Fatal(err)
	}
	head := tensors.MustCopyFlatData[float32](out[0])
	f := golden.Open(t, filepath.Dir(path), "decomposition.safetensors")
	layers := referenceLayers(t, f)
	for _, s := range scores {
		if s.Kind != decompose.Head {
			continue
		}
		tokens := len(s.Values) / shape[0]
		for picture, class := range []int{1, 2} {
			var got, want float32
			for _, v := range s.Values[picture*tokens:][:tokens] {
				got += v
			}
			for d, v := range layers.heads[s.Block.Index][s.Head][picture*dim:][:dim] {
				want += v * (head[d*classes+class] - head[dim*classes+class])
			}
			golden.Close(t, s.String(), []float32{got}, []float32{want}, 1e-4)
		}
	}
}

// A file that is fixed to two pictures takes any number.
func TestONNXFixedBatch(t *testing.T) {
	path := filepath.Join(onnxTestdata, "maxvit", "maxvit_dynamo18_fixed.onnx")
	io := golden.Open(t, filepath.Dir(path), "io.safetensors")
	model, err := onnx.Open(path, onnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	shape, pixels := io.Shape(t, "input"), io.Tensor(t, "input")
	three := append(slices.Clone(pixels), pixels[:len(pixels)/2]...)
	out := runOn(t, goBackend(t), model, tensors.FromFlatDataAndDimensions(three, 3, shape[1], shape[2], shape[3]), decompose.Options{})
	want := io.Tensor(t, "representation")
	golden.Close(t, "representation", out.Representation, append(slices.Clone(want), want[:len(want)/2]...), 2e-5)
	if out.Batch != 3 || out.Error > 1e-5 {
		t.Errorf("%d pictures, sum within %.2g", out.Batch, out.Error)
	}
}
