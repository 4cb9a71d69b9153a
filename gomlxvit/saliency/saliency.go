// Package saliency computes the two saliency maps that segmentation by decomposition is compared with: GradCAM (Selvaraju
// et al. 2017, arXiv 1610.02391) and the method of Chefer et al. 2021 (arXiv 2012.09838).
//
//	s, err := saliency.NewGradCAM(backend, model)
//	maps, err := s.Run(pixels, classes) // pixels [batch, 3, height, width], one class for each picture
//	scaled := maps.Scaled(224, 224)     // [batch, 224*224], 0 to 1
//
// Both take the graph that the architecture builds and find what they need by its marks (package mark): which layer a
// map is of, which nodes are layers that relevance passes. No architecture is written a second time.
package saliency

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"

	"vitdecompose/gomlxvit"
)

// Method is how a saliency map is made.
type Method string

// The methods.
const (
	GradCAM Method = "GradCAM"
	Chefer  Method = "Chefer"
)

// Saliency computes saliency maps of a model's pictures. It may be used from several goroutines.
type Saliency struct {
	method  Method
	model   *gomlxvit.Model
	program *gomlxvit.Program
}

// build makes what a method gives from the pixels and the classes [batch], int32: the maps [batch, row, column], and of
// GradCAM the signed maps and the weights.
type build func(w gomlxvit.Weights, pixels, classes *graph.Node) []*graph.Node

// NewGradCAM prepares GradCAM of a model of any architecture with any head.
func NewGradCAM(backend compute.Backend, model *gomlxvit.Model) (*Saliency, error) {
	return newSaliency(backend, model, GradCAM, func(w gomlxvit.Weights, pixels, classes *graph.Node) []*graph.Node {
		logits := model.Arch.Head(w, model.Arch.Representation(w, pixels))
		signed, weights := gradCAM(logits, classes, model.Arch.PrefixTokens())
		return []*graph.Node{graph.MaxScalar(signed, 0), signed, weights}
	})
}

// NewChefer prepares the maps of Chefer et al. of a model. Their rules cover plain vision transformers with a class
// token and linear layers behind it; for others the error names the first layer without a rule.
func NewChefer(backend compute.Backend, model *gomlxvit.Model) (*Saliency, error) {
	return newSaliency(backend, model, Chefer, func(w gomlxvit.Weights, pixels, classes *graph.Node) []*graph.Node {
		p := propagate(model.Arch, w, pixels, classes)
		return []*graph.Node{graph.ConvertDType(p.rollout(firstBlock), dtypes.Float32)}
	})
}

func newSaliency(backend compute.Backend, model *gomlxvit.Model, method Method, build build) (*Saliency, error) {
	if model.Arch.NumClasses() == 0 {
		return nil, fmt.Errorf("%s: %s explains the logit of a class, and the model has no head; give it one", model.Name, method)
	}
	if err := try(backend, model, build); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", model.Name, method, err)
	}
	program, err := model.Compile(backend, func(w gomlxvit.Weights, inputs []*graph.Node) []*graph.Node {
		return build(w, inputs[0], inputs[1])
	})
	if err != nil {
		return nil, err
	}
	return &Saliency{method: method, model: model, program: program}, nil
}

// try builds the graph without compiling it, so that what a method cannot do is known before the first picture.
func try(backend compute.Backend, model *gomlxvit.Model, build build) error {
	err := exceptions.TryCatch[error](func() {
		g := graph.NewGraph(backend, model.Name)
		defer g.Finalize()
		weights := make(gomlxvit.WeightMap)
		for _, p := range model.Arch.Params() {
			weights[p.Name] = graph.Parameter(g, p.Name, shapes.Make(dtypes.Float32, p.Dims...))
		}
		side, batch := model.Arch.InputSize(), max(1, gomlxvit.BatchOf(model.Arch))
		pixels := graph.Parameter(g, "pixels", shapes.Make(dtypes.Float32, batch, 3, side, side))
		build(weights, pixels, graph.Parameter(g, "classes", shapes.Make(dtypes.Int32, batch)))
	})
	if err != nil {
		message, _, _ := strings.Cut(err.Error(), "\n")
		return fmt.Errorf("%s", message)
	}
	return nil
}

// Close frees the compiled graphs.
func (s *Saliency) Close() { s.program.Close() }

// Maps are the saliency maps of a batch of pictures, one number for each position of the model's grid of patches.
type Maps struct {
	Method               Method
	Batch, Rows, Columns int
	// Values [batch, Rows*Columns], row by row, are not negative and not scaled.
	Values []float32
	// Signed [batch, Rows*Columns] are the values of GradCAM before those below 0 became 0, and Weights [batch, channel] those
	// of the channels of its layer; nil with Chefer.
	Signed, Weights []float32
}

