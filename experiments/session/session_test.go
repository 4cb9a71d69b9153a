package session_test

import (
	"context"
	"errors"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments/cache"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/statistics"
	"vitdecompose/experiments/tiny"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/golden"
	"vitdecompose/plots"
)

// A session's albums show pictures to sheets.
var (
	_ plots.Album     = session.Album{}
	_ plots.MaskAlbum = session.View{}
)

// TestRealign goes from one lambda to another and back.
func TestRealign(t *testing.T) {
	if testing.Short() {
		t.Skip("trains alignments; not with -short")
	}
	dir := t.TempDir()
	options := session.Options{Data: "scenes:16", AlignPictures: 64, Blocks: "5"}
	s, heard := tiny.Open(t, dir, options)
	realign := func(lambda float64) [2]float64 {
		t.Helper()
		cosine, orthogonality, err := s.Realign(t.Context(), lambda)
		require.NoError(t, err)
		return [2]float64{cosine, orthogonality}
	}
	own, free := realign(1), realign(0)
	require.Greater(t, free[1], own[1], "free maps are farther from isometries")
	heard.Begun = nil
	require.Equal(t, own, realign(1))
	require.Equal(t, free, realign(0))
	require.NotContains(t, heard.Begun, "aligning", "the cache has both")

	// The same from another cell.
	s, _ = tiny.Open(t, dir, options)
	require.Equal(t, free, realign(0))
	s.Release()
	reading, err := s.Reading(t.Context())
	require.NoError(t, err)
	require.InDelta(t, own[0], statistics.Mean(reading.Quality()), 1e-9, "released, the session reads through its own lambda again")
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
			require.Contains(t, warned[0], "contributions are stored as "+want)
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
	s, _ := tiny.Open(t, dir, session.Options{Model: "clip-mini", Data: "scenes:16"})
	_, err := s.Reading(ctx)
	require.ErrorIs(t, err, context.Canceled)
	s, _ = tiny.Open(t, dir, session.Options{Model: "clip-mini", Data: "scenes:16"})
	reading, err := s.Reading(t.Context())
	require.NoError(t, err)
	require.Equal(t, 16, reading.Pictures)
}

func TestSaveFolder(t *testing.T) {
	s, _ := tiny.Open(t, t.TempDir(), session.Options{Data: "scenes:30"})
	dir := filepath.Join(t.TempDir(), "photos")
	require.NoError(t, s.Pictures().SaveFolder(dir, 20))
	folder, _ := tiny.Open(t, t.TempDir(), session.Options{Data: dir, AlignData: session.TrainingScenes})
	require.Equal(t, 20, folder.Data.Len())
	names, err := folder.FeatureNames()
	require.NoError(t, err)
	require.Contains(t, names, "fabric", "photographs are asked about other features than scenes")
}

func TestFeature(t *testing.T) {
	s, _ := tiny.Open(t, t.TempDir(), session.Options{})
	color, err := s.Feature("color")
	require.NoError(t, err)
	require.Contains(t, color.Instances, "blue color")
	_, err = s.Feature("smell")
	require.EqualError(t, err, "feature smell is not one of color, location, pattern, shape, object")
}

func TestFeatures(t *testing.T) {
	s, _ := tiny.Open(t, t.TempDir(), session.Options{})
	features, err := s.Features(nil, "retrieval", "scenes")
	require.NoError(t, err)
	require.Len(t, features, 5)
	require.Equal(t, map[string]string{"features": "scenes"}, s.Lists())
	require.Len(t, s.Assumptions(), 1)
	own, err := s.Features(features[:1], "retrieval", "scenes")
	require.NoError(t, err)
	require.Equal(t, features[:1], own)
	require.Len(t, s.Assumptions(), 1, "what is given is not assumed")

	named, _ := tiny.Open(t, t.TempDir(), session.Options{Features: "smell"})
	_, err = named.Features(nil, "retrieval", "scenes")
	require.ErrorContains(t, err, "option Features: ")
	require.ErrorContains(t, err, "smell")
}

// TestBank: the words of drawn scenes are for those, and for a reference that knows no others.
func TestBank(t *testing.T) {
	scenes, err := phrases.Bank("scenes")
	require.NoError(t, err)
	general, err := phrases.Bank("general")
	require.NoError(t, err)
	dir := t.TempDir()
	s, _ := tiny.Open(t, t.TempDir(), session.Options{})
	bank, err := s.Bank(nil, "scenes-birds:3")
	require.NoError(t, err)
	require.Equal(t, scenes, bank)
	bank, err = s.Bank(nil, dir)
	require.NoError(t, err)
	require.Equal(t, scenes, bank, "the shipped reference knows no other words")
	s, _ = tiny.Open(t, t.TempDir(), session.Options{Reference: "hf:laion/CLIP"})
	bank, err = s.Bank(nil, dir)
	require.NoError(t, err)
	require.Equal(t, general, bank)
	bank, err = s.Bank([]string{"mauve"}, dir)
	require.NoError(t, err)
	require.Equal(t, []string{"mauve"}, bank)
}

