package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"vitdecompose/data"
	"vitdecompose/decompose"
	"vitdecompose/experiments"
	"vitdecompose/experiments/cache"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit"
)

// Job describes an extraction. Files and directories are those of the workers.
type Job struct {
	// Model is a shipped model, a checkpoint directory or hf:OWNER/REPO; ImageSize the side of its input, 0 for the
	// checkpoint's.
	Model     string
	ImageSize int
	// Data is KIND:ARGUMENT or a directory of pictures, Labels a CSV file for it, as data.Open has them.
	Data, Labels string
	// Pictures is how many pictures to take, from the first on; 0 means all. Shuffle is the seed of their order; a
	// negative one leaves them in their own.
	Pictures int
	Shuffle  int64
	// Blocks are those taken apart, as session.ParseBlocks reads them: "7..11" or "7.."; empty for all.
	Blocks string
	// Split is heads or attns, Biases const or shared.
	Split, Biases string
	// Precision is that of matrix products, float32 or bfloat16; "" for float32.
	Precision string
	// Keep is the type that contributions are rounded to in the store: float32, float16 or bfloat16.
	Keep string
	// Batch is the number of pictures decomposed at a time, and of a chunk of the store. Chunks is how many of them
	// make a shard.
	Batch, Chunks int
	// Orient turns pictures upright by their EXIF orientation.
	Orient bool
	// MaxBad is how many pictures that cannot be read are left out before the job fails.
	MaxBad int
	// Store is the absolute path of the directory of stores, the --cache of vitdecompose.
	Store string
}

// Check tells what is wrong with a job as far as that is known without its files.
func (j Job) Check() error {
	switch {
	case j.Model == "":
		return errors.New("--model is missing")
	case j.Data == "":
		return errors.New("--data is missing")
	case j.Store == "":
		return errors.New("--store is missing: name the directory of the store, which all workers see")
	case !filepath.IsAbs(j.Store):
		return fmt.Errorf("--store %s is not an absolute path, and workers run in other directories", j.Store)
	case j.ImageSize < 0 || j.Pictures < 0 || j.MaxBad < 0:
		return errors.New("--image-size, --pictures and --max-bad must not be negative")
	case j.Batch < 1 || j.Chunks < 1:
		return errors.New("--batch and --chunks must be at least 1")
	case !slices.Contains([]string{string(decompose.Heads), string(decompose.Attns)}, j.Split):
		return fmt.Errorf("--split %q is not one of heads, attns", j.Split)
	case !slices.Contains([]string{string(decompose.BiasesApart), string(decompose.BiasesShared)}, j.Biases):
		return fmt.Errorf("--biases %q is not one of const, shared", j.Biases)
	case !gomlxvit.IsPrecision(j.Precision):
		return fmt.Errorf("--precision %q is not one of float32, bfloat16", j.Precision)
	case !slices.Contains([]string{"float32", cache.Float16, cache.BFloat16}, j.Keep):
		return fmt.Errorf("--keep %q is not one of float32, float16, bfloat16", j.Keep)
	}
	return nil
}

// opened are the jobs of this process. A worker gets many shards of one, and opening the model takes longer than a shard.
var opened = struct {
	sync.Mutex
	jobs map[Job]*opening
}{jobs: make(map[Job]*opening)}

// opening is a job that is open, or being opened by who holds the lock.
type opening struct {
	sync.Mutex
	shards *experiments.Sharded
}

// failures has the first error of each job's attempt, as far as its workers are in this process. The errors that runners
// tell are long, and Prism may lose the one that matters.
var failures sync.Map // from Job to error

// note keeps an error, if it is one and the first.
func (j Job) note(err error) {
	if err != nil {
		failures.LoadOrStore(j, err)
	}
}

// open opens model, data and store as the planning worker found them: once for each process, and again when the files have
// changed since. The zero plan is that of the planning worker itself, which looks at everything anew. dataHash is the hash
// of the data set.
func (j Job) open(ctx context.Context, plan Shard) (shards *experiments.Sharded, dataHash string, err error) {
	opened.Lock()
	o := opened.jobs[j]
	if o == nil {
		o = new(opening)
		opened.jobs[j] = o
	}
	opened.Unlock()
	o.Lock()
	defer o.Unlock()
	if o.shards != nil && plan.Key == o.shards.Key() {
		return o.shards, plan.Data, nil
	}
	// A failure is not kept: the next shard tries again.
	b, err := session.Backend()
	if err != nil {
		return nil, "", err
	}
	model, err := j.openModel(ctx)
	if err != nil {
		return nil, "", err
	}
	ds, err := j.openData()
	if err != nil {
		return nil, "", err
	}
	if dataHash = plan.Data; dataHash == "" {
		if dataHash, err = ds.Hash(); err != nil {
			return nil, "", err
		}
	}
	options := decompose.Options{Split: decompose.Split(j.Split), Biases: decompose.Biases(j.Biases)}
	if j.Blocks != "" {
		first, last, err := session.ParseBlocks(j.Blocks, model.Arch.Blocks())
		if err != nil {
			return nil, "", fmt.Errorf("--blocks: %w", err)
		}
		options.First, options.End = first, last+1
	}
	shards, err = experiments.Extraction{
		Backend: b, Model: model, Data: planned{ds, dataHash}, Batch: j.Batch, Orient: j.Orient, MaxBad: j.MaxBad, Keep: j.Keep, CacheDir: j.Store,
		Options: options,
	}.Shards()
	if err != nil {
		return nil, "", err
	}
	// Shards that still run may use what was open before, so it is not closed.
	o.shards = shards
	return shards, dataHash, nil
}

// planned is a data set with the hash that the planning worker found. Hashing may read every picture, which a hundred
// workers need not do again.
type planned struct {
	data.Dataset
	hash string
}

// Hash implements data.Dataset.
func (p planned) Hash() (string, error) { return p.hash, nil }

// openModel opens the checkpoint.
func (j Job) openModel(ctx context.Context) (*gomlxvit.Model, error) {
	ckpt, err := session.Checkpoint(ctx, j.Model)
	if err != nil {
		return nil, fmt.Errorf("--model: %w", err)
	}
	defer ckpt.Close()
	model, err := gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{ImageSize: j.ImageSize})
	if err != nil {
		return nil, err
	}
	return model.WithPrecision(j.Precision)
}

// openData opens the pictures, in their order.
func (j Job) openData() (data.Dataset, error) {
	ds, err := data.Open(session.Dataset(j.Data), data.Options{Labels: j.Labels})
	if err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	if j.Shuffle >= 0 {
		ds = data.Shuffled(ds, uint64(j.Shuffle))
	}
	if j.Pictures > 0 && j.Pictures < ds.Len() {
		ds = data.First(ds, j.Pictures) // whose hash reads no others
	}
	return ds, nil
}
