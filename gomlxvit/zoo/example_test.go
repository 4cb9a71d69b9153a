package zoo_test

import (
	"fmt"
	"log"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/zoo"
)

func ExampleOpen() {
	ckpt, err := zoo.Open("deit-mini")
	if err != nil {
		log.Fatal(err)
	}
	defer ckpt.Close()
	model, err := gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(model.NumParams(), "parameters,", len(model.Arch.Blocks()), "blocks,", model.Arch.OutputDim(), "channels")
	fmt.Println(model.ClassNames[2], model.ClassNames[8])
	// Output:
	// 697260 parameters, 6 blocks, 96 channels
	// swan car
}
