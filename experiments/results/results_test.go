package results

import (
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// found is a result of the kind that experiments have.
type found struct {
	Model    string    `json:"model"`
	Pictures int       `json:"pictures"`
	Order    []string  `json:"order"`
	Accuracy []float64 `json:"accuracy"`
}

func (f found) Table() Table {
	table := Table{Header: []string{"model", "component", "accuracy"}}
	for i, component := range f.Order {
		table.Rows = append(table.Rows, []string{f.Model, component, Number(f.Accuracy[i])})
	}
	return table
}

func testResult() found {
	return found{
		Model:    "deit, \"mini\"", // a name that CSV must quote
		Pictures: 3,
		Order:    []string{"init", "layer:00, mlp", "layer:00, attns"},
		Accuracy: []float64{1, 2. / 3, 0},
	}
}

func testMeta() Meta {
	return Meta{
		Experiment:  "ablation",
		Config:      struct{ Pictures int }{3},
		Seed:        math.MaxUint64, // must survive: JSON numbers of other readers are floats, ours are not
		Checkpoints: map[string]string{"b": "02", "a": "01"},
		Data:        map[string]string{"folder:photos": "03"},
		Versions:    map[string]string{"go": "go1"},
		Seconds:     1.5,
	}
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "down")
	if err := Write(dir, testResult(), testMeta()); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(filepath.Join(dir, ResultFile))
	if err != nil {
		t.Fatal(err)
	}

	// What was written comes back, number by number.
	var got struct {
		Meta
		Result found `json:"result"`
	}
	got.Config = new(struct{ Pictures int })
	if err := json.Unmarshal(first, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(testResult(), got.Result); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	want := testMeta()
	want.Config = &struct{ Pictures int }{3}
	if diff := cmp.Diff(want, got.Meta); diff != "" {
		t.Errorf("meta (-want +got):\n%s", diff)
	}

	// The same again gives the same bytes; another time taken changes one line only.
	later := testMeta()
	later.Seconds = 99
	if err := Write(dir, testResult(), later); err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(filepath.Join(dir, ResultFile))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(second), strings.Replace(string(first), `"seconds": 1.5`, `"seconds": 99`, 1); got != want {
		t.Errorf("the second run wrote\n%s\nwant\n%s", got, want)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("%d files in the directory, want result.json alone: %v", len(entries), entries)
	}
}

func TestWriteRefuses(t *testing.T) {
	t.Run("NaN keeps the old file", func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, ResultFile)
		if err := os.WriteFile(file, []byte("old"), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := Write(dir, math.NaN(), testMeta()); err == nil || !strings.Contains(err.Error(), "result of ablation") {
			t.Errorf("NaN: error %v, want one that names the experiment", err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != "old" {
			t.Errorf("the old file holds %q (%v)", got, err)
		}
	})
	t.Run("a file in the way of the directory", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := Write(file, 1, testMeta()); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("error %v, want one that names %s", err, file)
		}
	})
	t.Run("a ragged table", func(t *testing.T) {
		err := WriteTable(t.TempDir(), Table{Header: []string{"a", "b"}, Rows: [][]string{{"1", "2"}, {"3"}}})
		if err == nil || !strings.Contains(err.Error(), "row 1 has 1 cells, the header 2") {
			t.Errorf("error %v", err)
		}
	})
}

func TestWriteTable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep")
	if err := WriteTable(dir, testResult().Table()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, TableFile))
	if err != nil {
		t.Fatal(err)
	}
	const want = `model,component,accuracy
"deit, ""mini""",init,1
"deit, ""mini""","layer:00, mlp",0.6666666666666666
"deit, ""mini""","layer:00, attns",0
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	if err := WriteTableAs(dir, "components.csv", Table{Header: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "components.csv")); err != nil || string(got) != "a\n" {
		t.Errorf("components.csv holds %q (%v)", got, err)
	}
}

// Spreadsheets run cells that begin with one of = + - @ as formulas, unless an apostrophe stands before them (OWASP, "CSV
// Injection").
func TestFormulasAreText(t *testing.T) {
	dir := t.TempDir()
	table := Table{Header: []string{"cell"}, Rows: [][]string{{"=1+1"}, {"@SUM(A1)"}, {"+cmd|' /C calc'!A0"}, {"-x"}, {"\t=1"}, {"-0.5"}, {"+1e-3"}, {"a=b"}, {""}}}
	if err := WriteTable(dir, table); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(filepath.Join(dir, TableFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, row := range rows[1:] {
		got = append(got, row[0])
	}
	want := []string{"'=1+1", "'@SUM(A1)", "'+cmd|' /C calc'!A0", "'-x", "'\t=1", "-0.5", "+1e-3", "a=b"}
	if diff := cmp.Diff(want, got); diff != "" { // a row of one empty cell is an empty line
		t.Errorf("cells (-want +got):\n%s", diff)
	}
	if table.Rows[0][0] != "=1+1" {
		t.Error("the table itself was changed")
	}
}

func TestNumbers(t *testing.T) {
	if got := Number(1.0 / 3); got != "0.3333333333333333" {
		t.Errorf("Number(1/3) = %s", got)
	}
	if got := Rounded(2.0 / 3); got != "0.6667" {
		t.Errorf("Rounded(2/3) = %s", got)
	}
}

func TestVersions(t *testing.T) {
	if got := Versions()["go"]; !strings.HasPrefix(got, "go1.") {
		t.Errorf("Versions()[go] = %q", got)
	}
	info := &debug.BuildInfo{
		GoVersion: "go1.26.8",
		Main:      debug.Module{Path: "vitdecompose", Version: "(devel)"},
		Settings:  []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}},
		Deps: []*debug.Module{
			{Path: "github.com/gomlx/gomlx", Version: "v0.28.0"},
			{Path: "github.com/gomlx/go-xla", Version: "v0.3.0", Replace: &debug.Module{Path: "../go-xla", Version: "v0.3.1"}},
			{Path: "github.com/spf13/cobra", Version: "v1.10.1"},
		},
	}
	want := map[string]string{
		"go":                      "go1.26.8",
		"vitdecompose":            "(devel) 0123456789abcdef+dirty",
		"github.com/gomlx/gomlx":  "v0.28.0",
		"github.com/gomlx/go-xla": "v0.3.1",
	}
	if diff := cmp.Diff(want, versionsOf(info)); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	info.Main.Version = "v0.0.0-20240601120000-0123456789ab"
	if got := versionsOf(info)["vitdecompose"]; got != info.Main.Version {
		t.Errorf("a version that names the commit became %q", got)
	}
}
