package saliency

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/golden"
	"vitdecompose/gomlxvit/preprocess"
	"vitdecompose/gomlxvit/safetensors"
)

const classes = 5

// tinyArgs configure small models of every architecture: for 32 x 32 pictures, with grids of 4 x 4, 2 x 2 and 2 x 2.
var tinyArgs = map[string]map[string]any{
	"vit_tiny_patch16_224": {"img_size": 32.0, "patch_size": 8.0, "embed_dim": 12.0, "depth": 3.0, "num_heads": 2.0},
	"swin_tiny_patch4_window7_224": {
		"img_size": 32.0, "patch_size": 8.0, "embed_dim": 8.0, "depths": []any{1.0, 2.0}, "num_heads": []any{2.0, 4.0},
		"window_size": 2.0,
	},
	"maxvit_tiny_tf_224": {
		"img_size": 16.0, "embed_dim": []any{8.0, 12.0}, "depths": []any{1.0, 2.0}, "stem_width": 4.0, "head_hidden_size": 12.0,
		"transformer_dim_head": 4.0, "transformer_partition_ratio": 8.0,
	},
	"coatnet_0_rw_224": {
		"img_size": 16.0, "embed_dim": []any{8.0, 12.0}, "depths": []any{1.0, 2.0}, "stem_width": 4.0, "block_type": []any{"C", "T"},
		"transformer_dim_head": 4.0,
	},
}

// tinyModel is a small model of an architecture of timm, its weights large enough for every part to matter.
func tinyModel(t testing.TB, name string, change map[string]any) *gomlxvit.Model {
	t.Helper()
	args := map[string]any{"num_classes": float64(classes)}
	for _, some := range []map[string]any{tinyArgs[name], change} {
		for key, value := range some {
			args[key] = value
		}
	}
	arch, err := gomlxvit.Timm(name, args)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 0))
	var weights []safetensors.Tensor
	for _, p := range arch.Params() {
		size := 1
		for _, d := range p.Dims {
			size *= d
		}
		numbers := make([]float32, size)
		for i := range numbers {
			numbers[i] = float32(0.4 * rng.NormFloat64())
			switch {
			case strings.HasSuffix(p.Name, gomlxvit.RunningVariance):
				numbers[i] = 1 + numbers[i]*numbers[i]
			case strings.Contains(p.Name, "norm") && strings.HasSuffix(p.Name, "weight"):
				numbers[i]++
			}
		}
		weights = append(weights, safetensors.Tensor{Name: p.Name, Shape: p.Dims, Data: numbers})
	}
	file := t.TempDir() + "/model.safetensors"
	if err := safetensors.Write(file, nil, weights); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	model, err := gomlxvit.FromCheckpoint(&checkpoint.Checkpoint{
		Ref: "tiny", Library: checkpoint.Timm, Architecture: name, NumClasses: arch.NumClasses(), ModelArgs: args,
		Preprocess: preprocess.Config{
			Library: "timm", Size: [2]int{arch.InputSize(), arch.InputSize()}, Interpolation: "bicubic", CropPct: 1,
			CropMode: "center", Mean: [3]float32{0.5, 0.5, 0.5}, Std: [3]float32{0.3, 0.3, 0.3},
		},
		Weights: f, Hash: "tiny",
	}, gomlxvit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return model
}

// noise is a batch of random pictures for a model.
func noise(model *gomlxvit.Model, batch int) *tensors.Tensor {
	side := model.Arch.InputSize()
	rng := rand.New(rand.NewPCG(3, 0))
	data := make([]float32, batch*3*side*side)
	for i := range data {
		data[i] = float32(rng.NormFloat64())
	}
	return tensors.FromFlatDataAndDimensions(data, batch, 3, side, side)
}

// shifted are weights of which one has something added to it.
type shifted struct {
	gomlxvit.Weights
	name string
	by   *graph.Node
}

// Get implements gomlxvit.Weights.
func (s shifted) Get(name string) *graph.Node {
	weight := s.Weights.Get(name)
	if name == s.name {
		return graph.Add(weight, s.by)
	}
	return weight
}

