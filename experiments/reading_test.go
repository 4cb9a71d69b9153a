package experiments_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/data"
	"vitdecompose/data/scenes"
	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments"
	"vitdecompose/experiments/memory"
	"vitdecompose/experiments/session"
)

func TestTextRetrieval(t *testing.T) {
	s := smallSession(t, "clip-mini", sharedCache(t))
	r := readingOf(t, s)
	features := append(sceneFeatures(t, "color", "location"), phrases.Feature{Name: "mood", Instances: []string{"happy picture"}})
	result, err := experiments.TextRetrieval(t.Context(), s, experiments.TextRetrievalConfig{Features: features, Group: 4, Groups: 3, Top: 5})
	require.NoError(t, err)
	require.Equal(t, 150, result.Pictures)
	require.Len(t, result.Features, 3)
	for f, feature := range result.Features {
		require.Len(t, feature.Groups, 3)
		last := 1.0
		for _, group := range feature.Groups {
			require.Len(t, group.Components, 4)
			for _, v := range group.Attributed {
				require.LessOrEqual(t, v, last, "the order is that of variance attributed")
				last = v
			}
		}
		if feature.Feature == "mood" {
			require.Nil(t, feature.Share, "scenes have no mood")
			require.Nil(t, feature.Probes[0].Found[0][0].True)
			continue
		}
		shares := make([]float64, 3)
		for p, probe := range feature.Probes {
			require.Equal(t, features[f].Instances[p], probe.Text)
			embedding, err := r.Phrases(t.Context(), []string{probe.Text})
			require.NoError(t, err)
			for g, found := range probe.Found {
				require.Len(t, found, 5)
				hits := 0.0
				for k, match := range found {
					truth := data.Attributes(r.Data, match.Picture)[feature.Feature]
					require.Equal(t, phrases.Value(feature.Feature, probe.Text) == truth, *match.True)
					if *match.True {
						hits++
					}
					// The score, plainly.
					score := 0.0
					for _, component := range feature.Groups[g].Components {
						for d, v := range r.Aligned.Row(slices.Index(r.Components, component), match.Picture) {
							score += float64(v) * float64(embedding[d])
						}
					}
					require.InDelta(t, score, match.Score, 1e-4)
					if k > 0 {
						require.LessOrEqual(t, match.Score, found[k-1].Score)
					}
				}
				require.InDelta(t, hits/5, probe.Share[g], 1e-12)
				shares[g] += hits / 5 / float64(len(feature.Probes))
			}
		}
		require.InDeltaSlice(t, shares, feature.Share, 1e-12)
		require.InDelta(t, map[string]float64{"color": 1.0 / 6, "location": 0.1}[feature.Feature], feature.Base, 1e-9, "every value is a probe")
	}
	require.Greater(t, result.Features[0].Share[0], 3*result.Features[0].Base, "the first group finds colours")

	table := experiments.TextRetrievalResult{Top: 5, Models: []experiments.ModelTextRetrieval{result}}.Table()
	require.Len(t, table.Rows, 9)
	for _, row := range table.Rows {
		require.Len(t, row, len(table.Header))
	}
	for want, config := range map[string]experiments.TextRetrievalConfig{
		"option Top: -1 is not at least 1": {Features: features, Top: -1},
		"feature nobody":                   {Features: []phrases.Feature{{Name: "nobody"}}},
	} {
		_, err := experiments.TextRetrieval(t.Context(), s, config)
		require.ErrorContains(t, err, want)
	}
}

