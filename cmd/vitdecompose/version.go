package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"vitdecompose/experiments/results"

	"github.com/spf13/cobra"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the versions of the program and of the libraries that results depend on",
		Example: `  vitdecompose version`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return printVersions(c.OutOrStdout())
		},
	}
}

// printVersions writes a line for each part that results depend on.
func printVersions(w io.Writer) error {
	versions := results.Versions()
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		if _, err := fmt.Fprintln(w, name, versions[name]); err != nil {
			return err
		}
	}
	return nil
}
