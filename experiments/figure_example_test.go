package experiments_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/plots"
)

// An experiment from the model's name to the figure in a paper.
func ExampleAblation_figure() {
	dir, err := os.MkdirTemp("", "figures")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	s, err := session.Open(ctx, session.Options{Model: "swin-mini", Data: "scenes:40", CacheDir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	curve, err := experiments.Ablation(ctx, s, experiments.AblationConfig{})
	if err != nil {
		log.Fatal(err)
	}
	figure, err := plots.Ablation(experiments.AblationResult{Curves: []experiments.AblationCurve{curve}})
	if err != nil {
		log.Fatal(err)
	}
	if err := plots.Save(figure, filepath.Join(dir, "ablation"), figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "ablation.*"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(files), "files; components ablated:", len(curve.Order))
	// Output:
	// 5 files; components ablated: 13
}