// The weight of a channel is what the logit gains, per patch, when the channel is shifted at all patches: finite
// differences in float64. The shift of the layer's norm does that where there are no other tokens than patches.
func TestGradCAMWeightsAreDerivatives(t *testing.T) {
	for _, test := range []struct {
		name, norm string
		change     map[string]any
	}{
		{"vit_tiny_patch16_224", "blocks.2.norm1.bias", map[string]any{"class_token": false, "global_pool": "avg"}},
		{"swin_tiny_patch4_window7_224", "layers.1.blocks.1.norm2.bias", nil},
		{"maxvit_tiny_tf_224", "stages.1.blocks.1.attn_block.norm1.bias", nil},
		{"coatnet_0_rw_224", "stages.1.blocks.1.norm2.bias", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			model := tinyModel(t, test.name, test.change)
			s := prepared(t, testBackend, model, GradCAM)
			pixels := noise(model, 1)
			m := run(t, s, pixels, []int{3})

			channels := len(m.Weights)
			const step = 1e-4
			want := make([]float32, channels)
			logits := evaluate(t, model, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
				pixels := graph.ConvertDType(in[0], in[1].DType())
				var logits []*graph.Node
				for channel := range channels {
					for _, sign := range []float64{step, -step} {
						by := graph.OneHot(graph.Const(in[0].Graph(), int32(channel)), channels, in[1].DType())
						w := shifted{doubles{w}, test.norm, graph.MulScalar(by, sign)}
						logits = append(logits, model.Arch.Head(w, model.Arch.Representation(w, pixels)))
					}
				}
				return logits
			}, pixels, tensors.FromScalar(0.0))
			for channel := range want {
				difference := logits[2*channel][3] - logits[2*channel+1][3]
				want[channel] = float32(difference / (2 * step) / float64(m.Rows*m.Columns))
			}
			golden.Close(t, "weights", m.Weights, want, 1e-5)
		})
	}
}

// prepares are the two methods.
var prepares = map[Method]func(compute.Backend, *gomlxvit.Model) (*Saliency, error){GradCAM: NewGradCAM, Chefer: NewChefer}

// prepared is a method for a model, closed when the test ends.
func prepared(t testing.TB, b compute.Backend, model *gomlxvit.Model, method Method) *Saliency {
	t.Helper()
	s, err := prepares[method](b, model)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Pictures of a batch have the maps that they have alone.
func TestBatches(t *testing.T) {
	model := tinyModel(t, "vit_tiny_patch16_224", nil)
	pixels := noise(model, 3)
	flat := tensors.MustCopyFlatData[float32](pixels)
	for method := range prepares {
		s := prepared(t, testBackend, model, method)
		chosen := []int{4, 0, 2}
		m := run(t, s, pixels, chosen)
		if m.Method != method || m.Batch != 3 || m.Rows != 4 || m.Columns != 4 || len(m.Values) != 3*16 {
			t.Fatalf("%s: maps [%d, %d, %d] of %s with %d values", method, m.Batch, m.Rows, m.Columns, m.Method, len(m.Values))
		}
		for i, class := range chosen {
			size := len(flat) / 3
			side := model.Arch.InputSize()
			alone := tensors.FromFlatDataAndDimensions(flat[i*size:][:size], 1, 3, side, side)
			golden.Close(t, string(method)+" of one picture", run(t, s, alone, []int{class}).Values, m.Values[i*16:][:16], 1e-5)
		}
		all := slices.Clone(m.Values)
		m.Truncate(2)
		if m.Batch != 2 || !slices.Equal(m.Values, all[:32]) || len(m.Scaled(8, 8)) != 2*64 {
			t.Errorf("%s: two of three pictures are %d with %d values", method, m.Batch, len(m.Values))
		}
	}
}

// XLA, or what else is the default, computes what GoMLX's own backend does.
func TestDefaultBackend(t *testing.T) {
	other, err := backend.Open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Finalize)
	chosen := []int{4, 0}
	for method := range prepares {
		var maps []*Maps
		for _, b := range []compute.Backend{testBackend, other} { // tensors belong to the backend they were used on
			model := tinyModel(t, "vit_tiny_patch16_224", map[string]any{"depth": 2.0})
			maps = append(maps, run(t, prepared(t, b, model, method), noise(model, len(chosen)), chosen))
		}
		golden.Close(t, string(method), maps[1].Values, maps[0].Values, 1e-5)
	}
}

// A linear head over the representation is as good as the checkpoint's own.
func TestLinearHead(t *testing.T) {
	own := tinyModel(t, "vit_tiny_patch16_224", nil)
	given, err := own.WithLinearHead(
		tensors.MustCopyFlatData[float32](own.Weight("head.weight")), tensors.MustCopyFlatData[float32](own.Weight("head.bias")), nil)
	if err != nil {
		t.Fatal(err)
	}
	pixels := noise(own, 2)
	for method := range prepares {
		want := run(t, prepared(t, testBackend, own, method), pixels, []int{1, 2})
		got := run(t, prepared(t, testBackend, given, method), pixels, []int{1, 2})
		golden.Close(t, string(method), got.Values, want.Values, 1e-6)
	}
}

