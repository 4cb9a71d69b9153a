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

// MaskedFiles are pictures named one by one, with a file for each that says where its object is.
type MaskedFiles struct {
	Files
	Masks []string // as many as there are pictures
}

// WithMasks finds the masks of pictures: a file for the only picture, or a folder in which the mask of a picture has its name
// with the extension .png.
func (f Files) WithMasks(name string) (MaskedFiles, error) {
	info, err := os.Stat(name)
	if err != nil {
		return MaskedFiles{}, err
	}
	masked := MaskedFiles{Files: f}
	if !info.IsDir() {
		if len(f) != 1 {
			return MaskedFiles{}, fmt.Errorf("%s is the mask of one picture, and there are %d: name a folder with a mask for each", name, len(f))
		}
		masked.Masks = []string{name}
		return masked, nil
	}
	for _, picture := range f {
		base := filepath.Base(picture)
		mask := filepath.Join(name, strings.TrimSuffix(base, filepath.Ext(base))+".png")
		if _, err := os.Stat(mask); err != nil {
			return MaskedFiles{}, fmt.Errorf("%s has no mask: %w", picture, err)
		}
		masked.Masks = append(masked.Masks, mask)
	}
	return masked, nil
}

// Mask implements Masked: 0 is background and everything else the object. A mask of another size than its picture is an error.
func (f MaskedFiles) Mask(i int) (*Mask, error) {
	values, err := picture.DecodeValues(f.Masks[i], picture.Limits{})
	if err != nil {
		return nil, err
	}
	width, height, err := picture.SizeFile(f.Files[i], picture.Limits{})
	if err != nil {
		return nil, err
	}
	if values.Width != width || values.Height != height {
		return nil, fmt.Errorf("%s: the mask is of %d x %d pixels, its picture %s of %d x %d", f.Masks[i], values.Width, values.Height, f.Files[i], width, height)
	}
	mask := &Mask{Width: width, Height: height, Pix: make([]uint8, width*height)}
	for at := range mask.Pix {
		if values.Pix[at] != 0 {
			mask.Pix[at] = MaskObject
		}
	}
	return mask, nil
}
