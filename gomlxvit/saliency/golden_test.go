package saliency

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/golden"
)

// testBackend is GoMLX's own: the models of the tests are so small that it is done before XLA has compiled.
var testBackend compute.Backend

func TestMain(m *testing.M) {
	var err error
	if testBackend, err = backend.Open("go"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// goldenCase loads a model of the golden data with its pictures, and the maps that belong to it: GradCAM's by
// pytorch_grad_cam 1.5.7, those of Chefer et al. by their own program, both on timm's random weights.
func goldenCase(t *testing.T, name string) (*gomlxvit.Model, *tensors.Tensor, golden.File) {
	t.Helper()
	dir := golden.Dir(t, name)
	ckpt, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	model, err := gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	io := golden.Open(t, dir, "io.safetensors")
	pixels := tensors.FromFlatDataAndDimensions(io.Tensor(t, "input"), io.Shape(t, "input")...)
	return model, pixels, golden.Open(t, dir, "maps.safetensors")
}

// integers reads a tensor of whole numbers.
func integers(t *testing.T, f golden.File, name string) []int {
	t.Helper()
	data, err := f.Int64(name)
	if err != nil {
		t.Fatal(err)
	}
	numbers := make([]int, len(data))
	for i, v := range data {
		numbers[i] = int(v)
	}
	return numbers
}

// evaluate computes what build makes of the inputs.
func evaluate(t testing.TB, model *gomlxvit.Model, build func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node,
	inputs ...*tensors.Tensor) [][]float64 {
	t.Helper()
	program, err := model.Compile(testBackend, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		outputs := build(w, in)
		for i, o := range outputs {
			outputs[i] = graph.ConvertDType(o, dtypes.Float64)
		}
		return outputs
	})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	outputs, err := program.Run(inputs...)
	if err != nil {
		t.Fatal(err)
	}
	var flat [][]float64
	for _, o := range outputs {
		flat = append(flat, tensors.MustCopyFlatData[float64](o))
	}
	return flat
}

func float32s(values []float64) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return out
}

// classTensor is what a graph gets as the classes of pictures.
func classTensor(classes ...int) *tensors.Tensor {
	flat := make([]int32, len(classes))
	for i, c := range classes {
		flat[i] = int32(c)
	}
	return tensors.FromFlatDataAndDimensions(flat, len(flat))
}

