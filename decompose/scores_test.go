package decompose_test

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/golden"
)

// direction runs LogitDirection for the representations of a model.
func direction(t *testing.T, b compute.Backend, model *gomlxvit.Model, z []float32, classes []int32) []float32 {
	t.Helper()
	program, err := model.Compile(b, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		return []*graph.Node{decompose.LogitDirection(w, model.Arch, in[0], in[1])}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	out, err := program.Run(tensors.FromFlatDataAndDimensions(z, len(classes), len(z)/len(classes)), tensors.FromFlatDataAndDimensions(classes, len(classes)))
	if err != nil {
		t.Fatal(err)
	}
	flat, err := tensors.CopyFlatData[float32](out[0])
	if err != nil {
		t.Fatal(err)
	}
	return flat
}

// The direction of a linear head is the row of its weight in the checkpoint.
func TestLogitDirectionOfLinearHead(t *testing.T) {
	for name, head := range map[string]string{"vit_deit": "head", "vit_avgpool": "head", "swin": "head.fc"} {
		t.Run(name, func(t *testing.T) {
			dir, model, _ := goldenModel(t, name)
			z := golden.Open(t, dir, "io.safetensors").Tensor(t, "features")
			got := direction(t, testBackend, model, z, []int32{3, 1})
			weight, dim := golden.Open(t, dir, "model.safetensors").Tensor(t, head+".weight"), model.Arch.OutputDim()
			golden.Close(t, "direction", got, append(slices.Clone(weight[3*dim:4*dim]), weight[dim:2*dim]...), 1e-6)
		})
	}
}

// MaxViT's head by hand, from the checkpoint's weights in float64: norm with its deviation held, linear, tanh, linear.
func TestLogitDirectionOfMaxViT(t *testing.T) {
	dir, model, _ := goldenModel(t, "maxvit_tf")
	z := golden.Open(t, dir, "io.safetensors").Tensor(t, "features")
	got := direction(t, testBackend, model, z, []int32{3, 1})
	w := golden.Open(t, dir, "model.safetensors")
	scale, shift := w.Tensor(t, "head.norm.weight"), w.Tensor(t, "head.norm.bias")
	fc1, bias, fc2 := w.Tensor(t, "head.pre_logits.fc.weight"), w.Tensor(t, "head.pre_logits.fc.bias"), w.Tensor(t, "head.fc.weight")
	dim, hidden := len(scale), len(bias)
	var want []float32
	for picture, class := range []int{3, 1} {
		x := z[picture*dim:][:dim]
		centre, variance := 0.0, 0.0
		for _, v := range x {
			centre += float64(v) / float64(dim)
		}
		for _, v := range x {
			variance += math.Pow(float64(v)-centre, 2) / float64(dim)
		}
		inverse := 1 / math.Sqrt(variance+1e-5)
		normed := make([]float64, dim) // gradient of the logit with respect to the norm's output
		for h := range hidden {
			u := float64(bias[h])
			for d, v := range x {
				u += float64(fc1[h*dim+d]) * ((float64(v)-centre)*inverse*float64(scale[d]) + float64(shift[d]))
			}
			slope := (1 - math.Tanh(u)*math.Tanh(u)) * float64(fc2[class*hidden+h])
			for d := range x {
				normed[d] += slope * float64(fc1[h*dim+d])
			}
		}
		mean := 0.0
		for d := range normed {
			normed[d] *= inverse * float64(scale[d])
			mean += normed[d] / float64(dim)
		}
		for d := range normed {
			want = append(want, float32(normed[d]-mean))
		}
	}
	golden.Close(t, "direction", got, want, 1e-5)
}

// The scores are the token split's contributions, which the golden data vouch for, times the direction.
func TestScoresByToken(t *testing.T) {
	if !unoptimised(t) {
		return
	}
	for _, test := range []struct {
		name  string
		first int // block
	}{{"vit_deit", 0}, {"vit_reg4", 1}, {"vit_avgpool", 1}, {"swin", 1}, {"maxvit_tf", 1}} {
		on(t, test.name, []string{"vit_deit", "maxvit_tf"}, func(t *testing.T, b compute.Backend) {
			_, model, pixels := goldenModel(t, test.name)
			model = headed(t, model)
			scorer, err := decompose.NewScorer(b, model, decompose.Options{First: test.first})
			if err != nil {
				t.Fatal(err)
			}
			defer scorer.Close()
			scored, logits, err := scorer.Run(pixels, []int{3, 1})
			if err != nil {
				t.Fatal(err)
			}
			out := goldenTokens(t, b, test.name, test.first)
			want := make(map[string][]float32) // [batch, token]
			g := direction(t, b, model, out.Representation, []int32{3, 1})
			for _, b := range out.blocks {
				for i, index := range b.Components {
					c := out.components[index]
					values := make([]float32, out.Batch*c.Tokens)
					for picture := range out.Batch {
						for token := range c.Tokens {
							sum := 0.0
							for k, v := range b.Contributions[((i*out.Batch+picture)*b.Tokens+token)*out.Dim:][:out.Dim] {
								sum += float64(v) * float64(g[picture*out.Dim+k])
							}
							values[picture*c.Tokens+token] = float32(sum)
						}
					}
					if c.Kind != decompose.Init && c.Kind != decompose.Const {
						want[c.String()] = values
					}
				}
			}
			if len(scored) != len(want) {
				t.Errorf("%d components were scored, want %d", len(scored), len(want))
			}
			for _, c := range scored {
				golden.Close(t, c.String(), c.Values, want[c.String()], 5e-5)
			}
			golden.Close(t, "logits", logits, out.Logits, 1e-5)
		})
	}
}

func TestScorerErrors(t *testing.T) {
	_, model, pixels := goldenModel(t, "vit_deit")
	scorer, err := decompose.NewScorer(testBackend, model, decompose.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer scorer.Close()
	for _, classes := range [][]int{{0}, {0, -1}, {1 << 20, 0}} {
		if _, _, err := scorer.Run(pixels, classes); err == nil {
			t.Errorf("classes %v: no error", classes)
		}
	}
	if _, err := decompose.NewScorer(testBackend, model, decompose.Options{First: 99}); err == nil {
		t.Error("block 99: no error")
	}
	_, headless, _ := goldenModel(t, "vit_dinov2")
	if _, err := decompose.NewScorer(testBackend, headless, decompose.Options{}); err == nil {
		t.Error("a model without a head: no error")
	}
}
