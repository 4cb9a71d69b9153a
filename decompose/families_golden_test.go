package decompose_test

import (
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/golden"
)

// familyCase is a tiny model with what PyTorch computes, decomposed in float64 by derivatives (golden2/README.md of the shared
// data).
type familyCase struct {
	name string
	// prefix stands before the names of the reference where it has several representations.
	features, prefix string
	tolerance        float64 // of representation and logits; 0 stands for 2e-5
	// maximum says that the stream passes maxima over tokens, through which tokens are not followed.
	maximum bool
}

var familyCases = []familyCase{
	{name: "vit_qknorm"}, {name: "vit_rmsnorm"}, {name: "vit_map"}, {name: "vit_map_prefix"}, {name: "vit_quickgelu"}, {name: "vit_clip"},
	{name: "dinov3"}, {name: "dinov3_plus"}, {name: "dinov3_qkvb"}, {name: "eva02"}, {name: "eva02_base"}, {name: "eva02_clip"}, {name: "pe"},
	{name: "pe_spatial"}, {name: "vit_rope"}, {name: "vit_rope_mixed"}, {name: "beit"}, {name: "vit_little"},
	{name: "swinv2", tolerance: 2e-4}, {name: "swinv2_resized", tolerance: 2e-4}, {name: "swin"}, {name: "hf_swin"}, {name: "hiera", maximum: true}, {name: "coatnet"},
	{name: "openclip_siglip"}, {name: "openclip_vit_gap"}, {name: "openclip_eva02"},
	{name: "hf_siglip"}, {name: "hf_dinov3"}, {name: "hf_dinov3_gated"}, {name: "hf_beit"}, {name: "vit_rpn"}, {name: "beit3"}, {name: "siglip"}, {name: "deit_distilled", features: "features_both", prefix: "both."},
}

// loadFamily loads a case with its input pictures.
func loadFamily(t *testing.T, name string) (dir string, model *gomlxvit.Model, io golden.File, pixels *tensors.Tensor) {
	t.Helper()
	dir = golden.Shared(t, "golden2", name)
	model, io, pixels = loadCase(t, dir)
	return dir, model, io, pixels
}

// loadCase loads the model in a directory and the pictures in io.safetensors beside it.
func loadCase(t *testing.T, dir string) (model *gomlxvit.Model, io golden.File, pixels *tensors.Tensor) {
	t.Helper()
	ckpt, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ckpt.Close() })
	io = golden.Open(t, dir, "io.safetensors")
	input := "input"
	if !io.Has(input) {
		input = "pixel_values"
	}
	shape := io.Shape(t, input)
	if model, err = gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{ImageSize: shape[2]}); err != nil {
		t.Fatal(err)
	}
	return model, io, tensors.FromFlatDataAndDimensions(io.Tensor(t, input), shape...)
}

func TestGoldenFamilies(t *testing.T) {
	compute := onGo(t)
	for _, c := range familyCases {
		t.Run(c.name, func(t *testing.T) { checkFamily(t, compute, c) })
	}
}

func checkFamily(t *testing.T, compute compute.Backend, c familyCase) {
	dir, model, io, pixels := loadFamily(t, c.name)
	if c.features == "" {
		c.features = "features"
	}
	if c.tolerance == 0 {
		c.tolerance = 2e-5
	}
	f := golden.Open(t, dir, "decomposition.safetensors")
	for _, split := range []decompose.Split{decompose.Heads, decompose.Attns} {
		out := runOn(t, compute, model, pixels, decompose.Options{Split: split})
		golden.Close(t, "representation", out.Representation, io.Tensor(t, c.features), c.tolerance)
		if io.Has("logits") {
			golden.Close(t, "logits", out.Logits, io.Tensor(t, "logits"), c.tolerance)
		} else if out.Logits != nil {
			t.Error("there are logits")
		}
		if out.Error > 1e-5 {
			t.Errorf("components sum to the representation within %.2g, allowed 1e-5", out.Error)
		}
		// Each of them relative to the largest value of the representation, as the conventions of the data say.
		largest, worst := float32(0), float32(0)
		for _, v := range out.Representation {
			largest = max(largest, v, -v)
		}
		for i, component := range out.Components {
			size := out.Batch * out.Dim
			got, want := out.Contributions[i*size:][:size], prefixedReference(t, f, c.prefix, component)
			if len(got) != len(want) {
				t.Fatalf("%s: %d numbers, want %d", component, len(got), len(want))
			}
			for k := range want {
				d := max(got[k]-want[k], want[k]-got[k])
				worst = max(worst, d/largest)
				if !(float64(d) <= 5e-5*float64(largest)) {
					t.Errorf("%s: element %d is %v, want %v", component, k, got[k], want[k])
					break
				}
			}
		}
		t.Logf("%s: representation off by %.1e, components by %.1e, sum by %.1e", split, apart(out.Representation, io.Tensor(t, c.features)), worst, out.Error)
	}
}

