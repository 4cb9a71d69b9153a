package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// varying are what differs from run to run or from machine to machine, with what the page has instead.
var varying = []struct {
	pattern *regexp.Regexp
	dots    string
}{
	{regexp.MustCompile(`(?m)^[0-9a-f]{12}  `), "............  "},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d`), "....-..-.. ..:.."},
	{regexp.MustCompile(`\d(\.\d+)?e-\d\d`), "...e-.."},
}

// TestSession replays docs/session.md.
func TestSession(t *testing.T) {
	page := filepath.Join("..", "..", "docs", "session.md")
	path, err := filepath.Abs(page)
	require.NoError(t, err)
	emptyMachine(t)
	t.Setenv("GOMLX_BACKEND", "go")
	t.Chdir(t.TempDir())
	writePictures(t, "drawings", 6)
	writeMasks(t, "masks", 6)

	content, err := os.ReadFile(path)
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```console\n(.*?)```")
	replayed := block.ReplaceAllStringFunc(string(content), func(block string) string {
		var out strings.Builder
		out.WriteString("```console\n")
		for line := range strings.Lines(block) {
			command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ vitdecompose ")
			if !ok {
				continue
			}
			_, stdout, stderr := runLine(t, command)
			out.WriteString("$ vitdecompose " + command + "\n" + dotted(stdout) + dotted(stderr))
		}
		return out.String() + "```"
	})
	requireText(t, path, replayed)
}

func dotted(text string) string {
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.dots)
	}
	return text
}
