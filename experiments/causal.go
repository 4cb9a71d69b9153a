package experiments

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"vitdecompose/data"
	"vitdecompose/data/progress"
	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/heads"
	"vitdecompose/experiments/results"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/statistics"
	"vitdecompose/experiments/study"
)

// A causal test of attributions, which the paper does not have:
//
//	vitdecompose run causal --out results/causal
//
// An attribution says which components carry a feature. If it is right, the feature can no longer be read from the
// representation when they are ablated, while others still can. Linear read-outs are trained on the representation, one a
// feature, on pictures whose truth is known. Then the components that come first for a feature are replaced by their mean,
// and every read-out is tested again. Read-outs are not equally easy to disturb, so a loss in accuracy is compared with the
// losses of the same read-out when random sets of as many components are ablated: it counts in their standard deviations
// from their mean. The score is this feature's standardised loss minus the mean of the others', and p is the probability
// that a random set scores at least as high. Everything is repeated over seeds of the alignment, the read-outs and the
// random sets.
//
// About half a minute for a model of the zoo on 2 cores.

// CausalConfig says what is ablated. Zero fields stand for the values in their comments.
type CausalConfig struct {
	Features []phrases.Feature `json:"features"`                                                                                              // those that the data knows nothing about are an error
	Ablated  int               `json:"ablated" flag:"ablated" usual:"waterbirds 10, causal 5" min:"1" help:"how many components are ablated"` // 0: 5
	Order    CausalOrder       `json:"order" flag:"order" default:"share" oneof:"share|correlation" help:"what causal ranks components by: their share of the variance along a feature, or correlation, the paper's variance attributed"`
	Seeds    int               `json:"seeds" flag:"seeds" default:"5" min:"1" help:"how many times everything is repeated, with seeds counted from --seed"`
	Draws    int               `json:"draws" flag:"draws" default:"400" min:"1" help:"random sets of components for each seed"`
}

func (c *CausalConfig) fill(_ context.Context, s *session.Session) (err error) {
	c.Features, err = s.Features(c.Features, "scenes", "scenes")
	if c.Ablated == 0 {
		c.Ablated = 5
	}
	if err == nil && len(c.Features) < 2 {
		err = errors.New("the causal test compares features: give two or more")
	}
	return errors.Join(err, settle(c))
}

// CausalOrder is what components are ranked by.
type CausalOrder string

// The orders.
const (
	// ByShare ranks by the share of the variance of the whole representation along the feature ([study.Reading.Shares]).
	ByShare CausalOrder = "share"
	// ByCorrelation ranks by the paper's variance attributed. It does not know how much a component says: one that says
	// little, in step with the others, can come first, and little is lost with it.
	ByCorrelation CausalOrder = "correlation"
)

// ReadoutLoss is what a linear read-out of one feature loses, in accuracy between 0 and 1.
type ReadoutLoss struct {
	Feature string              `json:"feature"`
	Loss    statistics.Interval `json:"loss"` // over seeds
}

// CausalFeature is the causal score of the attribution of one feature.
type CausalFeature struct {
	Feature string `json:"feature"`
	// Accuracy of the read-out of this feature with nothing ablated, mean over seeds; Chance is that of its most
	// frequent value.
	Accuracy float64 `json:"accuracy"`
	Chance   float64 `json:"chance"`
	// Components are those ranked first for the feature, of the first seed.
	Components []string `json:"components"`
	// Losses are what each read-out loses when they are ablated, this feature's among them.
	Losses []ReadoutLoss `json:"losses"`
	// Score is the loss of this feature's read-out minus the mean loss of the others', each in standard deviations of the
	// same read-out's losses with random sets, over seeds.
	Score statistics.Interval `json:"score"`
	// Random is the same score for random sets of as many components, over the draws of all seeds: mean and the range
	// that 95 % of the draws lie in.
	Random statistics.Interval `json:"random"`
	// P is the probability that a random set scores at least as high.
	P float64 `json:"p"`
}

// ModelCausalTest is the causal test of one model's attribution.
type ModelCausalTest struct {
	Model    string          `json:"model"`
	Pictures int             `json:"pictures"`
	Ablated  int             `json:"ablated"` // components at a time
	Seeds    int             `json:"seeds"`
	Draws    int             `json:"draws"` // random sets, all seeds together
	Features []CausalFeature `json:"features"`
}

