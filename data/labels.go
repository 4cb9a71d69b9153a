package data

import (
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/norm"

	"vitdecompose/data/csvtable"
	"vitdecompose/data/regularfile"
)

// Labelled is a picture as a file of labels names it.
type Labelled struct {
	Item
	attributes []attribute // sorted by name, none of them empty
}

type attribute struct{ name, value string }

// Attributes is what further columns say of the picture, nil when they say nothing. The map is the caller's.
func (l Labelled) Attributes() map[string]string {
	if len(l.attributes) == 0 {
		return nil
	}
	all := make(map[string]string, len(l.attributes))
	for _, a := range l.attributes {
		all[a.name] = a.value
	}
	return all
}

// Bounds on a file of labels.
const (
	maxLabels     = 1 << 30 // bytes
	maxAttributes = 1000    // further columns
	maxAttribute  = 10_000  // bytes of a name or a value
)

// ReadLabels reads a file of labels as Options.Labels describes it. The names are paths below a folder, with slashes.
func ReadLabels(path string) ([]Labelled, error) {
	file, size, err := regularfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	defer file.Close()
	if size > maxLabels {
		return nil, fmt.Errorf("labels %s: is larger than %d MB", path, maxLabels>>20)
	}
	rows, err := parseLabels(io.LimitReader(file, maxLabels))
	if err != nil {
		return nil, fmt.Errorf("labels %s: %w", path, err)
	}
	return rows, nil
}

// parseLabels reads the rows of a CSV file with a header that has the columns file and label. Every further column that
// has a name is an attribute of those pictures that have a value there.
func parseLabels(r io.Reader) ([]Labelled, error) {
	table, err := csvtable.New(r, "file", "label")
	if err != nil {
		return nil, err
	}
	further, err := attributeColumns(table)
	if err != nil {
		return nil, err
	}
	var items []Labelled
	seen := map[string]int{}
	fileColumn, labelColumn := table.Column("file"), table.Column("label")
	err = table.Each(func(line int, row []string) error {
		name := row[fileColumn]
		label, err := strconv.Atoi(strings.TrimSpace(row[labelColumn]))
		switch {
		case err != nil:
			return fmt.Errorf("line %d: label %q of %s is not an integer", line, row[labelColumn], name)
		case label < -1 || label > 1<<31-1:
			return fmt.Errorf("line %d: label %d of %s is not a class index (0 or more, -1 for unknown)", line, label, name)
		case !filepath.IsLocal(filepath.FromSlash(name)):
			return fmt.Errorf("line %d: file %q is not a path below the folder", line, name)
		}
		same := norm.NFC.String(path.Clean(name)) // ./a.png is a.png, and an accent is the same however it is written
		if before := seen[same]; before > 0 {
			return fmt.Errorf("line %d: file %s is on line %d already", line, name, before)
		}
		seen[same] = line
		item := Labelled{Item: Item{Name: name, Label: label}}
		for _, c := range further {
			if c.index >= len(row) {
				break
			}
			value := strings.TrimSpace(row[c.index])
			if len(value) > maxAttribute {
				return fmt.Errorf("line %d: %q of %s is longer than %d bytes", line, c.name, name, maxAttribute)
			}
			if value != "" {
				item.attributes = append(item.attributes, attribute{c.name, value})
			}
		}
		slices.SortFunc(item.attributes, func(a, b attribute) int { return strings.Compare(a.name, b.name) })
		items = append(items, item)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, errors.New("names no pictures")
	}
	return items, nil
}

// attributeColumn is a further column of a file of labels.
type attributeColumn struct {
	name  string
	index int
}

// attributeColumns finds the columns beside file and label that have a name.
func attributeColumns(table *csvtable.Table) ([]attributeColumn, error) {
	var columns []attributeColumn
	for c, name := range table.Header {
		switch {
		case name == "" || strings.EqualFold(name, "file") || strings.EqualFold(name, "label"):
		case len(name) > maxAttribute:
			return nil, fmt.Errorf("has a column whose name is longer than %d bytes", maxAttribute)
		case len(columns) == maxAttributes:
			return nil, fmt.Errorf("has more than %d columns beside file and label", maxAttributes)
		case table.Twice(c):
			return nil, fmt.Errorf("has the column %q twice", name)
		default:
			columns = append(columns, attributeColumn{name, c})
		}
	}
	return columns, nil
}

// Indexed is a data set whose labels count the classes in the order in which models count them too, as those of ImageNet
// do: a model with as many classes means the same by a label, whatever it calls the class.
type Indexed interface {
	Dataset
	IndexedLabels() bool
}

// HasIndexedLabels reports whether ds, or a data set that it wraps or is a subset of, is [Indexed].
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
