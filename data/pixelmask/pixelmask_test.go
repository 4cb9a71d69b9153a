package pixelmask

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"vitdecompose/data"
	"vitdecompose/data/datatest"
	"vitdecompose/data/wnid"
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

// rgb is a mask of ImageNet-S.
func rgb(t testing.TB, numbers ...int) []byte {
	m := image.NewNRGBA(image.Rect(0, 0, width, len(numbers)/width)) // opaque, and so written without alpha
	for i, v := range numbers {
		m.SetNRGBA(i%width, i/width, color.NRGBA{R: uint8(v), G: uint8(v >> 8), B: uint8(v >> 16), A: 255})
	}
	return datatest.PNG(t, m)
}

// indexed is a mask with a palette.
func indexed(t testing.TB, numbers ...uint8) []byte {
	m := image.NewPaletted(image.Rect(0, 0, width, len(numbers)/width), make(color.Palette, 256))
	for i := range m.Palette {
		m.Palette[i] = color.RGBA{uint8(i) &^ 1, 0, 0, 255} // two of each
	}
	copy(m.Pix, numbers)
	return datatest.PNG(t, m)
}

// grey is a mask in grey.
func grey(t testing.TB, numbers ...uint8) []byte {
	m := image.NewGray(image.Rect(0, 0, width, len(numbers)/width))
	copy(m.Pix, numbers)
	return datatest.PNG(t, m)
}

// classes are those of the tests' ImageNetS50: every twentieth of ImageNet.
func classes() (ids []string) {
	for i, id := range wnid.ImageNet1k() {
		if i%20 == 7 {
			ids = append(ids, id)
		}
	}
	return ids
}

// categories is ImageNetS_categories_im50.txt, in an order that is not that of the numbers.
func categories() file {
	ids := classes()
	slices.Reverse(ids)
	return file{"ImageNetS_categories_im50.txt", []byte(strings.Join(ids, "\n") + "\n")}
}

// imageNetS50 is pictures of the classes 3, 50 and 17, and the list of all.
func imageNetS50(t testing.TB) []file {
	ids := classes()
	return []file{
		categories(),
		{"validation/" + ids[2] + "/ILSVRC2012_val_00000001.JPEG", photo(t, 10)},
		{"validation-segmentation/" + ids[2] + "/ILSVRC2012_val_00000001.png", rgb(t, 0, 3, 3, 50, 1000, 1000, 0, 3)},
		{"validation/" + ids[49] + "/ILSVRC2012_val_00000003.JPEG", photo(t, 20)},
		{"validation-segmentation/" + ids[49] + "/ILSVRC2012_val_00000003.png", rgb(t, 0, 3, 3, 50, 1000, 50, 0, 0)},
		{"validation/" + ids[49] + "/ILSVRC2012_val_00000002.JPEG", photo(t, 30)},
		{"validation-segmentation/" + ids[49] + "/ILSVRC2012_val_00000002.png", rgb(t, 0, 0, 0, 0, 0, 0, 0, 0)},
		{"train-semi/" + ids[16] + "/" + ids[16] + "_7.JPEG", photo(t, 40)},
		{"train-semi-segmentation/" + ids[16] + "/" + ids[16] + "_7.png", rgb(t, 17, 17, 17, 17, 17, 17, 17, 17)},
	}
}

