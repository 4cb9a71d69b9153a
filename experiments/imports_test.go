package experiments_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rooms are the row that data flows along: a package may import those of its own room and of the rooms before it.
var rooms = []string{"data", "gomlxvit", "decompose", "experiments", "plots", "notebook", "cmd"}

// beside are the rooms that stand beside the row. They use what the first room has, and only the last one uses them.
var beside = []string{"jupyter", "docs"}

// floors are the packages of the room experiments: one knows those of the floors below.
var floors = map[string]int{
	"option": 0, "statistics": 0, "memory": 0, "results": 0, "cache": 0,
	"extraction": 1,
	"heads":      2, "study": 2, "bench": 2,
	"session": 3,
	"":        4, // the experiments
}

// onlyTests are packages that no program has.
var onlyTests = []string{"experiments/tiny"}

// split is the room of a package, and its path in there.
func split(name string) (room, rest string) {
	room, rest, _ = strings.Cut(name, "/")
	return room, rest
}

// upward are the imports that go against the direction. imports has those of each package, all by their paths in the module.
func upward(imports map[string][]string) (broken []string) {
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		if slices.Contains(onlyTests, name) {
			continue
		}
		room, rest := split(name)
		if !slices.Contains(rooms, room) && !slices.Contains(beside, room) {
			broken = append(broken, name+" is in no room")
			continue
		}
		if _, placed := floors[rest]; room == "experiments" && !placed {
			broken = append(broken, name+" is on no floor")
		}
		for _, imported := range imports[name] {
			if why := wrongWay(name, imported); why != "" {
				broken = append(broken, fmt.Sprintf("%s imports %s: %s", name, imported, why))
			}
		}
	}
	return broken
}

// wrongWay says why one package may not import another, "" where it may.
func wrongWay(name, imported string) string {
	room, rest := split(name)
	other, otherRest := split(imported)
	if slices.Contains(onlyTests, imported) {
		return "that is for tests"
	}
	last := rooms[len(rooms)-1]
	switch {
	case slices.Contains(beside, room):
		if other != room && other != rooms[0] {
			return "what stands beside the row uses " + rooms[0] + " alone"
		}
	case slices.Contains(beside, other):
		if room != last {
			return "that stands beside the row"
		}
	case slices.Index(rooms, other) > slices.Index(rooms, room):
		return "that is further on in the row"
	case room == "experiments" && other == room:
		if otherRest == "bench" || floors[otherRest] >= floors[rest] {
			return "that is no floor below"
		}
		if rest == "bench" && floors[otherRest] > floors["extraction"] {
			return "what is measured is extraction and what is below it"
		}
	}
	if imported == "experiments/bench" && room != last {
		return "only the command line measures"
	}
	return ""
}

// moduleImports reads the import graph of the module at a directory from its sources, those of all build tags, but for tests.
// Modules within it are others.
func moduleImports(root string) (map[string][]string, error) {
	const module = "vitdecompose/"
	imports := make(map[string][]string)
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			hidden := strings.ContainsRune("._", rune(entry.Name()[0])) || entry.Name() == "testdata"
			_, err := os.Stat(filepath.Join(file, "go.mod"))
			if name != "." && (hidden || err == nil) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		of := path.Dir(filepath.ToSlash(name))
		imports[of] = append(imports[of], []string{}...) // a package is there even if it imports nothing
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if local, ok := strings.CutPrefix(imported, module); ok && !slices.Contains(imports[of], local) {
				imports[of] = append(imports[of], local)
			}
		}
		return nil
	})
	return imports, err
}

// TestImports: data flows one way, as docs/architecture.md says.
func TestImports(t *testing.T) {
	imports, err := moduleImports("..")
	require.NoError(t, err)
	require.Contains(t, imports["experiments"], "experiments/session")
	require.Contains(t, imports["cmd/vitdecompose"], "experiments")
	require.Contains(t, imports, "experiments/statistics")
	for floor := range floors {
		require.Contains(t, imports, path.Join("experiments", floor))
	}
	for _, room := range slices.Concat(rooms, beside) {
		require.True(t, slices.ContainsFunc(slices.Collect(maps.Keys(imports)), func(name string) bool { r, _ := split(name); return r == room }), room)
	}
	require.Empty(t, upward(imports))
}

