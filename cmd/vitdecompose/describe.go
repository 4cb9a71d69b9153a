package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments"
)

func newDescribe() *cobra.Command {
	var r runner
	var name string
	config := experiments.DescribeConfig{}
	c := &cobra.Command{
		Use:   "describe",
		Short: "Say in words what the components of a model carry",
		Long: `Say in words what each component of a model carries: its share of the variance of
the representation, the feature that it carries most (CompAttribute), and the texts of
a bank that span what it contributes to the pictures (TextSpan).

With --out the same is written as table.csv and result.json.`,
		Example: `  vitdecompose describe --model deit-mini
  vitdecompose describe --model clip-mini --blocks 3.. --texts 8
  vitdecompose describe --model deit-mini --bank my-texts.txt --features my-features.txt --out results/words`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r.c, r.names = c, []string{name}
			if err := r.pictures.check(); err != nil {
				return err
			}
			if config.Texts < 1 || config.Rank < 0 {
				return usagef("--texts must be at least 1, --rank must not be negative")
			}
			if err := r.study.check(r.names); err != nil {
				return err
			}
			return r.describe(config)
		},
	}
	c.Flags().StringVar(&name, "model", "deit-mini", "a shipped model, a checkpoint directory or hf:owner/repo")
	c.Flags().StringVar(&r.out, "out", "", "directory for table.csv and result.json; without it nothing is written")
	c.Flags().StringVar(&r.cacheDir, "cache", "", "directory where contributions and alignments are kept (default: the user's cache directory)")
	c.Flags().StringVar(&r.bank, "bank", "", "the texts: a shipped bank ("+strings.Join(phrases.Banks(), ", ")+") or a file with one a line")
	c.Flags().IntVar(&config.Texts, "texts", 5, "how many texts describe a component")
	c.Flags().IntVar(&config.Rank, "rank", 0, "project the texts on so many top singular vectors of the component first; 0: not")
	r.models.add(c)
	r.pictures.add(c)
	r.study.add(c)
	r.study.addReading(c)
	return c
}

func (r *runner) describe(config experiments.DescribeConfig) error {
	run, err := r.text("describe")
	if err != nil {
		return err
	}
	if config.Features, err = run.studies.featureList("retrieval", "scenes"); err != nil {
		return err
	}
	if r.bank == "" {
		r.bank = run.studies.bankName()
	}
	if config.Bank, err = phrases.OpenBank(r.bank); err != nil {
		return fmt.Errorf("--bank: %w", err)
	}
	var words []experiments.ComponentInWords
	err = run.each(func(study *experiments.Study, _ []string, _ string) error {
		reading, err := study.Open(r.c.Context())
		if err != nil {
			return err
		}
		defer reading.Close()
		words, err = experiments.Describe(r.c.Context(), reading, config)
		return err
	})
	if err != nil {
		return err
	}
	out := tabwriter.NewWriter(r.c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "component\tshare\tfeature\ttexts")
	for _, w := range words {
		fmt.Fprintf(out, "%s\t%4.1f %%\t%s %.2f\t%s\n", w.Component, 100*w.Share, w.Feature, w.Attributed, strings.Join(w.Texts, "; "))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if r.out == "" {
		return nil
	}
	config.Bank = nil // it is named by the configuration
	return run.finish(words, experiments.WordsTable(words), config)
}
