package session_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"vitdecompose/experiments/session"
)

// A session opens what experiments need by its name, and takes pictures apart.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "contributions")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir) // leave CacheDir out to keep what is computed
	ctx := context.Background()
	s, err := session.Open(ctx, session.Options{Model: "clip-mini", Data: "scenes:8", Blocks: "5", CacheDir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	reading, err := s.Reading(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Name, "took apart", reading.Pictures, "pictures:")
	for _, component := range reading.Components {
		fmt.Println(component)
	}
	// Output:
	// clip-mini took apart 8 pictures:
	// init
	// layer:05, attn_head:00
	// layer:05, attn_head:01
	// layer:05, attn_head:02
	// layer:05, attn_head:03
	// layer:05, mlp
}
