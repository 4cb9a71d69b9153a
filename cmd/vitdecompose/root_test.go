package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// emptyMachine is a machine without plugins and caches.
func emptyMachine(t *testing.T) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("VITDECOMPOSE_CACHE", "")
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", "")
	t.Setenv("GOMLX_BACKEND", "")
	t.Setenv("HF_HUB_CACHE", "")
	t.Setenv("HF_HOME", "")
}

// runLine runs a command line and returns what it left behind.
func runLine(t *testing.T, line string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errors bytes.Buffer
	code = run(t.Context(), strings.Fields(line), &out, &errors)
	return code, out.String(), errors.String()
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		line   string
		code   int
		stderr string // part of the one line
	}{
		{"", exitDone, ""},
		{"--help", exitDone, ""},
		{"version", exitDone, ""},
		{"--version", exitDone, ""},
		{"help version", exitDone, ""},
		{"doktor", exitUsage, `vitdecompose: unknown command "doktor", did you mean doctor?; see ` + "`vitdecompose --help`"},
		{"--frob", exitUsage, "unknown flag: --frob"},
		{"version now", exitUsage, "vitdecompose version: "},
		{"doctor --quick", exitUsage, "see `vitdecompose doctor --help`"},
		{"setup --device", exitUsage, "needs an argument"},
		{"setup --device abacus", exitUsage, "--device abacus: no such device; use cpu, cuda or tpu"},
	} {
		t.Run("vitdecompose "+c.line, func(t *testing.T) {
			emptyMachine(t)
			code, _, stderr := runLine(t, c.line)
			require.Equal(t, c.code, code)
			if c.code == exitDone {
				require.Empty(t, stderr)
				return
			}
			require.Contains(t, stderr, c.stderr)
			require.Equal(t, 1, strings.Count(stderr, "\n"), "one line, not %q", stderr)
		})
	}
}

func TestABackendThatDoesNotExistFails(t *testing.T) {
	for _, line := range []string{"doctor", "setup"} {
		emptyMachine(t)
		t.Setenv("GOMLX_BACKEND", "abacus")
		code, _, stderr := runLine(t, line)
		require.Equal(t, exitFailed, code)
		require.Equal(t, "vitdecompose "+line+`: GOMLX_BACKEND: unknown backend "abacus"; `+
			"use xla:cpu, xla:cuda, xla:tpu, xla:/path/of/a/plugin or go\n", stderr)
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	for _, c := range commands() {
		t.Run(c.Name(), func(t *testing.T) {
			require.NotEmpty(t, c.Short)
			require.Contains(t, c.Example, "vitdecompose "+c.Name())
			require.NotNil(t, c.Args, "says which arguments it takes")
			code, stdout, stderr := runLine(t, c.Name()+" --help")
			require.Equal(t, exitDone, code)
			require.Contains(t, stdout, "Examples:")
			require.Empty(t, stderr)
		})
	}
}

func TestDoctor(t *testing.T) {
	emptyMachine(t)
	t.Setenv("GOMLX_BACKEND", "go")
	code, stdout, stderr := runLine(t, "doctor")
	require.Equal(t, exitDone, code)
	require.Empty(t, stderr)
	for _, want := range []string{
		"backend ", "GOMLX_BACKEND ", "device 0 ", "cache: plugin ", "cache: contributions ",
		"cache: Hugging Face hub ", "vitdecompose ", "go ", "CPU cores ", "verdict ",
	} {
		require.Contains(t, "\n"+stdout, "\n"+want)
	}
}

func TestDoctorKnowsWhereTheCachesAre(t *testing.T) {
	emptyMachine(t)
	t.Setenv("GOMLX_BACKEND", "go")
	hub, own := t.TempDir(), t.TempDir()
	t.Setenv("HF_HUB_CACHE", hub)
	t.Setenv("VITDECOMPOSE_CACHE", own)
	require.NoError(t, os.MkdirAll(filepath.Join(own, "contributions", "entry"), 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(own, "contributions", "entry", "chunk"), make([]byte, 1500), 0o666))
	_, stdout, _ := runLine(t, "doctor")
	require.Regexp(t, `(?m)^cache: contributions +1\.5 kB in 1 files, `+own+`/contributions$`, stdout)
	require.Regexp(t, `(?m)^cache: Hugging Face hub +0 bytes in 0 files, `+hub+`$`, stdout)
}

func TestDoctorWithoutThePluginThatWasAskedFor(t *testing.T) {
	emptyMachine(t)
	t.Setenv("GOMLX_BACKEND", "xla:tpu")
	code, stdout, stderr := runLine(t, "doctor")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "does not open")
	require.Contains(t, stderr, "vitdecompose setup --device tpu")
}

func TestSetupWithoutNeed(t *testing.T) {
	emptyMachine(t)
	t.Setenv("GOMLX_BACKEND", "go")
	code, stdout, _ := runLine(t, "setup")
	require.Equal(t, exitDone, code)
	require.Contains(t, stdout, "no plugin")
}

func TestVersion(t *testing.T) {
	code, stdout, _ := runLine(t, "version")
	require.Equal(t, exitDone, code)
	for _, want := range []string{"vitdecompose ", "go go1.", "github.com/gomlx/gomlx v"} {
		require.Contains(t, "\n"+stdout, "\n"+want)
	}
}

func TestInterrupted(t *testing.T) {
	emptyMachine(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitFailed, run(ctx, []string{"setup"}, &stdout, &stderr))
	require.Equal(t, "vitdecompose setup: interrupted\n", stderr.String())
}

// full is a disk without space.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestResultsThatCannotBePrinted(t *testing.T) {
	model := tinyModel(t)
	photo := writePictures(t, t.TempDir(), 1)[0]
	for _, args := range [][]string{{"version"}, {"models"}, {"--help"}, {"classify", "--model", model, photo}} {
		var stderr bytes.Buffer
		require.Equal(t, exitFailed, run(t.Context(), args, full{}, &stderr), args)
		require.Regexp(t, `^vitdecompose[a-z ]*: standard output: no space left\n$`, stderr.String())
	}
}

func TestOneLine(t *testing.T) {
	require.Equal(t, "a; b; c", oneLine("a\n  b\r\n\nc\n"))
}
