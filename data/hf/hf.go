// Package hf reads data sets of pictures that are stored in parquet files, as those of the Hugging Face Hub are. Importing
// it makes the kind known to data.Open:
//
//	hf:PATH[:SPLIT]                 a parquet file, or a directory with the files of a data set
//	hf:OWNER/REPO[:SPLIT]           a data set of the Hub; its files are downloaded into the cache of huggingface_hub
//	hf:OWNER/REPO/FOLDER[:SPLIT]    one of its configurations
//
// A split need not be named if there is only one. A revision of a data set of the Hub is added with @:
// hf:OWNER/REPO@refs/convert/parquet is the one that the Hub makes where a data set is stored in other files. See hub.Env
// for the environment variables.
//
// The column of the pictures is a struct with bytes, as the library datasets stores its feature Image, that of the labels
// a ClassLabel, whose names are the classes; the metadata of the files says which they are. Further columns of text and
// ClassLabels are attributes (see data.Attributes), but for those whose different values take more than 64 MB. Where
// several columns would do, :image=NAME and :label=NAME at the end of the argument name them.
//
// A picture is called by its file and row, from 0 on. Pictures are read when they are asked for: the pages of the files
// that were read last are kept, 64 MB of them, so to go through the pictures in their order reads everything once, and to
// jump about reads a page, of about a megabyte, for each picture.
package hf

import (
	"bytes"
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
	"sort"
	"strings"
	"sync"

	"github.com/parquet-go/parquet-go"

	"vitdecompose/data"
	"vitdecompose/data/hub"
	"vitdecompose/data/picture"
)

func init() {
	data.Register(data.Kind{
		Name: "hf", Argument: "PATH or OWNER/REPO[/FOLDER][:SPLIT]", OwnLabels: true, Help: "parquet files of pictures, on disk or from the Hugging Face Hub",
		Open: func(ctx context.Context, argument string, _ data.Options) (data.Dataset, error) {
			return open(ctx, argument)
		},
	})
}

const (
	cacheBytes     = 64 << 20 // of pages that are kept, of pictures and as many of labels and attributes
	attributeBytes = 64 << 20 // of the different values of attributes
	maxAttributes  = 1000     // columns
	maxAttribute   = 10_000   // bytes of a value, as in a file of labels
)

// dataset is the rows of one or more files.
type dataset struct {
	data.ItemHashes
	tables     []*table
	columns    []columns // of each
	starts     []int     // the first picture of each, and one past the last of all
	classes    []string
	attributes []attribute // sorted by name
	pictures   *pageCache
	facts      *pageCache // of labels and attributes

	mu   sync.Mutex
	lost error // why a label or attribute could not be read again
}

// attribute is a column of attributes, as it is in each file.
type attribute []further

var (
	repoName  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	splitName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
)

func open(ctx context.Context, argument string) (*dataset, error) {
	place, split, want, err := parse(argument)
	if err != nil {
		return nil, err
	}
	files, err := find(ctx, place, split)
	if err != nil {
		return nil, err
	}
	d := &dataset{starts: []int{0}, pictures: newPageCache(cacheBytes), facts: newPageCache(cacheBytes)}
	if err := d.read(ctx, files, want); err != nil {
		return nil, errors.Join(err, d.close())
	}
	d.ItemHashes = data.NewItemHashes(fmt.Sprintf("hf %d %q\n", d.Len(), d.classes), d.Len(), d.describe)
	return d, nil
}

// parse takes an argument apart. What exists on the disk is not taken apart.
func parse(argument string) (place, split string, want choice, err error) {
	place = argument
	for {
		rest, last, ok := cutLast(place)
		column, isImage := strings.CutPrefix(last, "image=")
		if !isImage {
			column, ok = strings.CutPrefix(last, "label=")
		}
		if !ok || rest == "" || exists(place) {
			break
		}
		if isImage {
			want.image = column
		} else {
			want.label = column
		}
		place = rest
	}
	if rest, last, ok := cutLast(place); ok && !exists(place) && splitName.MatchString(last) {
		place, split = rest, last
	}
	if place == "" {
		err = errors.New("names no data set: want hf:PATH or hf:OWNER/REPO")
	}
	return place, split, want, err
}

