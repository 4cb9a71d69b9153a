package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vitdecompose/experiments"
)

func newBenchAlign(jsonFile *string) *cobra.Command {
	cfg := experiments.BenchAlignConfig{}
	c := &cobra.Command{
		Use:   "align",
		Short: "Measure the training of an alignment",
		Long: `Measure the training of an alignment on random contributions of the size that DeiT-B's
late blocks have: seconds per epoch, from --rounds steps with and without the orthogonality
term, and peak memory.

With --peer-python, a python that has torch takes the same steps in turn.`,
		Example: `  vitdecompose bench align --rounds 20 --peer-python python3`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if cfg.Batch < 1 || cfg.Steps < 1 {
				return usagef("--batch and --rounds must be at least 1")
			}
			cfg.Log = c.ErrOrStderr()
			return benchAlign(c, cfg, *jsonFile)
		},
	}
	c.Flags().IntVar(&cfg.Steps, "rounds", 7, "steps of each kind")
	c.Flags().IntVar(&cfg.Batch, "batch", 32, "pictures in a step")
	c.Flags().IntVar(&cfg.Pictures, "pictures", 20_000, "pictures in an epoch")
	c.Flags().IntVar(&cfg.Components, "components", 66, "components")
	c.Flags().IntVar(&cfg.Dim, "dim", 768, "dimensions of the model's representation")
	c.Flags().IntVar(&cfg.ClipDim, "clip-dim", 768, "dimensions of CLIP's space")
	c.Flags().StringVar(&cfg.PeerPython, "peer-python", "", "a python with torch to take the same steps in turn")
	return c
}

func benchAlign(c *cobra.Command, cfg experiments.BenchAlignConfig, jsonFile string) error {
	if cfg.Pictures < 1 || cfg.Components < 1 || cfg.Dim < 1 || cfg.ClipDim < 1 {
		return usagef("--pictures, --components, --dim and --clip-dim must be at least 1")
	}
	backend, err := benchBackend(jsonFile)
	if err != nil {
		return err
	}
	result, err := experiments.BenchAlign(c.Context(), backend, cfg)
	if err != nil {
		return err
	}
	if err := writeJSON(jsonFile, result); err != nil {
		return err
	}
	w := c.OutOrStdout()
	fmt.Fprintf(w, "alignment of %d pictures x %d components x %d -> %d, batches of %d, %d steps, %s; contributions %.2f GB\n\n",
		cfg.Pictures, cfg.Components, cfg.Dim, cfg.ClipDim, cfg.Batch, cfg.Steps, result.Backend, float64(result.ContributionBytes)/1e9)
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "training\tlambda\tseconds/step\tseconds/epoch\tpeak memory\tfirst step")
	for _, row := range result.Rows {
		first := "-"
		if row.CompileSeconds > 0 {
			first = fmt.Sprintf("%.1f s", row.CompileSeconds)
		}
		fmt.Fprintf(out, "%s\t%g\t%.4f\t%.1f\t%s\t%s\n", row.Name, row.Lambda, row.SecondsPerStep, row.SecondsPerEpoch, gigabytes(row.PeakBytes), first)
	}
	return out.Flush()
}
