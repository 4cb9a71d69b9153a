package decompose_test

import (
	"fmt"
	"log"

	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data/scenes"
	"vitdecompose/decompose"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/zoo"
)

// Where in a picture each component finds what speaks for a class.
func ExampleScorer_Run() {
	compute, err := backend.Open("")
	if err != nil {
		log.Fatal(err)
	}
	checkpoint, err := zoo.Open("deit-mini")
	if err != nil {
		log.Fatal(err)
	}
	defer checkpoint.Close()
	model, err := gomlxvit.FromCheckpoint(checkpoint, gomlxvit.Options{})
	if err != nil {
		log.Fatal(err)
	}
	pixels, err := model.Preprocess.Apply(scenes.Draw(0, 0).Picture()) // a finch
	if err != nil {
		log.Fatal(err)
	}
	scorer, err := decompose.NewScorer(compute, model, decompose.Options{First: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer scorer.Close()
	components, logits, err := scorer.Run(tensors.FromFlatDataAndDimensions(pixels, 1, 3, 64, 64), []int{0})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(components), "components,", len(components[0].Values), "tokens of", components[0])
	fmt.Println("it is a finch:", logits[0] > logits[1])
	// Output:
	// 20 components, 65 tokens of layer:02, attn_head:00
	// it is a finch: true
}
