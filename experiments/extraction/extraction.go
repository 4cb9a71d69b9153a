// Package extraction takes the pictures of a data set apart by a model, and keeps what comes out on disk: every picture is
// computed once, by whichever command needs it first.
package extraction

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data"
	"vitdecompose/data/picture"
	"vitdecompose/data/progress"
	"vitdecompose/decompose"
	"vitdecompose/experiments/cache"
	"vitdecompose/experiments/results"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/preprocess"
)

// Extraction is the decomposition of the pictures of a data set, kept on disk.
type Extraction struct {
	Backend compute.Backend
	Model   *gomlxvit.Model
	Data    data.Dataset
	// Options choose blocks, split and biases. The token split is not kept on disk.
	Options decompose.Options
	// Pictures is how many pictures to take, from the first on; 0 means all.
	Pictures int
	// Batch is the number of pictures decomposed at a time; 0 means 8.
	Batch int
	// Orient turns pictures upright by their EXIF orientation.
	Orient bool
	// MaxBad is how many pictures that cannot be read are left out before giving up.
	MaxBad int
	// Keep is the type that contributions are rounded to in the cache: "float32", [cache.Float16] or [cache.BFloat16], which
	// take half the room; empty is float32. Representations and logits stay float32.
	Keep string
	// Devices is how many of the backend's devices share the work, each with its own copy of the model's weights and its own
	// batches; 0 means all of an accelerator, and one of a CPU, whose devices are the same cores. The store does not depend on
	// it.
	Devices int
	// Observe is called after every batch with what its device waited for; it may be nil.
	Observe func(Step)
	// CacheDir is where contributions are kept; empty means the user's cache directory.
	CacheDir string
	// Progress is called after every batch; it may be nil.
	Progress progress.Reporter
	// Warn is called with errors about pictures left out and about damaged files in the cache; it may be nil.
	Warn func(error)
}

// Extract decomposes what is not in the cache yet and returns the store with all of it. An interrupted extraction goes
// on where it stopped when it is called again. The store counts as in use until it is closed.
func (e *Extraction) Extract(ctx context.Context) (*cache.Store, error) {
	if e.Options.Split == decompose.Tokens {
		return nil, errors.New("a token split is too large to be stored; run it picture by picture")
	}
	e.SetDefaults()
	decomposer, err := decompose.New(e.Backend, e.Model, e.Options)
	if err != nil {
		return nil, err
	}
	defer decomposer.Close()
	key, err := e.Key(decomposer.Options())
	if err != nil {
		return nil, err
	}
	return e.Fill(ctx, key, "decomposing pictures", func(device int, pixels *tensors.Tensor, batch preprocess.Batch, chunk *cache.Chunk) error {
		return decomposeChunk(decomposer, device, pixels, batch, chunk)
	})
}

// Step is one batch on its way through an extraction.
type Step struct {
	Device, Pictures int
	// Waited is how long the device stood idle before it: because no batch was decoded yet, or because what it had computed
	// before could not be handed on to the store yet. Computed is how long it then worked.
	Waited, Computed time.Duration
}

// RunBatch fills in the chunk of a batch on a device. Pixels are [Batch, 3, height, width], those after the batch's own
// zeros; Chunk.Index is set. It is called from several goroutines.
type RunBatch func(device int, pixels *tensors.Tensor, batch preprocess.Batch, chunk *cache.Chunk) error

