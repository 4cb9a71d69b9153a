// Package heads has the classifier heads that are made here: linear ones trained on representations, and any model's head as
// a separate function, by which experiments see how a changed representation is classified.
package heads

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit"
)

// Head applies a model's head to representations.
type Head struct {
	Model   *gomlxvit.Model
	program *gomlxvit.Program
}

// Of compiles the head of a model. Close it when done.
func Of(backend compute.Backend, model *gomlxvit.Model) (*Head, error) {
	program, err := model.Compile(backend, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		return []*graph.Node{model.Arch.Head(w, in[0])}
	})
	return &Head{model, program}, err
}

// Close frees the compiled head.
func (h *Head) Close() { h.program.Close() }

// Logits are those of representations, rows [row, dim]: [row, class]. Each number of rows is compiled once.
func (h *Head) Logits(rows []float32) ([]float32, error) {
	dim := h.Model.Arch.OutputDim()
	outputs, err := h.program.Run(tensors.FromFlatDataAndDimensions(rows, len(rows)/dim, dim))
	if err != nil {
		return nil, err
	}
	logits, err := tensors.CopyFlatData[float32](outputs[0])
	if err != nil {
		return nil, err
	}
	if err := gomlxvit.CheckNumbers("logits", logits, len(rows)/dim); err != nil {
		return nil, fmt.Errorf("%s: %w", h.Model.Name, err)
	}
	return logits, outputs[0].FinalizeAll()
}

// CrossEntropy is -log softmax(logits)[class].
func CrossEntropy(logits []float32, class int) float64 {
	most := float64(slices.Max(logits))
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - most)
	}
	return math.Log(sum) + most - float64(logits[class])
}

// Means are the means of contributions over the pictures [component, dim]: what a component that is ablated is replaced by.
func Means(c *decompose.Contributions) []float64 {
	means := make([]float64, len(c.Components)*c.Dim)
	for i := range c.Components {
		for picture := range c.Pictures {
			for d, v := range c.Row(i, picture) {
				means[i*c.Dim+d] += float64(v) / float64(c.Pictures)
			}
		}
	}
	return means
}

// Ablate writes the representation z [dim] of a picture with 0, 1, 2, ... components of the sequence replaced by their means
// [component, dim]: rows [step, dim]. contribution is what a component adds to z.
func Ablate(rows, z []float32, contribution func(component int) []float32, sequence []int, means []float64) {
	dim := len(z)
	current := make([]float64, dim)
	for c, v := range z {
		current[c] = float64(v)
		rows[c] = v
	}
	for step, component := range sequence {
		own := contribution(component)
		for c := range current {
			current[c] += means[component*dim+c] - float64(own[c])
			rows[(step+1)*dim+c] = float32(current[c])
		}
	}
}
