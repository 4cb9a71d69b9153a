// Package wnid knows the classes of ImageNet-1k (ILSVRC 2012) by their WNIDs, the WordNet identifiers such as n01440764
// that folders and files of ImageNet are named by, with the words for them and their numbers in the development kit, and the
// classes of the larger sets that models are trained on ([OfSize]).
package wnid

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A line is a WNID, its ILSVRC2012_ID and its synonyms. The WNIDs and synonyms are those of timm (imagenet_synsets.txt and
// imagenet_synset_to_lemma.txt), which are the development kit's. The numbers are in the order of darknet's
// imagenet.labels.list; tensorflow_datasets knows the pictures of the validation set by WNIDs, and with these numbers they
// begin as the development kit's ground truth does: 490, 361, 171, 822, 297, 482, 13, 704, 599, 164, 649.
//
//go:embed imagenet1k.txt
var list string

var (
	imagenet1k []string // WNIDs, sorted
	words      []string // of each
	byKitID    []int    // the class of ILSVRC2012_ID i+1
	classNames []string
)

func init() {
	for line := range strings.Lines(list) {
		fields := strings.SplitN(strings.TrimSpace(line), " ", 3)
		imagenet1k, words = append(imagenet1k, fields[0]), append(words, fields[2])
	}
	byKitID = make([]int, len(imagenet1k))
	for class, line := range slices.Collect(strings.Lines(list)) {
		id, err := strconv.Atoi(strings.Fields(line)[1])
		if err != nil {
			panic(err) // the list is a part of the program
		}
		byKitID[id-1] = class
	}
	classNames = shortNames(imagenet1k, words)
}

// shortNames are the first synonyms of the classes with these WNIDs; where two share one, all synonyms and then their WNIDs tell
// them apart.
func shortNames(ids, words []string) []string {
	short := make([]string, len(words))
	for i, all := range words {
		short[i], _, _ = strings.Cut(all, ",")
	}
	for _, longer := range []func(i int) string{
		func(i int) string { return words[i] },
		func(i int) string { return fmt.Sprintf("%s (%s)", words[i], ids[i]) },
	} {
		count := map[string]int{}
		for _, name := range short {
			count[name]++
		}
		for i, name := range short {
			if count[name] > 1 {
				short[i] = longer(i)
			}
		}
	}
	return short
}

// ImageNet1k is the 1000 WNIDs in the order of the class indices, which is that of the WNIDs themselves.
func ImageNet1k() []string { return slices.Clone(imagenet1k) }

// Names are the 1000 classes in words, all different: the first synonym of each, or more where two would be called the same.
func Names() []string { return slices.Clone(classNames) }

// Words are all synonyms of a class, such as "tench, Tinca tinca".
func Words(class int) string { return words[class] }

// Index is the class index of a WNID in ImageNet-1k.
func Index(id string) (index int, ok bool) { return slices.BinarySearch(imagenet1k, id) }

// OfKitID is the class index of an ILSVRC2012_ID, the number from 1 to 1000 by which the development kit calls a class.
func OfKitID(id int) (index int, ok bool) {
	if id < 1 || id > len(byKitID) {
		return 0, false
	}
	return byKitID[id-1], true
}

var form = regexp.MustCompile(`^n\d{8}$`)

// Valid reports whether text has the form of a WNID of a noun: n and eight digits.
func Valid(text string) bool { return form.MatchString(text) }
