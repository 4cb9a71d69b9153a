// Vitdecompose-beam decomposes the pictures of a data set on several machines, as an Apache Beam pipeline, and puts the
// contributions into a store that "vitdecompose --cache DIR" then finds complete.
//
// It needs a directory that all machines see under the same name, for the store; pictures and checkpoint too must have
// the same names everywhere. It is a separate module, so that vitdecompose itself does not depend on Beam:
//
//	cd experiments/beam
//	go build -o ../../bin/vitdecompose-beam ./cmd/vitdecompose-beam
//
// # On this machine
//
// Beam's runner Prism is part of the program and needs nothing else:
//
//	vitdecompose-beam --model deit-mini --data scenes:1000 --blocks 2..5 --store /tmp/store
//
// The workers are goroutines of the program. With an environment of processes a worker that dies does not take the
// program with it, --attempts says how often the job is submitted in all, and --attempt_limit when an attempt is given up:
//
//	vitdecompose-beam --model deit-mini --data scenes:1000 --store /tmp/store --attempts 3 --attempt_limit 1h \
//		--environment_type PROCESS --environment_config '{"command": "/usr/local/bin/vitdecompose-beam"}'
//
// # On a Flink cluster
//
// Beam's job server for Flink takes the job at a port. "make flink" fetches its parts into bin/flink and tests the pipeline
// with it; the Maven artifact beam-runners-flink-VERSION-job-server is the same as one jar. It need not be of the release of
// Beam in go.mod, but Flink's version must be that of the cluster:
//
//	java -cp 'bin/flink/*' org.apache.beam.runners.flink.FlinkJobServerDriver --flink-master FLINK:8081 --job-port 8099 &
//	vitdecompose-beam --runner flink --endpoint localhost:8099 --environment_type LOOPBACK --parallelism 2 \
//		--model deit-mini --data scenes:1000 --store /mnt/store
//
// LOOPBACK is for trying it out: all work is done by the submitting program. With --flink-master [local] the job server
// runs a small Flink itself. On a cluster each machine that runs a task manager also runs a pool of workers, and the
// job names its port:
//
//	vitdecompose-beam --worker_pool 50000                      # on each machine
//	vitdecompose-beam --runner flink --endpoint JOBSERVER:8099 --environment_type EXTERNAL \
//		--environment_config localhost:50000 --parallelism 8 --model MODEL --data imagenet:/mnt/imagenet --store /mnt/store
//
// Flink does a failed bundle again when it has a restart strategy (restart-strategy.type: fixed-delay in its
// configuration). A pool that dies should be started again by what watches over it, such as systemd.
//
// All workers must compute on the same kind of device with the same build of this program: they refuse to work on a
// store that is not the one which the job began with.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/log"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners"

	"vitdecompose/experiments/beam/pipeline"
	"vitdecompose/experiments/option"
	"vitdecompose/experiments/session"
)

var (
	job       pipeline.Job
	tries     pipeline.Tries
	verbose   = flag.Bool("verbose", false, "show what Beam logs")
	pool      = flag.Int("worker_pool", 0, "serve workers to the runner at this port of localhost, and do nothing else")
	provision = flag.String("provision_endpoint", "", "set by the runner where it starts this program as a worker")
	_         = flag.String("artifact_endpoint", "", "set by the runner where it starts this program as a worker; not used")
)

func init() {
	flag.IntVar(&tries.Attempts, "attempts", 1, "how often the job is submitted until it succeeds, for runners that give up at the first failure")
	flag.DurationVar(&tries.Limit, "attempt_limit", 0, "how long an attempt may take, such as 12h, before it counts as failed (0: any time); Prism may wait for a worker that died, without end")
	job.Model, job.Data = session.DefaultModel, session.DefaultPictures
	for _, o := range append(option.Of(&job.Options, pipeline.Groups...), option.Of(&job)...) {
		help := o.Help
		if o.Usual != "" {
			help += " (default: " + o.Usual + ")"
		}
		flag.Var(o, o.Flag, help)
	}
}

func main() {
	flag.Parse()
	if !*verbose {
		log.SetLogger(&log.Standard{Level: log.SevWarn})
	}
	beam.Init() // does not return in a worker that Beam's container started
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "vitdecompose-beam:", option.AsFlags(err.Error(), &job.Options, &job))
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	switch {
	case *provision != "":
		return pipeline.Work(ctx, flag.Lookup("id").Value.String(), *provision)
	case *pool != 0:
		return pipeline.ServePool(ctx, *pool)
	}
	if *jobopts.WorkerBinary == "" {
		// Beam would compile this program again, without the C that XLA needs.
		var err error
		if *jobopts.WorkerBinary, err = os.Executable(); err != nil {
			return fmt.Errorf("%w; name this program with --worker_binary", err)
		}
	}
	runner := *runners.Runner
	if runner == "" {
		runner = "prism"
	}
	totals, err := pipeline.Run(ctx, runner, job, tries)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %v\n", job.Store, totals)
	return nil
}
