// Vitdecompose takes a trained vision transformer apart: it writes the
// representation of a picture as a sum of what each attention head, MLP and
// convolution of the model adds to it, and measures what the parts do.
//
//	vitdecompose doctor
//	vitdecompose run ablation --out results/ablation
//
// Each command is in the file of its name and does no more than read its flags
// and call the packages that do the work.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first Ctrl-C requests an orderly end; a second one ends the process.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