func TestImageNetS(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, imageNetS50(t)...)
	ids := classes()
	ds := datatest.Open(t, "imagenet-s:"+dir, data.Options{})
	want := []data.Item{
		{Name: ids[2] + "/ILSVRC2012_val_00000001.JPEG", Label: 47},
		{Name: ids[49] + "/ILSVRC2012_val_00000002.JPEG", Label: 987},
		{Name: ids[49] + "/ILSVRC2012_val_00000003.JPEG", Label: 987},
	}
	if got := datatest.Items(ds); !slices.Equal(got, want) || !slices.Equal(ds.Classes(), wnid.ImageNet1k()) || !data.HasIndexedLabels(ds) {
		t.Errorf("items %v of %d classes, want %v", got, len(ds.Classes()), want)
	}
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for i, want := range []struct {
				grey uint8
				mask []uint8
			}{{10, []uint8{0, 1, 1, 0, 255, 255, 0, 1}}, {30, make([]uint8, 8)}, {20, []uint8{0, 0, 0, 1, 255, 1, 0, 0}}} {
				p, err := ds.Picture(i)
				if err != nil || p.Width != width || p.Height != height || p.Pix[0] != want.grey {
					t.Errorf("picture %d: %v, %v", i, p, err)
				}
				m, err := data.MaskOf(ds, i)
				if err != nil || m.Check() != nil || m.Width != width || m.Height != height || !bytes.Equal(m.Pix, want.mask) {
					t.Errorf("mask %d: %v, %v; want %v", i, m, err, want.mask)
				}
			}
		})
	}
	running.Wait()

	semi := datatest.Open(t, "imagenet-s:"+dir+":train-semi", data.Options{})
	if got := datatest.Items(semi); !slices.Equal(got, []data.Item{{Name: ids[16] + "/" + ids[16] + "_7.JPEG", Label: 327}}) {
		t.Errorf("items %v", got)
	}
	if m, err := data.MaskOf(semi, 0); err != nil || !bytes.Equal(m.Pix, bytes.Repeat([]byte{1}, 8)) {
		t.Errorf("mask %v, %v", m, err)
	}
	if got := datatest.Items(datatest.Open(t, "imagenet-s:"+dir+":validation", data.Options{})); !slices.Equal(got, want) {
		t.Errorf("items %v", got)
	}
}

// TestImageNetSFolders: without a list the folders are the classes of the masks, if there are as many as an edition has; a
// list beside the directory counts if it has as many.
func TestImageNetSFolders(t *testing.T) {
	dir := t.TempDir()
	for i, id := range classes() {
		write(t, dir, file{"ImageNetS50/validation/" + id + "/a.JPEG", photo(t, 0)},
			file{"ImageNetS50/validation-segmentation/" + id + "/a.png", rgb(t, i+1, 0, 51-(i+1), 0, 0, 0, 0, 1000)})
	}
	check := func() {
		t.Helper()
		ds := datatest.Open(t, "imagenet-s:"+filepath.Join(dir, "ImageNetS50"), data.Options{})
		for i := range ds.Len() {
			if m, err := data.MaskOf(ds, i); err != nil || !bytes.Equal(m.Pix, []uint8{1, 0, 0, 0, 0, 0, 0, 255}) {
				t.Errorf("mask %d: %v, %v", i, m, err)
			}
		}
		if ds.Len() != 50 {
			t.Errorf("%d pictures", ds.Len())
		}
	}
	check()
	write(t, dir, file{"ImageNetS_categories_im300.txt", []byte("of another edition\n")})
	check()
	write(t, dir, categories())
	check()
}

func TestImageNetSErrors(t *testing.T) {
	ids := classes()
	good := imageNetS50(t)
	without := func(i int) []file { return slices.Delete(slices.Clone(good), i, i+1) }
	list := func(lines ...string) []file {
		return append(without(0), file{"ImageNetS_categories_im50.txt", []byte(strings.Join(lines, "\n"))})
	}
	for _, test := range []struct {
		name, argument string
		files          []file
		want           []string
	}{
		{"no directory", "", nil, []string{"names no directory"}},
		{"nowhere", "DIR/nowhere", nil, []string{"DIR/nowhere/validation: there is no such directory", "ImageNetS50"}},
		{"no masks", "DIR", good[1:2], []string{"DIR/validation-segmentation: there is no such directory"}},
		{"no train-semi", "DIR:train-semi", good[:7], []string{"DIR/train-semi: there is no such directory"}},
		{"no pictures", "DIR", []file{{"validation/a.txt", nil}, good[2]}, []string{"DIR/validation: has no files .jpeg"}},
		{"missing mask", "DIR", without(4), []string{"DIR/validation/" + ids[49] + "/ILSVRC2012_val_00000003.JPEG: there is no mask DIR/validation-segmentation/" + ids[49] + "/ILSVRC2012_val_00000003.png"}},
		{"missing list", "DIR", without(0), []string{"DIR: has pictures of 2 classes, not of 50, 300 or 919", "ImageNetS_categories_im50.txt"}},
		{"two lists", "DIR", append(good, file{"ImageNetS_categories_im300.txt", nil}), []string{"DIR: has pictures of 2 classes and more than one ImageNetS_categories_im*.txt"}},
		{"short list", "DIR", list(ids[1:]...), []string{"DIR/ImageNetS_categories_im50.txt: has 49 WNIDs, want 50"}},
		{"empty list", "DIR", list("", " "), []string{"DIR/ImageNetS_categories_im50.txt: has no WNIDs"}},
		{"no WNID", "DIR", list(append([]string{"", "tench"}, ids[2:]...)...), []string{`im50.txt: line 2: "tench" is not a WNID`}},
		{"twice", "DIR", list(append([]string{ids[2], ""}, ids[1:]...)...), []string{"im50.txt: line 4: " + ids[2] + " is on line 1 already"}},
		{"large list", "DIR", list(strings.Repeat(" ", maxList+1)), []string{"im50.txt: is larger than"}},
		{"another class", "DIR", append(good, file{"validation/n00000001/a.JPEG", nil}), []string{`DIR/validation: the sub-folder "n00000001" is not a class of DIR/ImageNetS_categories_im50.txt`}},
		{"pictures beside folders", "DIR", append(good, file{"validation/a.JPEG", nil}), []string{"DIR/validation: has files (a.JPEG) beside sub-folders"}},
		{"two pictures", "DIR", append(good, file{"validation/" + ids[2] + "/ILSVRC2012_val_00000001.png", nil}), []string{"DIR/validation/" + ids[2] + ": has both ILSVRC2012_val_00000001.JPEG and ILSVRC2012_val_00000001.png"}},
	} {
		t.Run(test.name, func(t *testing.T) { wantError(t, "imagenet-s", test.argument, test.files, test.want) })
	}
}

