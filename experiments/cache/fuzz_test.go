package cache

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Whatever lies under the names of the key and the manifest, a store is listed, verified and opened without more work than
// its files are worth.
func FuzzEntry(f *testing.F) {
	dir := f.TempDir()
	store, err := Open(dir, testKey())
	if err != nil {
		f.Fatal(err)
	}
	for _, first := range testFirsts {
		if err := store.Put(testChunk(first)); err != nil {
			f.Fatal(err)
		}
	}
	if err := errors.Join(store.Finish(), store.Close()); err != nil {
		f.Fatal(err)
	}
	keyPath, manifestPath := filepath.Join(store.Dir(), keyFile), filepath.Join(store.Dir(), manifestFile)
	key, err := os.ReadFile(keyPath)
	if err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(manifestPath)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key, whole)
	f.Add([]byte(`{"pictures": 9223372036854775807, "batch": 9223372036854775806}`), []byte(`{}`))
	f.Add([]byte(`{"pictures": 1000000000000, "batch": 1, "keep": "int8"}`), []byte(`null`))
	f.Fuzz(func(t *testing.T, key, manifest []byte) {
		if err := errors.Join(os.WriteFile(keyPath, key, 0o666), os.WriteFile(manifestPath, manifest, 0o666)); err != nil {
			t.Fatal(err)
		}
		entries, err := List(dir)
		if err != nil || len(entries) != 1 {
			t.Fatal(entries, err)
		}
		entries[0].Verify()
		opened, err := entries[0].Open()
		if err != nil {
			return
		}
		if chunks := len(opened.Missing()); chunks > maxChunks {
			t.Errorf("%d chunks are missing", chunks)
		}
		if err := opened.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
