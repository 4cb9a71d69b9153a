package notebook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/janpfeifer/gonb/gonbui/protocol"

	"vitdecompose/plots/inline"
)

// drawing is the context of the drawing of [Explore] that runs, nil outside. A cell draws from one goroutine.
var drawing context.Context

// running is the context that work ends with: the notebook's Interrupt and, in a drawing, Stop.
func running() context.Context {
	if drawing != nil {
		return drawing
	}
	return inline.Context()
}

// ended is what a drawing panics with: [Explore] ends with the error.
type ended struct{ error }

// check ends the cell, or the drawing, with an error, if there is one.
func check(err error) {
	if err != nil && drawing != nil {
		panic(ended{err})
	}
	inline.Check(err)
}

// must is [check] for a function with a value.
func must[T any](value T, err error) T {
	check(err)
	return value
}

// note prints an assumption that changes numbers, once in a notebook. Cells are programs of their own, so what was said is kept
// in the folder of the kernel; where that cannot be, it is said again.
func note(assumption string) {
	line := "assumed: " + assumption + "\n"
	if dir := os.Getenv(protocol.GONB_TMP_DIR_ENV); dir != "" {
		path := filepath.Join(dir, "assumed")
		if said, err := os.ReadFile(path); err == nil && strings.Contains("\n"+string(said), "\n"+line) {
			return
		}
		if file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			_, err = file.WriteString(line)
			if err := errors.Join(err, file.Close()); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}
	fmt.Print(line)
}

// Control is a slider or a select.
type Control = inline.Control

// Slider slides over values, and begins at one of them.
func Slider[T comparable](name string, values []T, begin T) *inline.Choice[T] {
	return inline.Slider(name, values, begin)
}

// Select lists values, and begins at one of them.
func Select[T comparable](name string, values []T, begin T) *inline.Choice[T] {
	return inline.Select(name, values, begin)
}

// Range are the numbers from first to last.
func Range(first, last int) []int {
	var numbers []int
	for i := first; i <= last; i++ {
		numbers = append(numbers, i)
	}
	return numbers
}

// Frame is what a drawing of [Explore] is put into.
type Frame struct{ frame *inline.Frame }

// Printf adds a line.
func (f *Frame) Printf(format string, args ...any) { f.frame.Printf(format, args...) }

// Show adds the figures of what was found.
func (f *Frame) Show(found Showable) {
	for _, drawn := range found.drawings() {
		check(f.frame.Show(drawn.Figure))
	}
}

// Table adds the table of what was found.
func (f *Frame) Table(found Showable) { f.frame.Table(readable(found.table())) }

// Explore draws, and again whenever a control is moved, until Stop or the notebook's Interrupt. Above the drawing stand the
// values that it is of. An error ends it.
func Explore(draw func(f *Frame), controls ...Control) {
	inline.Check(inline.Explore(inline.Context(), func(ctx context.Context, f *inline.Frame) error {
		var values []string
		for _, c := range controls {
			values = append(values, c.String())
		}
		f.Printf("%s", strings.Join(values, ", "))
		return drawn(ctx, func() { draw(&Frame{f}) })
	}, controls...))
}

// drawn runs a drawing, and returns the error that ended it.
func drawn(ctx context.Context, draw func()) (err error) {
	drawing = ctx
	defer func() {
		drawing = nil
		switch e := recover().(type) {
		case nil:
		case ended:
			err = e.error
		default:
			panic(e) // a mistake in the cell
		}
	}()
	draw()
	return nil
}
