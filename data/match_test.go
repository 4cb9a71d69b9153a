package data

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vitdecompose/data/wnid"
)

func TestMatchClasses(t *testing.T) {
	birds := []string{"Indigo Bunting", "great_grey-owl", "Crane", "Crane"}
	fish := []string{"goldfish, Carassius auratus", "tench, Tinca tinca", "shark"}
	letters := strings.Split("a b c d e f g h i j k l", " ")
	for _, c := range []struct {
		name    string
		folders []string
		classes []string
		n       int
		want    []int
		says    []string // of the assumptions, or of the error where want is nil
	}{
		{"exactly", []string{"great_grey-owl", "Indigo Bunting"}, birds[:3], 3, []int{1, 0}, nil},
		{"exactly, in a case of its own", []string{"A", "a"}, []string{"a", "A"}, 2, []int{1, 0}, nil},
		{"numbers that are names", []string{"1", "10"}, []string{"10", "1"}, 2, []int{1, 0}, nil},
		{"nearly", []string{"Great grey owl", "indigo_bunting"}, birds, 4, []int{1, 0},
			[]string{`folder Great grey owl is taken as the class "great_grey-owl" of M`, "2 folders are called nearly"}},
		{"two folders of a class", []string{"IndigoBunting", "indigo-bunting"}, birds, 4, []int{0, 0}, []string{"", `the folders IndigoBunting and indigo-bunting are both the class "Indigo Bunting" of M`, ""}},
		{"a synonym", []string{"Tench", "carassius auratus"}, fish, 3, []int{1, 0}, []string{`folder Tench is taken as the class "tench, Tinca tinca" of M`, ""}},
		{"an accent in two ways", []string{"e\u0301le\u0300ve"}, []string{"élève", "b"}, 2, []int{0}, []string{"folder "}},
		{"a name of two classes", []string{"crane"}, birds, 4, nil, []string{"the folder crane could be class 2 or class 3 of M, which are called the same"}},
		{"one is unknown", []string{"a", "b", "c", "indigo bunting"}, birds, 4, nil, []string{"3 of the data's (a, b, c) are not among the model's (Indigo Bunting, great_grey-owl, Crane, ...)"}},
		{"none is known, as many", []string{"a", "b", "c", "d"}, birds, 4, nil, []string{"4 of the data's (a, b, c, ...) are not among the model's"}},

		{"numbers", strings.Split("0 1 10 11 2 3 4 5 6 7 8 9", " "), nil, 12, []int{0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9},
			[]string{"the folders 0 to 11 are class indices of M, from 0 on; in torchvision's order 10 would be class 2"}},
		{"numbers, and names", strings.Split("0 1 10 11 2 3 4 5 6 7 8 9", " "), letters, 12, []int{0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9}, []string{"class indices"}},
		{"numbers with zeros", []string{"00", "01", "02"}, nil, 3, []int{0, 1, 2}, []string{"the folders 00 to 02 are class indices of M, from 0 on"}},
		{"numbers from 1 on", strings.Split("1 10 11 12 2 3 4 5 6 7 8 9", " "), nil, 12, []int{0, 9, 10, 11, 1, 2, 3, 4, 5, 6, 7, 8},
			[]string{"the folders 1 to 12 are class numbers from 1 on: 1 is the first class of M"}},
		{"the first numbers from 1 on", []string{"1", "2", "3"}, nil, 12, []int{0, 1, 2}, []string{"from 1 on"}},
		{"numbers to the last", []string{"3", "12"}, nil, 12, []int{2, 11}, []string{"from 1 on: 3 is the first class"}},
		{"some numbers", []string{"3", "7"}, nil, 12, []int{3, 7}, []string{"the folders 3 to 7 are class indices of M, from 0 on; timm and torchvision would number these 2 folders from 0 on in their order"}},
		{"numbers from 1 on with gaps", []string{"1", "3"}, nil, 12, nil, []string{"numbers from 1 to 3, which may count the 12 classes of M from 0 or from 1"}},
		{"classes", []string{"class1", "class10", "Class2", "class3", "class4", "class5", "class6", "class7", "class8", "class9"}, nil, 10, []int{0, 9, 1, 2, 3, 4, 5, 6, 7, 8},
			[]string{"the folders class1 to class10 are class numbers from 1 on"}},
		{"labels", []string{"LABEL_0", "LABEL_1"}, []string{"LABEL_0", "LABEL_1"}, 2, []int{0, 1}, []string{"class indices"}},
		{"a number too large", []string{"0", "12"}, nil, 12, nil, []string{"the folder 12 is not a class of M, which has 12, from 0 to 11"}},
		{"a number twice", []string{"01", "1"}, nil, 12, nil, []string{"the folders 01 and 1 stand for the same number"}},

		{"WNIDs", []string{"n01443537", "n15075141"}, nil, 1000, []int{1, 999}, []string{"the folders are WordNet ids, taken as the classes of ImageNet-1k in the order of these ids"}},
		{"WNIDs, and names", []string{"n01443537", "n15075141"}, wnid.Names(), 1000, []int{1, 999}, []string{"WordNet ids"}},
		{"WNIDs of a smaller model", []string{"n01440764", "n01443537"}, fish, 3, []int{1, 0}, []string{`the folders are WordNet ids, found among the classes of M by their words: n01440764 is "tench, Tinca tinca"`}},
		{"WNIDs of a smaller model without names", []string{"n01440764", "n01443537"}, nil, 2, []int{0, 1}, []string{"M does not name its 2 classes: they are taken from the natural order of the folders, as timm counts, from n01440764 to n01443537"}},
		{"a WNID of another class", []string{"n01440764", "n02123394"}, fish, 3, nil, []string{`the folder n02123394 is "Persian cat", which is the name of 0 classes of M`}},
		{"a WNID of elsewhere", []string{"n01440764", "n99999999"}, nil, 1000, nil, []string{"the folder n99999999 is a WordNet id, but not one of ImageNet-1k's"}},

		{"mixed case", strings.Split("A C E G I K b d f h j l", " "), nil, 12, []int{0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11},
			[]string{"M does not name its 12 classes: they are taken from the natural order of the folders, as timm counts, from A to l; torchvision's order differs: C is class 2 here, and would be class 1 there"}},
		{"in order", []string{"x1", "x2"}, nil, 2, []int{0, 1}, []string{"as timm counts, from x1 to x2"}},
		{"no order", []string{"Cat", "cat"}, nil, 2, nil, []string{"the folders Cat and cat have no order"}},
		{"too few without names", []string{"x1", "x2"}, nil, 4, nil, []string{"the data has 2 classes, M has 4 and does not name them"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, assumptions, err := MatchClasses(c.folders, "M", c.classes, c.n)
			if c.want == nil {
				if err == nil || !strings.Contains(err.Error(), c.says[0]) || !strings.Contains(err.Error(), "give the labels in a CSV file") {
					t.Errorf("labels %v, error %v, want %q", got, err, c.says[0])
				}
				return
			}
			if err != nil || !slices.Equal(got, c.want) || len(assumptions) != len(c.says) {
				t.Fatalf("labels %v, assumptions %q, error %v; want %v, %q", got, assumptions, err, c.want, c.says)
			}
			for i, want := range c.says {
				if !strings.Contains(assumptions[i], want) {
					t.Errorf("assumption %q, want %q", assumptions[i], want)
				}
			}
		})
	}
}

