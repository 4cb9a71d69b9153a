package wnid

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// A line of the list is a WNID, a digit whose bits tell which subsets have the class, and its words. It is made by generate.py
// of the lists of timm 1.0.31, whose words are WordNet's (imagenet_synset_to_lemma.txt).
//
//go:embed imagenet21k.txt.gz
var compressed []byte

// Subset is a choice of the classes of ImageNet that models are trained to tell apart, in the order of their logits.
type Subset struct {
	Name  string   // such as "ImageNet-22k"
	IDs   []string // WNIDs
	Names []string // in words, all different
	index map[string]int
}

// Index is the class index of a WNID.
func (s *Subset) Index(id string) (index int, ok bool) {
	index, ok = s.index[id]
	return index, ok
}

// The subsets beside ImageNet-1k, by the number of their classes; bit is the digit's.
var subsets = map[int]struct {
	name string
	bit  int
}{
	21841: {"ImageNet-22k", 1}, // the classes of fall11_whole.tar
	21842: {"ImageNet-22k with those of 1k first", 1},
	21843: {"ImageNet-21k of Google", 2},     // with two more
	11821: {"ImageNet-12k", 4},               // timm's, those with enough pictures
	11221: {"ImageNet-21k-P (fall 2011)", 8}, // of Ridnik et al. 2021, arXiv 2104.10972
}

// opened are the subsets that were asked for.
var opened sync.Map

// OfSize is the subset of ImageNet with that many classes: 1000, 21841, 21842, 21843, 11821 or 11221, as timm tells them apart.
func OfSize(classes int) (s *Subset, ok bool) {
	if _, ok := subsets[classes]; !ok && classes != len(imagenet1k) {
		return nil, false
	}
	open, _ := opened.LoadOrStore(classes, sync.OnceValue(func() *Subset { return newSubset(classes) }))
	return open.(func() *Subset)(), true
}

// newSubset takes a subset from the lists.
func newSubset(classes int) *Subset {
	s := &Subset{Name: "ImageNet-1k", IDs: imagenet1k, Names: classNames, index: make(map[string]int, classes)}
	if which, ok := subsets[classes]; ok {
		s.Name, s.IDs = which.name, nil
		var synonyms []string
		if classes == 21842 {
			s.IDs, synonyms = slices.Clone(imagenet1k), slices.Clone(words)
		}
		for line := range strings.Lines(decompressed()) {
			id, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			_, first := Index(id)
			if strings.IndexByte("0123456789abcdef", rest[0])&which.bit == 0 || first && classes == 21842 {
				continue
			}
			s.IDs, synonyms = append(s.IDs, id), append(synonyms, rest[2:])
		}
		s.Names = shortNames(s.IDs, synonyms)
	}
	if len(s.IDs) != classes {
		panic(fmt.Errorf("%s has %d classes in the list, not %d", s.Name, len(s.IDs), classes)) // the list is a part of the program
	}
	for i, id := range s.IDs {
		s.index[id] = i
	}
	return s
}

// decompressed is the list of [compressed].
func decompressed() string {
	var list []byte
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err == nil {
		list, err = io.ReadAll(r)
	}
	if err != nil {
		panic(err) // the list is a part of the program
	}
	return string(list)
}
