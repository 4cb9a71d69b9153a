package experiments

import (
	"fmt"
	"strings"

	"vitdecompose/data"
)

// MatchLabels makes the labels of a data set mean the classes of a model. Labels from a file are class indices already
// (the data set has no class names). Class names from sub-folders are looked up among the model's, without regard to
// case, underscores and spaces; when none is known there, as many sub-folders as the model has classes count in
// sorted order, as torchvision and timm count them.
func MatchLabels(ds data.Dataset, modelName string, modelClasses []string, numClasses int) (data.Dataset, error) {
	folders := ds.Classes()
	if len(folders) == 0 || numClasses == 0 {
		return ds, nil
	}
	index := make(map[string]int)
	for i, name := range modelClasses {
		index[plainName(name)] = i
	}
	labels := make([]int, len(folders))
	var unknown []string
	for i, folder := range folders {
		label, ok := index[plainName(folder)]
		if !ok {
			unknown = append(unknown, folder)
		}
		labels[i] = label
	}
	switch {
	case len(unknown) == 0:
		return relabelled{ds, labels, modelClasses}, nil
	case len(folders) == numClasses && len(unknown) == len(folders):
		return ds, nil
	}
	return nil, fmt.Errorf("the data has %d classes, %s has %d, and %d of the names (%s, ...) are not among the model's; "+
		"give the labels with --labels FILE.csv (columns file,label) or the model's class names with --class-names FILE",
		len(folders), modelName, numClasses, len(unknown), unknown[0])
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
