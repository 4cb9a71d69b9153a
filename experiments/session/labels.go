package session

import (
	"fmt"
	"strings"

	"vitdecompose/data"
)

// MatchLabels makes the labels of a data set mean the classes of a model. Labels from a file are class indices already
// (the data set has no class names), and so are those of a data set that says so (ImageNet), for models with as many classes. Class names from sub-folders are looked up among the model's, without regard to
// case, underscores, hyphens and spaces; when none is known there, as many sub-folders as the model has classes count in
// sorted order, as torchvision and timm count them. A name that two of the model's classes share (ImageNet has two
// "crane") tells nothing, so a folder called so is an error.
func MatchLabels(ds data.Dataset, modelName string, modelClasses []string, numClasses int) (data.Dataset, error) {
	folders := ds.Classes()
	if len(folders) == 0 || numClasses == 0 || data.HasIndexedLabels(ds) && len(folders) == numClasses {
		return ds, nil
	}
	index := make(map[string][]int)
	for i, name := range modelClasses {
		index[plainName(name)] = append(index[plainName(name)], i)
	}
	labels := make([]int, len(folders))
	var unknown []string
	for i, folder := range folders {
		switch same := index[plainName(folder)]; len(same) {
		case 0:
			unknown = append(unknown, folder)
		case 1:
			labels[i] = same[0]
		default:
			return nil, fmt.Errorf("the folder %s could be class %d or class %d of %s, which are called the same; %s", folder, same[0], same[1], modelName, giveLabels)
		}
	}
	switch {
	case len(unknown) == 0:
		return relabelled{ds, labels, modelClasses}, nil
	case len(folders) == numClasses && len(unknown) == len(folders):
		return ds, nil
	case len(modelClasses) == 0:
		return nil, fmt.Errorf("the data has %d classes, %s has %d and does not name them; %s, or the model's class names in a file as option ClassNames",
			len(folders), modelName, numClasses, giveLabels)
	}
	return nil, fmt.Errorf("the data has %d classes, %s has %d, and %d of the data's (%s) are not among the model's; %s",
		len(folders), modelName, numClasses, len(unknown), some(unknown), giveLabels)
}

const giveLabels = "give the labels in a CSV file with the columns file,label as option Labels"

// some lists the first few names.
func some(names []string) string {
	if len(names) > 3 {
		names = append(names[:3:3], "...")
	}
	return strings.Join(names, ", ")
}

func plainName(name string) string {
	return strings.NewReplacer("_", "", " ", "", "-", "").Replace(strings.ToLower(name))
}

// relabelled is a data set whose labels are replaced.
type relabelled struct {
	data.Dataset
	labels  []int
	classes []string
}

// Item implements data.Dataset.
func (r relabelled) Item(i int) data.Item {
	item := r.Dataset.Item(i)
	if item.Label >= 0 {
		item.Label = r.labels[item.Label]
	}
	return item
}

// Classes implements data.Dataset.
func (r relabelled) Classes() []string { return r.classes }

// Unwrap implements data.Wrapper.
func (r relabelled) Unwrap() data.Dataset { return r.Dataset }
