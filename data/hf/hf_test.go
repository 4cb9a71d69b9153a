package hf

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"vitdecompose/data"
	"vitdecompose/data/datatest"
	"vitdecompose/data/hub"
	"vitdecompose/data/hub/hubtest"
)

// imageCell is the feature Image as the library datasets stores it.
type imageCell struct {
	Bytes []byte  `parquet:"bytes,optional"`
	Path  *string `parquet:"path,optional"`
}

type row struct {
	Image  *imageCell `parquet:"image,optional"`
	Label  *int64     `parquet:"label,optional"`
	Color  *string    `parquet:"color,optional"`
	Season int64      `parquet:"season"`
}

// metadata is what the library writes of these columns.
const metadata = `{"info": {"features": {
	"image": {"_type": "Image"},
	"label": {"names": ["finch", "swan"], "_type": "ClassLabel"},
	"color": {"dtype": "string", "_type": "Value"},
	"season": {"names": ["summer", "winter"], "_type": "ClassLabel"},
	"boxes": [{"x": {"dtype": "int64", "_type": "Value"}}]}}}`

// photo is a small PNG of one grey.
func photo(t testing.TB, grey uint8) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 3, 2))
	for i := range img.Pix {
		img.Pix[i] = grey
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// rows are n pictures from a grey on.
func rows(t testing.TB, grey, n int) (rows []row) {
	for i := range n {
		label, color := int64(i%2), []string{"red", "blue", ""}[i%3]
		r := row{Image: &imageCell{Bytes: photo(t, uint8(grey+i))}, Label: &label, Color: &color, Season: int64(i / 2 % 2)}
		rows = append(rows, r)
	}
	return rows
}

// table of a parquet file of any rows, a row group for each per of them, in small pages.
func parquetOf[T any](t testing.TB, metadata string, per int, codec compress.Codec, rows []T) []byte {
	t.Helper()
	var b bytes.Buffer
	options := []parquet.WriterOption{parquet.Compression(codec), parquet.PageBufferSize(200)}
	if metadata != "" {
		options = append(options, parquet.KeyValueMetadata("huggingface", metadata))
	}
	w := parquet.NewGenericWriter[T](&b, options...)
	for len(rows) > 0 {
		n := min(per, len(rows))
		if _, err := w.Write(rows[:n]); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		rows = rows[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func mustOpen(t testing.TB, argument string) *dataset {
	t.Helper()
	ds, err := data.Open("hf:"+argument, data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return ds.(*dataset)
}

func TestDirectory(t *testing.T) {
	for name, codec := range map[string]compress.Codec{"snappy": &parquet.Snappy, "gzip": &parquet.Gzip, "zstd": &parquet.Zstd, "none": &parquet.Uncompressed} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			datatest.WriteFile(t, dir, "README.md", nil)
			datatest.WriteFile(t, dir, "data/train-00001-of-00002.parquet", parquetOf(t, metadata, 4, codec, rows(t, 107, 3)))
			datatest.WriteFile(t, dir, "data/train-00000-of-00002.parquet", parquetOf(t, metadata, 3, codec, rows(t, 100, 7)))
			datatest.WriteFile(t, dir, "data/validation-00000-of-00001.parquet", parquetOf(t, metadata, 3, codec, rows(t, 200, 2)))
			ds := mustOpen(t, dir+":train")
			if ds.Len() != 10 || !slices.Equal(ds.Classes(), []string{"finch", "swan"}) {
				t.Fatalf("%d pictures of %v", ds.Len(), ds.Classes())
			}
			for _, i := range []int{9, 0, 5, 6, 7, 1, 8, 2, 3, 4} {
				in, at := "train-00000-of-00002.parquet", i
				if i > 6 {
					in, at = "train-00001-of-00002.parquet", i-7
				}
				if got, want := ds.Item(i), (data.Item{Name: fmt.Sprintf("%s:%d", in, at), Label: at % 2}); got != want {
					t.Errorf("item %v, want %v", got, want)
				}
				p, err := ds.Picture(i)
				if err != nil {
					t.Fatal(err)
				}
				if p.Width != 3 || p.Pix[0] != uint8(100+i) || !strings.HasSuffix(p.Name, fmt.Sprintf("%s: row %d", in, at)) {
					t.Errorf("picture %d is %q of grey %d", i, p.Name, p.Pix[0])
				}
				got := data.Attributes(ds, i)
				if got["color"] != []string{"red", "blue", ""}[at%3] || got["season"] != []string{"summer", "winter"}[at/2%2] {
					t.Errorf("attributes %v of %d", got, i)
				}
				if _, ok := got["color"]; ok && at%3 == 2 {
					t.Errorf("attributes %v of %d: what is empty is not known", got, i)
				}
			}
			if got := mustOpen(t, dir+":val"); got.Len() != 2 {
				t.Errorf("%d pictures of the validation set", got.Len())
			}
			if got := mustOpen(t, filepath.Join(dir, "data", "train-00001-of-00002.parquet")); got.Len() != 3 {
				t.Errorf("%d pictures of a file", got.Len())
			}
		})
	}
}

// TestPyArrow reads what the library datasets itself writes with: the files of testdata are by pyarrow 26.0.1, with
// dictionaries that overflow, pages of both kinds, checksums and delta encodings. Hashes of the pictures are by hashlib.
func TestPyArrow(t *testing.T) {
	want := []string{"7fc7d243328641c9", "4e57c23d68b71585", "a382908c13bad314", "", "d493097020459cc7", "", "3b9ffba81f1b1dc1", "d04b0dd07abea7ae", "814e6932d75e94ba", "f6cbae7cef5b113e", "15c2664b7634ca53", "24b3a4479c2d21d7"}
	for _, file := range []string{"pyarrow-v1.parquet", "pyarrow-v2.parquet"} {
		ds := mustOpen(t, filepath.Join("testdata", file))
		if ds.Len() != len(want) || !slices.Equal(ds.Classes(), []string{"cat", "dog", "owl"}) {
			t.Fatalf("%s: %d pictures of %v", file, ds.Len(), ds.Classes())
		}
		for i := range want {
			content, err := ds.file(i)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if content != nil {
				got = fmt.Sprintf("%.8x", sha256.Sum256(content))
			}
			label := i % 3
			if i == 2 || i == 4 { // null and -1
				label = -1
			}
			if got != want[i] || ds.Item(i).Label != label {
				t.Errorf("%s: picture %d is %q of class %d, want %q of %d", file, i, got, ds.Item(i).Label, want[i], label)
			}
			attributes := data.Attributes(ds, i)
			caption, ok := attributes["caption"]
			if ok != (i%4 != 0) || ok && caption != fmt.Sprintf("caption %d", i%10) || attributes["coarse"] != []string{"pet", "bird"}[i%2] {
				t.Errorf("%s: attributes %v of %d", file, attributes, i)
			}
		}
	}
}

// TestPictures: one that is null, is elsewhere or cannot be decoded is an error by itself.
func TestPictures(t *testing.T) {
	some := rows(t, 1, 6)
	elsewhere := "photo.jpg"
	some[1].Image = nil
	some[2].Image = &imageCell{Path: &elsewhere}
	some[4].Image.Bytes = []byte("no picture")
	dir := t.TempDir()
	datatest.WriteFile(t, dir, "x.parquet", parquetOf(t, metadata, 4, &parquet.Snappy, some))
	ds := mustOpen(t, dir)
	for i, want := range []string{"", "has no picture: its bytes are null in the column image", "has no picture", "", "not a picture", ""} {
		_, err := ds.Picture(i)
		if (err == nil) != (want == "") {
			t.Errorf("picture %d: error %v", i, err)
		}
		if err != nil && (!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), fmt.Sprintf("x.parquet: row %d: ", i))) {
			t.Errorf("picture %d: error %q, want %q", i, err, want)
		}
	}
	if len(datatest.Hash(t, ds)) != 64 {
		t.Error("no hash of a data set with pictures that cannot be used")
	}
}

