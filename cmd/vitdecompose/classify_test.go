package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/data/wnid"
)

// classLine is a line of classify: logit, probability, class, name.
var classLine = regexp.MustCompile(`^ {2,}(-?\d+\.\d{3}) +(\d+\.\d{2}) % +(\d+)(?:  (.+))?$`)

func TestClassify(t *testing.T) {
	model := tinyModel(t)
	labels := tinyLabels()
	files := writePictures(t, t.TempDir(), 9) // one more than a batch
	out := succeed(t, append([]string{"classify", "--model", model}, files...)...)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	require.Len(t, lines, 6*len(files))
	for i, file := range files {
		require.Equal(t, file, lines[6*i])
		last := 1e9
		var first [2]float64 // logit and probability
		for k, line := range lines[6*i+1 : 6*i+6] {
			parts := classLine.FindStringSubmatch(line)
			require.NotNil(t, parts, line)
			if k == 0 {
				first[0], _ = strconv.ParseFloat(parts[1], 64)
				first[1], _ = strconv.ParseFloat(parts[2], 64)
			}
			logit, err := strconv.ParseFloat(parts[1], 64)
			require.NoError(t, err)
			require.LessOrEqual(t, logit, last)
			last = logit
			probability, err := strconv.ParseFloat(parts[2], 64)
			require.NoError(t, err)
			// The softmax: probabilities are as the exponentials of the logits, to what is rounded.
			require.InDelta(t, first[1]*math.Exp(logit-first[0]), probability, 0.2)
			class, err := strconv.Atoi(parts[3])
			require.NoError(t, err)
			require.Equal(t, labels[class], parts[4])
		}
	}

	t.Run("one by one it is the same", func(t *testing.T) {
		var single string
		for _, file := range files[:2] {
			single += succeed(t, "classify", "--model", model, file)
		}
		require.True(t, strings.HasPrefix(out, single), "%s\nis not how this begins:\n%s", single, out)
	})
	t.Run("other names", func(t *testing.T) {
		names := filepath.Join(t.TempDir(), "names.txt")
		var text strings.Builder
		for i := range labels {
			fmt.Fprintf(&text, "thing %d\n", i)
		}
		require.NoError(t, os.WriteFile(names, []byte(text.String()), 0o666))
		out := succeed(t, "classify", "--model", model, "--class-names", names, files[0])
		require.Regexp(t, ` (\d+)  thing \d+\n`, out)
	})
	t.Run("no names", func(t *testing.T) {
		nameless := filepath.Join(t.TempDir(), "nameless")
		config := tinyConfig()
		delete(config, "label_names")
		writeModel(t, nameless, config, tinyWeights(t, 1))
		for line := range strings.Lines(succeed(t, "classify", "--model", nameless, files[0])) {
			require.Equal(t, strings.TrimRight(line, " \n"), strings.TrimSuffix(line, "\n"), "no space at the end")
		}
	})
	t.Run("a folder", func(t *testing.T) {
		require.Equal(t, out, succeed(t, "classify", "--model", model, filepath.Dir(filepath.Dir(files[0]))))
	})
	t.Run("ImageNet's names", func(t *testing.T) {
		large := filepath.Join(t.TempDir(), "large")
		config := tinyConfig()
		delete(config, "label_names")
		config["num_classes"], config["model_args"] = 1000, withArgs("num_classes", 1000.0)
		weights := tinyWeights(t, 1)
		for i, w := range weights {
			if head := strings.TrimPrefix(w.Name, "head."); head != w.Name { // more rows of the same
				numbers := w.Data.([]float32)
				weights[i].Shape[0], weights[i].Data = 1000, slices.Repeat(numbers, 100)[:1000*len(numbers)/len(labels)]
			}
		}
		writeModel(t, large, config, weights)
		const assumed = "class names: ImageNet-1k's, the files name none"
		said := succeed(t, "classify", "--model", large, files[0])
		require.Contains(t, said, assumed)
		for _, line := range strings.Split(strings.TrimSuffix(said, "\n"), "\n")[2:] {
			parts := classLine.FindStringSubmatch(line)
			require.NotNil(t, parts, line)
			class, err := strconv.Atoi(parts[3])
			require.NoError(t, err)
			require.Equal(t, wnid.Names()[class], parts[4])
		}
		names := filepath.Join(t.TempDir(), "names.txt")
		require.NoError(t, os.WriteFile(names, []byte(strings.Repeat("thing\n", 1000)), 0o666))
		require.NotContains(t, succeed(t, "classify", "--model", large, "--class-names", names, files[0]), assumed)
	})
	t.Run("another size", func(t *testing.T) {
		require.Contains(t, succeed(t, "classify", "--model", model, "--image-size", "64", files[0]), files[0])
	})
}

