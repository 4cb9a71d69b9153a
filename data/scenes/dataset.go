package scenes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"vitdecompose/data"
	"vitdecompose/data/picture"
)

func init() {
	data.Register("scenes", func(argument string, opts data.Options) (data.Dataset, error) {
		if opts.Labels != "" {
			return nil, fmt.Errorf("data scenes:%s: scenes have their own labels, %s cannot be used", argument, opts.Labels)
		}
		return open(argument)
	})
}

// open reads N, N:SEED or N:SEED:PART.
func open(argument string) (*Dataset, error) {
	fields := strings.SplitN(argument, ":", 3)
	n, err := strconv.Atoi(fields[0])
	if err != nil || n < 1 {
		return nil, fmt.Errorf("data scenes:%s: %q is not a number of scenes: want scenes:N, scenes:N:SEED or scenes:N:SEED:PART", argument, fields[0])
	}
	d := New(0, n)
	if len(fields) > 1 {
		if d.seed, err = strconv.ParseUint(fields[1], 10, 64); err != nil || d.seed >= TrainSeeds {
			return nil, fmt.Errorf("data scenes:%s: %q is not a seed: want 0 to %d", argument, fields[1], TrainSeeds-1)
		}
	}
	if len(fields) > 2 {
		if d.part, err = ParsePart(fields[2]); err != nil {
			return nil, fmt.Errorf("data scenes:%s: %w", argument, err)
		}
	}
	return d, nil
}

// Dataset is the scenes 0..n-1 of a seed, or a part of each.
type Dataset struct {
	seed uint64
	n    int
	part Part
}

// New is the data set of the first n scenes of a seed.
func New(seed uint64, n int) *Dataset { return &Dataset{seed: seed, n: n} }

// Of is the data set of a part of the same scenes.
func (d *Dataset) Of(part Part) *Dataset { return &Dataset{d.seed, d.n, part} }

func (d *Dataset) Len() int          { return d.n }
func (d *Dataset) Classes() []string { return slices.Clone(Classes) }

// Item names scene i by its seed and index.
func (d *Dataset) Item(i int) data.Item {
	return data.Item{Name: fmt.Sprintf("scene-%d-%06d", d.seed, i), Label: d.Spec(i).Class}
}

// Spec is what scene i shows, without drawing it.
func (d *Dataset) Spec(i int) Spec { return Sample(d.seed, uint64(i)) }

// Scene draws scene i with all that is known about it.
func (d *Dataset) Scene(i int) *Scene { return DrawPart(d.part, d.seed, uint64(i)) }

// Picture draws scene i.
func (d *Dataset) Picture(i int) (*picture.Picture, error) {
	p := d.Scene(i).Picture()
	p.Name = d.Item(i).Name
	return p, nil
}

// Mask implements data.Masked: where the object of scene i is, nowhere in a background alone.
func (d *Dataset) Mask(i int) (*data.Mask, error) { return d.Scene(i).mask(), nil }

// Hash depends on Version, seed, number and part alone: they determine every byte.
func (d *Dataset) Hash() (string, error) {
	what := fmt.Sprintf("scenes version %d seed %d n %d", Version, d.seed, d.n)
	if d.part != Whole {
		what += fmt.Sprintf(" %s", d.part)
	}
	sum := sha256.Sum256([]byte(what))
	return hex.EncodeToString(sum[:]), nil
}
