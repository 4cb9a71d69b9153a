package cache

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWhole(t *testing.T) {
	storeDir, chunks := whole(t, t.TempDir())
	store := open(t, filepath.Dir(storeDir))
	for first, want := range map[int]bool{0: true, 4: false, 8: true, 3: false} { // picture 5 could not be read
		if got := store.Whole(first); got != want {
			t.Errorf("Whole(%d) = %v, want %v", first, got, want)
		}
	}
	wantMissing(t, store, 4)
	put(t, store, 4) // still without it
	wantMissing(t, store)
	if store.Whole(4) {
		t.Error("a chunk that leaves a picture out is whole")
	}
	if err := os.Truncate(filepath.Join(storeDir, chunks[2]), 10); err != nil {
		t.Fatal(err)
	}
	if open(t, filepath.Dir(storeDir)).Whole(8) {
		t.Error("a chunk that was cut is whole")
	}
}
