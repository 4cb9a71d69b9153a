package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"vitdecompose/decompose"
	"vitdecompose/experiments/cache"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/memory"
	"vitdecompose/experiments/results"
	"vitdecompose/experiments/statistics"
)

// StoreConfig says what the cache is measured on: made-up contributions of these sizes.
type StoreConfig struct {
	Pictures   int `json:"pictures" flag:"pictures" default:"1000" min:"1" help:"pictures"`
	Components int `json:"components" flag:"components" default:"66" min:"1" help:"components"`
	Dim        int `json:"dim" flag:"dim" default:"768" min:"1" help:"dimensions of the model's representation"`
	// Batch is how many pictures are in a file.
	Batch  int `json:"batch" flag:"batch" default:"8" min:"1" max:"4096" help:"pictures in a file"`
	Rounds int `json:"rounds" flag:"rounds" default:"3" min:"1" help:"times each job is run"`
	// Dir is the directory for the stores, which are removed in the end; empty for that of temporary files.
	Dir string `json:"-" flag:"dir" takes:"DIR" usual:"that of temporary files" help:"the directory to measure in"`
	// Log gets a line now and then, nil for none.
	Log io.Writer `json:"-"`
}

// StoreRow is one measured job.
type StoreRow struct {
	Keep string `json:"keep"` // the type of contributions
	Job  string `json:"job"`  // write, verify or read
	// Bytes are those of the store's files; rates are medians over the rounds.
	Bytes             int64   `json:"bytes"`
	MegabytesPerSec   float64 `json:"megabytes_per_second"` // of 1e6 bytes
	PicturesPerSecond float64 `json:"pictures_per_second"`
	// PeakBytes is the most memory the process took, 0 where that cannot be read.
	PeakBytes uint64 `json:"peak_bytes"`
	// RoundOff is how much of the largest |representation| the sum of a picture's contributions is off by, at most.
	RoundOff float64 `json:"sum_error"`
}

// StoreResult is a benchmark of the cache.
type StoreResult struct {
	Config StoreConfig `json:"config"`
	Rows   []StoreRow  `json:"jobs"`
}

// Store measures how fast contributions are written, verified and read back, for each type they may be kept as. Writing
// ends when all is on the disk; what is read after that comes from the system's memory, as far as it has room. The types take
// turns, round by round, so that a disk whose speed drifts does not favour one of them.
func Store(ctx context.Context, cfg StoreConfig) (*StoreResult, error) {
	chunk := storeChunk(cfg)
	result := &StoreResult{Config: cfg}
	var times [][]float64 // by row, then by round
	for _, keep := range []string{"", cache.Float16, cache.BFloat16} {
		for _, job := range []string{"write", "verify", "read"} {
			result.Rows = append(result.Rows, StoreRow{Keep: cmp.Or(keep, "float32"), Job: job})
			times = append(times, nil)
		}
	}
	for round := range cfg.Rounds {
		for i := 0; i < len(result.Rows); i += 3 {
			keep := result.Rows[i].Keep
			if keep == "float32" {
				keep = ""
			}
			seconds, err := storeOnce(ctx, cfg, keep, chunk, result.Rows[i:i+3])
			if err != nil {
				return nil, err
			}
			for k, s := range seconds {
				times[i+k] = append(times[i+k], s)
			}
		}
		if cfg.Log != nil {
			fmt.Fprintf(cfg.Log, "round %d of %d\n", round+1, cfg.Rounds)
		}
	}
	for i := range result.Rows {
		row := &result.Rows[i]
		row.MegabytesPerSec = float64(row.Bytes) / 1e6 / statistics.Median(times[i])
		row.PicturesPerSecond = float64(cfg.Pictures) / statistics.Median(times[i])
	}
	return result, nil
}

// storeChunk is a chunk of random contributions that sum to its representation.
func storeChunk(cfg StoreConfig) cache.Chunk {
	c := cache.Chunk{Components: make([]string, cfg.Components)}
	for i := range c.Components {
		c.Components[i] = strconv.Itoa(i)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	c.Contributions = make([]float32, cfg.Components*cfg.Batch*cfg.Dim)
	for i := range c.Contributions {
		c.Contributions[i] = rng.Float32() - 0.5
	}
	all := decompose.Contributions{Components: c.Components, Pictures: cfg.Batch, Dim: cfg.Dim, Values: c.Contributions}
	c.Representation = all.Total()
	return c
}

// storeOnce writes, verifies and reads a store, notes in the rows what it finds, and returns the seconds of each.
func storeOnce(ctx context.Context, cfg StoreConfig, keep string, chunk cache.Chunk, rows []StoreRow) (seconds []float64, err error) {
	dir, err := os.MkdirTemp(cfg.Dir, "vitdecompose-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	key := cache.Key{
		Checkpoint: "none", Data: "made up", Pictures: cfg.Pictures, Batch: cfg.Batch, Preprocess: "none", Blocks: "none", Split: "none",
		Bias: "none", DType: "float32", Keep: keep, Backend: "none", Code: decompose.Version, Libraries: results.Libraries(),
	}
	timed := func(row *StoreRow, run func() error) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		memory.ResetPeak()
		start := time.Now()
		if err := run(); err != nil {
			return err
		}
		seconds = append(seconds, time.Since(start).Seconds())
		row.PeakBytes = max(row.PeakBytes, memory.Peak())
		return nil
	}
	var entry cache.Entry
	err = timed(&rows[0], func() error {
		store, err := cache.Open(dir, key)
		if err != nil {
			return err
		}
		for first := 0; first < cfg.Pictures; first += cfg.Batch {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := store.Put(storePart(chunk, first, min(cfg.Batch, cfg.Pictures-first), cfg)); err != nil {
				return err
			}
		}
		return errors.Join(store.Finish(), store.Close())
	})
	if err != nil {
		return nil, err
	}
	err = timed(&rows[1], func() error {
		entries, err := cache.List(dir)
		if err != nil {
			return err
		}
		entry = entries[0]
		return errors.Join(entry.Verify()...)
	})
	if err != nil {
		return nil, err
	}
	off := 0.0
	err = timed(&rows[2], func() error {
		store, err := cache.Open(dir, key)
		if err != nil {
			return err
		}
		for first := 0; first < cfg.Pictures; first += cfg.Batch {
			if err := ctx.Err(); err != nil {
				return err
			}
			read, err := store.Chunk(first)
			if err != nil {
				return err
			}
			if first == 0 {
				off = extraction.Exactness(read)
			}
		}
		return store.Close()
	})
	for i := range rows {
		rows[i].Bytes, rows[i].RoundOff = entry.Bytes, off
	}
	return seconds, err
}

// storePart is the chunk of n pictures that begins with picture first.
func storePart(whole cache.Chunk, first, n int, cfg StoreConfig) cache.Chunk {
	c := whole
	c.First, c.Index = first, make([]int, n)
	for i := range c.Index {
		c.Index[i] = first + i
	}
	if n == cfg.Batch {
		return c
	}
	all := decompose.Contributions{Components: c.Components, Pictures: cfg.Batch, Dim: cfg.Dim, Values: c.Contributions}
	c.Representation, c.Contributions = c.Representation[:n*cfg.Dim], nil
	for component := range c.Components {
		c.Contributions = append(c.Contributions, all.Of(component)[:n*cfg.Dim]...)
	}
	return c
}
