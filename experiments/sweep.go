package experiments

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"vitdecompose/decompose"
	"vitdecompose/experiments/results"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/statistics"
	"vitdecompose/experiments/study"
)

// A sweep over lambda:
//
//	vitdecompose align --model deit-mini --sweep 0,0.01,0.1,1,10
//
// How near to isometries the maps into CLIP's space are, and what that costs in alignment quality.

// SweepConfig says which alignments are trained.
type SweepConfig struct {
	// Lambdas are the weights of the orthogonality; nil for the session's alone.
	Lambdas []float64 `json:"lambdas" flag:"sweep" min:"0" help:"values of lambda, separated by commas, in place of --lambda"`
	// From is a file with an alignment to begin at; "" for at random.
	From string `json:"from,omitempty" flag:"from" takes:"FILE" help:"an alignment to start from, such as one for another lambda: a few hundred steps are then enough"`
}

func (c *SweepConfig) fill(_ context.Context, s *session.Session) error {
	if s.Options().Aligner != "" {
		return errors.New("option Aligner cannot be used: the alignments are trained here")
	}
	if c.From != "" && len(c.Lambdas) > 1 {
		return errors.New("option From cannot be used with option Lambdas")
	}
	if len(c.Lambdas) == 0 {
		c.Lambdas = []float64{*s.Options().Lambda}
	}
	c.Lambdas = slices.Compact(slices.Sorted(slices.Values(c.Lambdas)))
	return settle(c)
}

// SweepPoint is the alignment at one lambda.
type SweepPoint struct {
	Lambda        float64 `json:"lambda"`
	Steps         int     `json:"steps"`
	Cosine        float64 `json:"cosine_similarity"` // on held-out pictures
	TrainCosine   float64 `json:"train_cosine_similarity"`
	Orthogonality float64 `json:"orthogonality"` // mean over components
	Least         float64 `json:"least_orthogonality"`
	Most          float64 `json:"most_orthogonality"`
}

// SweepCurve is alignment quality and orthogonality against lambda for one model.
type SweepCurve struct {
	Model  string       `json:"model"`
	Points []SweepPoint `json:"points"` // lambda ascending
	// Aligners are the alignments of the points.
	Aligners []*decompose.Aligner `json:"-"`
}

// SweepResult is a sweep over lambda for one or more models.
type SweepResult struct {
	Curves []SweepCurve `json:"curves"`
}

// Sweep trains an aligner for each of several lambdas, and measures it on the pictures.
func Sweep(ctx context.Context, s *session.Session, config SweepConfig) (SweepCurve, error) {
	curve := SweepCurve{Model: s.Name}
	if err := config.fill(ctx, s); err != nil {
		return curve, err
	}
	st, err := s.Study(ctx)
	if err != nil {
		return curve, err
	}
	align := st.Align
	var from *decompose.Aligner
	if config.From != "" {
		if from, align, err = warm(st, config.From, s.Options().AlignEpochs > 0); err != nil {
			return curve, err
		}
	}
	r, err := st.Read(ctx)
	if err != nil {
		return curve, err
	}
	for _, lambda := range config.Lambdas {
		align.Lambda = lambda
		aligner, err := st.AlignmentWith(ctx, align, from)
		if err != nil {
			return curve, err
		}
		if err := r.Through(ctx, aligner); err != nil {
			return curve, err
		}
		train, err := st.TrainCosine(ctx, aligner)
		if err != nil {
			return curve, err
		}
		curve.Aligners = append(curve.Aligners, aligner)
		curve.Points = append(curve.Points, SweepPoint{
			Lambda: lambda, Steps: aligner.Steps, Cosine: statistics.Mean(r.Quality()), TrainCosine: train,
			Orthogonality: statistics.Mean(aligner.Orthogonality), Least: slices.Min(aligner.Orthogonality), Most: slices.Max(aligner.Orthogonality),
		})
	}
	return curve, nil
}

// warm reads the alignment to begin at; training from it takes few steps, unless the epochs are given.
func warm(s *study.Study, file string, epochs bool) (*decompose.Aligner, decompose.AlignConfig, error) {
	origin, err := s.Origin()
	if err != nil {
		return nil, s.Align, err
	}
	from, _, err := decompose.ReadAligner(file, origin)
	if err != nil {
		return nil, s.Align, fmt.Errorf("option From: %w", err)
	}
	if epochs || s.Training == nil {
		return from, s.Align, nil
	}
	return from, s.Align.Warm(s.TrainedOn()), nil
}

// Summary says the quality for each lambda.
func (c SweepCurve) Summary() []string {
	var lines []string
	for _, p := range c.Points {
		lines = append(lines, fmt.Sprintf("lambda %g: cosine similarity %.4f, orthogonality %.2g", p.Lambda, p.Cosine, p.Orthogonality))
	}
	return lines
}

// Table lists the points.
func (r SweepResult) Table() results.Table {
	table := results.Table{Header: []string{"model", "lambda", "steps", "cosine_similarity", "train_cosine_similarity", "orthogonality", "least", "most"}}
	for _, curve := range r.Curves {
		for _, p := range curve.Points {
			table.Rows = append(table.Rows, []string{curve.Model, results.Number(p.Lambda), strconv.Itoa(p.Steps), results.Rounded(p.Cosine), results.Rounded(p.TrainCosine),
				results.Rounded(p.Orthogonality), results.Rounded(p.Least), results.Rounded(p.Most)})
		}
	}
	return table
}

// Aligned is one alignment, with how good it is: a point of a sweep.
type Aligned struct {
	SweepPoint
	Model   string             `json:"-"`
	Aligner *decompose.Aligner `json:"-"`

	origin    decompose.Origin
	trainedOn string
}

// Align trains one alignment, for the session's lambda, and measures it on the pictures.
func Align(ctx context.Context, s *session.Session, config SweepConfig) (Aligned, error) {
	curve, err := Sweep(ctx, s, config)
	if err != nil {
		return Aligned{}, err
	}
	out := Aligned{SweepPoint: curve.Points[0], Model: s.Name, Aligner: curve.Aligners[0]}
	st, err := s.Study(ctx)
	if err != nil {
		return out, err
	}
	if out.origin, err = st.Origin(); err != nil {
		return out, err
	}
	out.trainedOn, err = st.Training.Hash()
	return out, err
}

// WriteFile writes the alignment, for option Aligner and [SweepConfig].From.
func (a Aligned) WriteFile(file string) error {
	return a.Aligner.WriteFile(file, a.origin, a.trainedOn)
}

// Summary says how good the alignment is.
func (a Aligned) Summary() []string {
	return []string{fmt.Sprintf("lambda %g, %d steps on %d pictures; cosine similarity %.4f on held-out pictures, %.4f on its own; orthogonality %.2g (%.2g to %.2g)",
		a.Lambda, a.Steps, a.Aligner.Pictures, a.Cosine, a.TrainCosine, a.Orthogonality, a.Least, a.Most)}
}

// Table lists how far each component's map is from an isometry.
func (a Aligned) Table() results.Table {
	table := results.Table{Header: []string{"component", "orthogonality"}}
	for i, component := range a.Aligner.Components {
		table.Rows = append(table.Rows, []string{component, results.Number(a.Aligner.Orthogonality[i])})
	}
	return table
}
