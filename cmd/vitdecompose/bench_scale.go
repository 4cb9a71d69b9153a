package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vitdecompose/experiments"
	"vitdecompose/gomlxvit"
)

// papersModels are the models of the paper, by the names of their architectures.
var papersModels = []string{
	"deit_base_patch16_224", "vit_base_patch16_224", "vit_base_patch14_dinov2", "ViT-B-16",
	"swin_base_patch4_window7_224", "maxvit_small_tf_224",
}

func newBenchScale(jsonFile *string) *cobra.Command {
	var models modelFlags
	var name, batches, devices string
	cfg := experiments.BenchScaleConfig{}
	c := &cobra.Command{
		Use:   "scale",
		Short: "Measure models at their best batch, on one and several devices",
		Long: `Measure models (the paper's six architectures with random weights, unless --model names
some) at the batch that is fastest: images per second of the forward pass and of the
decomposition, which share of the speed of a matrix product that is, how far --precision
bfloat16 is from float32, and what several --devices give together.`,
		Example: `  vitdecompose bench scale --batches 4,8,16 --devices 1,2
  vitdecompose bench scale --model deit-mini,swin-mini`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if cfg.Rounds < 1 {
				return usagef("--rounds must be at least 1")
			}
			cfg.Log = c.ErrOrStderr()
			names := strings.Split(name, ",")
			if name == "" {
				names, models.randomWeights = papersModels, true
			}
			return benchScale(c, &models, names, cfg, batches, devices, *jsonFile)
		},
	}
	c.Flags().StringVar(&name, "model", "", "models, separated by commas (default: the paper's architectures with random weights)")
	c.Flags().IntVar(&cfg.Rounds, "rounds", 3, "times each job is run")
	c.Flags().StringVar(&batches, "batches", "1,2,4,8,16,32,64,128,256,512", "the batches to try, until a larger one is no faster")
	c.Flags().StringVar(&devices, "devices", "1", "numbers of devices to measure, such as 1,2,4")
	c.Flags().IntVar(&cfg.Side, "side", 0, "side of the square matrices whose product counts as the peak (default: 2048, on accelerators 8192)")
	models.add(c)
	models.addRandom(c)
	return c
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
