package experiments_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/study"
	"vitdecompose/experiments/tiny"
	"vitdecompose/gomlxvit/zoo"
)

// shared is a cache that tests share whose models and pictures are the same: each of them finds what others have computed.
var shared = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "experiments") })

func sharedCache(t testing.TB) string {
	t.Helper()
	dir, err := shared()
	require.NoError(t, err)
	return dir
}

func TestMain(m *testing.M) {
	// These tests compile much and compute little. What XLA computes with all its optimisations is the matter of the tests of
	// gomlxvit and decompose, and of those that ask for a process of their own with [optimised].
	if os.Getenv("XLA_FLAGS") == "" {
		os.Setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
	}
	code := m.Run()
	if dir, err := shared(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// asUsers are the XLA_FLAGS of [optimised]: XLA's own default, said so that TestMain leaves it alone.
const asUsers = "--xla_backend_optimization_level=3"

// optimised is whether XLA compiles as it does for users. Else it has the test run again, in a process where it does.
func optimised(t *testing.T) bool {
	t.Helper()
	if os.Getenv("XLA_FLAGS") == asUsers {
		return true
	}
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run", "^"+t.Name()+"$")
	again.Env = append(os.Environ(), "XLA_FLAGS="+asUsers)
	output, err := again.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Contains(t, string(output), "--- PASS: "+t.Name())
	return false
}

// sessionOf is the session of an extraction.
func sessionOf(t testing.TB, e extraction.Extraction) *session.Session {
	t.Helper()
	options := session.Options{
		Model: e.Model.Name, Pictures: e.Pictures, Batch: e.Batch, Orient: e.Orient, MaxBad: e.MaxBad, Keep: e.Keep, Devices: e.Devices,
		CacheDir: e.CacheDir, Progress: e.Progress, Warn: e.Warn,
	}
	if e.Options.End > 0 {
		options.Blocks = fmt.Sprintf("%d..%d", e.Options.First, e.Options.End-1)
	}
	s, err := session.With(t.Context(), options, session.Given{Backend: e.Backend, Model: e.Model, Data: e.Data})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// smallSession is about a model of the zoo and few scenes, aligned on a few hundred.
func smallSession(t testing.TB, name, store string, changes ...func(*session.Options)) *session.Session {
	t.Helper()
	options := session.Options{Model: name, Data: "scenes:150", AlignData: "scenes:300:1", AlignEpochs: 20, Batch: 50, CacheDir: store}
	for _, change := range changes {
		change(&options)
	}
	s, err := session.With(t.Context(), options, session.Given{Model: tiny.Shipped(t, name), Reference: tiny.Shipped(t, zoo.Reference)})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// readingOf is the session's.
func readingOf(t testing.TB, s *session.Session) *study.Reading {
	t.Helper()
	r, err := s.Reading(t.Context())
	require.NoError(t, err)
	return r
}

// sceneFeatures are the features that scenes have the truth about.
func sceneFeatures(t testing.TB, names ...string) []phrases.Feature {
	t.Helper()
	features, err := phrases.Features("scenes")
	require.NoError(t, err)
	return slices.DeleteFunc(features, func(f phrases.Feature) bool { return !slices.Contains(names, f.Name) })
}
