package decompose_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit/golden"
)

// A Hiera whose positions are a map and a window, and whose stream is widened by maxima and means side by side, as timm 1.0.31
// computes it in float64 (gomlxvit/testdata/hiera.py). The other kind is among the golden families.
func TestHieraOfWindows(t *testing.T) {
	model, io, pixels := loadCase(t, filepath.Join("..", "gomlxvit", "testdata", "hiera_abswin"))
	out := runOn(t, onGo(t), model, pixels, decompose.Options{Split: decompose.Heads})
	golden.Close(t, "representation", out.Representation, io.Tensor(t, "features"), 2e-5)
	golden.Close(t, "logits", out.Logits, io.Tensor(t, "logits"), 2e-5)
	if out.Error > 1e-5 {
		t.Errorf("components sum to the representation within %.2g, allowed 1e-5", out.Error)
	}
	seen := 0
	for i, component := range out.Components {
		size := out.Batch * out.Dim
		got := out.Contributions[i*size:][:size]
		var want []float32
		switch component.Kind {
		case decompose.Init:
			want = io.Tensor(t, "init")
		case decompose.MLP:
			want = io.Tensor(t, fmt.Sprintf("mlp.%d", component.Block.Order))
		case decompose.Head:
			name := fmt.Sprintf("attn_heads.%d", component.Block.Order)
			heads, all := io.Shape(t, name)[1], io.Tensor(t, name) // [batch, head, dim]
			for b := range out.Batch {
				want = append(want, all[(b*heads+component.Head)*out.Dim:][:out.Dim]...)
			}
		default:
			continue
		}
		golden.Close(t, component.String(), got, want, 5e-5)
		seen++
	}
	if seen != 1+6+2+4+4+8+16+16 {
		t.Errorf("%d components, want init, 6 MLPs and the heads of 6 blocks", seen)
	}
}
