package imagenet

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
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

func testWNID(class int) string { return wnid.ImageNet1k()[class] }

// testID is the ILSVRC2012_ID of a class.
func testID(class int) int {
	for id := 1; ; id++ {
		if of, ok := wnid.OfKitID(id); !ok || of == class {
			return id
		}
	}
}

// photo is a small JPEG of one grey.
func photo(t testing.TB, grey uint8) []byte { return datatest.Photo(t, grey, 8, 8) }

// file is a file of an archive, or below a directory.
type file struct {
	name    string
	content []byte
}

func tarOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Size: int64(len(f.content)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t testing.TB, dir string, files ...file) {
	t.Helper()
	for _, f := range files {
		datatest.WriteFile(t, dir, f.name, f.content)
	}
}

// valPhotos are five pictures of the validation set; picture i is of class valClasses[i].
var valClasses = []int{999, 0, 134, 7, 7}

func valPhotos(t testing.TB) (files []file) {
	for i := range valClasses {
		files = append(files, file{fmt.Sprintf("ILSVRC2012_val_%08d.JPEG", i+1), photo(t, uint8(40*i))})
	}
	return files
}

func truthOf(classes []int) []byte {
	var b strings.Builder
	for _, class := range classes {
		fmt.Fprintln(&b, testID(class))
	}
	return []byte(b.String())
}

// kit is what is read of the development kit, beside another file of it.
func kit(t testing.TB) []file {
	t.Helper()
	return []file{{devkit + "/data/" + truthFile, truthOf(valClasses)}, {devkit + "/readme.txt", []byte("ILSVRC 2012")}}
}

func zipped(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(content)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// kaggle is Kaggle's answers.
func kaggle() file {
	var answers strings.Builder
	answers.WriteString("ImageId,PredictionString\n")
	for _, i := range []int{3, 0, 1, 4, 2} {
		fmt.Fprintf(&answers, "ILSVRC2012_val_%08d,%s 85 1 499 272 %[2]s 1 2 3 4 \n", i+1, testWNID(valClasses[i]))
	}
	return file{answersFile, []byte(answers.String())}
}

func below(dir string, files []file) (moved []file) {
	for _, f := range files {
		moved = append(moved, file{dir + "/" + f.name, f.content})
	}
	return moved
}

func mustOpen(t testing.TB, argument string, opts data.Options) data.Dataset {
	t.Helper()
	ds, err := data.Open("imagenet:"+argument, opts)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// TestVal: the validation set is the same in every way in which it may be stored.
func TestVal(t *testing.T) {
	photos := valPhotos(t)
	lines := sha256.New()
	fmt.Fprintf(lines, "imagenet %d\n", len(photos))
	for i, p := range photos {
		fmt.Fprintf(lines, "%q %d %x\n", p.name, valClasses[i], sha256.Sum256(p.content))
	}
	want := hex.EncodeToString(lines.Sum(nil))
	devkitArchive := file{devkit + ".tar.gz", zipped(t, tarOf(t, kit(t)...))}
	for _, test := range []struct {
		name, argument string
		files          []file
	}{
		{"archive", "DIR/ILSVRC2012_img_val.tar", []file{{valFile, tarOf(t, photos...)}, devkitArchive}},
		{"archive, kit extracted", "DIR/x.tar", append(kit(t), file{"x.tar", tarOf(t, photos...)})},
		{"archive in another order", "DIR:val", []file{{valFile, tarOf(t, photos[3], photos[0], photos[4], photos[2], photos[1])}, devkitArchive}},
		{"archive beside the training set", "DIR:val", []file{{valFile, tarOf(t, photos...)}, {trainFile, nil}, devkitArchive}},
		{"directory", "DIR", append(below("val", photos), devkitArchive)},
		{"directory itself", "DIR/val", append(below("val", photos), devkitArchive)},
		{"directory itself by name", "DIR/val:val", append(below("val", photos), devkitArchive)},
		{"kit above", "DIR/a/b/val", append(below("a/b/val", photos), devkitArchive)},
		{"kit in the directory", "DIR", append(slices.Clone(photos), devkitArchive)},
		{"files of the kit", "DIR/val", append(below("val", photos), file{truthFile, kit(t)[0].content})},
		{"Kaggle", "DIR:val", append(below("ILSVRC/Data/CLS-LOC/val", photos), kaggle())},
		{"Kaggle, further down", "DIR/ILSVRC/Data/CLS-LOC/val", append(below("ILSVRC/Data/CLS-LOC/val", photos), kaggle())},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, test.files...)
			ds := mustOpen(t, strings.ReplaceAll(test.argument, "DIR", dir), data.Options{})
			if ds.Len() != len(photos) {
				t.Fatalf("%d pictures", ds.Len())
			}
			for i, class := range valClasses {
				if item := (data.Item{Name: photos[i].name, Label: class}); ds.Item(i) != item {
					t.Errorf("item %v, want %v", ds.Item(i), item)
				}
				p, err := ds.Picture(i)
				if err != nil {
					t.Fatal(err)
				}
				if p.Width != 8 || absDiff(p.Pix[0], uint8(40*i)) > 1 || !strings.Contains(p.Name, photos[i].name) {
					t.Errorf("picture %d is %q, %d pixels wide, of grey %d", i, p.Name, p.Width, p.Pix[0])
				}
			}
			classes := ds.Classes()
			if len(classes) != numClasses || classes[7] != "cock" {
				t.Errorf("%d classes, class 7 is %q", len(classes), classes[7])
			}
			if classes[134] != "crane (n02012849)" || classes[517] != "crane (n03126707)" || classes[638] != "maillot" || classes[639] != "maillot, tank suit" {
				t.Errorf("classes that share a name are %q %q %q %q", classes[134], classes[517], classes[638], classes[639])
			}
			if h := datatest.Hash(t, ds); h != want {
				t.Errorf("hash %s, want %s", h, want)
			}
			if !data.HasIndexedLabels(ds) {
				t.Error("the labels are not ImageNet's")
			}
		})
	}
}

