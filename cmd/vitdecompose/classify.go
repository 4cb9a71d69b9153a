package main

import (
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/spf13/cobra"

	"vitdecompose/data"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/statistics"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/preprocess"
)

func newClassify() *cobra.Command {
	var options session.Options
	c := &cobra.Command{
		Use:   "classify (IMAGE|FOLDER)...",
		Short: "Print the five best classes of each picture",
		Long: `Print the five best classes of each picture: logit, probability, number and name.
Probabilities are the softmax of all logits, or for a SigLIP, to whom each class is
a question of its own, the sigmoid of each. Names are the checkpoint's or those of
--class-names; where there are none, and as many classes as in ImageNet-1k or one of
its larger sets, ImageNet's. A folder stands for all pictures below it.`,
		Example: `  vitdecompose classify --model checkpoints/vit_base photo.jpg
  vitdecompose classify --model hf:timm/deit_tiny_patch16_224.fb_in1k \
    --class-names imagenet.csv *.jpg`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			files, err := data.FilesIn(args)
			if err != nil {
				return err
			}
			listen(c, &options)
			model, err := session.OpenModel(c.Context(), options)
			if err != nil {
				return usage(err)
			}
			if model.Arch.NumClasses() == 0 {
				return fmt.Errorf("%s has no classifier head; a CLIP gets one from the names of classes, with --class-names FILE", model.Name)
			}
			backend, err := session.Backend()
			if err != nil {
				return err
			}
			program, err := model.Compile(backend, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
				return []*graph.Node{model.Arch.Head(w, model.Arch.Representation(w, in[0]))}
			})
			if err != nil {
				return err
			}
			defer program.Close()
			batchSize := min(8, len(files))
			classes := model.Arch.NumClasses()
			for batch, err := range preprocess.Load(c.Context(), files, model.Preprocess,
				preprocess.LoadOptions{Batch: batchSize, Orient: options.Orient}) {
				if err != nil {
					return err
				}
				outputs, err := program.Run(extraction.PaddedBatch(batch, batchSize, model.Arch.InputSize()))
				if err != nil {
					return err
				}
				if err := gomlxvit.CheckFinite("logits", outputs[0]); err != nil {
					return fmt.Errorf("%s: %w", model.Name, err)
				}
				logits, err := tensors.CopyFlatData[float32](outputs[0])
				if err := errors.Join(err, outputs[0].FinalizeAll()); err != nil {
					return err
				}
				for i, index := range batch.Indices {
					fmt.Fprintln(c.OutOrStdout(), files[index])
					row := logits[i*classes:][:classes]
					probabilities := model.Probabilities(row)
					for _, class := range statistics.Top(row, 5) {
						word := ""
						if model.ClassNames != nil {
							word = "  " + model.ClassNames[class]
						}
						fmt.Fprintf(c.OutOrStdout(), "  %8.3f  %6.2f %%  %5d%s\n", row[class], 100*probabilities[class], class, word)
					}
				}
			}
			return nil
		},
	}
	addOptions(c, &options, "model", "input", "classes", "templates", "orient")
	return c
}
