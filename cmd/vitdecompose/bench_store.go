package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vitdecompose/experiments"
)

func newBenchStore(jsonFile *string) *cobra.Command {
	cfg := experiments.BenchStoreConfig{}
	c := &cobra.Command{
		Use:   "store",
		Short: "Measure the cache",
		Long: `Measure the cache with contributions of the size that DeiT-B's late blocks have:
megabytes per second of writing (to the disk), verifying and reading (what was just
written), for each type of --keep, and peak memory.`,
		Example: `  vitdecompose bench store --pictures 5000 --dir /data`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if cfg.Batch < 1 || cfg.Rounds < 1 {
				return usagef("--batch and --rounds must be at least 1")
			}
			cfg.Log = c.ErrOrStderr()
			return benchStore(c, cfg, *jsonFile)
		},
	}
	c.Flags().IntVar(&cfg.Rounds, "rounds", 3, "times each job is run")
	c.Flags().IntVar(&cfg.Batch, "batch", 8, "pictures in a file")
	c.Flags().IntVar(&cfg.Pictures, "pictures", 1000, "pictures")
	c.Flags().IntVar(&cfg.Components, "components", 66, "components")
	c.Flags().IntVar(&cfg.Dim, "dim", 768, "dimensions of the model's representation")
	c.Flags().StringVar(&cfg.Dir, "dir", "", "the directory to measure in (default: that of temporary files)")
	return c
}

func benchStore(c *cobra.Command, cfg experiments.BenchStoreConfig, jsonFile string) error {
	if cfg.Pictures < 1 || cfg.Components < 1 || cfg.Dim < 1 {
		return usagef("--pictures, --components and --dim must be at least 1")
	}
	if err := checkWritable(jsonFile); err != nil {
		return fmt.Errorf("--json: %w", err)
	}
	result, err := experiments.BenchStore(c.Context(), cfg)
	if err != nil {
		return err
	}
	if err := writeJSON(jsonFile, result); err != nil {
		return err
	}
	w := c.OutOrStdout()
	fmt.Fprintf(w, "store of %d pictures x %d components x %d, %d in a file, %d rounds\n\n", cfg.Pictures, cfg.Components, cfg.Dim, cfg.Batch, cfg.Rounds)
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "keep\tjob\tMB\tMB/s\tpictures/s\tpeak memory\tsum error")
	for _, row := range result.Rows {
		fmt.Fprintf(out, "%s\t%s\t%.1f\t%.0f\t%.0f\t%s\t%.1e\n",
			row.Keep, row.Job, float64(row.Bytes)/1e6, row.MegabytesPerSec, row.PicturesPerSecond, gigabytes(row.PeakBytes), row.RoundOff)
	}
	return out.Flush()
}
