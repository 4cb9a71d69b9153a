package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRunAblationOfAModelWithoutHead(t *testing.T) {
	dir := t.TempDir()
	headless, store, photos := filepath.Join(dir, "headless"), filepath.Join(dir, "cache"), filepath.Join(dir, "photos")
	writeHeadless(t, headless)
	writePictures(t, photos, 24)
	var drawn atomic.Int64
	watch(t, func(int) { drawn.Add(1) })
	args := []string{"run", "ablation", "--model", headless, "--head-data", "watched:48:1", "--data", photos, "--cache", store}

	out := filepath.Join(dir, "out")
	stdout := succeed(t, append(args, "--out", out)...)
	require.True(t, strings.HasPrefix(stdout, "assuming: "+headless+": linear head of 12 classes, trained on 48 pictures of watched:48:1\nheadless: 24 pictures, accuracy "), stdout)
	require.Equal(t, int64(48), drawn.Load())
	written(t, out)
	r := readResult(t, out)
	require.Equal(t, "watched:48:1", r.Config["head_data"])
	require.Equal(t, 24, r.Result.Curves[0].Pictures)
	require.Contains(t, r.Data, photos)
	require.Regexp(t, `^[0-9a-f]{64}$`, r.Data["watched:48:1"])
	heads, err := filepath.Glob(filepath.Join(store, "heads", "*"))
	require.NoError(t, err)
	require.Len(t, heads, 1)

	drawn.Store(0)
	again := filepath.Join(dir, "again")
	succeed(t, append(args, "--out", again)...)
	require.Zero(t, drawn.Load(), "no picture is looked at")
	require.Equal(t, withoutSeconds(t, out), withoutSeconds(t, again))

	require.NoError(t, os.Truncate(heads[0], 100))
	code, _, stderr := program(t, append(args, "--out", again)...)
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, stderr, heads[0])
	require.Equal(t, withoutSeconds(t, out), withoutSeconds(t, again))
}
