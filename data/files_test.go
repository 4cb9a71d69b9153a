package data_test

import (
	"image"
	"image/png"
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

func TestFilesWithMasks(t *testing.T) {
	dir := t.TempDir()
	gray := func(name string, width, height int, values ...uint8) string {
		picture := image.NewGray(image.Rect(0, 0, width, height))
		copy(picture.Pix, values)
		file := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o777))
		f, err := os.Create(file)
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, picture))
		require.NoError(t, f.Close())
		return file
	}
	a, b := gray("a.png", 2, 1), gray("b.png", 1, 2)
	mask := gray("masks/a.png", 2, 1, 0, 7)
	gray("masks/b.png", 2, 2)

	masked, err := data.Files{a, b}.WithMasks(filepath.Dir(mask))
	require.NoError(t, err)
	require.True(t, data.HasMasks(masked))
	got, err := masked.Mask(0)
	require.NoError(t, err)
	require.Equal(t, &data.Mask{Width: 2, Height: 1, Pix: []uint8{data.MaskBackground, data.MaskObject}}, got)
	_, err = masked.Mask(1)
	require.ErrorContains(t, err, "the mask is of 2 x 2 pixels")

	masked, err = data.Files{a}.WithMasks(mask)
	require.NoError(t, err)
	require.Equal(t, []string{mask}, masked.Masks)
	_, err = data.Files{a, b}.WithMasks(mask)
	require.ErrorContains(t, err, "there are 2")
	_, err = data.Files{a, filepath.Join(dir, "c.jpg")}.WithMasks(filepath.Dir(mask))
	require.ErrorContains(t, err, "c.jpg has no mask")
}
