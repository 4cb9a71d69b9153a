package study_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/data/scenes"
	"vitdecompose/decompose"
	"vitdecompose/experiments/cache"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/memory"
	"vitdecompose/experiments/statistics"
	"vitdecompose/experiments/study"
	"vitdecompose/experiments/tiny"
)

// ordered is contributions in memory, gone through in the order of another source.
type ordered struct {
	*decompose.Contributions
	order func(*rand.Rand) []int
}

func (o ordered) Order(rng *rand.Rand) []int { return o.order(rng) }

// watchedSource records the most that was in memory, and how often chunks were read.
type watchedSource struct {
	study.DiskSource
	most, bytes *int
}

func (w watchedSource) Picture(picture int, x []float32) error {
	err := w.DiskSource.Picture(picture, x)
	*w.most, *w.bytes = max(*w.most, w.Held()), max(*w.bytes, w.HeldBytes())
	return err
}

func diskExtraction(t *testing.T, keep string) extraction.Extraction {
	t.Helper()
	return extraction.Extraction{
		Backend: tiny.Backend(t), Model: tiny.Model(t), Data: tiny.Noise{N: 50, Bad: map[int]bool{3: true, 20: true, 21: true, 22: true, 23: true}},
		Batch: 4, MaxBad: 5, CacheDir: t.TempDir(), Keep: keep,
	}
}

func dropSome(index int) bool { return index%7 == 2 }

// TestAlignFromDisk trains on contributions of which a window is in memory: the maps are those of training in memory in the
// same order, to the last bit, and with a window over everything those of training in memory as it always was.
func TestAlignFromDisk(t *testing.T) {
	e := diskExtraction(t, "")
	config := decompose.AlignConfig{Lambda: 1, LearningRate: 1e-2, Batch: 5, Epochs: 3, Seed: 3}
	for _, window := range []int{1, 3, 12, 100} {
		disk, held, err := study.NewDiskSource(t.Context(), e, window, dropSome)
		require.NoError(t, err)
		_, pictures, _ := disk.Sizes()
		require.Equal(t, held.Pictures, pictures)
		require.Less(t, pictures, 45)
		rng := rand.New(rand.NewPCG(1, 1))
		targets := make([]float32, pictures*3)
		for i := range targets {
			targets[i] = rng.Float32() - 0.5
		}
		most, bytes := 0, 0
		streamed, err := decompose.Align(t.Context(), e.Backend, watchedSource{disk, &most, &bytes}, targets, config, decompose.AlignOptions{})
		require.NoError(t, err)
		require.Equal(t, min(window, disk.Chunks()), most)
		components, _, dim := disk.Sizes()
		require.LessOrEqual(t, bytes, window*e.Batch*len(components)*dim*4)

		var same decompose.AlignSource = ordered{held, disk.Order}
		if window == 100 {
			same = held
		}
		want, err := decompose.Align(t.Context(), e.Backend, same, targets, config, decompose.AlignOptions{})
		require.NoError(t, err)
		require.Equal(t, want, streamed, "window of %d chunks", window)
	}
}

// TestAlignFromDiskOrder goes through every picture once, drawn from a window of chunks at a time, and reads every chunk once.
func TestAlignFromDiskOrder(t *testing.T) {
	e := diskExtraction(t, cache.BFloat16)
	disk, held, err := study.NewDiskSource(t.Context(), e, 3, dropSome)
	require.NoError(t, err)
	order := func(seed uint64) []int { return disk.Order(rand.New(rand.NewPCG(seed, 0))) }
	first := order(1)
	require.Equal(t, first, order(1), "the same seed")
	require.NotEqual(t, first, order(2))
	sorted := slices.Sorted(slices.Values(first))
	for i, picture := range sorted {
		require.Equal(t, i, picture)
	}
	require.Len(t, first, held.Pictures)
	require.False(t, slices.IsSorted(first[:6]) && slices.IsSorted(first[6:12]), "not drawn: %v", first)
	components, _, dim := disk.Sizes()
	x := make([]float32, len(components)*dim)
	for _, picture := range first {
		require.NoError(t, disk.Picture(picture, x))
		require.LessOrEqual(t, disk.Held(), 3)
		for i := range components {
			require.Equal(t, held.Row(i, picture), x[i*dim:][:dim])
		}
	}
}

// TestStudyAlignsFromDisk has too little memory for the contributions: the study reads them from the cache, says so, and finds
// the alignment again; what needs them in memory says what would fit.
func TestStudyAlignsFromDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles many graphs; not with -short")
	}
	small := func(store string) (*study.Study, *[]string) {
		s := smallStudy(t, "deit-mini", store)
		var warnings []string
		s.Data, s.Training, s.Align.Epochs, s.Batch = scenes.New(0, 10), scenes.New(1, 60), 3, 10
		s.Warn = func(err error) { warnings = append(warnings, err.Error()) }
		return s, &warnings
	}
	store := t.TempDir()
	s, _ := small(store)
	parts, err := s.Parts(t.Context())
	require.NoError(t, err)
	picture := uint64(len(parts.Components) * parts.Dim * 4)

	cosines := func(s *study.Study) (heldOut, trained float64) {
		r := openStudy(t, s)
		trained, err := s.TrainCosine(t.Context(), r.Aligner)
		require.NoError(t, err)
		return statistics.Mean(r.Quality()), trained
	}
	heldOut, trained := cosines(s)
	s, _ = small(store)
	inMemory, err := s.Alignment(t.Context())
	require.NoError(t, err)

	// 50 of 60 pictures fit; half of that, and the power of two below it, is the window: some chunks of 10.
	defer memory.Pretend(50 * picture)()
	other, warnings := small(t.TempDir())
	heldOutFromDisk, trainedFromDisk := cosines(other)
	require.True(t, slices.ContainsFunc(*warnings, func(w string) bool {
		return strings.Contains(w, "deit-mini: the contributions of 60 pictures take 0.0 GB, and 0.0 GB of memory are free; the alignment reads them from the cache")
	}), "%v", *warnings)
	disk, err := other.Alignment(t.Context())
	require.NoError(t, err)
	require.Equal(t, inMemory.Components, disk.Components)
	require.Equal(t, inMemory.Steps, disk.Steps)
	require.NotEqual(t, inMemory.Weights, disk.Weights, "another order")
	require.InDelta(t, heldOut, heldOutFromDisk, 0.05)
	require.InDelta(t, trained, trainedFromDisk, 0.05)

	again, warnings := small(other.CacheDir)
	again.Progress = &tiny.Stages{}
	found, err := again.Alignment(t.Context())
	require.NoError(t, err)
	require.Equal(t, disk, found)
	require.NotContains(t, again.Progress.(*tiny.Stages).Begun, "aligning")
	require.Empty(t, *warnings)

	one, err := again.OneMap(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"representation"}, one.Components)

	defer memory.Pretend(10 * picture)() // not even a chunk in half of it
	poor, _ := small(t.TempDir())
	_, err = poor.Alignment(context.Background())
	require.ErrorContains(t, err, "take at most 10 pictures, or fewer blocks")
}
