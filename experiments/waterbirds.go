package experiments

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"vitdecompose/data"
	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments/heads"
	"vitdecompose/experiments/results"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/statistics"
	"vitdecompose/experiments/study"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/zoo"
)

// Waterbirds, experiment 7 (Table 3) of arXiv 2406.01583:
//
//	vitdecompose run waterbirds --out results/waterbirds
//
// A linear head learns to tell land birds from water birds on pictures in which nine of ten are at the place that fits them,
// and so learns the place too. Components are sorted by the variance attributed to texts about places minus that attributed
// to texts about birds. With the first of them replaced by their mean, the birds in the wrong place are classified better: the
// paper's worst group gains 1 to 24 points.

// WaterbirdsConfig says how it is done. Zero fields stand for the paper's values.
type WaterbirdsConfig struct {
	// Correlated and Uncorrelated are the pictures: of birds at the place that fits most of them, on 80 % of which a head is
	// trained, and of birds at any place.
	Correlated   string `json:"-" flag:"correlated" takes:"PICTURES" default:"scenes-birds:6000:1:correlated" help:"pictures of birds, most of them in the place that fits them; a head is trained on 80 % of these"`
	Uncorrelated string `json:"-" flag:"uncorrelated" takes:"PICTURES" default:"scenes-birds:2000:2:uncorrelated" help:"pictures of birds in any place, such as waterbirds:DIR:test"`
	// Spurious and Core are the texts about what must not tell and what may; without names, those of the list Features.
	Spurious phrases.Feature `json:"spurious"`
	Core     phrases.Feature `json:"core"`
	Features string          `json:"-" flag:"features" takes:"LIST" usual:"waterbirds, or scenes-birds for drawn ones" help:"the two features spurious and core: a shipped list or a file with a line FEATURE: INSTANCE, INSTANCE, ... for each of them"`
	Ablated  int             `json:"ablated" flag:"ablated" usual:"waterbirds 10, causal 5" min:"1" help:"how many components are ablated"` // 0: 10
	Steps    int             `json:"steps"`                                                                                                 // components ablated at the end of the curve; 0: half as many again
	// Bank holds texts for the words of the components ablated; nil for the session's.
	Bank []string `json:"-"`
}

func (c *WaterbirdsConfig) fill(_ context.Context, s *session.Session) error {
	if err := settle(c); err != nil {
		return err
	}
	if c.Ablated == 0 {
		c.Ablated = 10
	}
	if err := c.oneWorld(); err != nil {
		return err
	}
	drawn := session.Drawn(c.Uncorrelated)
	if c.Features == "" {
		if c.Features = "waterbirds"; drawn {
			c.Features = "scenes-birds"
		}
	}
	if c.Spurious.Name == "" {
		features, err := phrases.OpenFeatures(c.Features)
		if err == nil {
			err = c.choose(features)
		}
		if err != nil {
			return fmt.Errorf("option Features: %w", err)
		}
	}
	var err error
	c.Bank, err = s.Bank(c.Bank, c.Uncorrelated)
	return err
}

// choose finds the two features in a list.
func (c *WaterbirdsConfig) choose(features []phrases.Feature) error {
	for _, f := range features {
		switch strings.ToLower(f.Name) {
		case "spurious":
			c.Spurious = f
		case "core":
			c.Core = f
		}
	}
	if c.Spurious.Name == "" || c.Core.Name == "" {
		return errors.New("waterbirds needs two features, spurious and core")
	}
	return nil
}

// open opens the pictures and splits them for training and test.
func (c *WaterbirdsConfig) open(ctx context.Context, s *session.Session) (BirdData, error) {
	correlated, err := s.OpenData(ctx, "Correlated", c.Correlated)
	if err != nil {
		return BirdData{}, err
	}
	uncorrelated, err := s.OpenData(ctx, "Uncorrelated", c.Uncorrelated)
	if err != nil {
		return BirdData{}, err
	}
	birds, err := SplitBirds(correlated, uncorrelated, s.Options().Seed)
	if err != nil {
		return birds, fmt.Errorf("option Correlated %s, option Uncorrelated %s: %w", c.Correlated, c.Uncorrelated, err)
	}
	return birds, nil
}

