package experiments_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"vitdecompose/data/scenes"
	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
)

// A model and pictures of one's own, instead of names.
func ExampleAblation() {
	ctx := context.Background()
	b, err := backend.Open("go") // backend.Open("") for what GOMLX_BACKEND says
	if err != nil {
		log.Fatal(err)
	}
	// A trained model comes from gomlxvit.FromCheckpoint.
	arch, err := gomlxvit.Timm("deit_tiny_patch16_224", map[string]any{
		"img_size": 16.0, "patch_size": 8.0, "embed_dim": 12.0, "depth": 2.0, "num_heads": 2.0, "num_classes": 12.0,
	})
	if err != nil {
		log.Fatal(err)
	}
	model := gomlxvit.RandomOf("tiny", arch, 1)
	dir, err := os.MkdirTemp("", "contributions")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	s, err := session.With(ctx, session.Options{Model: "tiny", CacheDir: dir}, session.Given{Backend: b, Model: model, Data: scenes.New(0, 10)})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	curve, err := experiments.Ablation(ctx, s, experiments.AblationConfig{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("pictures:", curve.Pictures)
	for _, component := range curve.Order {
		fmt.Println(component)
	}
	fmt.Println("accuracies:", len(curve.FromInit), len(curve.FromLast))
	fmt.Println("exact:", curve.Exactness < 1e-5)
	// Output:
	// pictures: 10
	// init
	// layer:00, mlp
	// layer:00, attns
	// layer:01, mlp
	// layer:01, attns
	// accuracies: 6 6
	// exact: true
}
