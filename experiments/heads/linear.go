package heads

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data/progress"
	"vitdecompose/experiments/cache"
	"vitdecompose/experiments/extraction"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/adam"
	"vitdecompose/gomlxvit/safetensors"
)

// Config says how a linear head is trained. Zero fields stand for the values of arXiv 2406.01583.
type Config struct {
	Epochs       int     `json:"epochs"`        // 0: 10
	LearningRate float64 `json:"learning_rate"` // 0: 1e-3
	Batch        int     `json:"batch"`         // 0: 64; the last of an epoch holds what is left
	Seed         uint64  `json:"seed"`          // of the first weights and of the order of the pictures
}

// Linear is a linear classifier of representations, logits = W z + b.
type Linear struct {
	Weight     []float32 // [class, dim]
	Bias       []float32 // [class]
	ClassNames []string  // nil when the data does not name its classes
	// Pictures is how many could be read, Labelled how many of them have a label and were trained on.
	Pictures, Labelled int
	// Loss is the mean cross entropy over the last epoch.
	Loss float64
}

// ApplyTo returns the model with this head.
func (h *Linear) ApplyTo(model *gomlxvit.Model) (*gomlxvit.Model, error) {
	return model.WithLinearHead(h.Weight, h.Bias, h.ClassNames)
}

// maxClasses bounds the size of a head that a label can cause; the largest sets of labels in use (ImageNet-21k) have 21,843
// classes.
const maxClasses = 1 << 16

// Train trains a linear head on the final representations of an extraction's pictures: softmax cross entropy,
// Adam (Kingma and Ba 2014) with PyTorch's defaults. The representations are those that [extraction.Extraction.Extract] keeps.
// Pictures without a label are left out. The head is kept in the directory heads of the cache, and the next call with the
// same model, data and configuration reads it there; nothing is decomposed then.
func Train(ctx context.Context, e extraction.Extraction, config Config) (*Linear, error) {
	if config.Epochs < 0 || config.Batch < 0 || !(config.LearningRate >= 0) || math.IsInf(config.LearningRate, 0) {
		return nil, fmt.Errorf("linear head: %d epochs, batches of %d and a learning rate of %g: none of them may be negative", config.Epochs, config.Batch, config.LearningRate)
	}
	if config.Epochs == 0 {
		config.Epochs = 10
	}
	if config.Batch == 0 {
		config.Batch = 64
	}
	if config.LearningRate == 0 {
		config.LearningRate = 1e-3
	}
	e.SetDefaults()
	labels, classes, err := trainingLabels(&e)
	if err != nil {
		return nil, fmt.Errorf("linear head of %s: %w", e.Model.Name, err)
	}
	key, err := headKey(&e, config, labels)
	if err != nil {
		return nil, err
	}
	dir, err := e.Directory()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "heads", key+".safetensors")
	head, err := readHead(file, key, classes, e.Model.Arch.OutputDim())
	switch {
	case err == nil:
		return head, e.CheckLeftOut(head.Pictures)
	case !errors.Is(err, fs.ErrNotExist):
		e.Warn(fmt.Errorf("%w; it is trained again", err))
	}

	store, err := e.Extract(ctx)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	head = &Linear{ClassNames: slices.Clone(e.Data.Classes())}
	var rows []float32 // [picture, dim]
	var targets []int32
	dim := e.Model.Arch.OutputDim()
	for chunk, err := range store.Chunks() {
		if err != nil {
			return nil, err
		}
		head.Pictures += len(chunk.Index)
		for i, index := range chunk.Index {
			if labels[index] >= 0 {
				rows = append(rows, chunk.Representation[i*dim:][:dim]...)
				targets = append(targets, labels[index])
			}
		}
	}
	if err := e.CheckLeftOut(head.Pictures); err != nil {
		return nil, err
	}
	if head.Labelled = len(targets); head.Labelled == 0 {
		return nil, fmt.Errorf("linear head of %s: none of the pictures that could be read has a label", e.Model.Name)
	}
	if head.Weight, head.Bias, head.Loss, err = Fit(ctx, e.Backend, rows, targets, classes, config, e.Progress); err != nil {
		return nil, fmt.Errorf("linear head of %s: %w", e.Model.Name, err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return nil, fmt.Errorf("linear head: %w", err)
	}
	return head, writeHead(file, key, head)
}

