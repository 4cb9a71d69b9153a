package page_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"vitdecompose/experiments"
	"vitdecompose/plots"
	"vitdecompose/plots/page"
)

func ExampleWrite() {
	dir, err := os.MkdirTemp("", "results")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	result := experiments.AblationResult{Curves: []experiments.AblationCurve{{Model: "deit-mini", Pictures: 1000,
		Order: []string{"init", "layer:00, mlp"}, FromInit: []float64{0.9, 0.8, 0.1}, FromLast: []float64{0.9, 0.3, 0.1}}}}
	figure, err := plots.Ablation(result)
	if err != nil {
		log.Fatal(err)
	}
	if err := plots.Save(figure, filepath.Join(dir, "ablation"), figure.Width, figure.Height); err != nil {
		log.Fatal(err)
	}
	drawn, err := page.ReadFigure(dir, "ablation", "accuracy of deit-mini falls as layers are ablated")
	if err != nil {
		log.Fatal(err)
	}
	about, err := experiments.Find("ablation")
	if err != nil {
		log.Fatal(err)
	}
	err = page.Write(filepath.Join(dir, "index.html"), page.Page{Title: "Results", Sections: []page.Section{{
		Name: "ablation", Title: about.Title, Claim: about.Claim, Figures: []page.Figure{drawn},
		Tables: []page.Table{{Caption: "Every accuracy", Table: result.Table()}},
	}}})
	if err != nil {
		log.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.html"))
	fmt.Println(len(files), "page", err)
	// Output: 1 page <nil>
}