func TestHash(t *testing.T) {
	hash := func(name, metadata string, per int, change func(rows []row)) string {
		some := rows(t, 1, 6)
		change(some)
		dir := t.TempDir()
		datatest.WriteFile(t, dir, name, parquetOf(t, metadata, per, &parquet.Snappy, some))
		return datatest.Hash(t, mustOpen(t, dir))
	}
	base := hash("train.parquet", metadata, 3, func([]row) {})
	if again := hash("train.parquet", metadata, 4, func([]row) {}); again != base {
		t.Error("the same pictures in other row groups, another hash")
	}
	red := "red"
	for what, other := range map[string]string{
		"picture":   hash("train.parquet", metadata, 3, func(r []row) { r[3].Image.Bytes = r[2].Image.Bytes }),
		"null":      hash("train.parquet", metadata, 3, func(r []row) { r[3].Image = nil }),
		"empty":     hash("train.parquet", metadata, 3, func(r []row) { r[3].Image.Bytes = []byte{} }),
		"label":     hash("train.parquet", metadata, 3, func(r []row) { r[3].Label = nil }),
		"attribute": hash("train.parquet", metadata, 3, func(r []row) { r[1].Color = &red }),
		"class":     hash("train.parquet", strings.Replace(metadata, "swan", "goose", 1), 3, func([]row) {}),
		"name":      hash("test.parquet", metadata, 3, func([]row) {}),
		"order":     hash("train.parquet", metadata, 3, func(r []row) { r[0], r[1] = r[1], r[0] }),
	} {
		if other == base {
			t.Errorf("another %s, the same hash", what)
		}
	}

	dir := t.TempDir()
	datatest.WriteFile(t, dir, "x.parquet", parquetOf(t, metadata, 3, &parquet.Snappy, rows(t, 1, 6)))
	ds := mustOpen(t, dir)
	part := datatest.Hash(t, data.Subset(ds, []int{4, 1}))
	if other := datatest.Hash(t, data.Subset(ds, []int{1, 4})); other == part || part == datatest.Hash(t, ds) {
		t.Error("another subset, the same hash")
	}
}

