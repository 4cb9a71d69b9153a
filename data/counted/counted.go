// Package counted says how many of a thing there are.
package counted

import "fmt"

// Of is a number with its noun, which gets an s where there is not one of it: "1 picture", "0 pictures".
func Of(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
