package data

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pictured is a folder of n pictures of one grey each, in two classes.
func pictured(t *testing.T, n int) (ds Dataset, dir string) {
	t.Helper()
	dir = t.TempDir()
	for i := range n {
		write(t, dir, []string{"x/", "y/"}[i/((n+1)/2)]+string(rune('a'+i))+".png", string(rune('0'+i)))
	}
	ds, err := Open("folder:"+dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return ds, dir
}

func mustHash(t *testing.T, ds Dataset) string {
	t.Helper()
	h, err := ds.Hash()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestSubset(t *testing.T) {
	ds, _ := pictured(t, 6)
	s := Subset(ds, []int{4, 0, 2})
	if got := items(s); !slices.Equal(got, []Item{{"y/e.png", 1}, {"x/a.png", 0}, {"x/c.png", 0}}) || !slices.Equal(s.Classes(), ds.Classes()) {
		t.Errorf("items %v of %v", got, s.Classes())
	}
	for i, grey := range []byte{'4', '0', '2'} {
		if p, err := s.Picture(i); err != nil || p.Pix[0] != grey {
			t.Errorf("picture %d: %v, %v", i, p, err)
		}
	}
	if got := items(Subset(s, []int{2, 0})); !slices.Equal(got, []Item{{"x/c.png", 0}, {"y/e.png", 1}}) {
		t.Errorf("items %v of a subset of a subset", got)
	}
	if got := items(First(ds, 2)); !slices.Equal(got, []Item{{"x/a.png", 0}, {"x/b.png", 0}}) {
		t.Errorf("the first are %v", got)
	}
	if First(ds, 6) != ds || First(ds, 100) != ds {
		t.Error("all pictures are another data set")
	}
	if n := First(ds, -1).Len(); n != 0 {
		t.Errorf("%d pictures", n)
	}
	for _, bad := range [][]int{{6}, {-1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("index %d: no panic", bad[0])
				}
			}()
			Subset(ds, bad)
		}()
	}
}

// TestPermutation: the numbers are those of the first release, and of every later one. They were computed by another program
// too, from the description of PCG-DXSM.
func TestPermutation(t *testing.T) {
	for _, test := range []struct {
		n    int
		seed uint64
		want []int
	}{
		{0, 1, nil}, {1, 1, []int{0}},
		{10, 0, []int{4, 8, 1, 5, 0, 7, 3, 9, 6, 2}},
		{10, 7, []int{7, 8, 6, 4, 3, 5, 1, 0, 9, 2}},
	} {
		if got := Permutation(test.n, test.seed); !slices.Equal(got, test.want) {
			t.Errorf("%d numbers with seed %d: %v, want %v", test.n, test.seed, got, test.want)
		}
	}
	// Every number is about as often at every place.
	const n, draws = 5, 20_000
	var count [n][n]int
	for seed := range uint64(draws) {
		for place, number := range Permutation(n, seed) {
			count[place][number]++
		}
	}
	for place := range count {
		for number, c := range count[place] {
			if c < draws/n-300 || c > draws/n+300 { // five standard deviations
				t.Errorf("%d is %d times at place %d, want about %d", number, c, place, draws/n)
			}
		}
	}
}

func TestShuffled(t *testing.T) {
	ds, _ := pictured(t, 6)
	order := Permutation(6, 3)
	s := Shuffled(ds, 3)
	for i, at := range order {
		if s.Item(i) != ds.Item(at) {
			t.Errorf("item %d is %v, want %v", i, s.Item(i), ds.Item(at))
		}
	}
	if mustHash(t, s) == mustHash(t, Shuffled(ds, 4)) {
		t.Error("another order, the same hash")
	}
	if mustHash(t, First(s, 3)) != mustHash(t, Subset(ds, order[:3])) {
		t.Error("the same pictures, another hash")
	}
}

// TestSubsetHash: it depends on the pictures of the subset, and on no others.
func TestSubsetHash(t *testing.T) {
	ds, dir := pictured(t, 6)
	base := mustHash(t, Subset(ds, []int{4, 0}))
	if len(base) != 64 {
		t.Errorf("hash %q is not a SHA-256 in hex", base)
	}
	for name, other := range map[string]Dataset{
		"order": Subset(ds, []int{0, 4}), "another": Subset(ds, []int{4, 1}), "more": Subset(ds, []int{4, 0, 1}), "all": ds,
		"other labels": Subset(plusOne{ds}, []int{4, 0}),
	} {
		if mustHash(t, other) == base {
			t.Errorf("%s: the same hash", name)
		}
	}
	if mustHash(t, Subset(wrapped{ds}, []int{4, 0})) != base || mustHash(t, Subset(Subset(ds, []int{4, 3, 0}), []int{0, 2})) != base ||
		mustHash(t, Subset(wrapped{Subset(ds, []int{4, 3, 0})}, []int{0, 2})) != base {
		t.Error("the same pictures by another way, another hash")
	}
	// Pictures beside those of the subset may change, and go.
	write(t, dir, "x/b.png", "x")
	if err := os.Remove(filepath.Join(dir, "y", "f.png")); err != nil {
		t.Fatal(err)
	}
	if mustHash(t, Subset(ds, []int{4, 0})) != base {
		t.Error("the hash depends on other pictures")
	}
	write(t, dir, "x/a.png", "x")
	if mustHash(t, Subset(ds, []int{4, 0})) == base {
		t.Error("another picture, the same hash")
	}
	if _, err := Subset(ds, []int{5}).Hash(); err == nil || !strings.Contains(err.Error(), "f.png") {
		t.Errorf("hash of a lost picture: error %v", err)
	}
}