// TestConcurrent reads pictures in any order by many goroutines, with room for a few pages.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	datatest.WriteFile(t, dir, "x.parquet", parquetOf(t, metadata, 40, &parquet.Snappy, rows(t, 0, 100)))
	ds := mustOpen(t, dir)
	ds.pictures.budget = 1000
	var group sync.WaitGroup
	for seed := range uint64(4) {
		group.Go(func() {
			r := rand.New(rand.NewPCG(seed, 0))
			for range 200 {
				i := r.IntN(100)
				if p, err := ds.Picture(i); err != nil || p.Pix[0] != uint8(i) {
					t.Errorf("picture %d: %v, %v", i, p, err)
				}
			}
		})
	}
	group.Wait()
	if n := len(ds.pictures.pages); n > 10 || ds.pictures.bytes > 1000 && n > 1 {
		t.Errorf("%d pages of %d bytes are kept", n, ds.pictures.bytes)
	}
}

// TestColumns: which columns are taken.
func TestColumns(t *testing.T) {
	p := photo(t, 7)
	type two struct {
		A    imageCell `parquet:"a"`
		B    imageCell `parquet:"b"`
		Fine int32     `parquet:"fine"`
		Big  int64     `parquet:"big"`
	}
	type plain struct {
		Img   []byte `parquet:"img"`
		Label int32  `parquet:"label"`
		Text  string `parquet:"text"`
	}
	type none struct {
		Text  string `parquet:"text"`
		Label int64  `parquet:"label"`
	}
	twoRows := []two{{imageCell{Bytes: photo(t, 1)}, imageCell{Bytes: photo(t, 2)}, 1, 0}}
	classes := func(names ...string) string {
		features := map[string]any{}
		for _, name := range names {
			features[name] = map[string]any{"_type": "ClassLabel", "names": []string{"x", "y"}}
		}
		text, err := json.Marshal(map[string]any{"info": map[string]any{"features": features}})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, test := range []struct {
		name, suffix string
		content      []byte
		grey         uint8
		label        int
		want         string // of the error
	}{
		{"plain bytes", "", parquetOf(t, "", 9, &parquet.Snappy, []plain{{p, 5, "t"}}), 7, 5, ""},
		{"two of pictures", "", parquetOf(t, "", 9, &parquet.Snappy, twoRows), 0, 0, "has pictures in the columns a, b: say which by adding :image=a"},
		{"the first", ":image=a", parquetOf(t, "", 9, &parquet.Snappy, twoRows), 1, -1, ""},
		{"the second, with labels", ":train:image=b:label=fine", parquetOf(t, "", 9, &parquet.Snappy, twoRows), 2, 1, ""},
		{"the metadata says which", "", parquetOf(t, `{"info":{"features":{"b":{"_type":"Image"},"fine":{"_type":"ClassLabel","names":["x","y"]}}}}`, 9, &parquet.Snappy, twoRows), 2, 1, ""},
		{"two of labels", ":image=a", parquetOf(t, classes("fine", "big"), 9, &parquet.Snappy, twoRows), 0, 0, "has labels in the columns big, fine: say which by adding :label=big"},
		{"one of two labels", ":image=a:label=big", parquetOf(t, classes("fine", "big"), 9, &parquet.Snappy, twoRows), 1, 0, ""},
		{"no such column", ":image=c", parquetOf(t, "", 9, &parquet.Snappy, twoRows), 0, 0, `has no column "c" of pictures (there is a, b)`},
		{"no such label", ":image=a:label=c", parquetOf(t, "", 9, &parquet.Snappy, twoRows), 0, 0, `has no column "c" of labels (there is none)`},
		{"no pictures", "", parquetOf(t, "", 9, &parquet.Snappy, []none{{"x", 1}}), 0, 0, "has no column of pictures"},
		{"no rows", "", parquetOf(t, "", 9, &parquet.Snappy, []plain(nil)), 0, 0, "has no rows"},
		{"damaged metadata", "", parquetOf(t, "{", 9, &parquet.Snappy, []plain{{p, 5, "t"}}), 7, 5, ""},
		{"label out of range", ":image=a", parquetOf(t, classes("big"), 9, &parquet.Snappy, append(twoRows, two{Big: 2})), 0, 0, "x.parquet: row 1: label 2 in the column big is not a class index from 0 to 1"},
		{"negative label", "", parquetOf(t, "", 9, &parquet.Snappy, []plain{{p, -2, "t"}}), 0, 0, "label -2 in the column label is not a class index"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			datatest.WriteFile(t, dir, "x.parquet", test.content)
			ds, err := data.Open("hf:"+dir+test.suffix, data.Options{})
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "x.parquet") || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want %q", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if p, err := ds.Picture(0); err != nil || p.Pix[0] != test.grey || ds.Item(0).Label != test.label {
				t.Errorf("picture %v (%v) with label %d, want grey %d and label %d", p, err, ds.Item(0).Label, test.grey, test.label)
			}
		})
	}
}