func TestClassifyMistakes(t *testing.T) {
	dir := t.TempDir()
	model := tinyModel(t)
	photo := writePictures(t, filepath.Join(dir, "pictures"), 1)[0]
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o666))
		return path
	}
	content, err := os.ReadFile(photo)
	require.NoError(t, err)
	half := write("half.png", string(content[:len(content)/2]))

	headless := filepath.Join(dir, "headless")
	writeHeadless(t, headless)
	broken := func(name string, change func(config map[string]any)) string {
		config := tinyConfig()
		change(config)
		writeModel(t, filepath.Join(dir, name), config, tinyWeights(t, 1))
		return filepath.Join(dir, name)
	}
	truncated := filepath.Join(dir, "truncated")
	writeModel(t, truncated, tinyConfig(), tinyWeights(t, 1))
	require.NoError(t, os.Truncate(filepath.Join(truncated, "model.safetensors"), 20000))
	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.Mkdir(empty, 0o777))

	for _, c := range []struct {
		name  string
		code  int
		args  string
		words []string
	}{
		{"no picture", exitUsage, "--model " + model, []string{"vitdecompose classify", "--help"}},
		{"no such picture", exitFailed, "--model " + model + " missing.png", []string{"missing.png"}},
		{"not a picture", exitFailed, "--model " + model + " " + write("text.png", "no picture"), []string{"text.png"}},
		{"half a picture", exitFailed, "--model " + model + " " + half, []string{"half.png"}},
		{"no such model", exitFailed, "--model frob " + photo, []string{"--model: frob", "neither a shipped model nor a directory", "vitdecompose models"}},
		{"no name", exitUsage, "--model= " + photo, []string{"--model"}},
		{"no such directory", exitFailed, "--model nowhere/frob " + photo, []string{"nowhere/frob", "no such checkpoint directory", "config.json"}},
		{"architecture only", exitFailed, "--model deit_base_patch16_224 " + photo, []string{"--model: deit_base_patch16_224", "no weights ship with it"}},
		{"a file as model", exitFailed, "--model " + photo + " " + photo, []string{photo, "not a file"}},
		{"empty directory", exitFailed, "--model " + empty + " " + photo, []string{empty, "config.json"}},
		{"truncated weights", exitFailed, "--model " + truncated + " " + photo, []string{"model.safetensors", "damaged", "get it again"}},
		{"unknown architecture", exitFailed, "--model " + broken("unknown", func(c map[string]any) { c["architecture"] = "resnet50" }) + " " + photo,
			[]string{"unknown", `"resnet50" is not known`, "vitdecompose models"}},
		{"tensors of another model", exitFailed, "--model " + broken("deeper", func(c map[string]any) { c["model_args"] = withArgs("depth", 3.0) }) + " " + photo,
			[]string{"deeper", "missing", "blocks.2.", "model_args"}},
		{"unknown argument", exitFailed, "--model " + broken("argument", func(c map[string]any) { c["model_args"] = withArgs("frob", 3.0) }) + " " + photo,
			[]string{"argument", "model_args.frob"}},
		{"no head", exitFailed, "--model " + headless + " " + photo, []string{headless, "no classifier head"}},
		{"too few names", exitFailed, "--model " + model + " --class-names " + write("few.txt", "a\nb\n") + " " + photo, []string{"few.txt", "2 classes", "12"}},
		{"no names file", exitFailed, "--model " + model + " --class-names nonames.txt " + photo, []string{"nonames.txt"}},
		{"size", exitUsage, "--model " + model + " --image-size -3 " + photo, []string{"--image-size: -3"}},
		{"size off the grid", exitFailed, "--model " + model + " --image-size 33 " + photo, []string{"33", "multiple of the patch size 8"}},
		{"bad hub name", exitFailed, "--model hf:frob " + photo, []string{"hf:frob", "hf:owner/repo"}},
		{"unknown flag", exitUsage, "--frob", []string{"--frob", "vitdecompose classify --help"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fail(t, c.code, c.words, append([]string{"classify"}, strings.Fields(c.args)...)...)
		})
	}
}
