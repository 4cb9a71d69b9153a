package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
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
	align := experiments.BenchAlignConfig{}
	var dir, devices, batches string
	var side int
	var pictures dataFlags
	c := &cobra.Command{
		Use:   "bench [align|store|pipeline|scale]",
		Short: "Measure forward pass, decomposition and token split of a model, alignment, the cache, or a whole extraction",
		Long: `Measure images per second of the forward pass, of the forward pass with the heads
and MLPs of all blocks and of some, and with the token split of these; their ratios
to the forward pass, and peak memory. The jobs run in turn, round by round, so that the ratios
hold on a machine whose speed drifts.

bench align measures the training of an alignment on random contributions of the
size that DeiT-B's late blocks have: seconds per epoch, from --rounds steps with and
without the orthogonality term, and peak memory.

bench store measures the cache with contributions of that size: megabytes per second of
writing (to the disk), verifying and reading (what was just written), for each type of
--keep, and peak memory.

bench pipeline measures an extraction as a whole, from JPEG files (drawn ones of
ImageNet's size unless --data names others) to a store: images per second, how much of
the time devices waited for pictures or for the store, and memory early and late.

bench scale measures models (the paper's six architectures with random weights, unless
--model names some) at the batch that is fastest: images per second of the forward pass
and of the decomposition, which share of the speed of a matrix product that is, how far
--precision bfloat16 is from float32, and what several --devices give together.

With --peer-python, a python that has torch (and timm) runs the same forward pass, or
takes the same steps, in turn.`,
		Example: `  vitdecompose bench --model deit_base_patch16_224 --random-weights --batch 8
  vitdecompose bench --model deit-mini --batch 32 --json bench.json
  vitdecompose bench align --rounds 20 --peer-python python3
  vitdecompose bench store --pictures 5000 --dir /data
  vitdecompose bench pipeline --model deit_base_patch16_224 --random-weights --pictures 400
  vitdecompose bench scale --batches 4,8,16 --devices 1,2`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"align", "store", "pipeline", "scale"},
		RunE: func(c *cobra.Command, args []string) error {
			if cfg.Batch < 1 || cfg.Rounds < 1 {
				return usagef("--batch and --rounds must be at least 1")
			}
			what := strings.Join(args, "")
			changed := c.Flags().Changed
			switch what {
			case "store":
				store := experiments.BenchStoreConfig{
					Pictures: align.Pictures, Components: align.Components, Dim: align.Dim, Batch: cfg.Batch, Rounds: cfg.Rounds, Dir: dir,
					Log: c.ErrOrStderr(),
				}
				if !changed("pictures") {
					store.Pictures = 1000
				}
				if !changed("rounds") {
					store.Rounds = 3
				}
				return benchStore(c, store, jsonFile)
			case "pipeline":
				pictures.batch, pictures.pictures = cfg.Batch, align.Pictures
				if !changed("pictures") && pictures.spec == "" {
					pictures.pictures = 400
				} else if !changed("pictures") {
					pictures.pictures = 0
				}
				if changed("devices") {
					n, err := strconv.Atoi(devices)
					if err != nil || n < 1 {
						return usagef("--devices %s is not a number of devices", devices)
					}
					pictures.devices = n
				}
				return benchPipeline(c, &models, name, &pictures, experiments.BenchPipelineConfig{Dir: dir}, blocks, jsonFile)
			case "scale":
				scale := experiments.BenchScaleConfig{Rounds: cfg.Rounds, Side: side, Log: c.ErrOrStderr()}
				if !changed("rounds") {
					scale.Rounds = 3
				}
				names := strings.Split(name, ",")
				if !changed("model") {
					names, models.randomWeights = papersModels, true
				}
				return benchScale(c, &models, names, scale, batches, devices, jsonFile)
			case "align":
				align.Steps, align.PeerPython, align.Log = cfg.Rounds, cfg.PeerPython, c.ErrOrStderr()
				if align.Batch = cfg.Batch; !changed("batch") {
					align.Batch = 32
				}
				return benchAlign(c, align, jsonFile)
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
	c.Flags().StringVar(&name, "model", "deit-mini", "a shipped model, a checkpoint directory, hf:owner/repo, or an architecture with --random-weights")
	c.Flags().IntVar(&cfg.Batch, "batch", 8, "pictures in a batch (default of align: 32)")
	c.Flags().IntVar(&cfg.Rounds, "rounds", 7, "times each job is run (default of store and scale: 3); of align, steps")
	c.Flags().IntVar(&align.Pictures, "pictures", 20_000, "of align: pictures in an epoch; of store and pipeline: pictures (default 1000 and 400)")
	c.Flags().IntVar(&align.Components, "components", 66, "of align and store: components")
	c.Flags().IntVar(&align.Dim, "dim", 768, "of align and store: dimensions of the model's representation")
	c.Flags().IntVar(&align.ClipDim, "clip-dim", 768, "of align: dimensions of CLIP's space")
	c.Flags().StringVar(&dir, "dir", "", "of store and pipeline: the directory to measure in (default: that of temporary files)")
	c.Flags().StringVar(&pictures.spec, "data", "", "of pipeline: pictures to extract, KIND:ARGUMENT or a directory (default: drawn JPEG files of ImageNet's size)")
	c.Flags().StringVar(&pictures.keep, "keep", "float32", "of pipeline: how contributions are kept, float32, float16 or bfloat16")
	c.Flags().StringVar(&devices, "devices", "1", "of scale: numbers of devices to measure, such as 1,2,4; of pipeline: how many share the work (default: all of an accelerator)")
	c.Flags().IntVar(&side, "side", 0, "of scale: side of the square matrices whose product counts as the peak (default: 2048, on accelerators 8192)")
	c.Flags().StringVar(&batches, "batches", "1,2,4,8,16,32,64,128,256,512", "of scale: the batches to try, until a larger one is no faster")
	c.Flags().StringVar(&blocks, "blocks", "", "the blocks of which some are taken apart, such as 7..11 or (2,14).. (default: those of the paper's retrieval)")
	c.Flags().StringVar(&cfg.PeerPython, "peer-python", "", "a python with torch and timm to run the same forward pass in turn")
	c.Flags().StringVar(&jsonFile, "json", "", "also write the figures to this file")
	models.add(c)
	models.addRandom(c)
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