// TestUpward breaks the direction in every way.
func TestUpward(t *testing.T) {
	good := map[string][]string{
		"data":                   nil,
		"data/scenes":            {"data"},
		"gomlxvit/zoo":           {"data/scenes", "gomlxvit"},
		"decompose":              {"gomlxvit", "data/progress"},
		"experiments/cache":      {"data/atomicfile"},
		"experiments/extraction": {"experiments/cache", "decompose"},
		"experiments/study":      {"experiments/extraction", "experiments/statistics"},
		"experiments/bench":      {"experiments/extraction", "experiments/memory"},
		"experiments/session":    {"experiments/study", "experiments/heads", "experiments/option"},
		"experiments":            {"experiments/session", "experiments/results"},
		"experiments/tiny":       {"gomlxvit"},
		"plots":                  {"experiments", "experiments/session", "data"},
		"cmd/vitdecompose":       {"plots", "experiments/bench", "jupyter/kernel", "data"},
		"notebook":               {"plots/inline", "experiments"},
		"jupyter/kernel":         {"data/atomicfile"},
		"jupyter/headless":       {"jupyter/kernel"},
		"docs/site":              {"data/atomicfile"},
	}
	require.Empty(t, upward(good))
	for edge, says := range map[[2]string]string{
		{"data/scenes", "gomlxvit"}:                     "further on",
		{"gomlxvit/zoo", "decompose/phrases"}:           "further on",
		{"decompose", "experiments/statistics"}:         "further on",
		{"experiments", "plots"}:                        "further on",
		{"experiments/cache", "plots"}:                  "further on",
		{"plots", "cmd/vitdecompose"}:                   "further on",
		{"plots/inline", "notebook"}:                    "further on",
		{"experiments/cache", "experiments/results"}:    "no floor below",
		{"experiments/cache", "experiments"}:            "no floor below",
		{"experiments/extraction", "experiments/heads"}: "no floor below",
		{"experiments/study", "experiments/heads"}:      "no floor below",
		{"experiments/study", "experiments/session"}:    "no floor below",
		{"experiments/session", "experiments"}:          "no floor below",
		{"experiments/bench", "experiments/heads"}:      "no floor below",
		{"experiments/bench", "experiments/session"}:    "no floor below",
		{"experiments", "experiments/bench"}:            "no floor below",
		{"plots", "experiments/bench"}:                  "only the command line",
		{"experiments/study", "experiments/tiny"}:       "for tests",
		{"cmd/vitdecompose", "experiments/tiny"}:        "for tests",
		{"experiments", "jupyter/kernel"}:               "beside the row",
		{"plots", "docs/site"}:                          "beside the row",
		{"jupyter/kernel", "gomlxvit"}:                  "uses data alone",
		{"docs/site", "jupyter/kernel"}:                 "uses data alone",
	} {
		bad := maps.Clone(good)
		bad[edge[0]] = append(slices.Clone(bad[edge[0]]), edge[1])
		broken := upward(bad)
		require.Len(t, broken, 1, "%v", edge)
		require.Contains(t, broken[0], edge[0]+" imports "+edge[1]+": ")
		require.Contains(t, broken[0], says)
	}
	for name, says := range map[string]string{"experiments/util": "on no floor", "tools": "in no room"} {
		bad := maps.Clone(good)
		bad[name] = nil
		require.Equal(t, []string{name + " is " + says}, upward(bad))
	}
}

// TestModuleImports reads a module that has everything that is to be left out.
func TestModuleImports(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                "module vitdecompose\n",
		"a/a.go":                "package a\nimport (\n\t\"fmt\"\n\tb \"vitdecompose/b/c\"\n)\n",
		"a/linux.go":            "//go:build linux\n\npackage a\nimport _ \"vitdecompose/d\"\nimport _ \"vitdecompose/b/c\"\n",
		"a/a_test.go":           "package a\nimport _ \"vitdecompose/tests\"\n",
		"b/c/c.go":              "package c\n",
		"b/testdata/x.go":       "package x\nimport _ \"vitdecompose/a\"\n",
		".git/x.go":             "package x\nimport _ \"vitdecompose/a\"\n",
		"other/go.mod":          "module other\n",
		"other/deep/another.go": "package deep\nimport _ \"vitdecompose/a\"\n",
	} {
		file := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o777))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o666))
	}
	imports, err := moduleImports(root)
	require.NoError(t, err)
	require.Len(t, imports, 2)
	require.Equal(t, []string{"b/c", "d"}, imports["a"])
	require.Empty(t, imports["b/c"])
}
