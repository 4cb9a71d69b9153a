// Package waterbirds reads Waterbirds: photos of land birds and water birds, cut out and put on photos of land and of water
// (Sagawa et al., arXiv 1911.08731). Importing it makes the kind known to data.Open:
//
//	waterbirds:DIR[:SPLIT]
//
// The classes are landbird and waterbird. The attribute "place" is land or water. DIR is one of
//
//   - the original, waterbird_complete95_forest2water2, or another in its form: metadata.csv with the columns img_filename
//     (a path below DIR), y (0 landbird, 1 waterbird), place (0 land, 1 water) and split (0 train, 1 val, 2 test); what other
//     columns it has does not matter. SPLIT is train, val, test or all; test is what is read if none is named.
//
//   - a folder of the cleaned set of arXiv 2406.01583, one for the correlated pictures and one for the others, as its
//     authors' code (github.com/SriramB-98/vit-decompose, dataset_archives) reads it: two sub-folders, of landbirds and
//     waterbirds in the order of their names, with pictures whose names end in an underscore and the place, such
//     as landbird/00123_water.jpg. There are no splits in it.
//
// The original's training set is the correlated one (95 of 100 birds are at the place that fits them), its validation and
// test sets are not: in them half of the birds of each kind are on land. So experiment 7 can be run on waterbirds:DIR:train
// and waterbirds:DIR:test, though its figures are of the cleaned set.
package waterbirds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"vitdecompose/data"
	"vitdecompose/data/csvtable"
	"vitdecompose/data/picture"
	"vitdecompose/data/regularfile"
)

// Classes are the classes, Places the values of the attribute "place", both in the order of the numbers in metadata.csv.
var (
	Classes = []string{"landbird", "waterbird"}
	Places  = []string{"land", "water"}
)

// The splits, in the order of their numbers, and all of them.
var splits = []string{"train", "val", "test"}

const all = "all"

func init() {
	data.Register(data.Kind{
		Name: "waterbirds", Argument: "DIR[:train|val|test|all]", OwnLabels: true,
		Help: "Waterbirds with its metadata.csv, or a folder of the cleaned set",
		Open: func(_ context.Context, argument string, _ data.Options) (data.Dataset, error) { return open(argument) },
	})
}

// dataset is some of the pictures below a directory.
type dataset struct {
	data.ItemHashes
	dir   string
	birds []bird
}

// bird is a picture; class and place are positions in Classes and Places.
type bird struct {
	name         string // below the directory, with slashes
	class, place int8
}

const metadata = "metadata.csv"

func open(argument string) (*dataset, error) {
	dir, split := argument, ""
	if at := strings.LastIndexByte(argument, ':'); at >= 0 && (argument[at+1:] == all || slices.Contains(splits, argument[at+1:])) {
		dir, split = argument[:at], argument[at+1:]
	}
	if dir == "" {
		return nil, errors.New("names no directory: want waterbirds:DIR, or waterbirds:DIR:SPLIT with train, val, test or all")
	}
	d := &dataset{dir: dir}
	_, err := os.Stat(filepath.Join(dir, metadata))
	switch {
	case err == nil:
		if split == "" {
			split = "test"
		}
		d.birds, err = readMetadata(dir, split)
	case errors.Is(err, fs.ErrNotExist) && (split == "" || split == all):
		d.birds, err = readFolders(dir)
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w: without it the splits are not known", err)
	}
	if err != nil {
		return nil, err
	}
	d.ItemHashes = data.NewItemHashes(fmt.Sprintf("waterbirds %d\n", len(d.birds)), len(d.birds), d.describe)
	return d, nil
}

// maxMetadata bounds metadata.csv, in bytes; the original's has 1 MB.
const maxMetadata = 1 << 28

// readMetadata lists the birds of a split, whose pictures must be there.
func readMetadata(dir, split string) ([]bird, error) {
	name := filepath.Join(dir, metadata)
	file, size, err := regularfile.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if size > maxMetadata {
		return nil, fmt.Errorf("%s: is larger than %d MB", name, maxMetadata>>20)
	}
	birds, lines, err := parseMetadata(io.LimitReader(file, maxMetadata), split)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for i, b := range birds {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(b.name))); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", name, lines[i], err)
		}
	}
	return birds, nil
}

