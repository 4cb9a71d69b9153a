package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"vitdecompose/data/atomicfile"
	"vitdecompose/data/progress"
	"vitdecompose/experiments/bench"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/option"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit"
)

// models are the options that say which model is measured.
var models = []string{"model", "input", "random", "classes", "templates"}

func newBench() *cobra.Command {
	var options session.Options
	var cfg bench.ModelConfig
	var jsonFile string
	c := &cobra.Command{
		Use:   "bench [align|store|pipeline|scale]",
		Short: "Measure forward pass, decomposition and token split of a model, alignment, the cache, or a whole extraction",
		Long: `Measure images per second of the forward pass, of the forward pass with the heads and
MLPs of all blocks and of the late ones, and with the token split of those; their ratios
to the forward pass, and peak memory. The jobs run in turn, round by round, so that the
ratios hold on a machine whose speed drifts.

With --peer-python, a Python that has torch and timm runs the same forward pass in turn.`,
		Example: `  vitdecompose bench --model deit_base_patch16_224 --random-weights --batch 8
  vitdecompose bench --model deit-mini --batch 32 --json bench.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			model, backend, err := measured(c, &options, &cfg, jsonFile)
			if err != nil {
				return err
			}
			if cfg.First, cfg.Last, err = someBlocks(&options, model); err != nil {
				return err
			}
			cfg.Log = c.ErrOrStderr()
			result, err := bench.Model(c.Context(), backend, model, cfg)
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
	takes(c.PersistentFlags(), "json", "FILE")
	addOptions(c, &options, append(models, "blocks")...)
	addOptions(c, &cfg)
	c.AddCommand(newBenchAlign(&jsonFile), newBenchStore(&jsonFile), newBenchPipeline(&jsonFile), newBenchScale(&jsonFile))
	return c
}

// measured opens the model that is measured, and what computes, and fills in what the configuration leaves open.
func measured(c *cobra.Command, options *session.Options, cfg any, jsonFile string) (*gomlxvit.Model, compute.Backend, error) {
	if err := option.SetDefaults(cfg); err != nil {
		return nil, nil, err
	}
	listen(c, options)
	model, err := session.OpenModel(c.Context(), *options)
	if err != nil {
		return nil, nil, usage(err)
	}
	backend, err := benchBackend(jsonFile)
	return model, backend, err
}

// someBlocks are the blocks of the options, or those of the paper's retrieval.
func someBlocks(options *session.Options, model *gomlxvit.Model) (first, last int, err error) {
	if options.Blocks != "" {
		return parseBlocks(options.Blocks, model.Arch.Blocks())
	}
	first, last = extraction.RetrievalBlocks(model.Arch.Blocks())
	return first, last, nil
}

func printBench(w io.Writer, r *bench.ModelResult) error {
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

func newBenchAlign(jsonFile *string) *cobra.Command {
	var cfg bench.AlignConfig
	c := &cobra.Command{
		Use:   "align",
		Short: "Measure the training of an alignment",
		Long: `Measure the training of an alignment on random contributions as large as those of
DeiT-B's late blocks: seconds per epoch, from --rounds steps with and without the orthogonality
term, and peak memory.

With --peer-python, a Python that has torch takes the same steps in turn.`,
		Example: `  vitdecompose bench align --rounds 20 --peer-python python3`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := option.SetDefaults(&cfg); err != nil {
				return err
			}
			cfg.Log = c.ErrOrStderr()
			return benchAlign(c, cfg, *jsonFile)
		},
	}
	addOptions(c, &cfg)
	return c
}

func benchAlign(c *cobra.Command, cfg bench.AlignConfig, jsonFile string) error {
	backend, err := benchBackend(jsonFile)
	if err != nil {
		return err
	}
	result, err := bench.Align(c.Context(), backend, cfg)
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

func newBenchStore(jsonFile *string) *cobra.Command {
	var cfg bench.StoreConfig
	c := &cobra.Command{
		Use:   "store",
		Short: "Measure the cache",
		Long: `Measure the cache with contributions as large as those of DeiT-B's late blocks:
megabytes per second of writing (to the disk), verifying, and reading what was just
written, for each type that --keep can name, and peak memory.`,
		Example: `  vitdecompose bench store --pictures 5000 --dir /data`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := option.SetDefaults(&cfg); err != nil {
				return err
			}
			cfg.Log = c.ErrOrStderr()
			return benchStore(c, cfg, *jsonFile)
		},
	}
	addOptions(c, &cfg)
	return c
}

func benchStore(c *cobra.Command, cfg bench.StoreConfig, jsonFile string) error {
	if err := checkWritable(jsonFile); err != nil {
		return fmt.Errorf("--json: %w", err)
	}
	result, err := bench.Store(c.Context(), cfg)
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

// drawnPictures is how many pictures go through a pipeline unless --data or --pictures say.
const drawnPictures = 400

// pipelining are the options of bench pipeline that are its own.
type pipelining struct {
	Data string `flag:"data" takes:"PICTURES" usual:"drawn JPEG files of ImageNet's size" help:"pictures to extract, KIND:PATH or a directory"`
	Dir  string `flag:"dir" takes:"DIR" usual:"that of temporary files" help:"the directory to measure in"`
}

func newBenchPipeline(jsonFile *string) *cobra.Command {
	var options session.Options
	var own pipelining
	c := &cobra.Command{
		Use:   "pipeline",
		Short: "Measure an extraction as a whole",
		Long: `Measure an extraction as a whole, from JPEG files (drawn ones as large as ImageNet's unless
--data names others) to a store: images per second, how much of the time devices waited
for pictures or for the store, and memory at the beginning and later.`,
		Example: `  vitdecompose bench pipeline --model deit_base_patch16_224 --random-weights --pictures 400
  vitdecompose bench pipeline --model deit-mini --data photos --batch 64`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			options.Data = own.Data
			return benchPipeline(c, options, own.Dir, *jsonFile)
		},
	}
	addOptions(c, &own)
	addOptions(c, &options, append(models, "blocks", "data", "orient", "bad", "batch", "keep", "store")...)
	return c
}

// benchPipeline measures an extraction from pictures to a store.
func benchPipeline(c *cobra.Command, options session.Options, dir, jsonFile string) error {
	cfg := bench.PipelineConfig{
		Dir: dir, Devices: options.Devices, Keep: cmp.Or(options.Keep, "float32"), Batch: cmp.Or(options.Batch, session.DefaultBatch), Pictures: options.Pictures,
		Orient: options.Orient, MaxBad: options.MaxBad, Progress: progress.New(stderrFile(c)),
	}
	model, backend, err := measured(c, &options, &cfg, jsonFile)
	if err != nil {
		return err
	}
	if cfg.First, cfg.Last, err = someBlocks(&options, model); err != nil {
		return err
	}
	switch {
	case options.Data != "":
		if cfg.Data, err = session.OpenPictures(c.Context(), options); err != nil {
			return usage(err)
		}
		cfg.Pictures = cfg.Data.Len()
	case cfg.Pictures == 0:
		cfg.Pictures = drawnPictures
	}
	r, err := bench.Pipeline(c.Context(), backend, model, cfg)
	if err != nil {
		return err
	}
	if err := writeJSON(jsonFile, r); err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "model\t%s, %s, blocks %d..%d, batch %d\n", r.Model, r.Precision, cfg.First, cfg.Last, r.Config.Batch)
	fmt.Fprintf(w, "pictures\t%d\n", r.Pictures)
	fmt.Fprintf(w, "devices\t%d of %s\n", r.Devices, r.Backend)
	fmt.Fprintf(w, "decoding and scaling\t%.1f images/s on all cores, alone\n", r.LoadRate)
	fmt.Fprintf(w, "speed\t%.2f images/s over %.1f s, after a first batch of %.1f s\n", r.Rate, r.Seconds, r.CompileSeconds)
	fmt.Fprintf(w, "devices waited\t%.1f %% of the time\n", 100*r.Waiting)
	fmt.Fprintf(w, "store\t%.1f MB\n", float64(r.Bytes)/1e6)
	fmt.Fprintf(w, "peak memory\t%s in the first tenth, %s after\n", gigabytes(r.EarlyPeakBytes), gigabytes(r.LaterPeakBytes))
	return w.Flush()
}

// papersModels are the models of the paper, by the names of their architectures.
var papersModels = []string{
	"deit_base_patch16_224", "vit_base_patch16_224", "vit_base_patch14_dinov2", "ViT-B-16",
	"swin_base_patch4_window7_224", "maxvit_small_tf_224",
}

// scaling are the options of bench scale that are its own.
type scaling struct {
	Models []string `flag:"model" usual:"the paper's architectures with random weights" help:"models, separated by commas"`
}

func newBenchScale(jsonFile *string) *cobra.Command {
	var options session.Options
	var own scaling
	var cfg bench.ScaleConfig
	c := &cobra.Command{
		Use:   "scale",
		Short: "Measure models at their best batch, on one and several devices",
		Long: `Measure models (the paper's six architectures with random weights, unless --model names
others) at their fastest batch: images per second of the forward pass and of the
decomposition, what share of the speed of a matrix product that is, how far --precision
bfloat16 is from float32, and how fast several --devices are together.`,
		Example: `  vitdecompose bench scale --batches 4,8,16 --devices 1,2
  vitdecompose bench scale --model deit-mini,swin-mini`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := option.SetDefaults(&cfg); err != nil {
				return err
			}
			if len(own.Models) == 0 {
				own.Models, options.RandomWeights = papersModels, true
			}
			cfg.Log = c.ErrOrStderr()
			return benchScale(c, options, own.Models, cfg, *jsonFile)
		},
	}
	addOptions(c, &own)
	addOptions(c, &options, models...)
	addOptions(c, &cfg)
	return c
}

// benchScale measures models on all of a backend.
func benchScale(c *cobra.Command, options session.Options, names []string, cfg bench.ScaleConfig, jsonFile string) error {
	backend, err := benchBackend(jsonFile)
	if err != nil {
		return err
	}
	r, err := bench.Scale(c.Context(), backend, len(names), func(i int) (*gomlxvit.Model, error) {
		options.Model = names[i]
		return session.OpenModel(c.Context(), options)
	}, cfg)
	if err != nil {
		return usage(err)
	}
	if err := writeJSON(jsonFile, r); err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "%s\n", r.Backend)
	for _, p := range r.Peaks {
		fmt.Fprintf(c.OutOrStdout(), "product of %d x %d matrices, %s: %.3g TFLOP/s\n", p.Side, p.Side, p.Precision, p.TFLOPs)
	}
	fmt.Fprintln(c.OutOrStdout())
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "model\tprecision\tblocks\tbatch\tGFLOP/image\tforward\tdecomposed\tof peak\tsum error\tfrom float32\ton several devices")
	for _, row := range r.Rows {
		difference := "-"
		if row.Difference > 0 {
			difference = fmt.Sprintf("%.1e", row.Difference)
		}
		var several []string
		for _, d := range row.ByDevices[1:] {
			several = append(several, fmt.Sprintf("%d: %.2f/s (%.2f x)", d.Devices, d.ImagesPerSec, d.ImagesPerSec/row.ByDevices[0].ImagesPerSec))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%.1f\t%.2f/s\t%.2f/s\t%.0f %%\t%.1e\t%s\t%s\n", row.Model, row.Precision, row.Blocks, row.Batch, row.GFLOPs,
			row.Forward, row.Decomposed, 100*row.OfPeak, row.SumError, difference, strings.Join(several, ", "))
	}
	return w.Flush()
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
