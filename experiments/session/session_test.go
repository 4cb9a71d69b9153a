package session_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/data"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments"
	"vitdecompose/experiments/cache"
	"vitdecompose/experiments/session"
	"vitdecompose/plots"
)

// A session's albums show pictures to sheets.
var (
	_ plots.Album     = session.Album{}
	_ plots.MaskAlbum = session.View{}
)

// stages remembers what long work was begun.
type stages struct{ begun []string }

func (s *stages) Start(what string, _ int) { s.begun = append(s.begun, what) }
func (s *stages) Add(int)                  {}
func (s *stages) Done()                    {}

// open opens a session of few pictures that keeps what it computes in a directory.
func open(t *testing.T, dir string, options session.Options) (*session.Session, *stages) {
	t.Helper()
	heard := new(stages)
	options.CacheDir, options.Progress = dir, heard
	options.Warn = func(err error) { t.Error(err) }
	s, err := session.Open(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s, heard
}

// TestReading runs what is read by text, on a CLIP, which needs no alignment. A second session finds what it needs in the
// cache, as the next cell of a notebook does.
func TestReading(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	options := session.Options{Model: "clip-mini", Data: "scenes:24", Blocks: "5"}
	s, heard := open(t, dir, options)
	text, err := s.TextRetrieval(ctx, experiments.TextRetrievalConfig{})
	require.NoError(t, err)
	require.Equal(t, "clip-mini", text.Model)
	require.Len(t, text.Features, 5, "those of scenes")
	require.NotEmpty(t, heard.begun)

	ranking, err := s.Ranking(ctx, experiments.RankingConfig{})
	require.NoError(t, err)
	pictures, err := s.ImageRetrieval(ctx, experiments.ImageRetrievalConfig{Probes: []int{1}})
	require.NoError(t, err)
	require.Equal(t, 1, pictures.Probes[0].Picture)
	words, err := s.Describe(ctx, experiments.DescribeConfig{Texts: 1})
	require.NoError(t, err)
	require.Len(t, words, ranking.Components)

	s, heard = open(t, dir, options)
	again, err := s.TextRetrieval(ctx, experiments.TextRetrievalConfig{})
	require.NoError(t, err)
	require.Equal(t, text, again)
	require.NotContains(t, heard.begun, "decomposing pictures", "the cache has it")
}

// TestHeaded runs what needs a head.
func TestHeaded(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles many graphs; not with -short")
	}
	ctx := t.Context()
	s, _ := open(t, t.TempDir(), session.Options{
		Model: "clip-mini", Data: "scenes:8", Blocks: "5", Correlated: "scenes-birds:40:1:correlated", Uncorrelated: "scenes-birds:40:2:uncorrelated",
	})
	heat, err := s.Heatmaps(ctx, []int{2}, experiments.HeatmapConfig{Texts: []string{"a red car"}})
	require.NoError(t, err)
	require.Equal(t, "a red car", heat.Pictures[0].Panels[0].Text)
	class, err := s.ClassHeatmaps(ctx, []int{2}, false)
	require.NoError(t, err)
	require.Len(t, class.Pictures[0].Panels, 1)
	segmented, err := s.Segmentation(ctx, experiments.SegmentationConfig{Methods: []string{experiments.ByDecomposition}})
	require.NoError(t, err)
	require.Equal(t, 8, segmented.Pictures)
	birds, err := s.Waterbirds(ctx, experiments.WaterbirdsConfig{Ablated: 2})
	require.NoError(t, err)
	tested := 0
	for _, g := range birds.Groups {
		tested += g.Pictures
	}
	require.Equal(t, 40/5+40, tested)
	curve, exactness, err := s.Ablation(ctx)
	require.NoError(t, err)
	require.NoError(t, curve.Check())
	require.Less(t, exactness, 1e-5)
}

func TestDissect(t *testing.T) {
	s, _ := open(t, t.TempDir(), session.Options{Data: "scenes:4"})
	parts, err := s.Dissect(t.Context(), 3)
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
	_, err = s.Dissect(t.Context(), 4)
	require.ErrorContains(t, err, "there is no picture 4: the data has 4")
}

