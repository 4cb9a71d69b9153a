package pixelmask

import (
	"fmt"
	"io"
	"slices"

	"vitdecompose/data"
	"vitdecompose/data/picture"
)

// Entry is a picture, and what in its mask is its object.
type Entry struct {
	data.Item
	ID int // number of the item's class in the mask, where masks have such numbers
}

// Source says what a [Set] is made of.
type Source struct {
	Kind    string   // of data.Open, such as "voc"
	Classes []string // nil when unknown
	Indexed bool     // the labels count classes as ImageNet does; see data.Indexed
	Entries []Entry
	// Files are the files of an entry's picture and of its mask.
	Files func(e Entry) (picture, mask string)
	// Object turns the numbers in an entry's mask file into the values of a data.Mask. The numbers are its to keep.
	Object func(e Entry, numbers *picture.Values) ([]uint8, error)
}

// Set is pictures with a mask each. It implements data.Masked, data.Attributed, data.Indexed and data.ItemHasher. Nothing is
// read before it is needed, and everything may be called from many goroutines.
type Set struct {
	data.ItemHashes
	source   Source
	labelled []data.Labelled // the rows of the file of labels, one for each entry; nil without one
}

// New is the data set of a source, whose entries have different names. With Options.Labels it has the pictures that the file
// of labels names, in its order and with its labels, which are class indices of a model: the classes have no names then.
func New(source Source, opts data.Options) (*Set, error) {
	s := &Set{source: source}
	if opts.Labels != "" {
		if err := s.label(opts.Labels); err != nil {
			return nil, err
		}
	}
	s.ItemHashes = data.NewItemHashes(fmt.Sprintf("%s %d\n", source.Kind, s.Len()), s.Len(), s.describe)
	return s, nil
}

// label takes the entries that a file of labels names.
func (s *Set) label(path string) (err error) {
	if s.labelled, err = data.ReadLabels(path); err != nil {
		return err
	}
	known := make(map[string]Entry, s.Len())
	for _, e := range s.source.Entries {
		known[e.Name] = e
	}
	first := s.source.Entries[0].Name
	s.source.Classes, s.source.Entries = nil, make([]Entry, len(s.labelled))
	for i, row := range s.labelled {
		e, ok := known[row.Name]
		if !ok {
			return fmt.Errorf("labels %s: names %s, which is not among the pictures (the first is %s)", path, row.Name, first)
		}
		e.Label = row.Label
		s.source.Entries[i] = e
	}
	return nil
}

// Len implements data.Dataset.
func (s *Set) Len() int { return len(s.source.Entries) }

// Classes implements data.Dataset.
func (s *Set) Classes() []string { return slices.Clone(s.source.Classes) }

// IndexedLabels implements data.Indexed.
func (s *Set) IndexedLabels() bool { return s.source.Indexed }

// Item implements data.Dataset.
func (s *Set) Item(i int) data.Item { return s.source.Entries[i].Item }

// Attributes implements data.Attributed.
func (s *Set) Attributes(i int) map[string]string {
	if s.labelled == nil {
		return nil
	}
	return s.labelled[i].Attributes()
}

// Picture implements data.Dataset.
func (s *Set) Picture(i int) (*picture.Picture, error) {
	file, _ := s.source.Files(s.source.Entries[i])
	return picture.DecodeFile(file, picture.Limits{})
}

// Mask implements data.Masked. A mask of another size than its picture is an error.
func (s *Set) Mask(i int) (*data.Mask, error) {
	e := s.source.Entries[i]
	file, maskFile := s.source.Files(e)
	numbers, err := picture.DecodeValues(maskFile, picture.Limits{})
	if err != nil {
		return nil, err
	}
	width, height, err := picture.SizeFile(file, picture.Limits{})
	if err != nil {
		return nil, err
	}
	if numbers.Width != width || numbers.Height != height {
		return nil, fmt.Errorf("%s: the mask is of %d x %d pixels, its picture %s of %d x %d", maskFile, numbers.Width, numbers.Height, file, width, height)
	}
	pix, err := s.source.Object(e, numbers)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", maskFile, err)
	}
	return &data.Mask{Width: width, Height: height, Pix: pix}, nil
}

// describe writes a line about picture i: its name, label and attributes, its bytes and its mask's.
func (s *Set) describe(w io.Writer, i int) error {
	e := s.source.Entries[i]
	file, maskFile := s.source.Files(e)
	sum, err := picture.HashFile(file)
	if err != nil {
		return err
	}
	maskSum, err := picture.HashFile(maskFile)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%s %q %d %x mask %d %x", s.source.Kind, e.Name, e.Label, sum, e.ID, maskSum); err != nil {
		return err
	}
	return data.DescribeAttributes(w, s.Attributes(i))
}