// CausalResult is the causal test of attributions, which the paper does not have, for one or more models.
type CausalResult struct {
	Models []ModelCausalTest `json:"models"`
}

// score scores components by the order: [feature][component].
func (o CausalOrder) score(ctx context.Context, r *study.Reading, features []phrases.Feature) ([][]float64, error) {
	if o == ByShare {
		return r.Shares(ctx, features)
	}
	attribution, err := r.Attribute(ctx, features)
	if err != nil {
		return nil, err
	}
	return attribution.Attributed, nil
}

// Causal tests the attributions of a model. The pictures that the alignment is trained on are also what the read-outs are
// trained on.
func Causal(ctx context.Context, s *session.Session, config CausalConfig) (ModelCausalTest, error) {
	result := ModelCausalTest{Model: s.Name}
	if err := config.fill(ctx, s); err != nil {
		return result, err
	}
	st, err := s.Study(ctx)
	if err != nil {
		return result, err
	}
	r, err := st.Read(ctx)
	if err != nil {
		return result, err
	}
	if config.Ablated >= len(r.Components) {
		return result, fmt.Errorf("option Ablated: %d components cannot be ablated, because %s has %d and some must be left", config.Ablated, s.Name, len(r.Components))
	}
	if st.Training != nil {
		s.Use(s.Options().AlignData, st.Training)
	}
	training, err := st.TrainingRepresentations(ctx)
	if err != nil {
		return result, err
	}
	means := heads.Means(&r.Contributions)
	tally := make([]causalTally, len(config.Features))
	for seed := range config.Seeds {
		align := st.Align
		align.Seed += uint64(seed)
		if !st.IsCLIP() {
			aligner, err := st.AlignmentWith(ctx, align, nil)
			if err != nil {
				return result, err
			}
			if err := r.Through(ctx, aligner); err != nil {
				return result, err
			}
		}
		scores, err := config.Order.score(ctx, r, config.Features)
		if err != nil {
			return result, err
		}
		readouts := make([]*readout, len(config.Features))
		st.Progress.Start(fmt.Sprintf("training read-outs, seed %d of %d", seed+1, config.Seeds), len(config.Features))
		for f, feature := range config.Features {
			if readouts[f], err = newReadout(ctx, st, training, r, means, feature, align.Seed); err != nil {
				return result, err
			}
			st.Progress.Add(1)
		}
		st.Progress.Done()
		rng := rand.New(rand.NewPCG(align.Seed, causalStream))
		random := make([][]float64, config.Draws) // [draw][feature]
		for draw := range random {
			random[draw] = losses(readouts, rng.Perm(len(r.Components))[:config.Ablated])
		}
		for f := range config.Features {
			first := decompose.Order(scores[f])[:config.Ablated]
			if seed == 0 {
				tally[f].components = at(r.Components, first)
			}
			tally[f].add(f, readouts[f], losses(readouts, first), random)
		}
	}
	result.Pictures, result.Ablated, result.Seeds, result.Draws = r.Pictures, config.Ablated, config.Seeds, config.Seeds*config.Draws
	for f := range config.Features {
		result.Features = append(result.Features, tally[f].sum(config.Features, f))
	}
	return result, nil
}

// causalStream sets the random sets apart from other random numbers of the same seed.
const causalStream = 0xca05a1

// causalTally gathers the numbers of one feature over the seeds.
type causalTally struct {
	components       []string
	accuracy, chance float64
	losses           [][]float64 // [seed][feature]
	scores, random   []float64   // of the attribution [seed], of random sets [seed and draw]
	atLeast          int         // random sets that score at least what the attribution of their seed does
}

// add takes in a seed: what the read-outs lose [feature] when the feature's components are ablated, and when random sets
// are [draw][feature].
func (t *causalTally) add(feature int, own *readout, lost []float64, random [][]float64) {
	t.accuracy += own.whole
	t.chance = own.chance()
	t.losses = append(t.losses, lost)
	standardise := standardiser(random)
	score := specific(standardise(lost), feature)
	t.scores = append(t.scores, score)
	for _, draw := range random {
		other := specific(standardise(draw), feature)
		t.random = append(t.random, other)
		if other >= score {
			t.atLeast++
		}
	}
}