// TestManyTexts: a column that is too large to be an attribute is left out.
func TestManyTexts(t *testing.T) {
	some := rows(t, 1, 3)
	long := strings.Repeat("x", maxAttribute+1)
	some[1].Color = &long
	dir := t.TempDir()
	datatest.WriteFile(t, dir, "x.parquet", parquetOf(t, metadata, 9, &parquet.Snappy, some))
	if got := data.Attributes(mustOpen(t, dir), 0); len(got) != 1 || got["season"] != "summer" {
		t.Errorf("attributes %v", got)
	}
}

// TestManyRows: what a data set holds does not grow with the rows that a file claims to have, which take a bit of it or less.
func TestManyRows(t *testing.T) {
	dir := t.TempDir()
	many := make([]manyRow, 1<<20)
	for i := range many {
		many[i] = manyRow{nil, 1, "red"}
	}
	datatest.WriteFile(t, dir, "x.parquet", parquetOf(t, metadata, 1<<18, &parquet.Zstd, many))
	many = nil
	held := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := held()
	ds := mustOpen(t, dir)
	if after := held(); after > before+2<<20 { // the labels alone would be 4 MB
		t.Errorf("%d pictures take %d bytes", ds.Len(), after-before)
	}
	if item := ds.Item(1<<20 - 1); item.Label != 1 || ds.Attributes(1 << 19)["color"] != "red" {
		t.Errorf("item %v, attributes %v", item, ds.Attributes(1<<19))
	}
	if ds.facts.bytes > cacheBytes {
		t.Errorf("%d bytes are kept", ds.facts.bytes)
	}
}

type manyRow struct {
	Image *imageCell `parquet:"image,optional"`
	Label int64      `parquet:"label,dict"`
	Color string     `parquet:"color,dict"`
}

// TestLost: a data set whose file becomes shorter is of no use any more.
func TestLost(t *testing.T) {
	dir := t.TempDir()
	datatest.WriteFile(t, dir, "x.parquet", parquetOf(t, metadata, 40, &parquet.Snappy, rows(t, 0, 100)))
	ds := mustOpen(t, dir)
	if err := os.Truncate(filepath.Join(dir, "x.parquet"), 8); err != nil {
		t.Fatal(err)
	}
	if item := ds.Item(99); item.Label != -1 {
		t.Errorf("item %v", item)
	}
	for _, read := range []func() error{
		func() error { _, err := ds.Picture(0); return err },
		func() error { _, err := ds.ItemHash(0); return err },
		func() error { _, err := ds.Hash(); return err },
	} {
		if err := read(); err == nil || !strings.Contains(err.Error(), "x.parquet: column label from row 99 on: ") {
			t.Errorf("error %v", err)
		}
	}
}

