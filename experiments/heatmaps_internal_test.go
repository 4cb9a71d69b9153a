package experiments

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What is left are the sums, and of each text the strongest heads, the strongest first.
func TestStrongest(t *testing.T) {
	panel := func(text string, value float32, components ...string) HeatmapPanel {
		return HeatmapPanel{Text: text, Components: components, Values: []float32{value, -value}}
	}
	p := HeatmapPicture{Panels: []HeatmapPanel{
		panel("car", 9, "a", "b", "c"), panel("car", 1, "a"), panel("car", -3, "b"), panel("car", 2, "c"),
		panel("forest", 5, "a"), panel("forest", 4, "b"),
	}}
	require.Equal(t, []HeatmapPanel{
		panel("car", 9, "a", "b", "c"), panel("car", -3, "b"), panel("car", 2, "c"), panel("forest", 5, "a"), panel("forest", 4, "b"),
	}, p.Strongest(2).Panels)
	require.Equal(t, []HeatmapPanel{panel("car", 9, "a", "b", "c"), panel("car", -3, "b"), panel("forest", 5, "a")}, p.Strongest(1).Panels)
	require.Len(t, p.Panels, 6, "what it was made of stays")
}

// Three of four pixels are right, one of the two that either has is in both, and the highest of the map is on the object.
func TestOutlined(t *testing.T) {
	counts, err := CountSegmentation([]float32{4, 3, 0, -1}, []uint8{1, 0, 0, 0})
	require.NoError(t, err)
	accuracy, iou, precision := HeatmapPanel{Mask: &counts}.Outlined()
	require.Equal(t, []float64{0.75, 0.5, 1}, []float64{accuracy, iou, precision})
}