// CLIP's logits are cosines, through whose norms derivatives pass and relevance does not.
func TestZeroShotHead(t *testing.T) {
	dir := golden.Dir(t, "clip_vitb")
	ckpt, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	clip, err := gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{Text: true})
	if err != nil {
		t.Fatal(err)
	}
	model, err := clip.WithZeroShotHead(context.Background(), testBackend, []string{"cat", "dog", "car"}, gomlxvit.Templates{"a {}"})
	if err != nil {
		t.Fatal(err)
	}
	s := prepared(t, testBackend, model, GradCAM)
	m := run(t, s, noise(model, 2), []int{0, 2})
	if m.Rows != 4 || m.Columns != 4 || slices.Max(m.Weights) <= 0 || math.IsNaN(float64(m.Signed[0])) {
		t.Errorf("the map is %+v", m)
	}
	if _, err := NewChefer(testBackend, model); err == nil || !strings.Contains(err.Error(), "no rule") {
		t.Errorf("Chefer of a zero-shot head: %v", err)
	}
}

func TestErrors(t *testing.T) {
	for _, test := range []struct {
		name   string
		change map[string]any
		want   string
	}{
		{"vit_tiny_patch16_224", map[string]any{"init_values": 1e-5}, "no rule"},
		{"vit_tiny_patch16_224", map[string]any{"global_pool": "avg"}, "no rule"},
		{"vit_tiny_patch16_224", map[string]any{"num_classes": 0.0}, "the model has no head"},
		{"swin_tiny_patch4_window7_224", nil, "no rule"},
		{"maxvit_tiny_tf_224", nil, "no rule"},
		{"coatnet_0_rw_224", nil, "no rule"},
	} {
		_, err := NewChefer(testBackend, tinyModel(t, test.name, test.change))
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s with %v: error %v, want one line with %q", test.name, test.change, err, test.want)
		}
	}

	model := tinyModel(t, "vit_tiny_patch16_224", nil)
	s := prepared(t, testBackend, model, GradCAM)
	for _, test := range []struct {
		pixels  *tensors.Tensor
		classes []int
		want    string
	}{
		{noise(model, 2), []int{1}, "for 1 classes"},
		{noise(model, 1), nil, "at least one"},
		{noise(model, 1), []int{classes}, "class 5 of picture 0"},
		{noise(model, 1), []int{-1}, "class -1 of picture 0"},
		{tensors.FromFlatDataAndDimensions(make([]float32, 3*16*16), 1, 3, 16, 16), []int{1}, "3, 32, 32]"},
	} {
		if _, err := s.Run(test.pixels, test.classes); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("classes %v of pixels %v: error %v, want %q", test.classes, test.pixels.Shape(), err, test.want)
		}
	}
}

func TestScaled(t *testing.T) {
	for _, method := range []Method{GradCAM, Chefer} {
		m := &Maps{Method: method, Batch: 3, Rows: 2, Columns: 1, Values: []float32{0, 0, 3, 3, 2, 6}}
		got := m.Scaled(4, 1)
		// Halfway from the centre of one to that of the other: 1/4 and 3/4.
		want := []float32{0, 0, 0, 0, 0, 0, 0, 0, 0, 0.25, 0.75, 1}
		golden.Close(t, string(method), got, want, 1e-6)
	}
}

func TestResize(t *testing.T) {
	for _, test := range []struct {
		name          string
		values        []float32
		rows, columns int
		height, width int
		want          []float32
	}{
		{"as it is", []float32{1, -2, 3, 4, 5, 6}, 2, 3, 2, 3, []float32{1, -2, 3, 4, 5, 6}},
		{"one value", []float32{-7}, 1, 1, 2, 2, []float32{-7, -7, -7, -7}},
		{"twice as wide", []float32{0, 4, -4}, 1, 3, 1, 6, []float32{0, 1, 3, 2, -2, -4}},
		{"thrice as high", []float32{0, 3}, 2, 1, 6, 1, []float32{0, 0, 1, 2, 3, 3}},
		{"both", []float32{0, 4, 8, 12}, 2, 2, 3, 3, []float32{0, 2, 4, 4, 6, 8, 8, 10, 12}},
		{"half, not smoothed", []float32{0, 2, 4, 100, 0, 0, 0, 0}, 1, 8, 1, 2, []float32{(2 + 4) / 2, 0}},
	} {
		got := Resize(test.values, test.rows, test.columns, test.height, test.width)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
