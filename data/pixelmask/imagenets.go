package pixelmask

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vitdecompose/data"
	"vitdecompose/data/picture"
)

// The splits of ImageNet-S that come with masks.
const (
	validation = "validation"
	trainSemi  = "train-semi"
)

// Numbers in the masks of ImageNet-S that are no class.
const (
	otherClass = 0
	ignored    = 1000
)

// editions are the numbers of classes that ImageNet-S comes with.
var editions = []int{50, 300, 919}

func openImageNetS(argument string) (Source, error) {
	dir, split := argument, validation
	if at := strings.LastIndexByte(argument, ':'); at >= 0 && (argument[at+1:] == validation || argument[at+1:] == trainSemi) {
		dir, split = argument[:at], argument[at+1:]
	}
	if dir == "" {
		return Source{}, errors.New("names no directory: want imagenet-s:DIR, where DIR is ImageNetS50, ImageNetS300 or ImageNetS919")
	}
	pictureDir, maskDir := filepath.Join(dir, split), filepath.Join(dir, split+"-segmentation")
	for _, d := range []string{pictureDir, maskDir} {
		if !isDirectory(d) {
			return Source{}, fmt.Errorf("%s: there is no such directory: want imagenet-s:DIR, where DIR is ImageNetS50, ImageNetS300 or ImageNetS919 with %s and %s-segmentation", d, split, split)
		}
	}
	pictures, err := list(pictureDir, pictureExtensions)
	if err != nil {
		return Source{}, err
	}
	masks, err := list(maskDir, maskExtensions)
	if err != nil {
		return Source{}, err
	}
	folders := slices.Sorted(maps.Keys(pictures))
	ids, listed, err := classIDs(dir, folders)
	if err != nil {
		return Source{}, err
	}
	source := Source{Kind: imageNetS, Files: func(e Entry) (picture, mask string) {
		name := filepath.FromSlash(e.Name)
		return filepath.Join(pictureDir, name), filepath.Join(maskDir, strings.TrimSuffix(name, filepath.Ext(name))+".png")
	}}
	for _, sub := range folders {
		id, ok := slices.BinarySearch(ids, sub)
		if !ok {
			return Source{}, fmt.Errorf("%s: the sub-folder %q is not a class of %s", pictureDir, sub, listed)
		}
		for _, stem := range slices.Sorted(maps.Keys(pictures[sub])) {
			name := sub + "/" + pictures[sub][stem]
			// The mask's extension is .png and no other, or its file would have to be looked for.
			if masks[sub][stem] != stem+".png" {
				return Source{}, fmt.Errorf("%s: there is no mask %s", filepath.Join(pictureDir, filepath.FromSlash(name)), filepath.Join(maskDir, sub, stem+".png"))
			}
			source.Entries = append(source.Entries, Entry{data.Item{Name: name}, 1 + id})
		}
	}
	classes := len(ids)
	source.Object = func(e Entry, numbers *picture.Values) ([]uint8, error) { return classObject(e.ID, classes, numbers) }
	source.label(folders)
	return source, nil
}

// classIDs are the WNIDs whose positions, from 1 on, are the classes of the masks, and where they are from.
func classIDs(dir string, folders []string) (ids []string, listed string, err error) {
	n := len(folders)
	here := lists(dir)
	switch {
	case here[n] != "":
		listed = here[n]
	case len(here) == 1: // fewer pictures, but all classes
		for edition, name := range here {
			n, listed = edition, name
		}
	case len(here) > 1:
		return nil, "", fmt.Errorf("%s: has pictures of %d classes and more than one ImageNetS_categories_im*.txt: keep the one that the masks go with", dir, n)
	default:
		listed = lists(filepath.Join(dir, ".."))[n]
	}
	switch {
	case listed != "":
		ids, err = readWNIDs(listed, n)
		return ids, listed, err
	case slices.Contains(editions, n):
		return folders, "the folders", nil
	}
	return nil, "", fmt.Errorf("%s: has pictures of %d classes, not of 50, 300 or 919, so it is not known what the numbers in the masks mean: put ImageNetS_categories_im50.txt (im300, im919) there", dir, n)
}

// lists are the lists of classes in a directory, by their number of classes.
func lists(dir string) map[int]string {
	found := map[int]string{}
	for _, n := range editions {
		name := filepath.Join(dir, fmt.Sprintf("ImageNetS_categories_im%d.txt", n))
		if _, err := os.Stat(name); err == nil {
			found[n] = name
		}
	}
	return found
}

// classObject is where a mask of ImageNet-S has a class.
func classObject(id, classes int, numbers *picture.Values) ([]uint8, error) {
	if numbers.Mode != picture.RGB {
		return nil, fmt.Errorf("the mask has the mode %s: those of ImageNet-S are RGB", numbers.Mode)
	}
	out := make([]uint8, len(numbers.Pix))
	for i, v := range numbers.Pix {
		switch {
		case v == uint32(id):
			out[i] = data.MaskObject
		case v == ignored:
			out[i] = data.MaskIgnored
		case v != otherClass && v > uint32(classes):
			return nil, fmt.Errorf("row %d, column %d is of class %d: want 0 to %d, or %d for what is ignored", i/numbers.Width, i%numbers.Width, v, classes, ignored)
		}
	}
	return out, nil
}
