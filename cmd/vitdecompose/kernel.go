package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"vitdecompose/notebooks/kernel"
)

// newKernel makes the notebooks' kernel known to Jupyter.
func newKernel() *cobra.Command {
	c := &cobra.Command{
		Use:   "kernel install",
		Short: "Make the notebooks' kernel known to a JupyterLab that you have",
		Long: `Make the notebooks' kernel known to a JupyterLab that you have.

` + "`make lab`" + ` opens a JupyterLab of its own and needs no installation. For another one,
` + "`make kernel`" + ` builds what the kernel consists of, and kernel install writes a
kernelspec that names this checkout. Where the checkout is moved, install again.`,
		Example: `  vitdecompose kernel install
  vitdecompose kernel install --prefix "$VIRTUAL_ENV"`,
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("say what to do: install")
			}
			return usagef("%q is not install", args[0])
		},
	}
	var user bool
	var prefix string
	install := &cobra.Command{
		Use:   "install",
		Short: "Write the kernelspec to where Jupyter looks for it",
		Long: `Write the kernelspec to where Jupyter looks for it: the directory of the user, or that of
a virtual environment or another prefix.`,
		Example: c.Example,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if user && prefix != "" {
				return usagef("--user and --prefix do not go together")
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
			fmt.Fprintf(c.OutOrStdout(), "%s\nIn JupyterLab, open a notebook of %s and take the kernel Go (vitdecompose).\n",
				path, filepath.Join(string(checkout), "notebooks"))
			return nil
		},
	}
	install.Flags().BoolVar(&user, "user", false, "for every Jupyter of this user (the default)")
	install.Flags().StringVar(&prefix, "prefix", "", "for the Jupyter under this prefix, such as a virtual environment")
	c.AddCommand(install)
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