// TestRealign goes from one lambda to another and back.
func TestRealign(t *testing.T) {
	if testing.Short() {
		t.Skip("trains alignments; not with -short")
	}
	dir := t.TempDir()
	options := session.Options{Data: "scenes:16", AlignPictures: 64, Blocks: "5"}
	s, heard := open(t, dir, options)
	realign := func(lambda float64) [2]float64 {
		t.Helper()
		cosine, orthogonality, err := s.Realign(t.Context(), lambda)
		require.NoError(t, err)
		return [2]float64{cosine, orthogonality}
	}
	own, free := realign(1), realign(0)
	require.Greater(t, free[1], own[1], "free maps are farther from isometries")
	heard.begun = nil
	require.Equal(t, own, realign(1))
	require.Equal(t, free, realign(0))
	require.NotContains(t, heard.begun, "aligning", "the cache has both")

	// The same from another cell.
	s, _ = open(t, dir, options)
	require.Equal(t, free, realign(0))
	curve, err := s.Sweep(t.Context(), []float64{1})
	require.NoError(t, err)
	require.InDelta(t, own[0], curve.Points[0].Cosine, 1e-9)
}

// TestKeep keeps contributions in half the room, as --keep does.
func TestKeep(t *testing.T) {
	for option, want := range map[string]string{"": "", "float32": "", "float16": cache.Float16, "bfloat16": cache.BFloat16} {
		dir := t.TempDir()
		var warned []string
		s, err := session.Open(t.Context(), session.Options{Model: "clip-mini", Data: "scenes:8", Blocks: "5", Keep: option, CacheDir: dir,
			Warn: func(err error) { warned = append(warned, err.Error()) }})
		require.NoError(t, err)
		_, err = s.Reading(t.Context())
		require.NoError(t, err)
		s.Close()
		if want == "" {
			require.Empty(t, warned)
		} else {
			require.Len(t, warned, 1)
			require.Contains(t, warned[0], "contributions are kept as "+want)
		}
		stores, err := cache.List(dir)
		require.NoError(t, err)
		require.NotEmpty(t, stores)
		for _, store := range stores {
			require.Equal(t, want, store.Key.Keep)
		}
	}
}

// TestInterrupted ends an extraction; the next session goes on.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, _ := open(t, dir, session.Options{Model: "clip-mini", Data: "scenes:16"})
	_, err := s.TextRetrieval(ctx, experiments.TextRetrievalConfig{})
	require.ErrorIs(t, err, context.Canceled)
	s, _ = open(t, dir, session.Options{Model: "clip-mini", Data: "scenes:16"})
	_, err = s.TextRetrieval(t.Context(), experiments.TextRetrievalConfig{})
	require.NoError(t, err)
}

func TestSaveFolder(t *testing.T) {
	s, _ := open(t, t.TempDir(), session.Options{Data: "scenes:30"})
	dir := filepath.Join(t.TempDir(), "photos")
	require.NoError(t, s.Pictures().SaveFolder(dir, 20))
	folder, _ := open(t, t.TempDir(), session.Options{Data: dir, AlignData: session.TrainingScenes})
	require.Equal(t, 20, folder.Data.Len())
	names, err := folder.FeatureNames()
	require.NoError(t, err)
	require.Contains(t, names, "fabric", "photographs are asked about other features than scenes")
}

func TestFeature(t *testing.T) {
	s, _ := open(t, t.TempDir(), session.Options{})
	color, err := s.Feature("color")
	require.NoError(t, err)
	require.Contains(t, color.Instances, "blue color")
	_, err = s.Feature("smell")
	require.EqualError(t, err, "feature smell is not one of color, location, pattern, shape, object")
}

func TestModels(t *testing.T) {
	models := session.Models{Options: session.Options{Data: "scenes:3"}}
	defer models.Close()
	first, err := models.Open(t.Context(), "swin-mini")
	require.NoError(t, err)
	again, err := models.Open(t.Context(), "swin-mini")
	require.NoError(t, err)
	require.Same(t, first, again)
	_, err = models.Open(t.Context(), "swine-mini")
	require.ErrorContains(t, err, "Model: swine-mini is neither a shipped model nor a directory")
}

