// Package wnid knows the classes of ImageNet-1k (ILSVRC 2012) by their WNIDs, the WordNet identifiers such as n01440764
// that folders and files of ImageNet are named by.
package wnid

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"
)

// The list of the 1000 is the same in ILSVRC 2012's development kit and in timm (imagenet_synsets.txt).
//
//go:embed imagenet1k.txt
var list string

var imagenet1k = strings.Fields(list)

// ImageNet1k is the 1000 WNIDs in the order of the class indices, which is that of the WNIDs themselves.
func ImageNet1k() []string { return slices.Clone(imagenet1k) }

// Index is the class index of a WNID in ImageNet-1k.
func Index(id string) (index int, ok bool) { return slices.BinarySearch(imagenet1k, id) }

var form = regexp.MustCompile(`^n\d{8}$`)

// Valid tells whether text has the form of a WNID of a noun: n and eight digits.
func Valid(text string) bool { return form.MatchString(text) }
