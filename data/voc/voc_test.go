package voc

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"vitdecompose/data"
	"vitdecompose/data/datatest"
)

// The pictures of the tests are of this size.
const (
	width  = 4
	height = 2
)

type file struct {
	name    string
	content []byte
}

func write(t testing.TB, dir string, files ...file) {
	t.Helper()
	for _, f := range files {
		datatest.WriteFile(t, dir, f.name, f.content)
	}
}

// photo is a JPEG of one grey.
func photo(t testing.TB, grey uint8) []byte { return datatest.Photo(t, grey, width, height) }

// palette is VOC's: the bits of the index, three by three from the lowest, are the highest bits of red, green and blue.
func palette() color.Palette {
	p := make(color.Palette, 256)
	for i := range p {
		c := color.RGBA{A: 255}
		for bit := range 8 {
			*[]*uint8{&c.R, &c.G, &c.B}[bit%3] |= uint8(i>>bit&1) << (7 - bit/3)
		}
		p[i] = c
	}
	return p
}

// mask is a mask with VOC's palette.
func mask(t testing.TB, numbers ...uint8) []byte {
	m := image.NewPaletted(image.Rect(0, 0, width, len(numbers)/width), palette())
	copy(m.Pix, numbers)
	return datatest.PNG(t, m)
}

// devkit is three pictures: a person on a horse, nothing but background, and a television set.
func devkit(t testing.TB, below string) []file {
	files := []file{
		{"ImageSets/Segmentation/val.txt", []byte("2007_000033\n2007_000032\r\n2008_000001\n\n")},
		{"ImageSets/Segmentation/train.txt", []byte("2007_000032")},
		{"JPEGImages/2007_000033.jpg", photo(t, 33)},
		{"JPEGImages/2007_000032.jpg", photo(t, 32)},
		{"JPEGImages/2008_000001.jpg", photo(t, 1)},
		{"SegmentationClass/2007_000033.png", mask(t, 0, 13, 13, 255, 255, 15, 15, 0)},
		{"SegmentationClass/2007_000032.png", mask(t, 0, 0, 0, 255, 255, 0, 0, 20)},
		{"SegmentationClass/2008_000001.png", mask(t, 0, 0, 0, 255, 255, 0, 0, 0)},
	}
	for i := range files {
		files[i].name = below + files[i].name
	}
	return files
}

func TestClasses(t *testing.T) {
	plain := func(name string) string { return strings.ReplaceAll(name, " ", "") }
	if len(Classes) != 20 || !slices.IsSortedFunc(Classes, func(a, b string) int { return strings.Compare(plain(a), plain(b)) }) {
		t.Errorf("%d classes %q, want 20 in alphabetical order", len(Classes), Classes)
	}
	// As the development kit has them: person is 15 and the colour of an aeroplane dark red.
	if Classes[15-1] != "person" || palette()[1] != (color.RGBA{128, 0, 0, 255}) || palette()[255] != (color.RGBA{224, 224, 192, 255}) {
		t.Errorf("class 15 is %s, colours %v and %v", Classes[15-1], palette()[1], palette()[255])
	}
}

func TestVOC(t *testing.T) {
	want := []data.Item{{Name: "2007_000033 horse", Label: 12}, {Name: "2007_000033 person", Label: 14}, {Name: "2007_000032 tv monitor", Label: 19}}
	hashes := map[string]bool{}
	for below, argument := range map[string]string{"": "DIR", "VOC2012/": "DIR", "VOCdevkit/VOC2012/": "DIR", "x/VOC2012/": "DIR/x/VOC2012:val"} {
		t.Run(below, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, devkit(t, below)...)
			ds := datatest.Open(t, "voc:"+strings.ReplaceAll(argument, "DIR", dir), data.Options{})
			if got := datatest.Items(ds); !slices.Equal(got, want) || !slices.Equal(ds.Classes(), Classes) || data.HasIndexedLabels(ds) {
				t.Errorf("items %v of %v, want %v", got, ds.Classes(), want)
			}
			var running sync.WaitGroup
			for range 4 {
				running.Go(func() {
					for i, want := range []struct {
						grey uint8
						mask []uint8
					}{{33, []uint8{0, 1, 1, 255, 255, 0, 0, 0}}, {33, []uint8{0, 0, 0, 255, 255, 1, 1, 0}}, {32, []uint8{0, 0, 0, 255, 255, 0, 0, 1}}} {
						if p, err := ds.Picture(i); err != nil || p.Pix[0] != want.grey {
							t.Errorf("picture %d: %v, %v", i, p, err)
						}
						if m, err := data.MaskOf(ds, i); err != nil || m.Check() != nil || m.Width != width || !bytes.Equal(m.Pix, want.mask) {
							t.Errorf("mask %d: %v, %v; want %v", i, m, err, want.mask)
						}
					}
				})
			}
			running.Wait()
			hashes[datatest.Hash(t, ds)] = true
		})
	}
	if len(hashes) != 1 {
		t.Errorf("%d hashes of the same pictures and masks", len(hashes))
	}
	dir := t.TempDir()
	write(t, dir, devkit(t, "")...)
	if got := datatest.Items(datatest.Open(t, "voc:"+dir+":train", data.Options{})); !slices.Equal(got, want[2:]) {
		t.Errorf("items %v of train", got)
	}
}