func TestImageRetrieval(t *testing.T) {
	s := smallSession(t, "clip-mini", sharedCache(t))
	r := readingOf(t, s)
	features := sceneFeatures(t, "color", "location", "shape")
	result, err := experiments.ImageRetrieval(t.Context(), s, experiments.ImageRetrievalConfig{
		Features: features, Components: map[string]int{"color": 2}, Probes: []int{3, 149}, Counted: 20,
	})
	require.NoError(t, err)
	require.Len(t, result.Probes, 2)
	for _, probe := range result.Probes {
		for _, search := range probe.Searches {
			require.Len(t, search.Components, map[string]int{"color": 2}[search.Feature]+map[bool]int{true: 3}[search.Feature != "color"])
			// The cosines, plainly, from contributions before alignment.
			sums := make([][]float32, r.Pictures)
			for p := range sums {
				sums[p] = make([]float32, r.Dim)
				for _, component := range search.Components {
					for d, v := range r.Row(slices.Index(r.Components, component), p) {
						sums[p][d] += v
					}
				}
			}
			cosine := func(p int) float64 { return decompose.Cosines(sums[probe.Picture], sums[p], r.Dim)[0] }
			least := 2.0
			for _, match := range search.Found {
				require.NotEqual(t, probe.Picture, match.Picture)
				require.InDelta(t, cosine(match.Picture), match.Score, 1e-4)
				least = min(least, match.Score)
			}
			nearer := 0
			for p := range sums {
				if p != probe.Picture && cosine(p) > least+1e-5 {
					nearer++
				}
			}
			require.Less(t, nearer, 3, "no picture that was not found is nearer")
		}
	}
	require.Equal(t, []string{"color", "location", "shape"}, []string{result.Shares[0].Feature, result.Shares[1].Feature, result.Shares[2].Feature})
	require.Equal(t, 20, result.Shares[0].Probes)
	require.Less(t, result.Shares[2].Probes, 20, "only signs have a shape")
	require.Greater(t, result.Shares[0].Share, 1.5*result.Shares[0].Base)

	for want, config := range map[string]experiments.ImageRetrievalConfig{
		"option Probes: picture 150 is not among": {Features: features, Probes: []int{150}},
		"option Probes: -1 is not at least 0":     {Features: features, Probes: []int{-1}},
		"the number of components to sum is -2":   {Features: features, Components: map[string]int{"color": -2}},
	} {
		_, err := experiments.ImageRetrieval(t.Context(), s, config)
		require.ErrorContains(t, err, want)
	}
}

// The counts of section 5.4 of ../shared/spec/protocol.md.
func TestPaperComponents(t *testing.T) {
	for name, want := range map[string]map[string]int{
		"deit_base_patch16_224":        {"color": 3, "shape": 3},
		"maxvit_small_tf_224.in1k":     {"color": 12, "pattern": 8, "fabric": 9, "shape": 3},
		"swin_base_patch4_window7_224": {"color": 3, "pattern": 12, "person": 5, "location": 9, "shape": 8},
		"vit_base_patch16_224.dino":    {"color": 2, "pattern": 5, "fabric": 4},
		"vit_base_patch14_dinov2":      {"color": 1, "pattern": 1, "texture": 3},
		"ViT-B-16":                     {"color": 3, "fabric": 4},
	} {
		for feature, count := range want {
			require.Equal(t, count, experiments.PaperComponents(name)[feature], "%s, %s", name, feature)
		}
	}
	require.Nil(t, experiments.PaperComponents("deit_tiny_patch16_224"))
}

func TestRankingOfZoo(t *testing.T) {
	s := smallSession(t, "deit-mini", sharedCache(t))
	m, err := experiments.Ranking(t.Context(), s, experiments.RankingConfig{Features: sceneFeatures(t, "color", "location", "object")})
	require.NoError(t, err)
	require.Equal(t, 26, m.Components)
	require.Len(t, m.Features, 3)
	sum := 0.0
	for _, f := range m.Features {
		require.LessOrEqual(t, f.Spearman, 1.0)
		sum += f.Spearman / 3
	}
	require.InDelta(t, sum, m.Between, 1e-12)
	require.Greater(t, m.Between, 0.0)
	table := experiments.RankingResult{Models: []experiments.ModelRanking{m}}.Table()
	require.Equal(t, []string{"model", "pictures", "components", "within_component", "between_components", "color", "location", "object"}, table.Header)
}

func TestCompareAlignments(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long; not with -short")
	}
	s := smallSession(t, "deit-mini", sharedCache(t))
	bank := []string{"a red car", "a cat", "in the snow", "a striped swan"}
	m, err := experiments.CompareAlignments(t.Context(), s, experiments.AlignmentConfig{Components: 4, Bank: bank})
	require.NoError(t, err)
	require.Equal(t, 300, m.Trained)
	require.Equal(t, 150, m.HeldOut)
	var names []string
	for _, method := range m.Methods {
		names = append(names, method.Name)
		require.InDelta(t, 0.25, method.Chance, 1e-12, "3 of 12 classes")
		require.InDelta(t, 1, method.Cosine+method.Distance, 1e-12)
	}
	require.Equal(t, []string{"one map", "lambda 0", "lambda 1"}, names)
	require.Less(t, m.Methods[2].Orthogonality, 0.9*m.Methods[1].Orthogonality)
	require.Len(t, m.Components, 4)
	for method := range m.Methods {
		matched := 0.0
		for i, c := range m.Components {
			require.Len(t, c.ThroughHead, 3)
			require.Len(t, c.ByMethod[method], 3)
			for _, text := range c.ThroughHead {
				require.Contains(t, scenes.Classes, text)
				if slices.Contains(c.ByMethod[method], text) {
					matched += 1.0 / 12
				}
			}
			if i > 0 {
				require.LessOrEqual(t, c.Importance, m.Components[i-1].Importance)
			}
			require.NotEmpty(t, c.Texts)
			require.Contains(t, bank, c.Texts[0])
		}
		require.InDelta(t, matched, m.Methods[method].MatchRate, 1e-9)
	}
	// What the head reads is written late.
	require.Regexp(t, `^layer:0[45], `, m.Components[0].Component)
	st, err := s.Study(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1.0, st.Align.Lambda, "the study is left as it was")

	result := experiments.AlignmentResult{Models: []experiments.ModelAlignment{m}}
	require.Len(t, result.Table().Rows, 3)
	require.Len(t, result.Descriptions().Rows, 4)

	_, err = experiments.CompareAlignments(t.Context(), s, experiments.AlignmentConfig{Texts: 13})
	require.ErrorContains(t, err, "option Texts: 13 class names cannot be chosen from 12 classes")
	birds := smallSession(t, "dino-mini", sharedCache(t), func(o *session.Options) { o.HeadData = "scenes-birds:20:1:correlated" })
	_, err = experiments.CompareAlignments(t.Context(), birds, experiments.AlignmentConfig{})
	require.ErrorContains(t, err, "a head of 2 classes")
}

