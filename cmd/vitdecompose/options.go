package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"gonum.org/v1/plot/vg"

	"vitdecompose/data/atomicfile"
	"vitdecompose/data/printable"
	"vitdecompose/data/progress"
	"vitdecompose/data/spelling"
	"vitdecompose/experiments"
	"vitdecompose/experiments/bench"
	"vitdecompose/experiments/option"
	"vitdecompose/experiments/session"
	"vitdecompose/plots"
)

// flagValue is an option as the command line has it, or several that have one flag: the same may be part of the
// configurations of several experiments.
type flagValue struct {
	options []option.Option
	shared  bool // further options of the name are set too
}

// Set implements [pflag.Value].
func (f *flagValue) Set(text string) error {
	for _, o := range f.options {
		if err := o.Set(text); err != nil {
			return err
		}
	}
	return nil
}

// String implements [pflag.Value].
func (f *flagValue) String() string {
	if len(f.options) == 0 { // pflag asks the zero value too
		return ""
	}
	return f.options[0].String()
}

// Type implements [pflag.Value]: what help calls the value.
func (f *flagValue) Type() string { return f.options[0].Kind() }

// addOptions gives a command the flags of options, those of some groups or, with none named, all. A flag that the command has
// already keeps its meaning.
func addOptions(c *cobra.Command, target any, groups ...string) {
	for _, o := range option.Of(target, groups...) {
		if c.Flags().Lookup(o.Flag) == nil {
			addFlag(c, o, false)
		}
	}
}

// addConfig gives a command the flags of an experiment's own configuration. Where several experiments have the same, it sets
// all of them.
func addConfig(c *cobra.Command, config any) {
	for _, o := range option.Of(config) {
		existing := c.Flags().Lookup(o.Flag)
		if existing == nil {
			addFlag(c, o, true)
			continue
		}
		if value, ok := existing.Value.(*flagValue); ok && value.shared {
			value.options = append(value.options, o)
		}
	}
}

func addFlag(c *cobra.Command, o option.Option, shared bool) {
	f := c.Flags().VarPF(&flagValue{[]option.Option{o}, shared}, o.Flag, "", help(o))
	if f.DefValue = o.Default(); o.IsBoolFlag() {
		f.NoOptDefVal, f.DefValue = "true", "false"
	}
}

// described are the structs whose options errors may name, with the flags that they have.
func described() []any {
	targets := []any{new(session.Options)}
	for _, e := range append(experiments.All(), experiments.Describing(), experiments.Sweeping()) {
		targets = append(targets, e.NewConfig())
	}
	return append(targets, new(bench.ModelConfig), new(bench.AlignConfig), new(bench.ScaleConfig), new(bench.StoreConfig), new(decomposing), new(heatmap), new(experiments.ExploreConfig))
}

// flagError says what is wrong with a flag in one line.
func flagError(c *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	var wrong *option.Error
	if errors.As(err, &invalid) && errors.As(err, &wrong) {
		return usageError{fmt.Errorf("--%s: %w", invalid.GetFlag().Name, wrong.Err)}
	}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		return usageError{errors.New(unknownFlag(c, unknown.GetSpecifiedName(), err))}
	}
	return usageError{err}
}

// unknownFlag says which flag was meant, or where the flag belongs.
func unknownFlag(c *cobra.Command, name string, err error) string {
	var known []string
	c.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	for _, nearest := range spelling.Nearest(name, known, 1) {
		if spelling.Distance(name, nearest) < 3 {
			return fmt.Sprintf("%v, did you mean --%s?", err, nearest)
		}
	}
	if c.Parent() == nil {
		return err.Error()
	}
	var others []string
	for _, other := range c.Parent().Commands() {
		if other.Flags().Lookup(name) != nil {
			others = append(others, other.Name())
		}
	}
	if c.Flags().Lookup("correlated") != nil && slices.Contains(optionsOf("data"), name) {
		return fmt.Sprintf("%s does not use --%s: its pictures are named with --correlated and --uncorrelated, such as waterbirds:DIR:train and waterbirds:DIR:test", c.Name(), name)
	}
	if len(others) > 0 && c.Parent().HasParent() {
		return fmt.Sprintf("%s does not use --%s, which is for %s", c.Name(), name, strings.Join(others, ", "))
	}
	return err.Error()
}

// listen has a session tell the command's standard error how it goes, and standard output what is assumed.
func listen(c *cobra.Command, o *session.Options) {
	o.Progress = progress.New(stderrFile(c))
	o.Warn = func(err error) {
		fmt.Fprintln(c.ErrOrStderr(), printable.Text(oneLine(named(err.Error())), printable.Most))
	}
	o.Note = func(assumption string) { fmt.Fprintln(c.OutOrStdout(), "assuming:", named(assumption)) }
}

// named writes the names of options as flags.
func named(message string) string { return option.AsFlags(message, described()...) }

// usage makes mistakes in options wrong usage.
func usage(err error) error {
	var wrong *option.Error
	if errors.As(err, &wrong) {
		return usageError{err}
	}
	return err
}

// unneeded refuses flags that no model makes use of; those of one group count as used in any case.
func unneeded(c *cobra.Command, sessions []*session.Session, used string) error {
	for _, o := range option.Of(new(session.Options)) {
		if f := c.Flags().Lookup(o.Flag); f == nil || !f.Changed || o.Group == used {
			continue
		}
		var why []string
		for _, s := range sessions {
			if reason := s.Unneeded(o.Group); reason != "" {
				why = append(why, reason)
			}
		}
		if len(why) == len(sessions) && len(why) > 0 {
			return usagef("--%s is not used: %s", o.Flag, why[0])
		}
	}
	return nil
}

// figureFlags say how figures are drawn.
type figureFlags struct {
	width vg.Length // 0: what each is made for
	c     *cobra.Command
}

func (f *figureFlags) add(c *cobra.Command) {
	f.c = c
	c.Flags().Func("width", "width of the figures: column (85mm), page (177mm) or millimetres such as 120mm (default: page, or column for the curves of one model)",
		func(text string) (err error) {
			f.width, err = plots.ParseWidth(text)
			return err
		})
	takes(c.Flags(), "width", "WIDTH")
}

// save writes a figure as base.png, base.svg and base.pdf. It says which letters could not be written.
func (f *figureFlags) save(figure plots.Sized, base string) error {
	if letters := plots.Unwritten(figure); letters != "" {
		fmt.Fprintf(f.c.ErrOrStderr(), "%s.{png,svg,pdf}: a question mark stands for each of the letters that the typeface of the figures does not have: %s\n",
			base, printable.Text(letters, 200))
	}
	return plots.SaveAt(figure, base, f.width)
}

// checkWritable reports whether a file can be written there; it leaves no trace. An empty path is fine.
func checkWritable(path string) error {
	if path == "" {
		return nil
	}
	f, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	return f.Abort()
}

// stderrFile is the terminal or file that progress goes to; nil, which means silence, when errors go elsewhere.
func stderrFile(c *cobra.Command) *os.File {
	f, ok := c.ErrOrStderr().(*os.File)
	if !ok {
		return nil
	}
	return f
}

// optionsOf are the flags of groups of the session's options.
func optionsOf(groups ...string) []string {
	var names []string
	for _, o := range option.Of(new(session.Options), groups...) {
		names = append(names, o.Flag)
	}
	return names
}
