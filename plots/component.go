package plots

import (
	"fmt"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vitdecompose/decompose"
)

// shortName returns a component's name in the form for figures. What names no component stays.
func shortName(name string) string {
	c, err := decompose.ParseComponent(name)
	if err != nil {
		return name
	}
	return c.Short()
}

// listComponents names components behind a lead in lines no wider than width, as many as fit, and says how many more
// there are.
func listComponents(lead string, names []string, style draw.TextStyle, width vg.Length, lines int) []string {
	if len(names) == 0 {
		return nil
	}
	for shown := len(names); shown > 0; shown-- {
		words := strings.Fields(lead)
		for _, name := range names[:shown] {
			words = append(words, shortName(name)+",")
		}
		if shown < len(names) {
			words = append(words, fmt.Sprintf("+%d more", len(names)-shown))
		} else {
			last := len(words) - 1
			words[last] = strings.TrimSuffix(words[last], ",")
		}
		if filled, ok := fill(words, style, width, lines); ok {
			return filled
		}
	}
	return []string{shorten(fmt.Sprintf("%d in all", len(names)), style, width)}
}

// wrapped is a text in lines no wider than width; a text with a word that is wider stays whole.
func wrapped(text string, style draw.TextStyle, width vg.Length) []string {
	words := strings.Fields(text)
	if lines, ok := fill(words, style, width, len(words)); ok && len(lines) > 0 {
		return lines
	}
	return []string{text}
}

// fill puts words into lines no wider than width, and reports whether so many lines are enough.
func fill(words []string, style draw.TextStyle, width vg.Length, lines int) (filled []string, ok bool) {
	for _, word := range words {
		last := len(filled) - 1
		if last >= 0 && style.Width(filled[last]+" "+word) <= width {
			filled[last] += " " + word
			continue
		}
		if len(filled) == lines || style.Width(word) > width {
			return nil, false
		}
		filled = append(filled, word)
	}
	return filled, true
}