// TestLabels: a file of labels gives a model's classes to items.
func TestLabels(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, devkit(t, "")...)
	write(t, dir, file{"l.csv", []byte("file,label\n2007_000032 tv monitor,851\n2007_000033 horse,339\n")})
	ds := datatest.Open(t, "voc:"+dir, data.Options{Labels: filepath.Join(dir, "l.csv")})
	if got := datatest.Items(ds); !slices.Equal(got, []data.Item{{Name: "2007_000032 tv monitor", Label: 851}, {Name: "2007_000033 horse", Label: 339}}) || ds.Classes() != nil {
		t.Errorf("items %v of %v", got, ds.Classes())
	}
	if m, err := data.MaskOf(ds, 1); err != nil || !bytes.Equal(m.Pix, []uint8{0, 1, 1, 255, 255, 0, 0, 0}) {
		t.Errorf("mask %v, %v", m, err)
	}
}

func TestErrors(t *testing.T) {
	good := devkit(t, "")
	replaced := func(name string, content []byte) []file { return append(slices.Clone(good), file{name, content}) }
	without := func(i int) []file { return slices.Delete(slices.Clone(good), i, i+1) }
	list := func(content string) []file { return replaced("ImageSets/Segmentation/val.txt", []byte(content)) }
	const maskName = "SegmentationClass/2007_000032.png"
	for _, test := range []struct {
		name, argument string
		files          []file
		want           []string
	}{
		{"no directory", "", nil, []string{"names no directory"}},
		{"nowhere", "DIR/nowhere", nil, []string{"DIR/nowhere: has no ImageSets/Segmentation"}},
		{"no list", "DIR:trainval", good, []string{"DIR/ImageSets/Segmentation/trainval.txt: no such file"}},
		{"empty list", "DIR", list("\n \n"), []string{"DIR/ImageSets/Segmentation/val.txt: names no pictures"}},
		{"twice", "DIR", list("2007_000032\n\n2007_000032\n"), []string{"val.txt: line 3: 2007_000032 is on line 1 already"}},
		{"outside", "DIR", list("2007_000032\n../2007_000033\n"), []string{`val.txt: line 2: "../2007_000033" is not the name of a picture`}},
		{"list of a class", "DIR", list("2007_000032  1\n"), []string{`val.txt: line 1: "2007_000032  1" is not the name of a picture`}},
		{"long line", "DIR", list("2007_000032\n" + strings.Repeat("x", 1<<17)), []string{"val.txt: line 2: bufio.Scanner: token too long"}},
		{"missing picture", "DIR", without(3), []string{"val.txt: names 2007_000032: ", "DIR/JPEGImages/2007_000032.jpg: no such file"}},
		{"missing mask", "DIR", without(6), []string{"DIR/SegmentationClass/2007_000032.png: no such file"}},
		{"damaged mask", "DIR", replaced(maskName, mask(t, make([]uint8, 8)...)[:50]), []string{"DIR/" + maskName + ": damaged PNG file"}},
		{"unknown class", "DIR", replaced(maskName, mask(t, 0, 0, 0, 0, 20, 21, 255, 0)), []string{"DIR/" + maskName + ": row 1, column 1 is of class 21: want 0 to 20, or 255"}},
		{"colours", "DIR", replaced(maskName, datatest.PNG(t, image.NewNRGBA(image.Rect(0, 0, width, height)))), []string{"DIR/" + maskName + ": the mask has the mode RGBA: those of VOC have a palette"}},
		{"no objects", "DIR:train", replaced(maskName, mask(t, make([]uint8, 8)...)), []string{"DIR: the masks of train show no objects"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, test.files...)
			_, err := data.Open("voc:"+strings.ReplaceAll(test.argument, "DIR", dir), data.Options{})
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range append(test.want, "data voc:"+test.argument+": ") {
				if want = strings.ReplaceAll(want, "DIR", dir); !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
		})
	}
}

