package extraction

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/decompose"
	"vitdecompose/experiments/cache"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/preprocess"
)

// Sharded is an [Extraction] whose shards are decomposed in any order and by any number of processes that see the same
// cache directory. A shard that is done again, or by two at once, leaves the store as it is. Its methods may be called
// from several goroutines.
type Sharded struct {
	extraction Extraction
	decomposer *decompose.Decomposer
	key        cache.Key
	store      *cache.Store

	device sync.Mutex // one batch is computed at a time; meanwhile others are decoded
}

// A Shard is the pictures First to End-1 of an extraction: whole chunks of its store.
type Shard struct{ First, End int }

// ShardReport says what became of the pictures of a shard.
type ShardReport struct {
	// Pictures is how many were decomposed now.
	Pictures int
	// Written counts the chunks that were decomposed now, Found those that were there.
	Written, Found int
	// LeftOut are the pictures that could not be read, in order.
	LeftOut []LeftOut
}

// LeftOut is a picture that could not be read.
type LeftOut struct {
	Index int
	Name  string
	Why   string // the error
}

// Shards opens the store of the extraction and the model's decomposition. The caller closes it.
func (e Extraction) Shards() (*Sharded, error) {
	if e.Options.Split == decompose.Tokens {
		return nil, errors.New("a token split is too large to be stored; run it picture by picture")
	}
	e.SetDefaults()
	e.Devices = 1 // processes share the work
	if e.Pictures == 0 {
		return nil, errors.New("the data set has no pictures")
	}
	dir, err := e.Directory()
	if err != nil {
		return nil, err
	}
	s := &Sharded{extraction: e}
	if s.decomposer, err = decompose.New(e.Backend, e.Model, e.Options); err != nil {
		return nil, err
	}
	if s.key, err = e.Key(s.decomposer.Options()); err == nil {
		s.store, err = cache.Open(dir, s.key)
	}
	if err != nil {
		s.decomposer.Close()
		return nil, err
	}
	return s, nil
}

// Close frees the decomposition on the device and lets go of the store.
func (s *Sharded) Close() error {
	s.decomposer.Close()
	return s.store.Close()
}

// Dir is the directory of the store.
func (s *Sharded) Dir() string { return s.store.Dir() }

// Key is the hash of all that determines the contributions. Processes with the same key compute the same.
func (s *Sharded) Key() string { return filepath.Base(s.store.Dir()) }

// Cut cuts the pictures into shards of that many chunks, at least one; the last may be shorter.
func (s *Sharded) Cut(chunks int) []Shard {
	size := max(1, chunks) * s.extraction.Batch
	var shards []Shard
	for first := 0; first < s.extraction.Pictures; first += size {
		shards = append(shards, Shard{first, min(first+size, s.extraction.Pictures)})
	}
	return shards
}

// Extract decomposes the chunks of a shard that are not in the store yet, or leave pictures out there, which may be
// readable now. Each is in the store as soon as it is done, so that a shard which fails or is interrupted goes on there
// when it is extracted again.
func (s *Sharded) Extract(ctx context.Context, shard Shard) (ShardReport, error) {
	e := s.extraction
	if end := min(shard.End, e.Pictures); shard.First < 0 || shard.First%e.Batch != 0 || shard.First >= end || end != shard.End ||
		end%e.Batch != 0 && end != e.Pictures {
		return ShardReport{}, fmt.Errorf("pictures %d to %d of %d are not whole chunks of %d", shard.First, shard.End-1, e.Pictures, e.Batch)
	}
	var report ShardReport
	var missing []int
	for first := shard.First; first < shard.End; first += e.Batch {
		if s.store.Whole(first) {
			report.Found++
		} else {
			missing = append(missing, first)
		}
	}
	if len(missing) == 0 {
		return report, nil
	}
	err := e.compute(ctx, s.store, missing, "decomposing pictures", func(device int, pixels *tensors.Tensor, batch preprocess.Batch, chunk *cache.Chunk) error {
		s.device.Lock()
		defer s.device.Unlock()
		if err := decomposeChunk(s.decomposer, device, pixels, batch, chunk); err != nil {
			return err
		}
		report.Pictures += batch.N
		report.Written++
		for _, skipped := range batch.Skipped {
			out := LeftOut{Index: -1, Why: skipped.Error()}
			if bad := (*preprocess.PictureError)(nil); errors.As(skipped, &bad) {
				out.Index = chunk.First + bad.Index - batch.First
				out.Name = e.Data.Item(out.Index).Name
			}
			report.LeftOut = append(report.LeftOut, out)
		}
		return nil
	})
	return report, err
}

// decomposeChunk fills in the chunk of a batch. A batch of which every picture was left out is run too: the graph is what
// names the components.
func decomposeChunk(decomposer *decompose.Decomposer, device int, pixels *tensors.Tensor, batch preprocess.Batch, chunk *cache.Chunk) error {
	out, err := decomposer.RunOn(device, pixels)
	if err != nil {
		return err
	}
	out.Truncate(batch.N)
	chunk.Components, chunk.Contributions = decompose.Names(out.Components), out.Contributions
	chunk.Representation, chunk.Logits = out.Representation, out.Logits
	if len(chunk.Logits) > 0 {
		return gomlxvit.CheckNumbers("logits", chunk.Logits, batch.N)
	}
	return nil
}

// Finish reads and checks every chunk and makes the store complete. Chunks that are missing are an error, and so are more
// pictures left out than MaxBad. It returns how many are left out.
func (s *Sharded) Finish() (leftOut int, err error) {
	// A reopened store trusts nothing that this process has seen before.
	store, err := cache.Open(filepath.Dir(s.store.Dir()), s.key)
	if err != nil {
		return 0, err
	}
	defer store.Close()
	missing := store.Missing()
	for _, rejected := range store.Rejected() {
		s.extraction.Warn(rejected)
	}
	leftOut = store.LeftOut()
	if len(missing) == 0 {
		err = s.extraction.CheckLeftOut(s.extraction.Pictures - leftOut)
	}
	if err == nil {
		err = store.Finish()
	}
	return leftOut, err
}
