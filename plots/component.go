package plots

import (
	"cmp"
	"fmt"
	"slices"
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

// listComponents names components after a lead in lines no wider than width. Where not all fit one by one, heads and blocks
// that follow one another are taken together, and where that does not fit either, as many are named as fit, and then how many
// more there are.
func listComponents(lead string, names []string, style draw.TextStyle, width vg.Length, lines int) []string {
	if len(names) == 0 {
		return nil
	}
	for shown := len(names); shown > 0; shown-- {
		words := strings.Fields(lead)
		for _, name := range names[:shown] {
			words = append(words, shortName(name)+",")
		}
		if runs := inRuns(names); shown == len(names)-1 && runs != nil {
			if filled, ok := fill(append(strings.Fields(lead), runs...), style, width, lines); ok {
				return filled
			}
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

// inRuns names components in the order of the model in few words: "L5-L11 H0-H11 MLP" for all heads and the MLPs of seven
// blocks; nil where some name no component.
func inRuns(names []string) []string {
	components, err := decompose.ParseComponents(names)
	if err != nil {
		return nil
	}
	// A sublayer that all blocks of a stage have is a separate run.
	stage := func(c decompose.Component) decompose.Component { c.Block.Index = 0; return c }
	slices.SortStableFunc(components, func(a, b decompose.Component) int {
		return cmp.Or(stage(a).CompareBlock(stage(b)), strings.Compare(a.Block.Sublayer, b.Block.Sublayer), a.CompareBlock(b),
			strings.Compare(string(a.Kind), string(b.Kind)), a.Head-b.Head)
	})
	// A run is blocks of the same parts: their first, their last, and what they hold.
	type run struct {
		first, last decompose.Component
		parts       string
	}
	var runs []run
	for len(components) > 0 {
		n := 1
		for n < len(components) && components[n].SameBlock(components[0]) && components[n].Block.Sublayer == components[0].Block.Sublayer {
			n++
		}
		next := run{components[0], components[0], partsOf(components[:n])}
		if last := len(runs) - 1; last >= 0 && runs[last].parts == next.parts && follows(next.first, runs[last].last) {
			runs[last].last = next.first
		} else {
			runs = append(runs, next)
		}
		components = components[n:]
	}
	var words []string
	for _, r := range runs {
		name := r.first.Short()
		if r.first.Kind.InBlock() {
			name = decompose.ShortBlock(r.first.Block)
			if !r.first.SameBlock(r.last) {
				name += "-" + decompose.ShortBlock(r.last.Block)
			}
			name += " " + r.parts
		}
		words = append(words, name)
	}
	return strings.Fields(strings.Join(words, ", "))
}

// namesExplained says how the short names of components are read, by that of a head; nothing where there is none.
func namesExplained(names []string) []string {
	components, err := decompose.ParseComponents(names)
	if err != nil {
		return nil
	}
	for _, c := range components {
		if c.Kind != decompose.Head {
			continue
		}
		head, block := c.Head, c.Block.Index
		var words string
		switch {
		case !c.Block.Staged:
			words = fmt.Sprintf("%s is head %d of layer %d, both counted from 0.", c.Short(), head, block)
		case c.Block.Sublayer != "":
			words = fmt.Sprintf("%s is head %d of the %s attention in block %d of stage %d, all counted from 0.", c.Short(), head, c.Block.Sublayer, block, c.Block.Stage)
		default:
			words = fmt.Sprintf("%s is head %d of block %d of stage %d, all counted from 0.", c.Short(), head, block, c.Block.Stage)
		}
		return []string{words}
	}
	return nil
}

// follows says whether the block of a component comes right after that of another in the same stage.
func follows(c, before decompose.Component) bool {
	return c.Kind.InBlock() && before.Kind.InBlock() && c.Block.Stage == before.Block.Stage && c.Block.Index == before.Block.Index+1
}

// partsOf names the components of one sublayer, sorted, without their block: "grid H0-H11 MLP".
func partsOf(components []decompose.Component) string {
	words := []string{components[0].Block.Sublayer}
	for i := 0; i < len(components); i++ {
		from := components[i].Head
		for components[i].Kind == decompose.Head && i+1 < len(components) && components[i+1].Kind == decompose.Head &&
			components[i+1].Head == components[i].Head+1 {
			i++
		}
		name := components[i].Short()
		word := name[strings.LastIndexByte(name, ' ')+1:]
		if components[i].Head > from {
			word = fmt.Sprintf("H%d-%s", from, word)
		}
		words = append(words, word)
	}
	return strings.TrimSpace(strings.Join(words, " "))
}

// wrapped is a text in lines no wider than width; a text with a word that is wider stays whole.
func wrapped(text string, style draw.TextStyle, width vg.Length) []string {
	words := strings.Fields(text)
	if lines, ok := fill(words, style, width, len(words)); ok && len(lines) > 0 {
		return lines
	}
	return []string{text}
}

// fill puts words into lines no wider than width, and reports whether that many lines are enough.
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
