package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/log"

	// The runners that Run knows: prism, flink, and universal for any other job server.
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/flink"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal"
)

// retryPauses are the pauses after the first attempts; the last is that of all further ones.
var retryPauses = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second}

// Totals are the counters of a job that ended.
type Totals struct {
	Pictures, BadPictures        int64
	ChunksWritten, ChunksFound   int64
	Shards, Bundles              int64
	ShardMin, ShardMax, ShardSum time.Duration
}

// Tries says how often a job is submitted.
type Tries struct {
	// Attempts is how often at most; 0 means once.
	Attempts int
	// Limit is how long an attempt may take, 0 for any time. One that takes longer has failed: Prism may wait for a
	// worker that died, without end.
	Limit time.Duration
}

// Run submits the job to a runner of Beam and waits for its end. A job that fails is submitted again after a pause, and
// goes on where it stopped.
func Run(ctx context.Context, runner string, job Job, tries Tries) (totals Totals, err error) {
	if err := job.Check(); err != nil {
		return Totals{}, err
	}
	for attempt := 1; ; attempt++ {
		if totals, err = try(ctx, runner, job, tries.Limit); err == nil || attempt >= tries.Attempts || ctx.Err() != nil {
			return totals, err
		}
		pause := retryPauses[min(attempt, len(retryPauses))-1]
		log.Warnf(ctx, "attempt %d of %d failed, the next in %v: %v", attempt, tries.Attempts, pause, err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return Totals{}, context.Cause(ctx)
		}
	}
}

// try submits the job once.
func try(ctx context.Context, runner string, job Job, limit time.Duration) (Totals, error) {
	if limit > 0 {
		// No deadline: gRPC would tell it to Prism, which takes no end of a stream but cancellation.
		inner, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer time.AfterFunc(limit, func() { cancel(fmt.Errorf("the job was not done after %v", limit)) }).Stop()
		ctx = inner
	}
	failures.Delete(job.id())
	p, s := beam.NewPipelineWithRoot()
	Build(s, job)
	result, err := beam.Run(ctx, runner, p)
	if ctx.Err() != nil {
		return Totals{}, context.Cause(ctx)
	}
	var totals Totals
	if err == nil {
		var complete bool
		if totals, complete = totalsOf(result); complete {
			return totals, nil
		}
		err = errors.New("the runner says that the job is done, but the store is not complete; see the workers' logs")
	}
	if failure, ok := failures.LoadAndDelete(job.id()); ok {
		err = failure.(error)
	}
	return totals, err
}

// totalsOf adds up the counters over the steps of the pipeline. complete reports whether the last step succeeded.
func totalsOf(result beam.PipelineResult) (t Totals, complete bool) {
	all := result.Metrics().AllMetrics()
	var stores int64
	into := map[string]*int64{
		"stores_complete": &stores,
		"pictures":        &t.Pictures, "bad_pictures": &t.BadPictures, "chunks_written": &t.ChunksWritten, "chunks_found": &t.ChunksFound,
		"shards": &t.Shards, "bundles": &t.Bundles,
	}
	for _, counter := range all.Counters() {
		if n := into[counter.Key.Name]; n != nil && counter.Key.Namespace == Namespace {
			*n += counter.Result()
		}
	}
	for _, d := range all.Distributions() {
		if d.Key.Namespace == Namespace && d.Key.Name == "shard_milliseconds" {
			r := d.Result()
			t.ShardMin, t.ShardMax = time.Duration(r.Min)*time.Millisecond, time.Duration(r.Max)*time.Millisecond
			t.ShardSum = time.Duration(r.Sum) * time.Millisecond
		}
	}
	return t, stores > 0
}

// String says them in a line.
func (t Totals) String() string {
	text := fmt.Sprintf("%d pictures decomposed, %d left out; %d chunks written, %d found; %d shards in %d bundles",
		t.Pictures, t.BadPictures, t.ChunksWritten, t.ChunksFound, t.Shards, t.Bundles)
	if t.Shards > 0 {
		text += fmt.Sprintf(", %v to %v each", t.ShardMin, t.ShardMax)
	}
	return text
}
