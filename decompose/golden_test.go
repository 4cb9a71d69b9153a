package decompose_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/golden"
)

var testBackend compute.Backend

func TestMain(m *testing.M) {
	var err error
	if testBackend, err = backend.Open(""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// vitCases are the models of the ViT family in the golden data: random weights, references by timm 1.0 and open_clip 3.3
// (features, logits) and by a float64 recomputation (decomposition).
var vitCases = []string{"vit_deit", "vit_dinov2", "vit_reg4", "vit_avgpool", "clip_vitb", "clip_quickgelu"}

// openGo is the Go backend: it needs no time to compile, which is most of what such small models take with XLA.
var openGo = sync.OnceValues(func() (compute.Backend, error) { return backend.Open("go") })

func onGo(t testing.TB) compute.Backend {
	t.Helper()
	b, err := openGo()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// unoptimised is whether XLA compiles at once, without LLVM's optimisations. Else it has the test run again, in a process where
// it does. It is for tests that compare with numbers which the golden tests, compiled as for users, vouch for, or whose graphs
// take longer to compile than everything else.
func unoptimised(t *testing.T) bool {
	t.Helper()
	const flags = "--xla_backend_optimization_level=0"
	if os.Getenv("XLA_FLAGS") == flags {
		return true
	}
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.v", fmt.Sprint("-test.short=", testing.Short()), "-test.run", "^"+t.Name()+"$")
	again.Env = append(os.Environ(), "XLA_FLAGS="+flags)
	output, err := again.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "--- PASS: "+t.Name()) {
		t.Fatalf("%v\n%s", err, output)
	}
	return false
}

// on runs a test on the Go backend, and in the cases that compiled names on the default one too; with -short only DeiT.
func on(t *testing.T, name string, compiled []string, test func(t *testing.T, b compute.Backend)) {
	t.Helper()
	t.Run(name+"/go", func(t *testing.T) { test(t, onGo(t)) })
	if slices.Contains(compiled, name) && (!testing.Short() || name == "vit_deit") {
		t.Run(name+"/default", func(t *testing.T) { test(t, testBackend) })
	}
}

// goldenModel loads a golden case with its input picture batch.
func goldenModel(t *testing.T, name string) (dir string, model *gomlxvit.Model, pixels *tensors.Tensor) {
	t.Helper()
	dir = golden.Dir(t, name)
	ckpt, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer ckpt.Close()
	model, err = gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	io := golden.Open(t, dir, "io.safetensors")
	return dir, model, tensors.FromFlatDataAndDimensions(io.Tensor(t, "input"), io.Shape(t, "input")...)
}

// decomposed has what decompositions of golden cases came to: several tests ask for the same, and compiling takes long.
var decomposed = make(map[string]*decompose.Output)

// goldenOutput decomposes the pictures of a golden case.
func goldenOutput(t *testing.T, b compute.Backend, name string, opts decompose.Options) *decompose.Output {
	t.Helper()
	key := fmt.Sprintf("%s %s %+v", b.Name(), name, opts)
	if decomposed[key] == nil {
		_, model, pixels := goldenModel(t, name)
		decomposed[key] = runOn(t, b, model, pixels, opts)
	}
	return decomposed[key]
}

// headed gives a model that has no head a linear one.
func headed(t *testing.T, model *gomlxvit.Model) *gomlxvit.Model {
	t.Helper()
	if model.Arch.NumClasses() > 0 {
		return model
	}
	model, err := model.WithLinearHead(slices.Repeat([]float32{1, -2, 0.5, 3}, model.Arch.OutputDim()), make([]float32, 4), nil)
	if err != nil {
		t.Fatal(err)
	}
	return model
}

// splitTokens is a token split with copies of all its blocks.
type splitTokens struct {
	*decompose.Output
	components []decompose.Component
	blocks     []decompose.TokenBlock
}

var split = make(map[string]*splitTokens)

// goldenTokens splits the pictures of a golden case by token, from a block on.
func goldenTokens(t *testing.T, b compute.Backend, name string, first int) *splitTokens {
	t.Helper()
	key := fmt.Sprint(b.Name(), " ", name, " ", first)
	if split[key] != nil {
		return split[key]
	}
	_, model, pixels := goldenModel(t, name)
	d, err := decompose.New(b, headed(t, model), decompose.Options{First: first, Split: decompose.Tokens})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s := new(splitTokens)
	s.Output, err = d.RunTokens(pixels, func(block decompose.TokenBlock) error {
		block.Contributions, block.Components = slices.Clone(block.Contributions), slices.Clone(block.Components)
		s.blocks = append(s.blocks, block)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.components = d.Components()
	split[key] = s
	return s
}

// reference looks up the golden contribution [batch, dim] of a component.
func reference(t *testing.T, f golden.File, c decompose.Component) []float32 {
	t.Helper()
	return prefixedReference(t, f, "", c)
}

// prefixedReference looks it up behind a prefix.
func prefixedReference(t *testing.T, f golden.File, prefix string, c decompose.Component) []float32 {
	t.Helper()
	if !f.Has(prefix + "attn_heads") { // heads differ between layers
		return stagedReference(t, f, c, 0)
	}
	at := func(name string, indices ...int) []float32 {
		name = prefix + name
		data, shape := f.Tensor(t, name), f.Shape(t, name)
		for i, index := range indices {
			size := 1
			for _, d := range shape[i+1:] {
				size *= d
			}
			data = data[index*size:][:size]
		}
		return data
	}
	switch c.Kind {
	case decompose.Init:
		return at("init")
	case decompose.Const:
		return at("const")
	case decompose.PoolMLP:
		return at("pool_mlp")
	case decompose.MLP:
		return at("mlp", c.Block.Order)
	case decompose.Head:
		shape := f.Shape(t, prefix+"attn_heads") // [layer, batch, head, dim]
		layer := at("attn_heads", c.Block.Order)
		return pick(layer, shape[1], shape[2], shape[3], c.Head)
	case decompose.Attn:
		shape := f.Shape(t, prefix+"attn_heads")
		layer := at("attn_heads", c.Block.Order)
		sum := make([]float32, shape[1]*shape[3])
		for h := range shape[2] {
			for i, v := range pick(layer, shape[1], shape[2], shape[3], h) {
				sum[i] += v
			}
		}
		return sum
	}
	t.Fatalf("no reference for %s", c)
	return nil
}

// pick takes the rows [batch, n] number i of data [batch, count, n].
func pick(data []float32, batch, count, n, i int) []float32 {
	var out []float32
	for b := range batch {
		out = append(out, data[(b*count+i)*n:][:n]...)
	}
	return out
}

func TestGoldenDecomposition(t *testing.T) {
	for _, name := range vitCases {
		on(t, name, vitCases, func(t *testing.T, b compute.Backend) {
			dir := golden.Dir(t, name)
			io, f := golden.Open(t, dir, "io.safetensors"), golden.Open(t, dir, "decomposition.safetensors")
			for _, split := range []decompose.Split{decompose.Heads, decompose.Attns} {
				if split == decompose.Attns && b == testBackend && name != vitCases[0] {
					continue // the sums of the heads
				}
				t.Run(string(split), func(t *testing.T) {
					out := goldenOutput(t, b, name, decompose.Options{Split: split})
					golden.Close(t, "representation", out.Representation, io.Tensor(t, "features"), 2e-5)
					if io.Has("logits") {
						golden.Close(t, "logits", out.Logits, io.Tensor(t, "logits"), 2e-5)
					}
					if out.Error > 1e-5 {
						t.Errorf("components sum to the representation within %.2g, allowed 1e-5", out.Error)
					}
					for i, c := range out.Components {
						size := out.Batch * out.Dim
						golden.Close(t, c.String(), out.Contributions[i*size:][:size], reference(t, f, c), 5e-5)
					}
				})
			}
		})
	}
}

func TestGoldenTokens(t *testing.T) {
	for _, name := range []string{"vit_deit", "clip_vitb", "clip_quickgelu"} {
		on(t, name, []string{"vit_deit", "clip_vitb"}, func(t *testing.T, b compute.Backend) {
			f := golden.Open(t, golden.Dir(t, name), "decomposition.safetensors")
			want := f.Tensor(t, "attn_head_tokens") // [layer, batch, head, token, dim]
			shape := f.Shape(t, "attn_head_tokens")
			checked := 0
			out := goldenTokens(t, b, name, 0)
			for _, b := range out.blocks {
				size := shape[3] * shape[4]
				for i, index := range b.Components {
					c := out.components[index]
					if c.Kind != decompose.Head {
						continue
					}
					checked++
					got := b.Contributions[i*shape[1]*size:][:shape[1]*size]
					layer := want[c.Block.Index*shape[1]*shape[2]*size:][:shape[1]*shape[2]*size]
					golden.Close(t, c.String(), got, pick(layer, shape[1], shape[2], size, c.Head), 5e-5)
				}
			}
			if checked != shape[0]*shape[2] {
				t.Errorf("%d heads were split, want %d", checked, shape[0]*shape[2])
			}
			if out.Error > 1e-5 {
				t.Errorf("components sum to the representation within %.2g, allowed 1e-5", out.Error)
			}
		})
	}
}

// A range of blocks is the same decomposition with the blocks outside of it taken together.
func TestBlockRange(t *testing.T) {
	all := goldenOutput(t, onGo(t), "vit_deit", decompose.Options{Split: decompose.Heads})
	part := goldenOutput(t, onGo(t), "vit_deit", decompose.Options{First: 1, End: 3})
	want := make(map[string][]float64)
	add := func(name string, values []float32) {
		if want[name] == nil {
			want[name] = make([]float64, len(values))
		}
		for i, v := range values {
			want[name][i] += float64(v)
		}
	}
	size := all.Batch * all.Dim
	for i, c := range all.Components {
		name := c.String()
		switch {
		case c.Kind == decompose.Init || c.Kind != decompose.Const && c.Block.Order < 1:
			name = "init"
		case c.Kind != decompose.Const && c.Block.Order > 2:
			name = "rest"
		}
		add(name, all.Contributions[i*size:][:size])
	}
	if len(part.Components) != len(want) {
		t.Fatalf("components %v, want %d of them", decompose.Names(part.Components), len(want))
	}
	if part.Error > 1e-5 {
		t.Errorf("sum is off by %g", part.Error)
	}
	// The biases of block 0 are in init here and in const there: compare the two together.
	merged := make([]float32, size)
	for i, c := range part.Components {
		got := part.Contributions[i*size:][:size]
		if c.Kind == decompose.Init || c.Kind == decompose.Const {
			for j, v := range got {
				merged[j] += v
			}
			continue
		}
		golden.Close(t, c.String(), got, float32s(want[c.String()]), 2e-5)
	}
	for i, v := range want["const"] {
		want["init"][i] += v
	}
	golden.Close(t, "init and const", merged, float32s(want["init"]), 2e-5)
}

func run(t *testing.T, model *gomlxvit.Model, pixels *tensors.Tensor, opts decompose.Options) *decompose.Output {
	t.Helper()
	return runOn(t, testBackend, model, pixels, opts)
}

func runOn(t *testing.T, b compute.Backend, model *gomlxvit.Model, pixels *tensors.Tensor, opts decompose.Options) *decompose.Output {
	t.Helper()
	d, err := decompose.New(b, model, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	out, err := d.Run(pixels)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func float32s(values []float64) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return out
}

// Biases shared over components, as the authors share them, with true norm statistics. Their convention spreads the norm's
// mean equally over the components, ours takes each component's own mean: the two agree once every component is centred.
func TestSharedBiasesMatchAuthorsConvention(t *testing.T) {
	dir := golden.Dir(t, "vit_deit")
	out := goldenOutput(t, testBackend, "vit_deit", decompose.Options{Biases: decompose.BiasesShared})
	if out.Error > 1e-5 {
		t.Errorf("sum is off by %g", out.Error)
	}
	f := golden.Open(t, dir, "authors_decomposition.safetensors")
	weights := golden.Open(t, dir, "model.safetensors")
	w, b := weights.Tensor(t, "norm.weight"), weights.Tensor(t, "norm.bias")
	n := len(out.Components)
	prefix := "authors_convention_true_sigma_"
	heads, mlps := f.Tensor(t, prefix+"attn_heads"), f.Tensor(t, prefix+"mlp")
	shape := f.Shape(t, prefix+"attn_heads")
	for i, c := range out.Components {
		if strings.HasPrefix(c.String(), "const") {
			t.Fatal("there is a component const although biases are shared")
		}
		var want []float32
		switch c.Kind {
		case decompose.Init:
			want = f.Tensor(t, prefix+"init")
		case decompose.MLP:
			want = mlps[c.Block.Index*shape[1]*shape[3]:][:shape[1]*shape[3]]
		default:
			want = pick(heads[c.Block.Index*shape[1]*shape[2]*shape[3]:], shape[1], shape[2], shape[3], c.Head)
		}
		centred := make([]float32, len(want))
		for picture := range out.Batch {
			row := want[picture*out.Dim:][:out.Dim]
			mean := 0.0
			for k, v := range row {
				mean += (float64(v) - float64(b[k])/float64(n)) / float64(w[k]) / float64(out.Dim)
			}
			for k, v := range row {
				centred[picture*out.Dim+k] = float32(float64(v) - mean*float64(w[k]))
			}
		}
		size := out.Batch * out.Dim
		golden.Close(t, c.String(), out.Contributions[i*size:][:size], centred, 5e-5)
	}
}
