// Package pixelmask reads pictures of ImageNet whose objects are outlined in PNG files. Importing it makes two kinds known to
// data.Open:
//
//	imagenet-s:DIR[:SPLIT]        ImageNet-S
//	pixelimagenet:DIR             Pixel-ImageNet, with the pictures beside the masks
//	pixelimagenet:MASKS:PICTURES  Pixel-ImageNet, with the pictures elsewhere
//
// # ImageNet-S
//
// ImageNet-S (Gao et al., arXiv 2106.03149; github.com/LUSSeg/ImageNet-S) is DIR/SPLIT/WNID/NAME.JPEG with
// DIR/SPLIT-segmentation/WNID/NAME.png, where DIR is ImageNetS50, ImageNetS300 or ImageNetS919 and SPLIT is validation, which
// is what is read if none is named, or train-semi. The masks are RGB; red + 256 * green is a class, 0 another one, 1000 is
// ignored. The object is what is of the class that the folder is of. Classes count from 1 over the sorted WNIDs of
// ImageNetS_categories_im50.txt (im300, im919), if it is in DIR, or beside DIR and of as many classes as there are folders;
// and else over the sorted folders, of which there must be 50, 300 or 919.
//
// # Pixel-ImageNet
//
// Experiment 6 of arXiv 2406.01583 uses Pixel-ImageNet (Zhang et al., Interactive Object Segmentation with Inside-Outside
// Guidance, CVPR 2020; github.com/shiyinzhang/Pixel-ImageNet). The authors' code (github.com/SriramB-98/vit-decompose) reads
// ImageNet's training pictures, train/WNID/NAME.JPEG, with MASKS/WNID/NAME.png, and leaves out those without a mask, as is
// done here. Whoever publishes the masks says that a pixel's value tells the instances of the one class in a picture apart.
// So 0 is background and all else the object; but of a palette or in grey, 255 beside other values is ignored, as it is in
// PASCAL VOC's masks. (The authors' code takes the masks for colours and scales them like pictures before it asks what is
// positive: with VOC's palette, whose second colour is green, it sees the first instance of a picture and not the second.)
//
// PICTURES is the folder with the WNIDs, or the one with train. Of DIR alone the masks are DIR/masks and the pictures
// DIR/images, DIR/train or DIR/val. Both may also be without sub-folders; the classes are unknown then.
//
// # Labels
//
// Where all folders are of classes of ImageNet-1k, as they are in both sets, labels are the positions of their WNIDs among the
// 1000, as timm and torchvision count. Else they are positions among the folders. Options.Labels is for other models; its
// files are named from the folder of the pictures on, such as n01440764/n01440764_10026.JPEG.
//
// To open a data set takes a listing of its folders; an item is some 100 bytes. No file is opened.
package pixelmask

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"vitdecompose/data"
	"vitdecompose/data/regularfile"
	"vitdecompose/data/wnid"
)

func init() {
	data.Register(data.Kind{Name: imageNetS, Argument: "DIR[:validation|train-semi]", Open: open(openImageNetS),
		Help: "ImageNet-S: pictures of ImageNet with PNG masks"})
	data.Register(data.Kind{Name: pixelImageNet, Argument: "DIR or MASKS:PICTURES", Open: open(openPixelImageNet),
		Help: "Pixel-ImageNet: PNG masks, and the pictures of ImageNet beside them or elsewhere"})
}

// The kinds.
const (
	imageNetS     = "imagenet-s"
	pixelImageNet = "pixelimagenet"
)

// open is how a kind is opened whose arguments read understands.
func open(read func(argument string) (Source, error)) func(context.Context, string, data.Options) (data.Dataset, error) {
	return func(_ context.Context, argument string, opts data.Options) (data.Dataset, error) {
		source, err := read(argument)
		if err != nil {
			return nil, err
		}
		return New(source, opts)
	}
}

func isDirectory(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// folder is the files of a folder, by what is before their extension.
type folder map[string]string

// The extensions of files, in lower case.
var (
	maskExtensions    = []string{".png"}
	pictureExtensions = []string{".jpeg", ".jpg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
)

// list reads a folder with files, or with sub-folders of files; those of other extensions are passed over. The key of the
// files that are not in a sub-folder is "".
func list(dir string, extensions []string) (map[string]folder, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	folders := map[string]folder{}
	add := func(sub, name string) error {
		ext := path.Ext(name)
		if strings.HasPrefix(name, ".") || !slices.Contains(extensions, strings.ToLower(ext)) {
			return nil
		}
		if folders[sub] == nil {
			folders[sub] = folder{}
		}
		stem := strings.TrimSuffix(name, ext)
		if other, twice := folders[sub][stem]; twice {
			return fmt.Errorf("%s: has both %s and %s", filepath.Join(dir, sub), other, name)
		}
		folders[sub][stem] = name
		return nil
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		// Smaller sets are often made of links to the folders of a larger one.
		if !entry.IsDir() && (entry.Type()&os.ModeSymlink == 0 || !isDirectory(filepath.Join(dir, name))) {
			if err := add("", name); err != nil {
				return nil, err
			}
			continue
		}
		files, err := os.ReadDir(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if file.IsDir() {
				continue
			}
			if err := add(name, file.Name()); err != nil {
				return nil, err
			}
		}
	}
	if len(folders) > 1 && folders[""] != nil {
		first := slices.Min(slices.Collect(maps.Values(folders[""])))
		return nil, fmt.Errorf("%s: has files (%s) beside sub-folders with such files: move them into one", dir, first)
	}
	if len(folders) == 0 {
		return nil, fmt.Errorf("%s: has no files %s, nor sub-folders with such files", dir, strings.Join(extensions, " "))
	}
	return folders, nil
}

// maxList bounds a list of WNIDs, in bytes; that of 919 has 9 kB.
const maxList = 1 << 20

// readWNIDs reads a list of that many WNIDs and returns them sorted.
func readWNIDs(name string, want int) ([]string, error) {
	content, err := regularfile.Read(name, maxList)
	if err != nil {
		return nil, err
	}
	wnids, err := parseWNIDs(string(content))
	if err == nil && len(wnids) != want {
		err = fmt.Errorf("has %d WNIDs, want %d", len(wnids), want)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return wnids, nil
}

// parseWNIDs reads lines that begin with a WNID each; empty ones are passed over. They come sorted.
func parseWNIDs(content string) ([]string, error) {
	lines := map[string]int{}
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(content, "\ufeff")) {
		number++
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if !wnid.Valid(fields[0]) {
			return nil, fmt.Errorf("line %d: %.40q is not a WNID (nNNNNNNNN)", number, fields[0])
		}
		if before := lines[fields[0]]; before > 0 {
			return nil, fmt.Errorf("line %d: %s is on line %d already", number, fields[0], before)
		}
		lines[fields[0]] = number
	}
	if len(lines) == 0 {
		return nil, errors.New("has no WNIDs")
	}
	return slices.Sorted(maps.Keys(lines)), nil
}

// label gives the entries, whose names begin with a sub-folder each, their labels.
func (s *Source) label(folders []string) {
	unknown := func(folder string) bool { _, ok := wnid.Index(folder); return !ok }
	if s.Indexed = !slices.ContainsFunc(folders, unknown); s.Indexed {
		s.Classes = wnid.ImageNet1k()
	} else {
		s.Classes = folders
	}
	for i := range s.Entries {
		sub, _, _ := strings.Cut(s.Entries[i].Name, "/")
		s.Entries[i].Label, _ = slices.BinarySearch(s.Classes, sub)
	}
}
