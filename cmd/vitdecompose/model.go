package main

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"vitdecompose/data"
	_ "vitdecompose/data/scenes" // registers scenes:N
	"vitdecompose/experiments"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/zoo"
)

// modelFlags choose a model and how it is opened.
type modelFlags struct {
	imageSize     int
	randomWeights bool
	classNames    string
}

func (f *modelFlags) add(c *cobra.Command) {
	c.Flags().IntVar(&f.imageSize, "image-size", 0, "side of the input pictures, if not the checkpoint's (position embeddings are resampled)")
	c.Flags().StringVar(&f.classNames, "class-names", "", "file with the names of the classes: one a line, or CSV with the columns label and name")
}

func (f *modelFlags) addRandom(c *cobra.Command) {
	c.Flags().BoolVar(&f.randomWeights, "random-weights", false, "give an architecture of the registry random weights")
}

// open opens a model by the name of a shipped one, a checkpoint directory, hf:owner/repo, or, with random weights, the
// name of an architecture.
func (f *modelFlags) open(name string) (*gomlxvit.Model, error) {
	if f.imageSize < 0 {
		return nil, usagef("--image-size %d is not a size", f.imageSize)
	}
	var model *gomlxvit.Model
	switch {
	case f.randomWeights:
		random, err := gomlxvit.Random(name, 1)
		if err != nil {
			return nil, err
		}
		if f.imageSize != 0 {
			return nil, usagef("--image-size does not go with --random-weights")
		}
		model = random
	default:
		ckpt, err := openCheckpoint(name)
		if err != nil {
			return nil, err
		}
		defer ckpt.Close()
		if model, err = gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{ImageSize: f.imageSize}); err != nil {
			return nil, err
		}
	}
	if f.classNames != "" {
		names, err := data.ReadClassNames(f.classNames)
		if err != nil {
			return nil, err
		}
		if len(names) != model.Arch.NumClasses() {
			return nil, fmt.Errorf("--class-names %s names %d classes, %s has %d", f.classNames, len(names), name, model.Arch.NumClasses())
		}
		model.ClassNames = names
	}
	return model, nil
}

func openCheckpoint(name string) (*checkpoint.Checkpoint, error) {
	if zoo.Has(name) {
		return zoo.Open(name)
	}
	if slices.Contains(gomlxvit.Names(), name) {
		return nil, fmt.Errorf("--model %s is an architecture without weights here; name a checkpoint directory, hf:timm/%s... , or (for bench) --random-weights", name, name)
	}
	return checkpoint.Open(name)
}

// dataFlags choose pictures.
type dataFlags struct {
	spec, labels string
	pictures     int
	orient       bool
	maxBad       int
	batch        int
}

func (f *dataFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.spec, "data", "scenes:1000", "pictures: folder:DIR (a sub-folder for each class) or scenes:N[:SEED]")
	c.Flags().StringVar(&f.labels, "labels", "", "CSV file with the columns file,label (class index) for folder:DIR")
	c.Flags().IntVar(&f.pictures, "pictures", 0, "take only the first N pictures")
	c.Flags().BoolVar(&f.orient, "orient", false, "turn photos upright by their EXIF orientation (timm and open_clip do not)")
	c.Flags().IntVar(&f.maxBad, "max-bad", 0, "leave out up to N pictures that cannot be read")
	c.Flags().IntVar(&f.batch, "batch", 8, "pictures computed at a time")
}

func (f *dataFlags) check() error {
	if f.pictures < 0 || f.maxBad < 0 || f.batch < 1 {
		return usagef("--pictures and --max-bad must not be negative, --batch must be at least 1")
	}
	return nil
}

// openFor opens the pictures with labels that mean the model's classes.
func (f *dataFlags) openFor(model *gomlxvit.Model) (data.Dataset, error) {
	ds, err := data.Open(f.spec, data.Options{Labels: f.labels})
	if err != nil {
		return nil, err
	}
	return experiments.MatchLabels(ds, model.Name, model.ClassNames, model.Arch.NumClasses())
}

// openBackend opens what computes, as GOMLX_BACKEND says.
func openBackend() (compute.Backend, error) { return backend.Open("") }
