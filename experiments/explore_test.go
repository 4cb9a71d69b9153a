package experiments_test

import (
	"math"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"vitdecompose/decompose"
	"vitdecompose/experiments"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/tiny"
	"vitdecompose/gomlxvit"
)

// forward is the representation and the logits of a picture of a session, by the model alone, with nothing taken apart.
func forward(t *testing.T, s *session.Session, model *gomlxvit.Model, picture int) (z, logits []float32) {
	t.Helper()
	backend, err := s.Backend()
	require.NoError(t, err)
	program, err := model.Compile(backend, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		z := model.Arch.Representation(w, in[0])
		return []*graph.Node{z, model.Arch.Head(w, z)}
	})
	require.NoError(t, err)
	defer program.Close()
	p, err := s.Data.Picture(picture)
	require.NoError(t, err)
	pixels, err := model.Preprocess.Apply(p)
	require.NoError(t, err)
	side := model.Arch.InputSize()
	out, err := program.Run(tensors.FromFlatDataAndDimensions(pixels, 1, 3, side, side))
	require.NoError(t, err)
	z, err = tensors.CopyFlatData[float32](out[0])
	require.NoError(t, err)
	logits, err = tensors.CopyFlatData[float32](out[1])
	require.NoError(t, err)
	return z, logits
}

// ofSubject are the questions about a subject.
func ofSubject(p experiments.ExploredPicture, subject experiments.Subject) (found []experiments.Question) {
	for _, q := range p.Direct {
		if q.Subject == subject {
			found = append(found, q)
		}
	}
	return found
}

// requireSums holds what every question promises: parts and sum, maps and parts.
func requireSums(t *testing.T, m experiments.ExploredModel, q experiments.Question, prefix bool) {
	t.Helper()
	sum := 0.0
	for _, v := range q.Parts {
		if !math.IsNaN(v) {
			sum += v
		}
	}
	require.InDelta(t, sum, q.Sum, 1e-9, q.Name)
	require.InDelta(t, q.Value, q.Offset+q.Sum, 1e-4*max(1, math.Abs(q.Value)), q.Name)
	all := 0.0
	for i, values := range q.Maps {
		if values == nil {
			continue
		}
		require.Len(t, values, q.Grids[i]*q.Grids[i])
		mapped := 0.0
		for _, v := range values {
			mapped += float64(v)
		}
		all += mapped
		if !prefix && q.Subject != experiments.OfText {
			require.InDelta(t, q.Parts[i], mapped, 1e-4*max(1, math.Abs(q.Value)), "%s: all of %s comes from its tokens", q.Name, m.Components[i])
		}
	}
	onGrid := 0.0
	for _, v := range q.All {
		onGrid += float64(v)
	}
	require.InDelta(t, all, onGrid, 1e-4*max(1, math.Abs(q.Value)), q.Name)
}

