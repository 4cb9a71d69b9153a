package experiments_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/compute"
	"github.com/stretchr/testify/require"

	"vitdecompose/data"
	"vitdecompose/data/scenes"
	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/zoo"
)

// xla is the backend for models of the zoo: one for all tests, as tensors do not move between two.
var xla = sync.OnceValues(func() (compute.Backend, error) { return backend.Open("") })

func zooModel(t testing.TB, name string) *gomlxvit.Model {
	t.Helper()
	ckpt, err := zoo.Open(name)
	require.NoError(t, err)
	defer ckpt.Close()
	model, err := gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{Text: true})
	require.NoError(t, err)
	return model
}

// stages counts the stages of work that are reported.
type stages struct{ names []string }

func (s *stages) Start(what string, _ int) { s.names = append(s.names, what) }
func (*stages) Add(int)                    {}
func (*stages) Done()                      {}

// smallStudy is a study of a model of the zoo on a few scenes, aligned on a few hundred.
func smallStudy(t testing.TB, name, store string) *experiments.Study {
	t.Helper()
	b, err := xla()
	require.NoError(t, err)
	model := zooModel(t, name)
	config := decompose.DefaultAlignConfig(300)
	config.Epochs = 20
	return &experiments.Study{
		Extraction: experiments.Extraction{
			Backend: b, Model: model, Data: scenes.New(0, 150), Batch: 50, CacheDir: store, Options: experiments.PaperOptions(model),
		},
		Reference: zooModel(t, zoo.Reference), Training: scenes.New(1, 300), Align: config,
	}
}

func openStudy(t testing.TB, s *experiments.Study) *experiments.Reading {
	t.Helper()
	r, err := s.Open(context.Background())
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// sceneFeatures are the features that scenes have the truth about.
func sceneFeatures(t testing.TB, names ...string) []phrases.Feature {
	t.Helper()
	features, err := phrases.Features("scenes")
	require.NoError(t, err)
	return slices.DeleteFunc(features, func(f phrases.Feature) bool { return !slices.Contains(names, f.Name) })
}

func meanOf(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v / float64(len(values))
	}
	return sum
}

