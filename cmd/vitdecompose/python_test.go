package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vitdecompose/decompose"
)

// TestPythonReads has NumPy and pandas read what the program writes, by the lines that the README gives.
func TestPythonReads(t *testing.T) {
	python := os.Getenv("VITDECOMPOSE_PYTHON")
	if python == "" {
		t.Skip("VITDECOMPOSE_PYTHON names no Python with pandas: `make python-test` installs one")
	}
	script, err := filepath.Abs(filepath.Join("..", "..", "docs", "python", "read.py"))
	require.NoError(t, err)
	model := tinyModel(t)
	photos := writePictures(t, t.TempDir(), 2)
	dir := t.TempDir()
	t.Chdir(dir)
	succeed(t, append([]string{"decompose", "--model", model, "--out", "parts.safetensors"}, photos...)...)
	succeed(t, "run", "ablation", "--model", model, "--data", "watched:9:3", "--cache", "cache", "--out", "results/ablation")
	hash := regexp.MustCompile(`(?m)^[0-9a-f]{12}`).FindString(succeed(t, "cache", "list", "--cache", "cache"))
	succeed(t, "cache", "export", hash, "--cache", "cache", "--out", "tables", "--format", "parquet")

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	read, err := exec.CommandContext(ctx, python, script).CombinedOutput()
	require.NoError(t, err, "%s", read)
	require.Regexp(t, `^\d+ components sum to the representation up to (0\.0|\d(\.\d+)?e-\d\d)\n`, string(read))
	for _, component := range []string{decompose.Component{Kind: decompose.Init}.String(), "\n0  ", "tiny"} {
		require.Contains(t, string(read), component)
	}
}

// TestREADMEReadsInPython: the README shows the program that is tested.
func TestREADMEReadsInPython(t *testing.T) {
	for _, document := range []string{"README.md", "docs/library.md"} {
		_, after, found := strings.Cut(readDocument(t, document), "```python\n")
		require.True(t, found, document)
		shown, _, _ := strings.Cut(after, "```")
		require.Equal(t, readDocument(t, "docs/python/read.py"), shown, document)
	}
}
