package plots

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

var (
	componentName = regexp.MustCompile(`^layer:(?:(\d+)|\((\d+),\s*(\d+)\)),\s*(.+)$`)
	headName      = regexp.MustCompile(`^(.*\b)?attn_head:(\d+)$`)
)

// ShortComponent returns a component's name in the form for figures: "L7 H3" for "layer:07, attn_head:03", "S2.3 grid
// MLP" for "layer:(2,3), grid mlp". Names that belong to no layer, as "init", stay.
func ShortComponent(name string) string {
	parts := componentName.FindStringSubmatch(name)
	if parts == nil {
		return name
	}
	block := "L" + plainNumber(parts[1])
	if parts[1] == "" {
		block = "S" + plainNumber(parts[2]) + "." + plainNumber(parts[3])
	}
	part := parts[4]
	if head := headName.FindStringSubmatch(part); head != nil {
		return block + " " + head[1] + "H" + plainNumber(head[2])
	}
	words := strings.Fields(part)
	switch last := len(words) - 1; words[last] {
	case "mlp":
		words[last] = "MLP"
	case "attns":
		words[last] = "attn"
	}
	return block + " " + strings.Join(words, " ")
}

// plainNumber drops zeros in front.
func plainNumber(digits string) string {
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return digits
	}
	return strconv.FormatUint(n, 10)
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
			words = append(words, ShortComponent(name)+",")
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
