package zoo

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/data/scenes"
	"vitdecompose/gomlxvit"
)

// trait is what a scene shows beside its class. The classes of photographs have
// colours, surfaces and places of their own, so a model that learns them learns
// these too; those of scenes have none, and a model that learns them alone forgets
// the rest.
type trait struct {
	name  string
	words []string
	of    func(scenes.Spec) string
}

var traits = []trait{
	{"colour", scenes.Colours, func(s scenes.Spec) string { return s.Colour }},
	{"pattern", scenes.Patterns, func(s scenes.Spec) string { return s.Pattern }},
	{"place", scenes.Places, func(s scenes.Spec) string { return s.Place }},
	{"shape", scenes.Shapes, func(s scenes.Spec) string { return s.Shape }},
}

// traitReadouts are linear read-outs of the traits from the representation, trained
// along with the model from its recipe's restart on, and not stored with it. Their
// loss is the mean cross entropy of a trait, times weight; at weight 0 there are
// none.
type traitReadouts struct{ weight float64 }

func (t traitReadouts) String() string {
	if t.weight == 0 {
		return ""
	}
	return fmt.Sprintf("; read-outs of traits from the restart on, weight %v", t.weight)
}

func (t traitReadouts) words() int {
	n := 0
	for _, trait := range traits {
		n += len(trait.words)
	}
	return n
}

// params are the read-outs' tensors for a representation of dim channels.
func (t traitReadouts) params(dim int) []gomlxvit.Param {
	if t.weight == 0 {
		return nil
	}
	return []gomlxvit.Param{{Name: "traits.weight", Dims: []int{t.words(), dim}}, {Name: "traits.bias", Dims: []int{t.words()}}}
}

// label writes the index of each trait's word, -1 for a trait that the scene does
// not have or that is not learnt yet.
func (t traitReadouts) label(labels []int32, s scenes.Spec, learnt bool) {
	for i, trait := range traits {
		labels[i] = -1
		if learnt {
			labels[i] = int32(slices.Index(trait.words, trait.of(s)))
		}
	}
}

// loss is that of the read-outs of z [batch, dim] against labels [batch, trait].
func (t traitReadouts) loss(w gomlxvit.WeightMap, z, labels *graph.Node) *graph.Node {
	logits := graph.Einsum("bd,cd->bc", z, w.Get("traits.weight"))
	logits = graph.Add(logits, graph.InsertAxes(w.Get("traits.bias"), 0))
	total := graph.ScalarZero(z.Graph(), dtypes.Float32)
	at := 0
	for i, trait := range traits {
		logProbability := graph.LogSoftmax(graph.SliceAxis(logits, 1, graph.AxisRange(at, at+len(trait.words))), -1)
		at += len(trait.words)
		label := graph.Squeeze(graph.SliceAxis(labels, 1, graph.AxisElem(i)), 1)
		target := graph.OneHot(label, len(trait.words), dtypes.Float32) // a row of zeros for -1
		known := graph.MaxScalar(graph.ReduceAllSum(target), 1)
		total = graph.Sub(total, graph.Div(graph.ReduceAllSum(graph.Mul(target, logProbability)), known))
	}
	return graph.MulScalar(total, t.weight/float64(len(traits)))
}