// parseMetadata reads the birds of a split, or all, and the line that each is on. Every line is checked.
func parseMetadata(r io.Reader, split string) (birds []bird, lines []int, err error) {
	table, err := csvtable.New(r, "img_filename", "y", "split", "place")
	if err != nil {
		return nil, nil, err
	}
	seen := map[string]int{}
	nameColumn := table.Column("img_filename")
	err = table.Each(func(line int, row []string) error {
		name := strings.Clone(row[nameColumn])
		if !filepath.IsLocal(filepath.FromSlash(name)) || path.Clean(name) != name {
			return fmt.Errorf("line %d: img_filename %.200q is not a path below the directory", line, name)
		}
		if before := seen[name]; before > 0 {
			return fmt.Errorf("line %d: %.200q is on line %d already", line, name, before)
		}
		seen[name] = line
		var err error
		number := func(column string, below int) int {
			value := strings.TrimSpace(row[table.Column(column)])
			if len(value) == 1 && value[0] >= '0' && int(value[0]-'0') < below {
				return int(value[0] - '0')
			}
			if err == nil {
				err = fmt.Errorf("line %d: %s of %.200q is %.20q: want 0 to %d", line, column, name, value, below-1)
			}
			return 0
		}
		b := bird{name: name, class: int8(number("y", len(Classes))), place: int8(number("place", len(Places)))}
		of := splits[number("split", len(splits))]
		if split == all || split == of {
			birds, lines = append(birds, b), append(lines, line)
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if len(seen) == 0 {
		return nil, nil, errors.New("names no pictures")
	}
	if len(birds) == 0 {
		return nil, nil, fmt.Errorf("has no pictures of the split %s (%d)", split, slices.Index(splits, split))
	}
	return birds, lines, nil
}

// pictureExtensions are those of the files in a folder, in lower case.
var pictureExtensions = []string{".jpg", ".jpeg", ".png"}

// readFolders lists the birds of the cleaned set.
func readFolders(dir string) ([]bird, error) {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, err
	}
	var folders []string
	for _, entry := range entries {
		// Stat follows links.
		info, err := os.Stat(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		if info.IsDir() && !strings.HasPrefix(entry.Name(), ".") {
			folders = append(folders, entry.Name())
		}
	}
	if len(folders) != len(Classes) || !isFolderOf(folders[0], 0) || !isFolderOf(folders[1], 1) {
		return nil, fmt.Errorf("%s: has neither %s nor two folders of landbirds and waterbirds", dir, metadata)
	}
	var birds []bird
	for class, folder := range folders {
		files, err := os.ReadDir(filepath.Join(dir, folder))
		if err != nil {
			return nil, err
		}
		before := len(birds)
		for _, file := range files {
			name, ext := file.Name(), path.Ext(file.Name())
			if strings.HasPrefix(name, ".") || !slices.Contains(pictureExtensions, strings.ToLower(ext)) {
				continue
			}
			stem := strings.TrimSuffix(name, ext)
			place := placeNumber(stem[strings.LastIndexByte(stem, '_')+1:])
			if place < 0 {
				return nil, fmt.Errorf("%s: the name does not end in _land or _water, which says the place", filepath.Join(dir, folder, name))
			}
			birds = append(birds, bird{folder + "/" + name, int8(class), int8(place)})
		}
		if len(birds) == before {
			return nil, fmt.Errorf("%s: has no pictures (%s)", filepath.Join(dir, folder), strings.Join(pictureExtensions, " "))
		}
	}
	return birds, nil
}

// isFolderOf reports whether a folder is called after a class, or by its number.
func isFolderOf(folder string, class int) bool {
	name := strings.ToLower(folder)
	return name == string(rune('0'+class)) || strings.Contains(name, Places[class]) && !strings.Contains(name, Places[1-class])
}

// placeNumber reads a place or its number; -1 when it is none.
func placeNumber(word string) int {
	for i, place := range Places {
		if strings.EqualFold(word, place) || word == string(rune('0'+i)) {
			return i
		}
	}
	return -1
}

// Len implements data.Dataset.
func (d *dataset) Len() int { return len(d.birds) }

// Classes implements data.Dataset.
func (d *dataset) Classes() []string { return slices.Clone(Classes) }

// Item implements data.Dataset.
func (d *dataset) Item(i int) data.Item {
	return data.Item{Name: d.birds[i].name, Label: int(d.birds[i].class)}
}

// Attributes implements data.Attributed.
func (d *dataset) Attributes(i int) map[string]string {
	return map[string]string{"place": Places[d.birds[i].place]}
}

// Picture implements data.Dataset.
func (d *dataset) Picture(i int) (*picture.Picture, error) {
	return picture.DecodeFile(d.file(i), picture.Limits{})
}

func (d *dataset) file(i int) string {
	return filepath.Join(d.dir, filepath.FromSlash(d.birds[i].name))
}

// describe writes a line about picture i.
func (d *dataset) describe(w io.Writer, i int) error {
	sum, err := picture.HashFile(d.file(i))
	if err != nil {
		return err
	}
	b := d.birds[i]
	_, err = fmt.Fprintf(w, "%q %d %x place=%s\n", b.name, b.class, sum, Places[b.place])
	return err
}
