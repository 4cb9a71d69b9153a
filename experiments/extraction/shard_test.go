package extraction_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/decompose"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/tiny"
)

// chunkFiles lists the files of a store but for temporary ones. Chunks are named by the hash of their content.
func chunkFiles(t testing.TB, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "[^.]*"))
	require.NoError(t, err)
	for _, file := range files {
		name, err := filepath.Rel(dir, file)
		require.NoError(t, err)
		names = append(names, name)
	}
	return names
}

func TestShards(t *testing.T) {
	e := extraction.Extraction{Backend: tiny.Backend(t), Model: tiny.Model(t), Data: tiny.Noise{N: 22}, Batch: 4, CacheDir: t.TempDir()}
	_, err := e.Extract(t.Context())
	require.NoError(t, err)
	want := chunkFiles(t, e.CacheDir)
	require.Len(t, want, 8, "6 chunks, the key and the manifest")

	// Two processes do all shards, one from the first to the last and the other the other way.
	e.CacheDir = t.TempDir()
	var group sync.WaitGroup
	for backwards := range 2 {
		group.Go(func() {
			s, err := e.Shards()
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			shards := s.Cut(2)
			for i := range shards {
				if backwards == 1 {
					i = len(shards) - 1 - i
				}
				report, err := s.Extract(t.Context(), shards[i])
				if err != nil || report.Written+report.Found != min(2, (shards[i].End-shards[i].First+3)/4) {
					t.Errorf("shard %v: %+v, %v", shards[i], report, err)
				}
			}
		})
	}
	group.Wait()
	s, err := e.Shards()
	require.NoError(t, err)
	defer s.Close()
	leftOut, err := s.Finish()
	require.NoError(t, err)
	require.Zero(t, leftOut)
	require.Equal(t, want, chunkFiles(t, e.CacheDir))
	require.Equal(t, []extraction.Shard{{First: 0, End: 8}, {First: 8, End: 16}, {First: 16, End: 22}}, s.Cut(2))
	require.Equal(t, []extraction.Shard{{First: 0, End: 22}}, s.Cut(9))
	require.Equal(t, filepath.Base(s.Dir()), s.Key())
}

func TestShardsLeaveOutWhatCannotBeRead(t *testing.T) {
	e := extraction.Extraction{
		Backend: tiny.Backend(t), Model: tiny.Model(t), Data: tiny.Noise{N: 12, Bad: map[int]bool{5: true, 10: true}}, Batch: 4, MaxBad: 1, CacheDir: t.TempDir(),
	}
	s, err := e.Shards()
	require.NoError(t, err)
	defer s.Close()
	report, err := s.Extract(t.Context(), extraction.Shard{First: 0, End: 8})
	require.NoError(t, err)
	require.Equal(t, extraction.ShardReport{
		Pictures: 7, Written: 2, LeftOut: []extraction.LeftOut{{Index: 5, Name: "noise-5", Why: "noise-5 is too noisy"}},
	}, report)
	_, err = s.Finish()
	require.ErrorContains(t, err, "1 chunks are missing")
	report, err = s.Extract(t.Context(), extraction.Shard{First: 8, End: 12})
	require.NoError(t, err)
	require.Equal(t, 10, report.LeftOut[0].Index)
	leftOut, err := s.Finish()
	require.ErrorContains(t, err, "2 of 12 pictures cannot be read and option MaxBad allows 1")
	require.Equal(t, 2, leftOut)

	// What was left out is tried again. The hash of this data does not show that it was repaired.
	e.Data = tiny.Noise{N: 12}
	repaired, err := e.Shards()
	require.NoError(t, err)
	defer repaired.Close()
	for _, shard := range repaired.Cut(3) {
		report, err := repaired.Extract(t.Context(), shard)
		require.NoError(t, err)
		require.Equal(t, extraction.ShardReport{Pictures: 8, Written: 2, Found: 1}, report)
	}
	leftOut, err = repaired.Finish()
	require.NoError(t, err)
	require.Zero(t, leftOut)
}

func TestShardsMistakes(t *testing.T) {
	e := extraction.Extraction{Backend: tiny.Backend(t), Model: tiny.Model(t), Data: tiny.Noise{N: 10}, Batch: 4, CacheDir: t.TempDir()}
	s, err := e.Shards()
	require.NoError(t, err)
	defer s.Close()
	for _, shard := range []extraction.Shard{{First: -4, End: 4}, {First: 2, End: 6}, {First: 0, End: 6}, {First: 4, End: 4}, {First: 8, End: 12}, {First: 12, End: 16}} {
		_, err := s.Extract(t.Context(), shard)
		require.ErrorContains(t, err, "not whole chunks of 4")
	}

	for _, shard := range s.Cut(1) {
		_, err := s.Extract(t.Context(), shard)
		require.NoError(t, err)
	}
	files, err := filepath.Glob(filepath.Join(s.Dir(), "chunk-00000004-*"))
	require.NoError(t, err)
	require.NoError(t, os.Truncate(files[0], 100))
	_, err = s.Finish()
	require.ErrorContains(t, err, "the first is that of picture 4", "what was good once is read again")

	e.Options.Split = decompose.Tokens
	_, err = e.Shards()
	require.ErrorContains(t, err, "token split")
	e.Options, e.Data = decompose.Options{}, tiny.Noise{}
	_, err = e.Shards()
	require.ErrorContains(t, err, "no pictures")
}
