package explorer_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/plots/explorer"
)

// A page for one picture, as one file that loads nothing.
func ExampleWrite() {
	dir, err := os.MkdirTemp("", "explorer")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	s, err := session.Open(ctx, session.Options{Model: "deit-mini", Data: "scenes:8", CacheDir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	found, err := experiments.Explore(ctx, s, experiments.ExploreConfig{NoTexts: true})
	if err != nil {
		log.Fatal(err)
	}
	file := filepath.Join(dir, "page.html")
	page := explorer.Page{Models: []explorer.Model{{ExploredModel: found, View: s.View()}}, Data: s.Pictures()}
	if err := explorer.Write(file, page); err != nil {
		log.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("less than 5 MB:", info.Size() < 5_000_000)
	// Output:
	// less than 5 MB: true
}
