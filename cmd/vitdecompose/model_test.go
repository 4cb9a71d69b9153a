package main

import (
	"path/filepath"
	"testing"

	"vitdecompose/experiments/session"

	"github.com/stretchr/testify/require"
)

// The pictures of --shuffle are the same for a seed and others for another; --pictures takes the first of them.
func TestShuffle(t *testing.T) {
	names := func(options session.Options) (list []string, hash string) {
		t.Helper()
		ds, err := session.OpenPictures(t.Context(), options)
		require.NoError(t, err)
		for i := range ds.Len() {
			list = append(list, ds.Item(i).Name)
		}
		hash, err = ds.Hash()
		require.NoError(t, err)
		return list, hash
	}
	plain, plainHash := names(session.Options{Data: "scenes:30"})
	one, oneHash := names(session.Options{Data: "scenes:30", Shuffle: new(uint64(1))})
	again, againHash := names(session.Options{Data: "scenes:30", Shuffle: new(uint64(1))})
	other, _ := names(session.Options{Data: "scenes:30", Shuffle: new(uint64(2))})
	some, someHash := names(session.Options{Data: "scenes:30", Shuffle: new(uint64(1)), Pictures: 10})
	require.ElementsMatch(t, plain, one)
	require.NotEqual(t, plain, one)
	require.NotEqual(t, one, other)
	require.Equal(t, one, again)
	require.Equal(t, one[:10], some)
	require.Equal(t, oneHash, againHash)
	require.NotEqual(t, plainHash, oneHash)
	require.NotEqual(t, oneHash, someHash)
}

// Contributions are kept as float32, or in half the room.
func TestKeep(t *testing.T) {
	fail(t, exitUsage, []string{`--keep: "float8"`, "float16"}, "run", "ablation", "--keep", "float8")
	model, dir := tinyModel(t), t.TempDir()
	code, _, stderr := program(t, "run", "ablation", "--model", model, "--data", "scenes:6", "--keep", "float16", "--cache", filepath.Join(dir, "cache"), "--out", filepath.Join(dir, "results"))
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, stderr, "contributions are stored as float16: their sum is within ")
	require.FileExists(t, filepath.Join(dir, "results", "result.json"))
}
