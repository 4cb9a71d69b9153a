package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/decompose"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/statistics"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/mark"
)

// ScaleConfig says on how much of a machine models are measured.
type ScaleConfig struct {
	// Batches are the batch sizes tried, ascending. A model is not tried with larger ones once two in a row were no faster
	// than the best by [fasterBy], or one did not fit into memory.
	Batches []int `json:"batches" flag:"batches" default:"1,2,4,8,16,32,64,128,256,512" min:"1" max:"4096" help:"batch sizes to try, until a larger one is no faster"`
	Rounds  int   `json:"rounds" flag:"rounds" default:"3" min:"1" help:"times each job is run"`
	// Devices are the numbers of devices measured at the best batch; 1 is always among them.
	Devices []int `json:"devices" flag:"devices" default:"1" min:"1" help:"numbers of devices to measure, such as 1,2,4"`
	// Side is the side of the square matrices whose product gives the peak; 0 means 2048 on a CPU and 8192 on accelerators.
	Side int `json:"side" flag:"side" min:"1" usual:"2048, on accelerators 8192" help:"side of the square matrices whose product is taken as the peak"`
	// Log gets a line for each step, nil for none.
	Log io.Writer `json:"-"`
}

// fasterBy is the gain in images per second from which a larger batch is worth its memory.
const fasterBy = 1.02

// ScaleRow is one model at its best batch.
type ScaleRow struct {
	Model     string `json:"model"`
	Precision string `json:"precision"`
	Blocks    string `json:"blocks"` // those taken apart
	Batch     int    `json:"batch"`
	// GFLOPs are the floating-point operations of the matrix products and convolutions of one picture's forward pass.
	GFLOPs float64 `json:"gflops_per_image"`
	// Forward and Decomposed are images per second on one device, of the forward pass and of the pass with contributions.
	Forward    float64 `json:"forward_images_per_second"`
	Decomposed float64 `json:"decomposed_images_per_second"`
	// OfPeak is the share of the peak that the matrix products of the decomposed pass reach.
	OfPeak float64 `json:"fraction_of_peak"`
	// SumError is max |sum of components - representation| / max |representation|, Difference the largest difference of the
	// representation from that of float32, relative to its largest value; 0 for float32 itself.
	SumError   float64 `json:"sum_error"`
	Difference float64 `json:"difference_from_float32"`
	// ByDevices are images per second with contributions on several devices at once.
	ByDevices []DeviceRate `json:"by_devices"`
}

// DeviceRate is the speed of several devices together.
type DeviceRate struct {
	Devices      int     `json:"devices"`
	ImagesPerSec float64 `json:"images_per_second"`
}

// Peak is the speed of a matrix product, which nothing that is made of matrix products exceeds.
type Peak struct {
	Precision string  `json:"precision"`
	Side      int     `json:"side"`
	TFLOPs    float64 `json:"tflops_per_second"`
}

// ScaleResult is how fast a backend takes models apart.
type ScaleResult struct {
	Config  ScaleConfig `json:"config"`
	Backend string      `json:"backend"`
	Peaks   []Peak      `json:"peaks"`
	Rows    []ScaleRow  `json:"models"`
}

// Scale measures models one after the other: the batch that is fastest, images per second of the forward pass and of
// the decomposition of the paper's blocks, what share of the device's peak that is, and what several devices give. open
// opens model number i, in the precision that it is to be measured in.
func Scale(ctx context.Context, backend compute.Backend, models int, open func(i int) (*gomlxvit.Model, error), cfg ScaleConfig) (*ScaleResult, error) {
	if cfg.Side == 0 {
		cfg.Side = 2048
		if extraction.Accelerated(backend) {
			cfg.Side = 8192
		}
	}
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	result := &ScaleResult{Config: cfg, Backend: backend.Description()}
	for i := range models {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		model, err := open(i)
		if err != nil {
			return nil, err
		}
		peak, err := result.peak(backend, model.Precision(), cfg)
		if err != nil {
			return nil, err
		}
		row, err := scaleModel(ctx, backend, model, cfg)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", model.Name, err)
		}
		row.OfPeak = row.Decomposed * row.GFLOPs / 1000 / peak
		result.Rows = append(result.Rows, *row)
	}
	return result, nil
}

