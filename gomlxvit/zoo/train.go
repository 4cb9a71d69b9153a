package zoo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data"
	"vitdecompose/data/atomicfile"
	"vitdecompose/data/progress"
	"vitdecompose/data/scenes"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/safetensors"
)

// Recipe is how a model of the zoo is made: what it is and how it is trained.
// Every step draws new scenes, so that no picture is seen twice; mirror images,
// shifts, turns and sizes are part of how scenes are drawn.
type Recipe struct {
	Name         string
	Summary      string         // one line
	Architecture string         // timm's name of what ModelArgs change; "" for a CLIP
	ModelArgs    map[string]any // timm's keyword arguments
	Arch         gomlxvit.Architecture

	Batch, Steps int
	WarmUp       int     // steps until the learning rate has risen to its peak, to fall along a cosine from there
	LearningRate float64 // at its peak
	Restart      int     // step at which the schedule begins anew with half the peak (Loshchilov and Hutter 2017); 0: never
	WeightDecay  float64 // of matrices
	FadeIn       float64 // share of the training over which places fade in behind the objects; 0: they are there from the start
	Seed         uint64  // of weights and scenes
	From         string  // a vision transformer of the zoo whose weights the image transformer starts with; "" for random ones

	// openCLIP is the configuration of a CLIP, nil for timm's models.
	openCLIP map[string]any
	task     task
}

// layout lists all tensors that are trained.
func (r *Recipe) layout() layout { return newLayout(append(r.Arch.Params(), r.task.extra()...)) }

// stored lists those of them that are the model's, which come first: all of a
// CLIP's, and those of others without what only training needs.
func (r *Recipe) stored() layout {
	params := r.Arch.Params()
	if task, ok := r.task.(contrastive); ok {
		params = append(params, task.text.Params()...)
	}
	return newLayout(params)
}

// Options are the settings of [Train].
type Options struct {
	// Dir receives the checkpoint directory's files, and while training is not
	// done the state it can be resumed from.
	Dir string
	// Steps trains for fewer steps than the recipe (or more); 0 means the recipe's.
	Steps int
	// Save is the number of steps between states on disk; 0 means 250.
	Save int
	// HeldOut is the number of scenes that the finished checkpoint is tested on; 0
	// means 2000.
	HeldOut int
	// Sees, if not the whole scene, is the part of scenes that a supervised model is
	// trained and tested on, to learn what scenes can be told by.
	Sees scenes.Part
	// Probe gives a model without a head a linear one, trained on a data set's
	// representations. Without it such models are not tested.
	Probe func(ctx context.Context, backend compute.Backend, model *gomlxvit.Model, on data.Dataset) (*gomlxvit.Model, error)
	// Log receives a line of loss and accuracy now and then; nil for none.
	Log io.Writer
	// Progress hears of every step; nil for silence.
	Progress progress.Reporter
}

// Result is what training came to.
type Result struct {
	Name     string  `json:"name"`
	Params   int     `json:"params"`
	Steps    int     `json:"steps"`
	Pictures int     `json:"pictures"`
	Loss     float64 `json:"loss"`     // mean of the last steps
	Accuracy float64 `json:"accuracy"` // on the scenes of the last steps, seen for the first time
	Scores   []Score `json:"scores"`   // of the stored checkpoint on scenes that no training draws
	Scenes   int     `json:"scenes"`   // number of these
	Seconds  float64 `json:"seconds"`
	Resumed  bool    `json:"-"`
}

const (
	stateFile  = "training.safetensors"
	modelFile  = "model.safetensors"
	configFile = "config.json"
	cardFile   = "README.md"

	openCLIPFile  = "open_clip_config.json"
	tokenizerFile = "tokenizer.json"

	heldOutSeed = 0
	window      = 100 // steps that a reported loss is the mean of
)

// Train trains a model of the zoo by its recipe and writes a checkpoint
// directory: config.json, model.safetensors (half precision) and a model card.
// Cancelling the context stops it between two steps with its state saved; run
// again with the same directory it goes on there and comes to the same weights
// as if it had not been stopped.
func Train(ctx context.Context, backend compute.Backend, name string, opts Options) (*Result, error) {
	for _, recipe := range recipes {
		if recipe.name == name {
			return train(ctx, backend, recipe.make(), opts)
		}
	}
	return nil, fmt.Errorf("the zoo has no model %q (it has %v)", name, Names())
}

