package zoo

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data/scenes"
	"vitdecompose/gomlxvit"
)

// supervised training minimises the cross entropy of the class. The inputs of a
// step are pixels [batch, height, width, 3] as bytes, labels [batch] and, where
// traits are read out, their labels [batch, trait].
type supervised struct {
	memoryless
	arch      gomlxvit.Architecture
	smoothing float64 // of labels
	sees      scenes.Part
	traits    traitReadouts
	erased    erasing // from the restart on
}

func (s supervised) extra() []gomlxvit.Param { return s.traits.params(s.arch.OutputDim()) }

func (s supervised) String() string {
	return fmt.Sprintf("supervised: cross entropy of the class, label smoothing %v%v%v", s.smoothing, s.traits, s.erased)
}

func (supervised) scored() string { return "of the classes" }

func (s supervised) draw(r *Recipe, step int) []*tensors.Tensor {
	pixels, labels, shown := make([]uint8, r.Batch*pictureBytes), make([]int32, r.Batch), make([]int32, r.Batch*len(traits))
	each(r.Batch, func(i int) {
		scene := scenes.DrawPart(s.sees, scenes.TrainSeeds+r.Seed, uint64(step*r.Batch+i))
		fade(scene, r.visible(step), 1)
		if step >= r.Restart {
			s.erased.hide(scene.Pix, r.Seed, uint64(step*r.Batch+i))
		}
		copy(pixels[i*pictureBytes:], scene.Pix)
		labels[i] = int32(scene.Class)
		s.traits.label(shown[i*len(traits):], scene.Spec, step >= r.Restart)
	})
	inputs := []*tensors.Tensor{
		tensors.FromFlatDataAndDimensions(pixels, r.Batch, scenes.Size, scenes.Size, 3),
		tensors.FromFlatDataAndDimensions(labels, r.Batch),
	}
	if s.traits.weight > 0 {
		inputs = append(inputs, tensors.FromFlatDataAndDimensions(shown, r.Batch, len(traits)))
	}
	return inputs
}

func (s supervised) loss(in lesson) outcome {
	w := batchWeights{WeightMap: in.weights}
	z := s.arch.Representation(w, normalise(in.inputs[0]))
	loss, accuracy := crossEntropy(s.arch.Head(w, z), in.inputs[1], s.smoothing)
	if s.traits.weight > 0 {
		loss = graph.Add(loss, s.traits.loss(in.weights, z, in.inputs[2]))
	}
	return outcome{loss: loss, score: accuracy}
}

// batchWeights are weights whose batch norms take the statistics of the batch,
// and note them where seen is not nil.
type batchWeights struct {
	gomlxvit.WeightMap
	seen map[string][2]*graph.Node
}

// Statistics implements gomlxvit.BatchStatistics.
func (w batchWeights) Statistics(name string, x *graph.Node) (mean, variance *graph.Node) {
	x = graph.Reshape(x, x.Shape().Size()/x.Shape().Dim(-1), x.Shape().Dim(-1))
	mean = graph.ReduceMean(x, 0)
	variance = graph.ReduceMean(graph.Square(graph.Sub(x, graph.InsertAxes(mean, 0))), 0)
	if w.seen != nil {
		w.seen[name] = [2]*graph.Node{mean, variance}
	}
	return mean, variance
}

// crossEntropy is the mean loss of logits [batch, class] against labels [batch]
// with smoothing s: the target has 1-s on the label and s spread over all
// classes. It also returns the share of the batch that is right.
func crossEntropy(logits, labels *graph.Node, smoothing float64) (loss, accuracy *graph.Node) {
	classes := logits.Shape().Dim(1)
	logProbability := graph.LogSoftmax(logits, -1)
	target := graph.OneHot(labels, classes, dtypes.Float32)
	target = graph.AddScalar(graph.MulScalar(target, 1-smoothing), smoothing/float64(classes))
	loss = graph.Neg(graph.ReduceAllMean(graph.ReduceSum(graph.Mul(target, logProbability), -1)))
	right := graph.Equal(graph.ArgMax(logits, -1, labels.DType()), labels)
	return loss, graph.ReduceAllMean(graph.ConvertDType(right, dtypes.Float32))
}
