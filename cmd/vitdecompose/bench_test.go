package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vitdecompose/experiments/bench"

	"github.com/stretchr/testify/require"
)

// readBench reads what --json wrote.
func readBench[T any](t *testing.T, file string) (result T) {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &result))
	return result
}

func TestBench(t *testing.T) {
	model := tinyModel(t)
	file := filepath.Join(t.TempDir(), "bench.json")
	code, stdout, stderr := program(t, "bench", "--model", model, "--rounds", "1", "--batch", "2", "--json", file)
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, stderr, "round 1 of 1\n")
	for _, want := range []string{model, "batch 2", "images/s", "\nforward ", "\nforward + heads + MLPs, all blocks ", "\nforward + heads + MLPs, blocks 0..1 ", "\nforward + token split, blocks 0..1 ", "\nforward + segmentation maps, blocks 1..1 "} {
		require.Contains(t, stdout, want)
	}

	r := readBench[bench.ModelResult](t, file)
	require.Equal(t, 2, r.Batch)
	require.Equal(t, 1, r.Rounds)
	require.Greater(t, r.Params, 1000)
	require.NotEmpty(t, r.Backend)
	require.Len(t, r.Rows, 5)
	require.Equal(t, 1.0, r.Rows[0].Ratio)
	for i, row := range r.Rows {
		require.Positive(t, row.ImagesPerSec)
		require.Positive(t, row.Ratio)
		require.Less(t, row.Error, 1e-5)
		require.Equal(t, i > 0 && i < 4, row.Error > 0, "the forward pass and maps have no sum")
	}
}

func TestBenchStore(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "bench.json")
	code, stdout, stderr := program(t, "bench", "store", "--pictures", "21", "--components", "3", "--dim", "50", "--rounds", "2", "--dir", dir, "--json", file)
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, stdout, "store of 21 pictures x 3 components x 50, 8 in a file, 2 rounds\n")
	r := readBench[bench.StoreResult](t, file)
	require.Len(t, r.Rows, 9)
	for i, row := range r.Rows {
		require.Equal(t, []string{"float32", "float16", "bfloat16"}[i/3], row.Keep)
		require.Equal(t, []string{"write", "verify", "read"}[i%3], row.Job)
		require.Positive(t, row.MegabytesPerSec)
		require.Positive(t, row.PicturesPerSecond)
		require.Less(t, row.RoundOff, []float64{1e-6, 1e-3, 1e-2}[i/3])
		require.Regexp(t, "(?m)^"+row.Keep+" +"+row.Job+" ", stdout)
	}
	require.Less(t, r.Rows[3].Bytes, r.Rows[0].Bytes)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "only the figures stay")

	fail(t, exitUsage, []string{"--dim"}, "bench", "store", "--dim", "0")
	fail(t, exitFailed, []string{"nowhere"}, "bench", "store", "--pictures", "1", "--dir", filepath.Join(dir, "nowhere"))
}

// TestBenchPeer has a shell script stand in for a python with torch: it says its version, then a line for each pass.
func TestBenchPeer(t *testing.T) {
	model := tinyModel(t)
	script := func(text string) string {
		path := filepath.Join(t.TempDir(), "python")
		require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o777))
		return path
	}
	code, stdout, stderr := program(t, "bench", "--model", model, "--rounds", "1", "--batch", "2",
		"--peer-python", script("echo stand-in 1.0\nwhile read job; do echo done; done\n"))
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, stdout, "\nforward in PyTorch (stand-in 1.0) ")

	code, _, stderr = program(t, "bench", "--model", model, "--rounds", "1", "--batch", "2",
		"--peer-python", script("echo stand-in 1.0\nread job\n"))
	require.Equal(t, exitFailed, code)
	require.Regexp(t, `vitdecompose bench: --peer-python: .*\n$`, stderr)
}

func TestBenchMistakes(t *testing.T) {
	model := tinyModel(t)
	for _, c := range []struct {
		code  int
		args  string
		words []string
	}{
		{exitUsage, "--batch 0", []string{"--batch"}},
		{exitUsage, "--rounds 0", []string{"--rounds"}},
		{exitUsage, "picture.png", []string{"picture.png"}},
		{exitUsage, "--model M --blocks 5..6", []string{`--blocks "5..6"`, "0..1"}},
		{exitUsage, "--model deit_tiny_patch16_224 --random-weights --image-size 32", []string{"--image-size", "--random-weights"}},
		{exitFailed, "--model frob --random-weights", []string{`"frob"`, "vitdecompose models"}},
		{exitFailed, "--model M --json nowhere/bench.json", []string{"--json", "nowhere/bench.json", "does not exist"}},
		{exitFailed, "--model M --peer-python nowhere/python", []string{"--peer-python", "nowhere/python"}},
		{exitFailed, "--model M --peer-python /bin/false", []string{"--peer-python", "torch and timm"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			fail(t, c.code, c.words, append([]string{"bench"}, strings.Fields(strings.ReplaceAll(c.args, "--model M", "--model "+model))...)...)
		})
	}
}

func TestBenchPipeline(t *testing.T) {
	model, dir := tinyModel(t), t.TempDir()
	file := filepath.Join(dir, "bench.json")
	code, stdout, stderr := program(t, "bench", "pipeline", "--model", model, "--pictures", "50", "--batch", "4", "--keep", "float16", "--dir", dir, "--json", file)
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, stdout, "% of the time")
	r := readBench[bench.PipelineResult](t, file)
	require.Equal(t, 50, r.Pictures)
	require.Equal(t, 1, r.Devices)
	require.Positive(t, r.Rate)
	require.Positive(t, r.Waiting)
	require.Less(t, r.Waiting, 1.0)
	require.Greater(t, r.Bytes, int64(50*2)) // more than a number of each picture
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1, "the store is removed")

	code, stdout, stderr = program(t, "bench", "pipeline", "--model", model, "--data", "scenes:12", "--batch", "4")
	require.Equal(t, exitDone, code, stderr)
	require.Regexp(t, "(?m)^pictures +12$", stdout)
	fail(t, exitFailed, []string{"each device needs two batches"}, "bench", "pipeline", "--model", model, "--pictures", "3")
	fail(t, exitUsage, []string{"--devices"}, "bench", "pipeline", "--model", model, "--devices", "-1")
	fail(t, exitUsage, []string{`unknown command "frob"`}, "bench", "frob")
}

func TestBenchScale(t *testing.T) {
	model := tinyModel(t)
	file := filepath.Join(t.TempDir(), "bench.json")
	args := []string{"bench", "scale", "--model", model, "--batches", "2,4", "--rounds", "1", "--side", "64", "--json", file}
	code, stdout, stderr := program(t, append(args, "--precision", "bfloat16")...)
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, stdout, "matrices, bfloat16: ")
	r := readBench[bench.ScaleResult](t, file)
	require.Len(t, r.Rows, 1)
	row := r.Rows[0]
	require.Contains(t, []int{2, 4}, row.Batch)
	require.Positive(t, row.Forward)
	require.Positive(t, row.Decomposed)
	require.Positive(t, row.OfPeak)
	require.Positive(t, row.Difference)
	require.Less(t, row.Difference, 0.05)
	require.Equal(t, 1, row.ByDevices[0].Devices)
	fail(t, exitUsage, []string{"--batches"}, "bench", "scale", "--model", model, "--batches", "0")
	fail(t, exitUsage, []string{`--precision: "half" is not one of`}, "bench", "scale", "--model", model, "--precision", "half")
}