// head is the model with a head for the two classes: a CLIP's made of words, and for others a linear one, whatever
// head they have.
func (c *WaterbirdsConfig) head(ctx context.Context, s *session.Session, birds BirdData) (*gomlxvit.Model, error) {
	if s.Model.Text == nil {
		headed, _, err := s.Headed(ctx, birds.Train)
		return headed, err
	}
	names := birds.Test.Classes()
	switch {
	case s.Options().ClassNames != "":
		names = s.ClassNames()
	case session.Drawn(c.Uncorrelated):
		names = []string{"finch or hummingbird", "swan or pelican"} // what scenes call them
	}
	return s.ZeroShot(ctx, names)
}

// readsBirds is what Waterbirds needs: a model that is not of the drawn world needs pictures that are not, and both data sets
// are of one world.
func readsBirds(ctx context.Context, s *session.Session, config any) error {
	given, ok := config.(*WaterbirdsConfig)
	if !ok {
		return fmt.Errorf("waterbirds is configured by a %T, not by a %T", given, config)
	}
	c := *given
	if err := settle(&c); err != nil {
		return err
	}
	if err := c.oneWorld(); err != nil {
		return err
	}
	if given.Uncorrelated == "" && !zoo.Has(s.Options().Model) {
		return fmt.Errorf("option Correlated, option Uncorrelated: name the pictures, such as waterbirds:DIR: the drawn birds that are looked at by default are for the shipped models, and %s is not one of them", s.Options().Model)
	}
	return s.CanReadOf(ctx, c.Uncorrelated)
}

// oneWorld refuses drawn birds beside photos.
func (c *WaterbirdsConfig) oneWorld() error {
	if session.Drawn(c.Correlated) != session.Drawn(c.Uncorrelated) {
		return fmt.Errorf("option Correlated %s and option Uncorrelated %s do not belong together; name both", c.Correlated, c.Uncorrelated)
	}
	return nil
}

// BirdData are the pictures of Waterbirds. Their attribute "place" is "land" or "water".
type BirdData struct {
	Train data.Dataset // a head is trained on these: 80 % of the correlated pictures
	Test  data.Dataset // all others, and the uncorrelated ones
}

// The attribute that distinguishes the groups of Waterbirds.
const birdPlace = "place"

// BirdGroup is the pictures of one kind of bird at one kind of place.
type BirdGroup struct {
	Bird     string `json:"bird"`  // landbird or waterbird
	Place    string `json:"place"` // land or water
	Pictures int    `json:"pictures"`
	// Accuracy is the share classified rightly with 0, 1, 2, ... components replaced by their mean, in the order of
	// ModelWaterbirds.Order.
	Accuracy []float64 `json:"accuracy"`
}

// BirdComponent is a component with how it was judged.
type BirdComponent struct {
	Component string `json:"component"`
	// Spurious and Core are the variances attributed to the texts about places and about birds.
	Spurious float64  `json:"spurious"`
	Core     float64  `json:"core"`
	Words    []string `json:"words"` // what TextSpan says of it; nil where it was not asked
}

// ModelWaterbirds is experiment 7 of arXiv 2406.01583 for one model.
type ModelWaterbirds struct {
	Model  string      `json:"model"`
	Groups []BirdGroup `json:"groups"`
	// Order are the components as they are ablated: those first that carry the place more than the bird.
	Order []BirdComponent `json:"order"`
	// Ablated is how many the result is about; the paper's 10.
	Ablated int `json:"ablated"`
}

// WaterbirdsResult is experiment 7 for one model or more.
type WaterbirdsResult struct {
	Models []ModelWaterbirds `json:"models"`
}

// Worst is the accuracy of the worst group with k components ablated.
func (m ModelWaterbirds) Worst(k int) float64 {
	worst := 1.0
	for _, g := range m.Groups {
		worst = min(worst, g.Accuracy[k])
	}
	return worst
}

// Mean is the mean accuracy of the groups with k components ablated, each group counting once.
func (m ModelWaterbirds) Mean(k int) float64 {
	sum := 0.0
	for _, g := range m.Groups {
		sum += g.Accuracy[k]
	}
	return sum / float64(len(m.Groups))
}

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
				return BirdData{}, fmt.Errorf("the place of %s is not known: Waterbirds needs the attribute %q", ds.Item(i).Name, birdPlace)
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

