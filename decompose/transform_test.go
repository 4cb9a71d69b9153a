package decompose_test

import (
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/golden"
	"vitdecompose/gomlxvit/mark"
)

// pieces runs build on two inputs and returns z and the decomposition of z by component, [batch, dim] each.
func pieces(t *testing.T, build func(x, y *graph.Node) *graph.Node, opts decompose.Options, x, y *tensors.Tensor) (z []float32, parts map[string][]float32, err error) {
	t.Helper()
	var result *decompose.Result
	exec, err := graph.NewExec(onGo(t), func(inputs []*graph.Node) []*graph.Node {
		z := build(inputs[0], inputs[1])
		result = decompose.Transform(z, opts)
		outputs := []*graph.Node{z}
		for _, p := range result.Pieces {
			outputs = append(outputs, p.Node)
		}
		return outputs
	})
	if err != nil {
		t.Fatal(err)
	}
	outputs, err := exec.Call(x, y)
	if err != nil {
		return nil, nil, err
	}
	z = tensors.MustCopyFlatData[float32](outputs[0])
	batch := outputs[0].Shape().Dim(0)
	dim := len(z) / batch
	parts = make(map[string][]float32)
	for i, p := range result.Pieces {
		flat := tensors.MustCopyFlatData[float32](outputs[i+1])
		for b := range batch {
			for j, k := range p.Keys {
				name := result.Components[k.Component].String()
				if parts[name] == nil {
					parts[name] = make([]float32, len(z))
				}
				for c, v := range flat[(b*len(p.Keys)+j)*dim:][:dim] {
					parts[name][b*dim+c] += v
				}
			}
		}
	}
	return z, parts, nil
}

func ramp(dims ...int) *tensors.Tensor {
	size := 1
	for _, d := range dims {
		size *= d
	}
	data := make([]float32, size)
	for i := range data {
		data[i] = float32((i*7919)%101)/50 - 1
	}
	return tensors.FromFlatDataAndDimensions(data, dims...)
}

func block0() decompose.Options {
	return decompose.Options{End: 1, Split: decompose.Heads, Biases: decompose.BiasesApart}
}

func TestNodesThatAreNotLinear(t *testing.T) {
	for _, test := range []struct {
		name  string
		apply func(x *graph.Node) *graph.Node
		want  []string
	}{
		{"exponential", graph.Exp, []string{"Exp", "not linear", "no linear rule"}},
		{"square", func(x *graph.Node) *graph.Node { return graph.Mul(x, x) }, []string{"Mul", "multiplies contributions"}},
		{"reciprocal", func(x *graph.Node) *graph.Node { return graph.Div(graph.OnesLike(x), x) }, []string{"Div", "divides by"}},
		{"maximum", func(x *graph.Node) *graph.Node { return graph.MaxScalar(x, 0) }, []string{"Max", "compares contributions with a constant"}},
		{"named", func(x *graph.Node) *graph.Node { return graph.Tanh(x).WithAlias("squash") }, []string{"squash", "Tanh"}},
		{"integers", func(x *graph.Node) *graph.Node {
			return graph.ConvertDType(graph.ConvertDType(x, shapes.Make(graph.Const(x.Graph(), int32(0)).DType()).DType), x.DType())
		}, []string{"ConvertDType", "not a float"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := pieces(t, func(x, _ *graph.Node) *graph.Node {
				return test.apply(mark.BlockInput(x, mark.Plain(0)))
			}, block0(), ramp(2, 3), ramp(1))
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not mention %q", err, want)
				}
			}
		})
	}
}

func TestNothingMarked(t *testing.T) {
	_, _, err := pieces(t, func(x, _ *graph.Node) *graph.Node { return graph.MulScalar(x, 2) }, block0(), ramp(2, 3), ramp(1))
	if err == nil || !strings.Contains(err.Error(), "nothing to decompose") {
		t.Errorf("error %v, want one that nothing is marked", err)
	}
}

