// Package results writes what an experiment has found: numbers with all that made them, and tables.
package results

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"vitdecompose/data/atomicfile"
)

// ResultFile and TableFile are the names of what an experiment writes into its directory.
const (
	ResultFile = "result.json"
	TableFile  = "table.csv"
)

// Meta is what made a result: enough to make it again, and to see that two results are not of the same thing.
type Meta struct {
	// Experiment is the name the experiment is run by.
	Experiment string `json:"experiment"`
	// Config is the experiment's configuration; it is written as encoding/json writes it.
	Config any `json:"config"`
	// Seed is what the experiment drew its random numbers from.
	Seed uint64 `json:"seed"`
	// Checkpoints and Data are SHA-256 hashes, in hexadecimal, by the name the user gave.
	Checkpoints map[string]string `json:"checkpoints"`
	Data        map[string]string `json:"data"`
	// Representations say what was taken apart, by the names of the checkpoints.
	Representations map[string]string `json:"representations,omitempty"`
	// Assumptions are what was assumed that changes numbers, a line each.
	Assumptions []string `json:"assumptions,omitempty"`
	// Versions are the versions of this program and of what it computes with: see [Versions].
	Versions map[string]string `json:"versions"`
	// Seconds is how long the experiment took: the one field that differs between runs.
	Seconds float64 `json:"seconds"`
}

// Write writes dir/result.json, making dir: meta, and the result in the field "result". The file is there in
// full or, when an error is returned, as it was. A number that JSON does not have (NaN, an infinity) is an error.
func Write(dir string, result any, meta Meta) error {
	content, err := json.MarshalIndent(struct {
		Meta
		Result any `json:"result"`
	}{meta, result}, "", "  ")
	if err != nil {
		return fmt.Errorf("result of %s: %w", meta.Experiment, err)
	}
	return writeInto(dir, ResultFile, func(w io.Writer) error {
		_, err := w.Write(append(content, '\n'))
		return err
	})
}

// Table is a table of text: rows of as many cells as the header has.
type Table struct {
	Header []string
	Rows   [][]string
}

// WriteTable writes dir/table.csv, making dir. A cell that a spreadsheet would run as a formula, one that begins with =, +, -
// or @ and is no number, gets an apostrophe before it. The file is there in full or, when an error is returned, as it was.
func WriteTable(dir string, table Table) error { return WriteTableAs(dir, TableFile, table) }

// WriteTableAs is [WriteTable] with another name than table.csv.
func WriteTableAs(dir, name string, table Table) error {
	for i, row := range table.Rows {
		if len(row) != len(table.Header) {
			return fmt.Errorf("%s: row %d has %d cells, the header %d", name, i, len(row), len(table.Header))
		}
	}
	return writeInto(dir, name, func(w io.Writer) error {
		out := csv.NewWriter(w)
		if err := out.Write(table.Header); err != nil {
			return err
		}
		for _, row := range table.Rows {
			cells := make([]string, len(row))
			for i, cell := range row {
				cells[i] = harmless(cell)
			}
			if err := out.Write(cells); err != nil {
				return err
			}
		}
		out.Flush()
		return out.Error()
	})
}

// harmless puts an apostrophe before a cell that a spreadsheet would take for a formula: texts, classes and names of files may
// come from anywhere. Numbers stay as they are.
func harmless(cell string) string {
	if cell == "" || !strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return cell
	}
	if _, err := strconv.ParseFloat(cell, 64); err == nil {
		return cell
	}
	return "'" + cell
}

func writeInto(dir, name string, write func(io.Writer) error) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("cannot make the directory for results: %w", err)
	}
	return atomicfile.Write(filepath.Join(dir, name), write)
}

// Rounded writes x to four decimals, enough to compare by.
func Rounded(x float64) string { return strconv.FormatFloat(x, 'f', 4, 64) }

// Number writes x with as few digits as give it back.
func Number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// computing are the modules whose version a result depends on.
var computing = []string{"github.com/gomlx/compute", "github.com/gomlx/go-xla", "github.com/gomlx/gomlx"}

// Versions returns the versions of Go, of this program ("vitdecompose", with the commit where the build knows it), and
// of the modules it computes with, as the running binary was built.
func Versions() map[string]string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return map[string]string{"vitdecompose": "unknown"}
	}
	return versionsOf(info)
}

// Libraries are the versions of what the numbers of a decomposition depend on beside this program, whose own code has
// [decompose.Version]. So a notebook, whose cells are programs of their own, and the command line share a cache.
func Libraries() map[string]string {
	versions := Versions()
	for name := range versions {
		if !slices.Contains(computing, name) {
			delete(versions, name)
		}
	}
	if len(versions) == 0 { // built without the list of modules
		versions["unknown"] = "unknown"
	}
	return versions
}

func versionsOf(info *debug.BuildInfo) map[string]string {
	settings := make(map[string]string)
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	version := info.Main.Version
	if revision := settings["vcs.revision"]; revision != "" && !strings.Contains(version, revision[:min(12, len(revision))]) {
		version += " " + revision
		if settings["vcs.modified"] == "true" {
			version += "+dirty"
		}
	}
	versions := map[string]string{"go": info.GoVersion, "vitdecompose": version}
	for _, dependency := range info.Deps {
		for _, path := range computing {
			if dependency.Path == path {
				for dependency.Replace != nil {
					dependency = dependency.Replace
				}
				versions[path] = dependency.Version
			}
		}
	}
	return versions
}