// peak measures the product of two square matrices once for each precision.
func (r *ScaleResult) peak(backend compute.Backend, precision string, cfg ScaleConfig) (float64, error) {
	for _, p := range r.Peaks {
		if p.Precision == precision {
			return p.TFLOPs, nil
		}
	}
	operand := dtypes.Float32
	if precision != "float32" {
		operand = dtypes.BFloat16
	}
	// Each product reads the one before it, so that none is left out; the numbers stay near 1.
	const products = 8
	program, err := gomlxvit.NewProgram(backend, "matrix product", func(in []*graph.Node) []*graph.Node {
		x := in[0]
		m := graph.ConvertDType(graph.MulScalar(x, 1/float64(cfg.Side)), operand)
		for range products {
			x = graph.Dot(graph.ConvertDType(x, operand), m).WithAccumulatorDType(dtypes.InvalidDType).WithOutputDType(dtypes.Float32).General([]int{1}, nil, []int{0}, nil)
		}
		return []*graph.Node{x} // whole: XLA computes its sum in a separate loop, 15 times more slowly
	})
	if err != nil {
		return 0, err
	}
	defer program.Close()
	ones := make([]float32, cfg.Side*cfg.Side)
	for i := range ones {
		ones[i] = 1
	}
	matrix := tensors.FromFlatDataAndDimensions(ones, cfg.Side, cfg.Side)
	run := func() error { return finished(program.Run(matrix)) }
	if err := run(); err != nil {
		return 0, err
	}
	seconds, err := timed(max(3, cfg.Rounds), run)
	if err != nil {
		return 0, err
	}
	side := float64(cfg.Side)
	p := Peak{precision, cfg.Side, 2 * side * side * side * products / seconds / 1e12}
	fmt.Fprintf(cfg.Log, "product of %d x %d matrices, %s: %.3g TFLOP/s\n", p.Side, p.Side, p.Precision, p.TFLOPs)
	r.Peaks = append(r.Peaks, p)
	return p.TFLOPs, nil
}

// finished waits until outputs are computed, and frees them.
func finished(outputs []*tensors.Tensor, err error) error {
	for _, o := range outputs {
		if err == nil {
			err = o.ToLocal()
		}
		err = errors.Join(err, o.FinalizeAll())
	}
	return err
}

// timed is the median time of running something, in seconds.
func timed(rounds int, run func() error) (float64, error) {
	var times []float64
	for range rounds {
		start := time.Now()
		if err := run(); err != nil {
			return 0, err
		}
		times = append(times, time.Since(start).Seconds())
	}
	return statistics.Median(times), nil
}

// scaleModel finds the best batch of a model and measures it there.
func scaleModel(ctx context.Context, backend compute.Backend, model *gomlxvit.Model, cfg ScaleConfig) (*ScaleRow, error) {
	opts := extraction.PaperOptions(model)
	d, err := decompose.New(backend, model, opts)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	row := &ScaleRow{Model: model.Name, Precision: model.Precision(), Blocks: fmt.Sprintf("%d..%d", opts.First, opts.End-1)}
	slower := 0
	for _, batch := range cfg.Batches {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		pixels := randomPixels(model, batch)
		var out *decompose.Output
		run := func() (err error) {
			out, err = d.Run(pixels)
			return err
		}
		if err := run(); err != nil { // compiles
			if row.Batch == 0 {
				return nil, err
			}
			fmt.Fprintf(cfg.Log, "%s, %s, batch %d: %v\n", model.Name, row.Precision, batch, err)
			break
		}
		seconds, err := timed(cfg.Rounds, run)
		if err != nil {
			return nil, err
		}
		rate := float64(batch) / seconds
		fmt.Fprintf(cfg.Log, "%s, %s, batch %d: %.4g images/s with contributions\n", model.Name, row.Precision, batch, rate)
		if rate < fasterBy*row.Decomposed {
			if slower++; slower == 2 {
				break
			}
			continue
		}
		slower = 0
		row.Batch, row.Decomposed, row.SumError = batch, rate, out.Error
	}
	if err := row.forward(backend, model, cfg); err != nil {
		return nil, err
	}
	row.ByDevices, err = scaleDevices(d, randomPixels(model, row.Batch), backend, cfg)
	return row, err
}

