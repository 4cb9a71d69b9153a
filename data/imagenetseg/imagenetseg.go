// Package imagenetseg reads ImageNet-Segmentation: 4276 pictures of ImageNet with the outlines of their objects (Guillaumin,
// Kuettel and Ferrari, ImageNet Auto-Annotation with Segmentation Propagation, IJCV 2014), on which Chefer et al. (arXiv
// 2012.09838) and others measure. Importing it makes the kind known to data.Open:
//
//	imagenet-seg:FILE   gtsegs_ijcv.mat, or the directory that it is in
//
// The file is one of MATLAB 7.3, which is HDF5. Its struct "value" has four cell arrays: img, the pictures, uint8 [H, W, 3]
// in MATLAB; gt, for each picture a cell array of outlines, uint8 [H, W], 1 for the object and 0 for what is not, of which the
// first counts, as it does for Chefer et al.; id, the names, such as n01440764_10026; target, the WNIDs of the classes. A
// picture without a name is named after its class and number.
//
// A label is the position of the WNID among those of ImageNet-1k, or -1: the classes of the data set are not all of ImageNet-1k.
// The attribute "wnid" is known of all.
//
// To open the file reads the names and WNIDs. Pictures are read one at a time.
package imagenetseg

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unicode/utf16"

	"vitdecompose/data"
	"vitdecompose/data/picture"
	"vitdecompose/data/regularfile"
	"vitdecompose/data/wnid"
)

func init() {
	data.Register(data.Kind{
		Name: "imagenet-seg", Argument: "FILE", OwnLabels: true, Help: "ImageNet-Segmentation, gtsegs_ijcv.mat with its masks",
		Open: func(_ context.Context, argument string, _ data.Options) (data.Dataset, error) { return open(argument) },
	})
}

// fileName is what the file is called where it is published.
const fileName = "gtsegs_ijcv.mat"

const (
	maxPictures = 1 << 20
	maxText     = 1 << 10 // characters of a name or WNID
	maxOutlines = 1 << 10 // of a picture
)

// dataset is the pictures of a file.
type dataset struct {
	data.ItemHashes
	path  string
	file  *hdf5
	items []item
	limit uint64 // of the pixels of a picture
}

type item struct {
	name, wnid       string
	picture, outline uint64 // addresses: of the array, and of the cell array of outlines
}

func open(argument string) (*dataset, error) {
	if argument == "" {
		return nil, fmt.Errorf("names no file: want imagenet-seg:FILE, where FILE is %s", fileName)
	}
	if info, err := os.Stat(argument); err == nil && info.IsDir() {
		argument = filepath.Join(argument, fileName)
	}
	file, size, err := regularfile.Open(argument)
	if err != nil {
		return nil, err
	}
	// The file stays open as long as the program runs.
	d, err := read(file, size, argument, picture.DefaultMaxPixels)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return d, nil
}