// TestCancelled: opening ends with its context.
func TestCancelled(t *testing.T) {
	dir := t.TempDir()
	datatest.WriteFile(t, dir, "x.parquet", parquetOf(t, metadata, 40, &parquet.Snappy, rows(t, 0, 100)))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := data.OpenContext(ctx, "hf:"+dir, data.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	good := parquetOf(t, metadata, 4, &parquet.Snappy, rows(t, 1, 3))
	for _, test := range []struct {
		name, argument string
		files          map[string][]byte
		want           string
	}{
		{"no path", "", nil, "names no data set"},
		{"nowhere", "DIR/nowhere", nil, "there is no file or directory DIR/nowhere"},
		{"no parquet", "DIR", map[string][]byte{"a.csv": nil}, "DIR: has no parquet files"},
		{"no split", "DIR:test", map[string][]byte{"train.parquet": good}, "has no split test: there is train"},
		{"several splits", "DIR", map[string][]byte{"train.parquet": good, "val.parquet": good}, "has the splits train, validation: say which by adding :train"},
		{"two folders", "DIR:train", map[string][]byte{"a/train.parquet": good, "b/train.parquet": good}, "in more than one folder, a and b"},
		{"a file is missing", "DIR", map[string][]byte{"train-00000-of-00003.parquet": good, "train-00002-of-00003.parquet": good},
			"has 2 of the 3 files of the split train: train-00001-of-00003.parquet is missing"},
		{"two versions", "DIR", map[string][]byte{"train-00000-of-00001.parquet": good, "train-00000-of-00002.parquet": good, "train-00001-of-00002.parquet": good},
			"two versions of the split train"},
		{"split of a file", "DIR/test.parquet:train", map[string][]byte{"test.parquet": good}, "test.parquet belongs to the split test"},
		{"other classes", "DIR", map[string][]byte{"train-00000-of-00002.parquet": good,
			"train-00001-of-00002.parquet": parquetOf(t, strings.Replace(metadata, "swan", "goose", 1), 4, &parquet.Snappy, rows(t, 1, 3))}, "train-00001-of-00002.parquet: has other labels or classes"},
		{"empty", "DIR/x.parquet", map[string][]byte{"x.parquet": nil}, "x.parquet: has 0 bytes, which is too short"},
		{"text", "DIR/x.parquet", map[string][]byte{"x.parquet": []byte("this is not a parquet file")}, "x.parquet: does not end like a parquet file"},
		{"huge footer", "DIR/x.parquet", map[string][]byte{"x.parquet": []byte("PAR1xxxxxxxx\xff\xff\xff\xffPAR1")}, "x.parquet: claims a footer of 4294967295 bytes, which is impossible"},
		{"codec", "DIR", map[string][]byte{"x.parquet": parquetOf(t, metadata, 4, &parquet.Lz4Raw, rows(t, 1, 3))}, "compressed with LZ4_RAW, which is not supported"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range test.files {
				datatest.WriteFile(t, dir, name, content)
			}
			_, err := data.Open("hf:"+strings.ReplaceAll(test.argument, "DIR", dir), data.Options{})
			if want := strings.ReplaceAll(test.want, "DIR", dir); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %q", err, want)
			}
		})
	}
	dir := t.TempDir()
	datatest.WriteFile(t, dir, "x.parquet", good)
	if _, err := data.Open("hf:"+dir, data.Options{Labels: "l.csv"}); err == nil || !strings.Contains(err.Error(), "l.csv cannot be used") {
		t.Errorf("a file of labels: error %v", err)
	}
}

// TestDamaged: a file that was cut is refused, and no damage to a byte makes more than an error.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.parquet")
	for _, codec := range []compress.Codec{&parquet.Uncompressed, &parquet.Snappy, &parquet.Zstd} {
		whole := parquetOf(t, metadata, 2, codec, rows(t, 1, 4))
		for n := 0; n < len(whole); n += 10 {
			datatest.WriteFile(t, dir, "x.parquet", whole[:n])
			if _, err := data.Open("hf:"+path, data.Options{}); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("cut at byte %d of %d: error %v", n, len(whole), err)
			}
		}
		for at := 0; at < len(whole); at += 3 {
			damaged := slices.Clone(whole)
			damaged[at] ^= byte(1 + at%255)
			datatest.WriteFile(t, dir, "x.parquet", damaged)
			ds, err := data.Open("hf:"+path, data.Options{})
			if err == nil {
				_, err = ds.Hash()
			}
			if err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("byte %d: error %v does not name the file", at, err)
			}
		}
	}
}

