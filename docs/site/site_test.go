package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// project writes files below a directory.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// tour is a notebook with outputs of every kind. The picture is not a PNG, but nothing checks that.
const tour = `{"nbformat": 4, "cells": [
 {"cell_type": "markdown", "source": ["# A tour\n", "See [the zoo](../docs/zoo.md#traits) <b>now</b>."]},
 {"cell_type": "code", "source": "fmt.Println(\"a < b\")", "outputs": [
  {"output_type": "stream", "name": "stdout", "text": ["a < b\n"]},
  {"output_type": "stream", "name": "stderr", "text": "progress"},
  {"output_type": "display_data", "data": {"image/png": "iVBO\nRw0K\n", "text/plain": "<picture>"}},
  {"output_type": "display_data", "data": {"image/jpeg": "/9j/"}},
  {"output_type": "display_data", "data": {"image/svg+xml": ["<svg>", "</svg>"]}},
  {"output_type": "display_data", "data": {"text/html": "<table><tr><td>1</td></tr></table>"}},
  {"output_type": "display_data", "data": {"text/html": "<script src='https://cdn/x.js'></script>", "text/plain": "widget"}},
  {"output_type": "display_data", "data": {"application/json": {"a": 1}, "text/plain": "json"}}]},
 {"cell_type": "code", "source": " ", "outputs": []}]}`

func TestBuild(t *testing.T) {
	root := project(t, map[string]string{
		"README.md":               "# The project\n\n![a figure](docs/figures/f.png)\n\n[zoo](docs/zoo.md) [code](main.go) [web](https://example.org) [here](#below)\n",
		"docs/zoo.md":             "# The zoo\n\n[back](../README.md)\n",
		"docs/figures/f.png":      "\x89PNG\r\n\x1a\nxxxx",
		"notebooks/00_tour.ipynb": tour,
		"main.go":                 "package main\n",
	})
	out := filepath.Join(root, "site")
	pages, err := build(root, out)
	if err != nil {
		t.Fatal(err)
	}
	if pages != 3 {
		t.Errorf("%d pages, want 3", pages)
	}
	for file, wants := range map[string][]string{
		"index.html": {"<title>The project</title>", `src="data:image/png;base64,iVBOR`, `<a href="zoo.html">zoo</a>`, `<a href="../main.go">code</a>`,
			`<a href="https://example.org">web</a>`, `<a href="#below">here</a>`, `<a href="00_tour.html">A tour</a>`, `<a href="index.html" aria-current="page">`},
		"zoo.html": {`<a href="index.html">back</a>`},
		"00_tour.html": {"<h1", `<a href="zoo.html#traits">the zoo</a>`, "fmt.Println(&#34;a &lt; b&#34;)", "<pre class=\"output\">a &lt; b\n</pre>",
			`src="data:image/png;base64,iVBORw0K"`, `src="data:image/jpeg;base64,/9j/"`,
			`src="data:image/svg+xml;base64,PHN2Zz48L3N2Zz4="`, "<td>1</td>", ">widget</pre>", ">json</pre>"},
	} {
		content, err := os.ReadFile(filepath.Join(out, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(content), want) {
				t.Errorf("%s has no %s", file, want)
			}
		}
		if strings.Contains(string(content), "<script") || strings.Contains(string(content), ">progress<") {
			t.Errorf("%s has a script or what was written to stderr", file)
		}
	}
}

func TestBuildErrors(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"README.md: link docs/none.md: there is no such file": {"README.md": "[x](docs/none.md)"},
		"README.md: image:":          {"README.md": "![x](none.png)"},
		"want a file of the project": {"README.md": "![x](https://example.org/x.png)"},
		"README.md":                  {"docs/a.md": "# A"},
		"both become a.html":         {"README.md": "x", "docs/a.md": "x", "notebooks/a.ipynb": tour},
		"b.ipynb: has no cells":      {"README.md": "x", "notebooks/b.ipynb": "{}"},
		"b.ipynb: unexpected":        {"README.md": "x", "notebooks/b.ipynb": "{"},
	} {
		root := project(t, files)
		if _, err := build(root, filepath.Join(root, "site")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// loaded is what a browser fetches without being asked.
var loaded = regexp.MustCompile(`(?:src|srcset)="([^"]{0,40})|<link[^>]*>|@import[^;]*|url\([^)]*\)`)

// TestProject makes the site of this project: every link leads somewhere, and no page loads anything.
func TestProject(t *testing.T) {
	out := t.TempDir()
	if _, err := build(filepath.Join("..", ".."), out); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(out, "*.html"))
	if err != nil || len(pages) < 4 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, file := range pages {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range loaded.FindAllStringSubmatch(string(content), -1) {
			if !strings.HasPrefix(match[1], "data:") {
				t.Errorf("%s loads %.80s", filepath.Base(file), match[0])
			}
		}
	}
}
