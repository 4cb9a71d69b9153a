package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"vitdecompose/data"
	"vitdecompose/decompose"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/option"
	"vitdecompose/experiments/session"
)

// Job describes an extraction. Files and directories are those of the workers.
type Job struct {
	// Options say what is extracted; of them only those of the groups in [Groups] count. The blocks are all, unless some are
	// named.
	session.Options
	Split  string `flag:"split" default:"heads" oneof:"heads|attns" help:"heads or attns (heads together)"`
	Biases string `flag:"biases" default:"const" oneof:"const|shared" help:"const (biases are a component by themselves) or shared (divided among the components)"`
	Chunks int    `flag:"chunks" default:"16" min:"1" help:"chunks of a shard: what a worker takes at a time"`
	Store  string `flag:"store" help:"absolute path of the directory of the store, which all workers must be able to reach"`
}

// Groups are those of [session.Options] that a job has.
var Groups = []string{"model", "input", "data", "blocks", "orient", "bad", "batch", "keep"}

// setDefaults fills in what was left open.
func (j *Job) setDefaults() error {
	return errors.Join(option.SetDefaults(&j.Options), option.SetDefaults(j))
}

// Check returns what is wrong with a job, as far as that is known without its files.
func (j Job) Check() error {
	switch {
	case j.Model == "":
		return errors.New("option Model is missing")
	case j.Data == "":
		return errors.New("option Data is missing")
	case j.Store == "":
		return errors.New("option Store is missing: name the directory of the store, which all workers must be able to reach")
	case !filepath.IsAbs(j.Store):
		return fmt.Errorf("option Store %s is not an absolute path, and workers run in other directories", j.Store)
	}
	return errors.Join(option.Check(&j.Options), option.Check(&j))
}

// id identifies a job.
func (j Job) id() string {
	text, err := json.Marshal(j)
	if err != nil {
		panic(fmt.Sprintf("a job that is not JSON: %v", err)) // all its fields are
	}
	return string(text)
}

// wire is a job on its way to the workers, as JSON: Beam knows no way to send its options.
type wire struct{ JSON string }

func (j Job) wire() wire { return wire{j.id()} }

// job reads what [Job.wire] wrote, in this process or another of the same program.
func (w wire) job() (j Job) {
	if err := json.Unmarshal([]byte(w.JSON), &j); err != nil {
		panic(fmt.Sprintf("a job that is not JSON: %v", err)) // a runner takes it for a failed bundle
	}
	return j
}

// opened are the jobs of this process. A worker gets many shards of one, and opening the model takes longer than a shard.
var opened = struct {
	sync.Mutex
	jobs map[string]*opening
}{jobs: make(map[string]*opening)}

// opening is a job that is open, or being opened by the holder of the lock.
type opening struct {
	sync.Mutex
	shards *extraction.Sharded
}

// failures has the first error of each job's attempt, as far as its workers are in this process. The errors that runners
// tell are long, and Prism may lose the one that matters.
var failures sync.Map // from a job's id to error

// note keeps an error, if it is one and the first.
func (j Job) note(err error) {
	if err != nil {
		failures.LoadOrStore(j.id(), err)
	}
}

// open opens model, data and store as the planning worker found them: once for each process, and again when the files have
// changed since. The zero plan is that of the planning worker itself, which looks at everything again. dataHash is the hash
// of the data set.
func (j Job) open(ctx context.Context, plan Shard) (shards *extraction.Sharded, dataHash string, err error) {
	opened.Lock()
	o := opened.jobs[j.id()]
	if o == nil {
		o = new(opening)
		opened.jobs[j.id()] = o
	}
	opened.Unlock()
	o.Lock()
	defer o.Unlock()
	if o.shards != nil && plan.Key == o.shards.Key() {
		return o.shards, plan.Data, nil
	}
	// A failure is not kept: the next shard tries again.
	if err := j.setDefaults(); err != nil {
		return nil, "", err
	}
	b, err := session.Backend()
	if err != nil {
		return nil, "", err
	}
	model, err := session.OpenModel(ctx, j.Options)
	if err != nil {
		return nil, "", err
	}
	ds, err := session.OpenPictures(ctx, j.Options)
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
			return nil, "", fmt.Errorf("option Blocks: %w", err)
		}
		options.First, options.End = first, last+1
	}
	shards, err = extraction.Extraction{
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