func wantError(t *testing.T, kind, argument string, files []file, wants []string) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, files...)
	_, err := data.Open(kind+":"+strings.ReplaceAll(argument, "DIR", dir), data.Options{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range append(wants, "data "+kind+":"+argument+": ") {
		if want = strings.ReplaceAll(want, "DIR", dir); !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error of several lines: %q", err)
	}
}

// TestDamagedFiles: masks and pictures that are wrong in themselves are errors when they are asked for.
func TestDamagedFiles(t *testing.T) {
	id := classes()[2]
	picturePath, maskPath := "validation/"+id+"/ILSVRC2012_val_00000001.JPEG", "validation-segmentation/"+id+"/ILSVRC2012_val_00000001.png"
	good := rgb(t, 0, 3, 3, 50, 1000, 1000, 0, 3)
	for name, test := range map[string]struct {
		picture, mask []byte
		want          string
	}{
		"other size":       {nil, rgb(t, 3, 3, 3, 3), "DIR/MASK: the mask is of 4 x 1 pixels, its picture DIR/PICTURE of 4 x 2"},
		"unknown class":    {nil, rgb(t, 0, 3, 3, 50, 51, 1000, 0, 3), "DIR/MASK: row 1, column 0 is of class 51: want 0 to 50, or 1000"},
		"blue":             {nil, rgb(t, 0, 3, 3, 50, 0, 1000, 1<<16, 3), "DIR/MASK: row 1, column 2 is of class 65536"},
		"palette":          {nil, indexed(t, 0, 3, 3, 50, 0, 0, 0, 3), "DIR/MASK: the mask has the mode P: those of ImageNet-S are RGB"},
		"damaged mask":     {nil, append(bytes.Clone(good[:40]), 1, 2, 3), "DIR/MASK: damaged PNG file"},
		"JPEG for a mask":  {nil, photo(t, 3), "DIR/MASK: not a picture: it does not begin like a PNG file"},
		"empty mask":       {nil, []byte{}, "DIR/MASK: not a picture"},
		"damaged picture":  {[]byte("\xff\xd8\xff\xe0"), nil, "DIR/PICTURE: damaged JPEG file"},
		"no picture":       {[]byte("hello"), nil, "DIR/PICTURE: not a picture"},
		"neither of these": {nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, imageNetS50(t)...)
			if test.picture != nil {
				write(t, dir, file{picturePath, test.picture})
			}
			if test.mask != nil {
				write(t, dir, file{maskPath, test.mask})
			}
			ds := datatest.Open(t, "imagenet-s:"+dir, data.Options{})
			_, err := data.MaskOf(ds, 0)
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			want := strings.NewReplacer("DIR", dir, "PICTURE", filepath.FromSlash(picturePath), "MASK", filepath.FromSlash(maskPath)).Replace(test.want)
			if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %q", err, want)
			}
			if _, err := ds.Picture(0); (err != nil) != (test.picture != nil) {
				t.Errorf("picture: error %v", err)
			}
		})
	}
	dir := t.TempDir()
	write(t, dir, imageNetS50(t)...)
	ds := datatest.Open(t, "imagenet-s:"+dir, data.Options{})
	for _, gone := range []string{picturePath, maskPath} { // the mask is read first
		if err := os.Remove(filepath.Join(dir, filepath.FromSlash(gone))); err != nil {
			t.Fatal(err)
		}
		if _, err := data.MaskOf(ds, 0); err == nil || !strings.Contains(err.Error(), gone+": no such file") {
			t.Errorf("a lost file: error %v", err)
		}
		if _, err := data.First(ds, 1).Hash(); err == nil || !strings.Contains(err.Error(), "00000001") {
			t.Errorf("hash of a lost file: error %v", err)
		}
	}
}

