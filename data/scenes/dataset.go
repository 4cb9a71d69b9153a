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

// open reads N or N:SEED.
func open(argument string) (*Dataset, error) {
	count, seedText, hasSeed := strings.Cut(argument, ":")
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 {
		return nil, fmt.Errorf("data scenes:%s: %q is not a number of scenes: want scenes:N or scenes:N:SEED", argument, count)
	}
	seed := uint64(0)
	if hasSeed {
		if seed, err = strconv.ParseUint(seedText, 10, 64); err != nil || seed >= TrainSeeds {
			return nil, fmt.Errorf("data scenes:%s: %q is not a seed: want 0 to %d", argument, seedText, TrainSeeds-1)
		}
	}
	return New(seed, n), nil
}

// Dataset is the scenes 0..n-1 of a seed.
type Dataset struct {
	seed uint64
	n    int
}

// New is the data set of the first n scenes of a seed.
func New(seed uint64, n int) *Dataset { return &Dataset{seed, n} }

func (d *Dataset) Len() int          { return d.n }
func (d *Dataset) Classes() []string { return slices.Clone(Classes) }

// Item names scene i by its seed and index.
func (d *Dataset) Item(i int) data.Item {
	return data.Item{Name: fmt.Sprintf("scene-%d-%06d", d.seed, i), Label: Sample(d.seed, uint64(i)).Class}
}

// Scene draws scene i with all that is known about it.
func (d *Dataset) Scene(i int) *Scene { return Draw(d.seed, uint64(i)) }

// Picture draws scene i.
func (d *Dataset) Picture(i int) (*picture.Picture, error) {
	p := d.Scene(i).Picture()
	p.Name = d.Item(i).Name
	return p, nil
}

// Hash depends on Version, seed and number alone: they determine every byte.
func (d *Dataset) Hash() (string, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "scenes version %d seed %d n %d", Version, d.seed, d.n))
	return hex.EncodeToString(sum[:]), nil
}
