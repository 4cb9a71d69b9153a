package experiments

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/compute"

	"vitdecompose/decompose"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/heads"
	"vitdecompose/experiments/results"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/statistics"
	"vitdecompose/experiments/study"
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
	// Lambdas are compared beside the one map; nil for 0 and the session's.
	Lambdas []float64 `json:"lambdas"`
	// Components is how many of those that matter most are described; 0: 10.
	Components int `json:"components" flag:"described" default:"10" min:"1" help:"how many of the components that matter most are described"`
	// Texts is how many texts describe a component; 0: 10, but no more than a quarter of the classes, for among few classes
	// any two choices of many match.
	Texts int `json:"texts" flag:"texts" min:"1" usual:"10, or a quarter of the classes" help:"how many texts describe a component"`
	// Bank holds texts to describe the components by in the end, for people to read; nil for the session's.
	Bank []string `json:"-"`
}

func (c *AlignmentConfig) fill(_ context.Context, s *session.Session) (err error) {
	if s.Options().Aligner != "" {
		return errors.New("option Aligner cannot be used: this experiment trains the alignments that it compares")
	}
	if c.Lambdas == nil {
		c.Lambdas = []float64{0}
		if lambda := *s.Options().Lambda; lambda != 0 {
			c.Lambdas = append(c.Lambdas, lambda)
		}
	}
	c.Bank, err = s.Bank(c.Bank, s.Options().Data)
	return errors.Join(err, settle(c))
}

// AlignmentMethod is how well one way of aligning does.
type AlignmentMethod struct {
	// Name is "one map", "lambda 0", "lambda 1" and so on; "identity" of a CLIP, which needs no alignment.
	Name string `json:"name"`
	// Cosine is the mean cosine similarity of aligned representation and CLIP's embedding on held-out pictures, and
	// Distance is 1 - Cosine.
	Cosine   float64 `json:"cosine_similarity"`
	Distance float64 `json:"cosine_distance"`
	// Orthogonality is the mean over components of the mean over entries of (W'W - I)^2, times the dimension.
	Orthogonality float64 `json:"orthogonality"`
	// MatchRate is the share of the texts that describe a component through the alignment that also describe it through
	// the model's own head, mean over the components that matter most. Chance is what drawing texts would give.
	MatchRate float64 `json:"match_rate"`
	Chance    float64 `json:"chance"`
}

// DescribedComponent is a component and the texts that TextSpan finds for it, strongest first.
type DescribedComponent struct {
	Component string `json:"component"`
	// Importance is the loss (cross entropy) that replacing the component by its mean adds.
	Importance float64 `json:"importance"`
	// ThroughHead are class names by the model's own head, ByMethod by each method of ModelAlignment.Methods.
	ThroughHead []string   `json:"through_head"`
	ByMethod    [][]string `json:"by_method"`
	// Texts are descriptions from the whole text bank by the last method.
	Texts []string `json:"texts"`
}

// ModelAlignment is the alignment quality of one model.
type ModelAlignment struct {
	Model      string               `json:"model"`
	Trained    int                  `json:"trained_on"` // pictures
	HeldOut    int                  `json:"held_out"`   // pictures
	Methods    []AlignmentMethod    `json:"methods"`
	Components []DescribedComponent `json:"components"` // those that matter most
}

// AlignmentResult is the alignment quality (experiment 8, Table 1) of one or more models.
type AlignmentResult struct {
	Models []ModelAlignment `json:"models"`
}

