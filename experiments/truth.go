package experiments

import "vitdecompose/data"

// What is known of the pictures, and the shares of what is right.

// truths are what the data knows of one feature of the pictures, "" where it knows nothing; nil when it knows nothing of
// any.
func truths(ds data.Dataset, index []int, feature string) []string {
	out, known := make([]string, len(index)), false
	for i, picture := range index {
		out[i] = data.Attributes(ds, picture)[feature]
		known = known || out[i] != ""
	}
	if !known {
		return nil
	}
	return out
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
