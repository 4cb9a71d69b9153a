package bench

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/gomlx/compute"

	"vitdecompose/decompose"
	"vitdecompose/experiments/memory"
	"vitdecompose/experiments/statistics"
)

// AlignConfig says what alignment is measured on: random contributions of these sizes.
type AlignConfig struct {
	Pictures   int `json:"pictures" flag:"pictures" default:"20000" min:"1" help:"pictures in an epoch"`
	Components int `json:"components" flag:"components" default:"66" min:"1" help:"components"`
	Dim        int `json:"dim" flag:"dim" default:"768" min:"1" help:"dimensions of the model's representation"`
	ClipDim    int `json:"clip_dim" flag:"clip-dim" default:"768" min:"1" help:"dimensions of CLIP's space"`
	Batch      int `json:"batch" flag:"batch" default:"32" min:"1" max:"4096" help:"pictures in a step"`
	// Steps is how many batches are timed for each lambda; seconds of an epoch are their median times the batches of one.
	Steps int `json:"steps" flag:"rounds" default:"7" min:"1" help:"steps of each kind"`
	// PeerPython is a python with torch that takes the same steps in turn; empty for none.
	PeerPython string `json:"-" flag:"peer-python" takes:"PYTHON" help:"a Python with torch, which takes the same steps for comparison"`
	// Log gets a line now and then, nil for none.
	Log io.Writer `json:"-"`
}

// AlignRow is one measured training.
type AlignRow struct {
	Name            string  `json:"name"`
	Lambda          float64 `json:"lambda"`
	SecondsPerStep  float64 `json:"seconds_per_step"`  // median
	SecondsPerEpoch float64 `json:"seconds_per_epoch"` // of all pictures once, from the steps
	CompileSeconds  float64 `json:"compile_seconds"`   // until the first step is done
	// PeakBytes is the most memory the process took while training, contributions included; 0 where that cannot be read
	// or for another process.
	PeakBytes uint64 `json:"peak_bytes"`
}

// AlignResult is a benchmark of CompAlign.
type AlignResult struct {
	Backend string      `json:"backend"`
	Config  AlignConfig `json:"config"`
	// ContributionBytes is the memory of the contributions.
	ContributionBytes uint64     `json:"contribution_bytes"`
	Rows              []AlignRow `json:"trainings"`
}

//go:embed align.py
var alignPeerScript string

// Align measures a step of CompAlign at lambda 1 and at lambda 0, and with PeerPython the same in PyTorch, in turn step
// by step.
func Align(ctx context.Context, backend compute.Backend, cfg AlignConfig) (*AlignResult, error) {
	config := decompose.DefaultAlignConfig(cfg.Pictures)
	config.Batch, config.Patience = cfg.Batch, 0
	perEpoch := (cfg.Pictures + cfg.Batch - 1) / cfg.Batch
	config.Epochs = (cfg.Steps+1+perEpoch-1)/perEpoch + 1
	c := &decompose.Contributions{
		Components: make([]string, cfg.Components), Pictures: cfg.Pictures, Dim: cfg.Dim,
		Values: make([]float32, cfg.Components*cfg.Pictures*cfg.Dim),
	}
	for i := range c.Components {
		c.Components[i] = strconv.Itoa(i)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	uniform := func(values []float32) {
		for i := 0; i < len(values); i += 2 {
			bits := rng.Uint64()
			values[i] = float32(int32(bits)) / (1 << 31)
			if i+1 < len(values) {
				values[i+1] = float32(int32(bits>>32)) / (1 << 31)
			}
		}
	}
	uniform(c.Values)
	targets := make([]float32, cfg.Pictures*cfg.ClipDim)
	uniform(targets)

	result := &AlignResult{Backend: backend.Description(), Config: cfg, ContributionBytes: uint64(len(c.Values)) * 4}
	say := func(format string, args ...any) {
		if cfg.Log != nil {
			fmt.Fprintf(cfg.Log, format+"\n", args...)
		}
	}
	var other *peer
	var theirs [2][]float64
	if cfg.PeerPython != "" {
		var err error
		if other, err = startAlignPeer(ctx, cfg); err != nil {
			return nil, err
		}
		defer other.stop()
	}
	for _, lambda := range []float64{1, 0} {
		config.Lambda = lambda
		say("lambda %g: compiling", lambda)
		row := AlignRow{Name: "GoMLX", Lambda: lambda}
		var times []float64
		training, stop := context.WithCancel(ctx)
		memory.ResetPeak()
		last := time.Now()
		var peerErr error
		_, err := decompose.Align(training, backend, c, targets, config, decompose.AlignOptions{Observe: func(step int, _, _ float64) {
			seconds := time.Since(last).Seconds()
			if step == 1 {
				row.CompileSeconds = seconds
			} else {
				times = append(times, seconds)
			}
			if len(times) == cfg.Steps {
				stop()
			}
			if other != nil && lambda == 1 && step > 1 {
				var pair [2]float64
				if pair, peerErr = other.alignSteps(); peerErr != nil {
					stop()
				}
				theirs[0], theirs[1] = append(theirs[0], pair[0]), append(theirs[1], pair[1])
			}
			last = time.Now()
		}})
		stop()
		if peerErr != nil {
			return nil, peerErr
		}
		if err == nil || !errors.Is(err, context.Canceled) || ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), err)
		}
		row.PeakBytes = memory.Peak()
		row.SecondsPerStep = statistics.Median(times)
		row.SecondsPerEpoch = row.SecondsPerStep * float64(perEpoch)
		result.Rows = append(result.Rows, row)
		say("lambda %g: %.3f s a step", lambda, row.SecondsPerStep)
	}
	for i, lambda := range []float64{1, 0} {
		if other != nil {
			step := statistics.Median(theirs[i])
			result.Rows = append(result.Rows, AlignRow{Name: other.version, Lambda: lambda, SecondsPerStep: step, SecondsPerEpoch: step * float64(perEpoch)})
		}
	}
	return result, nil
}

func startAlignPeer(ctx context.Context, cfg AlignConfig) (*peer, error) {
	var args []string
	for _, n := range []int{cfg.Pictures, cfg.Components, cfg.Dim, cfg.ClipDim, cfg.Batch} {
		args = append(args, strconv.Itoa(n))
	}
	return launchPeer(ctx, cfg.PeerPython, "torch", alignPeerScript, args...)
}

// alignSteps has a peer take a step with each lambda, and returns their seconds.
func (p *peer) alignSteps() (seconds [2]float64, err error) {
	answer, err := p.ask("step")
	if err != nil {
		return seconds, err
	}
	if _, err := fmt.Sscan(answer, &seconds[0], &seconds[1]); err != nil {
		return seconds, fmt.Errorf("option PeerPython: %q is not two numbers of seconds: %w", answer, err)
	}
	return seconds, nil
}
