package experiments

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testResult() AblationResult {
	return AblationResult{Curves: []AblationCurve{{
		Model:    "deit, \"mini\"", // a name that CSV must quote
		Pictures: 3,
		Order:    []string{"init", "layer:00, mlp", "layer:00, attns"},
		FromInit: []float64{1, 2. / 3, 1. / 3, 0},
		FromLast: []float64{1, 1, 1. / 3, 0},
	}}}
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

func TestWriteResult(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "down")
	if err := WriteResult(dir, testResult(), testMeta()); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(filepath.Join(dir, ResultFile))
	if err != nil {
		t.Fatal(err)
	}

	// What was written comes back, number by number.
	var got struct {
		Meta
		Result AblationResult `json:"result"`
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
	if err := WriteResult(dir, testResult(), later); err != nil {
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

func TestWriteResultRefuses(t *testing.T) {
	t.Run("NaN keeps the old file", func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, ResultFile)
		if err := os.WriteFile(file, []byte("old"), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := WriteResult(dir, math.NaN(), testMeta()); err == nil || !strings.Contains(err.Error(), "result of ablation") {
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
		if err := WriteResult(file, 1, testMeta()); err == nil || !strings.Contains(err.Error(), file) {
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
