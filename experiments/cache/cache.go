// Package cache keeps decomposed representations on disk, so that an experiment that was run before, or was
// interrupted, does not decompose the same pictures again.
//
// A [Store] is the directory of one decomposition, named by the hash of its [Key]: all that determines the numbers.
// The pictures are cut into chunks of Key.Batch, one file each. What is missing is computed and put, and then all of
// it is read chunk by chunk:
//
//	store, err := cache.Open(dir, key)
//	for _, first := range store.Missing() {
//		// ... decompose pictures first to first+key.Batch ...
//		err = store.Put(cache.Chunk{First: first, ...})
//	}
//	err = store.Finish()
//	for chunk, err := range store.Chunks() {
//		// ... one chunk in memory at a time ...
//	}
//
// # On disk
//
//	DIR/<hash of the key>/key.json                                        the key, for people and for List
//	DIR/<hash of the key>/chunk-<first picture>-<sha256>.safetensors      a chunk, named by the hash of its bytes
//	DIR/<hash of the key>/manifest.json                                   written last: which files make the whole
//
// A chunk file is a safetensors file as "vitdecompose decompose" writes it: the tensors contributions [component, n,
// dim], representation [n, dim] and, with a head, logits [n, class], the component names as a JSON list in the
// metadata entry "components"; and the tensor index [n], the position of each picture in the data. The contributions are
// of the type Key.Keep, rounded to the nearest number and of two equally near to the even one; all else is float32.
//
// Every file is written under another name and renamed when it is complete, so a run that is killed leaves whole
// chunks, which the next run finds, and temporary files, which the next run that has the store to itself clears away, and any once they are a day old. The bytes of
// every chunk are hashed before it counts as there and again when it is read: a file that is cut short, changed, or
// belongs to another key is removed and computed again, never used. Two processes with the same key may work at once:
// each finds what the other has finished, and what both compute has the same content. A store that is open is locked
// (flock), and [Prune] leaves it alone.
package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// DirVariable is the environment variable that names another directory for what this program keeps on disk.
const DirVariable = "VITDECOMPOSE_CACHE"

// Dir returns the directory for decomposed representations: contributions in $VITDECOMPOSE_CACHE or, without that,
// in vitdecompose in the user's cache directory. It need not exist.
func Dir() (string, error) {
	base := os.Getenv(DirVariable)
	if base == "" {
		users, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("there is no directory for the cache: %w; set %s to a directory", err, DirVariable)
		}
		base = filepath.Join(users, "vitdecompose")
	}
	dir, err := filepath.Abs(filepath.Join(base, "contributions"))
	if err != nil {
		return "", fmt.Errorf("%s: %w", DirVariable, err)
	}
	return dir, nil
}

// Key is all that determines the numbers of a decomposition, and how they are cut into chunks. No field may be left
// empty: what does not apply is said in words ("none"), so that nothing is forgotten.
type Key struct {
	// Checkpoint is the hash of the model's configuration and weights.
	Checkpoint string `json:"checkpoint"`
	// Data is the hash of the data set: content, labels and order. Pictures is how many of its pictures are
	// decomposed, from the first on.
	Data     string `json:"data"`
	Pictures int    `json:"pictures"`
	// Batch is how many pictures a chunk covers; the last may cover less.
	Batch int `json:"batch"`
	// Preprocess is how a picture becomes the model's input; it is compared as encoding/json writes it.
	Preprocess any `json:"preprocess"`
	// Blocks, Split and Bias say what is decomposed: "7..11", "heads", "const".
	Blocks string `json:"blocks"`
	Split  string `json:"split"`
	Bias   string `json:"bias"`
	// DType is what the model computes in, Backend what it runs on: other processors round otherwise.
	DType   string `json:"dtype"`
	Backend string `json:"backend"`
	// Keep is the type that contributions are rounded to on disk, [Float16] or [BFloat16]. It alone may be empty, for
	// float32: stores are older than it.
	Keep string `json:"keep,omitempty"`
	// Code is the version of the code that models and decomposes, Libraries the versions of what it is built on.
	Code      string            `json:"code"`
	Libraries map[string]string `json:"libraries"`
}

// The types of [Key].Keep that take half the room: float16 has 11 significant bits and ends at 65504, bfloat16 has 8 and the
// range of float32.
const (
	Float16  = "float16"
	BFloat16 = "bfloat16"
)

// RoundOff is the largest error, relative to the number, of rounding to the nearest one of this type of [Key].Keep: half a
// unit of the last significant bit; 0 for float32.
func RoundOff(keep string) float64 {
	switch keep {
	case Float16:
		return 1.0 / (1 << 11)
	case BFloat16:
		return 1.0 / (1 << 8)
	}
	return 0
}

// format is the version of the layout on disk. Another layout is another key.
const format = 1

// Hash returns the SHA-256 of the key, in hexadecimal, or an error that names what the key lacks.
func (k Key) Hash() (string, error) {
	for _, field := range []struct {
		name    string
		missing bool
	}{
		{"Checkpoint", k.Checkpoint == ""},
		{"Data", k.Data == ""},
		{"Pictures", k.Pictures < 1},
		{"Batch", k.Batch < 1},
		{"Preprocess", k.Preprocess == nil},
		{"Blocks", k.Blocks == ""},
		{"Split", k.Split == ""},
		{"Bias", k.Bias == ""},
		{"DType", k.DType == ""},
		{"Backend", k.Backend == ""},
		{"Code", k.Code == ""},
		{"Libraries", len(k.Libraries) == 0},
	} {
		if field.missing {
			return "", fmt.Errorf("cache: a key without %s would not tell decompositions apart", field.name)
		}
	}
	if k.Keep != "" && k.Keep != Float16 && k.Keep != BFloat16 {
		return "", fmt.Errorf("cache: contributions cannot be stored as %s; want %s, %s, or nothing for float32", k.Keep, Float16, BFloat16)
	}
	text, err := json.Marshal(struct {
		Format int `json:"format"`
		Key
	}{format, k})
	if err != nil {
		return "", fmt.Errorf("cache: key: %w", err)
	}
	return Sum(text), nil
}

// Sum is the SHA-256 of a text, in hexadecimal: what files of the cache are named by.
func Sum(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
