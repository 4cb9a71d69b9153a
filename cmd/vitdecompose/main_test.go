package main

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"vitdecompose/data"
	"vitdecompose/data/picture"
)

// asProgram makes the test's binary the program itself, for tests that need a process of their own.
const asProgram = "VITDECOMPOSE_TEST_AS_PROGRAM"

// usersBackend is GOMLX_BACKEND as it was when the tests began.
var usersBackend string

func TestMain(m *testing.M) {
	data.Register(data.Kind{Name: "watched", Argument: "N", Open: openWatched})
	if os.Getenv(asProgram) != "" {
		slow := func(int) { time.Sleep(20 * time.Millisecond) } // leaves time to interrupt it
		onPicture.Store(&slow)
		main()
	}
	usersBackend = os.Getenv("GOMLX_BACKEND")
	// The tests' model is so small that the pure-Go backend is done before XLA has compiled.
	// TestBackendsAgree holds the user's backend against it.
	os.Setenv("GOMLX_BACKEND", "go")
	// Where XLA is asked for, these tests compile much and compute little. What it computes with all its optimisations is
	// the matter of the tests below the command line.
	if os.Getenv("XLA_FLAGS") == "" {
		os.Setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
	}
	os.Exit(m.Run())
}

// long leaves a test out, or what follows of it, with -short. Another one that is shorter runs the same code.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long; not with -short")
	}
}

// watched is a data set of scenes that tells when a picture is drawn: --data watched:N.
type watched struct{ data.Dataset }

func openWatched(_ context.Context, argument string, opts data.Options) (data.Dataset, error) {
	ds, err := data.Open("scenes:"+argument, opts)
	return watched{ds}, err
}

var onPicture atomic.Pointer[func(i int)]

func (w watched) Picture(i int) (*picture.Picture, error) {
	if told := onPicture.Load(); told != nil {
		(*told)(i)
	}
	return w.Dataset.Picture(i)
}

// watch calls told for every picture of a watched data set until the test ends.
func watch(t *testing.T, told func(i int)) {
	t.Helper()
	onPicture.Store(&told)
	t.Cleanup(func() { onPicture.Store(nil) })
}

// endsAfter is a context that is cancelled when it was asked n times.
type endsAfter struct {
	context.Context
	left atomic.Int64
}

func (c *endsAfter) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return c.Context.Err()
}
