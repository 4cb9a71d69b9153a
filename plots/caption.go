package plots

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Caption is what is said of a drawing beside it, so that the drawing itself holds data alone. [Save] writes it as
// plain text and for LaTeX.
type Caption struct {
	Title string   // what is drawn, without a full stop
	Text  []string // sentences that explain it
}

// String is the caption as plain text in one line; "" for an empty one.
func (c Caption) String() string {
	if c.Title == "" {
		return strings.Join(c.Text, " ")
	}
	return strings.Join(append([]string{c.Title + "."}, c.Text...), " ")
}

// LaTeX is the caption as the command \caption, its title being the short form for a list of figures. What LaTeX would take
// for a command is escaped.
func (c Caption) LaTeX() string {
	if c.Title == "" {
		return fmt.Sprintf("\\caption{%s}", latex.Replace(c.String()))
	}
	return fmt.Sprintf("\\caption[%s]{%s}", latex.Replace(c.Title), latex.Replace(c.String()))
}

// latex writes a text for LaTeX. A ] is in braces because it would end a short caption.
var latex = strings.NewReplacer(
	`\`, `\textbackslash{}`, `{`, `\{`, `}`, `\}`, `$`, `\$`, `&`, `\&`, `#`, `\#`, `%`, `\%`, `_`, `\_`, `^`, `\textasciicircum{}`,
	`~`, `\textasciitilde{}`, `<`, `\textless{}`, `>`, `\textgreater{}`, `|`, `\textbar{}`, `"`, `''`, `[`, `{[}`, `]`, `{]}`,
	"“", "``", "”", "''", "’", "'", "–", "--", "\n", " ",
)

// captioned is a drawing with a caption.
type captioned interface{ Caption() Caption }

func renderText(c Caption, out io.Writer) error {
	_, err := fmt.Fprintln(out, c)
	return err
}

func renderLaTeX(c Caption, out io.Writer) error {
	_, err := fmt.Fprintln(out, c.LaTeX())
	return err
}

// listed is things in words: "a, b and c".
func listed(things []string) string {
	if len(things) < 2 {
		return strings.Join(things, "")
	}
	last := len(things) - 1
	return strings.Join(things[:last], ", ") + " and " + things[last]
}

// counts are the different numbers, ascending, of things in words: "1000 pictures", "between 900 and 1000 pictures".
func counts(numbers []int, thing string) string {
	least, most := slices.Min(numbers), slices.Max(numbers)
	if least == most {
		return counted(most, thing)
	}
	return fmt.Sprintf("between %d and %s", least, counted(most, thing))
}

// eachOf is what of every thing says.
func eachOf[T, V any](things []T, of func(T) V) []V {
	var all []V
	for _, thing := range things {
		all = append(all, of(thing))
	}
	return all
}

// when is the sentences if there is something to say them of.
func when(there bool, sentences ...string) []string {
	if !there {
		return nil
	}
	return sentences
}
