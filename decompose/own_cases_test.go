package decompose_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit/golden"
)

// checkOwnCase compares the decomposition of a model in gomlxvit/testdata with what timm 1.0.31 computes in float64 with it, by
// the script beside it: features, logits, and the components, in tensors that are named after their blocks' order.
func checkOwnCase(t *testing.T, dir string) {
	t.Helper()
	model, io, pixels := loadCase(t, dir)
	out := runOn(t, onGo(t), model, pixels, decompose.Options{Split: decompose.Heads})
	golden.Close(t, "representation", out.Representation, io.Tensor(t, "features"), 2e-5)
	golden.Close(t, "logits", out.Logits, io.Tensor(t, "logits"), 2e-5)
	if out.Error > 1e-5 {
		t.Errorf("components sum to the representation within %.2g, allowed 1e-5", out.Error)
	}
	seen := 0
	worst := make(map[decompose.Kind]float64) // of each kind
	for i, component := range out.Components {
		size := out.Batch * out.Dim
		got := out.Contributions[i*size:][:size]
		if component.Kind == decompose.Const && !io.Has("const") {
			continue
		}
		want := ownReference(t, io, component)
		golden.Close(t, component.String(), got, want, 5e-5)
		worst[component.Kind] = max(worst[component.Kind], apart(got, want))
		seen++
	}
	want := 0
	for _, name := range io.Names() {
		switch kind, _, _ := strings.Cut(name, "."); kind {
		case "init", "conv", "mlp", "const":
			want++
		case "attn_heads":
			want += io.Shape(t, name)[1]
		}
	}
	if seen != want {
		t.Errorf("%d components are compared, want %d", seen, want)
	}
	t.Logf("representation off by %.1e, logits by %.1e, sum by %.1e",
		apart(out.Representation, io.Tensor(t, "features")), apart(out.Logits, io.Tensor(t, "logits")), out.Error)
	for _, kind := range slices.Sorted(maps.Keys(worst)) {
		t.Logf("%s off by %.1e", kind, worst[kind])
	}
}

// ownReference is the contribution [batch, dim] of a component in such a file.
func ownReference(t *testing.T, io golden.File, c decompose.Component) []float32 {
	t.Helper()
	of := fmt.Sprintf(".%d", c.Block.Order)
	if c.Block.Sublayer != "" {
		of += "." + c.Block.Sublayer
	}
	switch c.Kind {
	case decompose.Init, decompose.Const:
		return io.Tensor(t, string(c.Kind))
	case decompose.Conv, decompose.MLP:
		return io.Tensor(t, string(c.Kind)+of)
	case decompose.Head:
		shape := io.Shape(t, "attn_heads"+of) // [batch, head, dim]
		return pick(io.Tensor(t, "attn_heads"+of), shape[0], shape[1], shape[2], c.Head)
	}
	t.Fatalf("there is no reference for %s", c)
	return nil
}
