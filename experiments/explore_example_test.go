package experiments_test

import (
	"context"
	"fmt"
	"log"
	"math"
	"os"

	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
)

// The parts of a picture sum to the logit of its class, but for the head's bias.
func ExampleExplore() {
	dir, err := os.MkdirTemp("", "explorer")
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
	found, err := experiments.Explore(ctx, s, experiments.ExploreConfig{Pictures: []int{3}, Best: 1, Alone: true, NoTexts: true})
	if err != nil {
		log.Fatal(err)
	}
	for _, q := range found.Pictures[0].Direct {
		if q.Subject != experiments.OfClass {
			continue
		}
		fmt.Println(q.Name, "in", len(q.Parts), "parts")
		fmt.Println("they sum to the logit:", math.Abs(q.Error()) < 1e-4)
	}
	// Output:
	// elephant in 32 parts
	// they sum to the logit: true
}
