package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"vitdecompose/data"
	"vitdecompose/data/progress"
	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/checkpoint"
)

// modelFlags choose a model and how it is opened.
type modelFlags struct {
	imageSize     int
	randomWeights bool
	classNames    string
	templates     string
	precision     string

	text bool // a CLIP is opened with its text tower, whether its classes have names or not
}

func (f *modelFlags) add(c *cobra.Command) {
	c.Flags().IntVar(&f.imageSize, "image-size", 0, "side of the input pictures, if not the checkpoint's (position embeddings are resampled)")
	c.Flags().StringVar(&f.classNames, "class-names", "", "file with the names of the classes: one a line, or CSV with the columns label and name; they give a CLIP its zero-shot head")
	c.Flags().StringVar(&f.precision, "precision", "float32", "of the numbers that matrix products multiply: float32, or bfloat16, much faster on GPUs and TPUs and off by some thousandths")
	c.Flags().StringVar(&f.templates, "templates", "", "file with the prompts of a zero-shot head, one a line with {} for the class (default: a set of the program's own)")
}

func (f *modelFlags) addRandom(c *cobra.Command) {
	c.Flags().BoolVar(&f.randomWeights, "random-weights", false, "give an architecture of the registry random weights")
}

// narrow is the precision of matrix products, "" for float32.
func (f *modelFlags) narrow() string {
	if f.precision == "float32" {
		return ""
	}
	return f.precision
}

// open opens a model by the name of a shipped one, a checkpoint directory, hf:owner/repo, or, with random weights, the
// name of an architecture.
func (f *modelFlags) open(ctx context.Context, name string) (*gomlxvit.Model, error) {
	return f.openFor(ctx, name, nil)
}

// openFor is open, but a CLIP gets its zero-shot head for these classes when --class-names names none.
func (f *modelFlags) openFor(ctx context.Context, name string, classes []string) (*gomlxvit.Model, error) {
	model, classes, err := f.load(ctx, name, classes)
	if err != nil || model.Text == nil {
		return model, err
	}
	return f.zeroShot(ctx, model, classes)
}

// load opens a model. A CLIP with its text tower has no head yet: names are those that its zero-shot head is to have.
func (f *modelFlags) load(ctx context.Context, name string, classes []string) (model *gomlxvit.Model, names []string, err error) {
	switch {
	case !gomlxvit.IsPrecision(f.precision):
		return nil, nil, usagef("--precision %s is not float32 or bfloat16", f.precision)
	case f.imageSize < 0:
		return nil, nil, usagef("--image-size %d is not a size", f.imageSize)
	case f.templates != "" && f.classNames == "" && len(classes) == 0 && !f.text:
		return nil, nil, usagef("--templates needs the classes: --class-names FILE")
	}
	switch {
	case f.randomWeights:
		if f.imageSize != 0 {
			return nil, nil, usagef("--image-size does not go with --random-weights")
		}
		if model, err = gomlxvit.Random(name, 1); err != nil {
			return nil, nil, fmt.Errorf("--model with --random-weights: %w", err)
		}
	default:
		ckpt, err := openCheckpoint(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		defer ckpt.Close()
		if model, err = gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{
			ImageSize: f.imageSize, Text: (f.text || f.classNames != "" || len(classes) > 0) && ckpt.Library == checkpoint.OpenCLIP,
		}); err != nil {
			return nil, nil, err
		}
	}
	if model, err = model.WithPrecision(f.precision); err != nil {
		return nil, nil, fmt.Errorf("--precision: %w", err)
	}
	if f.classNames != "" {
		if classes, err = data.ReadClassNames(f.classNames); err != nil {
			return nil, nil, err
		}
		if model.Text != nil {
			return model, classes, nil
		}
		if len(classes) != model.Arch.NumClasses() {
			return nil, nil, fmt.Errorf("--class-names %s names %d classes, %s has %d", f.classNames, len(classes), name, model.Arch.NumClasses())
		}
		model.ClassNames = classes
	}
	return model, classes, nil
}

// zeroShot gives a CLIP the head that compares with texts about the classes.
func (f *modelFlags) zeroShot(ctx context.Context, model *gomlxvit.Model, names []string) (*gomlxvit.Model, error) {
	return session.ZeroShot(ctx, model, names, f.templates)
}

