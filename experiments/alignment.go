package experiments

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit"
)

// Alignment quality, experiment 8 (Table 1) of arXiv 2406.01583:
//
//	vitdecompose run alignment --out results/alignment
//
// Three ways into CLIP's space are compared: one map for the representation, a map for each component (CompAlign with lambda
// 0), and maps held near isometries (lambda 1). Two measures: the cosine with CLIP's own embedding of held-out pictures,
// which the free maps are made for; and whether a component is described alike by TextSpan with the class names' texts
// through the alignment, and with the directions in which the model's own head reads the classes. The paper finds that
// lambda 1 costs a little cosine and describes components best.
//
// About half a minute for a model of the zoo on 2 cores.

// AlignmentConfig says how alignments are compared. Zero fields stand for the paper's values.
type AlignmentConfig struct {
	// Lambdas are compared beside the one map; nil for 0 and 1.
	Lambdas []float64 `json:"lambdas"`
	// Components is how many of those that matter most are described; 0: 10.
	Components int `json:"components"`
	// Texts is how many texts describe a component; 0: 10, but no more than a quarter of the classes, for among few classes
	// any two choices of many match.
	Texts int `json:"texts"`
	// Bank holds texts to describe the components by in the end, for people to read.
	Bank []string `json:"bank,omitempty"`
}

// CompareAlignments measures the alignment quality for a study of a model with a head and class names.
func CompareAlignments(ctx context.Context, s *Study, config AlignmentConfig) (AlignmentModel, error) {
	result := AlignmentModel{Model: s.Model.Name}
	model := s.headed()
	classes := model.Arch.NumClasses()
	switch {
	case classes < 4 || len(model.ClassNames) != classes:
		return result, fmt.Errorf("%s has a head of %d classes and %d class names; descriptions through its own head need four classes or more with their names", model.Name, classes, len(model.ClassNames))
	case config.Components < 0 || config.Texts < 0 || config.Texts > classes:
		return result, fmt.Errorf("%d components cannot be described by %d of %d classes", config.Components, config.Texts, classes)
	}
	if config.Components == 0 {
		config.Components = 10
	}
	if config.Texts == 0 {
		config.Texts = min(10, classes/4)
	}
	if config.Lambdas == nil {
		config.Lambdas = []float64{0, 1}
	}
	r, err := s.Read(ctx)
	if err != nil {
		return result, err
	}
	defer r.Close()
	result.HeldOut = r.Pictures
	if err := result.describe(ctx, s, r, config); err != nil {
		return result, err
	}
	classNames, err := r.Phrases(ctx, model.ClassNames)
	if err != nil {
		return result, fmt.Errorf("%s: class names: %w", s.Model.Name, err)
	}
	methods, err := s.methods(ctx, r.Components, config.Lambdas)
	if err != nil {
		return result, err
	}
	for _, method := range methods {
		row := AlignmentMethod{Name: method.name, Chance: float64(config.Texts) / float64(classes)}
		if method.aligner != nil {
			if err := r.Through(ctx, method.aligner); err != nil {
				return result, err
			}
			row.Orthogonality = mean(r.Aligner.Orthogonality)
			result.Trained = r.Aligner.Pictures
		}
		row.Cosine = mean(r.Quality())
		row.Distance = 1 - row.Cosine
		for i := range result.Components {
			described := &result.Components[i]
			texts, err := span(r.Aligned, described.Component, classNames, model.ClassNames, config.Texts)
			if err != nil {
				return result, fmt.Errorf("%s, %s: %w", s.Model.Name, method.name, err)
			}
			described.ByMethod = append(described.ByMethod, texts)
			row.MatchRate += matchRate(described.ThroughHead, texts, config.Texts) / float64(len(result.Components))
		}
		result.Methods = append(result.Methods, row)
	}
	if len(config.Bank) == 0 {
		return result, nil
	}
	bank, err := r.Texts(ctx, config.Bank)
	if err != nil {
		return result, fmt.Errorf("text bank: %w", err)
	}
	for i := range result.Components {
		described := &result.Components[i]
		if described.Texts, err = span(r.Aligned, described.Component, bank, config.Bank, bankTexts); err != nil {
			return result, fmt.Errorf("%s: %w", s.Model.Name, err)
		}
	}
	return result, nil
}

// bankTexts is how many texts of a bank describe a component.
const bankTexts = 10

// alignMethod is one way into CLIP's space.
type alignMethod struct {
	name    string
	aligner *decompose.Aligner // nil for a CLIP
}

// methods trains the ways that are compared. A CLIP has one, which is to do nothing.
func (s *Study) methods(ctx context.Context, components []string, lambdas []float64) ([]alignMethod, error) {
	if s.identity() {
		return []alignMethod{{name: "identity"}}, nil
	}
	base := s.Align
	defer func() { s.Align = base }()
	s.Align.Lambda = 0
	one, err := s.OneMap(ctx)
	if err != nil {
		return nil, err
	}
	methods := []alignMethod{{"one map", one.Spread(components)}}
	for _, lambda := range lambdas {
		s.Align.Lambda = lambda
		a, err := s.Alignment(ctx)
		if err != nil {
			return nil, err
		}
		methods = append(methods, alignMethod{"lambda " + number(lambda), a})
	}
	return methods, nil
}