func train(ctx context.Context, backend compute.Backend, r Recipe, opts Options) (*Result, error) {
	if opts.Dir == "" {
		return nil, errors.New("train: no directory to write to")
	}
	if err := os.MkdirAll(opts.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	if opts.Steps > 0 {
		r.Steps = opts.Steps
	}
	if err := r.see(opts.Sees); err != nil {
		return nil, err
	}
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	if opts.Progress == nil {
		opts.Progress = progress.Silent
	}
	if opts.Save <= 0 {
		opts.Save = 250
	}
	if opts.HeldOut <= 0 {
		opts.HeldOut = 2000
	}
	weights, result, err := r.fit(ctx, backend, opts)
	if err != nil {
		return nil, err
	}
	if err := r.writeCheckpoint(opts.Dir, weights); err != nil {
		return nil, err
	}
	// What is reported is what a user gets: the stored file, through the loader.
	ckpt, err := checkpoint.Open(opts.Dir)
	if err != nil {
		return nil, err
	}
	defer ckpt.Close()
	model, err := gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{Text: true})
	if err != nil {
		return nil, err
	}
	result.Scenes = opts.HeldOut
	if result.Scores, err = evaluate(ctx, backend, model, opts); err != nil {
		return nil, err
	}
	if err := r.writeCard(opts.Dir, result); err != nil {
		return nil, err
	}
	if err := os.Remove(filepath.Join(opts.Dir, stateFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("train: %w", err)
	}
	return result, nil
}

// see makes it a recipe for a part of scenes.
func (r *Recipe) see(part scenes.Part) error {
	if part == scenes.Whole {
		return nil
	}
	task, ok := r.task.(supervised)
	if !ok {
		return fmt.Errorf("train %s: only models that are trained for classes can see a part of scenes (%s)", r.Name, part)
	}
	task.sees, task.traits = part, traitReadouts{}
	r.task, r.FadeIn = task, 0
	r.Name += " seeing the " + string(part)
	return nil
}

// fit trains until the recipe's last step and returns the weights, one vector.
func (r *Recipe) fit(ctx context.Context, backend compute.Backend, opts Options) ([]float32, *Result, error) {
	l, kept := r.layout(), r.stored()
	path := filepath.Join(opts.Dir, stateFile)
	st, seconds, err := r.loadState(path, l)
	if err != nil {
		return nil, nil, err
	}
	result := &Result{Name: r.Name, Params: kept.size(), Steps: r.Steps, Pictures: r.Steps * r.Batch, Resumed: st.step > 0}
	if result.Resumed {
		fmt.Fprintf(opts.Log, "%s: going on from step %d of %d\n", r.Name, st.step, r.Steps)
	} else {
		fmt.Fprintf(opts.Log, "%s: %d weights, %d steps of %d scenes\n", r.Name, l.size(), r.Steps, r.Batch)
	}
	stepper, err := newStepper(backend, l, r.WeightDecay, r.task, len(st.values))
	if err != nil {
		return nil, nil, err
	}
	defer stepper.close()

	start := time.Now().Add(-seconds)
	save := func() error {
		return r.saveState(path, st, time.Since(start))
	}
	opts.Progress.Start("train "+r.Name, r.Steps)
	defer opts.Progress.Done()
	opts.Progress.Add(st.step)

	drawing, stop := context.WithCancel(ctx)
	defer stop()
	var losses, accuracies []float64
	for batch := range r.batches(drawing, st.step, r.Steps) {
		reports, err := stepper.step(st, rates{r.learningRate(st.step), st.step + 1, r.done(st.step)}, batch)
		if err != nil {
			return nil, nil, err
		}
		loss, accuracy := reports[0], reports[2]
		if math.IsNaN(loss) || math.IsInf(loss, 0) {
			return nil, nil, fmt.Errorf("train %s: the loss is %v at step %d", r.Name, loss, st.step)
		}
		losses, accuracies = append(losses, loss), append(accuracies, accuracy)
		if len(losses) > window {
			losses, accuracies = losses[1:], accuracies[1:]
		}
		opts.Progress.Add(1)
		if st.step%window == 0 || st.step == r.Steps {
			fmt.Fprintf(opts.Log, "%s: step %d of %d, loss %.3f, accuracy %.1f %% (last %d steps), %.0f s\n",
				r.Name, st.step, r.Steps, mean(losses), 100*mean(accuracies), len(losses), time.Since(start).Seconds())
		}
		if st.step%opts.Save == 0 && st.step < r.Steps {
			if err := save(); err != nil {
				return nil, nil, err
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	if st.step < r.Steps {
		if err := save(); err != nil {
			return nil, nil, err
		}
		fmt.Fprintf(opts.Log, "%s: stopped after step %d of %d; the same command goes on from there\n", r.Name, st.step, r.Steps)
		return nil, nil, fmt.Errorf("train %s: stopped after step %d of %d; run it again to go on: %w", r.Name, st.step, r.Steps, context.Cause(ctx))
	}
	result.Loss, result.Accuracy, result.Seconds = mean(losses), mean(accuracies), time.Since(start).Seconds()
	weights, err := tensors.CopyFlatData[float32](st.named(r.task.result()))
	if err != nil {
		return nil, nil, fmt.Errorf("train %s: %w", r.Name, err)
	}
	return weights, result, r.settle(ctx, backend, l, weights)
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(max(len(values), 1))
}

// learningRate rises linearly, then falls along a cosine to zero, from a restart
// on from half the peak.
func (r *Recipe) learningRate(step int) float64 {
	peak, from, to := r.LearningRate, r.WarmUp, r.Steps
	switch {
	case step < r.WarmUp:
		return peak * float64(step+1) / float64(r.WarmUp)
	case r.Restart > 0 && step < r.Restart:
		to = r.Restart
	case r.Restart > 0:
		peak, from = peak/2, r.Restart
	}
	done := float64(step-from) / float64(max(to-from, 1))
	return peak * (1 + math.Cos(math.Pi*done)) / 2
}

// done is the share of the training that is done, counted anew from a restart on.
func (r *Recipe) done(step int) float64 {
	switch {
	case r.Restart == 0:
		return float64(step) / float64(r.Steps)
	case step < r.Restart:
		return float64(step) / float64(r.Restart)
	}
	return float64(step-r.Restart) / float64(r.Steps-r.Restart)
}

// The mean and deviation that models of the zoo expect of pixels in 0..1.
const pixelMean, pixelStd = 0.5, 0.5

// normalise maps bytes [batch, height, width, 3] to what models take,
// [batch, 3, height, width], as package preprocess does with files.
func normalise(bytes *graph.Node) *graph.Node {
	x := graph.ConvertDType(bytes, dtypes.Float32)
	x = graph.AddScalar(graph.MulScalar(x, 1/(255*pixelStd)), -pixelMean/pixelStd)
	return graph.TransposeAllAxes(x, 0, 3, 1, 2)
}

// batches draws the batches of steps from..to-1, in order, ahead of their use.
func (r *Recipe) batches(ctx context.Context, from, to int) <-chan []*tensors.Tensor {
	out := make(chan []*tensors.Tensor, 3)
	go func() {
		defer close(out)
		for step := from; step < to; step++ {
			batch := r.task.draw(r, step)
			select {
			case out <- batch:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// identity is what a state must agree with to be gone on from.
func (r *Recipe) identity(l layout) string {
	return fmt.Sprintf("%s: %d weights of %d tensors, batch %d, steps %d, warm-up %d, rate %v, restart %d, decay %v, fade %v, seed %d, from %q, scenes %d, %v",
		r.Name, l.size(), len(l.params), r.Batch, r.Steps, r.WarmUp, r.LearningRate, r.Restart, r.WeightDecay, r.FadeIn, r.Seed, r.From, scenes.Version, r.task)
}

func (r *Recipe) saveState(path string, st *state, spent time.Duration) error {
	stored := make([]safetensors.Tensor, len(st.values))
	for i, v := range st.values {
		values, err := tensors.CopyFlatData[float32](v.tensor)
		if err != nil {
			return fmt.Errorf("train %s: %w", r.Name, err)
		}
		stored[i] = safetensors.Tensor{Name: v.name, Shape: []int{len(values)}, Data: values}
	}
	return safetensors.Write(path, map[string]string{
		"recipe": r.identity(r.layout()), "step": strconv.Itoa(st.step),
		"seconds": strconv.FormatFloat(spent.Seconds(), 'f', 1, 64),
	}, stored)
}

// loadState reads where training stopped, or starts anew when there is nothing.
func (r *Recipe) loadState(path string, l layout) (*state, time.Duration, error) {
	st, err := r.initialState(l)
	if err != nil {
		return nil, 0, fmt.Errorf("train %s: %w", r.Name, err)
	}
	f, err := safetensors.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return st, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	wrong := func(what string) error {
		return fmt.Errorf("%s: %s; remove the file to start anew", path, what)
	}
	meta := f.Metadata()
	if want := r.identity(l); meta["recipe"] != want {
		return nil, 0, wrong(fmt.Sprintf("is the state of another training (%s), not of %s", meta["recipe"], want))
	}
	if st.step, err = strconv.Atoi(meta["step"]); err != nil || st.step < 0 || st.step > r.Steps {
		return nil, 0, wrong(fmt.Sprintf("has the step %q", meta["step"]))
	}
	seconds, err := strconv.ParseFloat(meta["seconds"], 64)
	if err != nil {
		return nil, 0, wrong(fmt.Sprintf("has the seconds %q", meta["seconds"]))
	}
	for i, v := range st.values {
		values, err := f.Float32(v.name)
		if err != nil {
			return nil, 0, err
		}
		if want := v.tensor.Shape().Size(); len(values) != want {
			return nil, 0, wrong(fmt.Sprintf("%s has %d values, not %d", v.name, len(values), want))
		}
		st.values[i] = vector(v.name, values)
	}
	return st, time.Duration(seconds * float64(time.Second)), nil
}

// writeCheckpoint writes config.json and model.safetensors as the Hub has them.
func (r *Recipe) writeCheckpoint(dir string, weights []float32) error {
	l := r.stored()
	if r.openCLIP != nil {
		vocabulary, err := vocabulary()
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, tokenizerFile), vocabulary); err != nil {
			return err
		}
	}
	stored := make([]safetensors.Tensor, len(l.params))
	for i, p := range l.params {
		stored[i] = safetensors.Tensor{Name: p.Name, Shape: p.Dims, Data: safetensors.Half(slices.Clone(l.part(weights, i)))}
	}
	if err := safetensors.Write(filepath.Join(dir, modelFile), map[string]string{"format": "pt"}, stored); err != nil {
		return err
	}
	name, content := r.config()
	config, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return writeFile(filepath.Join(dir, name), append(config, '\n'))
}

// config is the configuration file's name and content: timm's config.json or
// open_clip's.
func (r *Recipe) config() (name string, content map[string]any) {
	three := func(v float64) []float64 { return []float64{v, v, v} }
	if r.openCLIP != nil {
		return openCLIPFile, map[string]any{
			"model_cfg":      r.openCLIP,
			"preprocess_cfg": map[string]any{"mean": three(pixelMean), "std": three(pixelStd), "interpolation": "bicubic", "resize_mode": "shortest"},
		}
	}
	classes, pool := r.Arch.NumClasses(), "avg"
	pretrained := map[string]any{
		"tag":              "scenes",
		"input_size":       []int{3, scenes.Size, scenes.Size},
		"fixed_input_size": true,
		"interpolation":    "bicubic",
		"crop_pct":         1.0,
		"crop_mode":        "center",
		"mean":             three(pixelMean),
		"std":              three(pixelStd),
		"num_classes":      classes,
		"pool_size":        nil,
		"first_conv":       "patch_embed.proj",
		"classifier":       "head",
		"license":          "apache-2.0",
	}
	switch r.Arch.(type) {
	case *gomlxvit.ViTConfig:
		pool = "token"
	case *gomlxvit.SwinConfig:
		pretrained["classifier"] = "head.fc"
	case *gomlxvit.MaxxViTConfig:
		pretrained["classifier"], pretrained["first_conv"] = "head.fc", "stem.conv1"
	}
	if classes > 0 {
		pretrained["label_names"] = scenes.Classes
	}
	return configFile, map[string]any{
		"architecture":   r.Architecture,
		"num_classes":    classes,
		"num_features":   r.Arch.OutputDim(),
		"global_pool":    pool,
		"model_args":     r.ModelArgs,
		"pretrained_cfg": pretrained,
	}
}

func writeFile(path string, content []byte) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}
