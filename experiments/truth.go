package experiments

import (
	"vitdecompose/data"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments/session"
)

// What is known of the pictures, and the shares of what is right.

// truths are what the data knows of one feature of the pictures, "" where they have none or it knows nothing, which it notes;
// nil when it knows nothing of any.
func truths(s *session.Session, ds data.Dataset, index []int, feature string) []string {
	out, known, gaps := make([]string, len(index)), false, 0
	for i, picture := range index {
		value, said := data.Attributes(ds, picture)[feature]
		out[i] = value
		known = known || value != ""
		if !said {
			gaps++
		}
	}
	if !known {
		return nil
	}
	if gaps > 0 {
		s.Assume("%d of %d pictures, of which the data does not say their %s, count as pictures without one", gaps, len(index), feature)
	}
	return out
}

// knows says whether the data knows a feature of any of its pictures.
func knows(ds data.Dataset, feature string) bool {
	if feature == "" {
		return false
	}
	for i := range ds.Len() {
		if data.Attributes(ds, i)[feature] != "" {
			return true
		}
	}
	return false
}

// truthOf says whether a text names the value that a picture has of a feature, "" for none, and, if not, which instance of the
// feature does.
func truthOf(feature phrases.Feature, text, value string) (is *bool, has string) {
	right := phrases.Value(feature.Name, text) == value
	if right {
		return &right, ""
	}
	for _, instance := range feature.Instances {
		if phrases.Value(feature.Name, instance) == value {
			return &right, instance
		}
	}
	return &right, value
}

// shareOf is the share of the values that are this one.
func shareOf(values []string, value string) float64 {
	n := 0
	for _, v := range values {
		if v == value {
			n++
		}
	}
	return float64(n) / float64(len(values))
}

// at are the names at these indices.
func at(names []string, indices []int) []string {
	out := make([]string, len(indices))
	for i, index := range indices {
		out[i] = names[index]
	}
	return out
}
