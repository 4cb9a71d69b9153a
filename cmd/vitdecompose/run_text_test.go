package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments"
	"vitdecompose/experiments/bench"
	"vitdecompose/experiments/results"
	"vitdecompose/plots"
)

// few makes an experiment that reads by text quick: few pictures, and an alignment of a few steps.
func few(store string, args ...string) []string {
	return append(fewPictures(store, args...), "--align-data", "scenes:80:1", "--align-epochs", "5")
}

// fewPictures is few for an experiment that aligns nothing.
func fewPictures(store string, args ...string) []string {
	return append(args, "--cache", store, "--data", "scenes:60", "--batch", "20")
}

// files checks what is in a directory: nothing but these, each with its beginning.
func files(t *testing.T, dir string, figures ...string) {
	t.Helper()
	want := map[string]string{"result.json": "{", "table.csv": ""}
	for _, figure := range figures {
		want[figure+".png"], want[figure+".svg"], want[figure+".pdf"] = "\x89PNG", "<?xml", "%PDF-"
		want[figure+".tex"], want[figure+".txt"] = `\caption[`, ""
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	for name, begins := range want {
		require.Contains(t, names, name)
		content, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(content), begins), "%s begins with %.20q", name, content)
	}
}

// resultOf reads the result of result.json.
func resultOf(t *testing.T, dir string, into any) (meta results.Meta) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "result.json"))
	require.NoError(t, err)
	var file struct{ Result json.RawMessage }
	require.NoError(t, json.Unmarshal(content, &file))
	require.NoError(t, json.Unmarshal(file.Result, into))
	require.NoError(t, json.Unmarshal(content, &meta))
	return meta
}

// rows reads table.csv, without its header.
func rows(t *testing.T, dir string) [][]string {
	t.Helper()
	file, err := os.Open(filepath.Join(dir, "table.csv"))
	require.NoError(t, err)
	defer file.Close()
	all, err := csv.NewReader(file).ReadAll()
	require.NoError(t, err)
	require.NotEmpty(t, all)
	return all[1:]
}

