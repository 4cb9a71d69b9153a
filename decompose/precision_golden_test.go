package decompose_test

import (
	"slices"
	"testing"

	"github.com/gomlx/compute"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit/golden"
)

// bfloat16 has 8 significant bits: rounding is off by at most 2^-9 of a number. The golden models have four to eight blocks
// whose products all read rounded operands; allowed is what 16 such errors would add up to if all pointed the same way.
const bfloat16Error = 16.0 / (1 << 9)

// With operands in bfloat16 the representation and every contribution stay near timm's float32, and the contributions
// sum to the representation nearly as well as its own rounding allows.
func TestGoldenBFloat16(t *testing.T) {
	if !unoptimised(t) {
		return
	}
	for _, name := range []string{"vit_deit", "vit_avgpool", "clip_quickgelu", "swin", "maxvit_tf"} {
		on(t, name, []string{"vit_deit", "swin"}, func(t *testing.T, b compute.Backend) {
			dir, model, pixels := goldenModel(t, name)
			opts := decompose.Options{First: stageOne(t, name), Split: decompose.Heads}
			exact := goldenOutput(t, b, name, opts)
			narrow := runOn(t, b, model.InBFloat16(), pixels, opts)
			io := golden.Open(t, dir, "io.safetensors")
			golden.Close(t, "representation", narrow.Representation, io.Tensor(t, "features"), bfloat16Error)
			if slices.Equal(narrow.Representation, exact.Representation) {
				t.Error("the representation is the same as in float32, to the last bit")
			}
			t.Logf("sum error %.1e (float32: %.1e), representation off by %.1e", narrow.Error, exact.Error, apart(narrow.Representation, exact.Representation))
			if narrow.Error > bfloat16Error/4 {
				t.Errorf("components sum to the representation within %.2g, allowed %.2g", narrow.Error, bfloat16Error/4)
			}
			size := exact.Batch * exact.Dim
			for i, c := range exact.Components {
				golden.Close(t, c.String(), narrow.Contributions[i*size:][:size], exact.Contributions[i*size:][:size], bfloat16Error)
			}
		})
	}
}

// apart is the largest difference over the largest number.
func apart(a, b []float32) float64 {
	difference, largest := 0.0, 0.0
	for i := range a {
		difference = max(difference, float64(max(a[i]-b[i], b[i]-a[i])))
		largest = max(largest, float64(max(b[i], -b[i])))
	}
	return difference / largest
}
