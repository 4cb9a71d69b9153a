package counted_test

import (
	"fmt"

	"vitdecompose/data/counted"
)

func ExampleOf() {
	for n := range 3 {
		fmt.Println(counted.Of(n, "picture"))
	}
	// Output:
	// 0 pictures
	// 1 picture
	// 2 pictures
}
