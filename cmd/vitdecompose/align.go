package main

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"vitdecompose/decompose"
	"vitdecompose/experiments"
	"vitdecompose/plots"
)

// alignerFile is what align writes into its directory for run --aligner and describe --aligner.
const alignerFile = "aligner.safetensors"

func newAlign() *cobra.Command {
	var r runner
	var name, from string
	var sweep []float64
	c := &cobra.Command{
		Use:   "align",
		Short: "Map what the components of a model contribute into the space of a CLIP",
		Long: `Train a linear map for each component that takes its contributions into the joint
space of pictures and texts of a CLIP (CompAlign): the mapped contributions of a
picture sum to what is near to CLIP's own embedding of it. --lambda weighs how near
the maps are to isometries. The model is run once; training reads its contributions
from the cache.

It is trained on --align-data and measured on --data. Into --out go the maps
(` + alignerFile + `), table.csv with the orthogonality of each component's map,
and result.json.

--sweep trains for several values of lambda and draws alignment quality and
orthogonality against it.`,
		Example: `  vitdecompose align --model deit-mini --lambda 1
  vitdecompose align --model deit-mini --lambda 0.1 --from results/align/aligner.safetensors --out results/tenth
  vitdecompose align --model swin-mini --sweep 0,0.01,0.1,1,10 --out results/sweep`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r.c, r.names = c, []string{name}
			if err := r.pictures.check(); err != nil {
				return err
			}
			if err := r.study.check(r.names); err != nil {
				return err
			}
			if len(sweep) > 0 {
				for _, lambda := range sweep {
					config := r.study.alignConfig(1)
					config.Lambda = lambda
					if err := config.Check(); err != nil {
						return usagef("--sweep: %w", err)
					}
				}
				if from != "" {
					return usagef("--from does not go with --sweep")
				}
				return r.sweep(sweep)
			}
			return r.align(from)
		},
	}
	c.Flags().StringVar(&name, "model", "deit-mini", "a shipped model, a checkpoint directory or hf:owner/repo")
	c.Flags().StringVar(&r.out, "out", filepath.Join("results", "align"), "directory for the results")
	c.Flags().StringVar(&r.cacheDir, "cache", "", "directory where contributions and alignments are kept (default: the user's cache directory)")
	c.Flags().StringVar(&from, "from", "", "an alignment to begin at, such as one for another lambda: then a few hundred steps are enough")
	c.Flags().Float64SliceVar(&sweep, "sweep", nil, "values of lambda, separated by commas, instead of --lambda")
	r.models.add(c)
	r.pictures.add(c)
	r.study.add(c)
	r.figures.add(c)
	return c
}

// align trains one alignment.
func (r *runner) align(from string) error {
	run, err := r.text("align")
	if err != nil {
		return err
	}
	var point experiments.SweepPoint
	var table experiments.Table
	err = run.each(func(study *experiments.Study, _ []string, short string) error {
		origin, err := study.Origin()
		if err != nil {
			return err
		}
		if from != "" {
			if study.From, _, err = decompose.ReadAligner(from, origin); err != nil {
				return fmt.Errorf("--from: %w", err)
			}
			if r.study.config.Epochs == -1 && study.Training != nil {
				study.Align = study.Align.Warm(study.Training.Len())
			}
		}
		curve, err := experiments.Sweep(r.c.Context(), study, []float64{study.Align.Lambda})
		if err != nil {
			return err
		}
		point = curve.Points[0]
		aligner, err := study.Alignment(r.c.Context())
		if err != nil {
			return err
		}
		trainedOn, err := study.Training.Hash()
		if err != nil {
			return err
		}
		table = experiments.OrthogonalityTable(aligner)
		run.say("%s: lambda %g, %d steps on %d pictures; cosine similarity %.4f on held-out pictures, %.4f on its own; orthogonality %.2g (%.2g to %.2g)",
			short, point.Lambda, point.Steps, aligner.Pictures, point.Cosine, point.TrainCosine, point.Orthogonality, point.Least, point.Most)
		return aligner.WriteFile(filepath.Join(r.out, alignerFile), origin, trainedOn)
	})
	if err != nil {
		return err
	}
	return run.finish(point, table, struct {
		From string `json:"from,omitempty"`
	}{from})
}

// sweep trains an alignment for each lambda.
func (r *runner) sweep(lambdas []float64) error {
	run, err := r.text("sweep")
	if err != nil {
		return err
	}
	var result experiments.SweepResult
	err = run.each(func(study *experiments.Study, _ []string, short string) error {
		curve, err := experiments.Sweep(r.c.Context(), study, lambdas)
		if err != nil {
			return err
		}
		curve.Model = short
		result.Curves = append(result.Curves, curve)
		for _, p := range curve.Points {
			run.say("%s: lambda %g: cosine similarity %.4f, orthogonality %.2g", short, p.Lambda, p.Cosine, p.Orthogonality)
		}
		return nil
	})
	if err != nil {
		return err
	}
	figure, err := plots.Sweep(result)
	if err != nil {
		return err
	}
	if err := run.save("sweep", figure); err != nil {
		return err
	}
	slices.Sort(lambdas)
	return run.finish(result, result.Table(), struct {
		Lambdas []float64 `json:"lambdas"`
	}{lambdas})
}