// openCheckpoint opens a shipped model, a checkpoint directory or hf:owner/repo.
func openCheckpoint(ctx context.Context, name string) (*checkpoint.Checkpoint, error) {
	ckpt, err := session.Checkpoint(ctx, name)
	var unknown *session.UnknownModelError
	if errors.As(err, &unknown) {
		return nil, fmt.Errorf("--model %w", err)
	}
	return ckpt, err
}

// dataFlags choose pictures.
type dataFlags struct {
	spec, labels string
	pictures     int
	shuffle      int64 // seed of the order, -1 for that of the data
	orient       bool
	maxBad       int
	batch        int
	keep         string
	devices      int
}

func (f *dataFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.spec, "data", "scenes:1000", "pictures: folder:DIR or just DIR (a sub-folder for each class), or scenes:N[:SEED[:PART]]")
	c.Flags().StringVar(&f.labels, "labels", "", "CSV file with the columns file,label (class index) for the pictures of folder:DIR")
	c.Flags().IntVar(&f.pictures, "pictures", 0, "take only the first N pictures")
	c.Flags().Int64Var(&f.shuffle, "shuffle", -1, "take the pictures in an order drawn by this seed (-1: in their own)")
	c.Flags().BoolVar(&f.orient, "orient", false, "turn photos upright by their EXIF orientation (timm and open_clip do not)")
	c.Flags().IntVar(&f.maxBad, "max-bad", 0, "leave out up to N pictures that cannot be read")
	c.Flags().IntVar(&f.batch, "batch", 8, "pictures computed at a time")
	c.Flags().IntVar(&f.devices, "devices", 0, "devices of the backend that share the work (default: all of an accelerator, one of a CPU)")
	c.Flags().StringVar(&f.keep, "keep", "float32", "how contributions are kept in the cache: float32, or float16 or bfloat16 in half the room, rounded")
}

func (f *dataFlags) check() error {
	if f.pictures < 0 || f.maxBad < 0 || f.batch < 1 {
		return usagef("--pictures and --max-bad must not be negative, --batch must be at least 1")
	}
	if f.devices < 0 {
		return usagef("--devices must not be negative")
	}
	if _, err := session.ParseKeep(f.keep); err != nil {
		return usagef("--keep %w", err)
	}
	return nil
}

// order is the seed of the pictures' order, nil for their own.
func (f *dataFlags) order() *int64 {
	if f.shuffle < 0 {
		return nil
	}
	return &f.shuffle
}

// rounded is how contributions are kept, "" in full.
func (f *dataFlags) rounded() string {
	keep, _ := session.ParseKeep(f.keep) // which check has found good
	return keep
}

// open opens the pictures.
func (f *dataFlags) open() (data.Dataset, error) {
	ds, err := data.Open(f.dataset(), data.Options{Labels: f.labels})
	if err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	if f.shuffle >= 0 {
		ds = data.Shuffled(ds, uint64(f.shuffle))
	}
	if f.pictures > 0 && f.pictures < ds.Len() {
		ds = data.First(ds, f.pictures) // whose hash reads no others
	}
	return ds, nil
}

// extraction takes the pictures, opened as ds, apart by a model, telling the command's standard error how it goes.
func (f *dataFlags) extraction(c *cobra.Command, backend compute.Backend, model *gomlxvit.Model, ds data.Dataset, cacheDir string) experiments.Extraction {
	return experiments.Extraction{
		Backend: backend, Model: model, Data: ds, Pictures: f.pictures, Batch: f.batch, Orient: f.orient, MaxBad: f.maxBad, Keep: f.keep, Devices: f.devices,
		CacheDir: cacheDir, Progress: progress.New(stderrFile(c)),
		Warn: func(err error) { fmt.Fprintln(c.ErrOrStderr(), oneLine(err.Error())) },
	}
}

// labelled makes the labels of the pictures mean the model's classes.
func labelled(ds data.Dataset, model *gomlxvit.Model) (data.Dataset, error) {
	return experiments.MatchLabels(ds, model.Name, model.ClassNames, model.Arch.NumClasses())
}

// drawn tells whether the pictures are of the drawn world, which the shipped models know.
func (f *dataFlags) drawn() bool { return session.Drawn(f.spec) }

// dataset is the name of the data set for [data.Open]: a directory may be named without its kind.
func (f *dataFlags) dataset() string { return session.Dataset(f.spec) }
