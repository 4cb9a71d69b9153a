package scenes

import (
	"math"
	"slices"
	"strings"
	"testing"

	"vitdecompose/data"
)

func openSet(t *testing.T, spec string) data.Dataset {
	t.Helper()
	ds, err := data.Open(spec, data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// TestBirdsGroups counts the four groups: nine of ten birds at the place that fits, or one of two, within five standard
// deviations; and that neither tells the colour.
func TestBirdsGroups(t *testing.T) {
	const n = 8000
	for spec, fits := range map[string]float64{"scenes-birds:8000:3:correlated": 0.9, "scenes-birds:8000:3:uncorrelated": 0.5, "scenes-birds:8000:3": 0.5} {
		ds := openSet(t, spec)
		if !slices.Equal(ds.Classes(), []string{"landbird", "waterbird"}) || ds.Len() != n {
			t.Fatalf("%s: %d pictures of %v", spec, ds.Len(), ds.Classes())
		}
		groups, blue := map[string]int{}, map[string]int{}
		for i := range n {
			a := data.Attributes(ds, i)
			label := ds.Item(i).Label
			species := map[string]int{"finch": 0, "hummingbird": 0, "swan": 1, "pelican": 1}
			if of, ok := species[a["object"]]; !ok || of != label {
				t.Fatalf("%s: item %d of class %d is a %s", spec, i, label, a["object"])
			}
			ground := map[string]string{"forest": "land", "bamboo": "land", "ocean": "water", "lake": "water"}
			if ground[a["location"]] != a["place"] {
				t.Fatalf("%s: item %d: %s at %s", spec, i, a["place"], a["location"])
			}
			group := ds.Classes()[label] + " on " + a["place"]
			groups[group]++
			if a["color"] == "blue" {
				blue[group]++
			}
		}
		for group, count := range groups {
			want := n * (1 - fits) / 2
			if group == "landbird on land" || group == "waterbird on water" {
				want = n * fits / 2
			}
			if math.Abs(float64(count)-want) > 5*math.Sqrt(want) {
				t.Errorf("%s: %d of %s, expected about %.0f", spec, count, group, want)
			}
			if expected := float64(count) / 6; math.Abs(float64(blue[group])-expected) > 5*math.Sqrt(expected) {
				t.Errorf("%s: %d blue of %s, expected about %.0f", spec, blue[group], group, expected)
			}
		}
		if len(groups) != 4 {
			t.Errorf("%s: groups %v", spec, groups)
		}
	}
}

func TestBirdsPictures(t *testing.T) {
	ds := NewBirds(3, 40, true)
	for i := range ds.Len() {
		scene := ds.Scene(i)
		if !scene.Valid() {
			t.Fatalf("scene %d is not one of the package's: %+v", i, scene.Spec)
		}
		p, err := ds.Picture(i)
		if err != nil {
			t.Fatal(err)
		}
		if string(p.Pix) != string(DrawSpec(ds.Spec(i), 3, uint64(i)).Pix) {
			t.Errorf("picture %d is not its scene", i)
		}
		mask, err := data.MaskOf(ds, i)
		if err != nil {
			t.Fatal(err)
		}
		checkMask(t, mask, scene)
	}
	if a, b := openSet(t, "scenes-birds:40:3:correlated"), openSet(t, "scenes-birds:40:3"); hashOf(t, a) == hashOf(t, b) {
		t.Error("correlated and uncorrelated birds have the same hash")
	}
}

// checkMask holds a mask against how much of each pixel the object covers.
func checkMask(t *testing.T, mask *data.Mask, scene *Scene) {
	t.Helper()
	if err := mask.Check(); err != nil {
		t.Fatal(err)
	}
	object := 0
	for i, v := range mask.Pix {
		if (v == data.MaskObject) != (scene.Mask[i] >= 128) {
			t.Fatalf("pixel %d is %d in the mask, and the object covers %d/255 of it", i, v, scene.Mask[i])
		}
		object += int(v)
	}
	if object < 100 {
		t.Errorf("the mask has %d pixels of a %s", object, Classes[scene.Class])
	}
}

func TestScenesMasks(t *testing.T) {
	whole, background, form := New(5, 20), New(5, 20).Of(BackgroundOnly), New(5, 20).Of(SilhouetteOnly)
	for i := range whole.Len() {
		mask, err := data.MaskOf(whole, i)
		if err != nil {
			t.Fatal(err)
		}
		checkMask(t, mask, whole.Scene(i))
		same, err := form.Mask(i)
		if err != nil || !slices.Equal(same.Pix, mask.Pix) {
			t.Errorf("scene %d: the silhouette has another mask (%v)", i, err)
		}
		none, err := background.Mask(i)
		if err != nil || slices.Max(none.Pix) != data.MaskBackground {
			t.Errorf("scene %d: the background has an object (%v)", i, err)
		}
	}
}

func hashOf(t *testing.T, ds data.Dataset) string {
	t.Helper()
	h, err := ds.Hash()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestBirdsErrors(t *testing.T) {
	for spec, want := range map[string]string{
		"scenes-birds:":                "is not a number",
		"scenes-birds:0":               "is not a number",
		"scenes-birds:5:x":             `"x" is not a seed`,
		"scenes-birds:5:4294967296":    "want 0 to 4294967295",
		"scenes-birds:5:1:sometimes":   `"sometimes" does not say how`,
		"scenes-birds:5:1:":            `"" does not say how`,
		"scenes-birds:5:1:correlated:": "does not say how",
	} {
		if _, err := data.Open(spec, data.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", spec, err, want)
		}
	}
	if _, err := data.Open("scenes-birds:5", data.Options{Labels: "labels.csv"}); err == nil {
		t.Error("a file of labels: no error")
	}
}
