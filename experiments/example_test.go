package experiments_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"vitdecompose/data/scenes"
	"vitdecompose/experiments"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
)

var ablation = experiments.AblationResult{Curves: []experiments.AblationCurve{{
	Model:    "deit-mini",
	Pictures: 4,
	Order:    []string{"init", "layer:00, mlp", "layer:00, attns"},
	FromInit: []float64{1, 0.75, 0.75, 0.25},
	FromLast: []float64{1, 0.5, 0.25, 0.25},
}}}

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

	curve, exactness, err := experiments.Ablation(ctx, experiments.Extraction{
		Backend: b, Model: model, Data: scenes.New(0, 10), CacheDir: dir,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("pictures:", curve.Pictures)
	for _, component := range curve.Order {
		fmt.Println(component)
	}
	fmt.Println("accuracies:", len(curve.FromInit), len(curve.FromLast))
	fmt.Println("exact:", exactness < 1e-5)
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

func ExampleWriteTable() {
	dir, err := os.MkdirTemp("", "results")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	table, err := ablation.Table()
	if err != nil {
		log.Fatal(err)
	}
	if err := experiments.WriteTable(dir, table); err != nil {
		log.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, experiments.TableFile))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(content))
	// Output:
	// model,pictures,direction,components_ablated,layers_ablated,last_ablated,accuracy
	// deit-mini,4,from_init,0,0,,1
	// deit-mini,4,from_init,1,1,init,0.75
	// deit-mini,4,from_init,2,1.5,"layer:00, mlp",0.75
	// deit-mini,4,from_init,3,2,"layer:00, attns",0.25
	// deit-mini,4,from_last,0,0,,1
	// deit-mini,4,from_last,1,0.5,"layer:00, attns",0.5
	// deit-mini,4,from_last,2,1,"layer:00, mlp",0.25
	// deit-mini,4,from_last,3,2,init,0.25
}

func ExampleWriteResult() {
	dir, err := os.MkdirTemp("", "results")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	err = experiments.WriteResult(dir, ablation.Curves[0].FromLast, experiments.Meta{
		Experiment:  "ablation",
		Config:      struct{ Pictures int }{4},
		Seed:        1,
		Checkpoints: map[string]string{"deit-mini": "9f86d081"},
		Data:        map[string]string{"scenes:4": "60303ae2"},
		Versions:    map[string]string{"go": "go1.26.8"}, // experiments.Versions()
		Seconds:     0.5,
	})
	if err != nil {
		log.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, experiments.ResultFile))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(content))
	// Output:
	// {
	//   "experiment": "ablation",
	//   "config": {
	//     "Pictures": 4
	//   },
	//   "seed": 1,
	//   "checkpoints": {
	//     "deit-mini": "9f86d081"
	//   },
	//   "data": {
	//     "scenes:4": "60303ae2"
	//   },
	//   "versions": {
	//     "go": "go1.26.8"
	//   },
	//   "seconds": 0.5,
	//   "result": [
	//     1,
	//     0.5,
	//     0.25,
	//     0.25
	//   ]
	// }
}