func absDiff(a, b uint8) int { return max(int(a)-int(b), int(b)-int(a)) }

// TestTrain: the training set in its archive of archives, and extracted; with all synsets, and with a few.
func TestTrain(t *testing.T) {
	var all, archives []file
	for class := range numClasses {
		synset := testWNID(class)
		photos := []file{{fmt.Sprintf("%s_%d.JPEG", synset, 10026), photo(t, uint8(class%200))}}
		if class == 3 {
			photos = append(photos, file{synset + "_4.JPEG", photo(t, 222)}, file{synset + "_333.JPEG", photo(t, 111)})
		}
		archives = append(archives, file{synset + ".tar", tarOf(t, photos...)})
		all = append(all, below(synset, photos)...)
	}
	// The genuine archive is not in the order of the names either.
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(archives), func(i, j int) { archives[i], archives[j] = archives[j], archives[i] })

	dir, extracted := t.TempDir(), t.TempDir()
	write(t, dir, file{trainFile, tarOf(t, archives...)})
	write(t, extracted, below("train", all)...)
	inArchive, inDirectory := mustOpen(t, dir, data.Options{}), mustOpen(t, extracted+":train", data.Options{})
	for name, ds := range map[string]data.Dataset{"archive": inArchive, "directory": inDirectory} {
		if ds.Len() != numClasses+2 {
			t.Fatalf("%s: %d pictures", name, ds.Len())
		}
		for i, want := range []data.Item{{Name: "n01440764/n01440764_10026.JPEG", Label: 0}, {Name: "n01443537/n01443537_10026.JPEG", Label: 1}, {Name: "n01484850/n01484850_10026.JPEG", Label: 2},
			{Name: "n01491361/n01491361_10026.JPEG", Label: 3}, {Name: "n01491361/n01491361_333.JPEG", Label: 3}, {Name: "n01491361/n01491361_4.JPEG", Label: 3}} {
			if ds.Item(i) != want {
				t.Errorf("%s: item %v, want %v", name, ds.Item(i), want)
			}
		}
		if p, err := ds.Picture(4); err != nil || absDiff(p.Pix[0], 111) > 1 {
			t.Errorf("%s: %v, %v", name, p, err)
		}
		if classes := ds.Classes(); len(classes) != numClasses || classes[999] != "toilet tissue" {
			t.Errorf("%s: %d classes, the last is %s", name, len(classes), classes[len(classes)-1])
		}
	}
	if a, b := datatest.Hash(t, inArchive), datatest.Hash(t, inDirectory); a != b {
		t.Errorf("hash %s of the archive, %s of the directory", a, b)
	}

	few := t.TempDir()
	write(t, few, below("train", []file{all[5], all[700]})...)
	ds := mustOpen(t, few, data.Options{})
	if got := []data.Item{ds.Item(0), ds.Item(1)}; got[0].Label != 3 || got[1].Label != 698 || ds.Classes()[698] != "palace" {
		t.Errorf("items %v of a part of the synsets", got)
	}
}

