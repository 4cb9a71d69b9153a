package experiments

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/data"
	"vitdecompose/data/picture"
	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/heads"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/study"
)

// By hand: the first feature loses 10, the others 1 and 3.
func TestSpecific(t *testing.T) {
	require.InDelta(t, 8, specific([]float64{10, 1, 3}, 0), 1e-12)
	require.InDelta(t, -2.5, specific([]float64{10, 1, 3}, 2), 1e-12)
}

// By hand: random sets cost the first read-out 1 and 3 points, mean 2 and deviation 1; the second nothing.
func TestStandardiser(t *testing.T) {
	standardise := standardiser([][]float64{{1, 0}, {3, 0}})
	require.Equal(t, []float64{3, 0}, standardise([]float64{5, 7}))
	require.Equal(t, []float64{-1, 0}, standardise([]float64{1, 0}))
}

// painted is a data set that knows the colour of its pictures, which are not there.
type painted []string

func (p painted) Len() int                            { return len(p) }
func (painted) Classes() []string                     { return nil }
func (p painted) Item(i int) data.Item                { return data.Item{Name: fmt.Sprint(i), Label: -1} }
func (painted) Picture(int) (*picture.Picture, error) { panic("not asked for") }
func (painted) Hash() (string, error)                 { return "painted", nil }
func (p painted) Attributes(i int) map[string]string  { return map[string]string{"color": p[i]} }
func (p painted) parts(rng *rand.Rand, noise float64) *extraction.Parts {
	// Component 0 says the colour in the first two of four channels, component 1 says something else in the others.
	c := decompose.Contributions{Components: []string{"colour", "other"}, Pictures: len(p), Dim: 4, Values: make([]float32, 2*4*len(p))}
	out := &extraction.Parts{Contributions: c}
	for i, colour := range p {
		copy(out.Row(0, i), map[string][]float32{"red": {3, 0}, "blue": {0, 3}, "": {0, 0}}[colour])
		for d := range 4 {
			out.Row(0, i)[d] += float32(noise * rng.NormFloat64())
			if d >= 2 {
				out.Row(1, i)[d] = float32(rng.NormFloat64())
			}
		}
		out.Index = append(out.Index, i)
	}
	out.Representation = out.Sum([]int{0, 1})
	return out
}

// A read-out learns what one component says and the other does not: without that component it is at chance, without the
// other nothing is lost.
func TestReadout(t *testing.T) {
	b, err := session.Backend()
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func(n int) painted {
		p := make(painted, n)
		for i := range p {
			p[i] = []string{"red", "blue", "red", ""}[rng.IntN(4)]
		}
		return p
	}
	train, test := draw(800), draw(300)
	s := &study.Study{Extraction: extraction.Extraction{Backend: b, Data: test}, Training: train}
	feature := phrases.Feature{Name: "color", Instances: []string{"red color", "blue color"}}
	r := &study.Reading{Data: test, Parts: test.parts(rng, 0.2)}
	means := heads.Means(&r.Contributions)
	o, err := newReadout(t.Context(), s, train.parts(rng, 0.2), r, means, feature, 0)
	require.NoError(t, err)
	known := 0
	for _, colour := range test {
		if colour != "" {
			known++
		}
	}
	require.Len(t, o.truth, known, "pictures without a colour do not count")
	require.Greater(t, o.accuracy(nil), 0.98)
	require.Equal(t, o.accuracy(nil), o.accuracy([]int{1}))
	require.InDelta(t, o.chance(), o.accuracy([]int{0}), 1e-9, "red is the more frequent")
	require.InDelta(t, 0.67, o.chance(), 0.1)
	require.InDelta(t, o.accuracy(nil)-o.chance(), losses([]*readout{o}, []int{0})[0], 1e-9)

	_, err = newReadout(t.Context(), s, train.parts(rng, 0.2), r, means, phrases.Feature{Name: "color", Instances: []string{"mauve"}}, 0)
	require.ErrorContains(t, err, "feature color: the truth is known for 0 pictures")
}

// Ranking agreement of made-up numbers: features agree fully, the reverse, and not at all because one side is constant.
func TestAgree(t *testing.T) {
	a := &study.Attribution{Components: []string{"a", "b", "c"}, Features: []phrases.Feature{{Name: "f"}, {Name: "g"}, {Name: "h"}},
		Attributed: [][]float64{{1, 2, 3}, {1, 2, 3}, {1, 1, 1}}}
	var m ModelRanking
	require.NoError(t, m.agree(a, [][]float64{{0.1, 0.2, 0.9}, {3, 2, 1}, {1, 2, 3}}))
	require.Equal(t, []FeatureAgreement{{"f", 1}, {"g", -1}}, m.Features)
	require.InDelta(t, 0, m.Between, 1e-12)
	// Within a the attributed are equal, so it is left out; within b and c they are 2, 2, 1 and 3, 3, 1 against 0.2, 2, 2 and
	// 0.9, 1, 3: ranks 2.5, 2.5, 1 against 1, 2.5, 2.5 correlate with -0.5, and against 1, 2, 3 with -0.8660.
	require.InDelta(t, (-0.5-math.Sqrt(0.75))/2, m.Within, 1e-9)
	require.Equal(t, 2, m.Undefined)
	require.ErrorContains(t, m.agree(&study.Attribution{Components: a.Components, Features: a.Features[:1], Attributed: [][]float64{{1, 1, 1}}}, [][]float64{{1, 2, 3}}), "constants")
}