// Waterbirds measures how well a model classifies birds in the wrong place, before and after components are ablated. The
// session's own pictures do not count.
func Waterbirds(ctx context.Context, s *session.Session, config WaterbirdsConfig) (ModelWaterbirds, error) {
	result := ModelWaterbirds{Model: s.Name}
	if err := config.fill(ctx, s); err != nil {
		return result, err
	}
	result.Ablated = config.Ablated
	if config.Steps == 0 {
		config.Steps = result.Ablated + result.Ablated/2
	}
	if config.Steps < result.Ablated {
		return result, fmt.Errorf("%d components cannot be ablated within %d steps", result.Ablated, config.Steps)
	}
	birds, err := config.open(ctx, s)
	if err != nil {
		return result, err
	}
	s.Use(config.Correlated, birds.Train)
	s.Use(config.Uncorrelated, birds.Test)
	st, err := s.StudyOf(ctx, config.Uncorrelated, birds.Test)
	if err != nil {
		return result, err
	}
	if st.Head, err = config.head(ctx, s, birds); err != nil {
		return result, err
	}
	if n := st.Head.Arch.NumClasses(); n != 2 {
		return result, fmt.Errorf("%s has a head of %d classes; Waterbirds has two", s.Name, n)
	}
	r, err := st.Open(ctx)
	if err != nil {
		return result, err
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
	return result, result.measure(ctx, st, r, order)
}

// birdWords is how many texts describe an ablated component.
const birdWords = 5

// describe finds words for the components that the table ablates.
func (m *ModelWaterbirds) describe(ctx context.Context, r *study.Reading, bank []string) error {
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

// measure counts, in each group, the pictures that the head classifies rightly with more and more components ablated.
func (m *ModelWaterbirds) measure(ctx context.Context, s *study.Study, r *study.Reading, order []int) error {
	head, err := heads.Of(s.Backend, s.Headed())
	if err != nil {
		return err
	}
	defer head.Close()
	birds := []string{"landbird", "waterbird"}
	groups := make(map[[2]string]*BirdGroup)
	for _, bird := range birds {
		for _, place := range []string{"land", "water"} {
			groups[[2]string{bird, place}] = &BirdGroup{Bird: bird, Place: place, Accuracy: make([]float64, len(order)+1)}
		}
	}
	means := heads.Means(&r.Contributions)
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
			return fmt.Errorf("%s is in the place %q; Waterbirds knows land and water", r.Data.Item(index).Name, place)
		}
		heads.Ablate(rows, r.Representation[position*r.Dim:][:r.Dim], func(component int) []float32 {
			return r.Row(component, position)
		}, order, means)
		logits, err := head.Logits(rows)
		if err != nil {
			return err
		}
		group.Pictures++
		for step := range group.Accuracy {
			if statistics.Argmax(logits[2*step:][:2]) == label {
				group.Accuracy[step]++
			}
		}
	}
	for _, bird := range birds {
		for _, place := range []string{"land", "water"} {
			group := groups[[2]string{bird, place}]
			if group.Pictures == 0 {
				return errors.New("there is no picture of a " + bird + " on " + place)
			}
			for step := range group.Accuracy {
				group.Accuracy[step] /= float64(group.Pictures)
			}
			m.Groups = append(m.Groups, *group)
		}
	}
	return nil
}

// Summary says what ablating has changed.
func (m ModelWaterbirds) Summary() []string {
	return []string{fmt.Sprintf("worst group %.3f -> %.3f, mean of groups %.3f -> %.3f with %d components ablated", m.Worst(0), m.Worst(m.Ablated), m.Mean(0), m.Mean(m.Ablated), m.Ablated)}
}

// Table is Table 3, the groups beside it.
func (r WaterbirdsResult) Table() results.Table {
	table := results.Table{Header: []string{"model", "group", "pictures", "ablated", "before", "after"}}
	for _, m := range r.Models {
		row := func(name string, pictures int, before, after float64) {
			table.Rows = append(table.Rows, []string{m.Model, name, strconv.Itoa(pictures), strconv.Itoa(m.Ablated), results.Rounded(before), results.Rounded(after)})
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

// Tables are the components that were ablated.
func (r WaterbirdsResult) Tables() map[string]results.Table {
	return map[string]results.Table{"components.csv": r.Components()}
}

// Components lists what was ablated, with its words.
func (r WaterbirdsResult) Components() results.Table {
	table := results.Table{Header: []string{"model", "rank", "component", "spurious", "core", "words"}}
	for _, m := range r.Models {
		for i, c := range m.Order[:m.Ablated] {
			table.Rows = append(table.Rows, []string{m.Model, strconv.Itoa(i + 1), c.Component, results.Rounded(c.Spurious), results.Rounded(c.Core), strings.Join(c.Words, "; ")})
		}
	}
	return table
}