// pixelImageNetFiles is masks of the first three classes of ImageNet in the form of Pixel-ImageNet, and pictures with and
// without a mask.
func pixelImageNetFiles(t testing.TB, masks, pictures string) []file {
	return []file{
		{pictures + "/n01440764/n01440764_1.JPEG", photo(t, 10)},
		{pictures + "/n01440764/n01440764_2.JPEG", photo(t, 20)},
		{pictures + "/n01443537/n01443537_3.JPEG", photo(t, 30)},
		{pictures + "/n01484850/n01484850_4.JPEG", photo(t, 40)},
		{pictures + "/n01494475/n01494475_5.JPEG", photo(t, 50)},
		{masks + "/n01440764/n01440764_2.png", indexed(t, 0, 1, 1, 2, 255, 0, 0, 7)},
		{masks + "/n01443537/n01443537_3.png", grey(t, 0, 255, 255, 0, 0, 0, 0, 255)},
		{masks + "/n01484850/n01484850_4.png", rgb(t, 0, 0xff, 1, 0x008000, 0x800000, 0, 0xffffff, 0)},
	}
}

func TestPixelImageNet(t *testing.T) {
	want := []data.Item{{Name: "n01440764/n01440764_2.JPEG", Label: 0}, {Name: "n01443537/n01443537_3.JPEG", Label: 1}, {Name: "n01484850/n01484850_4.JPEG", Label: 2}}
	hashes := map[string]bool{}
	for _, test := range []struct{ name, masks, pictures, argument string }{
		{"the authors' folders", "pixel-imagenet-v2", "ILSVRC2012/train", "DIR/pixel-imagenet-v2:DIR/ILSVRC2012"},
		{"the folder of the classes", "pixel-imagenet-v2", "ILSVRC2012/train", "DIR/pixel-imagenet-v2:DIR/ILSVRC2012/train"},
		{"images", "masks", "images", "DIR"},
		{"val", "masks", "val", "DIR"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, pixelImageNetFiles(t, test.masks, test.pictures)...)
			write(t, dir, file{test.masks + "/label-v2.npy", nil}, file{test.pictures + "/.DS_Store", nil})
			ds := datatest.Open(t, "pixelimagenet:"+strings.ReplaceAll(test.argument, "DIR", dir), data.Options{})
			if got := datatest.Items(ds); !slices.Equal(got, want) || !data.HasIndexedLabels(ds) || !slices.Equal(ds.Classes(), wnid.ImageNet1k()) {
				t.Errorf("items %v, want %v", got, want)
			}
			for i, want := range [][]uint8{{0, 1, 1, 1, 255, 0, 0, 1}, {0, 1, 1, 0, 0, 0, 0, 1}, {0, 1, 1, 1, 1, 0, 1, 0}} {
				if m, err := data.MaskOf(ds, i); err != nil || !bytes.Equal(m.Pix, want) {
					t.Errorf("mask %d: %v, %v; want %v", i, m, err, want)
				}
			}
			if p, err := ds.Picture(2); err != nil || p.Pix[0] != 40 {
				t.Errorf("picture %v, %v", p, err)
			}
			hashes[datatest.Hash(t, ds)] = true
		})
	}
	if len(hashes) != 1 {
		t.Errorf("%d hashes of the same pictures and masks", len(hashes))
	}
}

