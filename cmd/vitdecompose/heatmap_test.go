package main

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments"
)

// figure checks that a figure is there in all formats.
func figure(t *testing.T, base string) {
	t.Helper()
	for extension, begins := range map[string]string{".png": "\x89PNG", ".svg": "<?xml", ".pdf": "%PDF-", ".txt": "Wh", ".tex": `\caption[Wh`} {
		content, err := os.ReadFile(base + extension)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(content), begins), "%s%s begins with %.20q", base, extension, content)
	}
}

var svgWidthAttribute = regexp.MustCompile(`<svg width="([0-9.]+)pt"`)

// svgWidth is how wide a figure's SVG is, in points.
func svgWidth(t *testing.T, base string) float64 {
	t.Helper()
	content, err := os.ReadFile(base + ".svg")
	require.NoError(t, err)
	found := svgWidthAttribute.FindSubmatch(content)
	require.NotNil(t, found, "%.200s", content)
	width, err := strconv.ParseFloat(string(found[1]), 64)
	require.NoError(t, err)
	return width
}

func TestHeatmap(t *testing.T) {
	model := tinyModel(t)
	pictures := writePictures(t, t.TempDir(), 3)
	out := filepath.Join(t.TempDir(), "out")
	args := append([]string{"heatmap", "--model", model, "--out", out}, pictures...)
	require.Contains(t, succeed(t, args...), "wrote "+filepath.Join(out, "heatmap"))
	figure(t, filepath.Join(out, "heatmap"))
	require.Len(t, rows(t, out), 3, "a panel for each picture")
	var written experiments.HeatmapResult
	meta := resultOf(t, out, &written)
	require.Len(t, written.Models[0].Pictures, 3)
	require.Contains(t, meta.Checkpoints, model)
	require.Contains(t, meta.Representations, model)

	contact := filepath.Join(t.TempDir(), "contact")
	succeed(t, "heatmap", "--model", model, "--out", contact, "--contact", "--class", "1", "--width", "127mm", pictures[0])
	figure(t, filepath.Join(contact, "heatmap"))
	require.InDelta(t, 360, svgWidth(t, filepath.Join(contact, "heatmap")), 0.1, "127 mm are 5 inches of 72 points")
	base := filepath.Base(pictures[0])
	sheet := filepath.Join(contact, "contact-"+strings.TrimSuffix(base, filepath.Ext(base)))
	figure(t, sheet)
	require.InDelta(t, 360, svgWidth(t, sheet), 0.1)
	table := rows(t, contact)
	require.Len(t, table, 1+3, "the sum, and each of three heads of the last block")
	for _, row := range table {
		require.Equal(t, base, row[1])
	}
	noTemporaries(t, contact)
}

func TestHeatmapOfTheStrongestAgainstMasks(t *testing.T) {
	model := tinyModel(t)
	pictures := writePictures(t, t.TempDir(), 2)
	masks, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	writeMasks(t, masks, 2)
	stdout := succeed(t, append([]string{"heatmap", "--model", model, "--top", "1", "--mask", masks, "--out", out}, pictures...)...)
	require.Len(t, regexp.MustCompile(`(?m)^.*00[01]\.png: .+: pixel accuracy [01]\.\d{3}, IoU [01]\.\d{3}, average precision [01]\.\d{3}$`).FindAllString(stdout, -1), 2)
	table := rows(t, out)
	require.Len(t, table, 2*(1+1), "the sum and the strongest head of each picture")
	var written experiments.HeatmapResult
	resultOf(t, out, &written)
	for _, p := range written.Models[0].Pictures {
		for _, panel := range p.Panels {
			require.Positive(t, panel.Mask.Labelled)
		}
	}
	one := filepath.Join(t.TempDir(), "one")
	succeed(t, "heatmap", "--model", model, "--mask", filepath.Join(masks, filepath.Base(pictures[0])), "--out", one, pictures[0])

	other := filepath.Join(t.TempDir(), "small.png")
	require.NoError(t, os.WriteFile(other, smallPNG(t), 0o666))
	for _, c := range []struct {
		words []string
		args  []string
	}{
		{[]string{"--mask: ", "mask of one picture, and there are 2"}, append([]string{"--mask", other}, pictures...)},
		{[]string{"--mask: ", "has no mask"}, []string{"--mask", t.TempDir(), pictures[0]}},
		{[]string{"--mask: ", "2 x 2 pixels"}, []string{"--mask", other, pictures[0]}},
		{[]string{"--mask: ", "nowhere"}, []string{"--mask", "nowhere", pictures[0]}},
		{[]string{"--orient cannot be used with masks"}, []string{"--orient", "--mask", masks, pictures[0]}},
	} {
		fail(t, exitFailed, c.words, append([]string{"heatmap", "--model", model, "--out", t.TempDir()}, c.args...)...)
	}
	fail(t, exitUsage, []string{"--top", "at least 1"}, "heatmap", "--model", model, "--top", "0", pictures[0])
}

func smallPNG(t *testing.T) []byte {
	t.Helper()
	var buffer bytes.Buffer
	require.NoError(t, png.Encode(&buffer, image.NewGray(image.Rect(0, 0, 2, 2))))
	return buffer.Bytes()
}

func TestHeatmapOfManyPictures(t *testing.T) {
	long(t)
	model := tinyModel(t)
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	writePictures(t, dir, onSheet+1)
	succeed(t, "heatmap", "--model", model, "--out", out, dir)
	figure(t, filepath.Join(out, "heatmap-1"))
	figure(t, filepath.Join(out, "heatmap-2"))
	require.Len(t, rows(t, out), onSheet+1)
}

