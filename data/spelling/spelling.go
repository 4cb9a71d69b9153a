// Package spelling finds what was meant by a name that is not known.
package spelling

import "slices"

// Distance is how many letters are to be put in, left out or replaced to make one word of another (Levenshtein).
func Distance(a, b string) int {
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		diagonal := last[0]
		last[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = last[j+1]
			last[j+1] = min(cost, last[j]+1, last[j+1]+1)
		}
	}
	return last[len(b)]
}

// Nearest picks the names that are nearest to a name, at most so many, nearest first.
func Nearest(name string, names []string, count int) []string {
	names = slices.Clone(names)
	distance := make(map[string]int, len(names))
	for _, other := range names {
		distance[other] = Distance(name, other)
	}
	slices.SortStableFunc(names, func(a, b string) int { return distance[a] - distance[b] })
	return names[:min(count, len(names))]
}
