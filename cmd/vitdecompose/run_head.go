package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/gomlx/compute"

	"vitdecompose/data"
	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit"
	"vitdecompose/plots"
)

// headConfig is what result.json says of how an experiment on classifiers was run.
type headConfig struct {
	Models     []string `json:"models"`
	Data       string   `json:"data"`
	Labels     string   `json:"labels,omitempty"`
	Names      string   `json:"class_names,omitempty"`
	Templates  string   `json:"templates,omitempty"`
	HeadData   string   `json:"head_data,omitempty"`
	HeadLabels string   `json:"head_labels,omitempty"`
	Pictures   int      `json:"pictures"`            // 0: all
	Shuffle    *int64   `json:"shuffle,omitempty"`   // seed of the order
	Keep       string   `json:"keep,omitempty"`      // how contributions are kept, where rounded
	Precision  string   `json:"precision,omitempty"` // of matrix products, where not float32
	Blocks     string   `json:"blocks,omitempty"`    // empty: the paper's
	Batch      int      `json:"batch"`
	ImageSize  int      `json:"image_size,omitempty"`
	Orient     bool     `json:"orient,omitempty"`
	MaxBad     int      `json:"max_bad,omitempty"`
	Experiment any      `json:"experiment,omitempty"` // its own settings
}

// headRun is an experiment on models with a classifier head, under way.
type headRun struct {
	*runner
	start      time.Time
	classified data.Dataset
	backend    compute.Backend
	meta       experiments.Meta
}

// heads begins such an experiment.
func (r *runner) heads(name string) (*headRun, error) {
	run := &headRun{runner: r, start: time.Now()}
	if err := r.prepareOut(); err != nil {
		return nil, err
	}
	r.head.setDefault(r.pictures)
	var err error
	if run.classified, err = r.pictures.open(); err != nil {
		return nil, err
	}
	run.meta = experiments.Meta{Experiment: name, Checkpoints: map[string]string{}, Data: map[string]string{}, Versions: experiments.Versions()}
	for _, name := range r.names[1:] {
		// What a later model lacks should be known before an earlier one has computed for long.
		model, _, err := r.models.load(r.c.Context(), name, run.classified.Classes())
		if err != nil {
			return nil, err
		}
		if err := r.head.check(model); err != nil {
			return nil, err
		}
		if _, err := labelled(run.classified, model); err != nil {
			return nil, err
		}
	}
	return run, nil
}

// each opens every model, gives it a head where it has none, and does something with it and the pictures, whose labels then
// mean its classes.
func (r *headRun) each(do func(extraction experiments.Extraction, short string) error) error {
	c, short := r.c, session.ShortNames(r.names)
	for i, name := range r.names {
		model, ds, err := r.open(name)
		if err != nil {
			return err
		}
		if r.backend == nil { // not before the first model and its pictures are known to be good
			if r.backend, err = session.Backend(); err != nil {
				return err
			}
		}
		extraction := r.pictures.extraction(c, r.backend, model, ds, r.cacheDir)
		if model.Arch.NumClasses() == 0 {
			var trainedOn string
			if extraction.Model, trainedOn, err = r.head.train(c, extraction); err != nil {
				return err
			}
			r.meta.Data[r.head.spec] = trainedOn
			// The labels now have a meaning to match.
			if extraction.Data, err = labelled(r.classified, extraction.Model); err != nil {
				return err
			}
		}
		if err := do(extraction, short[i]); err != nil {
			return err
		}
		r.meta.Checkpoints[name] = extraction.Model.Hash
		if r.meta.Data[r.pictures.spec], err = extraction.Data.Hash(); err != nil {
			return err
		}
	}
	return nil
}

// open opens a model and the pictures for it.
func (r *headRun) open(name string) (*gomlxvit.Model, data.Dataset, error) {
	model, err := r.models.openFor(r.c.Context(), name, r.classified.Classes())
	if err != nil {
		return nil, nil, err
	}
	if err := r.head.check(model); err != nil {
		return nil, nil, err
	}
	ds, err := labelled(r.classified, model)
	return model, ds, err
}

