package experiments_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/data"
	"vitdecompose/data/scenes"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/tiny"
)

func TestSplitBirds(t *testing.T) {
	correlated, uncorrelated := scenes.NewBirds(1, 50, true), scenes.NewBirds(2, 30, false)
	birds, err := experiments.SplitBirds(correlated, uncorrelated, 7)
	require.NoError(t, err)
	require.Equal(t, 40, birds.Train.Len())
	require.Equal(t, 10+30, birds.Test.Len())
	seen := map[string]bool{}
	for _, ds := range []data.Dataset{birds.Train, birds.Test} {
		for i := range ds.Len() {
			seen[ds.Item(i).Name] = true
		}
	}
	require.Len(t, seen, 80, "every picture once")
	again, err := experiments.SplitBirds(correlated, uncorrelated, 7)
	require.NoError(t, err)
	other, err := experiments.SplitBirds(correlated, uncorrelated, 8)
	require.NoError(t, err)
	require.Equal(t, birds.Train.Item(3), again.Train.Item(3))
	require.NotEqual(t, hashed(t, birds.Train), hashed(t, other.Train))

	_, err = experiments.SplitBirds(correlated, scenes.New(0, 5), 0)
	require.ErrorContains(t, err, "must be of two classes")
	placeless := tiny.Noise{N: 5, ClassNames: []string{"landbird", "waterbird"}}
	_, err = experiments.SplitBirds(placeless, placeless, 0)
	require.ErrorContains(t, err, "the place of noise-0 is not known")
}

func hashed(t *testing.T, ds data.Dataset) string {
	t.Helper()
	h, err := ds.Hash()
	require.NoError(t, err)
	return h
}

// The accuracies again, in the plain way: from the linear head's numbers in float64, a picture and a step at a time.
func TestWaterbirds(t *testing.T) {
	s := smallSession(t, "dino-mini", sharedCache(t))
	birds, err := experiments.SplitBirds(scenes.NewBirds(1, 200, true), scenes.NewBirds(2, 80, false), 0)
	require.NoError(t, err)
	_, head, err := s.Headed(t.Context(), birds.Train)
	require.NoError(t, err)
	list, err := phrases.Features("scenes-birds")
	require.NoError(t, err)
	config := experiments.WaterbirdsConfig{
		Correlated: "scenes-birds:200:1:correlated", Uncorrelated: "scenes-birds:80:2:uncorrelated",
		Spurious: list[0], Core: list[1], Ablated: 4, Bank: []string{"a bird", "water", "trees", "blue"},
	}
	got, err := experiments.Waterbirds(t.Context(), s, config)
	require.NoError(t, err)
	require.Equal(t, 4, got.Ablated)
	require.Len(t, got.Order, 6)

	st, err := s.StudyOf(t.Context(), "scenes-birds", birds.Test)
	require.NoError(t, err)
	r, err := st.Open(t.Context())
	require.NoError(t, err)
	attribution, err := r.Attribute(t.Context(), []phrases.Feature{list[0], list[1]})
	require.NoError(t, err)
	index := func(name string) int { return slices.Index(r.Components, name) }
	var margins []float64
	for i, c := range got.Order {
		require.Equal(t, attribution.Attributed[0][index(c.Component)], c.Spurious)
		require.Equal(t, attribution.Attributed[1][index(c.Component)], c.Core)
		margins = append(margins, c.Core-c.Spurious)
		require.Equal(t, i < 4, c.Words != nil, "the table's components have words")
	}
	require.True(t, slices.IsSorted(margins), "largest margin first")

	right, count := map[[2]string][]int{}, map[[2]string]int{}
	for position, i := range r.Index {
		label := birds.Test.Item(i).Label
		group := [2]string{scenes.BirdClasses[label], data.Attributes(birds.Test, i)["place"]}
		count[group]++
		if right[group] == nil {
			right[group] = make([]int, 7)
		}
		for step := range 7 {
			var logits [2]float64
			for class := range 2 {
				logits[class] = float64(head.Bias[class])
				for d := range r.Dim {
					z := float64(r.Representation[position*r.Dim+d])
					for _, c := range got.Order[:step] {
						own := r.Of(index(c.Component))
						mean := 0.0
						for p := range r.Pictures {
							mean += float64(own[p*r.Dim+d]) / float64(r.Pictures)
						}
						z += mean - float64(own[position*r.Dim+d])
					}
					logits[class] += z * float64(head.Weight[class*r.Dim+d])
				}
			}
			if (logits[1] > logits[0]) == (label == 1) {
				right[group][step]++
			}
		}
	}
	require.Len(t, got.Groups, 4)
	worst, mean := 1.0, 0.0
	for _, g := range got.Groups {
		group := [2]string{g.Bird, g.Place}
		require.Equal(t, count[group], g.Pictures)
		for step := range 7 {
			require.InDelta(t, float64(right[group][step])/float64(count[group]), g.Accuracy[step], 1e-9, "%v, step %d", group, step)
		}
		worst, mean = min(worst, g.Accuracy[4]), mean+g.Accuracy[4]/4
	}
	require.Equal(t, worst, got.Worst(4))
	require.InDelta(t, mean, got.Mean(4), 1e-12)

	for name, c := range map[string]struct {
		change func(c *experiments.WaterbirdsConfig)
		says   string
	}{
		"more in the table than in the curve": {func(c *experiments.WaterbirdsConfig) { c.Steps = 2 }, "cannot be ablated"},
		"none":                                {func(c *experiments.WaterbirdsConfig) { c.Ablated = -1 }, "option Ablated: -1 is not at least 1"},
		"another world":                       {func(c *experiments.WaterbirdsConfig) { c.Uncorrelated = "waterbirds:DIR:test" }, "do not belong together"},
		"no birds":                            {func(c *experiments.WaterbirdsConfig) { c.Correlated = "scenes:5" }, "must be of two classes"},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := config
			c.change(&wrong)
			_, err := experiments.Waterbirds(t.Context(), s, wrong)
			require.ErrorContains(t, err, c.says)
		})
	}
	t.Run("a head of three classes", func(t *testing.T) {
		names := filepath.Join(t.TempDir(), "names.txt")
		require.NoError(t, os.WriteFile(names, []byte("finch\nswan\npelican\n"), 0o666))
		three := smallSession(t, "clip-mini", t.TempDir(), func(o *session.Options) { o.ClassNames = names })
		_, err := experiments.Waterbirds(t.Context(), three, config)
		require.ErrorContains(t, err, "a head of 3 classes; Waterbirds has two")
	})
}
