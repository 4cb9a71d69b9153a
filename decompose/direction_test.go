package decompose_test

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/compute"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit/golden"
)

// The directions and offsets of a linear head are the rows of its weight in the checkpoint, and its bias.
func TestLogitReaderOfLinearHead(t *testing.T) {
	dir, model, _ := goldenModel(t, "vit_deit")
	z := golden.Open(t, dir, "io.safetensors").Tensor(t, "features")
	dim := model.Arch.OutputDim()
	reader, err := decompose.NewLogitReader(testBackend, model)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	directions, offsets, err := reader.Read(z[:dim], []int{3, 1})
	if err != nil {
		t.Fatal(err)
	}
	file := golden.Open(t, dir, "model.safetensors")
	weight, bias := file.Tensor(t, "head.weight"), file.Tensor(t, "head.bias")
	golden.Close(t, "directions", directions, append(slices.Clone(weight[3*dim:4*dim]), weight[dim:2*dim]...), 1e-6)
	golden.Close(t, "offsets", offsets, []float32{bias[3], bias[1]}, 1e-6)
	if _, _, err := reader.Read(z[:dim], []int{1 << 20}); err == nil {
		t.Error("class 1048576: no error")
	}
	_, headless, _ := goldenModel(t, "vit_dinov2")
	if _, err := decompose.NewLogitReader(testBackend, headless); err == nil {
		t.Error("a model without a head: no error")
	}
}

// MaxViT's offset by hand, from the checkpoint's weights in float64: norm of zeros with centre and deviation of the
// representation held, linear, tanh, linear.
func TestLogitReaderOfMaxViT(t *testing.T) {
	dir, model, _ := goldenModel(t, "maxvit_tf")
	dim := model.Arch.OutputDim()
	z := golden.Open(t, dir, "io.safetensors").Tensor(t, "features")[:dim]
	reader, err := decompose.NewLogitReader(testBackend, model)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	directions, offsets, err := reader.Read(z, []int{3})
	if err != nil {
		t.Fatal(err)
	}
	golden.Close(t, "directions", directions, direction(t, testBackend, model, z, []int32{3}), 1e-6)
	w := golden.Open(t, dir, "model.safetensors")
	shift := w.Tensor(t, "head.norm.bias")
	fc1, bias1 := w.Tensor(t, "head.pre_logits.fc.weight"), w.Tensor(t, "head.pre_logits.fc.bias")
	fc2, bias2 := w.Tensor(t, "head.fc.weight"), w.Tensor(t, "head.fc.bias")
	want := float64(bias2[3])
	for h := range bias1 {
		u := float64(bias1[h])
		for d := range dim {
			u += float64(fc1[h*dim+d]) * float64(shift[d])
		}
		want += float64(fc2[3*len(bias1)+h]) * math.Tanh(u)
	}
	golden.Close(t, "offset", offsets, []float32{float32(want)}, 1e-5)
}

// Along the direction of a class the scores are those of the class, which the golden data vouch for.
func TestScoresAlongDirections(t *testing.T) {
	for _, name := range []string{"vit_deit", "swin"} {
		on(t, name, []string{"vit_deit"}, func(t *testing.T, b compute.Backend) {
			dir, model, pixels := goldenModel(t, name)
			opts := decompose.Options{First: 1}
			byClass, err := decompose.NewScorer(b, model, opts)
			if err != nil {
				t.Fatal(err)
			}
			defer byClass.Close()
			want, _, err := byClass.Run(pixels, []int{3, 1})
			if err != nil {
				t.Fatal(err)
			}
			z := golden.Open(t, dir, "io.safetensors").Tensor(t, "features")
			along, err := decompose.NewDirectionScorer(b, model, opts)
			if err != nil {
				t.Fatal(err)
			}
			defer along.Close()
			directions := direction(t, b, model, z, []int32{3, 1})
			got, representation, err := along.RunAlong(pixels, directions)
			if err != nil {
				t.Fatal(err)
			}
			golden.Close(t, "representation", representation, z, 1e-5)
			if len(got) != len(want) {
				t.Fatalf("%d components, want %d", len(got), len(want))
			}
			for i, c := range got {
				if c.Component != want[i].Component {
					t.Errorf("component %d is %s, want %s", i, c, want[i])
				}
				golden.Close(t, c.String(), c.Values, want[i].Values, 1e-5)
			}
			if _, _, err := along.RunAlong(pixels, directions[1:]); err == nil {
				t.Error("a number too few: no error")
			}
			if _, _, err := along.Run(pixels, []int{0, 0}); err == nil {
				t.Error("classes for a scorer along directions: no error")
			}
			if _, _, err := byClass.RunAlong(pixels, directions); err == nil {
				t.Error("directions for a scorer of classes: no error")
			}
		})
	}
}
