package wnid

import (
	"fmt"
	"slices"
	"testing"
)

// TestImageNet1k holds the list against indices that are well known: those of torchvision and timm.
func TestImageNet1k(t *testing.T) {
	all := ImageNet1k()
	if len(all) != 1000 || !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != 1000 {
		t.Fatalf("%d WNIDs, want 1000 different ones in order", len(all))
	}
	for i, id := range all {
		if at, ok := Index(id); !ok || at != i || !Valid(id) {
			t.Errorf("%s is class %d, %v; want %d", id, at, ok, i)
		}
	}
	for id, want := range map[string]int{
		"n01440764": 0, "n01443537": 1, "n02123045": 281, "n02123394": 283, "n02504458": 386, "n03773504": 657,
		"n04008634": 744, "n04355933": 836, "n04356056": 837, "n07753592": 954, "n15075141": 999,
	} {
		if at, ok := Index(id); !ok || at != want {
			t.Errorf("%s is class %d, %v; want %d", id, at, ok, want)
		}
	}
	for _, id := range []string{"", "n00000000", "n0144076", "n01440764 ", "n99999999", "tench"} {
		if at, ok := Index(id); ok {
			t.Errorf("%q is class %d", id, at)
		}
	}
	all[0] = ""
	if at, ok := Index("n01440764"); !ok || at != 0 {
		t.Error("the list can be changed")
	}
}

func TestValid(t *testing.T) {
	for text, want := range map[string]bool{"n01440764": true, "n0144076": false, "n014407641": false, "N01440764": false, "n0144076x": false, "": false, "n01440764\n": false} {
		if Valid(text) != want {
			t.Errorf("Valid(%q) is %v", text, !want)
		}
	}
}

func ExampleIndex() {
	fmt.Println(Index("n02123394"))
	// Output: 283 true
}