// cutLast cuts at the last colon.
func cutLast(s string) (before, after string, ok bool) {
	at := strings.LastIndexByte(s, ':')
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+1:], true
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// find gives the paths of the files of a data set on the disk or on the Hub.
func find(ctx context.Context, place, split string) ([]string, error) {
	info, err := os.Stat(place)
	switch {
	case err == nil && !info.IsDir():
		if of := splitOf(filepath.ToSlash(place)); split != "" && of != "" && of != canonical(split) {
			return nil, fmt.Errorf("%s belongs to the split %s", place, of)
		}
		return []string{place}, nil
	case err == nil:
		names, err := localFiles(place)
		if err == nil {
			names, err = chooseFiles(names, split)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		for i, name := range names {
			names[i] = filepath.Join(place, filepath.FromSlash(name))
		}
		return names, nil
	}
	name, revision, hasRevision := strings.Cut(place, "@")
	parts := strings.SplitN(name, "/", 3)
	if len(parts) < 2 || !repoName.MatchString(parts[0]+"/"+parts[1]) {
		return nil, fmt.Errorf("there is no file or directory %s, and it is not the name of a data set of the Hub, OWNER/REPO", place)
	}
	folder := ""
	if len(parts) == 3 {
		folder = strings.Trim(parts[2], "/") + "/"
	}
	repo := parts[0] + "/" + parts[1]
	if hasRevision {
		repo += "@" + revision
	}
	snapshot, err := hub.Env().Fetch(ctx, hub.Datasets, repo, func(names []string) ([]string, error) {
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.HasPrefix(name, folder) })
		files, err := chooseFiles(names, split)
		if errors.Is(err, errNone) && !hasRevision {
			err = fmt.Errorf("%w: try the revision that the Hub converts, hf:%s@refs/convert/parquet", err, repo)
		}
		return files, err
	})
	if err != nil {
		return nil, err
	}
	var files []string
	for _, name := range snapshot.Names {
		files = append(files, snapshot.Path(name))
	}
	return files, nil
}

// read opens the files and reads all but the pictures.
func (d *dataset) read(ctx context.Context, files []string, want choice) error {
	for _, file := range files {
		t, err := openTable(file)
		if err != nil {
			return err
		}
		d.tables = append(d.tables, t)
		c, err := t.columns(want)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if first := d.columns; len(first) > 0 {
			if (first[0].label == nil) != (c.label == nil) || !slices.Equal(first[0].classes, c.classes) {
				return fmt.Errorf("%s: has other labels or classes than %s", file, files[0])
			}
			// All files are to be read alike.
			want.image = c.image.Path()[0]
		}
		d.columns = append(d.columns, c)
		rows := int(t.NumRows())
		if rows > math.MaxInt32-d.Len() {
			return fmt.Errorf("%s: the data set has more than %d pictures", file, math.MaxInt32)
		}
		d.starts = append(d.starts, d.Len()+rows)
	}
	if d.Len() == 0 {
		return fmt.Errorf("%s: has no rows", files[0])
	}
	d.classes = d.columns[0].classes
	if err := d.checkLabels(ctx); err != nil {
		return err
	}
	return d.findAttributes(ctx)
}

// close closes the files of a data set that could not be opened.
func (d *dataset) close() error {
	var errs []error
	for _, t := range d.tables {
		if file, ok := t.reader.(io.Closer); ok {
			errs = append(errs, file.Close())
		}
	}
	return errors.Join(errs...)
}

