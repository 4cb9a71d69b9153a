package experiments

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"vitdecompose/data/counted"
	"vitdecompose/decompose"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/heads"
	"vitdecompose/experiments/results"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/statistics"
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

// AblationCurve is what one model loses as its components are replaced, one after the other, by their mean over the
// pictures. An accuracy is a share of the pictures, 0 to 1.
type AblationCurve struct {
	// Model is the name the model goes by.
	Model string `json:"model"`
	// Pictures is how many pictures the accuracies are over.
	Pictures int `json:"pictures"`
	// Order names the components in the order of the ablation from init forward; the ablation from the last layer
	// back takes the same list from its end.
	Order []string `json:"order"`
	// FromInit and FromLast are the accuracies, [len(Order)+1]: entry k has k components ablated, entry 0 none.
	FromInit []float64 `json:"from_init"`
	FromLast []float64 `json:"from_last"`
	// Chance is the accuracy of classes drawn at random, 1 by their number; 0 where that is not known.
	Chance float64 `json:"chance,omitempty"`
	// RelativeDepth is whether figures count layers as shares of all, so that models of different depth compare.
	RelativeDepth bool `json:"relative_depth,omitempty"`
	// Exactness is the largest difference between the sum of the components and the representation, relative to the
	// representation.
	Exactness float64 `json:"-"`
}

// AblationResult is the layer ablation (experiment 1) of one or more models.
type AblationResult struct {
	Curves []AblationCurve `json:"curves"`
}

// Check returns what is missing in the curve, if anything: it must have a component at least, and accuracies between
// 0 and 1, one more than components.
func (c AblationCurve) Check() error {
	if len(c.Order) == 0 {
		return fmt.Errorf("ablation of %q: no components", c.Model)
	}
	if !(c.Chance >= 0 && c.Chance <= 1) {
		return fmt.Errorf("ablation of %q: chance %v is not between 0 and 1", c.Model, c.Chance)
	}
	for _, direction := range []struct {
		name     string
		accuracy []float64
	}{{"from_init", c.FromInit}, {"from_last", c.FromLast}} {
		if got, want := len(direction.accuracy), len(c.Order)+1; got != want {
			return fmt.Errorf("ablation of %q: %d accuracies %s for %d components, want %d", c.Model, got, direction.name, len(c.Order), want)
		}
		for k, accuracy := range direction.accuracy {
			if !(accuracy >= 0 && accuracy <= 1) {
				return fmt.Errorf("ablation of %q: accuracy %v with %d components ablated (%s) is not between 0 and 1", c.Model, accuracy, k, direction.name)
			}
		}
	}
	return nil
}

// Layers returns how many layers are ablated at each entry of FromInit: [len(Order)+1], from 0 on. The components of
// a layer ("layer:07, mlp" and "layer:07, attns") count for equal parts of it, and a component that belongs to no
// layer ("init") for one. So models with different components in a layer share an axis.
func (c AblationCurve) Layers() []float64 {
	return layersAblated(c.Order)
}

// LayersBack is [AblationCurve.Layers] for FromLast.
func (c AblationCurve) LayersBack() []float64 {
	order := slices.Clone(c.Order)
	slices.Reverse(order)
	return layersAblated(order)
}

func layersAblated(order []string) []float64 {
	components, err := decompose.ParseComponents(order)
	if err != nil { // foreign names: each stands for itself
		components = make([]decompose.Component, len(order))
	}
	ablated := make([]float64, 1, len(order)+1)
	for whole := 0; len(components) > 0; whole++ {
		parts := 1 // how many components the next layer has: they come together
		for err == nil && parts < len(components) && components[parts].SameBlock(components[0]) {
			parts++
		}
		for part := 1; part <= parts; part++ {
			ablated = append(ablated, float64(whole)+float64(part)/float64(parts))
		}
		components = components[parts:]
	}
	return ablated
}

// Summary says the result in a line.
func (c AblationCurve) Summary() []string {
	return []string{fmt.Sprintf("%s, accuracy %.1f %%; |sum of components - representation| is at most %.1e of the representation", counted.Of(c.Pictures, "picture"), 100*c.FromInit[0], c.Exactness)}
}

// Table lists every accuracy with what was ablated last before it.
func (r AblationResult) Table() results.Table {
	table := results.Table{Header: []string{"model", "pictures", "direction", "components_ablated", "layers_ablated", "last_ablated", "accuracy"}}
	for _, curve := range r.Curves {
		back := slices.Clone(curve.Order)
		slices.Reverse(back)
		for _, direction := range []struct {
			name             string
			order            []string
			layers, accuracy []float64
		}{
			{"from_init", curve.Order, curve.Layers(), curve.FromInit},
			{"from_last", back, curve.LayersBack(), curve.FromLast},
		} {
			for k, accuracy := range direction.accuracy {
				last := ""
				if k > 0 {
					last = direction.order[k-1]
				}
				table.Rows = append(table.Rows, []string{curve.Model, strconv.Itoa(curve.Pictures), direction.name,
					strconv.Itoa(k), results.Number(direction.layers[k]), last, results.Number(accuracy)})
			}
		}
	}
	return table
}