func TestSweepOfZoo(t *testing.T) {
	s := smallSession(t, "deit-mini", sharedCache(t))
	curve, err := experiments.Sweep(t.Context(), s, experiments.SweepConfig{Lambdas: []float64{1, 0, 1}})
	require.NoError(t, err)
	require.Len(t, curve.Points, 2)
	require.Equal(t, 0.0, curve.Points[0].Lambda)
	require.Greater(t, curve.Points[0].Orthogonality, curve.Points[1].Orthogonality)
	require.Greater(t, curve.Points[0].TrainCosine, curve.Points[1].TrainCosine, "free maps fit better")
	for _, p := range curve.Points {
		require.LessOrEqual(t, p.Least, p.Orthogonality)
		require.GreaterOrEqual(t, p.Most, p.Orthogonality)
	}
	require.Len(t, curve.Aligners, 2)
	require.Len(t, experiments.SweepResult{Curves: []experiments.SweepCurve{curve}}.Table().Rows, 2)

	own, err := experiments.Sweep(t.Context(), s, experiments.SweepConfig{})
	require.NoError(t, err)
	require.Equal(t, curve.Points[1:], own.Points, "the session's lambda alone")
	_, err = experiments.Sweep(t.Context(), s, experiments.SweepConfig{Lambdas: []float64{-1}})
	require.ErrorContains(t, err, "option Lambdas: -1 is not at least 0")
}

// TestAlign writes an alignment, reads components through the file, and begins another alignment at it.
func TestAlign(t *testing.T) {
	s := smallSession(t, "deit-mini", sharedCache(t))
	aligned, err := experiments.Align(t.Context(), s, experiments.SweepConfig{})
	require.NoError(t, err)
	require.Equal(t, 1.0, aligned.Lambda)
	require.Len(t, aligned.Table().Rows, 26)
	r := readingOf(t, s)
	require.Equal(t, r.Aligner, aligned.Aligner)
	file := filepath.Join(t.TempDir(), "aligner.safetensors")
	require.NoError(t, aligned.WriteFile(file))

	given := smallSession(t, "deit-mini", sharedCache(t), func(o *session.Options) { o.Aligner = file })
	require.Equal(t, r.Aligned.Values, readingOf(t, given).Aligned.Values)
	_, err = experiments.Align(t.Context(), given, experiments.SweepConfig{})
	require.ErrorContains(t, err, "option Aligner cannot be used: the alignments are trained here")

	warm, err := experiments.Align(t.Context(), smallSession(t, "deit-mini", sharedCache(t), func(o *session.Options) {
		o.Lambda, o.AlignEpochs = new(0.5), 1
	}), experiments.SweepConfig{From: file})
	require.NoError(t, err)
	require.Equal(t, 10, warm.Steps, "an epoch of 300 pictures, 32 at a time")
	require.Greater(t, warm.Cosine, aligned.Cosine-0.05)
	_, err = experiments.Sweep(t.Context(), s, experiments.SweepConfig{From: file, Lambdas: []float64{0, 1}})
	require.ErrorContains(t, err, "option From cannot be used with option Lambdas")
	_, err = experiments.Sweep(t.Context(), s, experiments.SweepConfig{From: file + "x"})
	require.ErrorContains(t, err, "option From: ")
}

