package heads_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/data/scenes"
	"vitdecompose/decompose"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/heads"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/zoo"
)

// TestZooLinearHeads trains linear heads for the shipped models that have none, as the protocol says, and for the same
// models with random weights. What they reach on held-out scenes is what their training without labels is worth.
func TestZooLinearHeads(t *testing.T) {
	if testing.Short() {
		t.Skip("trains heads on thousands of scenes; not with -short")
	}
	const pictures, heldOut = 2500, 500
	b, err := backend.Open("")
	require.NoError(t, err)
	defer b.Finalize()
	tested := 0
	for _, name := range zoo.Studied() {
		ckpt, err := zoo.Open(name)
		require.NoError(t, err)
		defer ckpt.Close()
		model, err := gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{Text: true})
		require.NoError(t, err)
		if model.Text != nil || model.Arch.NumClasses() > 0 {
			continue
		}
		tested++
		accuracy := func(model *gomlxvit.Model) float64 {
			head, err := heads.Train(t.Context(), extraction.Extraction{
				Backend: b, Model: model, Data: scenes.New(1, pictures), Batch: 100, CacheDir: t.TempDir(),
				Options: decompose.Options{Split: decompose.Attns, First: len(model.Arch.Blocks()) - 1},
			}, heads.Config{})
			require.NoError(t, err)
			headed, err := head.ApplyTo(model)
			require.NoError(t, err)
			share, err := zoo.Accuracy(t.Context(), b, headed, scenes.New(0, heldOut))
			require.NoError(t, err)
			return share
		}
		trained := accuracy(model)
		random := accuracy(gomlxvit.RandomOf(name+" not trained", model.Arch, 1))
		t.Logf("%s with a linear head: %.1f %% of %d held-out scenes; with random weights %.1f %%", name, 100*trained, heldOut, 100*random)
		require.GreaterOrEqual(t, trained, 0.80, name)
		require.Less(t, random, 0.40, name)
	}
	require.Positive(t, tested)
}
