// Package imagenet reads ImageNet-1k (ILSVRC 2012) as its users have it on disk. Importing it makes the kind known to
// data.Open:
//
//	imagenet:PATH           the split that there is
//	imagenet:PATH:train     the training set
//	imagenet:PATH:val       the validation set
//
// PATH is one of
//
//   - the official archive ILSVRC2012_img_train.tar or ILSVRC2012_img_val.tar, which is read where it is: nothing is
//     unpacked, neither are the archives of the classes within the one of the training set;
//   - a directory with such archives;
//   - a directory with the extracted pictures: train and val, each with a sub-folder for every synset, or val with all
//     pictures in it, as its archive has them; or one of the two itself;
//   - a directory with Kaggle's ILSVRC/Data/CLS-LOC.
//
// A label is the position of the synset among the 1000 sorted WNIDs, which is the order of timm and torchvision. The
// labels of a validation set without sub-folders are taken from the ground truth in the development kit
// (ILSVRC2012_devkit_t12.tar.gz, or extracted) or from Kaggle's LOC_val_solution.csv, found beside the pictures or in a
// directory above; or from Options.Labels.
//
// To open an archive takes one pass over its headers, and holds some 100 bytes for each picture. The names of the pictures,
// and with them the hash of the data set, are the same however it is stored.
package imagenet

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"vitdecompose/data"
	"vitdecompose/data/archive"
	"vitdecompose/data/picture"
	"vitdecompose/data/regularfile"
	"vitdecompose/data/wnid"
)

func init() {
	data.Register(data.Kind{
		Name: "imagenet", Argument: "PATH[:train|val]", Help: "ImageNet-1k: the official tar files, unpacked or not, or Kaggle's folders",
		Open: func(_ context.Context, argument string, opts data.Options) (data.Dataset, error) {
			return open(argument, opts)
		},
	})
}

// numClasses is the number of classes of ImageNet-1k.
const numClasses = 1000

// The splits, as folders are called, and their archives.
const (
	train = "train"
	val   = "val"

	trainFile = "ILSVRC2012_img_train.tar"
	valFile   = "ILSVRC2012_img_val.tar"
)

// dataset is the pictures of a split.
type dataset struct {
	data.ItemHashes
	path     string   // of the archive or of the directory
	archive  *os.File // nil for a directory; open as long as the program runs
	items    []item
	labelled []data.Labelled // the rows of the file of labels, one for each item; nil without one
	classes  []string        // nil with a file of labels
	hash     func() (string, error)
}

// item is a picture: a file below the directory, or a piece of the archive.
type item struct {
	name         string // n01440764/n01440764_10026.JPEG, or ILSVRC2012_val_00000001.JPEG
	offset, size int64  // in the archive
	label        int32
}

func open(argument string, opts data.Options) (*dataset, error) {
	place, split := argument, ""
	if at := strings.LastIndexByte(argument, ':'); at >= 0 && (argument[at+1:] == train || argument[at+1:] == val) {
		place, split = argument[:at], argument[at+1:]
	}
	if place == "" {
		return nil, errors.New("names neither an archive nor a directory: want imagenet:PATH, imagenet:PATH:train or imagenet:PATH:val")
	}
	found, err := locate(place, split)
	if err != nil {
		return nil, err
	}
	d := &dataset{path: found}
	if err := d.read(opts.Labels, above(place, found)); err != nil {
		if d.archive != nil {
			err = errors.Join(err, d.archive.Close())
		}
		return nil, err
	}
	d.ItemHashes = data.NewItemHashes("", len(d.items), func(w io.Writer, i int) error {
		sum, err := d.sum(i, make([]byte, 1<<16))
		if err != nil {
			return err
		}
		return d.describe(w, i, sum)
	})
	d.hash = sync.OnceValues(d.hashInOrder)
	return d, nil
}

