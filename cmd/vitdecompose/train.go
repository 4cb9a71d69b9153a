package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"vitdecompose/data"
	"vitdecompose/data/progress"
	"vitdecompose/data/scenes"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/heads"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/zoo"
)

func newTrain() *cobra.Command {
	var opts zoo.Options
	var sees string
	names := strings.Join(zoo.Names(), ", ")
	c := &cobra.Command{
		Use:   "train MODEL",
		Short: "Train one of the small models that ship with the program",
		Long: `Train one of the small models that ship with the program by its recipe, on drawn
scenes. A checkpoint directory is written to --out: configuration, weights and a model
card. Models: ` + names + `.

Training that was interrupted goes on where it stopped when the same command is
given again, and ends with the same weights.`,
		Example:   `  vitdecompose train deit-mini --out checkpoints/deit-mini`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: zoo.Names(),
		RunE: func(c *cobra.Command, args []string) error {
			if opts.Steps < 0 || opts.Save < 0 {
				return usagef("--steps and --save must not be negative")
			}
			var err error
			if opts.Sees, err = scenes.ParsePart(sees); err != nil {
				return usagef("--sees %v", err)
			}
			name := args[0]
			if opts.Dir == "" {
				opts.Dir = name
			}
			known := false
			for _, n := range zoo.Names() {
				known = known || n == name
			}
			if !known {
				return usagef("no recipe for a model %q (known: %s)", name, names)
			}
			backend, err := session.Backend()
			if err != nil {
				return err
			}
			opts.Log = c.OutOrStdout()
			opts.Progress = progress.New(stderrFile(c))
			opts.Probe = probe(opts.Progress)
			result, err := zoo.Train(c.Context(), backend, name, opts)
			if err != nil {
				return err
			}
			for _, score := range result.Scores {
				fmt.Fprintf(c.OutOrStdout(), "%s: %s: %.1f %% of %d held-out scenes right\n", name, score.Test, 100*score.Accuracy, result.Scenes)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %d steps, %.0f s; wrote %s\n", name, result.Steps, result.Seconds, opts.Dir)
			return nil
		},
	}
	c.Flags().StringVar(&opts.Dir, "out", "", "directory for the checkpoint and, until it is done, the state of training (default: the model's name)")
	c.Flags().IntVar(&opts.Steps, "steps", 0, "train for this many steps instead of the recipe's")
	c.Flags().StringVar(&sees, "sees", "", "train and test on a part of scenes, background or silhouette, to learn what scenes can be told by")
	c.Flags().IntVar(&opts.Save, "save", 0, "steps between states on disk (default: 250)")
	for flag, word := range map[string]string{"out": "DIR", "steps": "N", "sees": "PART", "save": "N"} {
		takes(c.Flags(), flag, word)
	}
	return c
}

// probe gives a model without a head the linear one of [heads.Train].
func probe(report progress.Reporter) func(context.Context, compute.Backend, *gomlxvit.Model, data.Dataset) (*gomlxvit.Model, error) {
	return func(ctx context.Context, backend compute.Backend, model *gomlxvit.Model, on data.Dataset) (headed *gomlxvit.Model, err error) {
		dir, err := os.MkdirTemp("", "vitdecompose-train-")
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		head, err := heads.Train(ctx, extraction.Extraction{
			Backend: backend, Model: model, Data: on, Batch: 100, CacheDir: dir, Progress: report,
		}.OnlyRepresentation(), heads.Config{})
		if err != nil {
			return nil, err
		}
		return head.ApplyTo(model)
	}
}
