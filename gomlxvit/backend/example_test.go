package backend_test

import (
	"fmt"

	"vitdecompose/gomlxvit/backend"
)

func ExampleOpen() {
	b, err := backend.Open("go")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Finalize()
	fmt.Println(b.Name(), b.NumDevices())
	// Output: Go Backend 1
}

func ExampleOpen_unknown() {
	_, err := backend.Open("abacus")
	fmt.Println(err)
	// Output: backend: unknown backend "abacus"; use xla:cpu, xla:cuda, xla:tpu, xla:/path/of/a/plugin or go
}
