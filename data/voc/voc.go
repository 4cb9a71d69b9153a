// Package voc reads PASCAL VOC 2012 as its segmentation challenge has it. Importing it makes the kind known to data.Open:
//
//	voc:DIR[:LIST]
//
// LIST is train, val or trainval; val is what is read if none is named. DIR is VOC2012, or VOCdevkit, or where VOCdevkit is.
// What is read of it are ImageSets/Segmentation/LIST.txt, JPEGImages and SegmentationClass (Everingham et al., The PASCAL
// Visual Object Classes Challenge 2012 Development Kit).
//
// A picture of the challenge shows objects of one or more of 20 classes. There is an item for every picture and class in it,
// such as "2007_000032 aeroplane": its label is the class, from 0 on in alphabetical order, and its object all that is of the
// class. The line around objects, 255 in the masks, is ignored. Other labels, those of a model of ImageNet say, come from
// Options.Labels, whose files are the names of items.
//
// To know the classes, opening decodes every mask once, on all cores and one at a time on each: some 2 ms for one, so a few
// seconds for the 1449 of val. No picture is read.
package voc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"vitdecompose/data"
	"vitdecompose/data/picture"
	"vitdecompose/data/pixelmask"
	"vitdecompose/data/regularfile"
)

// Classes are the classes in plain words, in the alphabetical order of VOC's own names: class i is i+1 in the masks.
var Classes = []string{
	"aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
	"dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "tv monitor",
}

// boundary is what the line around an object is in a mask.
const boundary = 255

func init() {
	data.Register(data.Kind{Name: "voc", Argument: "DIR[:train|val|trainval]", Open: open,
		Help: "PASCAL VOC 2012 with its masks, an item for each picture and class in it"})
}

func open(_ context.Context, argument string, opts data.Options) (data.Dataset, error) {
	place, list := argument, "val"
	if at := strings.LastIndexByte(argument, ':'); at >= 0 && slices.Contains([]string{"train", "val", "trainval"}, argument[at+1:]) {
		place, list = argument[:at], argument[at+1:]
	}
	if place == "" {
		return nil, errors.New("names no directory: want voc:DIR, voc:DIR:train, voc:DIR:val or voc:DIR:trainval")
	}
	dir, err := locate(place)
	if err != nil {
		return nil, err
	}
	names, err := readList(dir, list)
	if err != nil {
		return nil, err
	}
	source := pixelmask.Source{
		Kind: "voc", Classes: Classes, Object: object,
		Files: func(e pixelmask.Entry) (picture, mask string) {
			name, _, _ := strings.Cut(e.Name, " ")
			return pictureFile(dir, name), maskFile(dir, name)
		},
	}
	shown, err := classesOf(dir, names)
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		for label, class := range Classes {
			if shown[i]&(1<<label) != 0 {
				source.Entries = append(source.Entries, pixelmask.Entry{Item: data.Item{Name: name + " " + class, Label: label}, ID: label + 1})
			}
		}
	}
	if len(source.Entries) == 0 {
		return nil, fmt.Errorf("%s: the masks of %s show no objects", dir, list)
	}
	return pixelmask.New(source, opts)
}

func pictureFile(dir, name string) string { return filepath.Join(dir, "JPEGImages", name+".jpg") }
func maskFile(dir, name string) string    { return filepath.Join(dir, "SegmentationClass", name+".png") }

// locate finds VOC2012.
func locate(place string) (string, error) {
	for _, dir := range []string{place, filepath.Join(place, "VOC2012"), filepath.Join(place, "VOCdevkit", "VOC2012")} {
		if info, err := os.Stat(filepath.Join(dir, "ImageSets", "Segmentation")); err == nil && info.IsDir() {
			return dir, nil
		}
	}
	return "", fmt.Errorf("%s: has no ImageSets/Segmentation, nor VOC2012 or VOCdevkit/VOC2012 with it: want VOC2012 or a directory above it", place)
}