// TestCompareNatural: the order that timm 1.0's natural_key gives these names.
func TestCompareNatural(t *testing.T) {
	want := []string{"", "01", "2", "10", "010a", "a", "A1", "a1b", "a1b2", "a01c", "a2", "A10", "b-1", "B_1", "Zebra", "é"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortStableFunc(got, compareNatural)
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if compareNatural("Cat01", "cat1") != 0 {
		t.Error("case or zeros count")
	}
}

func TestMatchLabels(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a10/x.png", "a9/x.png", "A8/x.png"} {
		write(t, dir, name, "x")
	}
	ds, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, assumptions, err := MatchLabels(ds, "M", nil, 3)
	if err != nil || len(assumptions) != 1 || !slices.Equal(got.Classes(), []string{"A8", "a9", "a10"}) {
		t.Fatalf("classes %q, assumptions %q, error %v", got.Classes(), assumptions, err)
	}
	if got := items(got); !slices.Equal(got, []Item{{"A8/x.png", 0}, {"a10/x.png", 2}, {"a9/x.png", 1}}) {
		t.Errorf("items %v", got)
	}
	if _, _, err := MatchLabels(ds, "M", []string{"x", "y", "z"}, 3); err == nil {
		t.Error("names that do not match: no error")
	}
	for name, same := range map[string]struct {
		ds Dataset
		n  int
	}{"no head": {ds, 0}, "no classes": {Files{"a.png"}, 3}} {
		if got, assumptions, err := MatchLabels(same.ds, "M", nil, same.n); err != nil || assumptions != nil || !slices.Equal(items(got), items(same.ds)) {
			t.Errorf("%s: %v, %q, %v", name, items(got), assumptions, err)
		}
	}
	// What is printed of a folder's name cannot move the cursor.
	if err := os.Rename(filepath.Join(dir, "a9"), filepath.Join(dir, "\x1b[2J")); err != nil {
		t.Fatal(err)
	}
	if ds, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := MatchLabels(ds, "M", []string{"x", "y", "z"}, 3); err == nil || strings.Contains(err.Error(), "\x1b") || !strings.Contains(err.Error(), `\x1b[2J`) {
		t.Errorf("error %q", err)
	}
}

func FuzzMatchClasses(f *testing.F) {
	f.Add("0\n1\n10", "a\nb", 12)
	f.Add("A\nb", "", 2)
	f.Add("n01440764\nn01443537", "tench, x\ngoldfish", 2)
	f.Fuzz(func(t *testing.T, folders, classes string, n int) {
		if n < 1 || n > 2000 {
			return
		}
		names := strings.Split(folders, "\n")
		slices.Sort(names)
		names = slices.Compact(names)
		var of []string
		if classes != "" {
			of = strings.Split(classes, "\n")
			n = len(of)
		}
		labels, _, err := MatchClasses(names, "M", of, n)
		if (err == nil) != (len(labels) == len(names)) {
			t.Fatalf("%d labels of %d folders, error %v", len(labels), len(names), err)
		}
		for _, label := range labels {
			if label < 0 || label >= n {
				t.Errorf("label %d of %d", label, n)
			}
		}
	})
}
