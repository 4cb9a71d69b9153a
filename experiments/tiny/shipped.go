package tiny

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/zoo"
)

// shipped are the models of the zoo that were opened, by their names.
var shipped sync.Map

// Shipped is a model of the zoo, opened once in a process with what was compiled for it. Tests do not change it.
func Shipped(t testing.TB, name string) *gomlxvit.Model {
	t.Helper()
	open, _ := shipped.LoadOrStore(name, sync.OnceValues(func() (*gomlxvit.Model, error) {
		ckpt, err := zoo.Open(name)
		if err != nil {
			return nil, err
		}
		defer ckpt.Close()
		return gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{Text: true})
	}))
	model, err := open.(func() (*gomlxvit.Model, error))()
	require.NoError(t, err)
	return model
}

// Stages is a progress that remembers what long work was begun.
type Stages struct{ Begun []string }

func (s *Stages) Start(what string, _ int) { s.Begun = append(s.Begun, what) }
func (s *Stages) Add(int)                  {}
func (s *Stages) Done()                    {}

// Open opens a session by names, which keeps what it computes in a directory. A warning fails the test.
func Open(t testing.TB, dir string, options session.Options) (*session.Session, *Stages) {
	t.Helper()
	heard := new(Stages)
	options.CacheDir, options.Progress = dir, heard
	options.Warn = func(err error) { t.Error(err) }
	s, err := session.Open(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s, heard
}
