// Package plots draws the results of experiments in one house style, for paper and screen.
//
// A function per experiment turns a result into a [Figure], and [Save] writes it as PNG, SVG and PDF, and its [Caption] beside it:
//
//	figure, err := plots.Ablation(result)
//	if err != nil {
//		return err
//	}
//	err = plots.Save(figure, "results/ablation/ablation", figure.Width, figure.Height)
//
// What was retrieved is drawn as a [Sheet], which shows pictures of an [Album]. Tables are written by [Markdown].
//
// The style is in style.go: text readable at the size a figure has on paper, colours that colour-blind readers can
// tell apart, and a marker and dash for every curve, for those who print in grey.
package plots
