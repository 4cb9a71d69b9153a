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

// TestOfKitID holds the numbers of the development kit against the beginning of its ground truth and the WNIDs of the same
// pictures, ILSVRC2012_val_00000001 to 11, in tensorflow_datasets.
func TestOfKitID(t *testing.T) {
	truth := []int{490, 361, 171, 822, 297, 482, 13, 704, 599, 164, 649}
	pictures := []string{"n01751748", "n09193705", "n02105855", "n04263257", "n03125729", "n01735189", "n02346627", "n02776631",
		"n03794056", "n02328150", "n01917289"}
	for i, id := range truth {
		if class, ok := OfKitID(id); !ok || ImageNet1k()[class] != pictures[i] {
			t.Errorf("ILSVRC2012_ID %d is class %d, %v; want that of %s", id, class, ok, pictures[i])
		}
	}
	seen := map[int]bool{}
	for id := 1; id <= 1000; id++ {
		class, ok := OfKitID(id)
		if !ok || seen[class] {
			t.Errorf("ILSVRC2012_ID %d is class %d, %v", id, class, ok)
		}
		seen[class] = true
	}
	for _, id := range []int{-1, 0, 1001} {
		if class, ok := OfKitID(id); ok {
			t.Errorf("ILSVRC2012_ID %d is class %d", id, class)
		}
	}
}

func TestNames(t *testing.T) {
	names := Names()
	seen := map[string]bool{}
	for _, name := range names {
		if name == "" || seen[name] {
			t.Errorf("%q is there twice", name)
		}
		seen[name] = true
	}
	for class, want := range map[int]string{0: "tench", 134: "crane (n02012849)", 517: "crane (n03126707)", 638: "maillot", 639: "maillot, tank suit", 999: "toilet tissue"} {
		if names[class] != want {
			t.Errorf("class %d is called %q, want %q", class, names[class], want)
		}
	}
	if Words(0) != "tench, Tinca tinca" {
		t.Errorf("class 0 is %q", Words(0))
	}
}

// TestOfSize holds the subsets against the lists of timm 1.0.31 (imagenet22k_synsets.txt and so on): sizes, order, and the
// indices of classes there.
func TestOfSize(t *testing.T) {
	for classes, want := range map[int]map[string]int{
		1000:  {"n01440764": 0, "n02123045": 281, "n15075141": 999},
		21841: {"n00004475": 0, "n01440764": 359, "n15102894": 21840},
		21842: {"n01440764": 0, "n04399382": 850, "n00004475": 1000, "n15102894": 21841},
		21843: {"n00004475": 0, "n01440764": 359, "n15102894": 21842},
		11821: {"n00005787": 0, "n01440764": 216, "n15102894": 11820},
		11221: {"n00005787": 0, "n01440764": 209, "n15102894": 11220},
	} {
		subset, ok := OfSize(classes)
		if !ok || len(subset.IDs) != classes || len(subset.Names) != classes || subset.Name == "" {
			t.Fatalf("%d classes: %v, %d WNIDs and %d names", classes, ok, len(subset.IDs), len(subset.Names))
		}
		for id, index := range want {
			if at, ok := subset.Index(id); !ok || at != index || subset.IDs[at] != id {
				t.Errorf("%s is class %d, %v of %s, want %d", id, at, ok, subset.Name, index)
			}
		}
		seen := map[string]bool{}
		for i, name := range subset.Names {
			if name == "" || seen[name] || !Valid(subset.IDs[i]) {
				t.Errorf("%s: class %d is called %q, %s", subset.Name, i, name, subset.IDs[i])
			}
			seen[name] = true
		}
		if classes != 21842 && !slices.IsSorted(subset.IDs) {
			t.Errorf("%s is not in the order of the WNIDs", subset.Name)
		}
	}
	if large, _ := OfSize(21841); large.Names[0] != "organism" || large.Names[21840] != "knothole" {
		t.Errorf("the classes of ImageNet-22k begin with %q and end with %q", large.Names[0], large.Names[21840])
	}
	for _, classes := range []int{-1, 0, 10, 999, 1001, 21844} {
		if subset, ok := OfSize(classes); ok {
			t.Errorf("%d classes are %s", classes, subset.Name)
		}
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