func TestStudy(t *testing.T) {
	store := t.TempDir()
	s := smallStudy(t, "deit-mini", store)
	heard := &stages{}
	s.Progress = heard
	r := openStudy(t, s)
	require.Equal(t, 150, r.Pictures)
	require.Len(t, r.Components, 26, "init and, in each of the last 5 blocks, 4 heads and an MLP; biases are shared")
	require.Contains(t, heard.names, "aligning")
	require.Less(t, r.Exactness, 1e-5)

	// Chance is what the mean picture has: of held-out pictures, the alignment must know more.
	mean := make([]float32, len(r.Embeddings))
	for i := range mean {
		for p := range r.Pictures {
			mean[i] += r.Embeddings[p*r.Aligned.Dim+i%r.Aligned.Dim] / float32(r.Pictures)
		}
	}
	chance, quality := meanOf(decompose.Cosines(mean, r.Embeddings, r.Aligned.Dim)), meanOf(r.Quality())
	t.Logf("held-out cosine similarity %.3f, of the mean picture %.3f", quality, chance)
	require.Greater(t, quality, 0.6)
	require.Less(t, chance, 0.5)

	t.Run("again, from the cache", func(t *testing.T) {
		again := smallStudy(t, "deit-mini", store)
		heard := &stages{}
		again.Progress = heard
		require.Equal(t, r.Aligned.Values, openStudy(t, again).Aligned.Values)
		require.Empty(t, heard.names, "nothing is decomposed and nothing trained")
	})
	t.Run("another lambda is another alignment", func(t *testing.T) {
		other := smallStudy(t, "deit-mini", store)
		other.Align.Lambda = 0
		require.NotEqual(t, r.Aligned.Values, openStudy(t, other).Aligned.Values)
	})
	t.Run("a warm start", func(t *testing.T) {
		warm := smallStudy(t, "deit-mini", store)
		warm.From, warm.Align = r.Aligner, warm.Align.Warm(300)
		warm.Align.Lambda = 0.5
		near := openStudy(t, warm)
		require.Greater(t, meanOf(near.Quality()), quality-0.05)
	})
	t.Run("a damaged alignment is trained again", func(t *testing.T) {
		files, err := filepath.Glob(filepath.Join(store, "alignments", "*"))
		require.NoError(t, err)
		require.Len(t, files, 3)
		for _, file := range files {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			content[len(content)-20] ^= 1
			require.NoError(t, os.WriteFile(file, content, 0o666))
		}
		again := smallStudy(t, "deit-mini", store)
		var warned []string
		again.Warn = func(err error) { warned = append(warned, err.Error()) }
		require.Equal(t, r.Aligned.Values, openStudy(t, again).Aligned.Values)
		require.Len(t, warned, 1)
		require.Contains(t, warned[0], "is damaged")
	})
	t.Run("from a file, which fits nothing else", func(t *testing.T) {
		origin, err := s.Origin()
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "aligner.safetensors")
		require.NoError(t, r.Aligner.WriteFile(file, origin, "scenes"))
		given := smallStudy(t, "deit-mini", store)
		given.AlignerFile, given.Training = file, nil
		require.Equal(t, r.Aligned.Values, openStudy(t, given).Aligned.Values)

		for want, change := range map[string]func(*experiments.Study){
			"the model": func(s *experiments.Study) {
				s.Model = zooModel(t, "dino-mini")
				s.Options = experiments.PaperOptions(s.Model)
			},
			"the blocks: 1..5 there":    func(s *experiments.Study) { s.Options.First = 3 },
			"the split of attention":    func(s *experiments.Study) { s.Options.Split = decompose.Attns },
			"the treatment of biases":   func(s *experiments.Study) { s.Options.Biases = decompose.BiasesApart },
			"the reference CLIP":        func(s *experiments.Study) { s.Reference = zooModel(t, "clip-mini") },
			"the preprocessing":         func(s *experiments.Study) { s.Orient = true },
			"no such file or directory": func(s *experiments.Study) { s.AlignerFile += "x" },
		} {
			other := smallStudy(t, "deit-mini", store)
			other.AlignerFile = file
			change(other)
			_, err := other.Open(t.Context())
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, file)
		}
	})
}

// A CLIP's contributions are in the space of its texts already.
func TestStudyOfCLIP(t *testing.T) {
	s := smallStudy(t, "clip-mini", t.TempDir())
	s.Reference, s.Training = nil, nil
	r := openStudy(t, s)
	require.Nil(t, r.Aligner)
	require.Equal(t, r.Values, r.Aligned.Values)
	for _, cosine := range r.Quality() {
		require.InDelta(t, 1, cosine, 1e-5)
	}
	_, err := s.Alignment(t.Context())
	require.ErrorContains(t, err, "is a CLIP")
}

func TestStudyRefuses(t *testing.T) {
	store := t.TempDir()
	for want, change := range map[string]func(*experiments.Study){
		"give one as the reference":             func(s *experiments.Study) { s.Reference = nil },
		"has no text tower":                     func(s *experiments.Study) { s.Reference = zooModel(t, "swin-mini") },
		"no pictures to train the alignment on": func(s *experiments.Study) { s.Training = nil },
		"lambda -1":                             func(s *experiments.Study) { s.Align.Lambda = -1 },
		"too large to be kept":                  func(s *experiments.Study) { s.Options = decompose.Options{Split: decompose.Tokens} },
	} {
		s := smallStudy(t, "deit-mini", store)
		change(s)
		_, err := s.Open(t.Context())
		require.ErrorContains(t, err, want)
	}
}

