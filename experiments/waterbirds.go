package experiments

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/data"
	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
	"vitdecompose/gomlxvit"
)

// Waterbirds, experiment 7 (Table 3) of arXiv 2406.01583:
//
//	vitdecompose run waterbirds --out results/waterbirds
//
// A linear head learns to tell land birds from water birds on pictures in which nine of ten are at the place that fits them,
// and so learns the place too. Components are sorted by the variance attributed to texts about places minus that attributed
// to texts about birds. With the first of them replaced by their mean, the birds at the wrong place are told better: the
// paper's worst group gains 1 to 24 points.

// WaterbirdsConfig says how it is done. Zero fields stand for the paper's values.
type WaterbirdsConfig struct {
	// Spurious and Core are the texts about what must not tell and what may.
	Spurious phrases.Feature `json:"spurious"`
	Core     phrases.Feature `json:"core"`
	Ablated  int             `json:"ablated"` // components ablated in the table; 0: 10
	Steps    int             `json:"steps"`   // components ablated at the end of the curve; 0: half as many again
	// Bank holds texts for the words of the components ablated; nil for no words.
	Bank []string `json:"-"`
}

// BirdData are the pictures of Waterbirds. Their attribute "place" is "land" or "water".
type BirdData struct {
	Train data.Dataset // a head is trained on these: 80 % of the correlated pictures
	Test  data.Dataset // all others, and the uncorrelated ones
}

// The attribute that the groups of Waterbirds are told apart by.
const birdPlace = "place"

// SplitBirds takes 80 % of the correlated pictures, drawn by a seed, for training, and puts the rest before the uncorrelated
// ones for the test.
func SplitBirds(correlated, uncorrelated data.Dataset, seed uint64) (BirdData, error) {
	for _, ds := range []data.Dataset{correlated, uncorrelated} {
		if !slices.Equal(ds.Classes(), correlated.Classes()) || len(ds.Classes()) != 2 {
			return BirdData{}, fmt.Errorf("the pictures must be of two classes, of landbird and waterbird, the same in both data sets, not %s and %s",
				strings.Join(correlated.Classes(), ", "), strings.Join(uncorrelated.Classes(), ", "))
		}
		for i := range ds.Len() {
			if place := data.Attributes(ds, i)[birdPlace]; place == "" {
				return BirdData{}, fmt.Errorf("nothing is known of the place of %s: Waterbirds needs the attribute %q", ds.Item(i).Name, birdPlace)
			}
		}
	}
	n := correlated.Len()
	order := data.Permutation(n, seed)
	train := order[:n*4/5]
	slices.Sort(train)
	rest := order[n*4/5:]
	slices.Sort(rest)
	test, err := data.Concat(data.Subset(correlated, rest), uncorrelated)
	return BirdData{Train: data.Subset(correlated, train), Test: test}, err
}

// Waterbirds measures a study whose Data is the test set, and whose model, or Head, tells the two classes.
func Waterbirds(ctx context.Context, s *Study, config WaterbirdsConfig) (WaterbirdsModel, error) {
	result := WaterbirdsModel{Model: s.Model.Name, Ablated: config.Ablated}
	if result.Ablated == 0 {
		result.Ablated = 10
	}
	if config.Steps == 0 {
		config.Steps = result.Ablated + result.Ablated/2
	}
	if n := s.headed().Arch.NumClasses(); n != 2 {
		return result, fmt.Errorf("%s has a head of %d classes; Waterbirds has two", s.Model.Name, n)
	}
	r, err := s.Open(ctx)
	if err != nil {
		return result, err
	}
	defer r.Close()
	if config.Steps < result.Ablated || result.Ablated < 1 {
		return result, fmt.Errorf("%d components cannot be ablated on the way to %d", result.Ablated, config.Steps)
	}
	config.Steps = min(config.Steps, len(r.Components))
	result.Ablated = min(result.Ablated, config.Steps)
	attribution, err := r.Attribute(ctx, []phrases.Feature{config.Spurious, config.Core})
	if err != nil {
		return result, err
	}
	spurious, core := attribution.Attributed[0], attribution.Attributed[1]
	margin := make([]float64, len(spurious))
	for i := range margin {
		margin[i] = spurious[i] - core[i]
	}
	order := decompose.Order(margin)[:config.Steps]
	for _, component := range order {
		result.Order = append(result.Order, BirdComponent{Component: r.Components[component], Spurious: spurious[component], Core: core[component]})
	}
	if err := result.describe(ctx, r, config.Bank); err != nil {
		return result, err
	}
	return result, result.measure(ctx, s, r, order)
}

