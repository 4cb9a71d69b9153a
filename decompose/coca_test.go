package decompose_test

import (
	"path/filepath"
	"testing"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit/golden"
)

// Contributions go through CoCa's pooling attention and the norm behind it as plain NumPy says (gomlxvit/testdata/towers.py).
func TestCoCa(t *testing.T) {
	compute := onGo(t)
	for _, name := range []string{"coca", "coca_same_width"} {
		t.Run(name, func(t *testing.T) {
			model, io, pixels := loadCase(t, filepath.Join("..", "gomlxvit", "testdata", name))
			out := runOn(t, compute, model, pixels, decompose.Options{Split: decompose.Heads})
			golden.Close(t, "representation", out.Representation, io.Tensor(t, "features"), 2e-5)
			if out.Error > 1e-5 {
				t.Errorf("components sum to the representation within %.2g", out.Error)
			}
			seen := 0
			for i, component := range out.Components {
				size := out.Batch * out.Dim
				got := out.Contributions[i*size:][:size]
				switch component.Kind {
				case decompose.Init:
					golden.Close(t, component.String(), got, io.Tensor(t, "init"), 5e-5)
				case decompose.MLP:
					golden.Close(t, component.String(), got, io.Tensor(t, "mlp"), 5e-5)
				case decompose.Head:
					heads := io.Tensor(t, "attn_heads") // [1, batch, head, dim]
					var want []float32
					for b := range out.Batch {
						want = append(want, heads[(b*2+component.Head)*out.Dim:][:out.Dim]...)
					}
					golden.Close(t, component.String(), got, want, 5e-5)
				default:
					continue
				}
				seen++
			}
			if seen != 4 {
				t.Errorf("%d components, want init, two heads and an MLP", seen)
			}
		})
	}
}
