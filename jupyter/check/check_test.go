package check

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNotebook checks notebooks that GoNB executed (nbconvert --execute --allow-errors): one that runs to its end, and
// others that fail on purpose, each in another way.
func TestNotebook(t *testing.T) {
	for name, want := range map[string]string{
		"passes":     "",
		"panics":     "cell [2]: exit status 2, after it said: panic: runtime error: index out of range [0] with length 0",
		"exits":      "cell [2]: exit status 3, after it said: no such picture",
		"killed":     "cell [2]: signal: killed",
		"compile":    `cell [2]: ERROR: failed to run "/usr/local/go/bin/go build`,
		"command":    `cell [2]: "%nosuchcommand" unknown or not implemented yet.`,
		"unfinished": `cell [2]: it shows no picture, and ended before it should`,
	} {
		t.Run(name, func(t *testing.T) {
			f, err := os.Open(filepath.Join("testdata", name+".ipynb"))
			require.NoError(t, err)
			defer f.Close()
			err = Notebook(f)
			if want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

const ok = `{"cell_type": "code", "source": "x", "execution_count": 9, "metadata": {"shows": ["text"]},
	"outputs": [{"output_type": "stream", "name": "stdout", "text": "OK\n"}]}`

func TestNotebookByCell(t *testing.T) {
	cell := func(count, outputs string) string {
		return fmt.Sprintf(`{"cell_type": "code", "source": ["a\n", "b"], "execution_count": %s, "outputs": [%s]}, %s`, count, outputs, ok)
	}
	stderr := func(s string) string {
		return cell("1", fmt.Sprintf(`{"output_type": "stream", "name": "stderr", "text": %q}`, s))
	}
	for _, c := range []struct{ name, cells, want string }{
		{"done", ok, ""},
		{"markdown is not executed", `{"cell_type": "markdown", "source": "exit status 2"}, ` + ok, ""},
		{"neither is an empty cell", `{"cell_type": "code", "source": [" \n"], "execution_count": null, "outputs": []}, ` + ok, ""},
		{"nor one behind the last", ok + `, {"cell_type": "code", "source": "", "outputs": []}`, ""},
		{"a warning", stderr("the exit status 2 of others\n"), ""},
		{"a program may say so on stdout", cell("1", `{"output_type": "stream", "name": "stdout", "text": "exit status 2"}`), ""},
		{"a picture", cell("1", `{"output_type": "display_data", "data": {"image/png": "AAAA"}, "metadata": {}}`), ""},
		{"merged streams", stderr("bad flag\nexit status 1\n"), "cell [1]: exit status 1, after it said: bad flag"},
		{"pipe", stderr("signal: broken pipe"), "cell [1]: signal: broken pipe"},
		{"GoNB", stderr("GoNB Error:\nno pipe"), "cell [1]: GoNB Error:"},
		{"not executed", cell("null", ""), `the cell "a": was not executed`},
		{"executed last", cell("10", ""), "cell [9]: was not executed after the one before it, which has [10]"},
		{"twice the same", cell("9", ""), "cell [9]: was not executed after"},
		{"two failures", cell("1", `{"output_type": "error", "ename": "ERROR", "evalue": "a\nb"}`) + `, ` + ok,
			"cell [1]: ERROR: a\ncell [9]: was not executed after"},
		{"nothing at all", ``, "there is no code cell"},
		{"only text", `{"cell_type": "markdown", "source": "OK"}`, "there is no code cell"},
		{"nothing to show", strings.Replace(ok, `"text"]`, `]`, 1), `cell [9]: is the last one, and its metadata "shows" do not say`},
		{"text on stderr", strings.Replace(ok, `stdout`, `stderr`, 1), "cell [9]: it shows no text"},
		{"no table", strings.Replace(ok, `["text"]`, `["text", "table"]`, 1), "cell [9]: it shows no table, and ended before it should"},
		{"another kind", strings.Replace(ok, `["text"]`, `["sound"]`, 1), `have "sound", which is none of picture, table, page, text`},
		{"no page", strings.Replace(ok, `["text"]`, `["page"]`, 1), "cell [9]: it shows no page"},
		{"page", `{"cell_type": "code", "source": "x", "execution_count": 9, "metadata": {"shows": ["page"]}, "outputs": [
			{"output_type": "display_data", "data": {"text/html": "<iframe srcdoc=1></iframe>"}}]}`, ""},
		{"picture and table", `{"cell_type": "code", "source": "x", "execution_count": 9, "metadata": {"shows": ["picture", "table"]}, "outputs": [
			{"output_type": "display_data", "data": {"image/jpeg": "AAAA"}}, {"output_type": "display_data", "data": {"text/html": ["<table>", "</table>"]}}]}`, ""},
		{"unknown cell", `{"cell_type": "heading", "source": "x"}`, `cell 1 of the file has the unknown type "heading"`},
		{"unknown output", cell("1", `{"output_type": "pyerr"}`), `an output of the unknown type "pyerr"`},
		{"a number as source", `{"cell_type": "code", "source": 1}`, "not a notebook: json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Notebook(strings.NewReader(`{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [` + c.cells + `]}`))
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
		})
	}
}

// contents are the files that a pattern names, of which there must be some.
func contents(t testing.TB, pattern string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, files)
	byName := make(map[string]string)
	for _, name := range files {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		byName[name] = string(b)
	}
	return byName
}

// TestNoTimestamps: an update that changes no output of a notebook changes nothing of its file.
func TestNoTimestamps(t *testing.T) {
	for name, content := range contents(t, "../../notebooks/*.ipynb") {
		require.NotContains(t, content, `"iopub.execute_input"`, "%s: `make notebooks UPDATE=1` executes without them", name)
	}
}

// endless is a notebook that does not end.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

func TestNotANotebook(t *testing.T) {
	for content, want := range map[string]string{
		"":                             "not a notebook: unexpected end of JSON input",
		"{}":                           "not a notebook of nbformat 4",
		`{"nbformat": 3, "cells": []}`: "not a notebook of nbformat 4",
		`{"nbformat": 4} {}`:           "not a notebook: invalid character",
		`[]`:                           "not a notebook: json",
		strings.Repeat("[", 1<<20):     "not a notebook: ",
	} {
		require.ErrorContains(t, Notebook(strings.NewReader(content)), want)
	}
	require.EqualError(t, Notebook(endless{}), "the notebook has more than 67108864 bytes")
}

// FuzzNotebook holds that no bytes make the check panic.
func FuzzNotebook(f *testing.F) {
	for _, content := range contents(f, "testdata/*.ipynb") {
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content string) {
		if err := Notebook(strings.NewReader(content)); err != nil {
			require.NotEmpty(t, strings.TrimSpace(err.Error()))
		}
	})
}

func ExampleNotebook() {
	executed := `{"nbformat": 4, "cells": [{"cell_type": "code", "source": "%%", "execution_count": 1,
		"outputs": [{"output_type": "stream", "name": "stderr", "text": "exit status 1\n"}]}]}`
	fmt.Println(Notebook(strings.NewReader(executed)))
	// Output: cell [1]: exit status 1
}