// trainingLabels returns the label of every picture, -1 for none, and the number of classes: that of the data's class
// names or, without them, one more than the largest label.
func trainingLabels(e *extraction.Extraction) (labels []int32, classes int, err error) {
	if e.Pictures == 0 {
		return nil, 0, errors.New("the data set has no pictures")
	}
	named := len(e.Data.Classes())
	limit := maxClasses
	if named > 0 {
		limit = min(limit, named)
	}
	labels = make([]int32, e.Pictures)
	seen := make(map[int]bool)
	for i := range labels {
		item := e.Data.Item(i)
		if item.Label >= limit {
			return nil, 0, fmt.Errorf("%s has label %d, but labels are indices of at most %d classes, counted from 0; check the labels", item.Name, item.Label, limit)
		}
		labels[i] = int32(max(item.Label, -1))
		if item.Label >= 0 {
			seen[item.Label] = true
			classes = max(classes, item.Label+1)
		}
	}
	switch len(seen) {
	case 0:
		return nil, 0, errors.New("no picture to train on has a label; sort the pictures into a sub-folder for each class or give a CSV file with the columns file,label")
	case 1:
		return nil, 0, errors.New("all pictures to train on have the same label, and telling classes apart takes two; add pictures of other classes")
	}
	return labels, max(classes, named), nil
}

// headVersion is the version of the code that trains and writes heads. Another one is another key.
const headVersion = 1

// headKey is the hash of all that determines a head. How the pictures were taken apart does not.
func headKey(e *extraction.Extraction, config Config, labels []int32) (string, error) {
	key, err := e.PictureKey()
	if err != nil {
		return "", err
	}
	// The labels are said apart, because those of a data set may be replaced, which its hash does not know.
	text, err := json.Marshal(struct {
		Version    int       `json:"version"`
		Extraction cache.Key `json:"extraction"`
		Config     Config    `json:"config"`
		Labels     []int32   `json:"labels"`
		ClassNames []string  `json:"class_names"`
	}{headVersion, key, config, labels, e.Data.Classes()})
	if err != nil {
		return "", fmt.Errorf("linear head: key: %w", err)
	}
	return cache.Sum(text), nil
}

// headStream sets the random numbers of heads apart from others of the same seed.
const headStream = 0x11ead

// initialLinear draws weights and, as the last column, biases [class, dim+1], uniform between -1/√dim and 1/√dim, as
// torch.nn.Linear does.
func initialLinear(rng *rand.Rand, classes, dim int) []float32 {
	bound := 1 / math.Sqrt(float64(dim))
	weights := make([]float32, classes*(dim+1))
	for i := range weights {
		weights[i] = float32((2*rng.Float64() - 1) * bound)
	}
	return weights
}

// adamStep builds a step of Adam on the weights w [class, dim+1] with moments m and v, for inputs x [batch, dim+1] whose
// last column is 1, labels [batch], and rates [2]: the learning rate over 1-β1^t, and 1/√(1-β2^t). It returns w, m, v and
// the mean cross entropy before the step.
func adamStep(in []*graph.Node) []*graph.Node {
	w, m, v, x, labels, rates := in[0], in[1], in[2], in[3], in[4], in[5]
	logits := graph.Einsum("bd,cd->bc", x, w)
	target := graph.OneHot(labels, w.Shape().Dim(0), dtypes.Float32)
	loss := graph.Neg(graph.ReduceAllMean(graph.ReduceSum(graph.Mul(target, graph.LogSoftmax(logits, -1)), -1)))
	g := graph.Gradient(loss, w)[0]

	w, m, v = adam.Step(w, g, m, v, rates)
	return []*graph.Node{w, m, v, loss}
}

