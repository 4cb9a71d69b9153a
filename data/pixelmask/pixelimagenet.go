package pixelmask

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"vitdecompose/data"
	"vitdecompose/data/picture"
)

func openPixelImageNet(argument string) (Source, error) {
	maskDir, pictureDir, err := locate(argument)
	if err != nil {
		return Source{}, err
	}
	masks, err := list(maskDir, maskExtensions)
	if err != nil {
		return Source{}, err
	}
	pictures, err := list(pictureDir, pictureExtensions)
	if err != nil {
		return Source{}, err
	}
	source := Source{Kind: pixelImageNet, Object: instances, Files: func(e Entry) (picture, mask string) {
		name := filepath.FromSlash(e.Name)
		return filepath.Join(pictureDir, name), filepath.Join(maskDir, strings.TrimSuffix(name, filepath.Ext(name))+".png")
	}}
	folders := slices.Sorted(maps.Keys(masks))
	for _, sub := range folders {
		for _, stem := range slices.Sorted(maps.Keys(masks[sub])) {
			mask := masks[sub][stem]
			switch {
			case pictures[sub][stem] == "":
				return Source{}, fmt.Errorf("%s: there is no picture for it in %s", filepath.Join(maskDir, sub, mask), filepath.Join(pictureDir, sub))
			case mask != stem+".png":
				return Source{}, fmt.Errorf("%s: want the extension .png in lower case", filepath.Join(maskDir, sub, mask))
			}
			e := Entry{Item: data.Item{Name: pictures[sub][stem], Label: -1}}
			if sub != "" {
				e.Name = sub + "/" + e.Name
			}
			source.Entries = append(source.Entries, e)
		}
	}
	if folders[0] != "" {
		source.label(folders)
	}
	return source, nil
}

// locate finds the folders of the masks and of the pictures.
func locate(argument string) (masks, pictures string, err error) {
	if argument == "" {
		return "", "", errors.New("names no directory: want pixelimagenet:MASKS:PICTURES, or pixelimagenet:DIR with DIR/masks and DIR/images")
	}
	masks, pictures = filepath.Join(argument, "masks"), argument
	beside := []string{"images", "train", "val"}
	if !isDirectory(argument) {
		at := strings.LastIndexByte(argument, ':')
		if at < 0 {
			return "", "", fmt.Errorf("%s: there is no such directory", argument)
		}
		masks, pictures = argument[:at], argument[at+1:]
		beside = []string{"train"}
	}
	for _, dir := range []string{masks, pictures} {
		if !isDirectory(dir) {
			return "", "", fmt.Errorf("%s: there is no such directory", dir)
		}
	}
	for _, name := range beside {
		if dir := filepath.Join(pictures, name); isDirectory(dir) {
			return masks, dir, nil
		}
	}
	if pictures == argument {
		return "", "", fmt.Errorf("%s: has no directory images, train or val: want the pictures in one of them", argument)
	}
	return masks, pictures, nil
}

// instances is where a mask of Pixel-ImageNet has any instance. Colours have no number for what is ignored.
func instances(_ Entry, numbers *picture.Values) ([]uint8, error) {
	const maybeIgnored = 255
	single := numbers.Mode.Bytes() == 1
	objects := false
	for _, v := range numbers.Pix {
		objects = objects || v != 0 && v != maybeIgnored
	}
	out := make([]uint8, len(numbers.Pix))
	for i, v := range numbers.Pix {
		switch {
		case v == 0:
		case v == maybeIgnored && single && objects:
			out[i] = data.MaskIgnored
		default:
			out[i] = data.MaskObject
		}
	}
	return out, nil
}
