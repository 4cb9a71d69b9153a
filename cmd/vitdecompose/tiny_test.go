package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/data/scenes"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/safetensors"
)

// tinyArgs are the model_args of the tests' model: a ViT of 2 blocks and 3 heads for 32 x 32 pictures in 16 patches.
var tinyArgs = map[string]any{
	"img_size": 32.0, "patch_size": 8.0, "embed_dim": 24.0, "depth": 2.0, "num_heads": 3.0, "num_classes": 12.0,
}

const (
	tinySide, tinyTokens, tinyDim, tinyBlocks, tinyHeads = 32, 17, 24, 2, 3
	tinyArchitecture                                     = "vit_tiny_patch16_224"
)

// tinyLabels name the classes of the tests' model: those of the scenes, backwards.
func tinyLabels() []string {
	labels := slices.Clone(scenes.Classes)
	slices.Reverse(labels)
	return labels
}

// tinyConfig is the config.json of the tests' model.
func tinyConfig() map[string]any {
	return map[string]any{
		"architecture": tinyArchitecture, "num_classes": len(scenes.Classes), "model_args": tinyArgs, "label_names": tinyLabels(),
		"pretrained_cfg": map[string]any{
			"input_size": []int{3, tinySide, tinySide}, "crop_pct": 1.0, "interpolation": "bicubic",
			"mean": []float64{0.5, 0.5, 0.5}, "std": []float64{0.5, 0.5, 0.5},
		},
	}
}

// tinyWeights are random, large enough for every part of the model to matter.
func tinyWeights(t testing.TB, seed uint64) []safetensors.Tensor {
	t.Helper()
	arch, err := gomlxvit.Timm(tinyArchitecture, tinyArgs)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(seed, 0))
	var tensors []safetensors.Tensor
	for _, p := range arch.Params() {
		size := 1
		for _, d := range p.Dims {
			size *= d
		}
		data := make([]float32, size)
		for i := range data {
			data[i] = float32(rng.NormFloat64() * 0.3)
			if strings.Contains(p.Name, "norm") && strings.HasSuffix(p.Name, "weight") {
				data[i]++
			}
		}
		tensors = append(tensors, safetensors.Tensor{Name: p.Name, Shape: p.Dims, Data: data})
	}
	return tensors
}

// writeModel writes a checkpoint directory.
func writeModel(t testing.TB, dir string, config map[string]any, tensors []safetensors.Tensor) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o777))
	text, err := json.Marshal(config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o666))
	require.NoError(t, safetensors.Write(filepath.Join(dir, "model.safetensors"), nil, tensors))
}

// tinyModel writes the checkpoint directory of the tests' model and returns its path.
func tinyModel(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tiny")
	writeModel(t, dir, tinyConfig(), tinyWeights(t, 1))
	return dir
}

// writePictures writes the first n scenes as PNG files into one sub-folder for each class, and returns their paths in
// the order of the data set.
func writePictures(t testing.TB, dir string, n int) []string {
	t.Helper()
	var files []string
	for i := range n {
		scene := scenes.Draw(0, uint64(i))
		file := filepath.Join(dir, scenes.Classes[scene.Class], fmt.Sprintf("%03d.png", i))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o777))
		var buffer bytes.Buffer
		require.NoError(t, png.Encode(&buffer, scene.Picture().Image()))
		require.NoError(t, os.WriteFile(file, buffer.Bytes(), 0o666))
		files = append(files, file)
	}
	slices.Sort(files)
	return files
}

// writeMasks writes where the objects of the first n scenes are as PNG files named like the pictures of [writePictures].
func writeMasks(t testing.TB, dir string, n int) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o777))
	for i := range n {
		mask := image.NewGray(image.Rect(0, 0, scenes.Size, scenes.Size))
		for at, covered := range scenes.Draw(0, uint64(i)).Mask {
			if covered >= 128 {
				mask.Pix[at] = 255
			}
		}
		var buffer bytes.Buffer
		require.NoError(t, png.Encode(&buffer, mask))
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.png", i)), buffer.Bytes(), 0o666))
	}
}

// program runs a command line and returns what it left behind.
func program(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return programWith(t.Context(), args...)
}

func programWith(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errors bytes.Buffer
	code = run(ctx, args, &out, &errors)
	return code, out.String(), errors.String()
}

// succeed runs a command line that must work without a word on stderr, and returns its output.
func succeed(t testing.TB, args ...string) string {
	t.Helper()
	code, stdout, stderr := program(t, args...)
	require.Equal(t, exitDone, code, stderr)
	require.Empty(t, stderr)
	return stdout
}

// fail runs a command line that must end with code and one line on stderr that holds all of the words.
func fail(t testing.TB, code int, words []string, args ...string) {
	t.Helper()
	got, _, stderr := program(t, args...)
	require.Equal(t, code, got, "exit code; stderr: %s", stderr)
	require.Equal(t, 1, strings.Count(stderr, "\n"), "one line, not %q", stderr)
	for _, word := range words {
		require.Contains(t, stderr, word)
	}
}

// noTemporaries fails when a directory holds a file that was not finished.
func noTemporaries(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, entry := range entries {
		require.NotContains(t, entry.Name(), ".tmp")
	}
}

// withArgs are the model_args of the tests' model with one changed.
func withArgs(key string, value any) map[string]any {
	args := maps.Clone(tinyArgs)
	args[key] = value
	return args
}

// writeHeadless writes the tests' model without its head.
func writeHeadless(t testing.TB, dir string) {
	t.Helper()
	config := tinyConfig()
	config["num_classes"], config["model_args"] = 0, withArgs("num_classes", 0.0)
	delete(config, "label_names")
	isHead := func(t safetensors.Tensor) bool { return strings.HasPrefix(t.Name, "head.") }
	writeModel(t, dir, config, slices.DeleteFunc(tinyWeights(t, 1), isHead))
}
