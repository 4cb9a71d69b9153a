package main

import (
	"fmt"
	"text/tabwriter"

	"strings"

	"github.com/spf13/cobra"

	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
)

func newDescribe() *cobra.Command {
	e := experiments.Describing()
	r, config := &runner{groups: e.Options}, e.NewConfig()
	c := &cobra.Command{
		Use:   "describe",
		Short: "Put into words what the components of a model carry",
		Long: `Put into words what each component of a model carries: its share of the variance of
the representation, the feature that it carries most (CompAttribute), and the texts of
a bank that span what it contributes to the pictures (TextSpan).

With --out this is also written to table.csv and result.json.`,
		Example: `  vitdecompose describe --model deit-mini
  vitdecompose describe --model clip-mini --blocks 3.. --texts 8
  vitdecompose describe --model deit-mini --bank texts.txt --features features.txt --out words`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r.models = []string{r.options.Model}
			return r.run(c, func(_ *session.Sessions, all []*session.Session) error {
				outcome, _, err := r.experiment(e, config, all, r.out)
				if err != nil {
					return err
				}
				out := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(out, "component\tshare\tfeature\ttexts")
				for _, w := range outcome.Result.(experiments.Words).Words {
					fmt.Fprintf(out, "%s\t%4.1f %%\t%s %.2f\t%s\n", w.Component, 100*w.Share, w.Feature, w.Attributed, strings.Join(w.Texts, "; "))
				}
				return out.Flush()
			})
		},
	}
	addOptions(c, &r.options, append([]string{"model"}, e.Options...)...)
	addConfig(c, config)
	c.Flags().StringVar(&r.out, "out", "", "directory for table.csv and result.json; without it nothing is written")
	takes(c.Flags(), "out", "DIR")
	return c
}