// read finds the pictures in a file of the given size.
func read(r io.ReaderAt, size int64, path string, maxPixels uint64) (*dataset, error) {
	d := &dataset{path: path, limit: maxPixels}
	var err error
	if d.file, err = openHDF5(r, size); err == nil {
		err = d.index()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	d.ItemHashes = data.NewItemHashes(fmt.Sprintf("imagenet-seg %d\n", len(d.items)), len(d.items), d.describe)
	return d, nil
}

// index reads what is known of the pictures.
func (d *dataset) index() error {
	value, err := d.file.member(d.file.root, "value")
	if err != nil {
		return err
	}
	columns := map[string][]uint64{}
	for _, name := range []string{"img", "gt", "id", "target"} {
		address, err := d.file.member(value, name)
		if err != nil && name == "id" {
			continue // names can be made up
		}
		if err != nil {
			return err
		}
		if columns[name], err = d.cells(address, maxPictures); err != nil {
			return fmt.Errorf("value.%s: %w", name, err)
		}
		if n, want := len(columns[name]), len(columns["img"]); n != want || n == 0 {
			return fmt.Errorf("has %d pictures, and %d cells in value.%s", want, n, name)
		}
	}
	d.items = make([]item, len(columns["img"]))
	seen := make(map[string]bool, len(d.items))
	for i := range d.items {
		it := item{picture: columns["img"][i], outline: columns["gt"][i]}
		if it.wnid, err = d.text(columns["target"][i]); err != nil {
			return fmt.Errorf("class %d: %w", i+1, err)
		}
		if !wnid.Valid(it.wnid) {
			return fmt.Errorf("picture %d is of the class %.20q: want a WNID (nNNNNNNNN)", i+1, it.wnid)
		}
		if columns["id"] != nil {
			if it.name, err = d.text(columns["id"][i]); err != nil {
				it.name = "" // not a text
			}
		}
		if it.name == "" || seen[it.name] {
			it.name = fmt.Sprintf("%s_picture_%06d", it.wnid, i+1)
		}
		seen[it.name] = true
		d.items[i] = it
	}
	return nil
}

// cells reads a cell array of not more than limit cells: the addresses of what is in them.
func (d *dataset) cells(address, limit uint64) ([]uint64, error) {
	array, err := d.file.array(address)
	if err != nil {
		return nil, err
	}
	if array.class != classReference {
		return nil, broken("the array at %d is not one of cells", address)
	}
	raw, err := d.file.bytes(array, limit)
	if err != nil {
		return nil, err
	}
	cells := make([]uint64, len(raw)/offsetSize)
	for i := range cells {
		cells[i] = binary.LittleEndian.Uint64(raw[offsetSize*i:])
	}
	return cells, nil
}

// text reads an array of characters, which are numbers of 16 bits.
func (d *dataset) text(address uint64) (string, error) {
	array, err := d.file.array(address)
	if err != nil {
		return "", err
	}
	if array.class != classFixedPoint || array.width != 2 {
		return "", broken("the array at %d is not one of characters", address)
	}
	raw, err := d.file.bytes(array, maxText)
	if err != nil {
		return "", err
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(raw[2*i:])
	}
	return string(utf16.Decode(units)), nil
}

// colours is the number of values of a pixel of a picture; an outline has one.
const (
	colours = 3
	single  = 1
)

// pixels reads an array of bytes with the given number of values per pixel, and turns its axes: MATLAB's last axis is stored
// first. It gives [height, width, values].
func (d *dataset) pixels(address, values uint64) (pix []byte, width, height int, err error) {
	array, err := d.file.array(address)
	if err != nil {
		return nil, 0, 0, err
	}
	dims := array.dims
	if values == single && len(dims) == 2 {
		dims = []uint64{single, dims[0], dims[1]}
	}
	if array.class != classFixedPoint || array.width != 1 || len(dims) != 3 || dims[0] != values || dims[1] == 0 || dims[2] == 0 {
		return nil, 0, 0, broken("the array at %d, of size %v, is not one of bytes with %d values a pixel", address, array.dims, values)
	}
	if _, err := product(dims[1:], d.limit); err != nil {
		return nil, 0, 0, fmt.Errorf("the array at %d: %w", address, err)
	}
	raw, err := d.file.bytes(array, d.limit*values)
	if err != nil {
		return nil, 0, 0, err
	}
	width, height = int(dims[1]), int(dims[2])
	pix = make([]byte, len(raw))
	n := int(values)
	for c := range n {
		for x := range width {
			column := raw[(c*width+x)*height:][:height]
			for y, v := range column {
				pix[(y*width+x)*n+c] = v
			}
		}
	}
	return pix, width, height, nil
}

// Len implements data.Dataset.
func (d *dataset) Len() int { return len(d.items) }

// Classes implements data.Dataset: those of ImageNet-1k, called by their WNIDs.
func (d *dataset) Classes() []string { return wnid.ImageNet1k() }

// IndexedLabels implements data.Indexed.
func (d *dataset) IndexedLabels() bool { return true }

// Item implements data.Dataset.
func (d *dataset) Item(i int) data.Item {
	label, ok := wnid.Index(d.items[i].wnid)
	if !ok {
		label = -1
	}
	return data.Item{Name: d.items[i].name, Label: label}
}

// Attributes implements data.Attributed.
func (d *dataset) Attributes(i int) map[string]string {
	return map[string]string{"wnid": d.items[i].wnid}
}

// Picture implements data.Dataset.
func (d *dataset) Picture(i int) (*picture.Picture, error) {
	p := &picture.Picture{Mode: picture.RGB, Orientation: 1, Name: d.name(i)}
	var err error
	if p.Pix, p.Width, p.Height, err = d.pixels(d.items[i].picture, colours); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return p, nil
}

// name is what messages call picture i.
func (d *dataset) name(i int) string { return d.path + ": " + d.items[i].name }

// Mask implements data.Masked.
func (d *dataset) Mask(i int) (*data.Mask, error) {
	mask, err := d.mask(i)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.name(i), err)
	}
	return mask, nil
}

func (d *dataset) mask(i int) (*data.Mask, error) {
	outlines, err := d.cells(d.items[i].outline, maxOutlines)
	if err != nil {
		return nil, err
	}
	if len(outlines) == 0 {
		return nil, errors.New("has no outline")
	}
	m := &data.Mask{}
	if m.Pix, m.Width, m.Height, err = d.pixels(outlines[0], single); err != nil {
		return nil, err
	}
	for at, v := range m.Pix {
		if v != data.MaskBackground && v != data.MaskObject {
			return nil, fmt.Errorf("the outline is %d at row %d, column %d: want 0 or 1", v, at/m.Width, at%m.Width)
		}
	}
	array, err := d.file.array(d.items[i].picture)
	if err != nil {
		return nil, err
	}
	if dims := array.dims; len(dims) != 3 || dims[1] != uint64(m.Width) || dims[2] != uint64(m.Height) {
		return nil, fmt.Errorf("the outline is of %d x %d pixels, its picture an array of size %v: they must have the same size", m.Width, m.Height, dims)
	}
	return m, nil
}

// describe writes a line about picture i: its name and class, its pixels and its mask's. How they are stored does not matter.
func (d *dataset) describe(w io.Writer, i int) error {
	p, err := d.Picture(i)
	if err != nil {
		return err
	}
	mask, err := d.Mask(i)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%q %s %d %d %x mask %x\n", d.items[i].name, d.items[i].wnid, p.Width, p.Height, sha256.Sum256(p.Pix), sha256.Sum256(mask.Pix))
	return err
}