func TestCausalOfZoo(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long; not with -short")
	}
	s := smallSession(t, "clip-mini", sharedCache(t))
	m, err := experiments.Causal(t.Context(), s, experiments.CausalConfig{Features: sceneFeatures(t, "color", "object"), Seeds: 2, Draws: 30})
	require.NoError(t, err)
	require.Equal(t, 60, m.Draws)
	require.Equal(t, 5, m.Ablated)
	for _, feature := range m.Features {
		require.Len(t, feature.Components, 5)
		require.Greater(t, feature.Accuracy, feature.Chance)
		require.Greater(t, feature.P, 0.0)
		require.LessOrEqual(t, feature.P, 1.0)
		require.LessOrEqual(t, feature.Random.Low, feature.Random.High)
		require.Len(t, feature.Losses, 2)
		require.InDelta(t, 0, feature.Random.Mean, 1e-9, "random sets are what losses are measured by")
	}
	require.Len(t, experiments.CausalResult{Models: []experiments.ModelCausalTest{m}}.Table().Rows, 2)

	// The contributions of the study's 150 pictures fit into memory, those of its 300 training pictures need not.
	restore := memory.Pretend(200 * uint64(len(readingOf(t, s).Components)*64*4))
	poor, err := experiments.Causal(t.Context(), s, experiments.CausalConfig{Features: sceneFeatures(t, "color", "object"), Seeds: 2, Draws: 30})
	restore()
	require.NoError(t, err)
	require.Equal(t, m, poor)

	for want, config := range map[string]experiments.CausalConfig{
		"two or more":          {Features: sceneFeatures(t, "color")},
		"26 components cannot": {Features: sceneFeatures(t, "color", "object"), Ablated: 26},
		"feature mood: the truth is known for 0 pictures": {Features: append(sceneFeatures(t, "color"), phrases.Feature{Name: "mood", Instances: []string{"happy"}})},
	} {
		_, err := experiments.Causal(t.Context(), s, config)
		require.ErrorContains(t, err, want)
	}
}

func TestDescribe(t *testing.T) {
	s := smallSession(t, "clip-mini", sharedCache(t))
	r := readingOf(t, s)
	bank, err := phrases.Bank("scenes")
	require.NoError(t, err)
	described, err := experiments.Describe(t.Context(), s, experiments.DescribeConfig{Features: sceneFeatures(t, "color", "object"), Bank: bank, Texts: 3})
	require.NoError(t, err)
	require.Equal(t, "clip-mini", described.Model)
	words := described.Words
	require.Len(t, words, len(r.Components))
	shares := 0.0
	for i, w := range words {
		require.Equal(t, r.Components[i], w.Component)
		require.Len(t, w.Texts, 3)
		require.Greater(t, w.Explained, 0.0)
		shares += w.Share
	}
	require.InDelta(t, 1, shares, 1e-9)
	last := words[len(words)-1]
	require.Equal(t, "object", last.Feature, "the last MLP, %s", strings.Join(last.Texts, "; "))
	require.Len(t, described.Table().Rows, len(words))
	text, err := json.Marshal(described)
	require.NoError(t, err)
	var read []experiments.ComponentInWords
	require.NoError(t, json.Unmarshal(text, &read), "the words alone are the result")
	require.Equal(t, words, read)
}

// An empty list is not one that was left open.
func TestNothingAsked(t *testing.T) {
	s, none := smallSession(t, "clip-mini", sharedCache(t)), []phrases.Feature{}
	for name, run := range map[string]func() error{
		"text-retrieval": func() error {
			_, err := experiments.TextRetrieval(t.Context(), s, experiments.TextRetrievalConfig{Features: none})
			return err
		},
		"image-retrieval": func() error {
			_, err := experiments.ImageRetrieval(t.Context(), s, experiments.ImageRetrievalConfig{Features: none})
			return err
		},
		"ranking": func() error {
			_, err := experiments.Ranking(t.Context(), s, experiments.RankingConfig{Features: none})
			return err
		},
		"heatmaps": func() error {
			_, err := experiments.Heatmaps(t.Context(), s, experiments.HeatmapConfig{Features: none})
			return err
		},
		"describe": func() error {
			_, err := experiments.Describe(t.Context(), s, experiments.DescribeConfig{Features: none})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.NotPanics(t, func() { require.ErrorContains(t, run(), "no features") })
		})
	}
	t.Run("no pictures to draw over", func(t *testing.T) {
		_, err := experiments.Heatmaps(t.Context(), s, experiments.HeatmapConfig{Texts: []string{"x"}, Pictures: []int{}})
		require.ErrorContains(t, err, "no pictures")
	})
}