// Fit trains a linear classifier on rows [row, dim] with their labels and returns its weight [class, dim], its bias
// [class] and the mean loss of the last epoch. The step is compiled for whole batches and for the last one of an epoch.
func Fit(ctx context.Context, backend compute.Backend, rows []float32, labels []int32, classes int, config Config, bar progress.Reporter) (weight, bias []float32, loss float64, err error) {
	program, err := gomlxvit.NewProgram(backend, "training", adamStep)
	if err != nil {
		return nil, nil, 0, err
	}
	defer program.Close()
	n := len(labels)
	dim := len(rows) / n
	rng := rand.New(rand.NewPCG(config.Seed, headStream))
	state := make([]*tensors.Tensor, 3) // weights and moments
	for i := range state {
		numbers := make([]float32, classes*(dim+1))
		if i == 0 {
			numbers = initialLinear(rng, classes, dim)
		}
		state[i] = tensors.FromFlatDataAndDimensions(numbers, classes, dim+1)
	}

	bar.Start("training the linear head", config.Epochs*n)
	defer bar.Done()
	step := 0
	for range config.Epochs {
		loss = 0
		for batch := range slices.Chunk(rng.Perm(n), config.Batch) {
			if err := ctx.Err(); err != nil {
				return nil, nil, 0, err
			}
			step++
			x, targets := make([]float32, 0, len(batch)*(dim+1)), make([]int32, 0, len(batch))
			for _, i := range batch {
				x = append(append(x, rows[i*dim:][:dim]...), 1)
				targets = append(targets, labels[i])
			}
			inputs := append(state, tensors.FromFlatDataAndDimensions(x, len(batch), dim+1), tensors.FromFlatDataAndDimensions(targets, len(batch)),
				tensors.FromFlatDataAndDimensions(adam.Rates(config.LearningRate, step), 2))
			outputs, err := program.Run(inputs...)
			if err != nil {
				return nil, nil, 0, fmt.Errorf("step %d: %w", step, err)
			}
			mean, err := tensors.CopyFlatData[float32](outputs[3])
			if err != nil {
				return nil, nil, 0, fmt.Errorf("step %d: %w", step, err)
			}
			if loss += float64(mean[0]) * float64(len(batch)) / float64(n); math.IsNaN(loss) || math.IsInf(loss, 0) {
				return nil, nil, 0, fmt.Errorf("the loss is not finite at step %d; do weights or pictures hold NaN, or is the learning rate too large?", step)
			}
			// Free memory now rather than when the garbage collector comes by.
			for _, t := range append(inputs, outputs[3]) {
				if err := t.FinalizeAll(); err != nil {
					return nil, nil, 0, fmt.Errorf("step %d: %w", step, err)
				}
			}
			state = outputs[:3:3]
			bar.Add(len(batch))
		}
	}
	numbers, err := tensors.CopyFlatData[float32](state[0])
	if err != nil {
		return nil, nil, 0, err
	}
	for row := range slices.Chunk(numbers, dim+1) {
		weight, bias = append(weight, row[:dim]...), append(bias, row[dim])
	}
	for _, t := range state {
		if err := t.FinalizeAll(); err != nil {
			return nil, nil, 0, err
		}
	}
	return weight, bias, loss, nil
}

// Names in a head's file.
const (
	headWeight = "weight"
	headBias   = "bias"
	headEntry  = "head" // headRecord as JSON
	headSum    = "sha256"
)

// headRecord is what a head's file says of it in the metadata.
type headRecord struct {
	Key        string   `json:"key"`
	ClassNames []string `json:"class_names"`
	Pictures   int      `json:"pictures"`
	Labelled   int      `json:"labelled"`
	Loss       float64  `json:"loss"`
}

// writeHead writes a head's file, whole or not at all.
func writeHead(file, key string, head *Linear) error {
	record, err := json.Marshal(headRecord{key, head.ClassNames, head.Pictures, head.Labelled, head.Loss})
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	sum, err := safetensors.Sum(string(record), head.Weight, head.Bias)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	classes := len(head.Bias)
	return safetensors.Write(file, map[string]string{headEntry: string(record), headSum: sum}, []safetensors.Tensor{
		{Name: headWeight, Shape: []int{classes, len(head.Weight) / classes}, Data: head.Weight},
		{Name: headBias, Shape: []int{classes}, Data: head.Bias},
	})
}

// readHead reads what writeHead wrote and believes nothing of it that the sums do not bear out.
func readHead(file, key string, classes, dim int) (head *Linear, err error) {
	f, err := safetensors.Open(file)
	if err != nil {
		return nil, err // names the file
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	weight, err := f.Float32(headWeight)
	if err != nil {
		return nil, err
	}
	bias, err := f.Float32(headBias)
	if err != nil {
		return nil, err
	}
	text := f.Metadata()[headEntry]
	sum, err := safetensors.Sum(text, weight, bias)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if sum != f.Metadata()[headSum] {
		return nil, fmt.Errorf("%s is damaged: its bytes do not match the hash in it", file)
	}
	var record headRecord
	if err := json.Unmarshal([]byte(text), &record); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	named := len(record.ClassNames)
	if record.Key != key || len(bias) != classes || len(weight) != classes*dim || named != 0 && named != classes {
		return nil, fmt.Errorf("%s is the head of another model or other data", file)
	}
	return &Linear{weight, bias, record.ClassNames, record.Pictures, record.Labelled, record.Loss}, nil
}