// birdWords is how many texts describe an ablated component.
const birdWords = 5

// describe finds words for the components that the table ablates.
func (m *WaterbirdsModel) describe(ctx context.Context, r *Reading, bank []string) error {
	if len(bank) == 0 {
		return nil
	}
	embeddings, err := r.Texts(ctx, bank)
	if err != nil {
		return fmt.Errorf("text bank: %w", err)
	}
	for i := range m.Order[:m.Ablated] {
		if m.Order[i].Words, err = span(r.Aligned, m.Order[i].Component, embeddings, bank, birdWords); err != nil {
			return fmt.Errorf("%s: %w", r.Model, err)
		}
	}
	return nil
}

// measure counts, in each group, the pictures that the head tells rightly with more and more components ablated.
func (m *WaterbirdsModel) measure(ctx context.Context, s *Study, r *Reading, order []int) error {
	model := s.headed()
	program, err := model.Compile(s.Backend, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		return []*graph.Node{model.Arch.Head(w, in[0])}
	})
	if err != nil {
		return err
	}
	defer program.Close()
	birds := []string{"landbird", "waterbird"}
	groups := make(map[[2]string]*BirdGroup)
	for _, bird := range birds {
		for _, place := range []string{"land", "water"} {
			groups[[2]string{bird, place}] = &BirdGroup{Bird: bird, Place: place, Accuracy: make([]float64, len(order)+1)}
		}
	}
	means := componentMeans(&r.Contributions)
	rows := make([]float32, (len(order)+1)*r.Dim)
	for position, index := range r.Index {
		if err := ctx.Err(); err != nil {
			return err
		}
		label := r.Data.Item(index).Label
		if label != 0 && label != 1 {
			continue
		}
		place := data.Attributes(r.Data, index)[birdPlace]
		group := groups[[2]string{birds[label], place}]
		if group == nil {
			return fmt.Errorf("%s is at the place %q; Waterbirds has land and water", r.Data.Item(index).Name, place)
		}
		ablateCumulatively(rows, r.Representation[position*r.Dim:][:r.Dim], func(component int) []float32 {
			return r.Row(component, position)
		}, order, means)
		logits, err := headLogits(program, rows, r.Dim)
		if err != nil {
			return err
		}
		group.Pictures++
		for step := range group.Accuracy {
			if argmax(logits[2*step:][:2]) == label {
				group.Accuracy[step]++
			}
		}
	}
	for _, bird := range birds {
		for _, place := range []string{"land", "water"} {
			group := groups[[2]string{bird, place}]
			if group.Pictures == 0 {
				return errors.New("there is no picture of a " + bird + " at the " + place)
			}
			for step := range group.Accuracy {
				group.Accuracy[step] /= float64(group.Pictures)
			}
			m.Groups = append(m.Groups, *group)
		}
	}
	return nil
}

// Table is Table 3, the groups beside it.
func (r WaterbirdsResult) Table() Table {
	table := Table{Header: []string{"model", "group", "pictures", "ablated", "before", "after"}}
	for _, m := range r.Models {
		row := func(name string, pictures int, before, after float64) {
			table.Rows = append(table.Rows, []string{m.Model, name, strconv.Itoa(pictures), strconv.Itoa(m.Ablated), rounded(before), rounded(after)})
		}
		pictures := 0
		for _, g := range m.Groups {
			row(g.Bird+" on "+g.Place, g.Pictures, g.Accuracy[0], g.Accuracy[m.Ablated])
			pictures += g.Pictures
		}
		row("worst group", pictures, m.Worst(0), m.Worst(m.Ablated))
		row("mean of groups", pictures, m.Mean(0), m.Mean(m.Ablated))
	}
	return table
}

// Components lists what was ablated, with its words.
func (r WaterbirdsResult) Components() Table {
	table := Table{Header: []string{"model", "rank", "component", "spurious", "core", "words"}}
	for _, m := range r.Models {
		for i, c := range m.Order[:m.Ablated] {
			table.Rows = append(table.Rows, []string{m.Model, strconv.Itoa(i + 1), c.Component, rounded(c.Spurious), rounded(c.Core), strings.Join(c.Words, "; ")})
		}
	}
	return table
}
