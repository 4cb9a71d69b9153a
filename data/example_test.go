package data_test

import (
	"fmt"
	"log"

	"vitdecompose/data"
	_ "vitdecompose/data/scenes"
)

func ExampleOpen() {
	ds, err := data.Open("scenes:1000:7", data.Options{})
	if err != nil {
		log.Fatal(err)
	}
	item := ds.Item(0)
	p, err := ds.Picture(0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ds.Len(), "pictures; the first is", item.Name, "of class", ds.Classes()[item.Label])
	fmt.Println(p.Width, "x", p.Height)
	// Output:
	// 1000 pictures; the first is scene-7-000000 of class finch
	// 64 x 64
}

func ExampleOpen_unknown() {
	_, err := data.Open("tape:reel", data.Options{})
	fmt.Println(err)
	// Output:
	// data tape:reel: there is no folder of that name, and no kind of data set "tape": want folder:DIR, or KIND:ARGUMENT with one of the kinds folder, hf, imagenet, imagenet-s, imagenet-seg, pixelimagenet, scenes, scenes-birds, voc, waterbirds
}
