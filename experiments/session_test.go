package experiments_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/data"
	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/tiny"
	"vitdecompose/gomlxvit/zoo"
)

// TestReading runs what is read by text, on a CLIP, which needs no alignment. A second session finds what it needs in the
// cache, as the next cell of a notebook does.
func TestReading(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	options := session.Options{Model: "clip-mini", Data: "scenes:24", Blocks: "5"}
	s, heard := tiny.Open(t, dir, options)
	text, err := experiments.TextRetrieval(ctx, s, experiments.TextRetrievalConfig{})
	require.NoError(t, err)
	require.Equal(t, "clip-mini", text.Model)
	require.Len(t, text.Features, 5, "those of scenes")
	require.NotEmpty(t, heard.Begun)

	ranking, err := experiments.Ranking(ctx, s, experiments.RankingConfig{})
	require.NoError(t, err)
	pictures, err := experiments.ImageRetrieval(ctx, s, experiments.ImageRetrievalConfig{Probes: []int{1}})
	require.NoError(t, err)
	require.Equal(t, 1, pictures.Probes[0].Picture)
	described, err := experiments.Describe(ctx, s, experiments.DescribeConfig{Texts: 1})
	require.NoError(t, err)
	require.Len(t, described.Words, ranking.Components)

	s, heard = tiny.Open(t, dir, options)
	again, err := experiments.TextRetrieval(ctx, s, experiments.TextRetrievalConfig{})
	require.NoError(t, err)
	require.Equal(t, text, again)
	require.NotContains(t, heard.Begun, "decomposing pictures", "the cache has it")
}

// TestHeaded runs what needs a head.
func TestHeaded(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles many graphs; not with -short")
	}
	ctx := t.Context()
	s, _ := tiny.Open(t, t.TempDir(), session.Options{Model: "clip-mini", Data: "scenes:8", Blocks: "5"})
	heat, err := experiments.Heatmaps(ctx, s, experiments.HeatmapConfig{Texts: []string{"a red car"}, Pictures: []int{2}})
	require.NoError(t, err)
	require.Equal(t, "a red car", heat.Pictures[0].Panels[0].Text)
	class, err := experiments.ClassHeatmaps(ctx, s, experiments.ClassHeatmapConfig{Pictures: []int{2}})
	require.NoError(t, err)
	require.Len(t, class.Pictures[0].Panels, 1)
	segmented, err := experiments.Segmentation(ctx, s, experiments.SegmentationConfig{Methods: []string{experiments.ByDecomposition}})
	require.NoError(t, err)
	require.Equal(t, 8, segmented.Pictures)
	birds, err := experiments.Waterbirds(ctx, s, experiments.WaterbirdsConfig{
		Ablated: 2, Correlated: "scenes-birds:40:1:correlated", Uncorrelated: "scenes-birds:40:2:uncorrelated",
	})
	require.NoError(t, err)
	tested := 0
	for _, g := range birds.Groups {
		tested += g.Pictures
	}
	require.Equal(t, 40/5+40, tested)
	curve, err := experiments.Ablation(ctx, s, experiments.AblationConfig{})
	require.NoError(t, err)
	require.NoError(t, curve.Check())
	require.Less(t, curve.Exactness, 1e-5)
}

func TestDissect(t *testing.T) {
	s, _ := tiny.Open(t, t.TempDir(), session.Options{Data: "scenes:4"})
	parts, err := experiments.Dissect(t.Context(), s, 3)
	require.NoError(t, err)
	require.Less(t, parts.Exactness, 1e-5)
	sum := 0.0
	for i, c := range parts.Shares {
		sum += c.Share
		require.False(t, i > 0 && c.Share > parts.Shares[i-1].Share, "largest first")
	}
	require.InDelta(t, 1, sum, 1e-5)
	require.Equal(t, data.Attributes(s.Data, 3)["object"], parts.Classes[0].Class)
	require.Len(t, parts.Classes, 12)
	_, err = experiments.Dissect(t.Context(), s, 4)
	require.ErrorContains(t, err, "there is no picture 4: the data has 4")
}

// What a session lacks for an experiment is said of the option that would give it.
func TestSessionLacks(t *testing.T) {
	folder := t.TempDir()
	scene, _ := tiny.Open(t, t.TempDir(), session.Options{Data: "scenes:1"})
	require.NoError(t, scene.Pictures().SaveFolder(folder, 1))
	lacks := func(want string, options session.Options, run func(*session.Session) error) {
		t.Helper()
		s, _ := tiny.Open(t, t.TempDir(), options)
		require.ErrorContains(t, run(s), want)
	}
	text := func(s *session.Session) error {
		_, err := experiments.TextRetrieval(t.Context(), s, experiments.TextRetrievalConfig{})
		return err
	}
	ablation := func(s *session.Session) error {
		_, err := experiments.Ablation(t.Context(), s, experiments.AblationConfig{})
		return err
	}
	birds := func(config experiments.WaterbirdsConfig) func(*session.Session) error {
		return func(s *session.Session) error {
			_, err := experiments.Waterbirds(t.Context(), s, config)
			return err
		}
	}
	lacks("option Reference: the shipped clip-ref-mini knows only the words of drawn scenes", session.Options{Data: folder}, text)
	lacks("option AlignData: deit-mini is not a CLIP", session.Options{Data: folder, Reference: zoo.Reference}, text)
	lacks("option Reference: deit-mini has no text tower", session.Options{Reference: "deit-mini"}, text)
	lacks("option Templates: ", session.Options{Templates: filepath.Join(folder, "none.txt")}, text)
	lacks("option HeadData: dino-mini has no classifier head", session.Options{Model: "dino-mini", Data: folder}, ablation)
	lacks("do not belong together", session.Options{}, birds(experiments.WaterbirdsConfig{Uncorrelated: "waterbirds:DIR:test"}))
	lacks("option Correlated: ", session.Options{}, birds(experiments.WaterbirdsConfig{Correlated: "scenes-birds:x"}))
	features := filepath.Join(t.TempDir(), "features.txt")
	require.NoError(t, os.WriteFile(features, []byte("Spurious: water, land\n"), 0o666))
	lacks("option Features: waterbirds needs two features, spurious and core", session.Options{}, birds(experiments.WaterbirdsConfig{Features: features}))
}
