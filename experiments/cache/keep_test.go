package cache

import (
	"math"
	"strings"
	"testing"
)

// Contributions in half the room come back rounded; all else is as it was put.
func TestKeep(t *testing.T) {
	sizes := make(map[string]int64)
	for _, keep := range []string{"", Float16, BFloat16} {
		t.Run(keep, func(t *testing.T) {
			dir := t.TempDir()
			key := testKey()
			key.Keep = keep
			store, err := Open(dir, key)
			if err != nil {
				t.Fatal(err)
			}
			for _, first := range testFirsts {
				if err := store.Put(testChunk(first)); err != nil {
					t.Fatal(err)
				}
			}
			if err := store.Finish(); err != nil {
				t.Fatal(err)
			}
			chunks := 0
			for chunk, err := range store.Chunks() {
				if err != nil {
					t.Fatal(err)
				}
				want := testChunk(chunk.First)
				for i, v := range chunk.Contributions {
					if off := math.Abs(float64(v) - float64(want.Contributions[i])); off > RoundOff(keep)*math.Abs(float64(want.Contributions[i])) {
						t.Errorf("%v is kept as %v", want.Contributions[i], v)
					}
				}
				for i, v := range append(chunk.Representation, chunk.Logits...) {
					if v != append(want.Representation, want.Logits...)[i] {
						t.Fatal("the representation or the logits changed")
					}
				}
				chunks++
			}
			if chunks != len(testFirsts) {
				t.Errorf("%d chunks", chunks)
			}
			entries, err := List(dir)
			if err != nil || len(entries) != 1 || !entries[0].Complete || entries[0].Key.Keep != keep || len(entries[0].Verify()) > 0 {
				t.Errorf("listed as %+v, %v", entries, err)
			}
			again, err := entries[0].Open()
			if err != nil {
				t.Fatal(err)
			}
			if missing := again.Missing(); len(missing) > 0 {
				t.Errorf("missing %v", missing)
			}
			sizes[keep] = entries[0].Bytes
		})
	}
	saved := int64(9 * 2 * 3 * 2) // pictures x components x dimension x bytes
	for _, keep := range []string{Float16, BFloat16} {
		if got := sizes[""] - sizes[keep]; got < saved-200 || got > saved+200 { // the headers differ, in length too
			t.Errorf("%s saves %d bytes, want about %d", keep, got, saved)
		}
	}
}

// The hash of a key without Keep is that from before there was one: what is on disk stays.
func TestKeepIsPartOfTheKey(t *testing.T) {
	hashes := make(map[string]string)
	for _, keep := range []string{"", Float16, BFloat16} {
		key := testKey()
		key.Keep = keep
		hash, err := key.Hash()
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := hashes[hash]; ok {
			t.Errorf("the same hash for %q and %q", keep, other)
		}
		hashes[hash] = keep
	}
	if keep, ok := hashes["7aa1b09775874b4eb5a7175d78de3b6e3b65b41ec142fc00a3c39c6bb92bf06e"]; !ok || keep != "" {
		t.Errorf("the hash of a key of before is not that of float32: %v", hashes)
	}
	key := testKey()
	key.Keep = "float8"
	if _, err := key.Hash(); err == nil || !strings.Contains(err.Error(), "float8") {
		t.Errorf("error %v", err)
	}
}

// A chunk of the right key with contributions of another type is not used.
func TestKeepOfAnotherType(t *testing.T) {
	key := testKey()
	key.Keep = Float16
	store, err := Open(t.TempDir(), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := testChunk(4).write(store.Dir(), store.hash, BFloat16); err != nil {
		t.Fatal(err)
	}
	wantMissing(t, store, 0, 4, 8)
	if why := store.Rejected(); len(why) != 1 || !strings.Contains(why[0].Error(), "type BF16, not F16") {
		t.Errorf("rejected for %v", why)
	}
}

func TestKeepTooLarge(t *testing.T) {
	for keep, number := range map[string]float32{Float16: 70_000, BFloat16: math.MaxFloat32} {
		key := testKey()
		key.Keep = keep
		store, err := Open(t.TempDir(), key)
		if err != nil {
			t.Fatal(err)
		}
		c := testChunk(4)
		c.Contributions[5] = number
		err = store.Put(c)
		if err == nil || !strings.Contains(err.Error(), "chunk of picture 4") || !strings.Contains(err.Error(), "too large") || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), DirVariable) {
			t.Errorf("%s: error %v", keep, err)
		}
		c.Contributions[5] = float32(math.Inf(1)) // what is not finite stays so
		if err := store.Put(c); err != nil {
			t.Error(err)
		}
	}
}