// checkLabels reads the column of labels. Nothing of it is kept: a few bytes may claim millions of rows.
func (d *dataset) checkLabels(ctx context.Context) error {
	most := int64(math.MaxInt32)
	if d.classes != nil {
		most = int64(len(d.classes)) - 1
	}
	for k, t := range d.tables {
		label := d.columns[k].label
		if label == nil {
			continue
		}
		err := t.each(ctx, label, func(row int64, v *pageValues) error {
			for _, at := range v.used() {
				if value := v.ints[at]; value < -1 || value > most {
					for i := 0; v.position(i) != at; i++ {
						row++
					}
					return fmt.Errorf("%s: row %d: label %d in the column %s is not a class index from 0 to %d, nor -1 for unknown",
						t.path, row, value, label.Name(), most)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// errNoAttribute says that a column is too large to be one.
var errNoAttribute = errors.New("no attribute")

// findAttributes finds the further columns that all files have, and that have values.
func (d *dataset) findAttributes(ctx context.Context) error {
	budget := int64(attributeBytes)
columns:
	for _, f := range d.columns[0].further {
		var a attribute
		seen := map[string]bool{}
		left := budget
		for k, t := range d.tables {
			at := slices.IndexFunc(d.columns[k].further, func(other further) bool {
				return other.name == f.name && slices.Equal(other.classes, f.classes)
			})
			if at < 0 {
				continue columns
			}
			a = append(a, d.columns[k].further[at])
			err := t.each(ctx, a[k].column, func(_ int64, v *pageValues) error {
				for _, at := range v.used() {
					value := f.value(v, at)
					if value == "" || seen[value] {
						continue
					}
					if left -= int64(len(value)) + 64; left < 0 || len(value) > maxAttribute {
						return errNoAttribute
					}
					seen[strings.Clone(value)] = true
				}
				return nil
			})
			if err == errNoAttribute {
				continue columns
			}
			if err != nil {
				return err
			}
		}
		if len(seen) > 0 {
			budget = left
			d.attributes = append(d.attributes, a)
		}
	}
	return nil
}

// value is what is stored at a position of a page, in words; "" where it is not known.
func (f further) value(v *pageValues, at int) string {
	switch {
	case at < 0:
		return ""
	case f.classes == nil:
		return strings.TrimSpace(strings.ToValidUTF8(string(v.bytes[at]), "\ufffd"))
	case v.ints[at] < 0 || v.ints[at] >= int64(len(f.classes)):
		return ""
	}
	return f.classes[v.ints[at]]
}

// fact finds the label or an attribute of a row of a file. When it was opened all of them could be read; where one no longer
// can be, the data set is of no use any more: its pictures and hashes are that error.
func (d *dataset) fact(k int, column *parquet.Column, row int64) (v *pageValues, position int, ok bool) {
	v, position, err := d.tables[k].value(d.facts, column, row)
	if err == nil {
		return v, position, position >= 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lost == nil {
		d.lost = d.tables[k].failed(column, row, err)
	}
	return nil, 0, false
}

// at is the file of picture i, and its row there.
func (d *dataset) at(i int) (table int, row int64) {
	table = sort.Search(len(d.starts), func(k int) bool { return d.starts[k] > i }) - 1
	return table, int64(i - d.starts[table])
}

// Len implements data.Dataset.
func (d *dataset) Len() int { return d.starts[len(d.starts)-1] }

// Classes implements data.Dataset.
func (d *dataset) Classes() []string { return slices.Clone(d.classes) }

// Item implements data.Dataset.
func (d *dataset) Item(i int) data.Item {
	k, row := d.at(i)
	item := data.Item{Name: fmt.Sprintf("%s:%d", path.Base(filepath.ToSlash(d.tables[k].path)), row), Label: -1}
	if label := d.columns[k].label; label != nil {
		if v, at, ok := d.fact(k, label, row); ok { // a null is a class that is not known
			item.Label = int(v.ints[at])
		}
	}
	return item
}

// Attributes implements data.Attributed.
func (d *dataset) Attributes(i int) map[string]string {
	var all map[string]string
	k, row := d.at(i)
	for _, a := range d.attributes {
		v, at, ok := d.fact(k, a[k].column, row)
		if !ok {
			continue
		}
		if value := a[k].value(v, at); value != "" {
			if all == nil {
				all = map[string]string{}
			}
			all[a[k].name] = value
		}
	}
	return all
}

// file is the file of picture i; nil where the row has none.
func (d *dataset) file(i int) ([]byte, error) {
	d.mu.Lock()
	err := d.lost
	d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	k, row := d.at(i)
	v, at, err := d.tables[k].value(d.pictures, d.columns[k].image, row)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: row %d: %w", d.tables[k].path, row, err)
	case at < 0:
		return nil, nil
	}
	return v.bytes[at], nil
}

// Picture implements data.Dataset.
func (d *dataset) Picture(i int) (*picture.Picture, error) {
	content, err := d.file(i)
	if err != nil {
		return nil, err
	}
	k, row := d.at(i)
	name := fmt.Sprintf("%s: row %d", d.tables[k].path, row)
	if content == nil {
		return nil, fmt.Errorf("%s: has no picture: its bytes are null in the column %s", name, d.columns[k].image.Path()[0])
	}
	p, err := picture.Decode(bytes.NewReader(content), picture.Limits{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p.Name = name
	return p, nil
}

// describe writes a line about picture i. That a row has no picture is part of what the data set is.
func (d *dataset) describe(w io.Writer, i int) error {
	item, attributes := d.Item(i), d.Attributes(i)
	content, err := d.file(i) // an error too if one of those could not be read
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%q %d %t %x", item.Name, item.Label, content != nil, sha256.Sum256(content)); err != nil {
		return err
	}
	return data.DescribeAttributes(w, attributes)
}