// TestSortedVal: the validation set sorted into folders by the usual script, alone or beside the training set.
func TestSortedVal(t *testing.T) {
	dir := t.TempDir()
	photos := valPhotos(t)
	var sorted []file
	for i, class := range valClasses {
		sorted = append(sorted, file{testWNID(class) + "/" + photos[i].name, photos[i].content})
	}
	write(t, dir, append(append(below("val", sorted), below("train", sorted[:1])...), kit(t)...)...)
	ds := mustOpen(t, dir+":val", data.Options{})
	if got := ds.Item(4); got != (data.Item{Name: "n15075141/ILSVRC2012_val_00000001.JPEG", Label: 999}) {
		t.Errorf("item %v", got)
	}
	if ds := mustOpen(t, dir+":train", data.Options{}); ds.Len() != 1 {
		t.Errorf("%d pictures of the training set", ds.Len())
	}
	archive := filepath.Join(dir, "sorted.tar")
	write(t, dir, file{"sorted.tar", tarOf(t, below("val", sorted)...)})
	if a, b := datatest.Hash(t, mustOpen(t, archive, data.Options{})), datatest.Hash(t, ds); a != b {
		t.Errorf("hash %s of the archive, %s of the directory", a, b)
	}
}

func TestLabels(t *testing.T) {
	dir := t.TempDir()
	photos := valPhotos(t)
	write(t, dir, file{valFile, tarOf(t, photos...)}, file{"l.csv", []byte("file,label,color\nILSVRC2012_val_00000003.JPEG,12,red\nILSVRC2012_val_00000001.JPEG,-1,\n")})
	labels := data.Options{Labels: filepath.Join(dir, "l.csv")}
	ds := mustOpen(t, dir, labels)
	if ds.Len() != 2 || ds.Item(0) != (data.Item{Name: "ILSVRC2012_val_00000003.JPEG", Label: 12}) || ds.Item(1).Label != -1 || ds.Classes() != nil {
		t.Errorf("items %v %v, classes %v", ds.Item(0), ds.Item(1), ds.Classes())
	}
	if got := data.Attributes(ds, 0); got["color"] != "red" || data.Attributes(ds, 1) != nil {
		t.Errorf("attributes %v, %v", got, data.Attributes(ds, 1))
	}
	if p, err := ds.Picture(0); err != nil || absDiff(p.Pix[0], 80) > 1 {
		t.Errorf("picture %v, %v", p, err)
	}
	base := datatest.Hash(t, ds)
	write(t, dir, file{"l.csv", []byte("file,label,color\nILSVRC2012_val_00000003.JPEG,12,blue\nILSVRC2012_val_00000001.JPEG,-1,\n")})
	if datatest.Hash(t, mustOpen(t, dir, labels)) == base {
		t.Error("another attribute, the same hash")
	}
}

