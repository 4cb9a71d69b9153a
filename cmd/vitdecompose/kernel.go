package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"vitdecompose/jupyter/kernel"
)

func newKernel() *cobra.Command {
	var user bool
	var prefix string
	c := &cobra.Command{
		Use:   "kernel install",
		Short: "Register the notebooks' kernel with a JupyterLab that you already have",
		Long: `Register the notebooks' kernel with a JupyterLab that you already have.

` + "`make lab`" + ` opens a JupyterLab of its own and needs no installation. For another one,
` + "`make kernel`" + ` builds what the kernel consists of, and kernel install writes a
kernelspec that names this checkout to where Jupyter looks for it: the user's own
directory, or that of a virtual environment. If the checkout is moved, install again.`,
		Example: `  vitdecompose kernel install
  vitdecompose kernel install --prefix "$VIRTUAL_ENV"`,
		ValidArgs: []string{"install"},
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if user && prefix != "" {
				return usagef("--user and --prefix cannot be used together")
			}
			checkout, err := kernel.Find()
			if err != nil {
				return err
			}
			data, err := kernelData(prefix)
			if err != nil {
				return err
			}
			path, err := checkout.Install(data)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "wrote %s\nopen a notebook of %s in JupyterLab and take the kernel %q\n",
				path, filepath.Join(string(checkout), "notebooks"), kernel.DisplayName)
			return nil
		},
	}
	c.Flags().BoolVar(&user, "user", false, "for every Jupyter of this user (the default)")
	c.Flags().StringVar(&prefix, "prefix", "", "for the Jupyter under this prefix, such as a virtual environment")
	takes(c.Flags(), "prefix", "PREFIX")
	return c
}

// kernelData is Jupyter's data directory under a prefix, or the user's where there is none.
func kernelData(prefix string) (string, error) {
	if prefix == "" {
		return kernel.UserDir()
	}
	prefix, err := filepath.Abs(prefix)
	return kernel.PrefixDir(prefix), err
}