// TestPixelImageNetFolders: other folders are classes of their own, and there may be none.
func TestPixelImageNetFolders(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, file{"images/swan/a.jpg", photo(t, 1)}, file{"masks/swan/a.png", grey(t, 0, 1, 0, 0, 0, 0, 0, 0)},
		file{"images/finch/a.png", grey(t, 0, 1, 0, 0, 0, 0, 0, 0)}, file{"masks/finch/a.png", grey(t, 0, 1, 0, 0, 0, 0, 0, 0)})
	ds := datatest.Open(t, "pixelimagenet:"+dir, data.Options{})
	if got := datatest.Items(ds); !slices.Equal(got, []data.Item{{Name: "finch/a.png", Label: 0}, {Name: "swan/a.jpg", Label: 1}}) ||
		!slices.Equal(ds.Classes(), []string{"finch", "swan"}) || data.HasIndexedLabels(ds) {
		t.Errorf("items %v of %v", got, ds.Classes())
	}
	flat := t.TempDir()
	write(t, flat, file{"images/a.jpg", photo(t, 1)}, file{"images/b.jpg", nil}, file{"masks/a.png", grey(t, 0, 1, 0, 0, 0, 0, 0, 0)})
	ds = datatest.Open(t, "pixelimagenet:"+flat, data.Options{})
	if got := datatest.Items(ds); !slices.Equal(got, []data.Item{{Name: "a.jpg", Label: -1}}) || ds.Classes() != nil {
		t.Errorf("items %v of %v", got, ds.Classes())
	}
	if m, err := data.MaskOf(ds, 0); err != nil || !bytes.Equal(m.Pix, []uint8{0, 1, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("mask %v, %v", m, err)
	}
}

func TestPixelImageNetErrors(t *testing.T) {
	good := pixelImageNetFiles(t, "masks", "images")
	for _, test := range []struct {
		name, argument string
		files          []file
		want           []string
	}{
		{"no directory", "", nil, []string{"names no directory: want pixelimagenet:MASKS:PICTURES"}},
		{"nowhere", "DIR/nowhere", nil, []string{"DIR/nowhere: there is no such directory"}},
		{"no masks", "DIR", good[:1], []string{"DIR/masks: there is no such directory"}},
		{"no pictures", "DIR", good[5:], []string{"DIR: has no directory images, train or val"}},
		{"pictures nowhere", "DIR/masks:DIR/train", good, []string{"DIR/train: there is no such directory"}},
		{"masks nowhere", "DIR/mask:DIR/images", good, []string{"DIR/mask: there is no such directory"}},
		{"missing picture", "DIR", append(slices.Clone(good[:2]), good[3:]...), []string{"DIR/masks/n01443537/n01443537_3.png: there is no picture for it in DIR/images/n01443537"}},
		{"folders without masks", "DIR", append(good[:1:1], file{"masks/n01440764/a.txt", nil}), []string{"DIR/masks: has no files .png"}},
		{"upper case", "DIR", append(good, file{"masks/n01440764/n01440764_1.PNG", nil}), []string{"DIR/masks/n01440764/n01440764_1.PNG: want the extension .png"}},
	} {
		t.Run(test.name, func(t *testing.T) { wantError(t, "pixelimagenet", test.argument, test.files, test.want) })
	}
}