func TestOpenErrors(t *testing.T) {
	photos := valPhotos(t)
	good := tarOf(t, photos...)
	train := tarOf(t, file{"n00000100.tar", tarOf(t, file{"n00000100_1.JPEG", photos[0].content})})
	kitFiles := kit(t)
	replaced := func(i int, content []byte) []file {
		files := slices.Clone(kitFiles)
		files[i].content = content
		return files
	}
	link := func() []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "ILSVRC2012_val_00000001.JPEG", Linkname: "/etc/passwd"})
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}()
	for _, test := range []struct {
		name, argument string
		files          []file
		want           []string
	}{
		{"no path", "", nil, []string{"names neither an archive nor a directory"}},
		{"nowhere", "DIR/nowhere", nil, []string{"nowhere", "no such file"}},
		{"empty directory", "DIR", nil, []string{"has neither sub-folders of synsets"}},
		{"no such split", "DIR:train", below("val", photos), []string{"has neither ILSVRC2012_img_train.tar nor a directory train", "put one of them there"}},
		{"both splits", "DIR", append(below("val", photos), file{trainFile, train}), []string{"has both", "imagenet:DIR:val"}},
		{"no archive", "DIR/val.tar", []file{{"val.tar", photos[0].content}}, []string{"DIR/val.tar", "not a whole tar archive"}},
		{"empty archive", "DIR/val.tar", []file{{"val.tar", tarOf(t)}}, []string{"DIR/val.tar: has no pictures"}},
		{"cut archive", "DIR/val.tar", []file{{"val.tar", good[:2000]}}, []string{"DIR/val.tar", "cut short", "byte"}},
		{"cut inner archive", "DIR/t.tar", []file{{"t.tar", tarOf(t, file{"n00000100.tar", good[:2000]})}}, []string{"DIR/t.tar: n00000100.tar, which begins at byte 512", "cut short"}},
		{"outside", "DIR/val.tar", []file{{"val.tar", tarOf(t, file{"../ILSVRC2012_val_00000001.JPEG", nil})}}, []string{"DIR/val.tar", "is not the name of a file below"}},
		{"link", "DIR/val.tar", []file{{"val.tar", link}}, []string{"DIR/val.tar", "is a link"}},
		{"something else", "DIR/kit.tar", []file{{"kit.tar", tarOf(t, kitFiles...)}}, []string{"DIR/kit.tar", "neither a picture nor the archive of a synset"}},
		{"something else inside", "DIR/t.tar", []file{{"t.tar", tarOf(t, file{"n00000100.tar", tarOf(t, file{"x.txt", nil})})}}, []string{"n00000100.tar: has x.txt, which is not a picture"}},
		{"twice", "DIR/val.tar", []file{{"val.tar", tarOf(t, photos[0], photos[0])}}, []string{"has ILSVRC2012_val_00000001.JPEG twice"}},
		{"no ground truth", "DIR", []file{{valFile, good}}, []string{"the classes of its pictures are not known", "ILSVRC2012_devkit_t12.tar.gz", "into DIR,", "CSV"}},
		{"no ground truth, directory", "DIR/val", below("val", photos), []string{"DIR/val: the classes of its pictures are not known", "into DIR/val,"}},
		{"unknown synset", "DIR/train", append(below("train/n99999999", photos), kitFiles...), []string{"DIR/train: n99999999 is not one of the 1000 synsets"}},
		{"no synset", "DIR/train", append(below("train/cats", photos), kitFiles...), []string{"DIR/train: the sub-folder cats is not named after a synset"}},
		{"mixed", "DIR/val", append(append(below("val/n00000100", photos[:1]), below("val", photos[1:])...), kitFiles...), []string{"beside sub-folders"}},
		{"other names", "DIR/val", append(below("val", []file{{"cat.JPEG", nil}}), kitFiles...), []string{"cat.JPEG does not have the name of a picture of the validation set"}},
		{"too few labels", "DIR", append(replaced(0, truthOf(valClasses[:4])), file{valFile, good}), []string{"no label for ILSVRC2012_val_00000005.JPEG", "labels of 4 pictures"}},
		{"too many labels", "DIR", append(replaced(0, truthOf(append(slices.Clone(valClasses), 1))), file{valFile, good}), []string{"has 5 pictures", "labels for 6"}},
		{"label out of range", "DIR", append(replaced(0, []byte("1\n1001\n")), file{valFile, good}), []string{devkit, truthFile, "line 2", `"1001" is not an ILSVRC2012_ID from 1 to 1000`}},
		{"no label", "DIR", append(replaced(0, []byte("1\n\n2\n")), file{valFile, good}), []string{truthFile, "line 2"}},
		{"damaged kit", "DIR", []file{{valFile, good}, {devkit + ".tar.gz", zipped(t, tarOf(t, kitFiles...))[:100]}}, []string{devkit + ".tar.gz", "cut short"}},
		{"other kit", "DIR", []file{{valFile, good}, {devkit + ".tar.gz", zipped(t, tarOf(t, photos...))}}, []string{"it is not the development kit"}},
		{"other answers", "DIR", append(below("val", photos), file{answersFile, []byte("a,b\nILSVRC2012_val_00000001,n01440764 1 2 3 4\n")}), []string{answersFile, "has no column ImageId"}},
		{"bad answers", "DIR", append(below("val", photos), file{answersFile, []byte("ImageId,PredictionString\nILSVRC2012_val_00000001,n99999999 1 2 3 4\n")}), []string{answersFile, "line 2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, test.files...)
			_, err := data.Open("imagenet:"+strings.ReplaceAll(test.argument, "DIR", dir), data.Options{})
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if want = strings.ReplaceAll(want, "DIR", dir); !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
		})
	}
	dir := t.TempDir()
	write(t, dir, file{valFile, good})
	for name, test := range map[string]struct{ csv, want string }{
		"out of range": {"file,label\nILSVRC2012_val_00000001.JPEG,1000\n", "label 1000 of ILSVRC2012_val_00000001.JPEG is not one of ImageNet's 1000 classes"},
		"absent":       {"file,label\nILSVRC2012_val_00000009.JPEG,1\n", "names ILSVRC2012_val_00000009.JPEG, which is not in"},
		"no CSV":       {"x", "want file and label"},
	} {
		write(t, dir, file{"l.csv", []byte(test.csv)})
		if _, err := data.Open("imagenet:"+dir, data.Options{Labels: filepath.Join(dir, "l.csv")}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
	}
}

