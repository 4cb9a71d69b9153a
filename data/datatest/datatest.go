// Package datatest makes small files for tests of data sets.
package datatest

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"vitdecompose/data"
)

// WriteFile writes a file below a directory; its name has slashes.
func WriteFile(t testing.TB, dir, name string, content []byte) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Photo is a JPEG of one grey.
func Photo(t testing.TB, grey uint8, width, height int) []byte {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, width, height))
	for i := range m.Pix {
		m.Pix[i] = grey
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// PNG encodes a picture.
func PNG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Open opens a data set.
func Open(t testing.TB, spec string, opts data.Options) data.Dataset {
	t.Helper()
	ds, err := data.Open(spec, opts)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// Items are those of a data set.
func Items(ds data.Dataset) (all []data.Item) {
	for i := range ds.Len() {
		all = append(all, ds.Item(i))
	}
	return all
}

// Hash is a data set's.
func Hash(t testing.TB, ds data.Dataset) string {
	t.Helper()
	h, err := ds.Hash()
	if err != nil {
		t.Fatal(err)
	}
	return h
}