// TestExploreTiny computes it all again, plainly: logits by the model alone, parts and scores of tokens by package decompose
// and the weights of the head.
func TestExploreTiny(t *testing.T) {
	model := tiny.Model(t)
	s := sessionOf(t, extraction.Extraction{Backend: tiny.Backend(t), Model: model, Data: tiny.Noise{N: 8, ClassNames: []string{"a", "b", "c", "d", "e"}}, CacheDir: t.TempDir()})
	found, err := experiments.Explore(t.Context(), s, experiments.ExploreConfig{Pictures: []int{2}, Best: 2, Also: []int{0, 4}, Gallery: 6})
	require.NoError(t, err)
	require.Len(t, found.Pictures, 1)
	p := found.Pictures[0]
	require.Equal(t, "noise-2", p.Name)
	require.Equal(t, "c", p.Label)
	require.Less(t, p.Exactness, 1e-5)
	require.Len(t, found.Missing, 1, "%v: no CLIP reads texts here", found.Missing)
	require.Contains(t, found.Missing[0], "texts")

	z, logits := forward(t, s, model, 2)
	weight, err := tensors.CopyFlatData[float32](model.Weight("head.weight"))
	require.NoError(t, err)
	bias, err := tensors.CopyFlatData[float32](model.Weight("head.bias"))
	require.NoError(t, err)
	d, err := decompose.New(tiny.Backend(t), model, decompose.Options{})
	require.NoError(t, err)
	defer d.Close()
	require.Equal(t, d.Components(), found.Components)
	byClass, err := decompose.NewScorer(tiny.Backend(t), model, decompose.Options{})
	require.NoError(t, err)
	defer byClass.Close()
	parts := make([][]float32, 8) // [picture][component*dim]
	representations := make([][]float32, 8)
	for i := range parts {
		picture, err := s.Data.Picture(i)
		require.NoError(t, err)
		pixels, err := model.Preprocess.Apply(picture)
		require.NoError(t, err)
		out, err := d.Run(tensors.FromFlatDataAndDimensions(pixels, 1, 3, tiny.Side, tiny.Side))
		require.NoError(t, err)
		parts[i], representations[i] = out.Contributions, out.Representation
	}
	product := func(a, b []float32) (sum float64) {
		for i := range a {
			sum += float64(a[i]) * float64(b[i])
		}
		return sum
	}

	classes := ofSubject(p, experiments.OfClass)
	require.GreaterOrEqual(t, len(classes), 3)
	names := map[string]int{"class 0": 0, "class 1": 1, "class 2": 2, "class 3": 3, "class 4": 4}
	asked := make(map[int]bool)
	for _, q := range classes {
		class, ok := names[q.Name]
		require.True(t, ok, q.Name)
		asked[class] = true
		require.InDelta(t, logits[class], q.Value, 1e-4)
		require.InDelta(t, bias[class], q.Offset, 1e-5)
		requireSums(t, found, q, true)
		direction := weight[class*tiny.Dim:][:tiny.Dim]
		for i := range q.Parts {
			require.InDelta(t, product(parts[2][i*tiny.Dim:][:tiny.Dim], direction), q.Parts[i], 1e-4, found.Components[i])
			// The pictures of the data to which it adds most.
			require.Len(t, q.Tops[i], 4)
			least := math.Inf(1)
			for _, top := range q.Tops[i] {
				v := product(parts[top][i*tiny.Dim:][:tiny.Dim], direction)
				require.LessOrEqual(t, v, least+1e-4)
				least = v
			}
			for other := range 6 {
				v := product(parts[other][i*tiny.Dim:][:tiny.Dim], direction)
				require.True(t, v <= least+1e-4 || contains(q.Tops[i], other), "picture %d", other)
			}
		}
		picture, err := s.Data.Picture(2)
		require.NoError(t, err)
		pixels, err := model.Preprocess.Apply(picture)
		require.NoError(t, err)
		scored, _, err := byClass.Run(tensors.FromFlatDataAndDimensions(pixels, 1, 3, tiny.Side, tiny.Side), []int{class})
		require.NoError(t, err)
		mapped := 0
		for _, c := range scored {
			for i, o := range found.Components {
				if o != c.Component || q.Maps[i] == nil {
					continue
				}
				mapped++
				require.Equal(t, decompose.Head, c.Kind, "MLPs are read at the class token alone")
				for k, v := range c.Values[1:] {
					require.InDelta(t, v, q.Maps[i][k], 1e-4)
				}
			}
		}
		require.Equal(t, 4, mapped, "two heads in two blocks")
	}
	require.True(t, asked[0] && asked[4])
	require.InDelta(t, p.Classes[0].Logit, maxOf(logits), 1e-4)

	share := ofSubject(p, experiments.OfShare)
	require.Len(t, share, 1)
	require.InDelta(t, 1, share[0].Sum, 1e-5)
	for i, v := range share[0].Parts {
		require.InDelta(t, product(parts[2][i*tiny.Dim:][:tiny.Dim], z)/product(z, z), v, 1e-5)
	}
	requireSums(t, found, share[0], true)
}

func contains(list []int, v int) bool {
	for _, o := range list {
		if o == v {
			return true
		}
	}
	return false
}

func maxOf(values []float32) float64 {
	most := math.Inf(-1)
	for _, v := range values {
		most = max(most, float64(v))
	}
	return most
}

