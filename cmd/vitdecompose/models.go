package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/zoo"
)

func newModels() *cobra.Command {
	return &cobra.Command{
		Use:   "models",
		Short: "List the models that ship with the program and the architectures it knows",
		Long: `List the trained models that ship with the program, and the architectures whose
checkpoints it reads, by their names in timm and open_clip.`,
		Example: `  vitdecompose models`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			out := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(out, "shipped with weights\tpixels\tblocks\tdim\tclasses")
			for _, name := range zoo.Names() {
				if !zoo.Has(name) {
					continue
				}
				model, err := session.OpenModel(c.Context(), session.Options{Model: name})
				if err != nil {
					return err
				}
				describe(out, name, model.Arch)
			}
			fmt.Fprintln(out, "\narchitecture\tpixels\tblocks\tdim\tclasses")
			for _, name := range gomlxvit.Names() {
				arch, err := gomlxvit.Lookup(name)
				if err != nil {
					return err
				}
				describe(out, name, arch)
			}
			return out.Flush()
		},
	}
}

func describe(out *tabwriter.Writer, name string, arch gomlxvit.Architecture) {
	fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\n", name, arch.InputSize(), len(arch.Blocks()), arch.OutputDim(), arch.NumClasses())
}