func run(t testing.TB, s *Saliency, pixels *tensors.Tensor, classes []int) *Maps {
	t.Helper()
	m, err := s.Run(pixels, classes)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// checkScaled compares scaled maps with the reference, and what lies above a picture's mean with the mask of reference,
// in which at most so many pixels may differ.
func checkScaled(t *testing.T, f golden.File, prefix string, m *Maps, tolerance float64, differ int) {
	t.Helper()
	shape := f.Shape(t, prefix+"saliency")
	scaled := m.Scaled(shape[1], shape[2])
	golden.Close(t, prefix+"saliency", scaled, f.Tensor(t, prefix+"saliency"), tolerance)
	mask, size, other := integers(t, f, prefix+"binary"), shape[1]*shape[2], 0
	for picture := range shape[0] {
		values := scaled[picture*size:][:size]
		mean := 0.0
		for _, v := range values {
			mean += float64(v) / float64(size)
		}
		for i, v := range values {
			if (float64(v) > mean) != (mask[picture*size+i] == 1) {
				other++
			}
		}
	}
	if other > differ {
		t.Errorf("%sbinary: %d pixels differ, allowed %d", prefix, other, differ)
	}
}

func TestGoldenGradCAM(t *testing.T) {
	for _, name := range []string{"vit_deit", "vit_avgpool", "swin", "maxvit_tf"} {
		t.Run(name, func(t *testing.T) {
			model, pixels, f := goldenCase(t, name)
			s := prepared(t, testBackend, model, GradCAM)
			for prefix, targets := range map[string]string{
				"gradcam_": "target_classes", "gradcam_alt_": "gradcam_alt_target_classes",
			} {
				m := run(t, s, pixels, integers(t, f, targets))
				if name := prefix + "weights"; f.Has(name) {
					golden.Close(t, name, m.Weights, f.Tensor(t, name), 1e-5)
				}
				golden.Close(t, prefix+"prerelu", m.Signed, f.Tensor(t, prefix+"prerelu"), 1e-5)
				golden.Close(t, prefix+"raw", m.Values, f.Tensor(t, prefix+"raw"), 1e-5)
				// Pixels within rounding of the mean may fall on the other side of it.
				checkScaled(t, f, prefix, m, 1e-5, 3)
				shape := f.Shape(t, prefix+"full")
				var full []float32
				for picture := range m.Batch {
					values := stretch(m.Values[picture*m.Rows*m.Columns:][:m.Rows*m.Columns], 1e-7)
					full = append(full, stretch(Resize(values, m.Rows, m.Columns, shape[1], shape[2]), 1e-7)...)
				}
				golden.Close(t, prefix+"full", full, f.Tensor(t, prefix+"full"), 1e-5)
			}

			shape := f.Shape(t, "gradcam_prerelu_all_classes") // [batch, class, row, column]
			all := make([]float32, len(f.Tensor(t, "gradcam_prerelu_all_classes")))
			size := shape[2] * shape[3]
			for class := range shape[1] {
				m := run(t, s, pixels, []int{class, class})
				for picture := range m.Batch {
					copy(all[(picture*shape[1]+class)*size:], m.Signed[picture*size:][:size])
				}
			}
			golden.Close(t, "all classes", all, f.Tensor(t, "gradcam_prerelu_all_classes"), 1e-5)
		})
	}
}

func TestGoldenChefer(t *testing.T) {
	model, pixels, f := goldenCase(t, "vit_deit")
	classes := integers(t, f, "target_classes")
	s := prepared(t, testBackend, model, Chefer)
	m := run(t, s, pixels, classes)
	// Their model's last norm has an epsilon of 1e-5, timm's and ours 1e-6.
	golden.Close(t, "map", m.Values, f.Tensor(t, "chefer"), 1e-5)
	golden.Close(t, "map with timm's epsilon", m.Values, f.Tensor(t, "chefer_final_norm_eps1e6"), 1e-6)
	checkScaled(t, f, "chefer_", m, 1e-5, 0)
}

// residuals lists the sums of the residual stream, two for each block, in forward order.
func residuals(p *propagation) []*graph.Node {
	return slices.SortedFunc(maps.Keys(p.marks.Residuals), func(a, b *graph.Node) int { return int(a.Id()) - int(b.Id()) })
}

// What every layer passes back is what the modules of the authors' program return.
func TestGoldenCheferLayers(t *testing.T) {
	model, pixels, f := goldenCase(t, "vit_deit")
	trace := golden.Open(t, golden.Dir(t, "vit_deit"), "chefer_trace_picture0.safetensors")
	blocks := len(model.Arch.Blocks())
	var names []string
	outputs := evaluate(t, model, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		var nodes []*graph.Node
		names = nil
		add := func(name string, node *graph.Node) { names, nodes = append(names, name), append(nodes, node) }
		p := propagate(model.Arch, w, in[0], in[1])
		sums := residuals(p)
		add("chefer_start0", p.rollout(0))
		for block := range blocks {
			add("chefer_cam_per_block", p.cam(block))
			add("chefer_attn_grad", p.derivatives[block])
			add("chefer_attn_relevance", p.relevance[block])
			add("chefer_block_output_relevance", p.at(sums[2*block+1]))
		}
		for block, a := range p.attentions {
			of := func(name string, node *graph.Node) { add(fmt.Sprintf("blocks.%d.%s", block, name), node) }
			// A sum's stream has two consumers: the sum, and the norm of its branch.
			second, first := p.marks.Residuals[sums[2*block+1]], p.marks.Residuals[sums[2*block]]
			of("add2.out0", p.arrived[second.Stream][0])
			of("add2.out1", p.arrived[second.Branch][0])
			fc2 := p.marks.Linears[p.marks.Elementwise[second.Branch]]
			of("mlp.fc2.out", p.arrived[fc2.Input][0])
			before := p.marks.Elementwise[fc2.Input]
			of("mlp.act.out", p.arrived[before][0])
			fc1 := p.marks.Linears[p.marks.Elementwise[before]]
			of("mlp.fc1.out", p.arrived[fc1.Input][0])
			of("norm2.out", p.arrived[second.Stream][1])
			of("clone2.out", p.at(second.Stream))

			of("add1.out0", p.arrived[first.Stream][0])
			of("add1.out1", p.arrived[first.Branch][0])
			projection := p.marks.Linears[p.marks.Elementwise[first.Branch]]
			of("attn.proj.out", p.arrived[projection.Input][0])
			of("attn.softmax.out", p.relevance[block])
			of("attn.matmul2.out0", graph.MulScalar(p.relevance[block], 2))
			dims := a.Values.Shape().Dimensions
			for i, name := range []string{"attn.matmul1.out0", "attn.matmul1.out1", "attn.matmul2.out1"} {
				part := graph.SliceAxis(p.arrived[a.QKV][0], 2, graph.AxisRange(i*dims[2]*dims[3], (i+1)*dims[2]*dims[3]))
				of(name, graph.MulScalar(graph.TransposeAllAxes(graph.Reshape(part, dims...), 0, 2, 1, 3), 2))
			}
			qkv := p.marks.Linears[p.marks.Elementwise[a.QKV]]
			of("attn.qkv.out", p.arrived[qkv.Input][0])
			of("norm1.out", p.arrived[first.Stream][1])
			of("clone1.out", p.at(first.Stream))
		}
		add("norm.out", p.at(sums[len(sums)-1]))
		return nodes
	}, pixels, classTensor(integers(t, f, "target_classes")...))
	seen := make(map[string]int)
	for i, name := range names {
		got := float32s(outputs[i])
		if trace.Has(name) { // of the first of two pictures
			golden.Close(t, name, got[:len(got)/2], trace.Tensor(t, name), 1e-5)
			continue
		}
		want := f.Tensor(t, name)[seen[name]*len(got):][:len(got)]
		golden.Close(t, fmt.Sprintf("%s of block %d", name, seen[name]), got, want, 1e-5)
		seen[name]++
	}
	if want := 1 + 4*blocks + 18*blocks + 1; len(names) != want {
		t.Errorf("%d tensors compared, want %d", len(names), want)
	}
}
