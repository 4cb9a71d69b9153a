package pixelmask

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

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
// read before it is asked for, and everything may be called from many goroutines.
type Set struct {
	source     Source
	attributes []map[string]string // of each entry; nil without a file of labels
	limits     picture.Limits
	hash       func() (string, error)
}

// New is the data set of a source, whose entries have different names. With Options.Labels it has the pictures that the file
// of labels names, in its order and with its labels, which are class indices of a model: the classes have no names then.
func New(source Source, opts data.Options) (*Set, error) {
	s := &Set{source: source, limits: opts.Limits}
	s.hash = sync.OnceValues(s.hashAll)
	if opts.Labels == "" {
		return s, nil
	}
	rows, err := data.ReadLabels(opts.Labels)
	if err != nil {
		return nil, err
	}
	known := make(map[string]Entry, len(source.Entries))
	for _, e := range source.Entries {
		known[e.Name] = e
	}
	s.source.Classes, s.source.Entries = nil, make([]Entry, len(rows))
	s.attributes = make([]map[string]string, len(rows))
	for i, row := range rows {
		e, ok := known[row.Name]
		if !ok {
			return nil, fmt.Errorf("labels %s: names %s, which is not among the pictures (the first is %s)", opts.Labels, row.Name, source.Entries[0].Name)
		}
		e.Label = row.Label
		s.source.Entries[i], s.attributes[i] = e, row.Attributes
	}
	return s, nil
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
	if s.attributes == nil {
		return nil
	}
	return maps.Clone(s.attributes[i])
}

// Picture implements data.Dataset.
func (s *Set) Picture(i int) (*picture.Picture, error) {
	file, _ := s.source.Files(s.source.Entries[i])
	return picture.DecodeFile(file, s.limits)
}

// Mask implements data.Masked. A mask of another size than its picture is an error.
func (s *Set) Mask(i int) (*data.Mask, error) {
	e := s.source.Entries[i]
	file, maskFile := s.source.Files(e)
	numbers, err := picture.DecodeValues(maskFile, s.limits)
	if err != nil {
		return nil, err
	}
	width, height, err := picture.SizeFile(file, s.limits)
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

// Hash implements data.Dataset. It reads all pictures and masks once.
func (s *Set) Hash() (string, error) { return s.hash() }

func (s *Set) hashAll() (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s %d\n", s.source.Kind, s.Len())
	for i := range s.Len() {
		if err := s.describe(h, i); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// ItemHash implements data.ItemHasher.
func (s *Set) ItemHash(i int) (string, error) {
	h := sha256.New()
	if err := s.describe(h, i); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
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
	fmt.Fprintf(w, "%s %q %d %x mask %d %x", s.source.Kind, e.Name, e.Label, sum, e.ID, maskSum)
	attributes := s.Attributes(i)
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		fmt.Fprintf(w, " %q=%q", name, attributes[name])
	}
	fmt.Fprintln(w)
	return nil
}
