package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"vitdecompose/data"
	"vitdecompose/experiments/option"
)

// helpWidth is the length of the longest line of help.
const helpWidth = 100

// sections are the titles under which help lists the flags that commands have in common, with the groups of options below
// each. A command's own flags come before them.
var sections = []struct {
	title  string
	groups []string
}{
	{"the model", []string{"model", "input", "random", "blocks", "classes", "templates", "head"}},
	{"the pictures", []string{"data", "orient", "bad"}},
	{"components read by text", []string{"training", "alignment", "aligner", "features", "bank"}},
	{"computing and caches", []string{"batch", "keep", "store", "seed"}},
}

// Where a flag that is no option says what help calls its value, and which group of options it belongs to.
const (
	takesAnnotation = "takes"
	groupAnnotation = "group"
)

// takes says what help calls the value of a flag that is no option, and which group the flag belongs to, if any.
func takes(flags *pflag.FlagSet, name, word string, group ...string) {
	flags.Lookup(name).Annotations = map[string][]string{takesAnnotation: {word}, groupAnnotation: group}
}

func init() { cobra.EnableCommandSorting = false } // commands() has an order

// useHelp has all commands print their help this way: flags in groups, and no line longer than helpWidth.
func useHelp(root *cobra.Command) {
	root.SetHelpFunc(func(c *cobra.Command, _ []string) {
		fmt.Fprintf(c.OutOrStdout(), "%s\n\n%s", cmp.Or(c.Long, c.Short), c.UsageString()) // output keeps the error
	})
	root.SetUsageFunc(func(c *cobra.Command) error { return writeUsage(c.OutOrStdout(), c) })
	unsorted(root)
}

// unsorted has the flags of all commands come as they are declared.
func unsorted(c *cobra.Command) {
	c.Flags().SortFlags, c.PersistentFlags().SortFlags = false, false
	for _, below := range c.Commands() {
		unsorted(below)
	}
}

// writeUsage writes what follows the description of a command in its help.
func writeUsage(w io.Writer, c *cobra.Command) error {
	var out strings.Builder
	out.WriteString("Usage:\n")
	if c.Runnable() {
		fmt.Fprintf(&out, "  %s\n", c.UseLine())
	}
	if c.HasAvailableSubCommands() && !strings.Contains(c.Use, " ") {
		fmt.Fprintf(&out, "  %s COMMAND\n", c.CommandPath())
	}
	if c.HasExample() {
		fmt.Fprintf(&out, "\nExamples:\n%s\n", c.Example)
	}
	if c.HasAvailableSubCommands() {
		out.WriteString("\nCommands:\n")
		var rows []row
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() || sub.Name() == "help" {
				rows = append(rows, row{sub.Name(), sub.Short})
			}
		}
		writeRows(&out, rows)
	}
	writeFlags(&out, c)
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&out, "\n`%s COMMAND --help` says more about a command.\n", c.CommandPath())
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// writeFlags lists the flags of a command by section, and the kinds of pictures where a flag names some.
func writeFlags(out *strings.Builder, c *cobra.Command) {
	var own []*pflag.Flag
	common := make([][]*pflag.Flag, len(sections))
	var pictures []string
	visit := func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		if takesPictures(f) {
			pictures = append(pictures, "--"+f.Name)
		}
		group := groupOf(f)
		for i, section := range sections {
			if slices.Contains(section.groups, group) {
				common[i] = append(common[i], f)
				return
			}
		}
		own = append(own, f)
	}
	// A command's own flags come by name, common ones as they are declared: what is needed most comes first.
	c.LocalFlags().VisitAll(visit)
	c.InheritedFlags().VisitAll(visit)
	slices.SortStableFunc(own, func(a, b *pflag.Flag) int {
		return strings.Compare(a.Name, b.Name)
	})

	title := "Flags"
	if slices.ContainsFunc(common, func(flags []*pflag.Flag) bool { return len(flags) > 0 }) {
		title = "Flags of " + c.Name()
	}
	listed := func(title string, flags []*pflag.Flag) {
		if len(flags) > 0 {
			fmt.Fprintf(out, "\n%s:\n", title)
			var rows []row
			for _, f := range flags {
				rows = append(rows, row{flagName(f), flagHelp(f)})
			}
			writeRows(out, rows)
		}
	}
	listed(title, own)
	for i, section := range sections {
		listed("Common flags, "+section.title, common[i])
	}
	if len(pictures) == 0 {
		return
	}
	fmt.Fprintf(out, "\nPictures, as %s names them:\n", alternatives(pictures))
	var rows []row
	for _, kind := range data.Kinds() {
		if kind.Help != "" {
			rows = append(rows, row{kind.Name + ":" + kind.Argument, kind.Help})
		}
	}
	writeRows(out, append(rows, row{"DIR", "the same as folder:DIR"}))
}

// groupOf is the group of options that a flag belongs to, "" for a flag of the command's own.
func groupOf(f *pflag.Flag) string {
	if value, ok := f.Value.(*flagValue); ok {
		return value.options[0].Group
	}
	if group := f.Annotations[groupAnnotation]; len(group) > 0 {
		return group[0]
	}
	return ""
}

// takesPictures reports whether a flag names a data set.
func takesPictures(f *pflag.Flag) bool {
	value, ok := f.Value.(*flagValue)
	return ok && value.Type() == "PICTURES"
}

// flagName is a flag with a word for its value.
func flagName(f *pflag.Flag) string {
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	if f.Value.Type() == "bool" {
		return name
	}
	if word := f.Annotations[takesAnnotation]; len(word) > 0 {
		return name + " " + word[0]
	}
	return name + " " + f.Value.Type()
}

// flagHelp is what a flag does, and its default.
func flagHelp(f *pflag.Flag) string {
	text := f.Usage
	if f.Name == "help" {
		return "this text"
	}
	switch usual := f.DefValue; {
	case strings.Contains(text, "(default: "), usual == "", usual == "false", usual == "0", usual == "[]":
		return text
	default:
		return fmt.Sprintf("%s (default: %s)", text, strings.Trim(usual, "[]"))
	}
}

// help is a line about an option.
func help(o option.Option) string {
	if o.Usual != "" {
		return fmt.Sprintf("%s (default: %s)", o.Help, o.Usual)
	}
	return o.Help
}

// row is a name and what is said about it.
type row struct{ name, text string }

// writeRows writes rows in two columns. A name that is too long for its column has a line to itself.
func writeRows(out *strings.Builder, rows []row) {
	const most = 24
	column := 0
	for _, r := range rows {
		if n := utf8.RuneCountInString(r.name); n <= most {
			column = max(column, n)
		}
	}
	indent := strings.Repeat(" ", column+4)
	for _, r := range rows {
		lines := wrap(r.text, helpWidth-len(indent))
		if utf8.RuneCountInString(r.name) > column {
			fmt.Fprintf(out, "  %s\n%s", r.name, indent)
		} else {
			fmt.Fprintf(out, "  %-*s  ", column, r.name)
		}
		fmt.Fprintln(out, strings.Join(lines, "\n"+indent))
	}
}

// alternatives joins words by commas, the last by "or".
func alternatives(words []string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " or " + words[n-1]
	}
	return strings.Join(words, "")
}

// wrap breaks a text into lines of at most the given number of letters.
func wrap(text string, width int) []string {
	var lines []string
	for word := range strings.FieldsSeq(text) {
		if n := len(lines); n > 0 && utf8.RuneCountInString(lines[n-1])+1+utf8.RuneCountInString(word) <= width {
			lines[n-1] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}
