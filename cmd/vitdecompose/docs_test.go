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

// documents are those that users read.
func documents(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md"))
	require.NoError(t, err)
	names := []string{"README.md", "CONTRIBUTING.md"}
	for _, page := range pages {
		names = append(names, "docs/"+filepath.Base(page))
	}
	return names
}

// TestREADMEIsShort: what it once had at length is in docs, and the contents know every section.
func TestREADMEIsShort(t *testing.T) {
	readme := readDocument(t, "README.md")
	require.LessOrEqual(t, strings.Count(readme, "\n"), 180)
	contents, _, _ := strings.Cut(readme, "\n## ")
	for _, heading := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(readme, -1) {
		require.Contains(t, contents, "["+heading[1]+"](#"+strings.ToLower(strings.ReplaceAll(heading[1], " ", "-"))+")")
	}
	for _, name := range documents(t)[1:] {
		require.Contains(t, readme, "]("+name+")", "the README leads to %s", name)
	}
}

// TestDocumentsPointSomewhere follows every link of the documents to a file.
func TestDocumentsPointSomewhere(t *testing.T) {
	for _, name := range documents(t) {
		for _, link := range markdownLink.FindAllStringSubmatch(readDocument(t, name), -1) {
			if !strings.Contains(link[1], "://") {
				_, err := os.Stat(filepath.Join("..", "..", filepath.Dir(name), link[1]))
				require.NoError(t, err, "%s links to %s", name, link[1])
			}
		}
	}
}

// TestDocumentsKnowTheCommands holds the documents against what the program can do.
func TestDocumentsKnowTheCommands(t *testing.T) {
	page := readDocument(t, "docs/commands.md")
	var known, runs []string
	for _, c := range commands() {
		known = append(known, c.Name())
	}
	for _, e := range experiments.All() {
		runs = append(runs, e.Name)
	}
	for section, names := range map[string][]string{"# The commands": known, "## Experiments": runs} {
		_, after, found := strings.Cut("\n"+page, "\n"+section+"\n")
		require.True(t, found, section)
		text, _, _ := strings.Cut(after, "\n## ")
		var documented []string
		for _, row := range firstColumn.FindAllStringSubmatch(text, -1) {
			if row[1] != "run" || section == "# The commands" { // the head of the other table
				documented = append(documented, row[1])
			}
		}
		if section == "## Experiments" { // the paper's; `vitdecompose run` lists all
			require.Subset(t, names, documented)
			require.GreaterOrEqual(t, len(documented), 9)
			continue
		}
		require.ElementsMatch(t, names, documented, section)
	}
	for _, name := range documents(t) {
		document := readDocument(t, name)
		for _, flag := range longFlag.FindAllStringSubmatch(strings.Join(ownLines(document), "\n"), -1) {
			var has func(c *cobra.Command) bool
			has = func(c *cobra.Command) bool {
				return c.Flags().Lookup(flag[1]) != nil || c.PersistentFlags().Lookup(flag[1]) != nil || slices.ContainsFunc(c.Commands(), has)
			}
			require.True(t, flag[1] == "help" || slices.ContainsFunc(commands(), has), "%s: no command has the flag --%s", name, flag[1])
		}
		for _, target := range regexp.MustCompile("(?:`|\n    )make ([a-z-]+)").FindAllStringSubmatch(document, -1) {
			require.Contains(t, readDocument(t, "Makefile"), "\n"+target[1]+":", "%s: make %s", name, target[1])
		}
	}
}

// ownLines are the lines of a document without those that call other programs, whose flags are theirs.
func ownLines(document string) []string {
	return slices.DeleteFunc(strings.Split(document, "\n"), func(line string) bool {
		return foreign.MatchString(line)
	})
}

var foreign = regexp.MustCompile(`docker|--gpus|sha256sum|bin/vitdecompose-beam|LONG=1|ARGS=|--target|--job_|--runner|-v "|--pictues`)

// TestREADMECodeRuns: every line of Go in the README is one of an Example that the tests run, which the README links to.
func TestREADMECodeRuns(t *testing.T) {
	var examples strings.Builder
	var blocks [][]string
	for _, name := range []string{"README.md", "docs/library.md"} {
		document := readDocument(t, name)
		for _, link := range regexp.MustCompile(`\[whole\]\(([^)]+_test\.go)\)`).FindAllStringSubmatch(document, -1) {
			examples.WriteString(readDocument(t, filepath.Join(filepath.Dir(name), link[1])))
		}
		blocks = append(blocks, regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(document, -1)...)
	}
	require.Len(t, blocks, 4)
	for _, block := range blocks {
		for line := range strings.Lines(block[1]) {
			require.Contains(t, examples.String(), "\n\t"+strings.TrimSpace(line)+"\n")
		}
	}
}
