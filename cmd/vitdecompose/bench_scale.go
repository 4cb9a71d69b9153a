package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vitdecompose/data/progress"
	"vitdecompose/experiments"
	"vitdecompose/gomlxvit"
)

// papersModels are the models of the paper, by the names of their architectures.
var papersModels = []string{
	"deit_base_patch16_224", "vit_base_patch16_224", "vit_base_patch14_dinov2", "ViT-B-16",
	"swin_base_patch4_window7_224", "maxvit_small_tf_224",
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

// benchScale measures models on all of a backend.
func benchScale(c *cobra.Command, models *modelFlags, names []string, cfg experiments.BenchScaleConfig, batches, devices, jsonFile string) error {
	if cfg.Side < 0 {
		return usagef("--side must not be negative")
	}
	var err error
	if cfg.Batches, err = positiveNumbers("--batches", batches); err != nil {
		return err
	}
	if cfg.Devices, err = positiveNumbers("--devices", devices); err != nil {
		return err
	}
	backend, err := benchBackend(jsonFile)
	if err != nil {
		return err
	}
	r, err := experiments.BenchScale(c.Context(), backend, len(names), func(i int) (*gomlxvit.Model, error) {
		return models.open(c.Context(), names[i])
	}, cfg)
	if err != nil {
		return err
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

// positiveNumbers reads numbers between commas.
func positiveNumbers(flag, list string) ([]int, error) {
	var numbers []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < 1 {
			return nil, usagef("%s %s: %q is not a number from 1 on", flag, list, field)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}