// Linear operations by node type, none of which says anything about tokens: every component goes through whole. Each must
// come out as if everything else were zero, and const as if all components were.
func TestLinearOperations(t *testing.T) {
	const batch = 2
	concatenateConst := func(x *graph.Node) *graph.Node {
		return graph.Concatenate([]*graph.Node{x, graph.MulScalar(graph.OnesLike(x), 3)}, 1)
	}
	kernel := func(g *graph.Graph) *graph.Node { return graph.Const(g, [][][]float32{{{1}}, {{-2}}, {{0.5}}}) } // [3, 1, 1]
	operations := map[string]func(x *graph.Node) *graph.Node{
		"transpose":   func(x *graph.Node) *graph.Node { return graph.TransposeAllAxes(x, 0, 2, 1) },
		"reverse":     func(x *graph.Node) *graph.Node { return graph.Reverse(x, 1) },
		"slice":       func(x *graph.Node) *graph.Node { return graph.SliceAxis(x, 1, graph.AxisRange(1, 3)) },
		"concatenate": concatenateConst,
		"negate":      graph.Neg,
		"sum":         func(x *graph.Node) *graph.Node { return graph.ReduceSum(x, 1) },
		"broadcast":   func(x *graph.Node) *graph.Node { return graph.BroadcastPrefix(graph.ReduceSum(x, 0), batch) },
		"gather": func(x *graph.Node) *graph.Node {
			taken := graph.Gather(graph.TransposeAllAxes(x, 1, 0, 2), graph.Const(x.Graph(), [][]int32{{2}, {0}, {2}}))
			return graph.TransposeAllAxes(taken, 1, 0, 2)
		},
		"pad with ones": func(x *graph.Node) *graph.Node { // which are constants
			return graph.Pad(x, graph.ScalarOne(x.Graph(), x.DType()), graph.PadAxis{}, graph.PadAxis{Start: 1, End: 2})
		},
		"pad": func(x *graph.Node) *graph.Node {
			return graph.Pad(x, graph.ScalarZero(x.Graph(), x.DType()), graph.PadAxis{}, graph.PadAxis{Start: 1, End: 2})
		},
		"convolve": func(x *graph.Node) *graph.Node {
			return graph.Convolve(graph.SliceAxis(x, 2, graph.AxisRange(0, 1)), kernel(x.Graph())).PadSame().Done()
		},
		"bias":                       func(x *graph.Node) *graph.Node { return graph.AddScalar(x, 0.25) },
		"const - x":                  func(x *graph.Node) *graph.Node { return graph.Sub(graph.ScalarOne(x.Graph(), x.DType()), x) },
		"scale by token and channel": func(x *graph.Node) *graph.Node { return graph.Mul(x, graph.IotaFull(x.Graph(), x.Shape())) },
		"product from the right": func(x *graph.Node) *graph.Node {
			return graph.Einsum("oc,btc->bto", graph.Const(x.Graph(), [][]float32{{1, 2, 3, 4, 5}, {0, -1, 2, 0, 1}}), x)
		},
		"mix tokens": func(x *graph.Node) *graph.Node {
			return graph.Einsum("btc,ts->bsc", x, graph.Const(x.Graph(), [][]float32{{1, 2}, {3, 4}, {5, 6}, {7, 8}}))
		},
	}
	for name, operation := range operations {
		t.Run(name, func(t *testing.T) {
			flat := func(n *graph.Node) *graph.Node { return graph.Reshape(n, batch, n.Shape().Size()/batch) }
			x, y := ramp(batch, 4, 5), ramp(batch, 4, 5)
			zero := tensors.FromShape(x.Shape())
			z, parts, err := pieces(t, func(x, y *graph.Node) *graph.Node {
				stream := mark.BlockInput(x, mark.Plain(0))
				mlp := graph.Identity(graph.MulScalar(graph.Square(y), 2))
				mark.Component(mlp, mark.Plain(0), mark.MLP)
				return flat(operation(graph.Add(stream, mlp)))
			}, block0(), x, y)
			if err != nil {
				t.Fatal(err)
			}
			plain := func(x, y *tensors.Tensor) []float32 {
				exec, err := graph.NewExec(onGo(t), func(x, y *graph.Node) *graph.Node {
					return flat(operation(graph.Add(x, graph.MulScalar(graph.Square(y), 2))))
				})
				if err != nil {
					t.Fatal(err)
				}
				outputs, err := exec.Call(x, y)
				if err != nil {
					t.Fatal(err)
				}
				return tensors.MustCopyFlatData[float32](outputs[0])
			}
			constant := plain(zero, zero)
			minus := func(a, b []float32) []float32 {
				out := make([]float32, len(a))
				for i := range a {
					out[i] = a[i] - b[i]
				}
				return out
			}
			golden.Close(t, "z", z, plain(x, y), 1e-6)
			golden.Close(t, "init", parts["init"], minus(plain(x, zero), constant), 1e-5)
			golden.Close(t, "mlp", parts["layer:00, mlp"], minus(plain(zero, y), constant), 1e-5)
			if got := parts["const"]; got != nil {
				golden.Close(t, "const", got, constant, 1e-5)
			} else {
				for _, v := range constant {
					if v != 0 {
						t.Fatal("there is no const although the operation adds a constant")
					}
				}
			}
		})
	}
}