// CompareAlignments measures the alignment quality of a model with a head and class names.
func CompareAlignments(ctx context.Context, s *session.Session, config AlignmentConfig) (ModelAlignment, error) {
	result := ModelAlignment{Model: s.Name}
	if err := config.fill(ctx, s); err != nil {
		return result, err
	}
	model, err := s.Classifier(ctx)
	if err != nil {
		return result, err
	}
	classes := model.Arch.NumClasses()
	switch {
	case classes < 4 || len(model.ClassNames) != classes:
		return result, fmt.Errorf("%s has a head of %d classes and %d class names; descriptions through its own head need four classes or more with their names", model.Name, classes, len(model.ClassNames))
	case config.Texts > classes:
		return result, fmt.Errorf("option Texts: %d class names cannot be chosen from %d classes", config.Texts, classes)
	}
	if config.Texts == 0 {
		config.Texts = min(10, classes/4)
	}
	st, err := s.Study(ctx)
	if err != nil {
		return result, err
	}
	r, err := st.Read(ctx)
	if err != nil {
		return result, err
	}
	result.HeldOut = r.Pictures
	if err := result.describe(ctx, st.Backend, model, r, config); err != nil {
		return result, err
	}
	classNames, err := r.Phrases(ctx, model.ClassNames)
	if err != nil {
		return result, fmt.Errorf("%s: class names: %w", s.Model.Name, err)
	}
	methods, err := alignMethods(ctx, st, r.Components, config.Lambdas)
	if err != nil {
		return result, err
	}
	for _, method := range methods {
		row := AlignmentMethod{Name: method.name, Chance: float64(config.Texts) / float64(classes)}
		if method.aligner != nil {
			if err := r.Through(ctx, method.aligner); err != nil {
				return result, err
			}
			row.Orthogonality = statistics.Mean(r.Aligner.Orthogonality)
			result.Trained = r.Aligner.Pictures
		}
		row.Cosine = statistics.Mean(r.Quality())
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

// alignMethods trains the ways that are compared. A CLIP has one, which is to do nothing.
func alignMethods(ctx context.Context, s *study.Study, components []string, lambdas []float64) ([]alignMethod, error) {
	if s.IsCLIP() {
		return []alignMethod{{name: "identity"}}, nil
	}
	one, err := s.OneMap(ctx)
	if err != nil {
		return nil, err
	}
	methods := []alignMethod{{"one map", one.Spread(components)}}
	for _, lambda := range lambdas {
		config := s.Align
		config.Lambda = lambda
		a, err := s.AlignmentWith(ctx, config, nil)
		if err != nil {
			return nil, err
		}
		methods = append(methods, alignMethod{"lambda " + results.Number(lambda), a})
	}
	return methods, nil
}

// describe finds the components that matter most and what the model's own head says of them.
func (m *ModelAlignment) describe(ctx context.Context, backend compute.Backend, model *gomlxvit.Model, r *study.Reading, config AlignmentConfig) error {
	head, err := heads.Of(backend, model)
	if err != nil {
		return err
	}
	defer head.Close()
	importance, err := importanceOf(ctx, head, r.Parts)
	if err != nil {
		return err
	}
	directions, err := directionsOf(head, r.Parts)
	if err != nil {
		return err
	}
	most := decompose.Order(importance)
	for _, component := range most[:min(config.Components, len(most))] {
		texts, err := span(&r.Contributions, r.Components[component], directions, model.ClassNames, config.Texts)
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

// importanceOf is the loss that replacing a component by its mean over the pictures adds: the mean cross entropy with the
// class that the model takes, so that no labels are needed.
func importanceOf(ctx context.Context, h *heads.Head, p *extraction.Parts) ([]float64, error) {
	dim, classes, n := p.Dim, h.Model.Arch.NumClasses(), len(p.Components)
	means := heads.Means(&p.Contributions)
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
		logits, err := h.Logits(rows)
		if err != nil {
			return nil, err
		}
		for k := range count {
			at := logits[k*(n+1)*classes:]
			class := statistics.Argmax(at[:classes])
			if class < 0 {
				return nil, errors.New("the head gives no logits")
			}
			whole := heads.CrossEntropy(at[:classes], class)
			for i := range n {
				added[i] += (heads.CrossEntropy(at[(i+1)*classes:][:classes], class) - whole) / float64(p.Pictures)
			}
		}
	}
	return added, nil
}

// directionsOf are the directions of the representation along which the logits of the classes rise, unit rows [class, dim]:
// the rows of a linear head's weight. A head that is not linear (MaxViT's, CLIP's cosine) is linearised at the mean
// representation, by differences over a tenth of each channel's deviation to both sides.
func directionsOf(h *heads.Head, p *extraction.Parts) ([]float32, error) {
	dim, classes := p.Dim, h.Model.Arch.NumClasses()
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
	logits, err := h.Logits(rows)
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

// Summary says how well each way does.
func (m ModelAlignment) Summary() []string {
	var lines []string
	for _, method := range m.Methods {
		lines = append(lines, fmt.Sprintf("%s: cosine similarity %.3f, match rate %.2f (chance %.2f)", method.Name, method.Cosine, method.MatchRate, method.Chance))
	}
	return lines
}

// Table is Table 1.
func (r AlignmentResult) Table() results.Table {
	table := results.Table{Header: []string{"model", "trained_on", "held_out", "method", "cosine_similarity", "cosine_distance", "orthogonality", "match_rate", "chance"}}
	for _, model := range r.Models {
		for _, m := range model.Methods {
			table.Rows = append(table.Rows, []string{model.Model, strconv.Itoa(model.Trained), strconv.Itoa(model.HeldOut), m.Name,
				results.Rounded(m.Cosine), results.Rounded(m.Distance), results.Rounded(m.Orthogonality), results.Rounded(m.MatchRate), results.Rounded(m.Chance)})
		}
	}
	return table
}

// Tables are the descriptions of components.
func (r AlignmentResult) Tables() map[string]results.Table {
	return map[string]results.Table{"descriptions.csv": r.Descriptions()}
}

// Descriptions lists the components that matter most with the texts that describe them.
func (r AlignmentResult) Descriptions() results.Table {
	table := results.Table{Header: []string{"model", "component", "importance", "through_head", "through_alignment", "texts"}}
	for _, model := range r.Models {
		for _, c := range model.Components {
			last := c.ByMethod[len(c.ByMethod)-1]
			table.Rows = append(table.Rows, []string{model.Model, c.Component, results.Rounded(c.Importance),
				strings.Join(c.ThroughHead, "; "), strings.Join(last, "; "), strings.Join(c.Texts, "; ")})
		}
	}
	return table
}
