package cache

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// npy reads what numpy.load reads: the dictionary of a file of version 1.0, and the bytes behind it. That NumPy 2.3 loads
// such files was tried by hand.
func npy(t *testing.T, path string) (dictionary string, numbers []byte) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(content) < 10 || string(content[:8]) != "\x93NUMPY\x01\x00" {
		t.Fatalf("%s begins with %q", path, content[:min(10, len(content))])
	}
	end := 10 + int(binary.LittleEndian.Uint16(content[8:]))
	if end%64 != 0 || end > len(content) || content[end-1] != '\n' {
		t.Fatalf("%s: the numbers begin at %d of %d", path, end, len(content))
	}
	return strings.TrimRight(string(content[10:end]), " \n"), content[end:]
}

func TestExportNumPy(t *testing.T) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	whole(t, dir)
	store := openWhole(t, dir)
	if err := store.ExportNumPy(out); err != nil {
		t.Fatal(err)
	}
	if got, want := list(t, out), []string{ComponentsJSON, ContributionsNPY, IndexNPY, LogitsNPY, RepresentationNPY}; !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
	for name, want := range map[string]string{
		ContributionsNPY:  "{'descr': '<f4', 'fortran_order': False, 'shape': (9, 2, 3, ), }",
		RepresentationNPY: "{'descr': '<f4', 'fortran_order': False, 'shape': (9, 3, ), }",
		LogitsNPY:         "{'descr': '<f4', 'fortran_order': False, 'shape': (9, 2, ), }",
		IndexNPY:          "{'descr': '<i8', 'fortran_order': False, 'shape': (9, ), }",
	} {
		if got, _ := npy(t, filepath.Join(out, name)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	_, contributions := npy(t, filepath.Join(out, ContributionsNPY))
	_, index := npy(t, filepath.Join(out, IndexNPY))
	row := 0
	for _, first := range testFirsts {
		chunk := testChunk(first)
		n := len(chunk.Index)
		for i, position := range chunk.Index {
			if got := int(binary.LittleEndian.Uint64(index[8*row:])); got != position {
				t.Errorf("row %d is picture %d, want %d", row, got, position)
			}
			for component := range 2 {
				for d := range 3 {
					got := math.Float32frombits(binary.LittleEndian.Uint32(contributions[4*((row*2+component)*3+d):]))
					if want := chunk.Contributions[(component*n+i)*3+d]; got != want {
						t.Errorf("picture %d, component %d, dimension %d: %v, want %v", position, component, d, got, want)
					}
				}
			}
			row++
		}
	}
	text, err := os.ReadFile(filepath.Join(out, ComponentsJSON))
	var components []string
	if err != nil || json.Unmarshal(text, &components) != nil || !slices.Equal(components, testChunk(0).Components) {
		t.Errorf("components %q, %v", text, err)
	}
}

func TestExportRefuses(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	store := open(t, dir)
	put(t, store, 0, 4)
	if err := store.ExportNumPy(out); err == nil || !strings.Contains(err.Error(), "1 chunks are missing") {
		t.Errorf("a part of a store: %v", err)
	}
	if names := list(t, out); len(names) > 0 {
		t.Errorf("left %v", names)
	}
	entries, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(entries[0].Dir, keyFile), []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if entries, err = List(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := entries[0].Open(); err == nil || !strings.Contains(err.Error(), "key.json is missing or damaged") {
		t.Errorf("a damaged key: %v", err)
	}
}