// TestSize: a mask of another size than its picture names both.
func TestSize(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, devkit(t, "")...)
	write(t, dir, file{"SegmentationClass/2007_000033.png", mask(t, 1, 0, 0, 0)})
	ds := datatest.Open(t, "voc:"+dir, data.Options{})
	want := fmt.Sprintf("%[1]s/SegmentationClass/2007_000033.png: the mask is of 4 x 1 pixels, its picture %[1]s/JPEGImages/2007_000033.jpg of 4 x 2", dir)
	if _, err := data.MaskOf(ds, 0); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	// The mask changes after it was looked at.
	write(t, dir, file{"SegmentationClass/2007_000033.png", mask(t, 99, 0, 0, 0, 0, 0, 0, 0)})
	if _, err := data.MaskOf(ds, 0); err == nil || !strings.Contains(err.Error(), "2007_000033.png: row 0, column 0 is of class 99") {
		t.Errorf("error %v", err)
	}
}

// TestHash: the hash changes with what is seen, and that of a subset with its own alone.
func TestHash(t *testing.T) {
	hash := func(of []int, change ...file) string {
		dir := t.TempDir()
		write(t, dir, devkit(t, "")...)
		write(t, dir, change...)
		ds := datatest.Open(t, "voc:"+dir, data.Options{})
		if of != nil {
			ds = data.Subset(ds, of)
		}
		return datatest.Hash(t, ds)
	}
	base, horse := hash(nil), hash([]int{0})
	if hash([]int{1}) == horse {
		t.Error("horse and rider have the same hash")
	}
	for name, test := range map[string]struct {
		change file
		subset bool // whether it is of the first picture
	}{
		"picture":       {file{"JPEGImages/2007_000033.jpg", photo(t, 34)}, true},
		"mask":          {file{"SegmentationClass/2007_000033.png", mask(t, 13, 13, 13, 255, 255, 15, 15, 0)}, true},
		"other mask":    {file{"SegmentationClass/2007_000032.png", mask(t, 20, 20, 0, 255, 255, 0, 0, 20)}, false},
		"other picture": {file{"JPEGImages/2007_000032.jpg", photo(t, 34)}, false},
		"list":          {file{"ImageSets/Segmentation/val.txt", []byte("2007_000033\n")}, false},
	} {
		if hash(nil, test.change) == base {
			t.Errorf("another %s, the same hash", name)
		}
		if (hash([]int{0}, test.change) != horse) != test.subset {
			t.Errorf("%s: the hash of the first item is %s, and was %s", name, hash([]int{0}, test.change), horse)
		}
	}
}

// FuzzList: what is accepted names files and no folders.
func FuzzList(f *testing.F) {
	f.Add("2007_000032\n2007_000033\r\n")
	f.Add("2007_000032 -1\n")
	f.Add("..\n../x\n")
	f.Fuzz(func(t *testing.T, content string) {
		names, err := parseList(strings.NewReader(content))
		if (err == nil) != (len(names) > 0) {
			t.Errorf("%d names, error %v", len(names), err)
		}
		seen := map[string]bool{}
		for _, name := range names {
			if seen[name] || filepath.Base(name) != name || !filepath.IsLocal(name) || strings.ContainsAny(name, " \\/") {
				t.Errorf("accepted %q", name)
			}
			seen[name] = true
		}
	})
}

// BenchmarkOpen is what opening costs for a mask of the size that most have, 500 x 375.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	m := image.NewPaletted(image.Rect(0, 0, 500, 375), palette())
	for i := range m.Pix {
		if x, y := i%500-250, i/500-180; x*x+y*y < 120*120 {
			m.Pix[i] = 15
		}
	}
	write(b, dir, devkit(b, "")...)
	write(b, dir, file{"SegmentationClass/2007_000032.png", datatest.PNG(b, m)})
	for b.Loop() {
		if _, err := data.Open("voc:"+dir+":train", data.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func Example() {
	// voc:DIR:val, where DIR has VOCdevkit/VOC2012.
	_, err := data.Open("voc:/nowhere:val", data.Options{})
	fmt.Println(err)
	// Output: data voc:/nowhere:val: /nowhere: has no ImageSets/Segmentation, nor VOC2012 or VOCdevkit/VOC2012 with it: want VOC2012 or a directory above it
}
