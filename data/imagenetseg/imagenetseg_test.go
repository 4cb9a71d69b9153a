package imagenetseg

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vitdecompose/data"
	"vitdecompose/data/picture"
)

// genuine is a file that the HDF5 library wrote, as MATLAB does; gtsegs.py beside it says how.
const genuine = "testdata/gtsegs.mat"

// expected is what gtsegs.py put there.
var expected = []struct {
	name, wnid    string
	label         int
	height, width int
}{
	{"n01440764_10026", "n01440764", 0, 7, 10},
	{"n02123394_7", "n02123394", 283, 10, 7},
	{"n15075141_99", "n15075141", 999, 9, 13},
	{"n00007846_1", "n00007846", -1, 5, 6}, // person, which is not of ImageNet-1k
}

func openData(t testing.TB, argument string) data.Dataset {
	t.Helper()
	ds, err := data.Open("imagenet-seg:"+argument, data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func content(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(genuine)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGenuineFile(t *testing.T) {
	ds := openData(t, genuine)
	if ds.Len() != len(expected) || len(ds.Classes()) != 1000 || !data.HasIndexedLabels(ds) || !data.HasMasks(ds) {
		t.Fatalf("%d pictures of %d classes", ds.Len(), len(ds.Classes()))
	}
	for i, want := range expected {
		if got := ds.Item(i); got != (data.Item{Name: want.name, Label: want.label}) {
			t.Errorf("item %d is %v, want %v", i, got, want)
		}
		if got := data.Attributes(ds, i); !maps.Equal(got, map[string]string{"wnid": want.wnid}) {
			t.Errorf("attributes %v", got)
		}
		p, err := ds.Picture(i)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Check(); err != nil || p.Mode != picture.RGB || p.Width != want.width || p.Height != want.height {
			t.Fatalf("%s: %s of %d x %d, %v", want.name, p.Mode, p.Width, p.Height, err)
		}
		mask, err := data.MaskOf(ds, i)
		if err != nil {
			t.Fatal(err)
		}
		if err := mask.Check(); err != nil || mask.Width != want.width || mask.Height != want.height {
			t.Fatalf("%s: mask of %d x %d, %v", want.name, mask.Width, mask.Height, err)
		}
		for y := range want.height {
			for x := range want.width {
				at := y*want.width + x
				for c := range 3 {
					if got, want := int(p.Pix[3*at+c]), (37*i+11*y+5*x+100*c)%256; got != want {
						t.Fatalf("picture %d has %d at row %d, column %d, colour %d; want %d", i, got, y, x, c, want)
					}
				}
				if got, want := mask.Pix[at] == data.MaskObject, (x+2*y+i)%5 == 0; got != want {
					t.Fatalf("mask %d is %v at row %d, column %d", i, got, y, x)
				}
			}
		}
	}
}

func TestHash(t *testing.T) {
	ds := openData(t, genuine)
	hash := func(ds data.Dataset) string {
		t.Helper()
		h, err := ds.Hash()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	item := func(ds data.Dataset, i int) string {
		t.Helper()
		h, err := ds.(data.ItemHasher).ItemHash(i)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	before := hash(ds)
	if again := openData(t, genuine); hash(again) != before || item(again, 0) != item(ds, 0) {
		t.Error("the hash is not always the same")
	}
	if item(ds, 0) == item(ds, 1) {
		t.Error("two pictures have the same hash")
	}
	// A pixel of the first picture, which is stored as it is: row 0 of its first columns is 0, 5, 10, ...
	changed := content(t)
	var column []byte
	for x := range 2 {
		for y := range 7 {
			column = append(column, byte(11*y+5*x))
		}
	}
	at := bytes.Index(changed, column)
	if at < 0 {
		t.Fatal("the first picture is not there")
	}
	changed[at]++
	path := filepath.Join(t.TempDir(), fileName)
	if err := os.WriteFile(path, changed, 0o644); err != nil {
		t.Fatal(err)
	}
	other := openData(t, filepath.Dir(path)) // found by its name
	if hash(other) == before || item(other, 0) == item(ds, 0) || item(other, 1) != item(ds, 1) {
		t.Error("the hash does not follow the pixels of its picture")
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(content(t), utf16Bytes("n02123394"), utf16Bytes("n02123395")), 0o644); err != nil {
		t.Fatal(err)
	}
	if other = openData(t, path); hash(other) == before || item(other, 1) == item(ds, 1) || item(other, 0) != item(ds, 0) {
		t.Error("the hash does not follow the class")
	}
}

func utf16Bytes(s string) (b []byte) {
	for _, r := range s {
		b = binary.LittleEndian.AppendUint16(b, uint16(r))
	}
	return b
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	replaced := func(name string, from, to []byte) string {
		t.Helper()
		before := content(t)
		after := bytes.ReplaceAll(before, from, to)
		if bytes.Equal(before, after) || len(before) != len(after) {
			t.Fatalf("%s: %q is not there", name, from)
		}
		return write(name, after)
	}
	patched := func(name string, at int, value byte) string {
		t.Helper()
		b := content(t)
		b[at] = value
		return write(name, b)
	}
	for argument, want := range map[string]string{
		"":                         "names no file",
		filepath.Join(dir, "none"): "no such file",
		dir:                        "no such file",
		write("empty", nil):        "is not an HDF5 file",
		write("text", []byte("MATLAB 5.0 MAT-file"+strings.Repeat(" ", 5000))): "is not an HDF5 file",
		patched("version", 512+8, 2):                                           "is an HDF5 file of version 2",
		patched("offsets", 512+13, 4):                                          "addresses of 4 and 8 bytes",
		replaced("value", []byte("value\x00"), []byte("velue\x00")):            "has no value: it is not gtsegs_ijcv.mat",
		replaced("target", []byte("target\x00\x00"), []byte("torget\x00\x00")): "has no target",
		replaced("wnid", utf16Bytes("n01440764"), utf16Bytes("x01440764")):     `is of the class "x01440764": want a WNID`,
	} {
		_, err := data.Open("imagenet-seg:"+argument, data.Options{})
		if err == nil || !strings.HasPrefix(err.Error(), "data imagenet-seg:"+argument+": ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want %q", argument, err, want)
		}
	}
	if _, err := data.Open("imagenet-seg:"+genuine, data.Options{Labels: "labels.csv"}); err == nil || !strings.Contains(err.Error(), "have their own labels") {
		t.Errorf("labels: error %v", err)
	}
	small, err := read(bytes.NewReader(content(t)), int64(len(content(t))), "gtsegs.mat", 69)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := small.Picture(0); err == nil || !strings.Contains(err.Error(), "gtsegs.mat: n01440764_10026: the array at ") || !strings.Contains(err.Error(), "more than 69 values") {
		t.Errorf("a picture beyond the limit: error %v", err)
	}
}

// TestOutlines: outlines that are no masks of their pictures.
// TestNames: pictures whose names are missing, or the same, are called by class and number.
func TestNames(t *testing.T) {
	content, err := os.ReadFile(genuine)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		from, to []byte
		want     string // of the last picture
	}{
		"no id": {[]byte("id\x00"), []byte("xd\x00"), "_picture_000004"},
		"twice": {utf16Bytes("n02123394_7"), utf16Bytes("n00007846_1"), "_picture_000004"},
	} {
		if bytes.Count(content, test.from) == 0 {
			t.Fatalf("%s: the file has no %q", name, test.from)
		}
		path := filepath.Join(t.TempDir(), "gtsegs_ijcv.mat")
		if err := os.WriteFile(path, bytes.ReplaceAll(content, test.from, test.to), 0o666); err != nil {
			t.Fatal(err)
		}
		ds, err := data.Open("imagenet-seg:"+path, data.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := ds.Item(3).Name; !strings.HasSuffix(got, test.want) {
			t.Errorf("%s: the last picture is called %s", name, got)
		}
	}
}

func TestOutlines(t *testing.T) {
	d, err := read(bytes.NewReader(content(t)), int64(len(content(t))), "gtsegs.mat", picture.DefaultMaxPixels)
	if err != nil {
		t.Fatal(err)
	}
	d.items[0].outline = d.items[1].outline
	if _, err := d.Mask(0); err == nil || !strings.Contains(err.Error(), "gtsegs.mat: n01440764_10026: the outline is of 7 x 10 pixels, its picture an array of size [3 10 7]") {
		t.Errorf("error %v", err)
	}
	d.items[1].outline = d.items[1].picture
	if _, err := d.Mask(1); err == nil || !strings.Contains(err.Error(), "is not one of cells") {
		t.Errorf("error %v", err)
	}
	d.items[2].picture = d.items[2].outline
	if _, err := d.Picture(2); err == nil || !strings.Contains(err.Error(), "is not one of bytes with 3 values a pixel") {
		t.Errorf("error %v", err)
	}
}

// everything reads all that there is in a file.
func everything(b []byte) (pictures int, err error) {
	d, err := read(bytes.NewReader(b), int64(len(b)), "x", 1<<16)
	if err != nil {
		return 0, err
	}
	for i := range d.Len() {
		if _, err = d.Picture(i); err == nil {
			_, err = d.Mask(i)
		}
		if err != nil {
			return i, err
		}
	}
	return d.Len(), nil
}

// TestCut: a file that ends early is an error wherever it ends, but for what follows the last object.
func TestCut(t *testing.T) {
	whole := content(t)
	if n, err := everything(whole); err != nil || n != len(expected) {
		t.Fatalf("%d pictures, %v", n, err)
	}
	used := 0
	for n := 0; n < len(whole); n += 97 {
		_, err := everything(whole[:n])
		if err == nil {
			used = n
			break
		}
		if !strings.HasPrefix(err.Error(), "x: ") {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	if used != 0 && used < len(whole)*9/10 {
		t.Errorf("cut at %d of %d there is no error", used, len(whole))
	}
}

// TestDamaged: damage at any place is an error or changes what is read; it is never a panic, and never without an end.
func TestDamaged(t *testing.T) {
	whole := content(t)
	random := rand.New(rand.NewPCG(1, 2))
	for at := random.IntN(20); at < len(whole); at += 1 + random.IntN(100) {
		b := slices.Clone(whole)
		b[at] ^= byte(1 + random.IntN(255))
		_, _ = everything(b)
	}
	for range 150 { // eight bytes: addresses and lengths
		b := slices.Clone(whole)
		at := random.IntN(len(b) - 8)
		binary.LittleEndian.PutUint64(b[at:], []uint64{0, undefined, 1 << 63, uint64(random.IntN(len(b)))}[random.IntN(4)])
		_, _ = everything(b)
	}
}

// TestCompressed: damage within a compressed picture is found.
func TestCompressed(t *testing.T) {
	whole := content(t)
	found := 0
	for at := 0; at+2 < len(whole); at++ {
		if whole[at] != 0x78 || whole[at+1] != 0x5e { // the head of a zlib stream of level 3
			continue
		}
		b := slices.Clone(whole)
		b[at+5] ^= 0x10
		if _, err := everything(b); err != nil && strings.Contains(err.Error(), "a piece of the array at ") {
			found++
		}
	}
	if found < 10 {
		t.Errorf("found %d damaged pieces", found)
	}
}

func FuzzFile(f *testing.F) {
	whole, err := os.ReadFile(genuine)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(whole[512:])
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = everything(b) })
}

func Example() {
	ds, err := data.Open("imagenet-seg:testdata/gtsegs.mat", data.Options{})
	if err != nil {
		panic(err)
	}
	mask, err := data.MaskOf(ds, 1)
	if err != nil {
		panic(err)
	}
	fmt.Println(ds.Len(), ds.Item(1).Name, ds.Item(1).Label)
	fmt.Println(mask.Pix[:mask.Width])
	// Output:
	// 4 n02123394_7 283
	// [0 0 0 0 1 0 0]
}