// TestExploreTexts: of a CLIP and of a model that is aligned with one, the parts sum to the cosine similarity with a text.
func TestExploreTexts(t *testing.T) {
	for name, early := range map[string]string{"clip-mini": "layer:00, mlp", "deit-mini": "layer:00, mlp"} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "clip-mini" {
				t.Skip("aligns a model; not with -short")
			}
			s := smallSession(t, name, sharedCache(t))
			found, err := experiments.Explore(t.Context(), s, experiments.ExploreConfig{Pictures: []int{3}, Texts: []string{"a red car"}, Nearest: 2, Gallery: 40})
			require.NoError(t, err)
			require.Empty(t, found.Missing)
			require.NotEmpty(t, found.Words)
			p := found.Pictures[0]
			texts := ofSubject(p, experiments.OfText)
			require.Len(t, texts, 3)
			require.Equal(t, "a red car", texts[0].Name)
			for _, q := range texts {
				requireSums(t, found, q, true)
				require.LessOrEqual(t, math.Abs(q.Value), 1.0)
			}
			require.GreaterOrEqual(t, texts[1].Value, texts[2].Value, "the nearest comes first")
			r := readingOf(t, s)
			embedding, err := r.Phrases(t.Context(), []string{"a red car"})
			require.NoError(t, err)
			cosines := decompose.Cosines(r.Aligned.Total(), repeat(embedding, r.Aligned.Pictures), r.Aligned.Dim)
			require.InDelta(t, cosines[3], texts[0].Value, 1e-4, "as the reading of all pictures says")
			for i, c := range found.Components {
				if c.String() == early {
					require.Equal(t, name != "clip-mini", math.IsNaN(texts[0].Parts[i]), "an alignment knows the last five blocks")
				}
			}
			for _, q := range ofSubject(p, experiments.OfClass) {
				requireSums(t, found, q, true)
			}
		})
	}
}

func repeat(row []float32, n int) (rows []float32) {
	for range n {
		rows = append(rows, row...)
	}
	return rows
}

// TestExploreStaged: each map is on its block's own grid, and all of a part comes from its tokens where there is no class token.
func TestExploreStaged(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a model in stages; not with -short")
	}
	s := smallSession(t, "swin-mini", sharedCache(t))
	found, err := experiments.Explore(t.Context(), s, experiments.ExploreConfig{Pictures: []int{0}, Best: 1, Alone: true, NoTexts: true})
	require.NoError(t, err)
	q := ofSubject(found.Pictures[0], experiments.OfClass)[0]
	requireSums(t, found, q, false)
	grids := make(map[int]bool)
	mlps := 0
	for i, values := range q.Maps {
		if values != nil {
			grids[q.Grids[i]] = true
			if found.Components[i].Kind == decompose.MLP {
				mlps++
			}
		}
	}
	require.Greater(t, len(grids), 1, "%v: stages have grids of their own", grids)
	require.Positive(t, mlps, "MLPs are read at all tokens")
}

func TestExploreMistakes(t *testing.T) {
	model := tiny.Model(t)
	s := sessionOf(t, extraction.Extraction{Backend: tiny.Backend(t), Model: model, Data: tiny.Noise{N: 4}, CacheDir: t.TempDir()})
	for says, config := range map[string]experiments.ExploreConfig{
		"there is no picture 4":    {Pictures: []int{4}},
		"has no class 5: it has 5": {Also: []int{5}},
		"option Reference":         {Texts: []string{"a car"}},
		"option NoTexts leaves":    {Texts: []string{"a car"}, NoTexts: true},
		"option Best: -1 is not":   {Best: -1},
	} {
		_, err := experiments.Explore(t.Context(), s, config)
		require.ErrorContains(t, err, says)
	}
	e, err := experiments.NewExplorer(t.Context(), s, experiments.ExploreConfig{Alone: true, NoTexts: true})
	require.NoError(t, err)
	defer e.Close()
	_, err = e.Texts(t.Context(), 0, "a car")
	require.ErrorContains(t, err, "no CLIP")
	_, err = e.Classes(t.Context(), 0, 9)
	require.ErrorContains(t, err, "no class 9")
	require.False(t, e.HasTexts())
}

// mixed is an architecture whose representation is a mixture of the tokens that nothing marks as a choice of tokens.
type mixed struct{ gomlxvit.Architecture }

func (m mixed) Representation(w gomlxvit.Weights, pixels *graph.Node) *graph.Node {
	z := m.Architecture.Representation(w, pixels)
	return graph.ReduceSum(graph.Stack([]*graph.Node{z, graph.MulScalar(z, 0.5)}, 1), 1)
}

// TestExploreWithoutMaps: where tokens cannot be followed there are no maps, and the sums are there.
func TestExploreWithoutMaps(t *testing.T) {
	model := *tiny.Model(t)
	model.Arch = mixed{model.Arch}
	s := sessionOf(t, extraction.Extraction{Backend: tiny.Backend(t), Model: &model, Data: tiny.Noise{N: 4}, CacheDir: t.TempDir()})
	found, err := experiments.Explore(t.Context(), s, experiments.ExploreConfig{Best: 1, Alone: true, NoTexts: true})
	require.NoError(t, err)
	require.Contains(t, found.Missing[0], "maps: ")
	for _, q := range found.Pictures[0].Direct {
		requireSums(t, found, q, true)
		require.Nil(t, q.All)
	}
}