// TestSubsetHashOfAll: a data set that cannot hash one picture is hashed whole.
func TestSubsetHashOfAll(t *testing.T) {
	ds, dir := pictured(t, 4)
	hidden := opaque{ds}
	base := mustHash(t, Subset(hidden, []int{2, 0}))
	for name, other := range map[string]Dataset{"order": Subset(hidden, []int{0, 2}), "fewer": Subset(hidden, []int{2}), "all": hidden} {
		if mustHash(t, other) == base {
			t.Errorf("%s: the same hash", name)
		}
	}
	if mustHash(t, Subset(Subset(hidden, []int{2, 1, 0}), []int{0, 2})) != base {
		t.Error("the same pictures by another way, another hash")
	}
	write(t, dir, "x/b.png", "x")
	again, err := Open("folder:"+dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if mustHash(t, Subset(opaque{again}, []int{2, 0})) == base {
		t.Error("another picture, the same hash")
	}
}

// plusOne changes labels.
type plusOne struct{ Dataset }

func (p plusOne) Unwrap() Dataset { return p.Dataset }
func (p plusOne) Item(i int) Item {
	item := p.Dataset.Item(i)
	item.Label++
	return item
}

// masked knows masks: that of picture i is i+1 pixels wide.
type masked struct{ Dataset }

func (m masked) Mask(i int) (*Mask, error) {
	return &Mask{Width: i + 1, Height: 1, Pix: make([]uint8, i+1)}, nil
}

func TestSubsetKnowledge(t *testing.T) {
	ds, err := opened(t, "file,label,color\nb.jpg,3,red\na.jpg,1,blue\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]Dataset{"subset": Subset(ds, []int{1}), "of a wrapper": Subset(wrapped{ds}, []int{1}), "in a wrapper": wrapped{Subset(ds, []int{1})}} {
		if got := Attributes(s, 0); !maps.Equal(got, map[string]string{"color": "blue"}) {
			t.Errorf("%s: attributes %v", name, got)
		}
		if HasMasks(s) {
			t.Errorf("%s: has masks", name)
		}
	}
	m := masked{ds}
	for name, s := range map[string]Dataset{"subset": Subset(m, []int{1}), "of a wrapper": Subset(wrapped{m}, []int{1}), "in a wrapper": wrapped{Subset(m, []int{1})},
		"shuffled": Subset(Subset(m, []int{1, 0}), []int{0})} {
		if mask, err := MaskOf(s, 0); err != nil || !HasMasks(s) || mask.Width != 2 {
			t.Errorf("%s: mask %v, %v", name, mask, err)
		}
	}
	if _, err := MaskOf(Subset(ds, []int{1}), 0); err == nil || !strings.Contains(err.Error(), "a.jpg") {
		t.Errorf("no mask: error %v", err)
	}
}

// indexed has ImageNet's labels.
type indexed struct{ Dataset }

func (indexed) IndexedLabels() bool { return true }

func TestHasIndexedLabels(t *testing.T) {
	ds, _ := pictured(t, 4)
	i := indexed{ds}
	for name, yes := range map[string]Dataset{"itself": i, "wrapped": wrapped{i}, "subset": Subset(wrapped{i}, []int{1})} {
		if !HasIndexedLabels(yes) {
			t.Errorf("%s has other labels", name)
		}
	}
	for name, no := range map[string]Dataset{"folder": ds, "subset": First(ds, 1), "nothing": nil} {
		if HasIndexedLabels(no) {
			t.Errorf("%s has ImageNet's labels", name)
		}
	}
}

func TestReadLabels(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.csv")
	if err := os.WriteFile(path, []byte("file,label,color\na/b.jpg,3,red\nc.jpg,-1,\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := ReadLabels(path)
	if err != nil || len(got) != 2 || got[0].Item != (Item{"a/b.jpg", 3}) || got[0].Attributes()["color"] != "red" || got[1].Item != (Item{"c.jpg", -1}) || got[1].Attributes() != nil {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := ReadLabels(path + "x"); err == nil || !strings.Contains(err.Error(), "l.csvx") {
		t.Errorf("error %v", err)
	}
}
