package main

import (
	"github.com/spf13/cobra"

	"vitdecompose/experiments/cache"
	"vitdecompose/experiments/results"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/jupyter/kernel"
)

func newDoctor() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Show the backend, what is cached, and what is missing",
		Long: `Show the backend and its devices, the XLA plugin and whether its hash is right,
the caches and their sizes, versions, cores and memory, whether the notebooks have
their kernel, what to do about anything missing, and in the last line a verdict. The
exit code is 1 when the backend does not open.`,
		Example: `  vitdecompose doctor
  GOMLX_BACKEND=xla:cuda vitdecompose doctor`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r := backend.Facts(caches()...)
			r.Versions = results.Versions()
			state, advice := kernel.Describe()
			r.Extras = []backend.Extra{{Name: "notebooks' kernel", State: state, Advice: advice}}
			if err := r.Print(c.OutOrStdout()); err != nil {
				return err
			}
			return r.Problem
		},
	}
}

// caches are the directories beside the plugin's that fill up.
func caches() []backend.Cache {
	found := []backend.Cache{{Name: "Hugging Face hub", Dir: checkpoint.EnvHub().CacheDir}}
	if dir, err := cache.Dir(); err == nil { // without a home there is no cache to show
		found = append(found, backend.Cache{Name: "contributions", Dir: dir})
	}
	return found
}
