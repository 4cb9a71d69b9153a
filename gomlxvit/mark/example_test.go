package mark_test

import (
	"fmt"

	"vitdecompose/gomlxvit/mark"
)

func ExampleBlock_String() {
	fmt.Println(mark.Plain(7))
	for _, b := range mark.Staged([]int{2, 1}) {
		fmt.Println(b.Order, b)
	}
	// Output:
	// layer:07
	// 0 layer:(0,0)
	// 1 layer:(0,1)
	// 2 layer:(1,0)
}
