package pipeline

import (
	"context"
	"fmt"
	"time"

	"vitdecompose/experiments/extraction"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/log"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

// Namespace is that of the counters.
const Namespace = "vitdecompose"

var (
	picturesCounter    = beam.NewCounter(Namespace, "pictures")
	badPicturesCounter = beam.NewCounter(Namespace, "bad_pictures")
	chunksWritten      = beam.NewCounter(Namespace, "chunks_written")
	chunksFound        = beam.NewCounter(Namespace, "chunks_found")
	shardsCounter      = beam.NewCounter(Namespace, "shards")
	storesComplete     = beam.NewCounter(Namespace, "stores_complete")
	bundlesCounter     = beam.NewCounter(Namespace, "bundles")
	shardMilliseconds  = beam.NewDistribution(Namespace, "shard_milliseconds")
)

func init() {
	register.DoFn3x1[context.Context, []byte, func(Shard), error](&planFn{})
	register.DoFn4x1[context.Context, Shard, func(Shard), func(extraction.LeftOut), error](&extractFn{})
	register.DoFn3x1[context.Context, int, func(*Shard) bool, error](&finishFn{})
	register.Emitter1[Shard]()
	register.Emitter1[extraction.LeftOut]()
	register.Iter1[Shard]()
}

// Shard is some pictures of the job, with what the planning worker found.
type Shard struct {
	First, End int
	// Data is the hash of the data set, Key that of all that determines the contributions.
	Data, Key string
}

// Build adds the job to a pipeline. leftOut are the pictures that could not be read.
func Build(s beam.Scope, job Job) (leftOut beam.PCollection) {
	s = s.Scope("vitdecompose")
	wired := job.wire()
	shards := beam.ParDo(s.Scope("plan"), &planFn{wired}, beam.Impulse(s))
	// Without a break here the runner would do all shards where the plan was made.
	done, leftOut := beam.ParDo2(s.Scope("extract"), &extractFn{wired}, beam.Reshuffle(s, shards))
	beam.ParDo0(s.Scope("finish"), &finishFn{wired}, beam.GroupByKey(s, beam.AddFixedKey(s, done)))
	return leftOut
}

// planFn cuts the job into shards.
type planFn struct{ Job wire }

// ProcessElement emits all shards. It does so for one element, whose value does not matter.
func (f *planFn) ProcessElement(ctx context.Context, _ []byte, emit func(Shard)) (err error) {
	defer func() { f.Job.job().note(err) }()
	opened, dataHash, err := f.Job.job().open(ctx, Shard{})
	if err != nil {
		return err
	}
	shards := opened.Cut(f.Job.job().Chunks)
	log.Infof(ctx, "%s: %d shards", opened.Dir(), len(shards))
	for _, shard := range shards {
		emit(Shard{shard.First, shard.End, dataHash, opened.Key()})
	}
	return nil
}

// open opens the job as the planning worker did, or returns an error if this worker would compute something else.
func (s Shard) open(ctx context.Context, job Job) (*extraction.Sharded, error) {
	shards, _, err := job.open(ctx, s)
	if err != nil {
		return nil, err
	}
	if got := shards.Key(); got != s.Key {
		return nil, fmt.Errorf("this worker would fill the store %.12s and not %.12s: compare key.json of both in %s; all workers need the same model, program and kind of device",
			got, s.Key, job.Store)
	}
	return shards, nil
}

// extractFn decomposes shards.
type extractFn struct{ Job wire }

// StartBundle counts the bundles.
func (f *extractFn) StartBundle(ctx context.Context, _ func(Shard), _ func(extraction.LeftOut)) {
	bundlesCounter.Inc(ctx, 1)
}

// ProcessElement decomposes a shard and reports which pictures were left out.
func (f *extractFn) ProcessElement(ctx context.Context, shard Shard, emit func(Shard), emitLeftOut func(extraction.LeftOut)) (err error) {
	defer func() { f.Job.job().note(err) }()
	start := time.Now()
	shards, err := shard.open(ctx, f.Job.job())
	if err != nil {
		return err
	}
	report, err := shards.Extract(ctx, extraction.Shard{First: shard.First, End: shard.End})
	if err != nil {
		return fmt.Errorf("pictures %d to %d: %w", shard.First, shard.End-1, err)
	}
	for _, out := range report.LeftOut {
		log.Warnf(ctx, "left out: picture %d, %s: %s", out.Index, out.Name, out.Why)
		emitLeftOut(out)
	}
	picturesCounter.Inc(ctx, int64(report.Pictures))
	badPicturesCounter.Inc(ctx, int64(len(report.LeftOut)))
	chunksWritten.Inc(ctx, int64(report.Written))
	chunksFound.Inc(ctx, int64(report.Found))
	shardsCounter.Inc(ctx, 1)
	shardMilliseconds.Update(ctx, time.Since(start).Milliseconds())
	emit(shard)
	return nil
}

// finishFn completes the store.
type finishFn struct{ Job wire }

// ProcessElement gets all shards at once, when the last is done. It believes the store and not them: Prism may take a
// bundle that failed for one that is done.
func (f *finishFn) ProcessElement(ctx context.Context, _ int, done func(*Shard) bool) (err error) {
	defer func() { f.Job.job().note(err) }()
	var shard Shard
	for done(&shard) {
	}
	shards, err := shard.open(ctx, f.Job.job())
	if err != nil {
		return err
	}
	leftOut, err := shards.Finish()
	if err != nil {
		return err
	}
	storesComplete.Inc(ctx, 1)
	log.Infof(ctx, "%s is complete, %d pictures left out", shards.Dir(), leftOut)
	return nil
}