// Run computes the maps of pictures for a class each. pixels is shaped [batch, 3, height, width], normalised. Pictures do
// not influence each other. For each new size of a batch a graph is compiled.
func (s *Saliency) Run(pixels *tensors.Tensor, classes []int) (*Maps, error) {
	side, count := s.model.Arch.InputSize(), s.model.Arch.NumClasses()
	if want := []int{len(classes), 3, side, side}; len(classes) == 0 || !slices.Equal(pixels.Shape().Dimensions, want) {
		return nil, fmt.Errorf("%s: %s of pixels %v for %d classes; they must be [class, 3, %d, %d], and at least one",
			s.model.Name, s.method, pixels.Shape().Dimensions, len(classes), side, side)
	}
	chosen := make([]int32, len(classes))
	for i, class := range classes {
		if class < 0 || class >= count {
			return nil, fmt.Errorf("%s: %s for class %d of picture %d; the model has classes 0 to %d",
				s.model.Name, s.method, class, i, count-1)
		}
		chosen[i] = int32(class)
	}
	outputs, err := s.program.Run(pixels, tensors.FromFlatDataAndDimensions(chosen, len(chosen)))
	if err != nil {
		return nil, err
	}
	dims := outputs[0].Shape().Dimensions
	m := &Maps{Method: s.method, Batch: dims[0], Rows: dims[1], Columns: dims[2]}
	for i, values := range []*[]float32{&m.Values, &m.Signed, &m.Weights}[:len(outputs)] {
		if *values, err = tensors.CopyFlatData[float32](outputs[i]); err != nil {
			return nil, fmt.Errorf("%s: reading results: %w", s.model.Name, err)
		}
		if err := outputs[i].FinalizeAll(); err != nil {
			return nil, fmt.Errorf("%s: freeing results: %w", s.model.Name, err)
		}
	}
	return m, nil
}

// Truncate keeps the first n pictures, for batches that were padded.
func (m *Maps) Truncate(n int) {
	if n >= m.Batch {
		return
	}
	for _, values := range []*[]float32{&m.Values, &m.Signed, &m.Weights} {
		*values = (*values)[:len(*values)/m.Batch*n]
	}
	m.Batch = n
}

// Scaled resizes the maps to height x width and scales each to 0 ... 1, [batch, height*width], the way in which
// arXiv 2406.01583 compares the methods. A map that is the same everywhere becomes 0.
func (m *Maps) Scaled(height, width int) []float32 {
	scaled := make([]float32, 0, m.Batch*height*width)
	for v := range slices.Chunk(m.Values, m.Rows*m.Columns) {
		switch m.Method {
		case GradCAM: // pytorch_grad_cam stretches before and after resizing, the authors' script once more
			v = stretch(Resize(stretch(v, 1e-7), m.Rows, m.Columns, height, width), 1e-7)
			v = stretch(v, 1e-8)
		default:
			v = stretch(Resize(v, m.Rows, m.Columns, height, width), 0)
		}
		scaled = append(scaled, v...)
	}
	return scaled
}

// stretch maps values from their smallest to their largest to 0 ... 1: (v - min) / (max - min + epsilon), 0 where all are
// the same.
func stretch(values []float32, epsilon float64) []float32 {
	smallest := float64(slices.Min(values))
	span := float64(slices.Max(values)) - smallest
	out := make([]float32, len(values))
	if span == 0 {
		return out
	}
	for i, v := range values {
		out[i] = float32((float64(v) - smallest) / (span + epsilon))
	}
	return out
}

// choose is 1 at the class [batch] of each picture and 0 elsewhere, [batch, class].
func choose(logits, classes *graph.Node) *graph.Node {
	return graph.OneHot(classes, logits.Shape().Dim(1), logits.DType())
}

// gradients are the derivatives of each picture's chosen logit with respect to nodes of the graph. A picture's logits
// depend on nothing of another picture, so their sum has the derivatives of all.
func gradients(logits, chosen *graph.Node, nodes ...*graph.Node) []*graph.Node {
	return graph.Gradient(graph.ReduceAllSum(graph.Mul(logits, chosen)), nodes...)
}

// grid shapes the values [batch, patch] of square pictures as [batch, row, column].
func grid(values *graph.Node) *graph.Node {
	batch, patches := values.Shape().Dim(0), values.Shape().Dim(1)
	side := int(math.Round(math.Sqrt(float64(patches))))
	if side*side != patches {
		panic(fmt.Errorf("%d tokens are not a square grid", patches))
	}
	return graph.Reshape(values, batch, side, side)
}