func TestErrors(t *testing.T) {
	folder := t.TempDir()
	open, err := session.Open(t.Context(), session.Options{Data: "scenes:1"})
	require.NoError(t, err)
	require.NoError(t, open.Pictures().SaveFolder(folder, 1))
	names := filepath.Join(t.TempDir(), "names.txt")
	require.NoError(t, os.WriteFile(names, []byte("one\ntwo\n"), 0o666))
	for want, options := range map[string]session.Options{
		"Model: deit_base_patch16_224 is an architecture": {Model: "deit_base_patch16_224"},
		"Data: ":                       {Data: "scenes:many"},
		"Blocks: \"9\" is not a range": {Blocks: "9"},
		"must not be negative":         {Pictures: -1},
		`Precision: precision "half" is not float32 or bfloat16`:      {Precision: "half"},
		"Keep: int8 is not float32, float16 or bfloat16":              {Keep: "int8"},
		"Lambda -1 is not a number from 0 on":                         {Lambda: new(-1.0)},
		"ClassNames: " + names + " names 2 classes, deit-mini has 12": {ClassNames: names},
	} {
		_, err := session.Open(t.Context(), options)
		require.ErrorContains(t, err, want)
		require.False(t, strings.Contains(err.Error(), "\n"))
	}

	lacks := func(want string, options session.Options, run func(*session.Session) error) {
		t.Helper()
		options.CacheDir = t.TempDir()
		s, err := session.Open(t.Context(), options)
		require.NoError(t, err)
		require.ErrorContains(t, run(s), want)
	}
	text := func(s *session.Session) error {
		_, err := s.TextRetrieval(t.Context(), experiments.TextRetrievalConfig{})
		return err
	}
	ablation := func(s *session.Session) error { _, _, err := s.Ablation(t.Context()); return err }
	birds := func(s *session.Session) error {
		_, err := s.Waterbirds(t.Context(), experiments.WaterbirdsConfig{})
		return err
	}
	lacks("AlignData: deit-mini is not a CLIP", session.Options{Data: folder}, text)
	lacks("Reference: deit-mini has no text tower", session.Options{Reference: "deit-mini"}, text)
	lacks("Templates: ", session.Options{Templates: filepath.Join(folder, "none.txt")}, text)
	lacks("HeadData: dino-mini has no classifier head", session.Options{Model: "dino-mini", Data: folder}, ablation)
	lacks("are not of one world", session.Options{Uncorrelated: "waterbirds:DIR:test"}, birds)
	lacks("Correlated: ", session.Options{Correlated: "scenes-birds:x"}, birds)
}

func TestCheckpoint(t *testing.T) {
	var unknown *session.UnknownModelError
	_, err := session.Checkpoint(t.Context(), "nothing")
	require.True(t, errors.As(err, &unknown))
	_, err = session.Checkpoint(t.Context(), filepath.Join(t.TempDir(), "nothing"))
	require.Error(t, err)
	require.False(t, errors.As(err, &unknown))
}

func TestNames(t *testing.T) {
	dir := t.TempDir()
	require.Equal(t, "folder:"+dir, session.Dataset(dir))
	require.Equal(t, "scenes:7", session.Dataset("scenes:7"))
	require.True(t, session.Drawn("scenes-birds:7"))
	require.False(t, session.Drawn(dir))
	require.Equal(t, "scenes", session.Bank(dir, "clip-ref-mini"))
	require.Equal(t, "general", session.Bank(dir, "hf:laion/CLIP"))
	require.Equal(t, []string{"landbird"}, session.BirdNames("waterbirds:DIR", []string{"landbird"}))
	_, _, err := session.BirdFeatures([]phrases.Feature{{Name: "Spurious"}})
	require.EqualError(t, err, "waterbirds wants two features, spurious and core")
}
