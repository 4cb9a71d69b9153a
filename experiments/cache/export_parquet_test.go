package cache

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// openWhole opens the one store in dir as the command line does.
func openWhole(t *testing.T, dir string) *Store {
	t.Helper()
	entries, err := List(dir)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	store, err := entries[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// rowsOf reads all files of a table.
func rowsOf[R any](t *testing.T, dir string) (rows []R, groups, files int) {
	t.Helper()
	for _, name := range list(t, dir) {
		path := filepath.Join(dir, name)
		read, err := parquet.ReadFile[R](path)
		if err != nil {
			t.Fatal(path, err)
		}
		rows = append(rows, read...)
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		opened, err := parquet.OpenFile(file, info.Size())
		if err != nil {
			t.Fatal(path, err)
		}
		groups += len(opened.RowGroups())
		files++
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return rows, groups, files
}

// floats are the numbers of an array that ExportNumPy wrote.
func floats(t *testing.T, path string) []float32 {
	t.Helper()
	_, content := npy(t, path)
	numbers := make([]float32, len(content)/4)
	for i := range numbers {
		numbers[i] = math.Float32frombits(binary.LittleEndian.Uint32(content[4*i:]))
	}
	return numbers
}

// What the tables hold is what the chunks and the NumPy arrays hold, however it is cut into row groups and files.
func TestExportParquet(t *testing.T) {
	dir, arrays := t.TempDir(), t.TempDir()
	whole(t, dir)
	store := openWhole(t, dir)
	if err := store.ExportNumPy(arrays); err != nil {
		t.Fatal(err)
	}
	contributions := floats(t, filepath.Join(arrays, ContributionsNPY))
	representation := floats(t, filepath.Join(arrays, RepresentationNPY))
	logits := floats(t, filepath.Join(arrays, LogitsNPY))
	components := testChunk(0).Components
	const pictures, dim, classes = 9, 3, 2
	// A row of contributions is of 20 bytes, one of a picture of 28.
	for _, c := range []struct{ group, part, groups, files, pictureGroups, pictureFiles int }{
		{rowGroupBytes, partBytes, 1, 1, 1, 1},
		{60, partBytes, 6, 1, 5, 1},
		{60, 100, 7, 4, 6, 3},
		{1, 1, 18, 18, 9, 9},
	} {
		out := t.TempDir()
		if err := store.exportParquet(out, c.group, c.part); err != nil {
			t.Fatal(err)
		}
		rows, groups, files := rowsOf[ContributionRow](t, filepath.Join(out, ContributionsTable))
		if len(rows) != 2*pictures || groups != c.groups || files != c.files {
			t.Fatalf("row groups of %d bytes in files of %d: %d rows in %d groups and %d files", c.group, c.part, len(rows), groups, files)
		}
		at := 0 // in rows
		before := 0
		for _, first := range testFirsts {
			chunk := testChunk(first)
			for component, name := range chunk.Components {
				for i, position := range chunk.Index {
					inArray := ((before+i)*2 + component) * dim
					want := ContributionRow{int64(position), name, contributions[inArray:][:dim]}
					if got := rows[at]; got.Index != want.Index || got.Component != want.Component || !slices.Equal(got.Contribution, want.Contribution) {
						t.Errorf("row %d is %v, want %v", at, got, want)
					}
					if stored := chunk.Contributions[(component*len(chunk.Index)+i)*dim:][:dim]; !slices.Equal(rows[at].Contribution, stored) {
						t.Errorf("row %d is %v, want the store's %v", at, rows[at], stored)
					}
					at++
				}
			}
			before += len(chunk.Index)
		}
		scored, groups, files := rowsOf[ScoredPictureRow](t, filepath.Join(out, PicturesTable))
		if len(scored) != pictures || groups != c.pictureGroups || files != c.pictureFiles {
			t.Fatalf("row groups of %d bytes in files of %d: %d pictures in %d groups and %d files", c.group, c.part, len(scored), groups, files)
		}
		for i, row := range scored {
			if !slices.Equal(row.Representation, representation[i*dim:][:dim]) || !slices.Equal(row.Logits, logits[i*classes:][:classes]) {
				t.Errorf("picture %d is %v", i, row)
			}
		}
		text, err := os.ReadFile(filepath.Join(out, ComponentsJSON))
		var names []string
		if err != nil || json.Unmarshal(text, &names) != nil || !slices.Equal(names, components) {
			t.Errorf("components %q, %v", text, err)
		}
	}
}

// A table of another export does not stay beside the new one, and nothing tells that all is there when it is not.
func TestExportParquetAgain(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	whole(t, dir)
	store := openWhole(t, dir)
	if err := store.ExportNumPy(out); err != nil {
		t.Fatal(err)
	}
	if err := store.exportParquet(out, 1, 1); err != nil {
		t.Fatal(err)
	}
	if err := store.ExportParquet(out); err != nil {
		t.Fatal(err)
	}
	if got, want := list(t, out), []string{ComponentsJSON, ContributionsTable, PicturesTable}; !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
	if got := list(t, filepath.Join(out, ContributionsTable)); !slices.Equal(got, []string{"part-00000.parquet"}) {
		t.Errorf("files %v", got)
	}
	// The second file of pictures cannot be written.
	blocked := filepath.Join(out, PicturesTable, "part-00001.parquet")
	if err := os.MkdirAll(filepath.Join(blocked, "x"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := store.exportParquet(out, 1, 1); err == nil || !strings.Contains(err.Error(), blocked) {
		t.Errorf("a file that cannot be written: %v", err)
	}
	if slices.Contains(list(t, out), ComponentsJSON) {
		t.Error("a part of an export looks like all of it")
	}
}

// An export that ends early leaves the files that it had finished, and of the one that it was writing nothing.
func TestExportParquetAborted(t *testing.T) {
	out := t.TempDir()
	tables, err := createTables(out, true, rowGroupBytes, 140) // 7 rows of contributions, 5 pictures
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if err := table.add(testChunk(0)); err != nil {
			t.Fatal(err)
		}
		if err := table.abort(); err != nil {
			t.Fatal(err)
		}
	}
	if got := list(t, filepath.Join(out, ContributionsTable)); !slices.Equal(got, []string{"part-00000.parquet"}) {
		t.Errorf("files %v of 8 rows, of which a file has 7", got)
	}
	if got := list(t, filepath.Join(out, PicturesTable)); len(got) > 0 {
		t.Errorf("files %v", got)
	}
}

func TestExportParquetWithoutHead(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	store := open(t, dir)
	for _, first := range testFirsts {
		chunk := testChunk(first)
		chunk.Logits = nil
		if err := store.Put(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.ExportParquet(out); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(out, PicturesTable, "part-00000.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	opened, err := parquet.OpenFile(strings.NewReader(string(file)), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, column := range opened.Root().Columns() {
		names = append(names, column.Name())
	}
	if !slices.Equal(names, []string{"index", "representation"}) {
		t.Errorf("columns %v", names)
	}
	rows, _, _ := rowsOf[PictureRow](t, filepath.Join(out, PicturesTable))
	if want := testChunk(4).Representation[:3]; len(rows) != 9 || !slices.Equal(rows[4].Representation, want) {
		t.Errorf("pictures %v, want 9 and %v the fifth", rows, want)
	}
}

func TestExportParquetRefuses(t *testing.T) {
	out := t.TempDir()
	store := open(t, t.TempDir())
	put(t, store, 0, 4)
	if err := store.ExportParquet(out); err == nil || !strings.Contains(err.Error(), "1 chunks are missing") {
		t.Errorf("a part of a store: %v", err)
	}
	empty := open(t, t.TempDir())
	for _, first := range testFirsts {
		if err := empty.Put(Chunk{First: first, Components: testChunk(0).Components}); err != nil {
			t.Fatal(err)
		}
	}
	if err := empty.ExportParquet(out); err == nil || !strings.Contains(err.Error(), "holds no picture") {
		t.Errorf("a store without pictures: %v", err)
	}
	if names := list(t, out); len(names) > 0 {
		t.Errorf("left %v", names)
	}
}

// readTables reads both tables as Python's users do and says what it found.
const readTables = `
import sys, json
import pyarrow as pa, pyarrow.parquet as pq
out = sys.argv[1]
contributions, pictures = pq.read_table(out + "/contributions"), pq.read_table(out + "/pictures")
def kind(t):
    return "list<float>" if pa.types.is_list(t) and pa.types.is_float32(t.value_type) else str(t)
sums = {}
for row in contributions.to_pylist():
    total = sums.setdefault(row["component"], [0.0] * len(row["contribution"]))
    for d, x in enumerate(row["contribution"]):
        total[d] += x
print(json.dumps({
    "schema": {f.name: kind(f.type) for table in (contributions, pictures) for f in table.schema},
    "nulls": sum(column.null_count for table in (contributions, pictures) for column in table.columns),
    "index": pictures.column("index").to_pylist(),
    "representation": pictures.column("representation").to_pylist(),
    "logits": pictures.column("logits").to_pylist(),
    "sums": sums,
    "dictionary": "RLE_DICTIONARY" in pq.ParquetFile(out + "/contributions/part-00000.parquet").metadata.row_group(0).column(1).encodings,
}))
`

// The reference reader is that of Apache Arrow, which pandas uses.
func TestExportParquetInPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err == nil {
		err = exec.Command(python, "-c", "import pyarrow.parquet").Run()
	}
	if err != nil {
		t.Skip("there is no python3 with pyarrow here")
	}
	dir, out := t.TempDir(), t.TempDir()
	whole(t, dir)
	if err := openWhole(t, dir).exportParquet(out, 60, 100); err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command(python, "-c", readTables, out).Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Schema         map[string]string
		Nulls          int
		Index          []int
		Representation [][]float64
		Logits         [][]float64
		Sums           map[string][]float64
		Dictionary     bool
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := "map[component:string contribution:list<float> index:int64 logits:list<float> representation:list<float>]"
	if fmt.Sprint(got.Schema) != want || got.Nulls != 0 || !got.Dictionary {
		t.Errorf("schema %v with %d nulls, dictionary %v, want %s", got.Schema, got.Nulls, got.Dictionary, want)
	}
	sums := map[string][]float64{}
	row := 0
	for _, first := range testFirsts {
		chunk := testChunk(first)
		n := len(chunk.Index)
		for i, position := range chunk.Index {
			if got.Index[row] != position || !equalNumbers(got.Representation[row], chunk.Representation[i*3:][:3]) ||
				!equalNumbers(got.Logits[row], chunk.Logits[i*2:][:2]) {
				t.Errorf("row %d: picture %d, %v, %v", row, got.Index[row], got.Representation[row], got.Logits[row])
			}
			for component, name := range chunk.Components {
				if sums[name] == nil {
					sums[name] = make([]float64, 3)
				}
				for d, x := range chunk.Contributions[(component*n+i)*3:][:3] {
					sums[name][d] += float64(x)
				}
			}
			row++
		}
	}
	if len(got.Index) != row || fmt.Sprint(got.Sums) != fmt.Sprint(sums) {
		t.Errorf("%d pictures with sums %v, want %d with %v", len(got.Index), got.Sums, row, sums)
	}
}

func equalNumbers(got []float64, want []float32) bool {
	return slices.EqualFunc(got, want, func(a float64, b float32) bool { return a == float64(b) })
}