// The token split of every family sums, over tokens, to the same contributions, and so do the token scores.
func TestFamilyTokens(t *testing.T) {
	backend := onGo(t)
	for _, c := range familyCases {
		t.Run(c.name, func(t *testing.T) {
			dir, model, _, pixels := loadFamily(t, c.name)
			f := golden.Open(t, dir, "decomposition.safetensors")
			checkTokenSums(t, model, pixels, c.maximum, func(component decompose.Component) []float32 {
				return prefixedReference(t, f, c.prefix, component)
			})
			if c.maximum {
				return
			}
			if model.Arch.NumClasses() == 0 || c.prefix != "" {
				return
			}
			checkScores(t, backend, model, pixels, f)
		})
	}
}

// checkTokenSums checks that a model's token split sums, over tokens, to the reference of every component; or that it is refused for
// a maximum over tokens.
func checkTokenSums(t *testing.T, model *gomlxvit.Model, pixels *tensors.Tensor, maximum bool, reference func(decompose.Component) []float32) {
	t.Helper()
	d, err := decompose.New(onGo(t), model, decompose.Options{Split: decompose.Tokens})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	batch, checked := pixels.Shape().Dim(0), 0
	out, err := d.RunTokens(pixels, func(b decompose.TokenBlock) error {
		dim := model.Arch.OutputDim()
		for i, index := range b.Components {
			sum := make([]float32, batch*dim)
			for k, v := range b.Contributions[i*batch*b.Tokens*dim:][:batch*b.Tokens*dim] {
				sum[k/(b.Tokens*dim)*dim+k%dim] += v
			}
			component := d.Components()[index]
			golden.Close(t, component.String(), sum, reference(component), 5e-5)
			checked++
		}
		return nil
	})
	if maximum {
		if err == nil || !strings.Contains(err.Error(), "cannot pass node") || !strings.Contains(err.Error(), "does not treat all tokens alike") {
			t.Errorf("the maximum is refused with %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if checked != len(d.Components()) {
		t.Errorf("%d of %d components were split", checked, len(d.Components()))
	}
	if out.Error > 1e-5 {
		t.Errorf("components sum to the representation within %.2g, allowed 1e-5", out.Error)
	}
}

// checkScores checks that the scores of a component's tokens sum to what it adds to the logit of class 1, which its
// reference contribution and the head's weight say.
func checkScores(t *testing.T, backend compute.Backend, model *gomlxvit.Model, pixels *tensors.Tensor, f golden.File) {
	scorer, err := decompose.NewScorer(backend, model, decompose.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer scorer.Close()
	const class = 1
	scores, logits, err := scorer.Run(pixels, []int{class, class})
	if err != nil {
		t.Fatal(err)
	}
	head := model.Weight("head.weight")
	if head == nil {
		head = model.Weight("head.fc.weight")
	}
	weight := tensors.MustCopyFlatData[float32](head)
	dim, largest := model.Arch.OutputDim(), 0.0
	for _, v := range logits {
		largest = max(largest, float64(v), -float64(v))
	}
	for _, s := range scores {
		want := prefixedReference(t, f, "", s.Component)
		for picture := range 2 {
			sum, logit := 0.0, 0.0
			for _, v := range s.Values[picture*s.Tokens:][:s.Tokens] {
				sum += float64(v)
			}
			for i, v := range want[picture*dim:][:dim] {
				logit += float64(v) * float64(weight[class*dim+i])
			}
			if difference := max(sum-logit, logit-sum); !(difference <= 5e-5*largest) {
				t.Errorf("%s of picture %d: tokens add %v to the logit, want %v", s.Component, picture, sum, logit)
			}
		}
	}
}
