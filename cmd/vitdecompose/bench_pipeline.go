package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vitdecompose/data/progress"
	"vitdecompose/experiments"
)

// drawnPictures is how many pictures go through unless --data or --pictures say.
const drawnPictures = 400

func newBenchPipeline(jsonFile *string) *cobra.Command {
	var models modelFlags
	var pictures dataFlags
	var name, blocks, dir string
	c := &cobra.Command{
		Use:   "pipeline",
		Short: "Measure an extraction as a whole",
		Long: `Measure an extraction as a whole, from JPEG files (drawn ones of ImageNet's size unless
--data names others) to a store: images per second, how much of the time devices waited
for pictures or for the store, and memory early and late.`,
		Example: `  vitdecompose bench pipeline --model deit_base_patch16_224 --random-weights --pictures 400
  vitdecompose bench pipeline --model deit-mini --data photos --batch 64`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if pictures.spec == "" && pictures.pictures == 0 {
				pictures.pictures = drawnPictures
			}
			return benchPipeline(c, &models, name, &pictures, experiments.BenchPipelineConfig{Dir: dir}, blocks, *jsonFile)
		},
	}
	c.Flags().StringVar(&name, "model", "deit-mini", "a shipped model, a checkpoint directory, hf:owner/repo, or an architecture with --random-weights")
	c.Flags().StringVar(&blocks, "blocks", "", "the blocks taken apart, such as 7..11 or (2,14).. (default: those of the paper's retrieval)")
	c.Flags().StringVar(&dir, "dir", "", "the directory to measure in (default: that of temporary files)")
	pictures.add(c)
	// Scenes are no files, which are what is to be measured.
	c.Flags().Lookup("data").DefValue, pictures.spec = "", ""
	c.Flags().Lookup("data").Usage = "pictures to extract, KIND:ARGUMENT or a directory (default: drawn JPEG files of ImageNet's size)"
	models.add(c)
	models.addRandom(c)
	return c
}

// benchPipeline measures an extraction from pictures to a store.
func benchPipeline(c *cobra.Command, models *modelFlags, name string, pictures *dataFlags, cfg experiments.BenchPipelineConfig, blocks, jsonFile string) error {
	if err := pictures.check(); err != nil {
		return err
	}
	model, err := models.open(c.Context(), name)
	if err != nil {
		return err
	}
	options := experiments.PaperOptions(model)
	cfg.First, cfg.Last = options.First, options.End-1
	if blocks != "" {
		if cfg.First, cfg.Last, err = parseBlocks(blocks, model.Arch.Blocks()); err != nil {
			return err
		}
	}
	cfg.Devices, cfg.Keep, cfg.Batch, cfg.Pictures = pictures.devices, pictures.keep, pictures.batch, pictures.pictures
	cfg.Orient, cfg.MaxBad = pictures.orient, pictures.maxBad
	if pictures.spec != "" {
		if cfg.Data, err = pictures.open(); err != nil {
			return err
		}
		cfg.Pictures = cfg.Data.Len()
	}
	backend, err := benchBackend(jsonFile)
	if err != nil {
		return err
	}
	cfg.Progress = progress.New(stderrFile(c))
	r, err := experiments.BenchPipeline(c.Context(), backend, model, cfg)
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
