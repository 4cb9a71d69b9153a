package data

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"vitdecompose/data/picture"
)

// Concat is several data sets of the same classes one after the other. It knows the masks of its pictures if all parts do.
func Concat(parts ...Dataset) (Dataset, error) {
	if len(parts) == 0 {
		return nil, errors.New("there are no data sets to join")
	}
	c := concat{parts: parts, starts: make([]int, len(parts)+1)}
	masked := true
	for i, part := range parts {
		if !slices.Equal(part.Classes(), parts[0].Classes()) {
			return nil, fmt.Errorf("the data sets have different classes: %s and %s", listed(parts[0].Classes()), listed(part.Classes()))
		}
		c.starts[i+1] = c.starts[i] + part.Len()
		masked = masked && HasMasks(part)
	}
	if masked {
		return maskedConcat{c}, nil
	}
	return c, nil
}

// listed names a few classes.
func listed(classes []string) string {
	switch n := len(classes); {
	case n == 0:
		return "none"
	case n > 3:
		return fmt.Sprintf("%s, %s and %d others", classes[0], classes[1], n-2)
	}
	return fmt.Sprint(classes)
}

type concat struct {
	parts  []Dataset
	starts []int // the first item of each part, and one past the last of all
}

// at is the part that item i is of, and its position there.
func (c concat) at(i int) (Dataset, int) {
	part, found := slices.BinarySearch(c.starts[:len(c.parts)], i)
	if !found {
		part--
	}
	for part+1 < len(c.parts) && c.starts[part+1] <= i { // parts without items
		part++
	}
	return c.parts[part], i - c.starts[part]
}

// Len implements Dataset.
func (c concat) Len() int { return c.starts[len(c.parts)] }

// Classes implements Dataset.
func (c concat) Classes() []string { return c.parts[0].Classes() }

// Item implements Dataset. Names begin with the part's number, from 1 on, so that they stay unique.
func (c concat) Item(i int) Item {
	part, at := c.at(i)
	item := part.Item(at)
	number := slices.IndexFunc(c.starts, func(start int) bool { return start > i }) // the next part begins there
	item.Name = fmt.Sprintf("%d/%s", number, item.Name)
	return item
}

// Picture implements Dataset.
func (c concat) Picture(i int) (*picture.Picture, error) {
	part, at := c.at(i)
	return part.Picture(at)
}

// Attributes implements Attributed.
func (c concat) Attributes(i int) map[string]string {
	part, at := c.at(i)
	return maps.Clone(Attributes(part, at))
}

// Hash implements Dataset.
func (c concat) Hash() (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "concatenation of %d\n", len(c.parts))
	for _, part := range c.parts {
		sum, err := part.Hash()
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, part.Len(), sum)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// maskedConcat knows masks.
type maskedConcat struct{ concat }

// Mask implements Masked.
func (c maskedConcat) Mask(i int) (*Mask, error) {
	part, at := c.at(i)
	return MaskOf(part, at)
}
