package scenes

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"vitdecompose/data"
)

var _ data.Attributed = (*Dataset)(nil)

func TestAttributes(t *testing.T) {
	whole := New(3, 500)
	signs := 0
	for i := range whole.Len() {
		s := whole.Spec(i)
		want := map[string]string{"color": s.Colour, "location": s.Place, "pattern": s.Pattern, "object": Classes[s.Class]}
		want["shape"] = s.Shape
		form := map[string]string{"object": Classes[s.Class], "shape": s.Shape}
		if isSign := Classes[s.Class] == "sign"; isSign {
			signs++
		} else if s.Shape != "" {
			t.Errorf("scene %d, a %s, has shape %q", i, Classes[s.Class], s.Shape)
		}
		for part, want := range map[Part]map[string]string{Whole: want, BackgroundOnly: {"location": s.Place}, SilhouetteOnly: form} {
			if got := data.Attributes(whole.Of(part), i); !maps.Equal(got, want) {
				t.Errorf("part %q of scene %d: %v, want %v", part, i, got, want)
			}
		}
	}
	if signs == 0 {
		t.Error("there was no sign")
	}
}

func TestPlacePhrases(t *testing.T) {
	var captions strings.Builder
	for i := range uint64(5000) {
		fmt.Fprintln(&captions, Caption(9, i))
	}
	for _, place := range Places {
		phrases := PlacePhrases(place)
		if len(phrases) == 0 {
			t.Errorf("no phrases for %s", place)
		}
		for _, phrase := range phrases {
			if !strings.Contains(captions.String(), " "+phrase+"\n") {
				t.Errorf("no caption ends with %q", phrase)
			}
		}
		clear(phrases)
		if slices.Contains(PlacePhrases(place), "") {
			t.Errorf("the phrases of %s can be changed", place)
		}
	}
	if got := PlacePhrases("moon"); len(got) != 0 {
		t.Errorf("phrases %q for no place", got)
	}
}

func ExampleDataset_Attributes() {
	ds := New(7, 1)
	fmt.Println(Caption(7, 0))
	fmt.Println(ds.Attributes(0))
	fmt.Println(ds.Of(BackgroundOnly).Attributes(0))
	// Output:
	// a drawing of a white finch with bamboo leaves behind it
	// map[color:white location:bamboo object:finch pattern:plain shape:]
	// map[location:bamboo]
}
