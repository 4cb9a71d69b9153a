// Package data reads collections of pictures with their labels.
//
// A collection is named on the command line as KIND:ARGUMENT and opened with
// [Open]:
//
//	folder:DIR          pictures in one sub-folder per class, or in DIR itself
//	                    with a CSV file of labels (Options.Labels)
//	scenes:N[:SEED]     N drawn scenes, and scenes-birds:N[:SEED[:correlated]], the
//	                    drawn Waterbirds; import vitdecompose/data/scenes
//	imagenet:PATH       ImageNet-1k; import vitdecompose/data/imagenet
//	imagenet-s:DIR      ImageNet pictures with masks, and pixelimagenet:DIR; import
//	                    vitdecompose/data/pixelmask
//	imagenet-seg:FILE   ImageNet-Segmentation; import vitdecompose/data/imagenetseg
//	voc:DIR             Pascal VOC 2012; import vitdecompose/data/voc
//	waterbirds:DIR      Waterbirds; import vitdecompose/data/waterbirds
//	hf:REPO or hf:DIR   parquet data sets of the Hugging Face Hub; import
//	                    vitdecompose/data/hf
//
// Kinds are registered by the packages that read them, with [Register]. Pictures
// are decoded one at a time when they are asked for: a data set holds names and
// labels only, however many pictures there are.
//
//	ds, err := data.Open("folder:photos", data.Options{Labels: "labels.csv"})
//	if err != nil { ... }
//	for i := range ds.Len() {
//		p, err := ds.Picture(i)
//		...
//	}
package data

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"vitdecompose/data/picture"
)

// Item is what is known about a picture without decoding it.
type Item struct {
	Name  string // unique within the data set; of a file, its path below the folder, with slashes
	Label int    // class index, -1 when unknown
}

// Dataset is an ordered collection of pictures.
type Dataset interface {
	Len() int
	// Classes are the names of the classes by index, nil when unknown.
	Classes() []string
	// Item describes picture i, 0 <= i < Len().
	Item(i int) Item
	// Picture decodes picture i. It may be called from many goroutines.
	Picture(i int) (*picture.Picture, error)
	// Hash is the SHA-256, in hex, of all pictures, their names and labels, in
	// order. It may read everything there is.
	Hash() (string, error)
}

// Options are the settings of [Open] that a kind may need.
type Options struct {
	// Labels is a CSV file with the columns file and label (class index). Each
	// further column is something known about the pictures, such as color or
	// location, with an empty field where it is not known (see [Attributes]); one
	// without a name is ignored. The file also fixes which pictures there are and
	// their order.
	Labels string
	// Limits bounds what is decoded; the zero value means the defaults.
	Limits picture.Limits
}

var registry = struct {
	sync.Mutex
	kinds map[string]func(argument string, opts Options) (Dataset, error)
}{kinds: map[string]func(string, Options) (Dataset, error){"folder": openFolder}}

// Register makes a kind of data set known to [Open]. Registering a kind again
// replaces it.
func Register(kind string, open func(argument string, opts Options) (Dataset, error)) {
	registry.Lock()
	defer registry.Unlock()
	registry.kinds[kind] = open
}

// Kinds lists the registered kinds, sorted.
func Kinds() []string {
	registry.Lock()
	defer registry.Unlock()
	var kinds []string
	for kind := range registry.kinds {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// Open opens a data set named KIND:ARGUMENT.
func Open(spec string, opts Options) (Dataset, error) {
	kind, argument, ok := strings.Cut(spec, ":")
	if !ok {
		return nil, fmt.Errorf("data %q: want KIND:ARGUMENT, such as folder:DIR or scenes:1000", spec)
	}
	registry.Lock()
	open := registry.kinds[kind]
	registry.Unlock()
	if open == nil {
		return nil, fmt.Errorf("data %q: unknown kind %q (known: %s)", spec, kind, strings.Join(Kinds(), ", "))
	}
	return open(argument, opts)
}