// Fill opens the store of a key and computes what is missing in it.
func (e *Extraction) Fill(ctx context.Context, key cache.Key, title string, run RunBatch) (*cache.Store, error) {
	if e.Pictures == 0 {
		return nil, errors.New("the data set has no pictures")
	}
	dir, err := e.Directory()
	if err != nil {
		return nil, err
	}
	store, err := cache.Open(dir, key)
	if err != nil {
		return nil, err
	}
	missing := store.Missing()
	for _, rejected := range store.Rejected() {
		e.Warn(rejected)
	}
	if left := store.LeftOut(); left > e.MaxBad && e.MaxBad >= 0 { // an earlier run allowed more; they may have been repaired
		store.RejectLeftOut()
		missing = store.Missing()
	}
	if len(missing) > 0 {
		err = e.compute(ctx, store, missing, title, run)
	}
	if err == nil {
		err = store.Finish()
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

// Directory is the directory where contributions, and what is made of them, are kept.
func (e *Extraction) Directory() (string, error) {
	if e.CacheDir != "" {
		return e.CacheDir, nil
	}
	return cache.Dir()
}

// SetDefaults fills in what was left open.
func (e *Extraction) SetDefaults() {
	if e.Batch <= 0 {
		e.Batch = 8
	}
	if e.Pictures <= 0 || e.Pictures > e.Data.Len() {
		e.Pictures = e.Data.Len()
	}
	if e.Keep == "float32" {
		e.Keep = "" // as keys say it
	}
	if e.Devices <= 0 {
		e.Devices = 1
		if Accelerated(e.Backend) {
			e.Devices = e.Backend.NumDevices()
		}
	}
	if e.Progress == nil {
		e.Progress = progress.Silent
	}
	if e.Warn == nil {
		e.Warn = func(error) {}
	}
}

// CheckLeftOut holds the number of pictures that a complete store has against MaxBad. The pictures may have been left out
// in an earlier run that allowed more of them.
func (e *Extraction) CheckLeftOut(kept int) error {
	if bad := e.Pictures - kept; bad > e.MaxBad && e.MaxBad >= 0 {
		return fmt.Errorf("%d of %d pictures cannot be read and option MaxBad allows %d; repair or remove them, or allow more", bad, e.Pictures, e.MaxBad)
	}
	return nil
}

// Key is all that determines the contributions.
func (e *Extraction) Key(opts decompose.Options) (cache.Key, error) {
	hash, err := e.Data.Hash()
	if err != nil {
		return cache.Key{}, err
	}
	return cache.Key{
		Checkpoint: e.Model.Hash, Data: hash, Pictures: e.Pictures, Batch: e.Batch,
		Preprocess: struct {
			preprocess.Config
			Orient bool
		}{e.Model.Preprocess, e.Orient},
		Blocks: fmt.Sprintf("%d..%d", opts.First, opts.End-1), Split: string(opts.Split), Bias: string(opts.Biases),
		DType: e.Model.Precision(), Keep: e.Keep, Backend: e.Backend.Name() + " on " + e.Backend.DeviceDescription(0), Code: decompose.Version, Libraries: results.Libraries(),
	}, nil
}

// PictureKey is all that determines the representations alone: not how they are taken apart.
func (e *Extraction) PictureKey() (cache.Key, error) {
	key, err := e.Key(e.Options)
	key.Blocks, key.Split, key.Bias, key.Batch, key.Keep = "", "", "", 0, ""
	return key, err
}

// compute runs the missing chunks: pictures are decoded while devices compute, and what these have computed is written while
// they compute on. All stages hold a few batches at most.
func (e *Extraction) compute(ctx context.Context, store *cache.Store, missing []int, title string, run RunBatch) error {
	if n := e.Backend.NumDevices(); e.Devices > n {
		return fmt.Errorf("option Devices: %d devices were asked for, but the backend has %d", e.Devices, n)
	}
	source := chunkSource{data: e.Data, firsts: missing, batch: e.Batch, pictures: e.Pictures}
	e.Progress.Start(title, source.Len())
	defer e.Progress.Done()

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	atOnce, writers := 1, 1 // batches of a device, and files that are written
	if accelerated(e.Backend) {
		atOnce, writers = 2, max(1, runtime.GOMAXPROCS(0)/2) // it computes one batch while the other is copied
	}
	batches, done, kept := make(chan preprocess.Batch), make(chan computed, 1), make(chan computed)
	go func() {
		defer close(batches)
		if err := e.load(ctx, source, batches); err != nil {
			stop(err)
		}
	}()
	var devices, writing sync.WaitGroup
	for i := range e.Devices * atOnce {
		devices.Go(func() {
			if err := e.computeOn(i%e.Devices, source, batches, done, run); err != nil {
				stop(err)
			}
		})
	}
	for range writers {
		writing.Go(func() {
			for c := range done { // to the end, whatever happens: what is computed is not lost
				if err := store.Put(c.chunk); err != nil {
					stop(err)
					continue
				}
				kept <- c
			}
		})
	}
	go func() {
		devices.Wait()
		close(done)
		writing.Wait()
		close(kept)
	}()

	bad := 0
	for c := range kept {
		for _, skipped := range c.batch.Skipped {
			bad++
			e.Warn(fmt.Errorf("left out (%d of at most %d): %w", bad, e.MaxBad, skipped))
		}
		e.Progress.Add(c.batch.Next - c.batch.First)
		if e.Observe != nil {
			e.Observe(c.step)
		}
	}
	return context.Cause(ctx)
}

// Accelerated reports whether a backend computes on something other than the cores that decode pictures.
func Accelerated(backend compute.Backend) bool { return accelerated(backend) }

// accelerated is [Accelerated]. Tests replace it.
var accelerated = func(backend compute.Backend) bool {
	cpu, ok := backend.(interface{ IsCPU() bool })
	return ok && !cpu.IsCPU()
}

// load hands out the batches of the source, until ctx ends.
func (e *Extraction) load(ctx context.Context, source chunkSource, batches chan<- preprocess.Batch) error {
	for batch, err := range preprocess.Load(ctx, source, e.Model.Preprocess, preprocess.LoadOptions{
		Batch: e.Batch, Orient: e.Orient, MaxBad: e.MaxBad,
	}) {
		if err != nil {
			return err
		}
		select {
		case batches <- batch:
		case <-ctx.Done(): // Load says why
		}
	}
	return nil
}

// computed is a batch that a device is done with.
type computed struct {
	batch preprocess.Batch
	chunk cache.Chunk
	step  Step
}

// computeOn runs batches on one device until there are no more.
func (e *Extraction) computeOn(device int, source chunkSource, batches <-chan preprocess.Batch, done chan<- computed, run RunBatch) error {
	idle := time.Now()
	for batch := range batches {
		c := computed{batch: batch, chunk: cache.Chunk{First: source.index(batch.First)}}
		for _, i := range batch.Indices {
			c.chunk.Index = append(c.chunk.Index, source.index(i))
		}
		start := time.Now()
		if err := run(device, PaddedBatch(batch, e.Batch, e.Model.Arch.InputSize()), batch, &c.chunk); err != nil {
			return err
		}
		end := time.Now()
		c.step = Step{Device: device, Pictures: batch.N, Waited: start.Sub(idle), Computed: end.Sub(start)}
		c.batch.Pixels, idle = nil, end
		done <- c
	}
	return nil
}

// PaddedBatch makes the input tensor [size, 3, side, side] of a batch; what is missing at its end is filled with zeros,
// so that a shorter batch does not need a separate graph.
func PaddedBatch(batch preprocess.Batch, size, side int) *tensors.Tensor {
	pixels := batch.Pixels
	if batch.N < size {
		pixels = make([]float32, size*3*side*side)
		copy(pixels, batch.Pixels)
	}
	return tensors.FromFlatDataAndDimensions(pixels, size, 3, side, side)
}

// chunkSource shows only some chunks of a data set to the loader, one after the other.
type chunkSource struct {
	data     data.Dataset
	firsts   []int // first picture of each chunk, ascending
	batch    int
	pictures int
}

// Len counts the pictures; only the last chunk of the data set may be shorter than a batch.
func (s chunkSource) Len() int {
	last := s.firsts[len(s.firsts)-1]
	return (len(s.firsts)-1)*s.batch + min(s.batch, s.pictures-last)
}

// index maps a position among the chunks to the position in the data set.
func (s chunkSource) index(i int) int { return s.firsts[i/s.batch] + i%s.batch }

// Picture implements preprocess.Source.
func (s chunkSource) Picture(i int) (*picture.Picture, error) { return s.data.Picture(s.index(i)) }

// CheckExact is [CheckExact] for what the cache keeps: the rounding of contributions may add as much as [Rounding] says. What
// rounding there is, is reported.
func (e *Extraction) CheckExact(exactness, rounding float64) error {
	if precision := e.Model.Precision(); precision != "float32" {
		e.Warn(fmt.Errorf("%s: matrix products use %s: the sum of the components is within %.1e of the representation, relative to its largest value", e.Model.Name, precision, exactness))
	}
	if rounding > 0 {
		e.Warn(fmt.Errorf("%s: contributions are stored as %s: their sum is within %.1e of the representation, relative to its largest value; rounding explains up to %.1e", e.Model.Name, e.Keep, exactness, rounding))
	}
	return checkRounded(e.Model, exactness, rounding)
}

// CheckExact makes an error of a sum of components that is too far from the representation, relative to it, to be rounding:
// float32 gives 1e-6 to 1e-5, products of bfloat16 up to 2e-3. A NaN is too far as well.
func CheckExact(model *gomlxvit.Model, exactness float64) error {
	return checkRounded(model, exactness, 0)
}

// checkRounded is CheckExact for contributions that were rounded once more.
func checkRounded(model *gomlxvit.Model, exactness, rounding float64) error {
	allowed := 1e-3 + rounding
	if model.Precision() != "float32" {
		allowed += 1.0 / (1 << 7)
	}
	if exactness <= allowed {
		return nil
	}
	return fmt.Errorf("%s: the sum of the components differs from the representation by %.1e, relative to its largest value, which is more than rounding explains; do weights or pictures hold NaN, or numbers too large for float32?", model.Name, exactness)
}

// Exactness is the largest |sum of components - representation| of a chunk over its largest |representation|.
func Exactness(c cache.Chunk) float64 {
	return decompose.SumError(c.Contributions, c.Representation)
}

// Rounding bounds the part of [Exactness] that comes from how the contributions are kept ([cache.Key].Keep): the sum over the
// components of what each can be off by, the largest of a chunk over its largest |representation|. With rounding to nearest
// that is the number times the unit roundoff u, or, of float16 below 2^-14, 2^-25 (Higham, Accuracy and Stability of Numerical
// Algorithms, theorem 2.2). It is 0 for float32.
func Rounding(c cache.Chunk, keep string) float64 {
	u := cache.RoundOff(keep)
	if u == 0 || len(c.Representation) == 0 {
		return 0
	}
	least := 0.0
	if keep == cache.Float16 {
		least = 1.0 / (1 << 25)
	}
	off := make([]float64, len(c.Representation))
	for part := range slices.Chunk(c.Contributions, len(c.Representation)) {
		for i, v := range part {
			off[i] += math.Abs(float64(v))*u/(1-u) + least // u/(1-u), for v is rounded already
		}
	}
	largest := 0.0
	for _, v := range c.Representation {
		largest = max(largest, math.Abs(float64(v)))
	}
	if largest == 0 {
		return 0
	}
	return slices.Max(off) / largest
}

// CheckLabels returns an error, before anything is computed, if labels are missing or wrong and no accuracy can be counted.
func (e *Extraction) CheckLabels(classes int) error {
	labelled := e.Pictures == 0
	for i := range e.Pictures {
		item := e.Data.Item(i)
		if item.Label >= classes {
			return fmt.Errorf("%s has label %d, but %s has only %d classes, counted from 0; check the labels", item.Name, item.Label, e.Model.Name, classes)
		}
		labelled = labelled || item.Label >= 0
	}
	if !labelled {
		return fmt.Errorf("no picture has a label; sort the pictures into a sub-folder for each class or name a CSV file with the columns file,label as option Labels")
	}
	return nil
}

// MaskView is the mask of picture i of the data where the model sees the picture: [side*side].
func (e *Extraction) MaskView(i int) ([]uint8, error) {
	mask, err := data.MaskOf(e.Data, i)
	if err != nil {
		return nil, err
	}
	if err := mask.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", e.Data.Item(i).Name, err)
	}
	values, err := e.Model.Preprocess.Mask(mask.Pix, mask.Width, mask.Height, data.MaskIgnored)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Data.Item(i).Name, err)
	}
	return values, nil
}

// OnlyRepresentation is the extraction with as little as possible taken apart, for what needs the representations alone.
func (e Extraction) OnlyRepresentation() Extraction {
	e.Options = decompose.Options{Split: decompose.Attns, First: len(e.Model.Arch.Blocks()) - 1}
	return e
}
