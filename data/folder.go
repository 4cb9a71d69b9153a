package data

import (
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"vitdecompose/data/picture"
)

// extensions of the files that a folder's pictures may have, in lower case. The last ones are of formats that are refused with
// what to do, rather than left out without a word.
var extensions = []string{".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".jxl"}

// folder is a directory of picture files.
type folder struct {
	dir     string
	items   []labelled
	classes []string
	limits  picture.Limits
	hash    func() (string, error) // reads all files, the first time
}

// labelled is a picture with what a file of labels says of it beside the class.
type labelled struct {
	Item
	attributes []attribute // sorted by name, none of them empty
}

type attribute struct{ name, value string }

func openFolder(dir string, opts Options) (Dataset, error) {
	if dir == "" {
		return nil, errors.New("data folder: names no directory: want folder:DIR")
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("data folder:%s: %w", dir, err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("data folder:%s: not a directory", dir)
	}
	f := &folder{dir: dir, limits: opts.Limits}
	f.hash = sync.OnceValues(f.hashFiles)
	if opts.Labels != "" {
		err = f.readLabels(opts.Labels)
	} else {
		err = f.scan()
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// scan finds the pictures: in sub-folders, whose sorted names are the classes,
// or all in the directory itself, without labels.
func (f *folder) scan() error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return fmt.Errorf("data folder:%s: %w", f.dir, err)
	}
	var flat []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		// Stat follows links: classes are often links to folders elsewhere.
		info, err := os.Stat(filepath.Join(f.dir, entry.Name()))
		if err != nil {
			return fmt.Errorf("data folder:%s: %w", f.dir, err)
		}
		switch {
		case info.IsDir():
			f.classes = append(f.classes, entry.Name())
		case isPicture(entry.Name()):
			flat = append(flat, entry.Name())
		}
	}
	slices.Sort(f.classes)
	slices.Sort(flat)
	switch {
	case len(f.classes) == 0 && len(flat) == 0:
		return fmt.Errorf("data folder:%s: no pictures found (looked for %s)", f.dir, strings.Join(extensions, " "))
	case len(f.classes) > 0 && len(flat) > 0:
		return fmt.Errorf("data folder:%s: has pictures (%s) beside sub-folders (%s): move them into a class's sub-folder, or give labels in a CSV file",
			f.dir, flat[0], f.classes[0])
	}
	for _, name := range flat {
		f.items = append(f.items, labelled{Item: Item{Name: name, Label: -1}})
	}
	for label, class := range f.classes {
		names, err := f.below(class)
		if err != nil {
			return fmt.Errorf("data folder:%s: %w", f.dir, err)
		}
		if len(names) == 0 {
			return fmt.Errorf("data folder:%s: no pictures found in sub-folder %s (looked for %s)", f.dir, class, strings.Join(extensions, " "))
		}
		for _, name := range names {
			f.items = append(f.items, labelled{Item: Item{Name: name, Label: label}})
		}
	}
	return nil
}

// below lists the pictures in and below a class's sub-folder, sorted.
func (f *folder) below(class string) ([]string, error) {
	root, err := filepath.EvalSymlinks(filepath.Join(f.dir, class))
	if err != nil {
		return nil, err
	}
	var names []string
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != root && strings.HasPrefix(entry.Name(), ".") {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if !entry.IsDir() && isPicture(entry.Name()) {
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			names = append(names, class+"/"+filepath.ToSlash(rel))
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

func isPicture(name string) bool {
	return slices.Contains(extensions, strings.ToLower(filepath.Ext(name)))
}

// readLabels takes the pictures from a CSV file with the columns file and label and, if there are more, attributes.
func (f *folder) readLabels(path string) error {
	labels, err := readLabels(path)
	if err != nil {
		return err
	}
	for _, item := range labels {
		info, err := os.Stat(filepath.Join(f.dir, filepath.FromSlash(item.Name)))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("labels %s: names %s, which is not in %s", path, item.Name, f.dir)
		}
		if err != nil {
			return fmt.Errorf("labels %s: %w", path, err)
		}
		if info.IsDir() {
			return fmt.Errorf("labels %s: %s is a directory, not a picture", path, item.Name)
		}
	}
	f.items = labels
	return nil
}

// Bounds on the further columns of a file of labels.
const (
	maxAttributes = 1000   // columns
	maxAttribute  = 10_000 // bytes of a name or a value
)

// parseLabels reads the rows of a CSV file with a header that has the columns file and label. Every further column that
// has a name is an attribute of those pictures that have a value there.
func parseLabels(r io.Reader) ([]labelled, error) {
	rows := newCSV(r)
	header, err := rows.Read()
	if err == io.EOF {
		return nil, errors.New("is empty: want a header with the columns file and label")
	}
	if err != nil {
		return nil, err
	}
	fileColumn, labelColumn := column(header, "file"), column(header, "label")
	if fileColumn < 0 || labelColumn < 0 {
		return nil, fmt.Errorf("has the columns %s: want file and label", strings.Join(header, ", "))
	}
	further, err := attributeColumns(header, fileColumn, labelColumn)
	if err != nil {
		return nil, err
	}
	var items []labelled
	seen := map[string]bool{}
	err = eachRow(rows, len(header), max(fileColumn, labelColumn), func(line int, row []string) error {
		name := row[fileColumn]
		label, err := strconv.Atoi(strings.TrimSpace(row[labelColumn]))
		switch {
		case err != nil:
			return fmt.Errorf("line %d: label %q of %s is not an integer", line, row[labelColumn], name)
		case label < -1 || label > 1<<31-1:
			return fmt.Errorf("line %d: label %d of %s is not a class index (0 or more, -1 for unknown)", line, label, name)
		case !filepath.IsLocal(filepath.FromSlash(name)):
			return fmt.Errorf("line %d: file %q is not a path below the folder", line, name)
		case seen[name]:
			return fmt.Errorf("line %d: file %s appears twice", line, name)
		}
		seen[name] = true
		item := labelled{Item: Item{Name: name, Label: label}}
		for _, c := range further {
			if c.index >= len(row) {
				continue
			}
			value := strings.TrimSpace(row[c.index])
			if len(value) > maxAttribute {
				return fmt.Errorf("line %d: %q of %s is longer than %d bytes", line, c.name, name, maxAttribute)
			}
			if value != "" {
				item.attributes = append(item.attributes, attribute{c.name, value})
			}
		}
		items = append(items, item)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, errors.New("names no pictures")
	}
	return items, nil
}

// attributeColumn is a further column of a file of labels.
type attributeColumn struct {
	name  string
	index int
}

// attributeColumns finds the columns beside file and label that have a name, sorted by it.
func attributeColumns(header []string, fileColumn, labelColumn int) ([]attributeColumn, error) {
	var columns []attributeColumn
	for c, name := range header {
		name = strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))
		switch {
		case name == "" || c == fileColumn || c == labelColumn:
		case len(name) > maxAttribute:
			return nil, fmt.Errorf("has a column whose name is longer than %d bytes", maxAttribute)
		case len(columns) == maxAttributes:
			return nil, fmt.Errorf("has more than %d columns beside file and label", maxAttributes)
		case column(header, name) != c:
			return nil, fmt.Errorf("has the column %q twice", name)
		default:
			columns = append(columns, attributeColumn{name, c})
		}
	}
	slices.SortFunc(columns, func(a, b attributeColumn) int { return strings.Compare(a.name, b.name) })
	return columns, nil
}

// eachRow hands on the rows behind the header, which has that many columns, with their line. A row must reach the last
// column that is read.
func eachRow(rows *csv.Reader, columns, last int, each func(line int, row []string) error) error {
	for {
		row, err := rows.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		line, _ := rows.FieldPos(0)
		if last >= len(row) {
			return fmt.Errorf("line %d: has %d columns, the header %d", line, len(row), columns)
		}
		if err := each(line, row); err != nil {
			return err
		}
	}
}

func newCSV(r io.Reader) *csv.Reader {
	rows := csv.NewReader(r)
	rows.FieldsPerRecord = -1
	return rows
}

// column finds a column by its name; a byte order mark before the first is not
// part of it.
func column(header []string, name string) int {
	return slices.IndexFunc(header, func(h string) bool {
		return strings.EqualFold(strings.TrimSpace(strings.TrimPrefix(h, "\ufeff")), name)
	})
}

func (f *folder) Len() int          { return len(f.items) }
func (f *folder) Classes() []string { return slices.Clone(f.classes) }
func (f *folder) Item(i int) Item   { return f.items[i].Item }
func (f *folder) path(i int) string { return filepath.Join(f.dir, filepath.FromSlash(f.items[i].Name)) }

// Attributes implements Attributed.
func (f *folder) Attributes(i int) map[string]string {
	return f.items[i].attributeMap()
}

func (f *folder) Picture(i int) (*picture.Picture, error) {
	return picture.DecodeFile(f.path(i), f.limits)
}

func (f *folder) Hash() (string, error) { return f.hash() }

func (f *folder) hashFiles() (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "folder %d\n", len(f.items))
	for i := range f.items {
		if err := f.hashItem(h, i); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// ItemHash implements ItemHasher.
func (f *folder) ItemHash(i int) (string, error) {
	h := sha256.New()
	if err := f.hashItem(h, i); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// hashItem writes a line about picture i.
func (f *folder) hashItem(w io.Writer, i int) error {
	sum, err := picture.HashFile(f.path(i))
	if err != nil {
		return fmt.Errorf("data folder:%s: %w", f.dir, err)
	}
	item := f.items[i]
	fmt.Fprintf(w, "%q %d %x", item.Name, item.Label, sum)
	for _, a := range item.attributes {
		fmt.Fprintf(w, " %q=%q", a.name, a.value)
	}
	fmt.Fprintln(w)
	return nil
}
