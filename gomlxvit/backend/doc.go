// Package backend finds, fetches and opens what computes: an XLA plugin for the
// CPU, a GPU or a TPU, or GoMLX's pure-Go backend where there is none.
//
// A program that computes needs one call:
//
//	b, err := backend.Open("") // what GOMLX_BACKEND names, else xla:cpu, else go
//	if err != nil {
//		return err
//	}
//	defer b.Finalize()
//
// Open never reaches for the network. [Setup] does: it puts XLA's CPU plugin in
// the user's cache directory, where Open finds it afterwards. Whatever Setup
// fetches is compared with a SHA-256 before it gets its final name, and looked
// at again before each load, because a library that was cut in half does not
// fail to load: it ends the process.
package backend
