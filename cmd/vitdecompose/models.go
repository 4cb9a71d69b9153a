package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/zoo"
)

func newModels() *cobra.Command {
	var check string
	var options session.Options
	c := &cobra.Command{
		Use:   "models [NAME]",
		Short: "List the models that are known, explain one, or check a checkpoint",
		Long: `List the trained models that ship with the program, and by family the
architectures whose checkpoints it reads, by their names in timm and open_clip.
With a name, explain that model: its parts, what it is taken apart into, and where
trained weights are. With --check, say whether a checkpoint loads, and if not, why.`,
		Example: `  vitdecompose models
  vitdecompose models vit_so400m_patch14_siglip_384
  vitdecompose models ViT-B-16-SigLIP2
  vitdecompose models --check checkpoints/mine
  vitdecompose models --check hf:facebook/dinov2-base`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			out := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			var err error
			for _, flag := range optionsOf("input") {
				switch {
				case !c.Flags().Changed(flag):
				case check == "":
					return usagef("--%s goes with --check", flag)
				case flag == "precision":
					return usagef("--precision is not used: whether a checkpoint loads does not depend on it")
				}
			}
			switch {
			case c.Flags().Changed("check") && check == "":
				return usagef("--check: name a directory, a file or hf:owner/repo")
			case check != "" && len(args) > 0:
				return usagef("--check names the checkpoint: %s is too much", args[0])
			case check != "":
				options.Model = check
				listen(c, &options)
				err = checkModel(c, out, options)
			case len(args) > 0:
				err = explain(c, out, args[0])
			default:
				err = listModels(c, out)
			}
			return errors.Join(err, out.Flush())
		},
	}
	c.Flags().StringVar(&check, "check", "", "checkpoint directory, file of weights or hf:OWNER/REPO: say whether it loads")
	takes(c.Flags(), "check", "MODEL")
	addOptions(c, &options, "input")
	return c
}

// listModels lists what is known by name.
func listModels(c *cobra.Command, out io.Writer) error {
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
	var family *gomlxvit.Family
	for _, entry := range gomlxvit.Catalog() {
		if entry.Family != family {
			family = entry.Family
			fmt.Fprintf(out, "\n%s: %s\n", family.Name, family.About)
		}
		describe(out, entry.Name, entry.Arch)
	}
	fmt.Fprintf(out, "\nIn the layout of the transformers library, by model_type: %s\n", strings.Join(gomlxvit.TransformersTypes(), ", "))
	return nil
}

func describe(out io.Writer, name string, arch gomlxvit.Architecture) {
	fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\n", name, arch.InputSize(), len(arch.Blocks()), arch.OutputDim(), arch.NumClasses())
}

// explain says what a model is.
func explain(c *cobra.Command, out io.Writer, name string) error {
	if zoo.Has(name) {
		model, err := session.OpenModel(c.Context(), session.Options{Model: name})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: ships with the program, --model %s\n", name, name)
		facts(out, gomlxvit.Describe(model.Arch))
		return nil
	}
	entry, err := gomlxvit.Find(name)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: of %s, family %s: %s\n", entry.Name, entry.Library, entry.Family.Name, entry.Family.About)
	facts(out, gomlxvit.Describe(entry.Arch))
	if entry.Library == "open_clip" {
		if entry.Text != nil {
			fmt.Fprintf(out, "  texts\t%d layers of width %d, up to %d tokens\n", entry.Text.Layers, entry.Text.Width, entry.Text.ContextLength)
		} else {
			fmt.Fprintln(out, "  texts\tnot available: the text tower is of a kind that is not read")
		}
	}
	fmt.Fprintf(out, "  configuration\t%s\n", entry.Arguments)
	for _, weights := range entry.Weights {
		where := weights.Ref
		if strings.HasPrefix(where, "hf:") {
			where = "--model " + where
		}
		fmt.Fprintf(out, "  weights\t%s\t%s\n", weights.Tag, where)
	}
	if len(entry.Weights) == 0 {
		fmt.Fprintf(out, "  weights\tnone are published under this name\n")
	}
	return nil
}

// facts writes lines about a model.
func facts(out io.Writer, facts []gomlxvit.Fact) {
	for _, fact := range facts {
		fmt.Fprintf(out, "  %s\t%s\n", fact.Name, fact.Value)
	}
}

// checkModel opens a checkpoint, its texts too where it has some, and says what it is. Nothing is computed.
func checkModel(c *cobra.Command, out io.Writer, options session.Options) error {
	model, texts, err := session.CheckModel(c.Context(), options)
	if err != nil {
		return usage(err)
	}
	as := ""
	if model.ArchName != "" {
		as = " as " + model.ArchName
	}
	fmt.Fprintf(out, "%s: loads%s\n", model.Name, as)
	facts(out, gomlxvit.Describe(model.Arch))
	p := model.Preprocess
	fmt.Fprintf(out, "  pictures are prepared\tas %s does: %s, mean %v, deviation %v\n", p.Library, p.Interpolation, p.Mean, p.Std)
	switch {
	case len(model.ClassNames) > 0:
		fmt.Fprintf(out, "  names of classes\t%s, ..., %s\n", model.ClassNames[0], model.ClassNames[len(model.ClassNames)-1])
	case model.Arch.NumClasses() > 0:
		fmt.Fprintln(out, "  names of classes\tnone; --class-names can give them")
	}
	if texts != "" {
		fmt.Fprintf(out, "  texts\t%s\n", texts)
	}
	return nil
}
