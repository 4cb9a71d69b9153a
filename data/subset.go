package data

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"

	"vitdecompose/data/picture"
)

// ItemHasher is a data set that can hash one picture without reading the others.
type ItemHasher interface {
	Dataset
	// ItemHash is the SHA-256, in hex, of picture i and all that is known about it: its name, label and attributes. It
	// may be called from many goroutines.
	ItemHash(i int) (string, error)
}

// Subset is the pictures of ds with the given indices, in their order. It knows the attributes and masks that ds, or a data
// set that it wraps, knows. Its hash depends on the pictures that it has and not on the others, where ds is or wraps an
// [ItemHasher]; else on the whole of ds and the indices. It is not a [Wrapper]: its pictures are not one for one those of
// ds. An index that is out of range is a mistake of the program, and Subset panics as indexing does.
func Subset(ds Dataset, indices []int) Dataset {
	n := ds.Len()
	for _, i := range indices {
		if i < 0 || i >= n {
			panic(fmt.Sprintf("data: index %d of a data set of %d pictures", i, n))
		}
	}
	s := subset{ds, slices.Clone(indices)}
	if inner, ok := ds.(interface{ whole() subset }); ok { // the order in which pictures are stored is that of the whole
		s.base = inner.whole().base
		for k, i := range s.indices {
			s.indices[k] = inner.whole().indices[i]
		}
	}
	if HasMasks(s.base) {
		return maskedSubset{s}
	}
	return s
}

// First is the first n pictures of ds, all of them when it has no more.
func First(ds Dataset, n int) Dataset {
	if n >= ds.Len() {
		return ds
	}
	return Subset(ds, upTo(max(n, 0)))
}

// Shuffled is the pictures of ds in the order [Permutation] of a seed.
func Shuffled(ds Dataset, seed uint64) Dataset { return Subset(ds, Permutation(ds.Len(), seed)) }

// Permutation is the numbers 0..n-1 in an order that depends on the seed alone: it is the same on every platform and in
// every Go release. (Fisher and Yates' shuffle, with PCG-DXSM and Lemire's draw from a range, arXiv 1805.10941. It is
// written out because package rand may change how it draws.)
func Permutation(n int, seed uint64) []int {
	order := upTo(n)
	source := rand.NewPCG(seed, 0)
	for i := n - 1; i > 0; i-- {
		j := below(source, uint64(i)+1)
		order[i], order[j] = order[j], order[i]
	}
	return order
}

func upTo(n int) []int {
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = i
	}
	return numbers
}

// below draws uniformly from 0..n-1.
func below(source *rand.PCG, n uint64) uint64 {
	high, low := bits.Mul64(source.Uint64(), n)
	if low < n {
		for threshold := -n % n; low < threshold; {
			high, low = bits.Mul64(source.Uint64(), n)
		}
	}
	return high
}

// subset is some of the pictures of another data set.
type subset struct {
	base    Dataset
	indices []int // in base
}

// Len implements Dataset.
func (s subset) Len() int { return len(s.indices) }

// Classes implements Dataset.
func (s subset) Classes() []string { return s.base.Classes() }

// Item implements Dataset.
func (s subset) Item(i int) Item { return s.base.Item(s.indices[i]) }

// Picture implements Dataset.
func (s subset) Picture(i int) (*picture.Picture, error) { return s.base.Picture(s.indices[i]) }

// Attributes implements Attributed.
func (s subset) Attributes(i int) map[string]string { return Attributes(s.base, s.indices[i]) }

// whole is s itself, also of a maskedSubset.
func (s subset) whole() subset { return s }

// Hash implements Dataset.
func (s subset) Hash() (string, error) {
	itemHash := itemHasher(s.base)
	if itemHash == nil {
		return s.hashAll()
	}
	// The pictures are read in the order in which they are stored, which matters where they are parts of a large file.
	order := upTo(len(s.indices))
	slices.SortFunc(order, func(a, b int) int { return s.indices[a] - s.indices[b] })
	sums := make([]string, len(s.indices))
	for _, at := range order {
		var err error
		if sums[at], err = itemHash(s.indices[at]); err != nil {
			return "", err
		}
	}
	h := sha256.New()
	fmt.Fprintf(h, "pictures %d\n", len(sums))
	for i, sum := range sums {
		// A wrapper between the two may have changed the label.
		fmt.Fprintln(h, sum, s.Item(i).Label)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// hashAll hashes the whole data set and which of its pictures these are.
func (s subset) hashAll() (string, error) {
	sum, err := s.base.Hash()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "subset of %d of %s\n", len(s.indices), sum)
	for _, i := range s.indices {
		fmt.Fprintln(h, i)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// itemHasher is the ItemHash of ds, or of a data set that it wraps or is a subset of; nil where there is none.
func itemHasher(ds Dataset) func(i int) (string, error) {
	switch ds := ds.(type) {
	case ItemHasher:
		return ds.ItemHash
	case interface{ whole() subset }:
		s := ds.whole()
		if itemHash := itemHasher(s.base); itemHash != nil {
			return func(i int) (string, error) { return itemHash(s.indices[i]) }
		}
	case Wrapper:
		return itemHasher(ds.Unwrap())
	}
	return nil
}

// maskedSubset knows masks.
type maskedSubset struct{ subset }

// Mask implements Masked.
func (s maskedSubset) Mask(i int) (*Mask, error) { return MaskOf(s.base, s.indices[i]) }
