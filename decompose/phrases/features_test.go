package phrases

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"vitdecompose/data/scenes"
)

func TestParseFeatures(t *testing.T) {
	many := func(n int, text string) string { return strings.Repeat(text, n) }
	features := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "f%d: a\n", i)
		}
		return b.String()
	}
	instances := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ",i%d", i)
		}
		return "x:" + strings.TrimPrefix(b.String(), ",")
	}
	for _, test := range []struct {
		name, text string
		want       []Feature
		err        string
	}{
		{"one", "color: blue color, red color", []Feature{{"color", []string{"blue color", "red color"}}}, ""},
		{"two", "b:x\na:x", []Feature{{"b", []string{"x"}}, {"a", []string{"x"}}}, ""},
		{"comments and empty lines", "# a: b\n\n  \t\n #c: d\na: b\n#", []Feature{{"a", []string{"b"}}}, ""},
		{"spaces", "  the place :\tin a forest ,by  the sea  \r\n", []Feature{{"the place", []string{"in a forest", "by  the sea"}}}, ""},
		{"byte order mark", "\ufeffa: b", []Feature{{"a", []string{"b"}}}, ""},
		{"byte order mark before a comment", "\ufeff# x\na: b", []Feature{{"a", []string{"b"}}}, ""},
		{"colon in an instance", "time: 10:30, noon", []Feature{{"time", []string{"10:30", "noon"}}}, ""},
		{"hash behind", "a: b # c", []Feature{{"a", []string{"b # c"}}}, ""},
		{"other scripts", "Größe: groß, 大きい", []Feature{{"Größe", []string{"groß", "大きい"}}}, ""},

		{"nothing", "", nil, "there are no features"},
		{"only comments", "# a: b\n", nil, "there are no features"},
		{"no colon", "a: b\nblue color, red color\n", nil, `line 2: "blue color, red color" has no colon`},
		{"no name", "\n: b", nil, `line 2: ": b" has no name`},
		{"no instances", "a: b\n# c\nd:  \n", nil, `line 3: the feature "d" has no instances`},
		{"empty instance", "a: b, , c", nil, `line 1: the feature "a" has an empty instance`},
		{"comma at the end", "a: b,", nil, `line 1: the feature "a" has an empty instance`},
		{"feature twice", "a: b\nc: d\nA: e", nil, `line 3: the feature "A" appears twice`},
		{"instance twice", "a: b\nc: red,blue,Red", nil, `line 2: the feature "c" has the instance "Red" twice`},
		{"no UTF-8", "a: b\nc: \xff\n", nil, "line 2 is not UTF-8"},
		{"no UTF-8 in a comment", "# \xff\na: b", nil, "line 1 is not UTF-8"},
		{"long line", "a: b\nc: " + many(maxFeatureLine, "x"), nil, "line 2 is longer than 65536 bytes"},
		{"very long line", "# " + many(1<<20, "x"), nil, "line 1 is longer than 65536 bytes"},
		{"longest line and one more", "a:" + many(maxFeatureLine-1, "x") + "\n", nil, "line 1 is longer"},
		{"too many features", features(maxFeatures + 1), nil, "line 1001: there are more than 1000 features"},
		{"too many instances", instances(maxInstances + 1), nil, `line 1: the feature "x" has more than 1000 instances`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseFeatures(strings.NewReader(test.text))
			checkError(t, err, test.err)
			if !slices.EqualFunc(got, test.want, equal) {
				t.Errorf("features %q, want %q", got, test.want)
			}
		})
	}
	for name, text := range map[string]string{
		"most features": features(maxFeatures), "most instances": instances(maxInstances),
		"longest line": "a:" + many(maxFeatureLine-2, "x") + "\r\nb: c", "longest line at the end": "a:" + many(maxFeatureLine-2, "x"),
	} {
		if _, err := ParseFeatures(strings.NewReader(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func equal(a, b Feature) bool { return a.Name == b.Name && slices.Equal(a.Instances, b.Instances) }

// checkError checks that an error says something, in one line; no error is wanted for "".
func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err == nil:
	case want == "" || err == nil || !strings.Contains(err.Error(), want):
		t.Errorf("error %v, want %q", err, want)
	case strings.Contains(err.Error(), "\n"):
		t.Errorf("error of several lines: %q", err)
	}
}

func TestReadFeatures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "features.txt")
	if err := os.WriteFile(path, []byte("a: b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func(string) ([]Feature, error){"ReadFeatures": ReadFeatures, "OpenFeatures": OpenFeatures} {
		if got, err := read(path); err != nil || !slices.EqualFunc(got, []Feature{{"a", []string{"b"}}}, equal) {
			t.Errorf("%s: features %q, error %v", name, got, err)
		}
		_, err := read(path + ".none")
		checkError(t, err, path+".none")
	}
	_, err := OpenFeatures("rankings")
	checkError(t, err, `features "rankings": no such file, and none of that name ships with the program (there are retrieval, ranking, heatmaps, waterbirds, scenes, scenes-birds)`)
	if err := os.WriteFile(path, []byte("a b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = OpenFeatures(path)
	checkError(t, err, path+": line 1:")
	_, err = OpenFeatures(filepath.Dir(path))
	checkError(t, err, "directory")
	if err := syscall.Mkfifo(path+".pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = OpenFeatures(path + ".pipe")
	checkError(t, err, "a pipe")
}

// TestProtocol compares the shipped lists with shared/spec/protocol.md: the table of section 4 with its notes, and section
// 5.7.
func TestProtocol(t *testing.T) {
	type row struct {
		name        string
		count       int
		first, last string
	}
	color, texture := row{"color", 6, "blue color", "white color"}, row{"texture", 7, "rough texture", "glossy texture"}
	person, pattern := row{"person", 7, "face", "legs"}, row{"pattern", 5, "spotted pattern", "checkered pattern"}
	shape, fabric := row{"shape", 4, "triangular shape", "octagon"}, row{"fabric", 5, "linen", "chiffon"}
	animal, location := row{"animal", 7, "camel", "cheetah"}, row{"location", 7, "sea", "marsh"}
	for list, want := range map[string][]row{
		"retrieval":  {color, texture, animal, person, location, pattern, shape, fabric},
		"ranking":    {color, texture, {"animal", 7, "cat", "cheetah"}, person, {"location", 7, "beach", "marsh"}, pattern, shape},
		"heatmaps":   {color, texture, animal, person, location, pattern, shape, fabric, {"vehicle", 4, "car", "van"}},
		"waterbirds": {{"spurious", 9, "water", "leaves"}, {"core", 8, "bird", "pelican"}},
	} {
		features := shipped(t, list)
		if len(features) != len(want) {
			t.Errorf("%s: %d features, want %d", list, len(features), len(want))
			continue
		}
		for i, f := range features {
			got := row{f.Name, len(f.Instances), f.Instances[0], f.Instances[len(f.Instances)-1]}
			if got != want[i] {
				t.Errorf("%s: feature %v, want %v", list, got, want[i])
			}
		}
	}
	// What the notes say of the order.
	for list, want := range map[string][]string{
		"retrieval": {"camel", "elephant", "giraffe", "cat", "dog", "zebra", "cheetah"},
		"ranking":   {"cat", "dog", "camel", "elephant", "giraffe", "zebra", "cheetah"},
		"heatmaps":  {"camel", "elephant", "giraffe", "lion", "tiger", "zebra", "cheetah"},
	} {
		if got := shipped(t, list)[2].Instances; !slices.Equal(got, want) {
			t.Errorf("%s: animals %q, want %q", list, got, want)
		}
	}
	if got, want := shipped(t, "ranking")[4].Instances, []string{"beach", "forest", "desert", "sea", "city", "sky", "marsh"}; !slices.Equal(got, want) {
		t.Errorf("ranking: locations %q, want %q", got, want)
	}
}

func shipped(t testing.TB, list string) []Feature {
	t.Helper()
	features, err := Features(list)
	if err != nil {
		t.Fatal(err)
	}
	return features
}

// TestScenesFeatures: the list has every word of scenes, and its values are what scenes have as attributes.
func TestScenesFeatures(t *testing.T) {
	words := map[string][]string{"color": scenes.Colours, "location": scenes.Places, "pattern": scenes.Patterns,
		"shape": scenes.Shapes, "object": scenes.Classes}
	found := make(map[string]map[string]bool)
	ds := scenes.New(3, 2000)
	for i := range ds.Len() {
		for name, value := range ds.Attributes(i) {
			if found[name] == nil {
				found[name] = make(map[string]bool)
			}
			if value != "" { // of what has no shape
				found[name][value] = true
			}
		}
	}
	features := shipped(t, "scenes")
	if len(features) != len(words) || len(found) != len(words) {
		t.Errorf("%d features and %d attributes, want %d", len(features), len(found), len(words))
	}
	for _, f := range features {
		var values []string
		for _, instance := range f.Instances {
			value := Value(f.Name, instance)
			if values = append(values, value); !found[f.Name][value] {
				t.Errorf("no scene has the %s %s", f.Name, value)
			}
		}
		if slices.Sort(values); !slices.Equal(values, slices.Sorted(slices.Values(words[f.Name]))) || len(values) != len(found[f.Name]) {
			t.Errorf("%s: values %q, scenes have %q", f.Name, values, words[f.Name])
		}
		checkWords(t, f.Instances)
	}
}

func TestFeaturesAreTheCallers(t *testing.T) {
	for _, list := range FeatureLists() {
		first := shipped(t, list)
		first[0].Instances[0] = "changed"
		if shipped(t, list)[0].Instances[0] == "changed" {
			t.Errorf("%s can be changed", list)
		}
	}
	_, err := Features("paper")
	checkError(t, err, `unknown list of features "paper" (known: retrieval, ranking, heatmaps, waterbirds, scenes, scenes-birds)`)
}

func TestValue(t *testing.T) {
	for _, test := range []struct{ feature, instance, want string }{
		{"color", "blue color", "blue"},
		{"pattern", "polka dot pattern", "polka dot"},
		{"location", "beach", "beach"},
		{"shape", "octagonal shape", "octagonal"},
		{"shape", "octagon", "octagon"},
		{"texture", "rough texture", "rough"},
		{"fabric", "silk fabric", "silk"},
		{"colour", "blue color", "blue"},
		{"Color", " Blue  COLOR ", "Blue"},
		{"animal", "polar bear", "polar bear"},
		{"animal", "cat", "cat"},
		{"color", "color", "color"},
		{"color", "watercolor", "watercolor"},
		{"", "", ""},
	} {
		if got := Value(test.feature, test.instance); got != test.want {
			t.Errorf("Value(%q, %q) = %q, want %q", test.feature, test.instance, got, test.want)
		}
	}
}

// addFeatureFiles seeds a fuzz test with the shipped lists.
func addFeatureFiles(f *testing.F) {
	f.Helper()
	files, err := featureFiles.ReadDir(".")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		content, err := featureFiles.ReadFile(file.Name())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(content))
	}
}

func FuzzParseFeatures(f *testing.F) {
	addFeatureFiles(f)
	f.Add(generalWords)
	f.Add("\ufeffa:b,c\r\n#\n\xff: ,")
	f.Fuzz(func(t *testing.T, text string) {
		features, err := ParseFeatures(strings.NewReader(text))
		if (err == nil) != (len(features) > 0) {
			t.Fatalf("%d features, error %v", len(features), err)
		}
		if err != nil {
			checkError(t, err, err.Error()) // in one line
			return
		}
		// Written again, they read the same.
		again := "# again\n"
		for _, f := range features {
			again += f.Name + ": " + strings.Join(f.Instances, ", ") + "\n"
			for _, instance := range f.Instances {
				if instance == "" || Value(f.Name, instance) == "" {
					t.Errorf("the feature %q has the instance %q", f.Name, instance)
				}
			}
		}
		if len(again) > maxFeatureLine { // a line may be longer than it was
			return
		}
		if got, err := ParseFeatures(strings.NewReader(again)); err != nil || !slices.EqualFunc(got, features, equal) {
			t.Errorf("features %q, read again %q, error %v", features, got, err)
		}
	})
}
