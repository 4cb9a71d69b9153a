package main

import (
	"github.com/spf13/cobra"
	"gonum.org/v1/plot/vg"

	"vitdecompose/plots"
)

// figureFlags say how figures are drawn.
type figureFlags struct {
	width vg.Length // 0: what each is made for
}

func (f *figureFlags) add(c *cobra.Command) {
	c.Flags().Func("width", "`width` of the figures: column (85mm), page (177mm) or millimetres such as 120mm (default: page, or column for the curves of one model)",
		func(text string) (err error) {
			f.width, err = plots.ParseWidth(text)
			return err
		})
}

// save writes a figure as base.png, base.svg and base.pdf.
func (f *figureFlags) save(figure plots.Sized, base string) error {
	return plots.SaveAt(figure, base, f.width)
}