// Pictures that one of the two models cannot read are left out of both.
func TestPartsLeaveOut(t *testing.T) {
	e := experiments.Extraction{
		Backend: openPureGo(t), Model: tinyModel(t), Batch: 4, MaxBad: 3, CacheDir: t.TempDir(),
		Data: noise{n: 10, bad: map[int]bool{1: true, 8: true, 9: true}}, Options: decompose.Options{Split: decompose.Attns},
	}
	p, err := e.Parts(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{0, 2, 3, 4, 5, 6, 7}, p.Index)
	require.Equal(t, 7, p.Pictures)
	require.NoError(t, p.Check())
	e.Data, e.CacheDir = noise{n: 10}, t.TempDir()
	all, err := e.Parts(t.Context())
	require.NoError(t, err)
	for i := range p.Components {
		for k, index := range p.Index {
			require.InDeltaSlice(t, wide(all.Row(i, index)), wide(p.Row(i, k)), 1e-6, "%s of picture %d", p.Components[i], index)
		}
	}
	for k, index := range p.Index {
		sum := make([]float64, p.Dim)
		for i := range p.Components {
			for d, v := range p.Row(i, k) {
				sum[d] += float64(v)
			}
		}
		require.InDeltaSlice(t, wide(all.Representation[index*p.Dim:][:p.Dim]), sum, 1e-4)
	}
	e.MaxBad, e.CacheDir, e.Data = 2, t.TempDir(), noise{n: 10, bad: map[int]bool{1: true, 8: true, 9: true}}
	_, err = e.Parts(t.Context())
	require.ErrorContains(t, err, "noise-9 is too noisy")
}

func wide(values []float32) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = float64(v)
	}
	return out
}

