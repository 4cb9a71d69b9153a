package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var goLine = regexp.MustCompile(`(?m)^go .*$`)

// TestOutsideModule builds a separate module that uses this one by the lines that the documentation gives.
func TestOutsideModule(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	readme := readDocument(t, "docs/library.md")
	for _, line := range []string{"    require vitdecompose v0.0.0\n", "    replace vitdecompose => ../vitdecompose\n"} {
		require.Contains(t, readme, line)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666))
	}
	write("main.go", `package main

import (
	"context"
	"fmt"

	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
)

func main() {
	ctx := context.Background()
	s, err := session.Open(ctx, session.Options{Data: "scenes:2"})
	if err != nil {
		panic(err)
	}
	defer s.Close()
	parts, err := experiments.Dissect(ctx, s, 0)
	fmt.Println(len(parts.Shares), err)
}
`)
	own, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	version := goLine.FindString(string(own))
	require.NotEmpty(t, version)
	write("go.mod", "module outside\n\n"+version+"\n\nrequire vitdecompose v0.0.0\nreplace vitdecompose => "+root+"\n")
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	write("go.sum", string(sums)) // what is downloaded already is enough
	for _, args := range [][]string{{"vet", "./..."}} {
		c := exec.Command("go", args...)
		c.Dir, c.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off")
		out, err := c.CombinedOutput()
		require.NoError(t, err, "go %v: %s", args, out)
	}
}
