package phrases

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Feature is a property of pictures with phrases for what it can be.
type Feature struct {
	Name      string   `json:"name"`
	Instances []string `json:"instances"`
}

// Bounds on a list of features. As many instances as a representation has channels already span all of it.
const (
	maxFeatures    = 1000
	maxInstances   = 1000     // of a feature
	maxFeatureLine = 64 << 10 // bytes
)

//go:embed features-*.txt
var featureFiles embed.FS

// FeatureLists are the names of the lists that ship with the program. The first four are the paper's; scenes has the
// features about which [vitdecompose/data/scenes] knows the truth, scenes-birds those of its Waterbirds.
func FeatureLists() []string {
	return []string{"retrieval", "ranking", "heatmaps", "waterbirds", "scenes", "scenes-birds"}
}

// Features is the list of that name among [FeatureLists].
func Features(name string) ([]Feature, error) {
	if !slices.Contains(FeatureLists(), name) {
		return nil, fmt.Errorf("unknown list of features %q (known: %s)", name, strings.Join(FeatureLists(), ", "))
	}
	file, err := featureFiles.ReadFile("features-" + name + ".txt")
	if err != nil {
		return nil, err
	}
	features, err := ParseFeatures(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("features %s: %w", name, err)
	}
	return features, nil
}

// OpenFeatures is the shipped list of that name or else, when there is none, reads a file. A file that is called like a
// list is opened as ./NAME.
func OpenFeatures(nameOrPath string) ([]Feature, error) {
	return open(nameOrPath, "features", FeatureLists(), Features, ReadFeatures)
}

// ReadFeatures reads a file of features, see [ParseFeatures].
func ReadFeatures(path string) ([]Feature, error) { return read(path, ParseFeatures) }

// ParseFeatures reads features, one a line as NAME: INSTANCE, INSTANCE. Empty lines and those that begin with # are left
// out. No name may come twice, nor an instance within its feature.
func ParseFeatures(r io.Reader) ([]Feature, error) {
	var features []Feature
	seen := make(map[string]bool)
	err := lines(r, maxFeatureLine, func(number int, line string) error {
		f, err := parseFeature(line)
		switch key := strings.ToLower(f.Name); {
		case err != nil:
			return fmt.Errorf("line %d: %w", number, err)
		case seen[key]:
			return fmt.Errorf("line %d: the feature %.60q appears twice", number, f.Name)
		case len(features) == maxFeatures:
			return fmt.Errorf("line %d: there are more than %d features", number, maxFeatures)
		default:
			seen[key] = true
		}
		features = append(features, f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(features) == 0 {
		return nil, errors.New("there are no features; write one a line, such as: color: blue color, red color")
	}
	return features, nil
}

// parseFeature reads a line.
func parseFeature(line string) (Feature, error) {
	name, list, ok := strings.Cut(line, ":")
	name = strings.TrimSpace(name)
	switch {
	case !ok:
		return Feature{}, fmt.Errorf("%.60q has no colon: want NAME: INSTANCE, INSTANCE", line)
	case name == "":
		return Feature{}, fmt.Errorf("%.60q has no name before the colon", line)
	case strings.TrimSpace(list) == "":
		return Feature{}, fmt.Errorf("the feature %.60q has no instances", name)
	case strings.Count(list, ",") >= maxInstances:
		return Feature{}, fmt.Errorf("the feature %.60q has more than %d instances", name, maxInstances)
	}
	f := Feature{Name: name}
	seen := make(map[string]bool)
	for instance := range strings.SplitSeq(list, ",") {
		instance = strings.TrimSpace(instance)
		key := strings.ToLower(instance)
		switch {
		case instance == "":
			return Feature{}, fmt.Errorf("the feature %.60q has an empty instance: remove a comma", name)
		case seen[key]:
			return Feature{}, fmt.Errorf("the feature %.60q has the instance %.60q twice", name, instance)
		}
		seen[key] = true
		f.Instances = append(f.Instances, instance)
	}
	return f, nil
}

// fillers are words that an instance may end with to make a phrase of its value.
var fillers = []string{"color", "pattern", "shape", "texture"}

// Value is the plain word of an instance, which a data set's attributes are compared with: the instance without a last
// word that is the feature's name, color, pattern, shape or texture. "blue color" is blue.
func Value(feature, instance string) string {
	instance = strings.TrimSpace(instance)
	at := strings.LastIndexByte(instance, ' ')
	if at < 0 {
		return instance
	}
	last := instance[at+1:]
	if same := func(word string) bool { return strings.EqualFold(word, last) }; same(feature) || slices.ContainsFunc(fillers, same) {
		return strings.TrimSpace(instance[:at])
	}
	return instance
}
