package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is the program in a separate process.
func process(t *testing.T, shell string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	c := exec.CommandContext(t.Context(), "/bin/sh", append([]string{"-c", shell + `exec "$0" "$@"`, self}, args...)...)
	c.Env = append(os.Environ(), asProgram+"=1")
	return c
}

// TestFullDisk lets files grow to 32 KiB only, which a program notices as it does a full disk: a write fails.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	model := tinyModel(t)
	pixels := writePixels(t, "pixels", 40, tinySide)
	out := filepath.Join(dir, "out.safetensors")
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"decompose": {[]string{"decompose", "--model", model, "--pixels", pixels, "--split", "tokens", "--out", out}, out},
		"the cache": {[]string{"run", "ablation", "--model", model, "--data", "scenes:128", "--batch", "64", "--cache", filepath.Join(dir, "cache"), "--out", filepath.Join(dir, "results")}, "the cache cannot be written"},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			p := process(t, "trap '' XFSZ; ulimit -f 64; ", c.args...) // of 512 bytes
			p.Stderr = &stderr
			require.Error(t, p.Run())
			require.Equal(t, exitFailed, p.ProcessState.ExitCode(), stderr.String())
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			last := lines[len(lines)-1]
			require.True(t, strings.HasPrefix(last, "vitdecompose "+c.args[0]), last)
			require.Contains(t, last, c.says)
			require.Contains(t, last, "file too large")
			require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
				if err == nil && !entry.IsDir() && filepath.Base(path) != "key.json" {
					return fmt.Errorf("%s was left behind", path)
				}
				return err
			}))
		})
	}
}

// TestCtrlC interrupts a run while it decomposes; a second run goes on where it stopped.
func TestCtrlC(t *testing.T) {
	dir := t.TempDir()
	model := tinyModel(t)
	args := []string{"run", "ablation", "--model", model, "--data", "watched:400", "--batch", "4", "--cache", filepath.Join(dir, "cache"), "--out", filepath.Join(dir, "results")}
	p := process(t, "", args...)
	pipe, err := p.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	lines := bufio.NewScanner(pipe)
	require.True(t, lines.Scan(), "progress")
	require.Contains(t, lines.Text(), "decomposing pictures: 0 of 400")
	require.Eventually(t, func() bool {
		chunks, err := filepath.Glob(filepath.Join(dir, "cache", "*", "chunk-*"))
		return err == nil && len(chunks) >= 3
	}, time.Minute, 5*time.Millisecond)
	require.NoError(t, p.Process.Signal(syscall.SIGINT))
	last := ""
	for lines.Scan() {
		last = lines.Text()
	}
	require.Error(t, p.Wait())
	require.Equal(t, exitFailed, p.ProcessState.ExitCode())
	require.Equal(t, "vitdecompose run ablation: interrupted", last)
	entries, err := os.ReadDir(filepath.Join(dir, "results"))
	require.NoError(t, err)
	require.Empty(t, entries)
	chunks, err := filepath.Glob(filepath.Join(dir, "cache", "*", "chunk-*"))
	require.NoError(t, err)
	require.Less(t, len(chunks), 100)

	var drawn atomic.Int64
	watch(t, func(int) { drawn.Add(1) })
	succeed(t, args...)
	require.Equal(t, int64(400-4*len(chunks)), drawn.Load())
	require.Equal(t, 400, readResult(t, filepath.Join(dir, "results")).Result.Curves[0].Pictures)
}