// read finds the pictures and their labels, which may be in a file.
func (d *dataset) read(labels string, dirs []string) error {
	info, err := os.Stat(d.path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = d.scan()
	} else {
		err = d.index()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	slices.SortFunc(d.items, func(a, b item) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(d.items); i++ {
		if d.items[i].name == d.items[i-1].name {
			return fmt.Errorf("%s: has %s twice", d.path, d.items[i].name)
		}
	}
	if labels != "" {
		return d.take(labels)
	}
	return d.label(dirs)
}

// locate finds the archive or directory of a split; split is "" when none is named.
func locate(place, split string) (string, error) {
	info, err := os.Stat(place)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return place, nil
	}
	found := map[string]string{}
	for name, file := range map[string]string{train: trainFile, val: valFile} {
		for _, candidate := range []string{file, name, filepath.Join("ILSVRC", "Data", "CLS-LOC", name), filepath.Join("Data", "CLS-LOC", name)} {
			if candidate = filepath.Join(place, candidate); exists(candidate) {
				found[name] = candidate
				break
			}
		}
	}
	switch {
	case split != "" && found[split] != "":
		return found[split], nil
	case split == "" && len(found) == 1:
		return cmp.Or(found[train], found[val]), nil
	case split == "" && len(found) == 2:
		return "", fmt.Errorf("has both a training and a validation set: say which with imagenet:%s:train or imagenet:%s:val", place, place)
	}
	absolute, err := filepath.Abs(place)
	if err != nil {
		return "", err
	}
	if split == "" && len(found) == 0 || filepath.Base(absolute) == split {
		return place, nil
	}
	file := map[string]string{train: trainFile, val: valFile}[split]
	return "", fmt.Errorf("%s has neither %s nor a directory %s: put one of them there, or name where it is", place, file, split)
}

// above are the directories in which the files that come with the pictures are looked for: where the user said, where the
// pictures are, and some above that.
func above(place, found string) []string {
	var dirs []string
	add := func(dir string) {
		if !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	if info, err := os.Stat(place); err == nil && info.IsDir() {
		add(filepath.Clean(place))
	}
	if absolute, err := filepath.Abs(found); err == nil {
		for range 4 { // Kaggle's files are four above CLS-LOC/val
			absolute = filepath.Dir(absolute)
			add(absolute)
		}
	}
	return dirs
}

var valName = regexp.MustCompile(`^ILSVRC2012_val_(\d{8})\.JPEG$`)

// valNumber is the number of a picture of the validation set, 0 when the name is not that of one.
func valNumber(name string) int {
	match := valName.FindStringSubmatch(path.Base(name))
	if match == nil {
		return 0
	}
	number, err := strconv.Atoi(match[1])
	if err != nil {
		return 0
	}
	return number
}

func isPicture(name string) bool {
	return slices.Contains([]string{".jpeg", ".jpg", ".png"}, strings.ToLower(path.Ext(name))) && !strings.HasPrefix(path.Base(name), ".")
}

// scan lists the pictures of a directory.
func (d *dataset) scan() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		// Stat follows links: sets of fewer classes are often made of links.
		info, err := os.Stat(filepath.Join(d.path, name))
		if err != nil {
			return err
		}
		if !info.IsDir() {
			if isPicture(name) {
				d.items = append(d.items, item{name: name})
			}
			continue
		}
		if !wnid.Valid(name) {
			return fmt.Errorf("the sub-folder %s is not named after a synset (nNNNNNNNN)", name)
		}
		pictures, err := os.ReadDir(filepath.Join(d.path, name))
		if err != nil {
			return err
		}
		for _, entry := range pictures {
			if isPicture(entry.Name()) && !entry.IsDir() {
				d.items = append(d.items, item{name: name + "/" + entry.Name()})
			}
		}
	}
	if len(d.items) == 0 {
		return errors.New("has neither sub-folders of synsets (nNNNNNNNN) with pictures nor pictures")
	}
	return nil
}

var classArchive = regexp.MustCompile(`^(n\d{8})\.tar$`)

// index notes where the pictures of an archive are, and of the archives within it.
func (d *dataset) index() error {
	file, size, err := regularfile.Open(d.path)
	if err != nil {
		return err
	}
	d.archive = file
	limits := archive.Limits{MaxEntries: maxPictures}
	entries, err := archive.IndexTar(file, size, limits)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		dir, base := path.Split(entry.Name)
		if match := classArchive.FindStringSubmatch(base); match != nil {
			limits.MaxEntries = maxPictures - len(d.items)
			inner, err := archive.IndexTar(entry.Section(file), entry.Size, limits)
			if err != nil {
				return fmt.Errorf("%s, which begins at byte %d: %w", entry.Name, entry.Offset, err)
			}
			for _, e := range inner {
				if !isPicture(e.Name) {
					return fmt.Errorf("%s: has %s, which is not a picture", entry.Name, e.Name)
				}
				d.items = append(d.items, item{name: match[1] + "/" + path.Base(e.Name), offset: entry.Offset + e.Offset, size: e.Size})
			}
			continue
		}
		if !isPicture(base) {
			return fmt.Errorf("has %s, which is neither a picture nor the archive of a synset: it is not an archive of ImageNet's pictures",
				entry.Name)
		}
		name := base
		if synset := path.Base(dir); wnid.Valid(synset) {
			name = synset + "/" + base
		}
		d.items = append(d.items, item{name: name, offset: entry.Offset, size: entry.Size})
	}
	if len(d.items) == 0 {
		return errors.New("has no pictures")
	}
	return nil
}

// maxPictures bounds the pictures of an archive. ImageNet has 1.3 million.
const maxPictures = 1 << 23

// take keeps those pictures that a file of labels names, in its order.
func (d *dataset) take(labels string) error {
	rows, err := data.ReadLabels(labels)
	if err != nil {
		return err
	}
	items := make([]item, len(rows))
	for i, row := range rows {
		at, ok := slices.BinarySearchFunc(d.items, row.Name, func(it item, name string) int {
			return strings.Compare(it.name, name)
		})
		switch {
		case !ok:
			return fmt.Errorf("labels %s: names %s, which is not in %s (the first there is %s)", labels, row.Name, d.path, d.items[0].name)
		case row.Label >= numClasses:
			return fmt.Errorf("labels %s: label %d of %s is not one of ImageNet's %d classes, which are 0 to %d",
				labels, row.Label, row.Name, numClasses, numClasses-1)
		}
		items[i] = d.items[at]
		items[i].label = int32(row.Label)
	}
	d.items, d.labelled = items, rows
	return nil
}

