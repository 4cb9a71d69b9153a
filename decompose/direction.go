package decompose

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
)

// NewDirectionScorer prepares the scores of a model, with a head or without, along any directions of its representation; they
// are run by [Scorer.RunAlong]. Of opts it takes First and End.
func NewDirectionScorer(backend compute.Backend, model *gomlxvit.Model, opts Options) (*Scorer, error) {
	return newScorer(backend, model, opts, true, func(_ gomlxvit.Weights, z, given *graph.Node) (direction, first *graph.Node) {
		return given, z
	})
}

// RunAlong scores a batch of pictures, pixels [batch, 3, height, width], each along its direction [batch, dim]. It returns the
// components in forward order and the representations [batch, dim].
func (s *Scorer) RunAlong(pixels *tensors.Tensor, directions []float32) ([]ScoredComponent, []float32, error) {
	batch, dim := pixels.Shape().Dim(0), s.model.Arch.OutputDim()
	if !s.along {
		return nil, nil, fmt.Errorf("%s: the scorer was made for classes; use Run", s.model.Name)
	}
	if len(directions) != batch*dim {
		return nil, nil, fmt.Errorf("%s: %d numbers for %d directions of %d", s.model.Name, len(directions), batch, dim)
	}
	return s.run(batch, pixels, tensors.FromFlatDataAndDimensions(directions, batch, dim))
}

// LogitReader finds the directions of the representation in which logits rise. Close it when done.
type LogitReader struct {
	model   *gomlxvit.Model
	program *gomlxvit.Program
}

// NewLogitReader compiles the head of a model.
func NewLogitReader(backend compute.Backend, model *gomlxvit.Model) (*LogitReader, error) {
	if model.Arch.NumClasses() == 0 {
		return nil, fmt.Errorf("%s has no classifier head whose logits could be taken apart", model.Name)
	}
	program, err := model.Compile(backend, func(w gomlxvit.Weights, inputs []*graph.Node) []*graph.Node {
		z, class := inputs[0], inputs[1]
		logits := model.Arch.Head(w, z)
		chosen := graph.OneHot(class, logits.Shape().Dim(-1), logits.DType())
		offset := graph.ReduceSum(graph.Mul(holdStatistics(logits, z, graph.ZerosLike(z)), chosen), -1)
		return []*graph.Node{LogitDirection(w, model.Arch, z, class), offset}
	})
	return &LogitReader{model, program}, err
}

// Close frees the compiled head.
func (r *LogitReader) Close() { r.program.Close() }

// Read returns the directions [class, dim] in which the logits of classes rise at a representation z [dim], and their
// offsets [class]: what the head gives for a representation of zeros, norms held at their statistics at z. Of a head that is
// linear, norms aside, a logit is z·direction + offset.
func (r *LogitReader) Read(z []float32, classes []int) (directions, offsets []float32, err error) {
	rows := make([]float32, 0, len(classes)*len(z))
	index := make([]int32, len(classes))
	for i, class := range classes {
		if class < 0 || class >= r.model.Arch.NumClasses() {
			return nil, nil, fmt.Errorf("%s has no class %d: it has %d, counted from 0", r.model.Name, class, r.model.Arch.NumClasses())
		}
		index[i] = int32(class)
		rows = append(rows, z...)
	}
	outputs, err := r.program.Run(tensors.FromFlatDataAndDimensions(rows, len(classes), len(z)), tensors.FromFlatDataAndDimensions(index, len(classes)))
	if err != nil {
		return nil, nil, err
	}
	flat, err := flatten(r.model, outputs)
	if err != nil {
		return nil, nil, err
	}
	return flat[0], flat[1], nil
}
