// Command checknotebooks reports whether executed notebooks ran to their ends; `make notebooks` runs it.
//
//	go run ./jupyter/check/checknotebooks FILE.ipynb...
//
// The exit code is 1 when one of them did not, and a line on standard error says which cell failed.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"vitdecompose/jupyter/check"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run checks the files and returns a line for each cell that failed.
func run(files []string, stdout io.Writer) error {
	if len(files) == 0 {
		return errors.New("checknotebooks: name the executed notebooks to check")
	}
	var failed []error
	for _, name := range files {
		if err := one(name); err != nil {
			for line := range strings.Lines(err.Error()) {
				failed = append(failed, fmt.Errorf("%s: %s", name, strings.TrimSpace(line)))
			}
			continue
		}
		fmt.Fprintf(stdout, "%s ran to its end\n", name)
	}
	return errors.Join(failed...)
}

func one(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return errors.New("was not executed, or its copy cannot be read")
	}
	defer f.Close()
	return check.Notebook(f)
}