// forward measures the forward pass alone, counts its operations, and compares a half-precision model with float32.
func (row *ScaleRow) forward(backend compute.Backend, model *gomlxvit.Model, cfg ScaleConfig) error {
	var operations float64
	compile := func(model *gomlxvit.Model) (*gomlxvit.Program, error) {
		return model.Compile(backend, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
			z := model.Arch.Representation(w, in[0])
			operations = forwardOperations(z.Graph())
			return []*graph.Node{z}
		})
	}
	program, err := compile(model)
	if err != nil {
		return err
	}
	defer program.Close()
	pixels := randomPixels(model, row.Batch)
	representation := func(p *gomlxvit.Program) ([]float32, error) {
		outputs, err := p.Run(pixels)
		if err != nil {
			return nil, err
		}
		z, err := tensors.CopyFlatData[float32](outputs[0])
		return z, errors.Join(err, outputs[0].FinalizeAll())
	}
	z, err := representation(program)
	if err != nil {
		return err
	}
	row.GFLOPs = operations / float64(row.Batch) / 1e9
	seconds, err := timed(cfg.Rounds, func() error { return finished(program.Run(pixels)) })
	if err != nil {
		return err
	}
	row.Forward = float64(row.Batch) / seconds
	if model.Precision() == "float32" {
		return nil
	}
	exact, err := compile(model.InFloat32())
	if err != nil {
		return err
	}
	defer exact.Close()
	reference, err := representation(exact)
	if err != nil {
		return err
	}
	row.Difference = decompose.SumError(z, reference)
	return nil
}

// scaleDevices measures the decomposition on several devices at once, each with its own batch.
func scaleDevices(d *decompose.Decomposer, pixels *tensors.Tensor, backend compute.Backend, cfg ScaleConfig) ([]DeviceRate, error) {
	batch := pixels.Shape().Dim(0)
	var rates []DeviceRate
	for _, devices := range slices.Compact(slices.Sorted(slices.Values(append([]int{1}, cfg.Devices...)))) {
		if devices > backend.NumDevices() {
			return nil, fmt.Errorf("the backend has %d devices, not %d", backend.NumDevices(), devices)
		}
		own := make([]*tensors.Tensor, devices) // a tensor is on one device
		for i := range own {
			var err error
			if own[i], err = pixels.LocalClone(); err != nil {
				return nil, err
			}
		}
		run := func() error {
			var all sync.WaitGroup
			errs := make([]error, devices)
			for device := range devices {
				all.Go(func() { _, errs[device] = d.RunOn(device, own[device]) })
			}
			all.Wait()
			return errors.Join(errs...)
		}
		if err := run(); err != nil { // copies the weights
			return nil, err
		}
		seconds, err := timed(cfg.Rounds, run)
		if err != nil {
			return nil, err
		}
		rates = append(rates, DeviceRate{devices, float64(devices*batch) / seconds})
	}
	return rates, nil
}

// randomPixels are normal values [batch, 3, side, side], the same every time.
func randomPixels(model *gomlxvit.Model, batch int) *tensors.Tensor {
	side := model.Arch.InputSize()
	random := make([]float32, batch*3*side*side)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = float32(rng.NormFloat64())
	}
	return tensors.FromFlatDataAndDimensions(random, batch, 3, side, side)
}

// forwardOperations counts the multiplications and additions in the linear layers, attentions and convolutions of a graph.
func forwardOperations(g *graph.Graph) float64 {
	total := 0.0
	marks := mark.Of(g)
	for y, linear := range marks.Linears {
		total += 2 * float64(y.Shape().Size()) * float64(linear.Weight.Shape().Dim(1))
	}
	for _, a := range marks.Heads { // scores, and the values they weigh
		total += 2 * 2 * float64(a.Weights.Shape().Size()) * float64(a.Values.Shape().Dim(-1))
	}
	for _, n := range g.Nodes() {
		if n.Type() == graph.NodeTypeConvGeneral { // the kernel is [height, width, in, out]
			kernel := n.Inputs()[1].Shape()
			total += 2 * float64(n.Shape().Size()) * float64(kernel.Size()/kernel.Dim(-1))
		}
	}
	return total
}
