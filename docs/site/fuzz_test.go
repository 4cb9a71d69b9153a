package main

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
)

// Whatever a notebook holds, no output brings a script to the site.
func FuzzNotebook(f *testing.F) {
	f.Add([]byte(`{"cells": [{"cell_type": "markdown", "source": ["# Tour\n", "text"]},
		{"cell_type": "code", "source": "x", "outputs": [{"output_type": "stream", "name": "stdout", "text": "<b>"},
		{"output_type": "display_data", "data": {"text/html": "<p>x</p>", "image/png": "aGk="}}]}]}`))
	f.Add([]byte(`{"cells": [{"cell_type": "code", "source": ["y"], "outputs": [{"output_type": "display_data",
		"data": {"text/html": "<SCRIPT>", "application/json": {"a": 1}, "text/plain": ["z"]}}]}]}`))
	script := regexp.MustCompile(`(?i)<script`)
	b := &builder{markdown: goldmark.New(goldmark.WithExtensions(extension.GFM))}
	f.Fuzz(func(t *testing.T, content []byte) {
		body, _, err := b.notebook(source{path: "x.ipynb"}, content)
		if err != nil {
			return
		}
		if !json.Valid(content) || script.MatchString(string(body)) {
			t.Errorf("made %s", body)
		}
	})
}