// describe finds the components that matter most and what the model's own head says of them.
func (m *AlignmentModel) describe(ctx context.Context, s *Study, r *Reading, config AlignmentConfig) error {
	head, err := newHead(s)
	if err != nil {
		return err
	}
	defer head.program.Close()
	importance, err := head.importance(ctx, r.Parts)
	if err != nil {
		return err
	}
	directions, err := head.directions(r.Parts)
	if err != nil {
		return err
	}
	most := decompose.Order(importance)
	for _, component := range most[:min(config.Components, len(most))] {
		texts, err := span(&r.Contributions, r.Components[component], directions, head.model.ClassNames, config.Texts)
		if err != nil {
			return err
		}
		m.Components = append(m.Components, DescribedComponent{
			Component: r.Components[component], Importance: importance[component], ThroughHead: texts,
		})
	}
	return nil
}

// span describes a component by the texts of a bank [text, dim].
func span(c *decompose.Contributions, component string, bank []float32, texts []string, count int) ([]string, error) {
	found, err := decompose.TextSpan(c.Of(slices.Index(c.Components, component)), c.Dim, bank, decompose.TextSpanOptions{Texts: count})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", component, err)
	}
	out := []string{}
	for _, description := range found {
		out = append(out, texts[description.Text])
	}
	return out, nil
}

// matchRate is the share of count that two lists have in common.
func matchRate(a, b []string, count int) float64 {
	common := 0
	for _, text := range a {
		if slices.Contains(b, text) {
			common++
		}
	}
	return float64(common) / float64(count)
}

// head applies a model's head to representations.
type head struct {
	model   *gomlxvit.Model
	program *gomlxvit.Program
}

func newHead(s *Study) (*head, error) {
	model := s.headed()
	program, err := model.Compile(s.Backend, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		return []*graph.Node{model.Arch.Head(w, in[0])}
	})
	return &head{model, program}, err
}

// importance is the loss that replacing a component by its mean over the pictures adds: the mean cross entropy with the
// class that the model takes, so that no labels are needed.
func (h *head) importance(ctx context.Context, p *Parts) ([]float64, error) {
	dim, classes, n := p.Dim, h.model.Arch.NumClasses(), len(p.Components)
	means := componentMeans(&p.Contributions)
	const batch = 8
	added := make([]float64, n)
	rows := make([]float32, batch*(n+1)*dim)
	for first := 0; first < p.Pictures; first += batch {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		count := min(batch, p.Pictures-first)
		for k := range count {
			z := p.Representation[(first+k)*dim:][:dim]
			at := rows[k*(n+1)*dim:]
			copy(at, z)
			for i := range n {
				own := p.Row(i, first+k)
				for d := range dim {
					at[(i+1)*dim+d] = float32(float64(z[d]) - float64(own[d]) + means[i*dim+d])
				}
			}
		}
		logits, err := headLogits(h.program, rows, dim)
		if err != nil {
			return nil, err
		}
		for k := range count {
			at := logits[k*(n+1)*classes:]
			class := argmax(at[:classes])
			if class < 0 {
				return nil, errors.New("the head gives no number")
			}
			whole := crossEntropy(at[:classes], class)
			for i := range n {
				added[i] += (crossEntropy(at[(i+1)*classes:][:classes], class) - whole) / float64(p.Pictures)
			}
		}
	}
	return added, nil
}

// componentMeans are the means over the pictures [component, dim].
func componentMeans(c *decompose.Contributions) []float64 {
	means := make([]float64, len(c.Components)*c.Dim)
	for i := range c.Components {
		for picture := range c.Pictures {
			for d, v := range c.Row(i, picture) {
				means[i*c.Dim+d] += float64(v) / float64(c.Pictures)
			}
		}
	}
	return means
}

// crossEntropy is -log softmax(logits)[class].
func crossEntropy(logits []float32, class int) float64 {
	most := float64(slices.Max(logits))
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - most)
	}
	return math.Log(sum) + most - float64(logits[class])
}