// standardiser returns the function that measures losses [feature] in standard deviations of random sets' losses [draw]
// [feature] from their mean. A read-out that no random set disturbs has deviation 0 and a standardised loss of 0.
func standardiser(random [][]float64) func([]float64) []float64 {
	n := float64(len(random))
	centre, deviation := make([]float64, len(random[0])), make([]float64, len(random[0]))
	for _, draw := range random {
		for f, loss := range draw {
			centre[f] += loss / n
		}
	}
	for _, draw := range random {
		for f, loss := range draw {
			deviation[f] += (loss - centre[f]) * (loss - centre[f]) / n
		}
	}
	return func(losses []float64) []float64 {
		out := make([]float64, len(losses))
		for f, loss := range losses {
			if deviation[f] > 0 {
				out[f] = (loss - centre[f]) / math.Sqrt(deviation[f])
			}
		}
		return out
	}
}

// specific is what one feature loses minus what the others lose on average, both standardised.
func specific(losses []float64, feature int) float64 {
	others := 0.0
	for f, loss := range losses {
		if f != feature {
			others += loss / float64(len(losses)-1)
		}
	}
	return losses[feature] - others
}

func (t *causalTally) sum(features []phrases.Feature, f int) CausalFeature {
	out := CausalFeature{
		Feature: features[f].Name, Accuracy: t.accuracy / float64(len(t.scores)), Chance: t.chance, Components: t.components,
		Score: statistics.Confidence(t.scores), Random: statistics.Spread(t.random), P: float64(1+t.atLeast) / float64(1+len(t.random)),
	}
	for other, feature := range features {
		var lost []float64
		for _, seed := range t.losses {
			lost = append(lost, seed[other])
		}
		out.Losses = append(out.Losses, ReadoutLoss{feature.Name, statistics.Confidence(lost)})
	}
	return out
}

// readout reads one feature from representations, linearly: what every component adds to its logits, on the pictures whose
// value is known.
type readout struct {
	truth  []int     // index of the value [picture]
	logits []float64 // with nothing ablated [picture, value]
	// change is what replacing a component by its mean adds [component][picture, value].
	change [][]float64
	values int
	whole  float64 // accuracy with nothing ablated
}

// newReadout trains the read-out of a feature on some pictures, and applies it to those of the reading, whose components have
// these means [component, dim].
func newReadout(ctx context.Context, s *study.Study, training *extraction.Parts, r *study.Reading, means []float64, feature phrases.Feature, seed uint64) (*readout, error) {
	index := make(map[string]int) // of the values, in the feature's order
	for _, instance := range feature.Instances {
		if value := phrases.Value(feature.Name, instance); index[value] == 0 {
			index[value] = len(index) + 1
		}
	}
	label := func(ds data.Dataset, picture int) int { return index[data.Attributes(ds, picture)[feature.Name]] - 1 }
	var rows []float32
	var labels []int32
	for i, picture := range training.Index {
		if l := label(s.Training, picture); l >= 0 {
			rows, labels = append(rows, training.Representation[i*training.Dim:][:training.Dim]...), append(labels, int32(l))
		}
	}
	out := &readout{values: len(index)}
	var known []int
	for i, picture := range r.Index {
		if l := label(r.Data, picture); l >= 0 {
			known, out.truth = append(known, i), append(out.truth, l)
		}
	}
	if len(labels) == 0 || len(known) == 0 {
		return nil, fmt.Errorf("feature %s: the truth is known for %d pictures to train on and %d to test on, and both are needed", feature.Name, len(labels), len(known))
	}

	// Channels of like size are learnt at like speed, so they are standardised first.
	centre, scale := standard(rows, training.Dim)
	for i := range rows {
		rows[i] = float32((float64(rows[i]) - centre[i%training.Dim]) / scale[i%training.Dim])
	}
	weight, bias, _, err := heads.Fit(ctx, s.Backend, rows, labels, len(index), readoutConfig(len(labels), seed), progress.Silent)
	if err != nil {
		return nil, fmt.Errorf("feature %s: read-out: %w", feature.Name, err)
	}
	apply := func(row []float32, minus []float64) []float64 {
		logits := make([]float64, len(index))
		for v := range logits {
			for d, x := range row {
				logits[v] += (float64(x) - minus[d]) / scale[d] * float64(weight[v*len(row)+d])
			}
		}
		return logits
	}
	for _, i := range known {
		for v, logit := range apply(r.Representation[i*r.Dim:][:r.Dim], centre) {
			out.logits = append(out.logits, logit+float64(bias[v]))
		}
	}
	for component := range r.Components {
		var change []float64
		for _, i := range known {
			for _, logit := range apply(r.Row(component, i), means[component*r.Dim:][:r.Dim]) {
				change = append(change, -logit)
			}
		}
		out.change = append(out.change, change)
	}
	out.whole = out.accuracy(nil)
	return out, nil
}

