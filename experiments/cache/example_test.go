package cache_test

import (
	"fmt"
	"log"
	"os"

	"vitdecompose/experiments/cache"
)

func Example() {
	dir, err := os.MkdirTemp("", "cache") // cache.Dir() in earnest
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	key := cache.Key{
		Checkpoint: "9f86d081", Data: "60303ae2", Pictures: 3, Batch: 2,
		Preprocess: "resize 64", Blocks: "0..0", Split: "attns", Bias: "const",
		DType: "F32", Backend: "go", Code: "1", Libraries: map[string]string{"gomlx": "v0.28.0"},
	}
	for _, run := range []string{"first", "second"} {
		store, err := cache.Open(dir, key)
		if err != nil {
			log.Fatal(err)
		}
		for _, first := range store.Missing() {
			fmt.Printf("%s run: decompose the chunk of picture %d\n", run, first)
			chunk := cache.Chunk{First: first, Components: []string{"init", "const"}}
			for i := first; i < min(first+key.Batch, key.Pictures); i++ {
				chunk.Index = append(chunk.Index, i)
				chunk.Representation = append(chunk.Representation, 1)    // [n, dim], dim 1
				chunk.Contributions = append(chunk.Contributions, .5, .5) // [component, n, dim]
			}
			if err := store.Put(chunk); err != nil {
				log.Fatal(err)
			}
		}
		if err := store.Finish(); err != nil {
			log.Fatal(err)
		}
		for chunk, err := range store.Chunks() {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Printf("%s run: %d components of pictures %v\n", run, len(chunk.Components), chunk.Index)
		}
	}
	// Output:
	// first run: decompose the chunk of picture 0
	// first run: decompose the chunk of picture 2
	// first run: 2 components of pictures [0 1]
	// first run: 2 components of pictures [2]
	// second run: 2 components of pictures [0 1]
	// second run: 2 components of pictures [2]
}
