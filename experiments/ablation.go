package experiments

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit"
)

// Layer ablation, experiment 1 of arXiv 2406.01583:
//
//	vitdecompose run ablation --model deit-mini --data scenes:1000 --out results/ablation
//
// Components are replaced by their mean over the pictures, cumulatively: in layer order from init forward and, apart from
// that, from the last layer back; within a block first the MLP, then the attention, then the convolution. What the model
// still gets right says which layers its representation is made of. The paper finds that the late layers carry nearly
// all: replacing the early ones changes little, replacing the last few destroys the accuracy.
//
// About half a minute for deit-mini and 1000 pictures on 2 cores, 2 minutes for DeiT-B.

// Ablation runs the layer ablation of a model with a head. The extraction's options are set: whole attention layers, and
// each bias with the component it is added to, so that ablating a layer takes its bias along. It also returns the largest
// relative difference between the sum of the components and the representation.
func Ablation(ctx context.Context, e Extraction) (curve AblationCurve, exactness float64, err error) {
	classes := e.Model.Arch.NumClasses()
	if classes == 0 {
		return curve, 0, fmt.Errorf("%s has no classifier head, which the layer ablation measures by", e.Model.Name)
	}
	e.Options = decompose.Options{Split: decompose.Attns, Biases: decompose.BiasesShared}
	e.setDefaults()
	if err := e.checkLabels(classes); err != nil {
		return curve, 0, err
	}
	store, err := e.Extract(ctx)
	if err != nil {
		return curve, 0, err
	}
	defer store.Close()

	// First pass: the mean of every component.
	var names []string
	var sums []float64 // [component, dim]
	pictures, dim, rounding := 0, 0, 0.0
	for chunk, err := range store.Chunks() {
		if err != nil {
			return curve, 0, err
		}
		exactness, rounding = max(exactness, Exactness(chunk)), max(rounding, Rounding(chunk, e.Keep))
		if len(chunk.Index) == 0 {
			continue
		}
		names, dim = chunk.Components, chunk.Dim()
		if sums == nil {
			sums = make([]float64, len(names)*dim)
		}
		for component := range names {
			for i := range chunk.Index {
				for c, v := range chunk.Contributions[(component*len(chunk.Index)+i)*dim:][:dim] {
					sums[component*dim+c] += float64(v)
				}
			}
		}
		pictures += len(chunk.Index)
	}
	if err := e.checkExact(exactness, rounding); err != nil {
		return curve, exactness, err
	}
	if err := e.checkLeftOut(pictures); err != nil {
		return curve, 0, err
	}
	if pictures == 0 {
		return curve, 0, fmt.Errorf("none of the pictures could be read")
	}
	for i := range sums {
		sums[i] /= float64(pictures)
	}

	order := ablationOrder(names)
	curve = AblationCurve{Model: e.Model.Name, FromInit: make([]float64, len(order)+1), FromLast: make([]float64, len(order)+1)}
	for _, component := range order {
		curve.Order = append(curve.Order, names[component])
	}
	back := slices.Clone(order)
	slices.Reverse(back)

	head, err := e.Model.Compile(e.Backend, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		return []*graph.Node{e.Model.Arch.Head(w, in[0])}
	})
	if err != nil {
		return curve, 0, err
	}
	defer head.Close()

	// Second pass: the accuracy at every step in both directions.
	e.Progress.Start("ablating layers", pictures)
	defer e.Progress.Done()
	steps := len(order) + 1
	rows := make([]float32, e.Batch*2*steps*dim) // [picture, direction, step, dim], padded to a whole batch
	labelled := 0
	for chunk, err := range store.Chunks() {
		if err != nil {
			return curve, 0, err
		}
		if err := ctx.Err(); err != nil {
			return curve, 0, err
		}
		for i := range chunk.Index {
			for direction, sequence := range [][]int{order, back} {
				ablateCumulatively(rows[(i*2+direction)*steps*dim:], chunk.Representation[i*dim:][:dim], func(component int) []float32 {
					return chunk.Contributions[(component*len(chunk.Index)+i)*dim:][:dim]
				}, sequence, sums)
			}
		}
		logits, err := headLogits(head, rows, dim)
		if err != nil {
			return curve, 0, err
		}
		for i, index := range chunk.Index {
			label := e.Data.Item(index).Label
			if label < 0 {
				continue
			}
			labelled++
			for direction, accuracy := range [][]float64{curve.FromInit, curve.FromLast} {
				for step := range steps {
					if argmax(logits[((i*2+direction)*steps+step)*classes:][:classes]) == label {
						accuracy[step]++
					}
				}
			}
		}
		e.Progress.Add(len(chunk.Index))
	}
	if labelled == 0 {
		return curve, 0, fmt.Errorf("none of the pictures that could be read has a label")
	}
	for step := range steps {
		curve.FromInit[step] /= float64(labelled)
		curve.FromLast[step] /= float64(labelled)
	}
	curve.Pictures = labelled
	return curve, exactness, nil
}

// checkLabels tells, before anything is computed, whether the accuracy can be counted.
func (e *Extraction) checkLabels(classes int) error {
	labelled := e.Pictures == 0
	for i := range e.Pictures {
		item := e.Data.Item(i)
		if item.Label >= classes {
			return fmt.Errorf("%s has label %d, but %s has only %d classes, counted from 0; check the labels", item.Name, item.Label, e.Model.Name, classes)
		}
		labelled = labelled || item.Label >= 0
	}
	if !labelled {
		return fmt.Errorf("no picture has a label; sort the pictures into a sub-folder for each class or give --labels FILE.csv (columns file,label)")
	}
	return nil
}

// ablateCumulatively writes the representation z [dim] of a picture with 0, 1, 2, ... components of the sequence replaced by
// their means [component, dim]: rows [step, dim]. contribution is what a component adds to z.
func ablateCumulatively(rows, z []float32, contribution func(component int) []float32, sequence []int, means []float64) {
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

// headLogits applies the head to rows [row, dim].
func headLogits(head *gomlxvit.Program, rows []float32, dim int) ([]float32, error) {
	outputs, err := head.Run(tensors.FromFlatDataAndDimensions(rows, len(rows)/dim, dim))
	if err != nil {
		return nil, err
	}
	logits, err := tensors.CopyFlatData[float32](outputs[0])
	if err != nil {
		return nil, err
	}
	return logits, outputs[0].FinalizeAll()
}

// ablationOrder puts the components, given in forward order, into the order of the ablation: init, then in each block
// the MLP, the attention, the convolution. const is not a layer and stays.
func ablationOrder(names []string) []int {
	rank := func(name string) int {
		return slices.IndexFunc([]string{" mlp", " attns", " conv"}, func(part string) bool { return strings.HasSuffix(name, part) })
	}
	var order []int
	for start := 0; start < len(names); {
		end := start + 1
		for end < len(names) && layerOf(names[end]) == layerOf(names[start]) {
			end++
		}
		block := make([]int, 0, end-start)
		for i := start; i < end; i++ {
			if names[i] != string(decompose.Const) {
				block = append(block, i)
			}
		}
		slices.SortStableFunc(block, func(a, b int) int { return rank(names[a]) - rank(names[b]) })
		order = append(order, block...)
		start = end
	}
	return order
}