// TestLabels: a file of labels chooses pictures, and tells what is known of them.
func TestLabels(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, pixelImageNetFiles(t, "masks", "images")...)
	labels := filepath.Join(dir, "l.csv")
	write(t, dir, file{"l.csv", []byte("file,label,color\nn01484850/n01484850_4.JPEG,7,grey\nn01440764/n01440764_2.JPEG,-1,\n")})
	ds := datatest.Open(t, "pixelimagenet:"+dir, data.Options{Labels: labels})
	if got := datatest.Items(ds); !slices.Equal(got, []data.Item{{Name: "n01484850/n01484850_4.JPEG", Label: 7}, {Name: "n01440764/n01440764_2.JPEG", Label: -1}}) || ds.Classes() != nil {
		t.Errorf("items %v of %v", got, ds.Classes())
	}
	if got := data.Attributes(ds, 0); !maps.Equal(got, map[string]string{"color": "grey"}) || data.Attributes(ds, 1) != nil {
		t.Errorf("attributes %v, %v", got, data.Attributes(ds, 1))
	}
	if m, err := data.MaskOf(ds, 1); err != nil || !bytes.Equal(m.Pix, []uint8{0, 1, 1, 1, 255, 0, 0, 1}) {
		t.Errorf("mask %v, %v", m, err)
	}
	base := datatest.Hash(t, ds)
	for _, other := range []string{"n01484850/n01484850_4.JPEG,7,red\nn01440764/n01440764_2.JPEG,-1,\n", "n01484850/n01484850_4.JPEG,8,grey\nn01440764/n01440764_2.JPEG,-1,\n"} {
		write(t, dir, file{"l.csv", []byte("file,label,color\n" + other)})
		if datatest.Hash(t, datatest.Open(t, "pixelimagenet:"+dir, data.Options{Labels: labels})) == base {
			t.Errorf("the same hash with %q", other)
		}
	}
	for content, want := range map[string]string{"file,label\nn01440764/n01440764_1.JPEG,1\n": "names n01440764/n01440764_1.JPEG, which is not among the pictures (the first is n01440764/n01440764_2.JPEG)", "x": "want file and label"} {
		write(t, dir, file{"l.csv", []byte(content)})
		if _, err := data.Open("pixelimagenet:"+dir, data.Options{Labels: labels}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), labels) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// TestHash: the hash changes with pictures, masks, names, labels and the classes of the masks, and that of a subset with its
// own alone.
func TestHash(t *testing.T) {
	hash := func(of []int, change ...file) string {
		dir := t.TempDir()
		write(t, dir, imageNetS50(t)...)
		write(t, dir, change...)
		ds := datatest.Open(t, "imagenet-s:"+dir, data.Options{})
		if of != nil {
			ds = data.Subset(ds, of)
		}
		return datatest.Hash(t, ds)
	}
	ids := classes()
	first, other := "/"+ids[2]+"/ILSVRC2012_val_00000001", "/"+ids[49]+"/ILSVRC2012_val_00000002"
	shifted := append([]string{"n00000001"}, ids[1:]...)
	shifted[1] = "n99999999" // the classes after it count one less
	slices.Sort(shifted)
	base, part := hash(nil), hash([]int{0})
	if len(base) != 64 || hash(nil) != base || part == base || hash([]int{0}) != part {
		t.Errorf("hashes %s, %s", base, part)
	}
	for name, test := range map[string]struct {
		change file
		subset bool // whether it is of the first picture
	}{
		"picture":       {file{"validation" + first + ".JPEG", photo(t, 99)}, true},
		"mask":          {file{"validation-segmentation" + first + ".png", rgb(t, 0, 0, 0, 0, 0, 0, 0, 3)}, true},
		"classes":       {file{"ImageNetS_categories_im50.txt", []byte(strings.Join(shifted, "\n"))}, true},
		"other mask":    {file{"validation-segmentation" + other + ".png", rgb(t, 0, 0, 0, 0, 0, 0, 0, 3)}, false},
		"other picture": {file{"validation" + other + ".JPEG", photo(t, 99)}, false},
	} {
		if hash(nil, test.change) == base {
			t.Errorf("another %s, the same hash", name)
		}
		if (hash([]int{0}, test.change) != part) != test.subset {
			t.Errorf("%s: the hash of the first picture is %s, and was %s", name, hash([]int{0}, test.change), part)
		}
	}
}

// FuzzWNIDs: what is accepted is sorted WNIDs.
func FuzzWNIDs(f *testing.F) {
	f.Add("n01443537\nn01440764\n")
	f.Add("\ufeffn01440764 tench, Tinca tinca\r\n\r\nn01443537 goldfish")
	f.Add("n0144076\n")
	f.Fuzz(func(t *testing.T, content string) {
		ids, err := parseWNIDs(content)
		if (err == nil) != (len(ids) > 0) || !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
			t.Errorf("%d WNIDs %v, error %v", len(ids), ids, err)
		}
		for _, id := range ids {
			if !wnid.Valid(id) {
				t.Errorf("accepted %q", id)
			}
		}
	})
}

func Example() {
	// imagenet-s:ImageNetS50 where the directory has validation and validation-segmentation.
	_, err := data.Open("pixelimagenet:/nowhere", data.Options{})
	fmt.Println(err)
	// Output: data pixelimagenet:/nowhere: /nowhere: there is no such directory
}
