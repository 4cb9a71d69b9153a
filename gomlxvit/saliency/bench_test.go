package saliency

import (
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
)

// The benchmarks run DeiT-B on 4 pictures of 224 x 224, on the default backend.
const (
	benchName  = "deit_base_patch16_224"
	benchBatch = 4
)

// benchModel is the model with random weights, and its pictures.
func benchModel(b *testing.B) (compute.Backend, *gomlxvit.Model, *tensors.Tensor) {
	on, err := backend.Open("")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(on.Finalize)
	model, err := gomlxvit.Random(benchName, 1)
	if err != nil {
		b.Fatal(err)
	}
	return on, model, noise(model, benchBatch)
}

// BenchmarkForward is what the two methods are to be compared with: the logits in float32.
func BenchmarkForward(b *testing.B) {
	on, model, pixels := benchModel(b)
	program, err := model.Compile(on, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		return []*graph.Node{model.Arch.Head(w, model.Arch.Representation(w, in[0]))}
	})
	if err != nil {
		b.Fatal(err)
	}
	defer program.Close()
	forward := func() {
		outputs, err := program.Run(pixels)
		if err != nil {
			b.Fatal(err)
		}
		tensors.MustCopyFlatData[float32](outputs[0])
	}
	forward() // compiles
	for b.Loop() {
		forward()
	}
	b.ReportMetric(float64(b.N*benchBatch)/b.Elapsed().Seconds(), "pictures/s")
}

func BenchmarkGradCAM(b *testing.B) { benchmark(b, GradCAM) }
func BenchmarkChefer(b *testing.B)  { benchmark(b, Chefer) }

func benchmark(b *testing.B, method Method) {
	on, model, pixels := benchModel(b)
	s := prepared(b, on, model, method)
	chosen := make([]int, benchBatch)
	run(b, s, pixels, chosen) // compiles
	for b.Loop() {
		run(b, s, pixels, chosen)
	}
	b.ReportMetric(float64(b.N*benchBatch)/b.Elapsed().Seconds(), "pictures/s")
}