// readoutConfig trains a read-out on that many pictures for ten epochs, or for at least 1000 steps.
func readoutConfig(pictures int, seed uint64) heads.Config {
	const batch, steps = 64, 1000
	perEpoch := (pictures + batch - 1) / batch
	return heads.Config{Epochs: max(10, (steps+perEpoch-1)/perEpoch), LearningRate: 3e-3, Batch: batch, Seed: seed}
}

// standard is the mean and the deviation of each channel of rows [row, dim]; a channel that does not vary has deviation 1.
func standard(rows []float32, dim int) (centre, scale []float64) {
	centre, scale = make([]float64, dim), make([]float64, dim)
	n := float64(len(rows) / dim)
	for i, v := range rows {
		centre[i%dim] += float64(v) / n
	}
	for i, v := range rows {
		scale[i%dim] += math.Pow(float64(v)-centre[i%dim], 2) / n
	}
	for d, v := range scale {
		if scale[d] = math.Sqrt(v); v == 0 {
			scale[d] = 1
		}
	}
	return centre, scale
}

// accuracy is the share read right with some components ablated.
func (o *readout) accuracy(ablated []int) float64 {
	right := 0
	logits := make([]float64, o.values)
	for i, truth := range o.truth {
		copy(logits, o.logits[i*o.values:])
		for _, component := range ablated {
			for v, change := range o.change[component][i*o.values:][:o.values] {
				logits[v] += change
			}
		}
		best := 0
		for v, logit := range logits {
			if logit > logits[best] {
				best = v
			}
		}
		if best == truth {
			right++
		}
	}
	return float64(right) / float64(len(o.truth))
}

// chance is the accuracy of always taking the most frequent value.
func (o *readout) chance() float64 {
	count := make([]int, o.values)
	for _, truth := range o.truth {
		count[truth]++
	}
	return float64(slices.Max(count)) / float64(len(o.truth))
}

// losses are what the read-outs lose in accuracy when some components are ablated.
func losses(readouts []*readout, ablated []int) []float64 {
	out := make([]float64, len(readouts))
	for f, readout := range readouts {
		out[f] = readout.whole - readout.accuracy(ablated)
	}
	return out
}

// Summary says the score of each feature.
func (m ModelCausalTest) Summary() []string {
	var lines []string
	for _, f := range m.Features {
		lines = append(lines, fmt.Sprintf("%s: causal score %.2f standard deviations of random sets (p = %.2g)", f.Feature, f.Score.Mean, f.P))
	}
	return lines
}

// Table lists scores and losses.
func (r CausalResult) Table() results.Table {
	table := results.Table{Header: []string{"model", "feature", "accuracy", "chance", "components", "score", "low", "high", "random", "random_low", "random_high", "p", "losses"}}
	for _, model := range r.Models {
		for _, f := range model.Features {
			var lost []string
			for _, loss := range f.Losses {
				lost = append(lost, loss.Feature+" "+results.Rounded(loss.Loss.Mean))
			}
			table.Rows = append(table.Rows, []string{model.Model, f.Feature, results.Rounded(f.Accuracy), results.Rounded(f.Chance), strings.Join(f.Components, "; "),
				results.Rounded(f.Score.Mean), results.Rounded(f.Score.Low), results.Rounded(f.Score.High), results.Rounded(f.Random.Mean), results.Rounded(f.Random.Low), results.Rounded(f.Random.High),
				strconv.FormatFloat(f.P, 'g', 3, 64), strings.Join(lost, "; ")})
		}
	}
	return table
}