func TestSeveral(t *testing.T) {
	several, err := session.Several(t.Context(), session.Options{Data: "scenes:3"})
	require.NoError(t, err)
	defer several.Close()
	first, err := several.Open(t.Context(), "swin-mini")
	require.NoError(t, err)
	again, err := several.Open(t.Context(), "swin-mini")
	require.NoError(t, err)
	require.Same(t, first, again)
	_, err = several.Open(t.Context(), "swine-mini")
	require.ErrorContains(t, err, "option Model: swine-mini is neither a shipped model nor a directory")

	all, err := several.All(t.Context(), []string{"swin-mini", "deit-mini"})
	require.NoError(t, err)
	require.Same(t, first, all[0])
	require.Equal(t, "deit-mini", all[1].Name)
	require.Equal(t, all[0].Data, all[1].Data)
	checkpoints, sets, err := session.Provenance(all...)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"swin-mini": all[0].Model.Hash, "deit-mini": all[1].Model.Hash}, checkpoints)
	require.Empty(t, sets, "no experiment has looked at pictures")
	for _, s := range all {
		_, err := s.Classified(t.Context())
		require.NoError(t, err)
	}
	_, sets, err = session.Provenance(all...)
	require.NoError(t, err)
	hash, err := all[0].Data.Hash()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"scenes:3": hash}, sets)
	all[0].Release()
	all[1].Release()
	_, sets, err = session.Provenance(all...)
	require.NoError(t, err)
	require.Empty(t, sets, "what is released is forgotten")
}

// TestWith takes what is given, under the names that the options have for it.
func TestWith(t *testing.T) {
	ds := tiny.Noise{N: 4}
	s, err := session.With(t.Context(), session.Options{Model: "tiny", Pictures: 3, CacheDir: t.TempDir()},
		session.Given{Backend: tiny.Backend(t), Model: tiny.Model(t), Data: ds})
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, "tiny", s.Name)
	require.Equal(t, 3, s.Data.Len())
	backend, err := s.Backend()
	require.NoError(t, err)
	require.Equal(t, tiny.Backend(t), backend)
	e, err := s.Classified(t.Context())
	require.NoError(t, err)
	parts, err := e.Parts(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, parts.Pictures)
	err = s.CanRead(t.Context())
	require.ErrorContains(t, err, "option Reference: the shipped clip-ref-mini")
	require.ErrorContains(t, err, "option AlignData")
	require.ErrorContains(t, s.CanReadOf(t.Context(), "waterbirds:x"), "option Reference")
	require.NoError(t, s.CanReadOf(t.Context(), "scenes-birds:40"))
	require.ErrorContains(t, s.CanReadOf(t.Context(), "waterbirds:x"), "option Reference", "the shipped one was opened for drawn birds")
	_, sets, err := session.Provenance(s)
	require.NoError(t, err)
	require.Contains(t, sets, "pictures given")
}

