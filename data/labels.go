package data

import (
	"fmt"
	"os"
)

// Labelled is a picture as a file of labels names it.
type Labelled struct {
	Item
	Attributes map[string]string // nil when there are none
}

// ReadLabels reads a file of labels as Options.Labels describes it. The names are paths below a folder, with slashes.
func ReadLabels(path string) ([]Labelled, error) {
	rows, err := readLabels(path)
	if err != nil {
		return nil, err
	}
	items := make([]Labelled, len(rows))
	for i, row := range rows {
		items[i] = Labelled{row.Item, row.attributeMap()}
	}
	return items, nil
}

func readLabels(path string) ([]labelled, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	defer file.Close()
	rows, err := parseLabels(file)
	if err != nil {
		return nil, fmt.Errorf("labels %s: %w", path, err)
	}
	return rows, nil
}

// attributeMap is a copy of the attributes, nil when there are none.
func (l labelled) attributeMap() map[string]string {
	if len(l.attributes) == 0 {
		return nil
	}
	all := make(map[string]string, len(l.attributes))
	for _, a := range l.attributes {
		all[a.name] = a.value
	}
	return all
}

// Indexed is a data set whose labels count the classes in the order in which models count them too, as those of ImageNet
// do: a model with as many classes means the same by a label, whatever it calls the class.
type Indexed interface {
	Dataset
	IndexedLabels() bool
}

// HasIndexedLabels tells whether ds, or a data set that it wraps or is a subset of, is [Indexed].
func HasIndexedLabels(ds Dataset) bool {
	switch ds := ds.(type) {
	case Indexed:
		return ds.IndexedLabels()
	case interface{ whole() subset }:
		return HasIndexedLabels(ds.whole().base)
	case Wrapper:
		return HasIndexedLabels(ds.Unwrap())
	}
	return false
}
