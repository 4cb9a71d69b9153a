package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments/cache"
)

func TestCache(t *testing.T) {
	store := t.TempDir()
	require.Contains(t, succeed(t, "cache", "list", "--cache", store), "there are no stores")
	model := tinyModel(t)
	succeed(t, "run", "ablation", "--model", model, "--data", "watched:9:3", "--cache", store, "--out", t.TempDir())

	listed := succeed(t, "cache", "list", "--cache", store)
	require.Regexp(t, `(?m)^[0-9a-f]{12}  whole            9  attns 0\.\.1 `, listed)
	require.Contains(t, listed, "1 store,")
	hash := regexp.MustCompile(`(?m)^[0-9a-f]{12}`).FindString(listed)
	require.Equal(t, hash+": 2 files, good\n", succeed(t, "cache", "verify", "--cache", store))
	out := filepath.Join(t.TempDir(), "arrays")
	succeed(t, "cache", "export", hash[:4], "--cache", store, "--out", out)
	require.FileExists(t, filepath.Join(out, cache.ContributionsNPY))
	wrote := succeed(t, "cache", "export", hash[:4], "--cache", store, "--out", out, "--format", "parquet")
	require.Equal(t, "wrote "+filepath.Join(out, "contributions")+", components.json beside it\n", wrote)
	require.FileExists(t, filepath.Join(out, cache.ContributionsTable, "part-00000.parquet"))
	require.NoFileExists(t, filepath.Join(out, cache.ContributionsNPY))

	chunks, err := filepath.Glob(filepath.Join(store, "*", "chunk-*"))
	require.NoError(t, err)
	content, err := os.ReadFile(chunks[0])
	require.NoError(t, err)
	content[len(content)/2] ^= 1
	require.NoError(t, os.WriteFile(chunks[0], content, 0o666))
	code, stdout, stderr := program(t, "cache", "verify", hash, "--cache", store)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, chunks[0]+": damaged")
	require.Equal(t, "vitdecompose cache verify: 1 files are wrong; the next runs that need them compute them again\n", stderr)

	require.Contains(t, succeed(t, "cache", "prune", "--cache", store), "0 stores removed")
	require.Contains(t, succeed(t, "cache", "prune", "--unused", "0s", "--cache", store), "1 store removed")
	require.Contains(t, succeed(t, "cache", "list", "--cache", store), "there are no stores")
}

func TestCacheMistakes(t *testing.T) {
	store := t.TempDir()
	fail(t, exitUsage, []string{"list, verify, prune or export"}, "cache")
	fail(t, exitUsage, []string{`"frob"`}, "cache", "frob")
	fail(t, exitUsage, []string{"--unused"}, "cache", "prune", "--unused", "-1h", "--cache", store)
	fail(t, exitUsage, []string{"--out is missing"}, "cache", "export", "abc", "--cache", store)
	fail(t, exitUsage, []string{`--format "csv"`, "numpy, parquet"}, "cache", "export", "abc", "--out", "x", "--format", "csv", "--cache", store)
	fail(t, exitFailed, []string{`begins with "abc"`, "cache list"}, "cache", "export", "abc", "--out", t.TempDir(), "--cache", store)
	fail(t, exitFailed, []string{`begins with "abc"`}, "cache", "verify", "abc", "--cache", store)
}