func TestErrors(t *testing.T) {
	folder := t.TempDir()
	open, err := session.Open(t.Context(), session.Options{Data: "scenes:1"})
	require.NoError(t, err)
	require.NoError(t, open.Pictures().SaveFolder(folder, 1))
	names := filepath.Join(t.TempDir(), "names.txt")
	require.NoError(t, os.WriteFile(names, []byte("one\ntwo\n"), 0o666))
	for want, options := range map[string]session.Options{
		"option Model: deit_base_patch16_224 is an architecture": {Model: "deit_base_patch16_224", Data: "scenes:1"},
		"option Data: ":                                                      {Data: "scenes:many"},
		"option Blocks: \"9\" is not a range":                                {Blocks: "9"},
		"option Pictures: -1 is not at least 0":                              {Pictures: -1},
		"option MaxBad: -1 is not at least 0":                                {MaxBad: -1},
		"option Batch: -1 is not at least 1":                                 {Batch: -1},
		"option AlignPictures: -1 is not at least 0":                         {AlignPictures: -1},
		"option Devices: -1 is not at least 1":                               {Devices: -1},
		`option Precision: "half" is not one of float32, bfloat16`:           {Precision: "half"},
		`option Keep: "int8" is not one of float32, float16, bfloat16`:       {Keep: "int8"},
		"option Lambda: -1 is not at least 0":                                {Lambda: new(-1.0)},
		"option Lambda: NaN is not a finite number":                          {Lambda: new(math.NaN())},
		"option ClassNames: " + names + " names 2 classes, deit-mini has 12": {ClassNames: names},
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
	reading := func(s *session.Session) error { _, err := s.Reading(t.Context()); return err }
	classified := func(s *session.Session) error { _, err := s.Classified(t.Context()); return err }
	lacks("option Reference: the shipped clip-ref-mini knows", session.Options{Data: folder}, reading)
	lacks("option AlignData: deit-mini is not a CLIP", session.Options{Data: folder, Reference: "clip-ref-mini"}, reading)
	lacks("option Reference: deit-mini has no text tower", session.Options{Reference: "deit-mini"}, reading)
	lacks("option Templates: ", session.Options{Templates: filepath.Join(folder, "none.txt")}, reading)
	lacks("option HeadData: dino-mini has no classifier head", session.Options{Model: "dino-mini", Data: folder}, classified)
	lacks("option HeadData: dino-mini has no classifier head", session.Options{Model: "dino-mini", Data: folder}, func(s *session.Session) error { return s.CanClassify(t.Context()) })
	lacks("option ClassNames: clip-mini gets its head from the names of the classes", session.Options{Model: "clip-mini", Data: unnamed(t)}, func(s *session.Session) error { return s.HasHead(t.Context()) })
}

// unnamed is a folder with a picture of no class.
func unnamed(t *testing.T) string {
	t.Helper()
	s, err := session.Open(t.Context(), session.Options{Data: "scenes:1"})
	require.NoError(t, err)
	img, err := s.Pictures().Image(0)
	require.NoError(t, err)
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "photo.png"))
	require.NoError(t, err)
	defer file.Close()
	require.NoError(t, png.Encode(file, img))
	return dir
}

func TestCheckpoint(t *testing.T) {
	var unknown *session.UnknownModelError
	_, err := session.Checkpoint(t.Context(), "nothing", checkpoint.Given{})
	require.True(t, errors.As(err, &unknown))
	_, err = session.Checkpoint(t.Context(), filepath.Join(t.TempDir(), "nothing"), checkpoint.Given{})
	require.Error(t, err)
	require.False(t, errors.As(err, &unknown))
}

// A file of weights opens with a configuration, or with the name of its architecture.
func TestFilesOfWeights(t *testing.T) {
	file, config := golden.Shared(t, "golden2", "files", "vit_deit_bf16.pth"), filepath.Join(golden.Dir(t, "vit_deit"), "config.json")
	model, err := session.OpenModel(t.Context(), session.Options{Model: file, Config: config})
	require.NoError(t, err)
	require.Equal(t, 10, model.Arch.NumClasses())
	require.Equal(t, []string{"vit_deit_bf16.pth"}, session.ShortNames([]string{file}))

	for want, options := range map[string]session.Options{
		"option Arch: option Config names":       {Model: file, Arch: "vit_tiny_patch16_224", Config: config},
		"option Arch: architecture":              {Model: file, Arch: "vit_tiny_patch16_225"},
		"option Config: nowhere/config.json":     {Model: file, Config: "nowhere/config.json"},
		"option Model: deit-mini is a shipped":   {Model: "deit-mini", Config: config},
		"option RandomWeights: option Model":     {Model: "vit_tiny_patch16_224", Arch: "vit_tiny_patch16_224", RandomWeights: true},
		"with option Config, or the architectur": {Model: file},
	} {
		_, err := session.OpenModel(t.Context(), options)
		require.ErrorContains(t, err, want)
	}
}

// An architecture by its name leaves classes and pictures open: both are said.
func TestArchitecture(t *testing.T) {
	var noted []string
	model, err := session.OpenModel(t.Context(), session.Options{
		Model: golden.Shared(t, "real", "vit_tiny_patch16_224", "model.safetensors"), Arch: "vit_tiny_patch16_224",
		Note: func(line string) { noted = append(noted, line) },
	})
	require.NoError(t, err)
	require.Equal(t, 1000, model.Arch.NumClasses())
	require.Contains(t, strings.Join(noted, "; "), "pictures are prepared as timm does for all tags of vit_tiny_patch16_224: bicubic, mean [0.5 0.5 0.5]")
	require.Contains(t, strings.Join(noted, "; "), "1000, as the tensor head.weight has rows")
}

func TestNames(t *testing.T) {
	dir := t.TempDir()
	require.Equal(t, "folder:"+dir, session.Dataset(dir))
	require.Equal(t, "scenes:7", session.Dataset("scenes:7"))
	require.True(t, session.Drawn("scenes-birds:7"))
	require.False(t, session.Drawn(dir))
}