func TestRunTextExperiments(t *testing.T) {
	t.Setenv("GOMLX_BACKEND", usersBackend) // the models of the zoo are large for the pure-Go one
	store := t.TempDir()
	out := func(name string) string { return filepath.Join(t.TempDir(), name) }
	t.Run("text-retrieval", func(t *testing.T) {
		long(t)
		dir := out("r")
		stdout := succeed(t, few(store, "run", "text-retrieval", "--model", "deit-mini,clip-mini", "--out", dir)...)
		require.Regexp(t, `(?m)^deit-mini: color: \d+ % of the 9 best are true with the first 3 components, 17 % of all pictures$`, stdout)
		files(t, dir, "text-retrieval-deit-mini", "text-retrieval-clip-mini")
		var result experiments.TextRetrievalResult
		meta := resultOf(t, dir, &result)
		require.Equal(t, 9, result.Top)
		require.Len(t, result.Models, 2)
		require.Len(t, result.Models[0].Features, 5)
		require.Len(t, rows(t, dir), 2*5*4)
		require.Len(t, meta.Checkpoints, 3, "two models and the reference")
		require.Len(t, meta.Data, 2, "what is searched and what was aligned on")
		config := meta.Config.(map[string]any)
		require.Equal(t, "scenes", config["features"])
		require.Equal(t, 5.0, config["align"].(map[string]any)["epochs"])

		again := out("again")
		succeed(t, few(store, "run", "text-retrieval", "--model", "deit-mini,clip-mini", "--out", again)...)
		require.Equal(t, withoutSeconds(t, dir), withoutSeconds(t, again))
	})
	t.Run("ranking", func(t *testing.T) {
		dir := out("r")
		stdout := succeed(t, few(store, "run", "ranking", "--model", "deit-mini", "--out", dir)...)
		require.Contains(t, stdout, "deit-mini: agreement (Spearman)")
		files(t, dir, "ranking")
		require.Len(t, rows(t, dir), 1)
	})
	t.Run("image-retrieval", func(t *testing.T) {
		dir := out("r")
		succeed(t, few(store, "run", "image-retrieval", "--model", "deit-mini", "--probes", "5,2", "--out", dir)...)
		files(t, dir, "image-retrieval-deit-mini")
		var result experiments.ImageRetrievalResult
		resultOf(t, dir, &result)
		require.Equal(t, 5, result.Models[0].Probes[0].Picture)
		require.Len(t, result.Models[0].Probes[1].Searches, 5)
	})
	t.Run("alignment", func(t *testing.T) {
		long(t)
		dir := out("r")
		stdout := succeed(t, few(store, "run", "alignment", "--model", "deit-mini,clip-mini", "--lambda", "0.5", "--out", dir)...)
		require.Contains(t, stdout, "deit-mini: lambda 0.5: cosine similarity")
		require.Contains(t, stdout, "clip-mini: identity: cosine similarity 1.000")
		files(t, dir, "alignment")
		require.Len(t, rows(t, dir), 4)
		require.FileExists(t, filepath.Join(dir, "descriptions.csv"))
	})
	t.Run("causal", func(t *testing.T) {
		long(t)
		dir := out("r")
		features := filepath.Join(t.TempDir(), "features.txt")
		require.NoError(t, os.WriteFile(features, []byte("color: red color, blue color\nobject: cat, car\n"), 0o666))
		stdout := succeed(t, append(fewPictures(store, "run", "causal", "--model", "clip-mini", "--features", features, "--out", dir), "--align-data", "scenes:80:1")...)
		require.Contains(t, stdout, "clip-mini: color: causal score")
		files(t, dir, "causal")
		require.Len(t, rows(t, dir), 2)
	})
	t.Run("describe", func(t *testing.T) {
		dir := out("r")
		bank := filepath.Join(t.TempDir(), "bank.txt")
		require.NoError(t, os.WriteFile(bank, []byte("a red car\nin the snow\n"), 0o666))
		stdout := succeed(t, fewPictures(store, "describe", "--model", "clip-mini", "--blocks", "5", "--texts", "1", "--bank", bank, "--out", dir)...)
		require.Regexp(t, `(?m)^layer:05, mlp  .*(a red car|in the snow)$`, stdout)
		require.Len(t, rows(t, dir), 6)
	})
	t.Run("align", func(t *testing.T) {
		long(t)
		dir, near := out("a"), out("b")
		stdout := succeed(t, few(store, "align", "--model", "deit-mini", "--out", dir)...)
		require.Regexp(t, `(?m)^deit-mini: lambda 1, 15 steps on 80 pictures; cosine similarity 0\.\d+ on held-out pictures`, stdout)
		require.Len(t, rows(t, dir), 26)
		aligner := filepath.Join(dir, "aligner.safetensors")
		stdout = succeed(t, "align", "--model", "deit-mini", "--cache", store, "--data", "scenes:60", "--batch", "20", "--align-data", "scenes:80:1",
			"--lambda", "0.3", "--from", aligner, "--out", near)
		require.Contains(t, stdout, "lambda 0.3, 300 steps", "a warm start")
		succeed(t, "run", "ranking", "--model", "deit-mini", "--cache", store, "--data", "scenes:60", "--batch", "20", "--aligner", aligner, "--out", out("r"))
		fail(t, exitFailed, []string{aligner + " was made for other contributions: the model"}, "run", "ranking", "--model", "dino-mini", "--cache", store, "--data", "scenes:60", "--batch", "20", "--aligner", aligner, "--out", out("r"))
		fail(t, exitFailed, []string{"the blocks: 1..5 there, 2..5 here"}, "describe", "--model", "deit-mini", "--cache", store, "--data", "scenes:60", "--batch", "20", "--blocks", "2..", "--aligner", aligner)
		fail(t, exitFailed, []string{"--from"}, few(store, "align", "--model", "deit-mini", "--from", filepath.Join(dir, "table.csv"), "--out", near)...)
		fail(t, exitUsage, []string{"is a CLIP"}, few(store, "align", "--model", "clip-mini", "--out", near)...)
	})
	t.Run("sweep", func(t *testing.T) {
		dir := out("s")
		succeed(t, few(store, "align", "--model", "deit-mini", "--sweep", "1,0,0.1", "--width", "column", "--out", dir)...)
		files(t, dir, "sweep")
		require.InDelta(t, plots.ColumnWidth.Points(), svgWidth(t, filepath.Join(dir, "sweep")), 0.1)
		require.Len(t, rows(t, dir), 3)
	})
}

