package data

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func mustConcat(t *testing.T, parts ...Dataset) Dataset {
	t.Helper()
	c, err := Concat(parts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestConcat: items, pictures and names, also where parts are empty.
func TestConcat(t *testing.T) {
	ds, _ := pictured(t, 4)
	none := First(ds, 0)
	for name, test := range map[string]struct {
		parts []Dataset
		want  []Item
		greys string
	}{
		"one":         {[]Dataset{ds}, []Item{{"1/x/a.png", 0}, {"1/x/b.png", 0}, {"1/y/c.png", 1}, {"1/y/d.png", 1}}, "0123"},
		"two":         {[]Dataset{Subset(ds, []int{3, 0}), Subset(ds, []int{1})}, []Item{{"1/y/d.png", 1}, {"1/x/a.png", 0}, {"2/x/b.png", 0}}, "301"},
		"same twice":  {[]Dataset{First(ds, 1), First(ds, 1), First(ds, 1)}, []Item{{"1/x/a.png", 0}, {"2/x/a.png", 0}, {"3/x/a.png", 0}}, "000"},
		"empty":       {[]Dataset{none}, nil, ""},
		"empty first": {[]Dataset{none, Subset(ds, []int{2})}, []Item{{"2/y/c.png", 1}}, "2"},
		"empty within and last": {[]Dataset{First(ds, 1), none, none, Subset(ds, []int{2, 0}), none},
			[]Item{{"1/x/a.png", 0}, {"4/y/c.png", 1}, {"4/x/a.png", 0}}, "020"},
	} {
		t.Run(name, func(t *testing.T) {
			c := mustConcat(t, test.parts...)
			if got := items(c); !slices.Equal(got, test.want) || c.Len() != len(test.want) || !slices.Equal(c.Classes(), ds.Classes()) {
				t.Errorf("%d items %v of %v, want %v", c.Len(), got, c.Classes(), test.want)
			}
			for i := range test.greys {
				if p, err := c.Picture(i); err != nil || p.Pix[0] != test.greys[i] {
					t.Errorf("picture %d: %v, %v", i, p, err)
				}
			}
		})
	}
}

func TestConcatErrors(t *testing.T) {
	ds, _ := pictured(t, 4)
	flat, err := opened(t, "file,label\nb.jpg,3\na.jpg,1\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		parts []Dataset
		want  string
	}{
		"nothing":        {nil, "there are no data sets"},
		"no names":       {[]Dataset{ds, flat}, "the data sets have different classes: [x y] and none"},
		"other names":    {[]Dataset{ds, ds, called{ds, []string{"x", "z"}}}, "different classes: [x y] and [x z]"},
		"another order":  {[]Dataset{ds, called{ds, []string{"y", "x"}}}, "different classes: [x y] and [y x]"},
		"many, shortly ": {[]Dataset{ds, called{ds, []string{"a", "b", "c", "d", "e"}}}, "different classes: [x y] and a, b and 3 others"},
	} {
		if _, err := Concat(test.parts...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
	}
}

// called has other names for its classes.
type called struct {
	Dataset
	classes []string
}

func (c called) Classes() []string { return c.classes }

// TestConcatKnowledge: attributes come from the parts, and masks if all parts have them.
func TestConcatKnowledge(t *testing.T) {
	ds, err := opened(t, "file,label,color\nb.jpg,3,red\na.jpg,1,blue\n")
	if err != nil {
		t.Fatal(err)
	}
	m := masked{ds}
	c := mustConcat(t, m, wrapped{Subset(m, []int{1})})
	for i, want := range []struct {
		color string
		width int
	}{{"red", 1}, {"blue", 2}, {"blue", 2}} {
		if mask, err := MaskOf(c, i); err != nil || mask.Width != want.width || !HasMasks(c) {
			t.Errorf("item %d: mask %v, %v", i, mask, err)
		}
	}
	c = mustConcat(t, ds, Subset(ds, []int{1}))
	for i, want := range []string{"red", "blue", "blue"} {
		got := Attributes(c, i)
		if !maps.Equal(got, map[string]string{"color": want}) {
			t.Errorf("item %d: attributes %v", i, got)
		}
		got["color"] = "changed"
	}
	if Attributes(c, 0)["color"] != "red" {
		t.Error("who changes attributes changes the data set")
	}
	for name, some := range map[string]Dataset{"first": mustConcat(t, m, ds), "last": mustConcat(t, ds, m), "none": mustConcat(t, ds, ds)} {
		if HasMasks(some) {
			t.Errorf("%s: has masks", name)
		}
	}
}

// TestConcatHash: the hash changes with the parts, their order and where one ends, and with nothing else.
func TestConcatHash(t *testing.T) {
	ds, dir := pictured(t, 4)
	a, b := Subset(ds, []int{0, 1}), Subset(ds, []int{2, 3})
	base := mustHash(t, mustConcat(t, a, b))
	if len(base) != 64 || mustHash(t, mustConcat(t, Subset(ds, []int{0, 1}), b)) != base {
		t.Errorf("hash %q, and another of the same", base)
	}
	for name, other := range map[string]Dataset{
		"order": mustConcat(t, b, a), "one part": mustConcat(t, ds), "fewer": mustConcat(t, a), "more": mustConcat(t, a, b, b),
		"other bounds": mustConcat(t, Subset(ds, []int{0}), Subset(ds, []int{1, 2, 3})), "itself": ds,
	} {
		if mustHash(t, other) == base {
			t.Errorf("%s: the same hash", name)
		}
	}
	write(t, dir, "y/d.png", "x")
	if mustHash(t, mustConcat(t, a, b)) == base {
		t.Error("another picture, the same hash")
	}
}
