package session

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Scenes have pictures to train heads and alignments on without a word; other data have not, and neither have photographs the
// words of the shipped reference.
func TestDefaults(t *testing.T) {
	for data, want := range map[string]string{"": TrainingScenes, "scenes:50": TrainingScenes, "scenes:5:7": TrainingScenes, "folder:photos": "", "photos": "", "scenes": ""} {
		o := Options{Data: data}
		require.NoError(t, o.setDefaults(false))
		require.Equal(t, want, o.HeadData, data)
		require.Equal(t, want, o.AlignData, data)
		require.Equal(t, 8, o.Batch)
		require.Equal(t, 1.0, *o.Lambda)
	}
	o := Options{Data: "scenes:50", HeadData: "mine", Lambda: new(0.0)}
	require.NoError(t, o.setDefaults(false))
	require.Equal(t, "mine", o.HeadData)
	require.Equal(t, 0.0, *o.Lambda)
	o = Options{Model: "dino-mini"}
	require.NoError(t, o.setDefaults(true))
	require.Equal(t, TrainingScenes, o.HeadData, "a shipped model knows scenes, whatever pictures it is given")
	o = Options{Model: "hf:somebody/vit"}
	require.NoError(t, o.setDefaults(true))
	require.Empty(t, o.HeadData)
}
