package results_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"vitdecompose/experiments/results"
)

func ExampleWriteTable() {
	dir, err := os.MkdirTemp("", "results")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	table := results.Table{
		Header: []string{"model", "pictures", "last_ablated", "accuracy"},
		Rows: [][]string{
			{"deit-mini", "4", "", "1"},
			{"deit-mini", "4", "init", "0.75"},
			{"deit-mini", "4", "layer:00, mlp", results.Number(0.75)},
			{"deit-mini", "4", "layer:00, attns", results.Number(0.25)},
		},
	}
	if err := results.WriteTable(dir, table); err != nil {
		log.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, results.TableFile))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(content))
	// Output:
	// model,pictures,last_ablated,accuracy
	// deit-mini,4,,1
	// deit-mini,4,init,0.75
	// deit-mini,4,"layer:00, mlp",0.75
	// deit-mini,4,"layer:00, attns",0.25
}

func ExampleWrite() {
	dir, err := os.MkdirTemp("", "results")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	err = results.Write(dir, []float64{1, 0.5, 0.25, 0.25}, results.Meta{
		Experiment:  "ablation",
		Config:      struct{ Pictures int }{4},
		Seed:        1,
		Checkpoints: map[string]string{"deit-mini": "9f86d081"},
		Data:        map[string]string{"scenes:4": "60303ae2"},
		Versions:    map[string]string{"go": "go1.26.8"}, // results.Versions()
		Seconds:     0.5,
	})
	if err != nil {
		log.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, results.ResultFile))
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