// TestCorruptPicture: one that cannot be decoded is an error by itself.
func TestCorruptPicture(t *testing.T) {
	photos := valPhotos(t)
	photos[2].content = []byte("no picture")
	dir := t.TempDir()
	write(t, dir, append(kit(t), file{valFile, tarOf(t, photos...)})...)
	ds := mustOpen(t, dir, data.Options{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for i := range ds.Len() {
				_, err := ds.Picture(i)
				if (err != nil) != (i == 2) {
					t.Errorf("picture %d: error %v", i, err)
				}
				if err != nil && !strings.Contains(err.Error(), "ILSVRC2012_img_val.tar: ILSVRC2012_val_00000003.JPEG: not a picture") {
					t.Errorf("error %v", err)
				}
			}
		})
	}
	group.Wait()

	// An archive that becomes shorter while it is read.
	if err := os.Truncate(filepath.Join(dir, valFile), 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := ds.Picture(4); err == nil {
		t.Error("a picture that is gone: no error")
	}
	if _, err := ds.Hash(); err == nil || !strings.Contains(err.Error(), "ILSVRC2012_val_") {
		t.Errorf("hash of what is gone: error %v", err)
	}
}

// TestSubset: the hash of a subset reads what is in it alone.
func TestSubset(t *testing.T) {
	photos := valPhotos(t)
	dir := t.TempDir()
	write(t, dir, append(kit(t), below("val", photos)...)...)
	ds := mustOpen(t, dir, data.Options{})
	base := datatest.Hash(t, data.Subset(ds, []int{3, 1}))
	if err := os.Remove(filepath.Join(dir, "val", photos[0].name)); err != nil {
		t.Fatal(err)
	}
	if got := datatest.Hash(t, data.Subset(ds, []int{3, 1})); got != base {
		t.Errorf("hash %s, and before %s", got, base)
	}
	if _, err := data.First(ds, 1).Hash(); err == nil {
		t.Error("hash of a lost picture: no error")
	}
	if !data.HasIndexedLabels(data.Shuffled(ds, 1)) {
		t.Error("the labels of a subset are not ImageNet's")
	}
}

func FuzzTruth(f *testing.F) {
	f.Add("1\n1000\n", "ImageId,PredictionString\nILSVRC2012_val_00000001,n01440764 1 2 3 4\n")
	f.Add("490\r\n361", "\ufeffPredictionString,imageid\nn15075141,ILSVRC2012_val_00000009\n")
	f.Fuzz(func(t *testing.T, truth, answers string) {
		for _, read := range []func() (map[int]int, error){
			func() (map[int]int, error) { return parseTruth([]byte(truth)) },
			func() (map[int]int, error) { return parseAnswers([]byte(answers)) },
		} {
			labels, err := read()
			if err == nil && len(labels) == 0 {
				t.Error("no labels and no error")
			}
			for number, label := range labels {
				if err == nil && (number < 1 || label < 0 || label >= numClasses) {
					t.Errorf("accepted %d: %d", number, label)
				}
			}
		}
	})
}

func Example() {
	// imagenet:PATH:val with ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz in PATH.
	_, err := data.Open("imagenet:/nowhere:val", data.Options{})
	fmt.Println(err)
	// Output: data imagenet:/nowhere:val: stat /nowhere: no such file or directory
}