// directions are the directions of the representation along which the logits of the classes rise, unit rows [class, dim]:
// the rows of a linear head's weight. A head that is not linear (MaxViT's, CLIP's cosine) is linearised at the mean
// representation, by differences over a tenth of each channel's deviation to both sides.
func (h *head) directions(p *Parts) ([]float32, error) {
	dim, classes := p.Dim, h.model.Arch.NumClasses()
	centre, deviation := make([]float64, dim), 0.0
	for i, v := range p.Representation {
		centre[i%dim] += float64(v) / float64(p.Pictures)
	}
	for i, v := range p.Representation {
		deviation += math.Pow(float64(v)-centre[i%dim], 2) / float64(len(p.Representation))
	}
	step := 0.1 * math.Sqrt(deviation)
	if !(step > 0) {
		return nil, errors.New("all pictures have the same representation")
	}
	rows := make([]float32, 2*dim*dim) // [dim, side, dim]
	for d := range 2 * dim {
		for c, v := range centre {
			rows[d*dim+c] = float32(v)
		}
		rows[d*dim+d/2] += float32(step * float64(2*(d%2)-1))
	}
	logits, err := headLogits(h.program, rows, dim)
	if err != nil {
		return nil, err
	}
	out := make([]float32, classes*dim)
	for d := range dim {
		for c := range classes {
			out[c*dim+d] = logits[(2*d+1)*classes+c] - logits[2*d*classes+c]
		}
	}
	return unitOrZero(out, dim), nil
}

// Table is Table 1.
func (r AlignmentResult) Table() Table {
	table := Table{Header: []string{"model", "trained_on", "held_out", "method", "cosine_similarity", "cosine_distance", "orthogonality", "match_rate", "chance"}}
	for _, model := range r.Models {
		for _, m := range model.Methods {
			table.Rows = append(table.Rows, []string{model.Model, strconv.Itoa(model.Trained), strconv.Itoa(model.HeldOut), m.Name,
				rounded(m.Cosine), rounded(m.Distance), rounded(m.Orthogonality), rounded(m.MatchRate), rounded(m.Chance)})
		}
	}
	return table
}

// Descriptions lists the components that matter most with the texts that describe them.
func (r AlignmentResult) Descriptions() Table {
	table := Table{Header: []string{"model", "component", "importance", "through_head", "through_alignment", "texts"}}
	for _, model := range r.Models {
		for _, c := range model.Components {
			last := c.ByMethod[len(c.ByMethod)-1]
			table.Rows = append(table.Rows, []string{model.Model, c.Component, rounded(c.Importance),
				strings.Join(c.ThroughHead, "; "), strings.Join(last, "; "), strings.Join(c.Texts, "; ")})
		}
	}
	return table
}

// Sweep trains an aligner for each of several lambdas, and measures it on the study's pictures.
func Sweep(ctx context.Context, s *Study, lambdas []float64) (SweepCurve, error) {
	curve := SweepCurve{Model: s.Model.Name}
	if len(lambdas) == 0 {
		return curve, errors.New("a sweep needs values of lambda")
	}
	lambdas = slices.Clone(lambdas)
	slices.Sort(lambdas)
	r, err := s.Read(ctx)
	if err != nil {
		return curve, err
	}
	defer r.Close()
	base := s.Align
	defer func() { s.Align = base }()
	for _, lambda := range slices.Compact(lambdas) {
		s.Align.Lambda = lambda
		aligner, err := s.Alignment(ctx)
		if err != nil {
			return curve, err
		}
		if err := r.Through(ctx, aligner); err != nil {
			return curve, err
		}
		train, err := s.trainCosine(ctx, aligner)
		if err != nil {
			return curve, err
		}
		curve.Points = append(curve.Points, SweepPoint{
			Lambda: lambda, Steps: aligner.Steps, Cosine: mean(r.Quality()), TrainCosine: train,
			Orthogonality: mean(aligner.Orthogonality), Least: slices.Min(aligner.Orthogonality), Most: slices.Max(aligner.Orthogonality),
		})
	}
	return curve, nil
}

// trainCosine is the mean cosine similarity on the pictures that an aligner was trained on.
func (s *Study) trainCosine(ctx context.Context, a *decompose.Aligner) (float64, error) {
	pairs, err := s.trainingPairs(ctx)
	if err != nil {
		return 0, err
	}
	if pairs.disk != nil {
		cosines, err := pairs.disk.cosines(ctx, s.Backend, a, pairs.targets)
		return mean(cosines), err
	}
	mapped, err := a.Map(ctx, s.Backend, &pairs.parts.Contributions)
	if err != nil {
		return 0, err
	}
	return mean(decompose.Cosines(mapped.Sum(upTo(len(mapped.Components))), pairs.targets, mapped.Dim)), nil
}

// Table lists the points.
func (r SweepResult) Table() Table {
	table := Table{Header: []string{"model", "lambda", "steps", "cosine_similarity", "train_cosine_similarity", "orthogonality", "least", "most"}}
	for _, curve := range r.Curves {
		for _, p := range curve.Points {
			table.Rows = append(table.Rows, []string{curve.Model, number(p.Lambda), strconv.Itoa(p.Steps), rounded(p.Cosine), rounded(p.TrainCosine),
				rounded(p.Orthogonality), rounded(p.Least), rounded(p.Most)})
		}
	}
	return table
}

// OrthogonalityTable lists how far each component's map is from an isometry.
func OrthogonalityTable(a *decompose.Aligner) Table {
	table := Table{Header: []string{"component", "orthogonality"}}
	for i, component := range a.Components {
		table.Rows = append(table.Rows, []string{component, number(a.Orthogonality[i])})
	}
	return table
}
