package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// feature is what the library datasets writes of a column into the file's metadata.
type feature struct {
	Type  string   `json:"_type"`
	Names []string `json:"names"` // of classes
}

// features reads the entry "huggingface" of the metadata; nil when there is none. What is not understood is left out.
func (t *table) features() map[string]feature {
	text, ok := t.Lookup("huggingface")
	if !ok {
		return nil
	}
	var described struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	if json.Unmarshal([]byte(text), &described) != nil {
		return nil
	}
	features := map[string]feature{}
	for name, text := range described.Info.Features {
		var f feature
		if json.Unmarshal(text, &f) == nil { // lists are described by lists
			features[name] = f
		}
	}
	return features
}

// choice is the columns that are used, by name.
type choice struct {
	image, label string // label is "" when there is none
}

// columns are those of a file that are used.
type columns struct {
	image, label *parquet.Column // label is nil when there is none
	classes      []string        // nil when they have no names
	further      []further
}

// further is a column that is an attribute.
type further struct {
	name    string
	column  *parquet.Column
	classes []string // of a class label; nil for text
}

// columns finds the columns. Where want leaves one open it is the only one that fits, or one that is called as usual.
func (t *table) columns(want choice) (c columns, err error) {
	features := t.features()
	pictures, labels := map[string]*parquet.Column{}, map[string]*parquet.Column{}
	for _, column := range t.Root().Columns() {
		name := column.Name()
		described := features[name]
		if leaf := pictureBytes(column, described.Type == "Image"); leaf != nil {
			pictures[name] = leaf
		}
		if isInteger(column) && (described.Type == "ClassLabel" || slices.Contains(usualLabels, name) || name == want.label) {
			labels[name] = column
		}
	}
	ofType := func(kind string) func(name string) bool {
		return func(name string) bool { return features[name].Type == kind }
	}
	image, err := pick("pictures", "image", pictures, ofType("Image"), usualImages, want.image)
	if err != nil {
		return c, err
	}
	if image == "" {
		return c, errors.New("has no column of pictures: want a struct with the field bytes, as the library datasets stores its feature Image")
	}
	label, err := pick("labels", "label", labels, ofType("ClassLabel"), usualLabels, want.label)
	if err != nil {
		return c, err
	}
	c.image, c.label = pictures[image], labels[label]
	if label != "" && features[label].Type == "ClassLabel" {
		c.classes = features[label].Names
	}
	for _, column := range t.Root().Columns() {
		name := column.Name()
		switch described := features[name]; {
		case name == image || name == label || len(c.further) == maxAttributes:
		case isInteger(column) && described.Type == "ClassLabel" && len(described.Names) > 0:
			c.further = append(c.further, further{name, column, described.Names})
		case isText(column):
			c.further = append(c.further, further{name, column, nil})
		}
	}
	slices.SortFunc(c.further, func(a, b further) int { return strings.Compare(a.name, b.name) })
	return c, nil
}

var (
	usualImages = []string{"image", "img"}
	usualLabels = []string{"label", "labels"}
)

// pick finds one of several columns: the one that is wanted, the only one that is described as such, or the only one; or
// one that is called as usual.
func pick(what, field string, all map[string]*parquet.Column, described func(name string) bool,
	usual []string, want string) (string, error) {
	var names, marked []string
	for name := range all {
		names = append(names, name)
		if described(name) {
			marked = append(marked, name)
		}
	}
	slices.Sort(names)
	if want != "" {
		if all[want] == nil {
			return "", fmt.Errorf("has no column %q of %s (there is %s)", want, what, orNone(names))
		}
		return want, nil
	}
	if len(marked) > 0 {
		slices.Sort(marked)
		names = marked
	}
	if len(names) < 2 {
		return strings.Join(names, ""), nil
	}
	for _, name := range usual {
		if slices.Contains(names, name) {
			return name, nil
		}
	}
	return "", fmt.Errorf("has %s in the columns %s: say which by adding :%s=%s", what, strings.Join(names, ", "), field, names[0])
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// pictureBytes is the leaf of a column that has the files of pictures: bytes in a struct, or bytes that are no text where
// the metadata or the name says that they are a picture.
func pictureBytes(column *parquet.Column, described bool) *parquet.Column {
	leaf := column
	if !column.Leaf() {
		if leaf = column.Column("bytes"); leaf == nil || !leaf.Leaf() {
			return nil
		}
	} else if isText(column) || !described && !slices.Contains(usualImages, column.Name()) {
		return nil
	}
	if leaf.Type().Kind() != parquet.ByteArray || leaf.MaxRepetitionLevel() > 0 {
		return nil
	}
	return leaf
}

func isInteger(column *parquet.Column) bool {
	if !column.Leaf() || column.MaxRepetitionLevel() > 0 {
		return false
	}
	kind := column.Type().Kind()
	return kind == parquet.Int32 || kind == parquet.Int64
}

func isText(column *parquet.Column) bool {
	if !column.Leaf() || column.MaxRepetitionLevel() > 0 || column.Type().Kind() != parquet.ByteArray {
		return false
	}
	if logical := column.Type().LogicalType(); logical != nil {
		_, ok := logical.Value.(*format.StringType)
		return ok
	}
	converted := column.Type().ConvertedType()
	return converted != nil && *converted == deprecated.UTF8
}
