// Package bench measures what vitdecompose costs: time, memory, and the share of what the machine can do.
package bench

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/decompose"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/memory"
	"vitdecompose/experiments/statistics"
	"vitdecompose/gomlxvit"
)

// ModelConfig says what to measure.
type ModelConfig struct {
	Batch  int `flag:"batch" default:"8" min:"1" max:"4096" help:"pictures in a batch"`
	Rounds int `flag:"rounds" default:"7" min:"1" help:"times each job is run"`
	// First and Last are the blocks of which heads, MLPs and tokens are measured beside those of all blocks.
	First, Last int
	// PeerPython is a python with torch and timm that runs the same forward pass in turn; empty for none.
	PeerPython string `flag:"peer-python" takes:"PYTHON" help:"a Python with torch and timm, which runs the same forward pass for comparison"`
	// Log gets a line for each step, nil for none.
	Log io.Writer
}

// ModelRow is one measured job.
type ModelRow struct {
	Name         string  `json:"name"`
	ImagesPerSec float64 `json:"images_per_second"` // median over the rounds
	// Ratio is the time of this job over the time of the forward pass in the same round, median over the rounds.
	Ratio          float64 `json:"ratio_to_forward"`
	CompileSeconds float64 `json:"compile_seconds"` // building the graph and compiling it, with the first run
	PeakBytes      uint64  `json:"peak_bytes"`      // of this process while the job ran, 0 where that cannot be read
	Error          float64 `json:"sum_error"`       // |sum of components - representation| / |representation|
}

// ModelResult is a benchmark: jobs that ran in turn, round by round, on the same random pictures.
type ModelResult struct {
	Model   string     `json:"model"`
	Backend string     `json:"backend"`
	Batch   int        `json:"batch"`
	Rounds  int        `json:"rounds"`
	Params  int        `json:"parameters"`
	Rows    []ModelRow `json:"jobs"`
}

//go:embed forward.py
var peerScript string

// job is one thing to time: run does it once for a batch.
type job struct {
	row   ModelRow
	run   func() error
	times []float64
}