// TestHub downloads a data set from a server, and opens it again without one.
func TestHub(t *testing.T) {
	server := hubtest.New(hub.Datasets, "owner/birds", map[string][]byte{
		"README.md":                          []byte("# birds"),
		"small/train-00000-of-00001.parquet": parquetOf(t, metadata, 4, &parquet.Snappy, rows(t, 1, 3)),
		"small/test-00000-of-00001.parquet":  parquetOf(t, metadata, 4, &parquet.Snappy, rows(t, 50, 2)),
		"large/train-00000-of-00001.parquet": parquetOf(t, metadata, 4, &parquet.Snappy, rows(t, 1, 9)),
	})
	h := server.Start(t)
	for name, value := range map[string]string{"HF_ENDPOINT": h.Endpoint, "HF_HUB_CACHE": h.CacheDir, "HF_TOKEN": "", "HF_HUB_OFFLINE": ""} {
		t.Setenv(name, value)
	}
	t.Chdir(t.TempDir()) // where there is no directory owner/birds
	if ds := mustOpen(t, "owner/birds:test"); ds.Len() != 2 || ds.Item(1) != (data.Item{Name: "test-00000-of-00001.parquet:1", Label: 1}) {
		t.Errorf("%d pictures, %v", ds.Len(), ds.Item(1))
	}
	ds := mustOpen(t, "owner/birds/large:train")
	if p, err := ds.Picture(8); err != nil || p.Pix[0] != 9 {
		t.Errorf("picture %v, %v", p, err)
	}
	for _, request := range server.Requests() {
		if strings.Contains(request, "README") || strings.Contains(request, "small/train") {
			t.Errorf("%s was asked for", request)
		}
	}
	for argument, want := range map[string]string{
		"owner/birds":           "hf:owner/birds: has the splits test, train: say which",
		"owner/birds:train":     "in more than one folder, large and small: name the folder too",
		"owner/birds/tiny":      "hf:owner/birds: has no parquet files: try the revision that the Hub converts, hf:owner/birds@refs/convert/parquet",
		"owner/absent":          "check the name",
		"owner/birds@../x:test": "hf:owner/repo",
	} {
		if _, err := data.Open("hf:"+argument, data.Options{}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want %q", argument, err, want)
		}
	}

	t.Setenv("HF_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("HF_HUB_OFFLINE", "1")
	if ds := mustOpen(t, "owner/birds@"+hubtest.Commit+":test"); ds.Len() != 2 {
		t.Errorf("%d pictures offline", ds.Len())
	}
	if ds := mustOpen(t, "owner/birds:test"); ds.Len() != 2 {
		t.Errorf("%d pictures offline", ds.Len())
	}
	if _, err := data.Open("hf:owner/birds/small:train", data.Options{}); err == nil || !strings.Contains(err.Error(), "small/train-00000-of-00001.parquet is not in the cache") {
		t.Errorf("what was not downloaded: error %v", err)
	}
}

func TestSplitOf(t *testing.T) {
	for name, want := range map[string]string{
		"data/train-00000-of-00014.parquet":                  "train",
		"train-00000-of-00001-0123456789abcdef.parquet":      "train",
		"data/dev-00000-of-00001.parquet":                    "validation",
		"test_seen-00000-of-00001.parquet":                   "test_seen",
		"default/train/0003.parquet":                         "train",
		"default/partial-train/0003.parquet":                 "partial-train",
		"0000.parquet":                                       "",
		"birds_val.parquet":                                  "validation",
		"Test.parquet":                                       "test",
		"validation/a.parquet":                               "validation",
		"photos.parquet":                                     "",
		"latest.parquet":                                     "",
		"cifar100/cifar100-train-00000-of-00001.parquet/x.y": "train",
	} {
		if got := splitOf(name); got != want {
			t.Errorf("%s is of the split %q, want %q", name, got, want)
		}
	}
}

func Example() {
	// hf:OWNER/REPO:train is downloaded where it is not in the cache; this file is on the disk.
	ds, err := data.Open("hf:testdata/pyarrow-v1.parquet", data.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	item := ds.Item(1)
	p, err := ds.Picture(1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ds.Len(), "pictures;", item.Name, "of class", ds.Classes()[item.Label], "has", p.Width, "x", p.Height, "pixels")
	fmt.Println(data.Attributes(ds, 1))
	// Output:
	// 12 pictures; pyarrow-v1.parquet:1 of class dog has 8 x 8 pixels
	// map[caption:caption 1 coarse:bird]
}
