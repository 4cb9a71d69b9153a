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
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"vitdecompose/data/picture"
	"vitdecompose/data/printable"
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
}

// Kind is a way to store pictures, and what opens it.
type Kind struct {
	Name      string // what data sets of this kind are named by, before the colon
	Argument  string // what follows the colon, such as "DIR[:train|val]"
	Help      string // what it reads, in a line
	OwnLabels bool   // Options.Labels cannot be used
	// Open opens a data set. Its errors need not name it. What takes long ends when the context does.
	Open func(ctx context.Context, argument string, opts Options) (Dataset, error)
}

var registry = struct {
	sync.Mutex
	kinds map[string]Kind
}{kinds: map[string]Kind{"folder": folderKind}}

// Register makes a kind of data set known to [Open]. Registering a name again
// replaces it.
func Register(kind Kind) {
	registry.Lock()
	defer registry.Unlock()
	registry.kinds[kind.Name] = kind
}

// Kinds lists the registered kinds, sorted by name.
func Kinds() []Kind {
	registry.Lock()
	defer registry.Unlock()
	return slices.SortedFunc(maps.Values(registry.kinds), func(a, b Kind) int { return strings.Compare(a.Name, b.Name) })
}

// HasKind reports whether a kind of that name is registered.
func HasKind(name string) bool {
	registry.Lock()
	defer registry.Unlock()
	_, ok := registry.kinds[name]
	return ok
}

// Open opens a data set named KIND:ARGUMENT, or a folder by its path alone.
func Open(spec string, opts Options) (Dataset, error) {
	return OpenContext(context.Background(), spec, opts)
}

// OpenContext is [Open] until a context ends, such as that of a program which is interrupted while it downloads.
func OpenContext(ctx context.Context, spec string, opts Options) (Dataset, error) {
	ds, err := open(ctx, spec, opts)
	if err != nil {
		return nil, printable.Error(fmt.Errorf("data %s: %w", spec, err))
	}
	return ds, nil
}

func open(ctx context.Context, spec string, opts Options) (Dataset, error) {
	name, argument, named := strings.Cut(spec, ":")
	registry.Lock()
	kind, known := registry.kinds[name]
	registry.Unlock()
	if !known || !named {
		if info, err := os.Stat(spec); err == nil && info.IsDir() {
			return folderKind.Open(ctx, spec, opts)
		}
		var names []string
		for _, kind := range Kinds() {
			names = append(names, kind.Name)
		}
		if named {
			return nil, fmt.Errorf("there is no folder of that name, and no kind of data set %q: want folder:DIR, or KIND:ARGUMENT with one of the kinds %s",
				name, strings.Join(names, ", "))
		}
		return nil, fmt.Errorf("there is no folder %q: want folder:DIR, or KIND:ARGUMENT with one of the kinds %s", spec, strings.Join(names, ", "))
	}
	if kind.OwnLabels && opts.Labels != "" {
		return nil, fmt.Errorf("its pictures have their own labels, so %s cannot be used", opts.Labels)
	}
	return kind.Open(ctx, argument, opts)
}