// label gives every picture its class.
func (d *dataset) label(dirs []string) error {
	d.classes = wnid.Names()
	flat := !strings.Contains(d.items[0].name, "/")
	var t *truth
	if flat {
		var err error
		if t, err = findTruth(dirs); err != nil {
			return err
		}
		if t == nil {
			return fmt.Errorf("%s: the classes of its pictures are not known: put %s.tar.gz (or Kaggle's %s) into %s, or give labels in a CSV file",
				d.path, devkit, answersFile, dirs[0])
		}
	}
	count := 0
	for i := range d.items {
		it := &d.items[i]
		label, number := 0, valNumber(it.name)
		synset, _, sorted := strings.Cut(it.name, "/")
		switch {
		case sorted == flat:
			return fmt.Errorf("%s: has pictures (%s) beside sub-folders of synsets (%s)", d.path, d.items[0].name, it.name)
		case sorted:
			var ok bool
			if label, ok = wnid.Index(synset); !ok {
				return fmt.Errorf("%s: %s is not one of the %d synsets of ImageNet-1k", d.path, synset, numClasses)
			}
		case number == 0:
			return fmt.Errorf("%s: %s does not have the name of a picture of the validation set (ILSVRC2012_val_00000001.JPEG): give labels in a CSV file",
				d.path, it.name)
		default:
			var ok bool
			if label, ok = t.labels[number]; !ok {
				return fmt.Errorf("%s: no label for %s: %s has labels of %d pictures", d.path, it.name, t.source, len(t.labels))
			}
			count++
		}
		it.label = int32(label)
	}
	if flat && d.archive != nil && count != len(t.labels) {
		return fmt.Errorf("%s: has %d pictures, %s has labels for %d", d.path, count, t.source, len(t.labels))
	}
	return nil
}

func (d *dataset) Len() int          { return len(d.items) }
func (d *dataset) Classes() []string { return slices.Clone(d.classes) }

// Item implements data.Dataset.
func (d *dataset) Item(i int) data.Item {
	return data.Item{Name: d.items[i].name, Label: int(d.items[i].label)}
}

// IndexedLabels implements data.Indexed.
func (d *dataset) IndexedLabels() bool { return true }

// Attributes implements data.Attributed.
func (d *dataset) Attributes(i int) map[string]string {
	if d.labelled == nil {
		return nil
	}
	return d.labelled[i].Attributes()
}

// Picture implements data.Dataset.
func (d *dataset) Picture(i int) (*picture.Picture, error) {
	it := d.items[i]
	if d.archive == nil {
		return picture.DecodeFile(d.file(it), picture.Limits{})
	}
	name := d.path + ": " + it.name
	p, err := picture.Decode(io.NewSectionReader(d.archive, it.offset, it.size), picture.Limits{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p.Name = name
	return p, nil
}

func (d *dataset) file(it item) string { return filepath.Join(d.path, filepath.FromSlash(it.name)) }

// Hash implements data.Dataset. It reads all pictures once, an archive from its beginning to its end, and holds 32 bytes
// for each: as long as the disk takes for 138 GB of the training set, or 6 GB of the validation set.
func (d *dataset) Hash() (string, error) { return d.hash() }

func (d *dataset) hashInOrder() (string, error) {
	order := make([]int, len(d.items))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(d.items[a].offset, d.items[b].offset) })
	sums := make([][sha256.Size]byte, len(d.items))
	buffer := make([]byte, 1<<20)
	for _, i := range order {
		var err error
		if sums[i], err = d.sum(i, buffer); err != nil {
			return "", err
		}
	}
	return data.NewItemHashes(fmt.Sprintf("imagenet %d\n", len(d.items)), len(d.items), func(w io.Writer, i int) error { return d.describe(w, i, sums[i]) }).Hash()
}

// describe writes a line about picture i, whose bytes have a hash.
func (d *dataset) describe(w io.Writer, i int, sum [sha256.Size]byte) error {
	if _, err := fmt.Fprintf(w, "%q %d %x", d.items[i].name, d.items[i].label, sum); err != nil {
		return err
	}
	return data.DescribeAttributes(w, d.Attributes(i))
}

// sum hashes the bytes of picture i.
func (d *dataset) sum(i int, buffer []byte) (sum [sha256.Size]byte, err error) {
	it := d.items[i]
	reader := io.Reader(nil)
	if d.archive != nil {
		// The size is part of the index: a piece that has become shorter is an error.
		reader = io.NewSectionReader(d.archive, it.offset, it.size)
	} else {
		file, _, err := regularfile.Open(d.file(it))
		if err != nil {
			return sum, err
		}
		defer file.Close()
		reader, it.size = file, math.MaxInt64
	}
	h := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{reader}, buffer)
	if err == nil && d.archive != nil && n < it.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return sum, fmt.Errorf("%s: %s: %w", d.path, it.name, err)
	}
	h.Sum(sum[:0])
	return sum, nil
}
