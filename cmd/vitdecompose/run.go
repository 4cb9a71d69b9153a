package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"vitdecompose/data"
	"vitdecompose/data/atomicfile"
	"vitdecompose/data/progress"
	"vitdecompose/experiments"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/zoo"
	"vitdecompose/plots"
)

func newRun() *cobra.Command {
	var models modelFlags
	var pictures dataFlags
	var head headFlags
	var names []string
	var out, cacheDir string
	c := &cobra.Command{
		Use:   "run (ablation|all)",
		Short: "Run an experiment of the paper and draw its figure",
		Long: `Run an experiment of arXiv 2406.01583 and write its numbers (result.json, table.csv)
and its figure (PNG, SVG, PDF) into the directory --out.

  ablation   experiment 1: accuracy as components are replaced by their mean, from
             the first layer forward and from the last layer back
  all        all of them, each into a sub-folder of --out

Contributions are kept in a cache: a second run, or one that was interrupted, does
not compute them again.`,
		Example: `  vitdecompose run ablation
  vitdecompose run ablation --model hf:timm/vit_small_patch16_224.dino --head-data training --data validation
  vitdecompose run ablation --model checkpoints/vit_base --data folder:photos --labels labels.csv --out results/mine`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: []string{"ablation", "all"},
		RunE: func(c *cobra.Command, args []string) error {
			if err := pictures.check(); err != nil {
				return err
			}
			if len(names) == 0 {
				return usagef("--model names no model")
			}
			for i, name := range names {
				if slices.Contains(names[:i], name) {
					return usagef("--model names %s twice", name)
				}
			}
			switch args[0] {
			case "ablation":
				if out == "" {
					out = filepath.Join("results", "ablation")
				}
			case "all":
				if out == "" {
					out = "results"
				}
				out = filepath.Join(out, "ablation")
			default:
				return usagef("experiment %q is not known (known: ablation, all)", args[0])
			}
			return runAblation(c, &models, &pictures, &head, names, out, cacheDir)
		},
	}
	c.Flags().StringSliceVar(&names, "model", zoo.Studied(), "models, separated by commas: shipped ones, checkpoint directories or hf:owner/repo")
	c.Flags().StringVar(&out, "out", "", "directory for the results (default results/EXPERIMENT)")
	c.Flags().StringVar(&cacheDir, "cache", "", "directory where contributions are kept (default: the user's cache directory)")
	models.add(c)
	pictures.add(c)
	head.add(c)
	return c
}

// ablationConfig is what result.json says of how the experiment was run.
type ablationConfig struct {
	Models     []string `json:"models"`
	Data       string   `json:"data"`
	Labels     string   `json:"labels,omitempty"`
	Names      string   `json:"class_names,omitempty"`
	Templates  string   `json:"templates,omitempty"`
	HeadData   string   `json:"head_data,omitempty"`
	HeadLabels string   `json:"head_labels,omitempty"`
	Pictures   int      `json:"pictures"` // 0: all
	Batch      int      `json:"batch"`
	ImageSize  int      `json:"image_size,omitempty"`
	Orient     bool     `json:"orient,omitempty"`
	MaxBad     int      `json:"max_bad,omitempty"`
}

func runAblation(c *cobra.Command, models *modelFlags, pictures *dataFlags, head *headFlags, names []string, out, cacheDir string) error {
	start := time.Now()
	// A mistake that shows only after the first model's pictures, or in the end, would cost all the time before.
	if err := os.MkdirAll(out, 0o777); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if err := checkWritable(filepath.Join(out, experiments.ResultFile)); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	head.setDefault(*pictures)
	classified, err := pictures.open()
	if err != nil {
		return err
	}
	for _, name := range names[1:] {
		model, _, err := models.load(c.Context(), name, classified.Classes())
		if err != nil {
			return err
		}
		if err := head.check(model); err != nil {
			return err
		}
		if _, err := labelled(classified, model); err != nil {
			return err
		}
	}
	open := func(name string) (*gomlxvit.Model, data.Dataset, error) {
		model, err := models.openFor(c.Context(), name, classified.Classes())
		if err != nil {
			return nil, nil, err
		}
		if err := head.check(model); err != nil {
			return nil, nil, err
		}
		ds, err := labelled(classified, model)
		return model, ds, err
	}
	backend, err := openBackend()
	if err != nil {
		return err
	}
	meta := experiments.Meta{
		Experiment: "ablation", Checkpoints: map[string]string{}, Data: map[string]string{}, Versions: experiments.Versions(),
		Config: ablationConfig{
			Models: names, Data: pictures.spec, Labels: pictures.labels, Names: models.classNames, Templates: models.templates,
			HeadData: head.spec, HeadLabels: head.labels,
			Pictures: pictures.pictures, Batch: pictures.batch, ImageSize: models.imageSize, Orient: pictures.orient, MaxBad: pictures.maxBad,
		},
	}
	var result experiments.AblationResult
	short := shortNames(names)
	for i, name := range names {
		model, ds, err := open(name)
		if err != nil {
			return err
		}
		extraction := experiments.Extraction{
			Backend: backend, Model: model, Data: ds, Pictures: pictures.pictures, Batch: pictures.batch,
			Orient: pictures.orient, MaxBad: pictures.maxBad, CacheDir: cacheDir, Progress: progress.New(stderrFile(c)),
			Warn: func(err error) { fmt.Fprintln(c.ErrOrStderr(), oneLine(err.Error())) },
		}
		if model.Arch.NumClasses() == 0 {
			var trainedOn string
			if extraction.Model, trainedOn, err = head.train(c, extraction); err != nil {
				return err
			}
			meta.Data[head.spec] = trainedOn
			// The labels now have a meaning to match.
			if extraction.Data, err = labelled(classified, extraction.Model); err != nil {
				return err
			}
		}
		curve, exactness, err := experiments.Ablation(c.Context(), extraction)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "%s: %d pictures, accuracy %.1f %%; |sum of components - representation| is at most %.1e of the representation\n",
			name, curve.Pictures, 100*curve.FromInit[0], exactness)
		curve.Model = short[i]
		result.Curves = append(result.Curves, curve)
		meta.Checkpoints[name] = extraction.Model.Hash
		if meta.Data[pictures.spec], err = extraction.Data.Hash(); err != nil {
			return err
		}
	}

	table, err := result.Table()
	if err != nil {
		return err
	}
	if err := experiments.WriteTable(out, table); err != nil {
		return err
	}
	figure, err := plots.Ablation(result)
	if err != nil {
		return err
	}
	if err := plots.Save(figure, filepath.Join(out, "ablation"), figure.Width, figure.Height); err != nil {
		return err
	}
	meta.Seconds = time.Since(start).Seconds()
	if err := experiments.WriteResult(out, result, meta); err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "wrote %s and ablation.{png,svg,pdf}, %s beside it\n", filepath.Join(out, experiments.ResultFile), experiments.TableFile)
	return nil
}

// checkWritable tells whether a file can be written there; it leaves no trace. An empty path is fine.
func checkWritable(path string) error {
	if path == "" {
		return nil
	}
	f, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	return f.Abort()
}

// stderrFile is the terminal or file that progress goes to; nil, which means silence, when errors go elsewhere.
func stderrFile(c *cobra.Command) *os.File {
	f, ok := c.ErrOrStderr().(*os.File)
	if !ok {
		return nil
	}
	return f
}