// AblationConfig says how the layer ablation is drawn; it changes no number.
type AblationConfig struct {
	RelativeDepth bool `json:"relative_depth,omitempty" flag:"relative-depth" help:"count the layers in the figure as shares of a model's, so that models of different depth compare"`
}

func (c *AblationConfig) fill(context.Context, *session.Session) error { return nil }

// Ablation runs the layer ablation of a model with a head: whole attention layers, and each bias with the component it is
// added to, so that ablating a layer takes its bias along.
func Ablation(ctx context.Context, s *session.Session, config AblationConfig) (AblationCurve, error) {
	curve := AblationCurve{Model: s.Name, RelativeDepth: config.RelativeDepth}
	e, err := s.Classified(ctx)
	if err != nil {
		return curve, err
	}
	classes := e.Model.Arch.NumClasses()
	if classes > 0 {
		curve.Chance = 1 / float64(classes)
	}
	e.Options = decompose.Options{Split: decompose.Attns, Biases: decompose.BiasesShared}
	e.SetDefaults()
	if err := e.CheckLabels(classes); err != nil {
		return curve, err
	}
	store, err := e.Extract(ctx)
	if err != nil {
		return curve, err
	}
	defer store.Close()

	// First pass: the mean of every component.
	var names []string
	var sums []float64 // [component, dim]
	pictures, dim, exactness, rounding := 0, 0, 0.0, 0.0
	for chunk, err := range store.Chunks() {
		if err != nil {
			return curve, err
		}
		exactness, rounding = max(exactness, extraction.Exactness(chunk)), max(rounding, extraction.Rounding(chunk, e.Keep))
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
	if err := e.CheckExact(exactness, rounding); err != nil {
		return curve, err
	}
	if err := e.CheckLeftOut(pictures); err != nil {
		return curve, err
	}
	if pictures == 0 {
		return curve, fmt.Errorf("none of the pictures could be read")
	}
	for i := range sums {
		sums[i] /= float64(pictures)
	}

	order, err := ablationOrder(names)
	if err != nil {
		return curve, fmt.Errorf("%s: %w", s.Name, err)
	}
	curve.FromInit, curve.FromLast, curve.Exactness = make([]float64, len(order)+1), make([]float64, len(order)+1), exactness
	for _, component := range order {
		curve.Order = append(curve.Order, names[component])
	}
	back := slices.Clone(order)
	slices.Reverse(back)

	head, err := heads.Of(e.Backend, e.Model)
	if err != nil {
		return curve, err
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
			return curve, err
		}
		if err := ctx.Err(); err != nil {
			return curve, err
		}
		for i := range chunk.Index {
			for direction, sequence := range [][]int{order, back} {
				heads.Ablate(rows[(i*2+direction)*steps*dim:], chunk.Representation[i*dim:][:dim], func(component int) []float32 {
					return chunk.Contributions[(component*len(chunk.Index)+i)*dim:][:dim]
				}, sequence, sums)
			}
		}
		logits, err := head.Logits(rows)
		if err != nil {
			return curve, err
		}
		for i, index := range chunk.Index {
			label := e.Data.Item(index).Label
			if label < 0 {
				continue
			}
			labelled++
			for direction, accuracy := range [][]float64{curve.FromInit, curve.FromLast} {
				for step := range steps {
					if statistics.Argmax(logits[((i*2+direction)*steps+step)*classes:][:classes]) == label {
						accuracy[step]++
					}
				}
			}
		}
		e.Progress.Add(len(chunk.Index))
	}
	if labelled == 0 {
		return curve, fmt.Errorf("none of the pictures that could be read has a label")
	}
	for step := range steps {
		curve.FromInit[step] /= float64(labelled)
		curve.FromLast[step] /= float64(labelled)
	}
	curve.Pictures = labelled
	return curve, curve.Check()
}

// ablationOrder puts the components, given in forward order, into the order of the ablation: init, then in each block
// the MLP, the attention, the convolution. const is not a layer and stays.
func ablationOrder(names []string) ([]int, error) {
	components, err := decompose.ParseComponents(names)
	if err != nil {
		return nil, err
	}
	var order []int
	for start := 0; start < len(components); {
		end := start
		var block []int
		for ; end < len(components) && components[end].SameBlock(components[start]); end++ {
			if components[end].Kind != decompose.Const {
				block = append(block, end)
			}
		}
		slices.SortStableFunc(block, func(a, b int) int { return components[a].CompareAblation(components[b]) })
		order = append(order, block...)
		start = end
	}
	return order, nil
}
