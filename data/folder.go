package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"vitdecompose/data/picture"
)

// extensions of the files that a folder's pictures may have, in lower case. The last ones are of formats that are refused with
// what to do, rather than left out without a word.
var extensions = []string{".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".jxl"}

var folderKind = Kind{
	Name: "folder", Argument: "DIR", Open: openFolder,
	Help: "pictures in a sub-folder for each class, or anywhere below a folder with a file of labels",
}

// folder is a directory of picture files.
type folder struct {
	ItemHashes
	dir     string
	items   []Labelled
	classes []string
}

func openFolder(_ context.Context, dir string, opts Options) (Dataset, error) {
	if dir == "" {
		return nil, errors.New("names no directory: want folder:DIR")
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no such folder: %w", err)
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, errors.New("not a directory")
	}
	f := &folder{dir: dir}
	if opts.Labels != "" {
		err = f.readLabels(opts.Labels)
	} else {
		err = f.scan()
	}
	if err != nil {
		return nil, err
	}
	f.ItemHashes = NewItemHashes(fmt.Sprintf("folder %d\n", len(f.items)), len(f.items), f.describe)
	return f, nil
}

// scan finds the pictures: in sub-folders, whose sorted names are the classes,
// or all in the directory itself, without labels.
func (f *folder) scan() error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	var flat []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		// Stat follows links: classes are often links to folders elsewhere.
		info, err := os.Stat(filepath.Join(f.dir, entry.Name()))
		if err != nil {
			return err
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
		return fmt.Errorf("no pictures found (looked for %s)", strings.Join(extensions, " "))
	case len(f.classes) > 0 && len(flat) > 0:
		return fmt.Errorf("has pictures (%s) beside sub-folders (%s): move them into a class's sub-folder, or give labels in a CSV file",
			flat[0], f.classes[0])
	}
	looks := map[string]string{}
	for _, class := range f.classes {
		form := norm.NFC.String(class)
		if other, twice := looks[form]; twice {
			return fmt.Errorf("the sub-folders %+q and %+q look the same: accents are written in two ways of Unicode, NFC and NFD; give them one name", other, class)
		}
		looks[form] = class
	}
	for _, name := range flat {
		f.items = append(f.items, Labelled{Item: Item{Name: name, Label: -1}})
	}
	for label, class := range f.classes {
		names, err := f.below(class)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return fmt.Errorf("no pictures found in sub-folder %s (looked for %s)", class, strings.Join(extensions, " "))
		}
		for _, name := range names {
			f.items = append(f.items, Labelled{Item: Item{Name: name, Label: label}})
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
	labels, err := ReadLabels(path)
	if err != nil {
		return err
	}
	for _, item := range labels {
		info, err := os.Stat(filepath.Join(f.dir, filepath.FromSlash(item.Name)))
		if errors.Is(err, fs.ErrNotExist) {
			if other := otherForm(f.dir, item.Name); other != "" {
				return fmt.Errorf("labels %s: names %+q, and the file is called %+q, which looks the same: accents are written in two ways of Unicode, NFC and NFD",
					path, item.Name, other)
			}
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

// otherForm is the name of a file below a directory that looks the same and is written otherwise; "" when there is none.
func otherForm(dir, name string) string {
	for _, form := range []norm.Form{norm.NFC, norm.NFD} {
		other := form.String(name)
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(other))); err == nil && other != name {
			return other
		}
	}
	return ""
}

func (f *folder) Len() int          { return len(f.items) }
func (f *folder) Classes() []string { return slices.Clone(f.classes) }
func (f *folder) Item(i int) Item   { return f.items[i].Item }
func (f *folder) path(i int) string { return filepath.Join(f.dir, filepath.FromSlash(f.items[i].Name)) }

// Attributes implements Attributed.
func (f *folder) Attributes(i int) map[string]string {
	return f.items[i].Attributes()
}

func (f *folder) Picture(i int) (*picture.Picture, error) {
	return picture.DecodeFile(f.path(i), picture.Limits{})
}

// describe writes a line about picture i.
func (f *folder) describe(w io.Writer, i int) error {
	sum, err := picture.HashFile(f.path(i))
	if err != nil {
		return err
	}
	item := f.items[i]
	if _, err := fmt.Fprintf(w, "%q %d %x", item.Name, item.Label, sum); err != nil {
		return err
	}
	return DescribeAttributes(w, item.Attributes())
}
