package experiments

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/data"
	"vitdecompose/data/scenes"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments/session"
)

// The data set says of scenes what colour they have, and of signs alone what shape.
func TestTruthOf(t *testing.T) {
	shape := phrases.Feature{Name: "shape", Instances: []string{"octagonal shape", "triangular shape"}}
	for _, test := range []struct {
		text, value string
		is          bool
		has         string
	}{
		{"octagonal shape", "octagonal", true, ""},
		{"octagonal shape", "triangular", false, "triangular shape"},
		{"octagonal shape", "round", false, "round"},
		{"octagonal shape", "", false, ""},
	} {
		is, has := truthOf(shape, test.text, test.value)
		require.Equal(t, test.is, *is, "%+v", test)
		require.Equal(t, test.has, has, "%+v", test)
	}
}

// gaps are two pictures that have a colour or none, and one of which nobody says.
type gaps struct{ data.Dataset }

func (gaps) Attributes(i int) map[string]string {
	return []map[string]string{{"color": "red"}, {"color": ""}, nil}[i]
}

func TestTruths(t *testing.T) {
	s := new(session.Session)
	require.Equal(t, []string{"red", ""}, truths(s, gaps{}, []int{0, 1}, "color"))
	require.Empty(t, s.Assumptions())
	require.Equal(t, []string{"", "red"}, truths(s, gaps{}, []int{2, 0}, "color"))
	require.Equal(t, []string{"1 of 2 pictures, of which the data does not say their color, count as pictures without one"}, s.Assumptions())
	require.Nil(t, truths(s, gaps{}, []int{1, 2}, "color"))
}

func TestKnows(t *testing.T) {
	ds := scenes.New(0, 50)
	require.True(t, knows(ds, "color"))
	require.True(t, knows(ds, "shape"), "of a sign among 50")
	require.False(t, knows(ds, "fabric"))
	require.False(t, knows(ds, ""))
}

func TestShareScale(t *testing.T) {
	s := ModelHeatmaps{Pictures: []HeatmapPicture{{Panels: []HeatmapPanel{{Limit: 1}, {Limit: 3}}}, {Panels: []HeatmapPanel{{Limit: 2}}}}}
	s.shareScale()
	for _, p := range s.Pictures {
		for _, panel := range p.Panels {
			require.Equal(t, 3.0, panel.Limit)
		}
	}
}
