package decompose_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit/golden"
)

// goldenAligner is the starting point of the golden data: numbers from PyTorch 2.15, see the README of package golden's testdata.
func goldenAligner(t *testing.T, f golden.File) (*decompose.Contributions, []float32, *decompose.Aligner) {
	t.Helper()
	shape, weights := f.Shape(t, "compalign.contributions"), f.Shape(t, "compalign.weights")
	c := &decompose.Contributions{Pictures: shape[1], Dim: shape[2], Values: f.Tensor(t, "compalign.contributions")}
	for i := range shape[0] {
		c.Components = append(c.Components, string(rune('a'+i)))
	}
	return c, f.Tensor(t, "compalign.clip_targets"), &decompose.Aligner{
		Components: c.Components, Dim: weights[1], ClipDim: weights[2],
		Weights: f.Tensor(t, "compalign.weights"), Bias: f.Tensor(t, "compalign.bias"),
	}
}

// paper is how the paper trains.
var paper = decompose.DefaultAlignConfig(1_281_167)

// The settings of section 3 of ../shared/spec/protocol.md on ImageNet's training pictures, and what fewer pictures get.
func TestDefaultAlignConfig(t *testing.T) {
	if want := (decompose.AlignConfig{Lambda: 1, LearningRate: 3e-4, WeightDecay: 1e-6, Batch: 32, Epochs: 2, Patience: 50}); paper != want {
		t.Errorf("%+v, want the paper's %+v", paper, want)
	}
	for pictures, epochs := range map[int]int{8000: 8, 1: 2000, 32: 2000, 33: 1000, 639_999: 2} {
		if got := decompose.DefaultAlignConfig(pictures); got.Epochs != epochs || got.Patience != 0 || got.LearningRate != 1e-3 || got.Check() != nil {
			t.Errorf("%d pictures: %+v, want %d epochs of at least 2000 steps in all", pictures, got, epochs)
		}
	}
}

func TestWarm(t *testing.T) {
	for pictures, epochs := range map[int]int{1000: 10, 8000: 2, 20_000: 1, 1_281_167: 1} {
		if got := decompose.DefaultAlignConfig(pictures).Warm(pictures); got.Epochs != epochs || got.Check() != nil {
			t.Errorf("%d pictures: %+v, want %d epochs", pictures, got, epochs)
		}
	}
}