func TestTextRetrieval(t *testing.T) {
	r := openStudy(t, smallStudy(t, "clip-mini", t.TempDir()))
	features := append(sceneFeatures(t, "color", "location"), phrases.Feature{Name: "mood", Instances: []string{"happy picture"}})
	sheet, err := experiments.TextRetrieval(t.Context(), r, experiments.TextRetrievalConfig{Features: features, Group: 4, Groups: 3, Top: 5})
	require.NoError(t, err)
	require.Equal(t, 150, sheet.Pictures)
	require.Len(t, sheet.Features, 3)
	for f, feature := range sheet.Features {
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
	require.Greater(t, sheet.Features[0].Share[0], 3*sheet.Features[0].Base, "the first group finds colours")

	table := experiments.TextRetrievalResult{Top: 5, Sheets: []experiments.RetrievalSheet{sheet}}.Table()
	require.Len(t, table.Rows, 9)
	for _, row := range table.Rows {
		require.Len(t, row, len(table.Header))
	}
	for want, config := range map[string]experiments.TextRetrievalConfig{
		"no features":    {},
		"-1 pictures":    {Features: features, Top: -1},
		"feature nobody": {Features: []phrases.Feature{{Name: "nobody"}}},
	} {
		_, err := experiments.TextRetrieval(t.Context(), r, config)
		require.ErrorContains(t, err, want)
	}
}

func TestImageRetrieval(t *testing.T) {
	r := openStudy(t, smallStudy(t, "clip-mini", t.TempDir()))
	features := sceneFeatures(t, "color", "location", "shape")
	sheet, err := experiments.ImageRetrieval(t.Context(), r, experiments.ImageRetrievalConfig{
		Features: features, Components: map[string]int{"color": 2}, Probes: []int{3, 149}, Counted: 20,
	})
	require.NoError(t, err)
	require.Len(t, sheet.Probes, 2)
	for _, probe := range sheet.Probes {
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
	require.Equal(t, []string{"color", "location", "shape"}, []string{sheet.Shares[0].Feature, sheet.Shares[1].Feature, sheet.Shares[2].Feature})
	require.Equal(t, 20, sheet.Shares[0].Probes)
	require.Less(t, sheet.Shares[2].Probes, 20, "only signs have a shape")
	require.Greater(t, sheet.Shares[0].Share, 1.5*sheet.Shares[0].Base)

	for want, config := range map[string]experiments.ImageRetrievalConfig{
		"no properties":           {},
		"there is no picture 150": {Features: features, Probes: []int{150}},
		"there is no picture -1":  {Features: features, Probes: []int{-1}},
		"-2 components":           {Features: features, Components: map[string]int{"color": -2}},
	} {
		_, err := experiments.ImageRetrieval(t.Context(), r, config)
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
	r := openStudy(t, smallStudy(t, "deit-mini", t.TempDir()))
	m, err := experiments.Ranking(t.Context(), r, experiments.RankingConfig{Features: sceneFeatures(t, "color", "location", "object")})
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
	table := experiments.RankingResult{Models: []experiments.RankingModel{m}}.Table()
	require.Equal(t, []string{"model", "pictures", "components", "within_component", "between_components", "color", "location", "object"}, table.Header)
	_, err = experiments.Ranking(t.Context(), r, experiments.RankingConfig{})
	require.ErrorContains(t, err, "no features")
}

func TestCompareAlignments(t *testing.T) {
	s := smallStudy(t, "deit-mini", t.TempDir())
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
	require.Equal(t, 1.0, s.Align.Lambda, "the study is left as it was")

	result := experiments.AlignmentResult{Models: []experiments.AlignmentModel{m}}
	require.Len(t, result.Table().Rows, 3)
	require.Len(t, result.Descriptions().Rows, 4)

	s.Head = zooModel(t, "dino-mini")
	_, err = experiments.CompareAlignments(t.Context(), s, experiments.AlignmentConfig{})
	require.ErrorContains(t, err, "a head of 0 classes")
}

func TestSweepOfZoo(t *testing.T) {
	s := smallStudy(t, "deit-mini", t.TempDir())
	curve, err := experiments.Sweep(t.Context(), s, []float64{1, 0, 1})
	require.NoError(t, err)
	require.Len(t, curve.Points, 2)
	require.Equal(t, 0.0, curve.Points[0].Lambda)
	require.Greater(t, curve.Points[0].Orthogonality, curve.Points[1].Orthogonality)
	require.Greater(t, curve.Points[0].TrainCosine, curve.Points[1].TrainCosine, "free maps fit better")
	for _, p := range curve.Points {
		require.LessOrEqual(t, p.Least, p.Orthogonality)
		require.GreaterOrEqual(t, p.Most, p.Orthogonality)
	}
	_, err = experiments.Sweep(t.Context(), s, nil)
	require.ErrorContains(t, err, "needs values of lambda")
}

func TestCausalOfZoo(t *testing.T) {
	s := smallStudy(t, "clip-mini", t.TempDir())
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
	require.Len(t, experiments.CausalResult{Models: []experiments.CausalModel{m}}.Table().Rows, 2)

	// The contributions of the study's 150 pictures fit into memory, those of its 300 training pictures need not.
	restore := experiments.SetMemoryFree(200 * uint64(len(openStudy(t, s).Components)*64*4))
	poor, err := experiments.Causal(t.Context(), s, experiments.CausalConfig{Features: sceneFeatures(t, "color", "object"), Seeds: 2, Draws: 30})
	restore()
	require.NoError(t, err)
	require.Equal(t, m, poor)

	for want, config := range map[string]experiments.CausalConfig{
		"two or more":          {Features: sceneFeatures(t, "color")},
		"26 components cannot": {Features: sceneFeatures(t, "color", "object"), Ablated: 26},
		"feature mood: the truth is known of 0 pictures": {Features: append(sceneFeatures(t, "color"), phrases.Feature{Name: "mood", Instances: []string{"happy"}})},
	} {
		_, err := experiments.Causal(t.Context(), s, config)
		require.ErrorContains(t, err, want)
	}
}

func TestDescribe(t *testing.T) {
	r := openStudy(t, smallStudy(t, "clip-mini", t.TempDir()))
	bank, err := phrases.Bank("scenes")
	require.NoError(t, err)
	words, err := experiments.Describe(t.Context(), r, experiments.DescribeConfig{Features: sceneFeatures(t, "color", "object"), Bank: bank, Texts: 3})
	require.NoError(t, err)
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
	require.Len(t, experiments.WordsTable(words).Rows, len(words))
	_, err = experiments.Describe(t.Context(), r, experiments.DescribeConfig{Bank: bank})
	require.ErrorContains(t, err, "a list of features")
}
