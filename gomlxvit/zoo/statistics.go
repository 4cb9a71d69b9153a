package zoo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data/scenes"
	"vitdecompose/gomlxvit"
)

// settleBatches is how many batches the statistics of batch norms are the mean
// of.
const settleBatches = 100

// settle puts into the finished weights the statistics that batch norms take
// outside of training: means over batches of what the finished model sees, which
// is closer than an average that runs along with training (Wu and Johnson 2021,
// arXiv 2105.07576). Without batch norms it does nothing.
func (r *Recipe) settle(ctx context.Context, backend compute.Backend, l layout, weights []float32) error {
	if !slices.ContainsFunc(l.params, func(p gomlxvit.Param) bool { return strings.HasSuffix(p.Name, gomlxvit.RunningMean) }) {
		return nil
	}
	var names []string // of the norms, in the order of the outputs
	program, err := gomlxvit.NewProgram(backend, "statistics", func(in []*graph.Node) []*graph.Node {
		_, byName := l.nodes(in[0])
		w := batchWeights{byName, map[string][2]*graph.Node{}}
		r.Arch.Representation(w, normalise(in[1]))
		names = slices.Sorted(maps.Keys(w.seen))
		var outputs []*graph.Node
		for _, name := range names {
			mean, variance := w.seen[name][0], w.seen[name][1]
			outputs = append(outputs, mean, graph.Add(variance, graph.Square(mean)))
		}
		return outputs
	})
	if err != nil {
		return err
	}
	defer program.Close()
	var sums [][]float32
	for batch := range settleBatches {
		if err := ctx.Err(); err != nil {
			return err
		}
		pixels := make([]uint8, r.Batch*pictureBytes)
		each(r.Batch, func(i int) { // behind the scenes of the last step
			copy(pixels[i*pictureBytes:], scenes.Draw(scenes.TrainSeeds+r.Seed, uint64((r.Steps+batch)*r.Batch+i)).Pix)
		})
		outputs, err := program.Run(tensors.FromFlatDataAndDimensions(weights, len(weights)),
			tensors.FromFlatDataAndDimensions(pixels, r.Batch, scenes.Size, scenes.Size, 3))
		if err != nil {
			return err
		}
		if sums == nil {
			sums = make([][]float32, len(outputs))
		}
		for i, output := range outputs {
			values, err := tensors.CopyFlatData[float32](output)
			if err != nil {
				return fmt.Errorf("statistics: %w", err)
			}
			if sums[i] == nil {
				sums[i] = make([]float32, len(values))
			}
			for k, v := range values {
				sums[i][k] += v / settleBatches
			}
		}
	}
	places := map[string][]float32{}
	for i, p := range l.params {
		places[p.Name] = l.part(weights, i)
	}
	for i, name := range names {
		means, squares := sums[2*i], sums[2*i+1]
		copy(places[name+gomlxvit.RunningMean], means)
		for k := range means { // over all batches, so the means' differences count too
			places[name+gomlxvit.RunningVariance][k] = max(squares[k]-means[k]*means[k], 0)
		}
	}
	return nil
}
