package experiments

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit"
)

// BenchConfig says what to measure.
type BenchConfig struct {
	Batch  int
	Rounds int
	// First and Last are the blocks of which heads, MLPs and tokens are measured beside those of all blocks.
	First, Last int
	// PeerPython is a python with torch and timm that runs the same forward pass in turn; empty for none.
	PeerPython string
	// Log gets a line for each step, nil for none.
	Log io.Writer
}

// BenchRow is one measured job.
type BenchRow struct {
	Name         string  `json:"name"`
	ImagesPerSec float64 `json:"images_per_second"` // median over the rounds
	// Ratio is the time of this job over the time of the forward pass in the same round, median over the rounds.
	Ratio          float64 `json:"ratio_to_forward"`
	CompileSeconds float64 `json:"compile_seconds"` // building the graph and compiling it, with the first run
	PeakBytes      uint64  `json:"peak_bytes"`      // of this process while the job ran, 0 where that cannot be read
	Error          float64 `json:"sum_error"`       // |sum of components - representation| / |representation|
}

// BenchResult is a benchmark: jobs that ran in turn, round by round, on the same random pictures.
type BenchResult struct {
	Model   string     `json:"model"`
	Backend string     `json:"backend"`
	Batch   int        `json:"batch"`
	Rounds  int        `json:"rounds"`
	Params  int        `json:"parameters"`
	Rows    []BenchRow `json:"jobs"`
}

//go:embed bench_peer.py
var peerScript string

// job is one thing to time: run does it once for a batch.
type job struct {
	row   BenchRow
	run   func() error
	times []float64
}

// Bench measures the forward pass of a model, the forward pass with the heads and MLPs of all blocks and of some, with the
// token split of these, and with the segmentation maps of [SegmentationBlocks]. All jobs run in turn in each round, so that
// a machine whose speed drifts does not favour one of them.
func Bench(ctx context.Context, backend compute.Backend, model *gomlxvit.Model, cfg BenchConfig) (*BenchResult, error) {
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

	first, last := SegmentationBlocks(model.Arch.Blocks())
	scorer, err := newBenchScorer(backend, model, first, last)
	if err != nil {
		return nil, err
	}

	defer forward.Close()
	defer scorer.Close()
	defer heads.Close()
	defer some.Close()
	defer tokens.Close()

	jobs := []*job{
		{row: BenchRow{Name: "forward"}},
		{row: BenchRow{Name: "forward + heads + MLPs, all blocks"}},
		{row: BenchRow{Name: fmt.Sprintf("forward + heads + MLPs, blocks %d..%d", cfg.First, cfg.Last)}},
		{row: BenchRow{Name: fmt.Sprintf("forward + token split, blocks %d..%d", cfg.First, cfg.Last)}},
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
	jobs = append(jobs, &job{row: BenchRow{Name: fmt.Sprintf("forward + segmentation maps, blocks %d..%d", first, last)}, run: func() error {
		_, _, err := scorer.Run(pixels, classes)
		return err
	}})
	if cfg.PeerPython != "" {
		peer, err := startPeer(ctx, cfg.PeerPython, model, cfg.Batch)
		if err != nil {
			return nil, err
		}
		defer peer.stop()
		jobs = append(jobs, &job{row: BenchRow{Name: "forward in PyTorch (" + peer.version + ")"}, run: peer.forward})
	}

	say := func(format string, args ...any) {
		if cfg.Log != nil {
			fmt.Fprintf(cfg.Log, format+"\n", args...)
		}
	}
	for _, j := range jobs {
		say("compiling: %s", j.row.Name)
		resetPeak()
		start := time.Now()
		if err := j.run(); err != nil {
			return nil, err
		}
		j.row.CompileSeconds = time.Since(start).Seconds()
		resetPeak()
		if err := j.run(); err != nil {
			return nil, err
		}
		j.row.PeakBytes = peakBytes()
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

	result := &BenchResult{Model: model.Name, Backend: backend.Description(), Batch: cfg.Batch, Rounds: cfg.Rounds, Params: model.NumParams()}
	for _, j := range jobs {
		ratios := make([]float64, len(j.times))
		for i, t := range j.times {
			ratios[i] = t / jobs[0].times[i]
		}
		j.row.Ratio = median(ratios)
		j.row.ImagesPerSec = float64(cfg.Batch) / median(j.times)
		result.Rows = append(result.Rows, j.row)
	}
	return result, nil
}

// newBenchScorer prepares segmentation maps. A model without a head gets one of two classes, whose weights do not matter for
// the time.
func newBenchScorer(backend compute.Backend, model *gomlxvit.Model, first, last int) (*decompose.Scorer, error) {
	if model.Arch.NumClasses() == 0 {
		headed, err := model.WithLinearHead(make([]float32, 2*model.Arch.OutputDim()), make([]float32, 2), nil)
		if err != nil {
			return nil, err
		}
		model = headed
	}
	return decompose.NewScorer(backend, model, decompose.Options{First: first, End: last + 1})
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// resetPeak makes the kernel count the peak of this process's memory from now on (Linux; elsewhere peaks are not read).
func resetPeak() {
	// A kernel that does not allow it leaves the peak of the whole run, which is an upper bound: nothing to report.
	if f, err := os.OpenFile("/proc/self/clear_refs", os.O_WRONLY, 0); err == nil {
		io.WriteString(f, "5")
		f.Close()
	}
}

// peakBytes is the peak resident memory since resetPeak, 0 if the system does not tell.
func peakBytes() uint64 { return kilobytes("/proc/self/status", "VmHWM:") * 1024 }

// kilobytes reads an entry of a file in which the kernel says sizes, 0 if it is not there.
func kilobytes(file, entry string) uint64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, entry); ok {
			kb, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return kb
		}
	}
	return 0
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
		return nil, fmt.Errorf("--peer-python %s: %w", python, err)
	}
	p := &peer{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	if !p.out.Scan() {
		p.stop()
		return nil, fmt.Errorf("--peer-python %s: it ended before it was ready; it needs %s", python, needs)
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
		return "", fmt.Errorf("--peer-python: %w", err)
	}
	if !p.out.Scan() {
		return "", errors.New("--peer-python: the process ended")
	}
	return p.out.Text(), nil
}

func (p *peer) stop() {
	p.in.Close()
	p.cmd.Wait() // whatever it ends with, it has served
}
