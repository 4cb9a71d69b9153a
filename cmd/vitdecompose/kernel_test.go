package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/jupyter/kernel"
)

// withKernelTools puts stand-ins for the programs of the kernel on the PATH.
func withKernelTools(t *testing.T, names ...string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755))
	}
	t.Setenv("PATH", dir)
}

func TestKernelInstall(t *testing.T) {
	withKernelTools(t, "go", "gonb", "goimports", "gopls")
	prefix := t.TempDir()
	code, stdout, stderr := runLine(t, "kernel install --prefix "+prefix)
	require.Equal(t, exitDone, code, stderr)
	written := filepath.Join(prefix, "share", "jupyter", "kernels", kernel.Name, "kernel.json")
	require.Contains(t, stdout, "wrote "+written+"\n")
	require.FileExists(t, written)

	user := t.TempDir()
	t.Setenv("JUPYTER_DATA_DIR", user)
	code, _, stderr = runLine(t, "kernel install --user")
	require.Equal(t, exitDone, code, stderr)
	require.FileExists(t, filepath.Join(user, "kernels", kernel.Name, "kernel.json"))
	_, stdout, _ = runLine(t, "doctor")
	require.Regexp(t, `(?m)^notebooks. kernel +there, and known to your Jupyter by `+user, stdout)
}

func TestKernelInstallRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"kernel":                           "accepts 1 arg(s), received 0",
		"kernel start":                     `invalid argument "start"`,
		"kernel install --user --prefix x": "--user and --prefix cannot be used together",
	} {
		code, _, stderr := runLine(t, line)
		require.Equal(t, exitUsage, code, line)
		require.Contains(t, stderr, want)
	}
	withKernelTools(t)
	code, _, stderr := runLine(t, "kernel install --prefix "+t.TempDir())
	require.Equal(t, exitFailed, code)
	require.Equal(t, "vitdecompose kernel: the notebook kernel needs go: install Go 1.26 or newer\n", stderr)
}
