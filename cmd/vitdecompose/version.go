package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"vitdecompose/gomlxvit/backend"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the versions of the program and of the libraries that compute",
		Example: `  vitdecompose version`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, v := range backend.Versions() {
				if _, err := fmt.Fprintln(c.OutOrStdout(), v.Name, v.Version); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
