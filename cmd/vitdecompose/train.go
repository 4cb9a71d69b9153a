package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"vitdecompose/data/progress"
	"vitdecompose/gomlxvit/zoo"
)

func newTrain() *cobra.Command {
	var opts zoo.Options
	names := strings.Join(zoo.Names(), ", ")
	c := &cobra.Command{
		Use:   "train MODEL",
		Short: "Train one of the small models that ship with the program",
		Long: `Train one of the small models that ship with the program, by its recipe, on drawn
scenes. --out receives a checkpoint directory: configuration, weights and a model
card. Models: ` + names + `.

Training that was interrupted goes on where it stopped when the same command is
given again, and comes to the same weights.`,
		Example: `  vitdecompose train deit-mini --out checkpoints/deit-mini`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if opts.Steps < 0 || opts.Save < 0 {
				return usagef("--steps and --save must not be negative")
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
			backend, err := openBackend()
			if err != nil {
				return err
			}
			opts.Log = c.OutOrStdout()
			opts.Progress = progress.New(stderrFile(c))
			result, err := zoo.Train(c.Context(), backend, name, opts)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %.1f %% of %d held-out scenes right after %d steps, %.0f s; wrote %s\n",
				name, 100*result.HeldOut, result.Scenes, result.Steps, result.Seconds, opts.Dir)
			return nil
		},
	}
	c.Flags().StringVar(&opts.Dir, "out", "", "directory for the checkpoint and, until it is done, the state of training (default: the model's name)")
	c.Flags().IntVar(&opts.Steps, "steps", 0, "train for this many steps instead of the recipe's")
	c.Flags().IntVar(&opts.Save, "save", 0, "steps between states on disk (default 250)")
	return c
}
