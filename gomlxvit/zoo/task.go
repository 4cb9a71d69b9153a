package zoo

import (
	"runtime"
	"sync"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data/scenes"
	"vitdecompose/gomlxvit"
)

// task is what a model is trained for: supervised, contrastive or by
// self-distillation.
type task interface {
	// extra lists the tensors that are trained beside those of the image model.
	extra() []gomlxvit.Param
	// memory is what a step hands on to the next beside weights and moments, as it
	// is before the first step.
	memory(weights []float32) []value
	// draw draws the inputs of a step.
	draw(r *Recipe, step int) []*tensors.Tensor
	// loss builds what a step minimises.
	loss(in lesson) outcome
	// result names the value of the state that is the trained model's weights.
	result() string
	// scored says what the score counts.
	scored() string
	// String says all that determines the training and is not in the [Recipe].
	String() string
}

// lesson is what a task's loss is built from.
type lesson struct {
	weights gomlxvit.WeightMap
	memory  []*graph.Node
	inputs  []*graph.Node
	done    *graph.Node // scalar, the share of the training that is done
	layout  layout
}

// outcome is a task's loss.
type outcome struct {
	loss  *graph.Node // scalar, to minimise
	score *graph.Node // scalar to report: the share of the batch that is right
	// remember builds the memory of the next step from the updated vector of
	// weights; nil without memory.
	remember func(weights *graph.Node) []*graph.Node
}

// memoryless is what tasks embed that remember nothing.
type memoryless struct{}

func (memoryless) memory([]float32) []value { return nil }
func (memoryless) result() string           { return "weights" }

// each calls draw for 0..n-1 on all cores.
func each(n int, draw func(i int)) {
	var wait sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for worker := range workers {
		wait.Go(func() {
			for i := worker; i < n; i += workers {
				draw(i)
			}
		})
	}
	wait.Wait()
}

// pictureBytes is the size of a scene's pixels.
const pictureBytes = scenes.Size * scenes.Size * 3

// ground is the grey of a place that has not faded in yet, figure that of an
// object whose coat has not.
const ground, figure = 128, 240

// fade shows a part of the place, from the grey ground alone at 0 to all of it at
// 1, and so for the coat of the object, from its silhouette on: a form is learnt
// sooner when it stands alone at first.
func fade(s *scenes.Scene, place, coat float64) {
	place, coat = min(max(place, 0), 1), min(max(coat, 0), 1)
	if place == 1 && coat == 1 {
		return
	}
	around, within := int(255*place), int(255*coat)
	for i, covered := range s.Mask {
		inside := int(covered)
		keep := max(inside*within/255, around)
		plain := ground + (figure-ground)*inside*(255-within)/(255*255)
		for c := range 3 {
			p := &s.Pix[3*i+c]
			*p = uint8((int(*p)*keep + plain*(255-keep)) / 255)
		}
	}
}

// visible is how much of the places is seen at a step: it rises from nothing to
// all over the share FadeIn of the training, up to a restart if there is one.
func (r *Recipe) visible(step int) float64 {
	if r.FadeIn == 0 || r.Restart > 0 && step >= r.Restart {
		return 1
	}
	return r.done(step) / r.FadeIn
}
