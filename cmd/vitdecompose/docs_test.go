package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vitdecompose/experiments"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

var (
	markdownLink = regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
	firstColumn  = regexp.MustCompile("(?m)^\\| `([a-z-]+)[^`]*` \\|")
	longFlag     = regexp.MustCompile(`--([a-z][a-z-]+)`)
)

func readDocument(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", name))
	require.NoError(t, err)
	return string(content)
}

// TestDocumentsPointSomewhere follows every link of the documents to a file.
func TestDocumentsPointSomewhere(t *testing.T) {
	for _, name := range []string{"README.md", "docs/architecture.md", "docs/results.md", "docs/zoo.md"} {
		for _, link := range markdownLink.FindAllStringSubmatch(readDocument(t, name), -1) {
			if !strings.Contains(link[1], "://") {
				_, err := os.Stat(filepath.Join("..", "..", filepath.Dir(name), link[1]))
				require.NoError(t, err, "%s links to %s", name, link[1])
			}
		}
	}
}

// TestREADMEKnowsTheCommands holds the README against what the program can do.
func TestREADMEKnowsTheCommands(t *testing.T) {
	readme := readDocument(t, "README.md")
	var known, runs []string
	for _, c := range commands() {
		known = append(known, c.Name())
	}
	for _, e := range experiments.All() {
		runs = append(runs, e.Name)
	}
	for section, names := range map[string][]string{"Commands": known, "Experiments": runs} {
		_, after, found := strings.Cut(readme, "\n## "+section+"\n")
		require.True(t, found, section)
		text, _, _ := strings.Cut(after, "\n## ")
		var documented []string
		for _, row := range firstColumn.FindAllStringSubmatch(text, -1) {
			if row[1] != "run" || section == "Commands" { // the head of the other table
				documented = append(documented, row[1])
			}
		}
		if section == "Experiments" { // the paper's; `vitdecompose run` lists all
			require.Subset(t, names, documented)
			require.GreaterOrEqual(t, len(documented), 9)
			continue
		}
		require.ElementsMatch(t, names, documented, section)
	}
	for _, flag := range longFlag.FindAllStringSubmatch(readme, -1) {
		var has func(c *cobra.Command) bool
		has = func(c *cobra.Command) bool {
			return c.Flags().Lookup(flag[1]) != nil || slices.ContainsFunc(c.Commands(), has)
		}
		require.True(t, flag[1] == "help" || slices.ContainsFunc(commands(), has), "no command has the flag --%s", flag[1])
	}
	for _, target := range regexp.MustCompile(`make ([a-z]+)`).FindAllStringSubmatch(readme, -1) {
		require.Contains(t, readDocument(t, "Makefile"), "\n"+target[1]+":", "make %s", target[1])
	}
}

// TestREADMECodeRuns: every line of Go in the README is one of an Example that the tests run, which the README links to.
func TestREADMECodeRuns(t *testing.T) {
	readme := readDocument(t, "README.md")
	var examples strings.Builder
	for _, link := range regexp.MustCompile(`\[whole\]\(([^)]+)\)`).FindAllStringSubmatch(readme, -1) {
		examples.WriteString(readDocument(t, link[1]))
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readme, -1)
	require.Len(t, blocks, 3)
	for _, block := range blocks {
		for line := range strings.Lines(block[1]) {
			require.Contains(t, examples.String(), "\n\t"+strings.TrimSpace(line)+"\n")
		}
	}
}
