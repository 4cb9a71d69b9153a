package experiments

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAblationOrder(t *testing.T) {
	for _, c := range []struct {
		name        string
		given, want []string
	}{
		{"plain", []string{"init", "layer:00, attns", "layer:00, mlp", "layer:01, attns", "layer:01, mlp", "const"},
			[]string{"init", "layer:00, mlp", "layer:00, attns", "layer:01, mlp", "layer:01, attns"}},
		{"convolution, block and grid", []string{"init", "layer:(0,0), conv", "layer:(0,0), attns", "layer:(0,0), mlp", "layer:(0,1), attns", "layer:(0,1), mlp"},
			[]string{"init", "layer:(0,0), mlp", "layer:(0,0), attns", "layer:(0,0), conv", "layer:(0,1), mlp", "layer:(0,1), attns"}},
		{"block and grid of MaxViT", []string{"layer:(0,0), conv", "layer:(0,0), block attns", "layer:(0,0), block mlp", "layer:(0,0), grid attns", "layer:(0,0), grid mlp"},
			[]string{"layer:(0,0), block mlp", "layer:(0,0), grid mlp", "layer:(0,0), block attns", "layer:(0,0), grid attns", "layer:(0,0), conv"}},
		{"some blocks", []string{"init", "layer:10, attns", "layer:10, mlp", "rest"}, []string{"init", "layer:10, mlp", "layer:10, attns", "rest"}},
		{"nothing", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, i := range ablationOrder(c.given) {
				got = append(got, c.given[i])
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestMedian(t *testing.T) {
	require.Zero(t, median(nil))
	require.Equal(t, 3.0, median([]float64{3}))
	require.Equal(t, 2.5, median([]float64{4, 1, 2, 3}))
	values := []float64{9, 1, 5}
	require.Equal(t, 5.0, median(values))
	require.Equal(t, []float64{9, 1, 5}, values, "the caller's order stays")
}

func TestArgmax(t *testing.T) {
	nan := float32(0)
	nan /= nan
	require.Equal(t, 1, argmax([]float32{-3, 2, 2}))
	require.Equal(t, 1, argmax([]float32{nan, -1, nan}))
	require.Equal(t, -1, argmax([]float32{nan}), "a picture of no class is no class's picture")
}