// Twenty steps of Adam on the whole batch, from given weights: the curve of both terms of the loss and the weights at the
// end are PyTorch's.
func TestAlignGolden(t *testing.T) {
	f := golden.Open(t, golden.Shared(t, "golden"), "numerics.safetensors")
	c, targets, from := goldenAligner(t, f)
	for name, lambda := range map[string]float64{"adam_lambda0": 0, "adam_lambda1": 1} {
		t.Run(name, func(t *testing.T) {
			config := paper
			config.Lambda, config.Batch, config.Epochs = lambda, c.Pictures, 20
			var cosine, orthogonality []float32
			a, err := decompose.Align(context.Background(), testBackend, c, targets, config, decompose.AlignOptions{
				From: from,
				Observe: func(_ int, cos, orth float64) {
					cosine, orthogonality = append(cosine, float32(cos)), append(orthogonality, float32(orth))
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			curve, err := f.Float64("compalign." + name + "_curve_total_cos_orth")
			if err != nil {
				t.Fatal(err)
			}
			var wantCosine, wantOrthogonality []float32
			for row := range slices.Chunk(curve, 3) {
				wantCosine, wantOrthogonality = append(wantCosine, float32(row[1])), append(wantOrthogonality, float32(row[2]))
			}
			golden.Close(t, "cosine term", cosine, wantCosine, 1e-5)
			if lambda > 0 {
				golden.Close(t, "orthogonality term", orthogonality, wantOrthogonality, 1e-5)
			}
			golden.Close(t, "weights", a.Weights, f.Tensor(t, "compalign."+name+"_final_weights"), 1e-5)
			golden.Close(t, "bias", a.Bias, f.Tensor(t, "compalign."+name+"_final_bias"), 1e-5)
			if a.Steps != 20 {
				t.Errorf("%d steps, want 20", a.Steps)
			}
		})
	}
}

// The mapped contributions sum to the mapped representation, whose unit rows PyTorch gives.
func TestMapGolden(t *testing.T) {
	f := golden.Open(t, golden.Shared(t, "golden"), "numerics.safetensors")
	c, _, a := goldenAligner(t, f)
	mapped, err := a.Map(context.Background(), testBackend, c)
	if err != nil {
		t.Fatal(err)
	}
	sum := mapped.Sum([]int{0, 1, 2, 3, 4, 5})
	for i := range c.Pictures {
		row := sum[i*a.ClipDim:][:a.ClipDim]
		var square float64
		for _, v := range row {
			square += float64(v) * float64(v)
		}
		for d := range row {
			row[d] /= float32(math.Sqrt(square))
		}
	}
	golden.Close(t, "normalised sum", sum, f.Tensor(t, "compalign.aligned_normalised"), 1e-5)

	var facts struct {
		CompAlign struct {
			Cosine float64 `json:"cos_loss"`
		} `json:"compalign"`
	}
	file, err := os.ReadFile(golden.Shared(t, "golden", "numerics.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(file, &facts); err != nil {
		t.Fatal(err)
	}
	mean := 0.0
	for _, cosine := range decompose.Cosines(sum, f.Tensor(t, "compalign.clip_targets"), a.ClipDim) {
		mean += cosine / float64(c.Pictures)
	}
	if want := 1 - facts.CompAlign.Cosine; math.Abs(mean-want) > 1e-5 {
		t.Errorf("mean cosine %v, want %v", mean, want)
	}
}

// made draws contributions whose sum, mapped linearly, is a picture's embedding: something that can be learnt.
func made(components, pictures, dim, clipDim int, seed uint64) (*decompose.Contributions, []float32) {
	rng := rand.New(rand.NewPCG(seed, 1))
	c := &decompose.Contributions{Pictures: pictures, Dim: dim, Values: make([]float32, components*pictures*dim)}
	for i := range components {
		c.Components = append(c.Components, string(rune('a'+i)))
	}
	for i := range c.Values {
		c.Values[i] = float32(rng.NormFloat64())
	}
	fixed := rand.New(rand.NewPCG(3, 3)) // the same map for all seeds
	targets := make([]float32, pictures*clipDim)
	for component := range components {
		w := make([]float64, dim*clipDim)
		for i := range w {
			w[i] = fixed.NormFloat64()
		}
		for p := range pictures {
			for d, v := range c.Row(component, p) {
				for k := range clipDim {
					targets[p*clipDim+k] += v * float32(w[d*clipDim+k])
				}
			}
		}
	}
	return c, targets
}

func TestAlignLearns(t *testing.T) {
	ctx := context.Background()
	for _, sizes := range [][2]int{{10, 6}, {4, 6}} { // more dims than CLIP has, and fewer
		c, targets := made(3, 500, sizes[0], sizes[1], 1)
		config := paper
		config.LearningRate, config.Epochs, config.Patience = 1e-2, 20, 0
		train := func(lambda float64, opts decompose.AlignOptions) *decompose.Aligner {
			t.Helper()
			config.Lambda = lambda
			a, err := decompose.Align(ctx, onGo(t), c, targets, config, opts)
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		held, want := made(3, 70, sizes[0], sizes[1], 2) // more than are mapped at a time
		quality := func(a *decompose.Aligner) (cosine float64) {
			t.Helper()
			mapped, err := a.Map(ctx, onGo(t), held)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range decompose.Cosines(mapped.Sum([]int{0, 1, 2}), want, sizes[1]) {
				cosine += v / float64(held.Pictures)
			}
			return cosine
		}
		free, bound := train(0, decompose.AlignOptions{}), train(1, decompose.AlignOptions{})
		if got := quality(free); got < 0.99 {
			t.Errorf("%v: held-out cosine %.3f at lambda 0, want at least 0.99", sizes, got)
		}
		if quality(bound) > quality(free) {
			t.Errorf("%v: lambda 1 aligns better than lambda 0 where the true map is not orthogonal", sizes)
		}
		least := max(0, float64(sizes[1]-sizes[0])/float64(sizes[1])) // rank that is missing
		for i := range bound.Components {
			if bound.Orthogonality[i] > least+0.1 || free.Orthogonality[i] < 2*bound.Orthogonality[i] {
				t.Errorf("%v: orthogonality of %s is %.3g with lambda 1 and %.3g without", sizes, bound.Components[i], bound.Orthogonality[i], free.Orthogonality[i])
			}
			if got := orthogonality(bound, i); math.Abs(got-bound.Orthogonality[i]) > 1e-4*(1+got) {
				t.Errorf("%v: orthogonality %v, recomputed %v", sizes, bound.Orthogonality[i], got)
			}
		}
		if again := train(1, decompose.AlignOptions{}); !slices.Equal(again.Weights, bound.Weights) || !slices.Equal(again.Bias, bound.Bias) {
			t.Errorf("%v: the same seed gives other weights", sizes)
		}
		config.Seed = 5
		if other := train(1, decompose.AlignOptions{}); slices.Equal(other.Weights, bound.Weights) {
			t.Errorf("%v: another seed gives the same weights", sizes)
		}
		// A warm start needs a fraction of the steps, and leaves where it came from alone.
		before := slices.Clone(bound.Weights)
		config.Epochs = 2
		if warm := train(0.9, decompose.AlignOptions{From: bound}); quality(warm) < quality(bound)-0.02 {
			t.Errorf("%v: a warm start ends at %.3f, far from the %.3f it began with", sizes, quality(warm), quality(bound))
		}
		if !slices.Equal(before, bound.Weights) {
			t.Errorf("%v: a warm start changed what it began with", sizes)
		}
	}
}

// orthogonality is computed plainly: the mean over the entries of (W'W - I)^2, times the clip dim.
func orthogonality(a *decompose.Aligner, component int) float64 {
	w := a.Weights[component*a.Dim*a.ClipDim:][:a.Dim*a.ClipDim]
	sum := 0.0
	for i := range a.ClipDim {
		for j := range a.ClipDim {
			dot := 0.0
			for d := range a.Dim {
				dot += float64(w[d*a.ClipDim+i]) * float64(w[d*a.ClipDim+j])
			}
			if i == j {
				dot--
			}
			sum += dot * dot
		}
	}
	return sum / float64(a.ClipDim)
}

// With a learning rate that changes nothing measurable, no batch is better than the best for long.
func TestAlignStops(t *testing.T) {
	c, targets := made(2, 64, 4, 3, 1)
	config := paper
	config.LearningRate, config.Epochs, config.Patience, config.Batch = 1e-12, 100, 7, 64
	a, err := decompose.Align(context.Background(), onGo(t), c, targets, config, decompose.AlignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Steps < 8 || a.Steps > 60 {
		t.Errorf("stopped after %d steps of 100; want a few more than the patience of 7", a.Steps)
	}
}

func TestAlignRefuses(t *testing.T) {
	good := paper
	changed := func(change func(*decompose.AlignConfig)) decompose.AlignConfig {
		config := good
		change(&config)
		return config
	}
	c, targets := made(2, 8, 4, 3, 1)
	spoilt, _ := made(2, 8, 4, 3, 1)
	spoilt.Values[(8+3)*4] = float32(math.NaN())
	for name, test := range map[string]struct {
		c       *decompose.Contributions
		targets []float32
		config  decompose.AlignConfig
		opts    decompose.AlignOptions
		want    string
	}{
		"negative lambda":      {c, targets, changed(func(c *decompose.AlignConfig) { c.Lambda = -1 }), decompose.AlignOptions{}, "lambda -1"},
		"lambda not a number":  {c, targets, changed(func(c *decompose.AlignConfig) { c.Lambda = math.NaN() }), decompose.AlignOptions{}, "lambda NaN"},
		"no learning":          {c, targets, changed(func(c *decompose.AlignConfig) { c.LearningRate = 0 }), decompose.AlignOptions{}, "learning rate 0"},
		"no batch":             {c, targets, changed(func(c *decompose.AlignConfig) { c.Batch = 0 }), decompose.AlignOptions{}, "batches of 0"},
		"NaN":                  {spoilt, targets, good, decompose.AlignOptions{}, "contribution of b to picture 3 is not finite"},
		"a rate too large":     {c, targets, changed(func(c *decompose.AlignConfig) { c.LearningRate = 1e30 }), decompose.AlignOptions{}, "not finite at step 2"},
		"and no step after it": {c, targets, changed(func(c *decompose.AlignConfig) { c.LearningRate, c.Epochs = 1e60, 1 }), decompose.AlignOptions{}, "final weights are not finite"},
		"no targets":           {c, nil, good, decompose.AlignOptions{}, "not the embeddings of 8 pictures"},
		"a picture too few":    {c, targets[:21], good, decompose.AlignOptions{}, "21 numbers are not the embeddings of 8 pictures"},
		"target of length 0":   {c, make([]float32, 24), good, decompose.AlignOptions{}, "picture 0 has length 0"},
		"no contributions":     {&decompose.Contributions{}, targets, good, decompose.AlignOptions{}, "no components"},
		"begun by another":     {c, targets, good, decompose.AlignOptions{From: &decompose.Aligner{Components: []string{"a", "x"}, Dim: 4, ClipDim: 3}}, "does not have b"},
		"begun in other space": {c, targets, good, decompose.AlignOptions{From: &decompose.Aligner{Components: c.Components, Dim: 4, ClipDim: 5}}, "maps 4 to 5 dimensions, not 4 to 3"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decompose.Align(context.Background(), onGo(t), test.c, test.targets, test.config, test.opts)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := decompose.Align(ctx, onGo(t), c, targets, good, decompose.AlignOptions{}); err != context.Canceled {
		t.Errorf("interrupted: error %v, want %v", err, context.Canceled)
	}
}

// One picture, and fewer pictures than dims, are little to learn from, but no error.
func TestAlignFewPictures(t *testing.T) {
	for _, pictures := range []int{1, 2} {
		c, targets := made(2, pictures, 5, 4, 1)
		a, err := decompose.Align(context.Background(), onGo(t), c, targets, paper, decompose.AlignOptions{})
		if err != nil || a.Steps != 2 {
			t.Errorf("%d pictures: %+v, error %v", pictures, a, err)
		}
	}
}

func TestAlignerFile(t *testing.T) {
	c, targets := made(2, 8, 4, 3, 1)
	a, err := decompose.Align(context.Background(), onGo(t), c, targets, paper, decompose.AlignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	origin := decompose.Origin{Checkpoint: "model", Reference: "clip", Blocks: "7..11", Split: "heads", Biases: "const"}
	path := filepath.Join(t.TempDir(), "a.safetensors")
	if err := a.WriteFile(path, origin, "pictures"); err != nil {
		t.Fatal(err)
	}
	got, trainedOn, err := decompose.ReadAligner(path, origin)
	if err != nil {
		t.Fatal(err)
	}
	if trainedOn != "pictures" || !slices.Equal(got.Weights, a.Weights) || !slices.Equal(got.Bias, a.Bias) || got.Config != a.Config ||
		!slices.Equal(got.Components, a.Components) || got.Steps != a.Steps || got.Loss != a.Loss || got.Dim != 4 || got.ClipDim != 3 ||
		!slices.Equal(got.Orthogonality, a.Orthogonality) {
		t.Errorf("read back %+v, trained on %s; written %+v", got, trainedOn, a)
	}
	for name, test := range map[string]struct {
		change func(*decompose.Origin)
		want   string
	}{
		"model":     {func(o *decompose.Origin) { o.Checkpoint = "other" }, "the model: model there, other here"},
		"reference": {func(o *decompose.Origin) { o.Reference = "" }, "the reference CLIP: clip there, none here"},
		"blocks":    {func(o *decompose.Origin) { o.Blocks = "8..11" }, "the blocks: 7..11 there, 8..11 here"},
		"split":     {func(o *decompose.Origin) { o.Split = "attns" }, "the split of attention"},
		"biases":    {func(o *decompose.Origin) { o.Biases = "shared" }, "the treatment of biases"},
		"input":     {func(o *decompose.Origin) { o.Input = "64 pixels" }, "the preprocessing"},
	} {
		other := origin
		test.change(&other)
		if _, _, err := decompose.ReadAligner(path, other); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("another %s: error %v, want one with %q", name, err, test.want)
		}
	}
	other, _ := made(3, 8, 4, 3, 1)
	if _, err := got.Map(context.Background(), onGo(t), other); err == nil || !strings.Contains(err.Error(), "is for other components") {
		t.Errorf("other components: error %v", err)
	}

	// A file of which one byte is wrong, or that is cut, is not believed.
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func() []byte{
		"changed": func() []byte { b := slices.Clone(file); b[len(b)-30] ^= 1; return b },
		"cut":     func() []byte { return file[:len(file)-1] },
		"record":  func() []byte { return []byte(strings.Replace(string(file), `\"pictures\":8`, `\"pictures\":9`, 1)) },
	} {
		if err := os.WriteFile(path, damage(), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, _, err := decompose.ReadAligner(path, origin); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s file: error %v, want one that names it", name, err)
		}
	}
}

// failing is a source that cannot be read from some picture on.
type failing struct {
	*decompose.Contributions
	left int
}

func (f *failing) Picture(picture int, x []float32) error {
	if f.left--; f.left < 0 {
		return errors.New("the disk is gone")
	}
	return f.Contributions.Picture(picture, x)
}

// An error of the source ends the training with its step.
func TestAlignSourceFails(t *testing.T) {
	c, targets := made(2, 20, 4, 3, 1)
	config := paper
	config.Batch = 8
	_, err := decompose.Align(context.Background(), onGo(t), &failing{c, 12}, targets, config, decompose.AlignOptions{})
	if err == nil || err.Error() != "step 2: the disk is gone" {
		t.Errorf("error %v", err)
	}
}
