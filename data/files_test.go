package data_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/data"
)

func TestFilesIn(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b/2.png", "b/1.jpg", "b/c/3.WEBP", "b/notes.txt", "b/.hidden.png", "a.png", "empty/readme.txt"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o666))
	}
	at := func(names ...string) (paths []string) {
		for _, name := range names {
			paths = append(paths, filepath.Join(dir, name))
		}
		return paths
	}
	files, err := data.FilesIn(at("a.png", "b"))
	require.NoError(t, err)
	require.Equal(t, data.Files(at("a.png", "b/1.jpg", "b/2.png", "b/c/3.WEBP")), files)
	_, err = data.FilesIn(at("empty"))
	require.ErrorContains(t, err, "no pictures found")
	_, err = data.FilesIn(at("nowhere.png"))
	require.ErrorContains(t, err, "nowhere.png")
}
