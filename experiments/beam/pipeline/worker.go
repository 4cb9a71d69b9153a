package pipeline

import (
	"context"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/container/tools"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/harness"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal/extworker"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/util/grpcx"
)

// Work makes the process a worker that a runner started, by Beam's environment PROCESS: id is its name, provision the
// address where the runner provides the rest. It returns when the job is over.
func Work(ctx context.Context, id, provision string) error {
	ctx = grpcx.WriteWorkerID(ctx, id)
	info, err := tools.ProvisionInfo(ctx, provision)
	if err != nil {
		return fmt.Errorf("--provision_endpoint %s: %w", provision, err)
	}
	return harness.MainWithOptions(ctx, info.GetLoggingEndpoint().GetUrl(), info.GetControlEndpoint().GetUrl(), harness.Options{
		RunnerCapabilities: info.GetRunnerCapabilities(), StatusEndpoint: info.GetStatusEndpoint().GetUrl(),
	})
}

// ServePool starts workers in this process for runners on this machine that ask at a port of localhost, by Beam's
// environment EXTERNAL, until ctx ends. The workers share model and device.
func ServePool(ctx context.Context, port int) error {
	pool, err := extworker.StartLoopback(ctx, port)
	if err != nil {
		return fmt.Errorf("--worker_pool %d: %w", port, err)
	}
	<-ctx.Done()
	return pool.Stop(ctx)
}
