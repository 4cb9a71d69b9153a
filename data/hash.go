package data

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
)

// ItemHashes gives a data set that embeds it the methods of an [ItemHasher]. [NewItemHashes] makes it.
type ItemHashes struct {
	all      func() (string, error)
	describe func(w io.Writer, i int) error
}

// NewItemHashes hashes n pictures by a line about each, which describe writes: all that is known about the picture and the
// hash of its bytes. Describe may be called from many goroutines. The hash of all, below a heading, is computed once.
func NewItemHashes(heading string, n int, describe func(w io.Writer, i int) error) ItemHashes {
	return ItemHashes{sync.OnceValues(func() (string, error) { return hashLines(heading, 0, n, describe) }), describe}
}

// Hash implements [Dataset]. It reads all pictures, the first time.
func (h ItemHashes) Hash() (string, error) { return h.all() }

// ItemHash implements [ItemHasher].
func (h ItemHashes) ItemHash(i int) (string, error) { return hashLines("", i, i+1, h.describe) }

// hashLines hashes a heading and the lines about some pictures.
func hashLines(heading string, from, to int, describe func(w io.Writer, i int) error) (string, error) {
	h := sha256.New()
	io.WriteString(h, heading) // a hash takes everything
	for i := from; i < to; i++ {
		if err := describe(h, i); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// DescribeAttributes ends the line about a picture with its attributes.
func DescribeAttributes(w io.Writer, attributes map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if _, err := fmt.Fprintf(w, " %q=%q", name, attributes[name]); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w)
	return err
}
