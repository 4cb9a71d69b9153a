package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"vitdecompose/data/printable"

	"github.com/spf13/cobra"
)

// Exit codes of the program.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// commands are what the program can do, in the order of its help.
func commands() []*cobra.Command {
	return []*cobra.Command{
		newRun(),
		newDescribe(),
		newHeatmap(),
		newExplore(),
		newAlign(),
		newDecompose(),
		newClassify(),
		newModels(),
		newTrain(),
		newBench(),
		newCache(),
		newKernel(),
		newDoctor(),
		newSetup(),
		newVersion(),
	}
}

// usageError is a mistake in the command line, as against a failure of the work.
type usageError struct{ error }

// usagef makes a usageError; a command returns it for flags that do not go
// together or an invalid value.
func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// run does what the command line says and returns the exit code: 0 done, 1
// failed, 2 wrong usage. Results go to stdout; stderr gets progress and, when
// the exit code is not 0, one line that says what is wrong.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:   "vitdecompose",
		Short: "Take a trained vision transformer apart",
		Long: `Take a trained vision transformer apart.

The representation of a picture is written as a sum of what each attention head,
MLP and convolution of the model adds to it (RepDecompose, arXiv 2406.01583).

GOMLX_BACKEND chooses the backend: xla:cpu, xla:cuda, xla:tpu or go.`,
		Example: `  vitdecompose doctor
  vitdecompose run ablation --out results/ablation`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
	}
	version := root.Flags().Bool("version", false, "the same as the command version")
	root.RunE = func(_ *cobra.Command, args []string) error {
		if *version && len(args) == 0 {
			return printVersions(root.OutOrStdout())
		}
		if len(args) == 0 {
			return root.Help()
		}
		hint := ""
		if similar := root.SuggestionsFor(args[0]); len(similar) > 0 {
			hint = fmt.Sprintf(", did you mean %s?", strings.Join(similar, " or "))
		}
		return usagef("unknown command %q%s", args[0], hint)
	}
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(commands()...)
	useHelp(root)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	if err := complete(root); err != nil {
		panic(err) // a flag that is offered and not there
	}
	root.SetArgs(args)
	out := &output{w: stdout}
	root.SetOut(out)
	root.SetErr(stderr)

	// Whatever cobra finds wrong before a command begins is wrong usage: unknown
	// flags, missing ones, too many arguments.
	began := false
	var watch func(c *cobra.Command)
	watch = func(c *cobra.Command) {
		if work := c.RunE; work != nil {
			c.RunE = func(c *cobra.Command, args []string) error {
				began = true
				return work(c, args)
			}
		}
		for _, below := range c.Commands() {
			watch(below)
		}
	}
	for _, c := range root.Commands() {
		watch(c)
	}

	c, err := root.ExecuteContextC(ctx)
	if out.err != nil {
		err = fmt.Errorf("standard output: %w", out.err)
	}
	if err == nil {
		return exitDone
	}
	code, hint := exitFailed, ""
	var usage usageError
	switch {
	case out.err != nil: // whatever was asked for
	case errors.As(err, &usage) || !began:
		code, hint = exitUsage, fmt.Sprintf("; see `%s --help`", c.CommandPath())
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		err = errors.New("interrupted")
	}
	fmt.Fprintf(stderr, "%s: %s%s\n", c.CommandPath(), printable.Text(oneLine(named(err.Error())), printable.Most), hint)
	return code
}

// output is standard output. It remembers the first failure, a full disk or a closed pipe, so that the commands need
// not look after each line.
type output struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (r *output) Write(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	var n int
	n, r.err = r.w.Write(p)
	return n, r.err
}

// oneLine joins the lines of a message, so that one line on stderr is one error.
func oneLine(s string) string {
	lines := strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "; ")
}
