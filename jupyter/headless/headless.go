// Package headless executes small notebooks without a browser, for tests of what their reader sees when something is
// missing.
package headless

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"vitdecompose/jupyter/kernel"
)

// Jupyter is an installation of nbconvert with a kernel.
type Jupyter struct {
	// Python is the one that nbconvert is installed for.
	Python string
	// Path is JUPYTER_PATH, where Jupyter finds kernels beside its own places.
	Path string
	// Env are variables that kernels see beside those of this process, as NAME=VALUE.
	Env []string
}

// Of is the Jupyter that `make lab` installs into a checkout.
func Of(c kernel.Checkout) Jupyter {
	return Jupyter{Python: filepath.Join(string(c), ".jupyter", "venv", "bin", "python"), Path: c.Specs()}
}

// With is the same Jupyter with more variables.
func (j Jupyter) With(env ...string) Jupyter {
	j.Env = append(j.Env[:len(j.Env):len(j.Env)], env...)
	return j
}

// Executed is what a notebook shows after its cells ran.
type Executed struct {
	// Path is the file of the executed notebook.
	Path string
	// Stdout and Stderr are what its cells wrote, and Error what a kernel says that did not run a cell.
	Stdout, Stderr, Error string
	// Page is what they showed as HTML.
	Page string
}

// cell is a cell of nbformat 4 as far as it is written and read here.
type cell struct {
	Type     string         `json:"cell_type"`
	ID       string         `json:"id"`
	Metadata map[string]any `json:"metadata"`
	Count    *int           `json:"execution_count"`
	Source   any            `json:"source"`
	Outputs  []output       `json:"outputs"`
}

type output struct {
	Type  string   `json:"output_type"`
	Name  string   `json:"name"`
	Text  []string `json:"text"`
	Value string   `json:"evalue"`
	Data  struct {
		HTML []string `json:"text/html"`
	} `json:"data"`
}

type notebook struct {
	Cells       []cell         `json:"cells"`
	Metadata    map[string]any `json:"metadata"`
	Format      int            `json:"nbformat"`
	FormatMinor int            `json:"nbformat_minor"`
}

// Execute executes a notebook of these cells, each of which must print something, in a directory, where it also leaves it.
func (j Jupyter) Execute(ctx context.Context, dir string, sources ...string) (Executed, error) {
	n := notebook{Format: 4, FormatMinor: 5, Metadata: map[string]any{"kernelspec": map[string]string{
		"name": kernel.Name, "display_name": kernel.DisplayName, "language": "go",
	}}}
	for i, source := range sources {
		n.Cells = append(n.Cells, cell{Type: "code", ID: fmt.Sprintf("cell-%d", i), Metadata: map[string]any{"shows": []string{"text"}}, Source: source, Outputs: []output{}})
	}
	content, err := json.Marshal(n)
	if err != nil {
		return Executed{}, err
	}
	path := filepath.Join(dir, "notebook.ipynb")
	if err := os.WriteFile(path, content, 0o666); err != nil {
		return Executed{}, err
	}
	return j.ExecuteFile(ctx, dir, path)
}

// ExecuteFile executes a notebook, in its own directory, and leaves the executed one in dir.
func (j Jupyter) ExecuteFile(ctx context.Context, dir, path string) (Executed, error) {
	const executed = "executed.ipynb"
	nbconvert := exec.CommandContext(ctx, j.Python, "-m", "nbconvert", "--log-level", "WARN", "--to", "notebook", "--execute",
		"--allow-errors", "--ExecutePreprocessor.record_timing=False", "--output-dir", dir, "--output", executed, path)
	nbconvert.Dir = dir
	nbconvert.Env = append(append(os.Environ(), "JUPYTER_PATH="+j.Path), j.Env...)
	if out, err := nbconvert.CombinedOutput(); err != nil {
		return Executed{}, fmt.Errorf("nbconvert: %w: %s", err, out)
	}
	return read(filepath.Join(dir, executed))
}

func read(path string) (Executed, error) {
	e := Executed{Path: path}
	content, err := os.ReadFile(path)
	if err != nil {
		return e, err
	}
	var n notebook
	if err := json.Unmarshal(content, &n); err != nil {
		return e, fmt.Errorf("%s: %w", path, err)
	}
	for _, c := range n.Cells {
		for _, o := range c.Outputs {
			switch {
			case o.Type == "error":
				e.Error += o.Value
			case o.Type == "display_data":
				e.Page += strings.Join(o.Data.HTML, "")
			case o.Name == "stdout":
				e.Stdout += strings.Join(o.Text, "")
			case o.Name == "stderr":
				e.Stderr += strings.Join(o.Text, "")
			}
		}
	}
	return e, nil
}
