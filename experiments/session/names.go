package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gomlx/compute"

	"vitdecompose/data"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/mark"
	"vitdecompose/gomlxvit/zoo"
)

// What is taken where nothing else is named.
const (
	DefaultModel    = "deit-mini"
	DefaultPictures = "scenes:1000"
	DefaultBatch    = 8
	// TrainingScenes are what heads and alignments are trained on where scenes are looked at: none of the scenes that a
	// data set without a seed has.
	TrainingScenes = "scenes:8000:1"
)

// UnknownModelError says that there is no model of a name.
type UnknownModelError struct{ message string }

// Error implements error. The message begins with the name.
func (e *UnknownModelError) Error() string { return e.message }

// Checkpoint opens a shipped model, a checkpoint directory, a file of weights or hf:owner/repo, with what is said of it. A
// name that can be none of them gives an [*UnknownModelError].
func Checkpoint(ctx context.Context, name string, given checkpoint.Given) (*checkpoint.Checkpoint, error) {
	if zoo.Has(name) {
		if given.Config != nil {
			return nil, fmt.Errorf("%s is a shipped model, whose configuration is known: option Config and option Arch are for others", name)
		}
		return zoo.Open(name)
	}
	if repo, ok := strings.CutPrefix(name, "hf:"); ok {
		return checkpoint.EnvHub().OpenGiven(ctx, repo, given)
	}
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		if slices.Contains(gomlxvit.Names(), name) {
			return nil, &UnknownModelError{name + " is an architecture, and no weights ship with it; name a directory with its checkpoint, or hf:owner/repo"}
		}
		if !strings.ContainsRune(name, filepath.Separator) {
			return nil, &UnknownModelError{cmp.Or(name, `""`) + " is neither a shipped model nor a directory or file; `vitdecompose models` lists the shipped ones, hf:owner/repo names one of the Hugging Face Hub"}
		}
	}
	return checkpoint.OpenGiven(name, given)
}

// given is what options Config and Arch say of the model's checkpoint.
func (o *Options) given() (checkpoint.Given, error) {
	switch {
	case o.Arch != "" && o.Config != "":
		return checkpoint.Given{}, wrong("Arch", errors.New("option Config names a file that says the architecture; give one of the two"))
	case o.Arch != "":
		config, basis, err := gomlxvit.Configuration(o.Arch)
		return checkpoint.Given{Config: config, ConfigFile: "architecture " + o.Arch, NameOnly: true, Basis: basis}, wrong("Arch", err)
	case o.Config != "":
		config, err := checkpoint.ReadConfig(o.Config)
		return checkpoint.Given{Config: config, ConfigFile: o.Config}, wrong("Config", err)
	}
	return checkpoint.Given{}, nil
}

// ShortNames are what figures call models: a checkpoint directory or file by its own name, without the path to it, unless
// another model would be called the same.
func ShortNames(names []string) []string {
	short := slices.Clone(names)
	count := make(map[string]int)
	for i, name := range names {
		if _, err := os.Stat(name); err == nil && !zoo.Has(name) {
			if path, err := filepath.Abs(name); err == nil {
				short[i] = filepath.Base(path)
			}
		}
		count[short[i]]++
	}
	for i := range short {
		if count[short[i]] > 1 {
			short[i] = names[i]
		}
	}
	return short
}

// Dataset is the name of a data set for [data.Open]: a directory may be named without its kind.
func Dataset(name string) string {
	if data.HasKind(Kind(name)) {
		return name
	}
	if _, err := os.Stat(name); err == nil {
		return "folder:" + name
	}
	return name
}

// Kind is the kind of a data set, "" where none is named.
func Kind(name string) string {
	kind, _, ok := strings.Cut(name, ":")
	if !ok {
		return ""
	}
	return kind
}

// Drawn reports whether a data set is of the drawn world, which the shipped models know.
func Drawn(name string) bool {
	kind := Kind(Dataset(name))
	return kind == "scenes" || kind == "scenes-birds"
}

// ParseBlocks reads "7..11", "7", "7.." to the end, or the same with the names that blocks of staged models have,
// "(2,14)..(3,1)", and returns the first and the last block by their order.
func ParseBlocks(text string, blocks []mark.Block) (first, last int, err error) {
	from, to, isRange := strings.Cut(text, "..")
	if !isRange {
		to = from
	}
	find := func(name string) int {
		for _, b := range blocks {
			if name == strconv.Itoa(b.Order) || b.Staged && name == fmt.Sprintf("(%d,%d)", b.Stage, b.Index) {
				return b.Order
			}
		}
		return -1
	}
	count := len(blocks)
	first, last = find(strings.ReplaceAll(from, " ", "")), find(strings.ReplaceAll(to, " ", ""))
	if to == "" {
		last = count - 1
	}
	if first < 0 || first > last {
		names := ""
		if end := blocks[count-1]; end.Staged {
			names = fmt.Sprintf(" or (0,0)..(%d,%d)", end.Stage, end.Index)
		}
		return 0, 0, fmt.Errorf("%q is not a range FIRST..LAST within 0..%d%s", text, count-1, names)
	}
	return first, last, nil
}

// Backend opens what computes, as GOMLX_BACKEND says. A process has one of each kind: tensors do not move between two.
func Backend() (compute.Backend, error) {
	open, _ := backends.LoadOrStore(os.Getenv("GOMLX_BACKEND"), sync.OnceValues(func() (compute.Backend, error) { return backend.Open("") }))
	return open.(func() (compute.Backend, error))()
}

var backends sync.Map // from GOMLX_BACKEND to the function that opens it once
