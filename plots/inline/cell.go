package inline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"

	"github.com/janpfeifer/gonb/gonbui"
)

// kernelVariable has the kernel's identity where a Jupyter server runs the notebook for a browser.
const kernelVariable = "GONB_JUPYTER_KERNEL_ID"

// interactive reports whether a browser shows the notebook. Without one, a widget would wait for it forever.
func interactive() bool { return gonbui.IsNotebook && os.Getenv(kernelVariable) != "" }

// Context is a context that ends when the notebook's Interrupt is pressed. Work that it ends leaves the cache whole; a second
// Interrupt ends the cell at once.
func Context() context.Context { return interrupted() }

var interrupted = sync.OnceValue(func() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop)
	return ctx
})

// Check ends the cell with an error, written as one line, if there is one. It is for notebooks alone: the program ends.
func Check(err error) {
	if err == nil {
		return
	}
	gonbui.Sync()
	fmt.Fprintln(os.Stderr, message(err))
	os.Exit(1)
}

// Must is [Check] for a function with a value.
func Must[T any](value T, err error) T {
	Check(err)
	return value
}

// message is an error in one line.
func message(err error) string {
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