// finish writes the numbers; the figures are written already.
func (r *headRun) finish(result any, table experiments.Table, settings any) error {
	if err := experiments.WriteTable(r.out, table); err != nil {
		return err
	}
	r.meta.Config = headConfig{
		Models: r.names, Data: r.pictures.spec, Labels: r.pictures.labels, Names: r.models.classNames, Templates: r.models.templates,
		HeadData: r.head.spec, HeadLabels: r.head.labels, Pictures: r.pictures.pictures, Shuffle: r.pictures.order(), Keep: r.pictures.rounded(), Precision: r.models.narrow(), Blocks: r.study.blocks, Batch: r.pictures.batch,
		ImageSize: r.models.imageSize, Orient: r.pictures.orient, MaxBad: r.pictures.maxBad, Experiment: settings,
	}
	r.meta.Seconds = time.Since(r.start).Seconds()
	return experiments.WriteResult(r.out, result, r.meta)
}

func (r *runner) ablation() error {
	run, err := r.heads("ablation")
	if err != nil {
		return err
	}
	var result experiments.AblationResult
	err = run.each(func(extraction experiments.Extraction, short string) error {
		curve, exactness, err := experiments.Ablation(r.c.Context(), extraction)
		if err != nil {
			return err
		}
		fmt.Fprintf(r.c.OutOrStdout(), "%s: %d pictures, accuracy %.1f %%; |sum of components - representation| is at most %.1e of the representation\n",
			extraction.Model.Name, curve.Pictures, 100*curve.FromInit[0], exactness)
		curve.Model = short
		result.Curves = append(result.Curves, curve)
		return nil
	})
	if err != nil {
		return err
	}
	table, err := result.Table()
	if err != nil {
		return err
	}
	figure, err := plots.Ablation(result)
	if err != nil {
		return err
	}
	if err := r.save("ablation", figure); err != nil {
		return err
	}
	if err := run.finish(result, table, nil); err != nil {
		return err
	}
	fmt.Fprintf(r.c.OutOrStdout(), "wrote %s and ablation.{png,svg,pdf}, %s beside it\n", filepath.Join(r.out, experiments.ResultFile), experiments.TableFile)
	return nil
}

func (r *runner) segmentation() error {
	run, err := r.heads("segmentation")
	if err != nil {
		return err
	}
	config := experiments.SegmentationConfig{Examples: 4}
	var result experiments.SegmentationResult
	err = run.each(func(extraction experiments.Extraction, short string) error {
		blocks := extraction.Model.Arch.Blocks()
		first, last := experiments.SegmentationBlocks(blocks)
		if r.study.blocks != "" {
			if first, last, err = parseBlocks(r.study.blocks, blocks); err != nil {
				return err
			}
		}
		extraction.Options.First, extraction.Options.End = first, last+1
		model, err := experiments.Segmentation(r.c.Context(), extraction, config)
		if err != nil {
			return err
		}
		model.Model = short
		result.Models = append(result.Models, model)
		for _, s := range model.Scores {
			fmt.Fprintf(r.c.OutOrStdout(), "%s: %s: pixel accuracy %.3f, mIoU %.3f, mAP %.3f\n", short, s.Method, s.PixelAccuracy, s.MIoU, s.MAP)
		}
		shown := session.View{Extraction: extraction}
		drawn, err := plots.SegmentationSheet(model, shown, shown, plots.SegmentationSheetOptions{})
		if err != nil {
			return err
		}
		return r.saveSheet("segmentation", short, drawn)
	})
	if err != nil {
		return err
	}
	figure, err := plots.Segmentation(result)
	if err != nil {
		return err
	}
	if err := r.save("segmentation", figure); err != nil {
		return err
	}
	return run.finish(result, result.Table(), config)
}