// Model measures the forward pass of a model, the forward pass with the heads and MLPs of all blocks and of some, with the
// token split of these, and with the segmentation maps of [extraction.SegmentationBlocks]. All jobs run in turn in each round, so that
// a machine whose speed drifts does not favour one of them.
func Model(ctx context.Context, backend compute.Backend, model *gomlxvit.Model, cfg ModelConfig) (*ModelResult, error) {
	pixels := randomPixels(model, cfg.Batch)

	forward, err := model.Compile(backend, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		z := model.Arch.Representation(w, in[0])
		outputs := []*graph.Node{z}
		if logits := model.Arch.Head(w, z); logits != nil {
			outputs = append(outputs, logits)
		}
		return outputs
	})
	if err != nil {
		return nil, err
	}
	heads, err := decompose.New(backend, model, decompose.Options{})
	if err != nil {
		return nil, err
	}
	some, err := decompose.New(backend, model, decompose.Options{First: cfg.First, End: cfg.Last + 1})
	if err != nil {
		return nil, err
	}
	tokens, err := decompose.New(backend, model, decompose.Options{
		First: cfg.First, End: cfg.Last + 1, Split: decompose.Tokens,
	})
	if err != nil {
		return nil, err
	}

	first, last := extraction.SegmentationBlocks(model.Arch.Blocks())
	scorer, err := newScorer(backend, model, first, last)
	if err != nil {
		return nil, err
	}

	defer forward.Close()
	defer scorer.Close()
	defer heads.Close()
	defer some.Close()
	defer tokens.Close()

	jobs := []*job{
		{row: ModelRow{Name: "forward"}},
		{row: ModelRow{Name: "forward + heads + MLPs, all blocks"}},
		{row: ModelRow{Name: fmt.Sprintf("forward + heads + MLPs, blocks %d..%d", cfg.First, cfg.Last)}},
		{row: ModelRow{Name: fmt.Sprintf("forward + token split, blocks %d..%d", cfg.First, cfg.Last)}},
	}
	jobs[0].run = func() error {
		outputs, err := forward.Run(pixels)
		if err != nil {
			return err
		}
		for _, o := range outputs {
			if _, err := tensors.CopyFlatData[float32](o); err != nil {
				return err
			}
			if err := o.FinalizeAll(); err != nil {
				return err
			}
		}
		return nil
	}
	for i, decomposer := range []*decompose.Decomposer{heads, some} {
		jobs[1+i].run = func() error {
			out, err := decomposer.Run(pixels)
			if err == nil {
				jobs[1+i].row.Error = out.Error
			}
			return err
		}
	}
	jobs[3].run = func() error {
		out, err := tokens.RunTokens(pixels, func(decompose.TokenBlock) error { return nil })
		if err == nil {
			jobs[3].row.Error = out.Error
		}
		return err
	}
	classes := make([]int, cfg.Batch)
	jobs = append(jobs, &job{row: ModelRow{Name: fmt.Sprintf("forward + segmentation maps, blocks %d..%d", first, last)}, run: func() error {
		_, _, err := scorer.Run(pixels, classes)
		return err
	}})
	if cfg.PeerPython != "" {
		peer, err := startPeer(ctx, cfg.PeerPython, model, cfg.Batch)
		if err != nil {
			return nil, err
		}
		defer peer.stop()
		jobs = append(jobs, &job{row: ModelRow{Name: "forward in PyTorch (" + peer.version + ")"}, run: peer.forward})
	}

	say := func(format string, args ...any) {
		if cfg.Log != nil {
			fmt.Fprintf(cfg.Log, format+"\n", args...)
		}
	}
	for _, j := range jobs {
		say("compiling: %s", j.row.Name)
		memory.ResetPeak()
		start := time.Now()
		if err := j.run(); err != nil {
			return nil, err
		}
		j.row.CompileSeconds = time.Since(start).Seconds()
		memory.ResetPeak()
		if err := j.run(); err != nil {
			return nil, err
		}
		j.row.PeakBytes = memory.Peak()
	}
	for round := range cfg.Rounds {
		for _, j := range jobs {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			start := time.Now()
			if err := j.run(); err != nil {
				return nil, err
			}
			j.times = append(j.times, time.Since(start).Seconds())
		}
		say("round %d of %d", round+1, cfg.Rounds)
	}

	result := &ModelResult{Model: model.Name, Backend: backend.Description(), Batch: cfg.Batch, Rounds: cfg.Rounds, Params: model.NumParams()}
	for _, j := range jobs {
		ratios := make([]float64, len(j.times))
		for i, t := range j.times {
			ratios[i] = t / jobs[0].times[i]
		}
		j.row.Ratio = statistics.Median(ratios)
		j.row.ImagesPerSec = float64(cfg.Batch) / statistics.Median(j.times)
		result.Rows = append(result.Rows, j.row)
	}
	return result, nil
}

// newScorer prepares segmentation maps. A model without a head gets one of two classes, whose weights do not matter for
// the time.
func newScorer(backend compute.Backend, model *gomlxvit.Model, first, last int) (*decompose.Scorer, error) {
	if model.Arch.NumClasses() == 0 {
		headed, err := model.WithLinearHead(make([]float32, 2*model.Arch.OutputDim()), make([]float32, 2), nil)
		if err != nil {
			return nil, err
		}
		model = headed
	}
	return decompose.NewScorer(backend, model, decompose.Options{First: first, End: last + 1})
}

// peer is a Python process that runs the same forward pass on demand.
type peer struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	version string
}

func startPeer(ctx context.Context, python string, model *gomlxvit.Model, batch int) (*peer, error) {
	return launchPeer(ctx, python, fmt.Sprintf("torch and timm, and timm must know %q", model.ArchName), peerScript, model.ArchName, strconv.Itoa(batch))
}

// launchPeer starts a script that first writes its version and then one line for every line it reads.
func launchPeer(ctx context.Context, python, needs, script string, args ...string) (*peer, error) {
	cmd := exec.CommandContext(ctx, python, append([]string{"-c", script}, args...)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("option PeerPython %s: %w", python, err)
	}
	p := &peer{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	if !p.out.Scan() {
		p.stop()
		return nil, fmt.Errorf("option PeerPython %s: it ended before it was ready; it needs %s", python, needs)
	}
	p.version = p.out.Text()
	return p, nil
}

func (p *peer) forward() error {
	_, err := p.ask("forward")
	return err
}

// ask writes a line and reads the answer.
func (p *peer) ask(line string) (string, error) {
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		return "", fmt.Errorf("option PeerPython: %w", err)
	}
	if !p.out.Scan() {
		return "", errors.New("option PeerPython: the process ended")
	}
	return p.out.Text(), nil
}

func (p *peer) stop() {
	p.in.Close()
	p.cmd.Wait() // whatever it ends with, it has served
}
