package experiments

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/data/scenes"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/tiny"
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
			order, err := ablationOrder(c.given)
			require.NoError(t, err)
			for _, i := range order {
				got = append(got, c.given[i])
			}
			require.Equal(t, c.want, got)
		})
	}
}

// A CLIP tells birds apart by what the drawn ones are called in scenes, and others by the names of their classes.
func TestBirdNames(t *testing.T) {
	s, err := session.With(t.Context(), session.Options{Model: "clip-mini", Data: "scenes:1"}, session.Given{Backend: tiny.Backend(t)})
	require.NoError(t, err)
	defer s.Close()
	birds := BirdData{Test: scenes.NewBirds(2, 4, false)}
	for uncorrelated, want := range map[string][]string{
		"scenes-birds:4": {"finch or hummingbird", "swan or pelican"}, "waterbirds:DIR:test": {"landbird", "waterbird"},
	} {
		config := WaterbirdsConfig{Uncorrelated: uncorrelated}
		headed, err := config.head(t.Context(), s, birds)
		require.NoError(t, err)
		require.Equal(t, want, headed.ClassNames)
	}
}
