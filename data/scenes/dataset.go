package scenes

import (
	"context"
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
	data.Register(data.Kind{
		Name: "scenes", Argument: "N[:SEED[:background|silhouette]]", OwnLabels: true, Help: "N scenes that the program draws",
		Open: func(_ context.Context, argument string, _ data.Options) (data.Dataset, error) { return open(argument) },
	})
}

// open reads N, N:SEED or N:SEED:PART.
func open(argument string) (*Dataset, error) {
	n, seed, rest, err := drawn("scenes:N, scenes:N:SEED or scenes:N:SEED:PART", argument)
	if err != nil {
		return nil, err
	}
	part, err := ParsePart(rest)
	if err != nil {
		return nil, err
	}
	return New(seed, n).Of(part), nil
}

// drawn reads how many scenes are wanted, of which seed, and what else, "" where nothing is.
func drawn(want, argument string) (n int, seed uint64, rest string, err error) {
	fields := append(strings.SplitN(argument, ":", 3), "", "")
	if n, err = strconv.Atoi(fields[0]); err != nil || n < 1 {
		return 0, 0, "", fmt.Errorf("%q is not a number of scenes: want %s", fields[0], want)
	}
	if strings.Contains(argument, ":") {
		if seed, err = strconv.ParseUint(fields[1], 10, 64); err != nil || seed >= TrainSeeds {
			return 0, 0, "", fmt.Errorf("%q is not a seed: want 0 to %d", fields[1], TrainSeeds-1)
		}
	}
	return n, seed, fields[2], nil
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
