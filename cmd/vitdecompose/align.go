package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
)

// alignerFile is what align writes into its directory for run --aligner and describe --aligner.
const alignerFile = "aligner.safetensors"

func newAlign() *cobra.Command {
	r, config := &runner{groups: experiments.Sweeping().Options}, new(experiments.SweepConfig)
	c := &cobra.Command{
		Use:   "align",
		Short: "Map what the components of a model contribute into the space of a CLIP",
		Long: `Train a linear map for each component that takes its contributions into the joint
space of pictures and texts of a CLIP (CompAlign): the mapped contributions of a
picture sum to a vector close to CLIP's own embedding of it. --lambda is the weight of
keeping the maps close to isometries. The model is run once; training reads its
contributions from the cache.

It is trained on --align-data and measured on --data. The maps (` + alignerFile + `),
table.csv with the orthogonality of each component's map, and result.json are written
to --out.

--sweep trains for several values of lambda and draws alignment quality and
orthogonality against it.`,
		Example: `  vitdecompose align --model deit-mini --lambda 1
  vitdecompose align --model deit-mini --lambda 0.1 --out results/tenth \
    --from results/align/aligner.safetensors
  vitdecompose align --model swin-mini --sweep 0,0.01,0.1,1,10 --out results/sweep`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case len(config.Lambdas) > 0 && config.From != "":
				return usagef("--from cannot be used with --sweep")
			case len(config.Lambdas) > 0 && c.Flags().Changed("lambda"):
				return usagef("--lambda cannot be used with --sweep")
			}
			r.models = []string{r.options.Model}
			return r.run(c, func(_ *session.Sessions, all []*session.Session) error {
				if len(config.Lambdas) > 0 {
					_, _, err := r.experiment(experiments.Sweeping(), config, all, r.out)
					return err
				}
				outcome, _, err := r.experiment(experiments.Aligning(), config, all, r.out)
				if err != nil {
					return err
				}
				return outcome.Result.(experiments.Aligned).WriteFile(filepath.Join(r.out, alignerFile))
			})
		},
	}
	addOptions(c, &r.options, append([]string{"model"}, r.groups...)...)
	addConfig(c, config)
	c.Flags().StringVar(&r.out, "out", filepath.Join("results", "align"), "directory for the results")
	takes(c.Flags(), "out", "DIR")
	r.figures.add(c)
	return c
}