// Pulling the selection of tokens through the graph must not change anything: without the marks that allow it, every
// contribution is computed for all tokens by plain cloning.
func TestSelectionPushedDownEqualsCloning(t *testing.T) {
	for _, name := range []string{"vit_deit", "vit_avgpool", "clip_vitb"} {
		on(t, name, []string{"vit_deit"}, func(t *testing.T, b compute.Backend) {
			_, model, pixels := goldenModel(t, name)
			last := len(model.Arch.Blocks()) - 1
			decomposeWith := func(forget bool) []float32 {
				program, err := model.Compile(b, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
					z := model.Arch.Representation(w, in[0])
					if forget {
						clear(mark.Of(z.Graph()).TokenMaps)
					}
					opts := block0()
					opts.End = last + 1
					result := decompose.Transform(z, opts)
					ordered := make([]*graph.Node, len(result.Components))
					for _, p := range result.Pieces {
						for i, k := range p.Keys {
							part := graph.SliceAxis(p.Node, 1, graph.AxisRange(i, i+1))
							if sum := ordered[k.Component]; sum != nil {
								part = graph.Add(sum, part)
							}
							ordered[k.Component] = part
						}
					}
					return []*graph.Node{graph.Concatenate(ordered, 1)}
				})
				if err != nil {
					t.Fatal(err)
				}
				defer program.Close()
				outputs, err := program.Run(pixels)
				if err != nil {
					t.Fatal(err)
				}
				return tensors.MustCopyFlatData[float32](outputs[0])
			}
			golden.Close(t, "contributions", decomposeWith(false), decomposeWith(true), 5e-6)
		})
	}
}

// The token split of a component adds up to the component. (It needs no reference data, so it always runs; the race
// detector runs it too, because pictures are put in place by several goroutines.)
func TestTokenSplitAddsUp(t *testing.T) {
	for _, pool := range []string{"token", "avg"} {
		t.Run(pool, func(t *testing.T) {
			arch, err := gomlxvit.Timm("vit_tiny_patch16_224", map[string]any{
				"img_size": 8.0, "patch_size": 4.0, "embed_dim": 12.0, "depth": 2.0, "num_heads": 3.0, "num_classes": 5.0,
				"global_pool": pool,
			})
			if err != nil {
				t.Fatal(err)
			}
			model, pixels := gomlxvit.RandomOf("tiny", arch, 5), ramp(3, 3, 8, 8)
			whole := run(t, model, pixels, decompose.Options{})
			d, err := decompose.New(testBackend, model, decompose.Options{Split: decompose.Tokens})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			seen := 0
			out, err := d.RunTokens(pixels, func(b decompose.TokenBlock) error {
				for i, component := range b.Components {
					seen++
					for picture := range whole.Batch {
						sum := make([]float32, whole.Dim)
						for token := range b.Tokens {
							for c, v := range b.Contributions[((i*whole.Batch+picture)*b.Tokens+token)*whole.Dim:][:whole.Dim] {
								sum[c] += v
							}
						}
						golden.Close(t, d.Components()[component].String(), sum, whole.Contribution(component, picture), 2e-5)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if seen != len(whole.Components) {
				t.Errorf("%d components were split, want %d", seen, len(whole.Components))
			}
			if out.Error > 1e-5 {
				t.Errorf("sum is off by %g", out.Error)
			}
		})
	}
}

func TestOptionsAreChecked(t *testing.T) {
	model := gomlxvit.RandomOf("tiny", tinyArchitecture(t), 1)
	for _, opts := range []decompose.Options{
		{First: 2}, {First: 1, End: 1}, {First: -1, End: 2}, {End: 13},
		{Split: decompose.Tokens, Biases: decompose.BiasesShared},
	} {
		if _, err := decompose.New(testBackend, model, opts); err == nil {
			t.Errorf("no error for %+v", opts)
		}
	}
	d, err := decompose.New(testBackend, model, decompose.Options{Split: decompose.Tokens})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Run(ramp(1, 3, 8, 8)); err == nil {
		t.Error("Run took a token split")
	}
}