// readList reads the names of pictures, which must be there.
func readList(dir, list string) ([]string, error) {
	path := filepath.Join(dir, "ImageSets", "Segmentation", list+".txt")
	file, _, err := regularfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	names, err := parseList(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, name := range names {
		if _, err := os.Stat(pictureFile(dir, name)); err != nil {
			return nil, fmt.Errorf("%s: names %s: %w", path, name, err)
		}
	}
	return names, nil
}

// Bounds on a list. The longest that there is has 2913 names of 11 bytes.
const (
	maxNames = 1 << 20
	maxName  = 200
)

// parseList reads a name from each line; empty ones are passed over.
func parseList(r io.Reader) ([]string, error) {
	var names []string
	seen := map[string]int{}
	scanner, line := bufio.NewScanner(r), 0
	for scanner.Scan() {
		line++
		name := strings.TrimSpace(scanner.Text())
		if name == "" {
			continue
		}
		switch before := seen[name]; {
		case len(name) > maxName || strings.ContainsFunc(name, notInName) || strings.HasPrefix(name, "."):
			return nil, fmt.Errorf("line %d: %.60q is not the name of a picture, such as 2007_000032", line, name)
		case before > 0:
			return nil, fmt.Errorf("line %d: %s is on line %d already", line, name, before)
		case len(names) == maxNames:
			return nil, fmt.Errorf("has more than %d names", maxNames)
		}
		seen[name] = line
		names = append(names, name)
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", line+1, err)
	}
	if len(names) == 0 {
		return nil, errors.New("names no pictures")
	}
	return names, nil
}

// notInName tells what the name of a picture cannot have: what separates folders, and the space, which ends it in the name
// of an item.
func notInName(r rune) bool {
	return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r == '-' || r == '.')
}

// classesOf tells which classes each mask shows: bit i is class i.
func classesOf(dir string, names []string) ([]uint32, error) {
	shown, errs := make([]uint32, len(names)), make([]error, len(names))
	var next atomic.Int64
	var failed atomic.Bool
	var running sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(names)) {
		running.Go(func() {
			for !failed.Load() {
				i := int(next.Add(1)) - 1
				if i >= len(names) {
					return
				}
				if shown[i], errs[i] = classes(maskFile(dir, names[i])); errs[i] != nil {
					failed.Store(true)
				}
			}
		})
	}
	running.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return shown, nil
}

func classes(path string) (shown uint32, err error) {
	numbers, err := picture.DecodeValues(path, picture.Limits{})
	if err != nil {
		return 0, err
	}
	if err := check(numbers); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	for _, v := range numbers.Pix {
		if v != 0 && v != boundary {
			shown |= 1 << (v - 1)
		}
	}
	return shown, nil
}

// check finds values that a mask must not have.
func check(numbers *picture.Values) error {
	// Tools that drop the palette leave the same numbers in grey.
	if numbers.Mode != picture.Palette && numbers.Mode != picture.Grey {
		return fmt.Errorf("the mask has the mode %s: those of VOC have a palette", numbers.Mode)
	}
	for i, v := range numbers.Pix {
		if v > uint32(len(Classes)) && v != boundary {
			return fmt.Errorf("row %d, column %d is of class %d: want 0 to %d, or %d for the line around an object",
				i/numbers.Width, i%numbers.Width, v, len(Classes), boundary)
		}
	}
	return nil
}

// object is where a mask has the class of an item.
func object(e pixelmask.Entry, numbers *picture.Values) ([]uint8, error) {
	if err := check(numbers); err != nil {
		return nil, err
	}
	out := make([]uint8, len(numbers.Pix))
	for i, v := range numbers.Pix {
		switch v {
		case uint32(e.ID):
			out[i] = data.MaskObject
		case boundary:
			out[i] = data.MaskIgnored
		}
	}
	return out, nil
}