func TestRunTextRefuses(t *testing.T) {
	t.Setenv("GOMLX_BACKEND", usersBackend)
	missing := filepath.Join(t.TempDir(), "missing")
	empty := filepath.Join(t.TempDir(), "features.txt")
	require.NoError(t, os.WriteFile(empty, []byte("color:\n"), 0o666))
	for want, test := range map[string]struct {
		code int
		args []string
	}{
		"--lambda: -1 is not at least 0":                                            {exitUsage, []string{"run", "ranking", "--lambda", "-1"}},
		"--align-batch: 0 is not at least 1":                                        {exitUsage, []string{"align", "--align-batch", "0"}},
		"--align-rate: 0 is not at least 1e-12":                                     {exitUsage, []string{"align", "--align-rate", "0"}},
		"--sweep: -2 is not at least 0":                                             {exitUsage, []string{"align", "--sweep", "1,-2"}},
		"for \"--width\" flag: width \"wide\"":                                      {exitUsage, []string{"align", "--width", "wide"}},
		"--from cannot be used with --sweep":                                        {exitUsage, []string{"align", "--sweep", "1", "--from", "x"}},
		"--blocks, --aligner, --config, --arch and --output are for a single model": {exitUsage, []string{"run", "causal", "--blocks", "1.."}},
		`--order: "size" is not one of share, correlation`:                          {exitUsage, []string{"run", "causal", "--order", "size"}},
		"--texts: 0 is not at least 1":                                              {exitUsage, []string{"describe", "--texts", "0"}},
		"--features: ":                                                              {exitFailed, []string{"run", "ranking", "--model", "clip-mini", "--features", missing}},
		empty:                                                                       {exitFailed, []string{"run", "text-retrieval", "--model", "clip-mini", "--features", empty}},
		"--bank: ":                                                                  {exitFailed, []string{"describe", "--model", "clip-mini", "--bank", missing}},
		"--reference: swin-mini has no text tower":                                  {exitFailed, []string{"run", "ranking", "--model", "deit-mini", "--reference", "swin-mini"}},
		"--align-data: ":                                                            {exitFailed, []string{"run", "ranking", "--model", "deit-mini", "--align-data", "scenes:none"}},
		"--clip-dim: 0 is not at least 1":                                           {exitUsage, []string{"bench", "align", "--clip-dim", "0"}},
	} {
		args := test.args
		if args[0] == "run" {
			args = append(args, "--out", t.TempDir(), "--data", "scenes:4")
		}
		fail(t, test.code, []string{want}, args...)
	}
}

func TestBenchAlign(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bench.json")
	code, stdout, stderr := program(t, "bench", "align", "--pictures", "100", "--components", "3", "--dim", "8", "--clip-dim", "6", "--rounds", "5", "--json", file)
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, stdout, "alignment of 100 pictures x 3 components x 8 -> 6, batches of 32, 5 steps")
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	var result bench.AlignResult
	require.NoError(t, json.Unmarshal(content, &result))
	require.Len(t, result.Rows, 2)
	for _, row := range result.Rows {
		require.Positive(t, row.SecondsPerStep)
		require.InDelta(t, 4*row.SecondsPerStep, row.SecondsPerEpoch, 1e-12)
	}
	require.Equal(t, uint64(100*3*8*4), result.ContributionBytes)
}

// On photos of which nothing is known but their classes, all runs all that can be run.
func TestRunAllOnPhotos(t *testing.T) {
	t.Setenv("GOMLX_BACKEND", usersBackend)
	photos, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	writePictures(t, photos, 24)
	features := filepath.Join(t.TempDir(), "features.txt")
	require.NoError(t, os.WriteFile(features, []byte("color: red color, blue color\nlocation: ocean, city\nobject: cat, car\n"), 0o666))
	args := []string{"run", "all", "--model", "deit-mini", "--data", photos, "--features", features, "--bank", "scenes", "--cache", t.TempDir(), "--out", out, "--batch", "12"}
	fail(t, exitFailed, []string{"--reference: the shipped clip-ref-mini knows only the words of drawn scenes", "pictures to align on as --align-data"}, args...)
	fail(t, exitFailed, []string{"--align-data: deit-mini is not a CLIP", "name pictures for that"}, append(slices.Clone(args), "--reference", "clip-ref-mini")...)
	require.NoDirExists(t, filepath.Join(out, "ablation"), "found out before anything is computed")
	fail(t, exitFailed, []string{"--reference: the shipped clip-ref-mini knows only the words of drawn scenes"}, append(args, "--align-data", photos)...)
	long(t)
	stdout := succeed(t, append(args, "--align-data", photos, "--align-epochs", "3", "--reference", "clip-ref-mini")...)
	require.Contains(t, stdout, "causal is left out: nothing is known of the pictures of "+photos)
	files(t, filepath.Join(out, "ablation"), "ablation")
	files(t, filepath.Join(out, "text-retrieval"), "text-retrieval-deit-mini")
	files(t, filepath.Join(out, "alignment"), "alignment")
	require.NoDirExists(t, filepath.Join(out, "causal"))
	var result experiments.TextRetrievalResult
	resultOf(t, filepath.Join(out, "text-retrieval"), &result)
	require.Nil(t, result.Models[0].Features[0].Share, "no truth is known")
}
