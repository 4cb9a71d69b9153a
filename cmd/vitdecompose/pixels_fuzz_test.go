package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A file of --pixels is somebody's: what is taken has the pictures that it says, all else is an error that names the flag.
func FuzzPixels(f *testing.F) {
	for _, name := range []string{"pixels", "input", "other"} {
		content, err := os.ReadFile(writePixels(f, name, 1, 4))
		require.NoError(f, err)
		f.Add(content)
		f.Add(content[:len(content)/2])
	}
	empty, err := os.ReadFile(writePixels(f, "pixels", 0, 4))
	require.NoError(f, err)
	f.Add(empty)
	path := filepath.Join(f.TempDir(), "pixels.safetensors")
	f.Fuzz(func(t *testing.T, content []byte) {
		require.NoError(t, os.WriteFile(path, content, 0o666))
		file, err := openPixels(path, 4)
		if err != nil {
			require.ErrorContains(t, err, "--pixels")
			return
		}
		require.Positive(t, file.Len())
		require.Len(t, file.pixels, file.Len()*3*4*4)
	})
}
