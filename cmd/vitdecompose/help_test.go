package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// update makes testdata anew: go test ./cmd/vitdecompose -update -run 'HelpTexts|Session'.
var update = flag.Bool("update", false, "write what is there now over the texts in testdata and docs")

// requireText holds a text against a file.
func requireText(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o666))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what is said now; look at it and run the test with -update:\n%s", path, diff)
	}
}

// commandLines are the lines that ask for help of every command.
func commandLines(parent string, all []*cobra.Command) []string {
	var lines []string
	for _, c := range all {
		line := strings.TrimSpace(parent + " " + c.Name())
		lines = append(append(lines, line), commandLines(line, c.Commands())...)
	}
	return lines
}

// TestHelpTexts: what help says is in testdata/help.txt, to be read there.
func TestHelpTexts(t *testing.T) {
	var all strings.Builder
	for _, line := range append([]string{""}, commandLines("", commands())...) {
		code, stdout, stderr := runLine(t, line+" --help")
		require.Equal(t, exitDone, code, line)
		require.Empty(t, stderr, line)
		require.NotContains(t, stdout, "Slice")
		require.NotRegexp(t, `\(default -?[0-9]|\(default: [^()]*\) \(default`, stdout, "a default is said once")
		all.WriteString("$ " + strings.Join(strings.Fields("vitdecompose "+line+" --help"), " ") + "\n" + stdout + "\n")
		for text := range strings.Lines(stdout) {
			text = strings.TrimSuffix(text, "\n")
			require.LessOrEqual(t, utf8.RuneCountInString(text), helpWidth, "vitdecompose %s --help: %q", line, text)
			require.Equal(t, strings.TrimRight(text, " "), text)
		}
	}
	requireText(t, filepath.Join("testdata", "help.txt"), all.String())
}

func TestEveryKindOfPicturesIsInHelp(t *testing.T) {
	for _, line := range []string{"run ablation", "run waterbirds", "heatmap", "describe", "align", "bench pipeline"} {
		_, stdout, _ := runLine(t, line+" --help")
		for _, kind := range pictureKinds() {
			require.Contains(t, stdout, "\n  "+kind, line)
		}
	}
	_, stdout, _ := runLine(t, "classify --help")
	require.NotContains(t, stdout, "Pictures, as")
}

func TestShellCompletion(t *testing.T) {
	for _, c := range []struct {
		line   string
		offers []string
	}{
		{"run ablation --model ", []string{"deit-mini", "clip-mini", "swin-mini"}},
		{"run ablation --model deit-mini,sw", []string{"deit-mini,swin-mini"}},
		{"heatmap --data scenes", []string{"scenes:", "scenes-birds:"}},
		{"run waterbirds --uncorrelated w", []string{"waterbirds:"}},
		{"describe --bank ", []string{"scenes", "general"}},
		{"run ranking --features heat", []string{"heatmaps"}},
		{"run all --width ", []string{"column", "page"}},
		{"decompose --split t", []string{"tokens"}},
		{"classify --arch deit_tiny_patch16_2", []string{"deit_tiny_patch16_224"}},
		{"train dino", []string{"dino-mini", "dinov2-mini"}},
		{"setup --device ", []string{"cpu", "cuda", "tpu"}},
		{"run text", []string{"text-retrieval"}},
	} {
		words := strings.Split("__complete "+c.line, " ")
		var stdout, stderr strings.Builder
		require.Equal(t, exitDone, run(t.Context(), words, &stdout, &stderr), c.line)
		var offered []string
		for line := range strings.Lines(stdout.String()) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			offered = append(offered, word)
		}
		require.Subset(t, offered, c.offers, c.line)
	}
}

func TestFlagsNearby(t *testing.T) {
	for line, want := range map[string]string{
		"run ablation --pictues 3":          "did you mean --pictures?",
		"classify --modle deit-mini x":      "did you mean --model?",
		"run heatmaps --text x":             "unknown flag: --text",
		"run ablation --probes 1":           "ablation does not use --probes, which is for image-retrieval, heatmaps",
		"cache export 3f --fromat parquet ": "did you mean --format?",
	} {
		code, _, stderr := runLine(t, line)
		require.Equal(t, exitUsage, code, line)
		require.Contains(t, stderr, want, line)
	}
}