func TestHeatmapOfTexts(t *testing.T) {
	t.Setenv("GOMLX_BACKEND", usersBackend)
	pictures := writePictures(t, t.TempDir(), 2)
	out := filepath.Join(t.TempDir(), "out")
	succeed(t, append([]string{"heatmap", "--model", "clip-mini", "--text", "a blue car", "--text", "forest", "--contact", "--data", "scenes:40",
		"--cache", t.TempDir(), "--out", out}, pictures[0])...)
	base := strings.TrimSuffix(filepath.Base(pictures[0]), ".png")
	figure(t, filepath.Join(out, "contact-"+base+"-1"))
	figure(t, filepath.Join(out, "contact-"+base+"-2"))
	require.NoFileExists(t, filepath.Join(out, "heatmap.png"), "each text has its own sheet")
}

func TestHeatmapMistakes(t *testing.T) {
	model := tinyModel(t)
	picture := writePictures(t, t.TempDir(), 1)[0]
	broken := filepath.Join(t.TempDir(), "broken.png")
	require.NoError(t, os.WriteFile(broken, []byte("\x89PNG\r\n\x1a\n"), 0o666))
	for _, c := range []struct {
		code  int
		args  string
		words []string
	}{
		{exitUsage, "P", []string{"--model is missing"}},
		{exitUsage, "--model M", []string{"requires at least 1 arg"}},
		{exitUsage, "--model M --text x --class 1 P", []string{"--text and --class"}},
		{exitUsage, "--model M --text x P", []string{"--data", "--reference", "--align-data", "--class"}},
		{exitUsage, "--model M --heads 0 P", []string{"--heads"}},
		{exitFailed, "--model M nowhere.jpg", []string{"nowhere.jpg"}},
		{exitFailed, "--model M B", []string{"broken.png"}},
		{exitFailed, "--model M --class 99 P", []string{"--class 99", "0 to 11"}},
		{exitFailed, "--model M --class unicorn P", []string{"--class unicorn", "--class-names"}},
		{exitFailed, "--model M --out /dev/null/x P", []string{"--out"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			args := strings.NewReplacer("--model M", "--model "+model, " P", " "+picture, " B", " "+broken).Replace(" " + c.args)
			fail(t, c.code, c.words, append([]string{"heatmap"}, strings.Fields(args)...)...)
		})
	}
}

// fewBirds is few for an experiment with its own pictures.
func fewBirds(store string, args ...string) []string {
	return append(args, "--cache", store, "--batch", "20", "--align-data", "scenes:80:1", "--align-epochs", "5")
}

func TestRunPictureExperiments(t *testing.T) {
	t.Setenv("GOMLX_BACKEND", usersBackend)
	store := t.TempDir()
	t.Run("heatmaps", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "h")
		succeed(t, few(store, "run", "heatmaps", "--model", "deit-mini", "--probes", "3,7", "--out", dir)...)
		files(t, dir, "heatmaps-deit-mini")
		var result experiments.HeatmapResult
		resultOf(t, dir, &result)
		require.Len(t, result.Models[0].Pictures, 2)
		require.Len(t, rows(t, dir), 2*5)
		fail(t, exitFailed, []string{"no picture 60"}, few(store, "run", "heatmaps", "--model", "deit-mini", "--probes", "60", "--out", dir)...)
	})
	t.Run("segmentation", func(t *testing.T) {
		long(t)
		dir := filepath.Join(t.TempDir(), "s")
		stdout := succeed(t, fewPictures(store, "run", "segmentation", "--model", "deit-mini,swin-mini", "--out", dir)...)
		require.Regexp(t, `(?m)^swin-mini: GradCAM: pixel accuracy 0\.\d+, mIoU 0\.\d+, mAP 0\.\d+$`, stdout)
		files(t, dir, "segmentation", "segmentation-deit-mini", "segmentation-swin-mini")
		require.Len(t, rows(t, dir), 3+2)
		var result experiments.SegmentationResult
		resultOf(t, dir, &result)
		ours, cam := result.Models[0].Scores[0], result.Models[0].Scores[1]
		require.Greater(t, ours.MIoU, cam.MIoU)
	})
	t.Run("waterbirds", func(t *testing.T) {
		long(t)
		dir := filepath.Join(t.TempDir(), "w")
		stdout := succeed(t, fewBirds(store, "run", "waterbirds", "--model", "clip-mini,dino-mini", "--correlated", "scenes-birds:100:1:correlated",
			"--uncorrelated", "scenes-birds:60:2", "--ablated", "4", "--out", dir)...)
		require.Regexp(t, `(?m)^dino-mini: worst group 0\.\d+ -> 0\.\d+, mean of groups 0\.\d+ -> 0\.\d+ with 4 components ablated$`, stdout)
		files(t, dir, "waterbirds")
		require.Len(t, rows(t, dir), 2*6)
		require.FileExists(t, filepath.Join(dir, "components.csv"))
		var result experiments.WaterbirdsResult
		meta := resultOf(t, dir, &result)
		require.Len(t, result.Models[0].Order[0].Words, 5)
		require.Contains(t, meta.Data, "scenes-birds:100:1:correlated")
		fail(t, exitFailed, []string{"do not belong together"}, fewBirds(store, "run", "waterbirds", "--model", "dino-mini", "--correlated", "waterbirds:x", "--out", dir)...)
		fail(t, exitFailed, []string{"must be of two classes"}, fewBirds(store, "run", "waterbirds", "--model", "dino-mini", "--correlated", "scenes:20", "--out", dir)...)
	})
}
