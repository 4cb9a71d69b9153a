package experiments_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
)

// One picture is taken apart: its components sum to its representation.
func ExampleDissect() {
	dir, err := os.MkdirTemp("", "contributions")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir) // leave CacheDir out to keep what is computed
	ctx := context.Background()
	s, err := session.Open(ctx, session.Options{Model: "deit-mini", Data: "scenes:8", CacheDir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	parts, err := experiments.Dissect(ctx, s, 3)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("class:", parts.Classes[0].Class)
	fmt.Println("components:", len(parts.Shares))
	fmt.Println("exact:", parts.Exactness < 1e-5)
	// Output:
	// class: elephant
	// components: 31
	// exact: true
}
