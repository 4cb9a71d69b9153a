package data

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"vitdecompose/data/picture"
)

// Files are pictures named one by one, without labels: the files of a command line.
type Files []string

// Len returns the number of pictures.
func (f Files) Len() int { return len(f) }

// Classes implements Dataset: there are none.
func (f Files) Classes() []string { return nil }

// Item implements Dataset. The name is the file's as it was given.
func (f Files) Item(i int) Item { return Item{Name: f[i], Label: -1} }

// Picture decodes picture i. Its errors name the file.
func (f Files) Picture(i int) (*picture.Picture, error) {
	return picture.DecodeFile(f[i], picture.Limits{})
}

// Hash implements Dataset. It reads all files; what they are called does not matter.
func (f Files) Hash() (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "files %d\n", len(f))
	for _, name := range f {
		sum, err := picture.HashFile(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%x\n", sum)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// FilesIn lists pictures by their files' names: those named, and all in and below the folders named, sorted within each.
func FilesIn(names []string) (Files, error) {
	var files Files
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, name)
			continue
		}
		found, err := (&folder{dir: name}).below(".")
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("folder %s: no pictures found (looked for %s)", name, strings.Join(extensions, " "))
		}
		for _, picture := range found {
			files = append(files, filepath.Join(name, filepath.FromSlash(picture)))
		}
	}
	return files, nil
}
