package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"vitdecompose/data/atomicfile"
	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
)

func newBench() *cobra.Command {
	var models modelFlags
	var name, blocks, jsonFile string
	cfg := experiments.BenchConfig{}
	c := &cobra.Command{
		Use:   "bench [align|store|pipeline|scale]",
		Short: "Measure forward pass, decomposition and token split of a model, alignment, the cache, or a whole extraction",
		Long: `Measure images per second of the forward pass, of the forward pass with the heads
and MLPs of all blocks and of some, and with the token split of these; their ratios
to the forward pass, and peak memory. The jobs run in turn, round by round, so that the ratios
hold on a machine whose speed drifts.

With --peer-python, a python that has torch and timm runs the same forward pass in turn.`,
		Example: `  vitdecompose bench --model deit_base_patch16_224 --random-weights --batch 8
  vitdecompose bench --model deit-mini --batch 32 --json bench.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if cfg.Batch < 1 || cfg.Rounds < 1 {
				return usagef("--batch and --rounds must be at least 1")
			}
			model, err := models.open(c.Context(), name)
			if err != nil {
				return err
			}
			cfg.First, cfg.Last = experiments.RetrievalBlocks(model.Arch.Blocks())
			if blocks != "" {
				if cfg.First, cfg.Last, err = parseBlocks(blocks, model.Arch.Blocks()); err != nil {
					return err
				}
			}
			backend, err := benchBackend(jsonFile)
			if err != nil {
				return err
			}
			cfg.Log = c.ErrOrStderr()
			result, err := experiments.Bench(c.Context(), backend, model, cfg)
			if err != nil {
				return err
			}
			if err := writeJSON(jsonFile, result); err != nil {
				return err
			}
			return printBench(c.OutOrStdout(), result)
		},
	}
	c.PersistentFlags().StringVar(&jsonFile, "json", "", "also write the figures to this file")
	c.Flags().StringVar(&name, "model", "deit-mini", "a shipped model, a checkpoint directory, hf:owner/repo, or an architecture with --random-weights")
	c.Flags().IntVar(&cfg.Batch, "batch", 8, "pictures in a batch")
	c.Flags().IntVar(&cfg.Rounds, "rounds", 7, "times each job is run")
	c.Flags().StringVar(&blocks, "blocks", "", "the blocks of which some are taken apart, such as 7..11 or (2,14).. (default: those of the paper's retrieval)")
	c.Flags().StringVar(&cfg.PeerPython, "peer-python", "", "a python with torch and timm to run the same forward pass in turn")
	models.add(c)
	models.addRandom(c)
	c.AddCommand(newBenchAlign(&jsonFile), newBenchStore(&jsonFile), newBenchPipeline(&jsonFile), newBenchScale(&jsonFile))
	return c
}

func printBench(w io.Writer, r *experiments.BenchResult) error {
	fmt.Fprintf(w, "%s, %.1f M parameters, batch %d, %d rounds, %s\n\n", r.Model, float64(r.Params)/1e6, r.Batch, r.Rounds, r.Backend)
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "job\timages/s\ttime / forward\tpeak memory\tfirst run\tsum error")
	for _, row := range r.Rows {
		sum := "-"
		if row.Error > 0 {
			sum = fmt.Sprintf("%.1e", row.Error)
		}
		fmt.Fprintf(out, "%s\t%.2f\t%.3f\t%s\t%.1f s\t%s\n", row.Name, row.ImagesPerSec, row.Ratio, gigabytes(row.PeakBytes), row.CompileSeconds, sum)
	}
	return out.Flush()
}

// gigabytes writes a size; one that is not known is a dash.
func gigabytes(bytes uint64) string {
	if bytes == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f GB", float64(bytes)/1e9)
}

// benchBackend opens what computes, if what it says can be written.
func benchBackend(jsonFile string) (compute.Backend, error) {
	if err := checkWritable(jsonFile); err != nil {
		return nil, fmt.Errorf("--json: %w", err)
	}
	return session.Backend()
}

// writeJSON writes a result as JSON, unless no file is named.
func writeJSON(path string, result any) error {
	if path == "" {
		return nil
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(result)
	})
}
