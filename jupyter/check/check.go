// Package check reports whether an executed notebook ran to its end.
//
// nbconvert's exit code does not: GoNB runs each cell as a separate process, and a process that panics or exits with a
// code leaves a line on standard error and no error that Jupyter knows of. What counts here is what the notebook says
// in its outputs.
package check

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// maxSize is the largest notebook that is read: one with all its figures has a few megabytes.
const maxSize = 64 << 20

// Shows is the metadata of a cell that lists what it must show: [Picture], [Table], [Page] or [Text]. A program that ends early and
// says nothing leaves no other trace.
const Shows = "shows"

// What a cell may have to show.
const (
	Picture = "picture" // a figure, PNG or JPEG or SVG
	Table   = "table"   // as HTML
	Page    = "page"    // one that works by itself, in a frame
	Text    = "text"    // on standard output
)

// failures are what GoNB writes to standard error about a cell that went wrong.
var failures = regexp.MustCompile(`(?m)^(exit status \d+|signal: .+|GoNB Error:.*)$|unknown or not implemented yet`)

// text is how a notebook keeps a string: whole, or cut into its lines.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	var whole string
	if len(b) > 0 && b[0] == '"' {
		err := json.Unmarshal(b, &whole)
		*t = text(whole)
		return err
	}
	var lines []string
	err := json.Unmarshal(b, &lines)
	*t = text(strings.Join(lines, ""))
	return err
}

// notebook is what is read of nbformat 4.
type notebook struct {
	Format *int   `json:"nbformat"`
	Cells  []cell `json:"cells"`
}

type cell struct {
	Type    string   `json:"cell_type"`
	Source  text     `json:"source"`
	Count   *int     `json:"execution_count"`
	Outputs []output `json:"outputs"`

	Metadata struct {
		Shows []string `json:"shows"`
	} `json:"metadata"`
}

type output struct {
	Data  map[string]json.RawMessage `json:"data"`
	Type  string                     `json:"output_type"`
	Name  string                     `json:"name"` // of a stream
	Text  text                       `json:"text"` // of a stream
	Error string                     `json:"ename"`
	Value string                     `json:"evalue"`
}

// Notebook reads an executed notebook of nbformat 4, at most 64 MiB, and returns nil when it ran to its end: every code
// cell that has source was executed, in order and without an error, none ended with an exit code or by a signal, GoNB
// knew all special commands, and each cell shows what its metadata [Shows] say, which the last cell at least must have.
// Otherwise the error has one line for each cell that went wrong, which names it by its execution count.
func Notebook(r io.Reader) error {
	n, err := read(r)
	if err != nil {
		return err
	}
	var failed []error
	fail := func(c cell, format string, args ...any) {
		name := fmt.Sprintf("the cell %q", shorten(string(c.Source)))
		if c.Count != nil {
			name = fmt.Sprintf("cell [%d]", *c.Count)
		}
		failed = append(failed, fmt.Errorf("%s: "+format, append([]any{name}, args...)...))
	}
	before, last := 0, -1
	for i, c := range n.Cells {
		if c.Type != "code" || strings.TrimSpace(string(c.Source)) == "" {
			continue
		}
		last = i
		switch {
		case c.Count == nil:
			fail(c, "was not executed")
		case *c.Count <= before:
			fail(c, "was not executed after the one before it, which has [%d]: execute all cells from the first on", before)
		default:
			why := c.failure()
			if why == "" {
				why = c.lacks()
			}
			if why != "" {
				fail(c, "%s", why)
			}
		}
		if c.Count != nil {
			before = *c.Count
		}
	}
	switch {
	case last < 0:
		failed = append(failed, errors.New("there is no code cell"))
	case len(failed) == 0 && len(n.Cells[last].Metadata.Shows) == 0:
		fail(n.Cells[last], "is the last one, and its metadata %q do not say what it must show", Shows)
	}
	return errors.Join(failed...)
}

// read parses a notebook and checks that it is one.
func read(r io.Reader) (*notebook, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSize {
		return nil, fmt.Errorf("the notebook has more than %d bytes", maxSize)
	}
	var n notebook
	if err := json.Unmarshal(b, &n); err != nil {
		return nil, fmt.Errorf("not a notebook: %w", err)
	}
	if n.Format == nil || *n.Format != 4 {
		return nil, errors.New("not a notebook of nbformat 4")
	}
	for i, c := range n.Cells {
		switch c.Type {
		case "code", "markdown", "raw":
		default:
			return nil, fmt.Errorf("cell %d of the file has the unknown type %q", i+1, shorten(c.Type))
		}
		for _, o := range c.Outputs {
			switch o.Type {
			case "stream", "display_data", "execute_result", "error":
			default:
				return nil, fmt.Errorf("cell %d of the file has an output of the unknown type %q", i+1, shorten(o.Type))
			}
		}
	}
	return &n, nil
}

// failure says what went wrong in an executed cell, or "".
func (c cell) failure() string {
	said := "" // the first line on standard error, which is where a program says what is wrong
	for _, o := range c.Outputs {
		switch {
		case o.Type == "error":
			return fmt.Sprintf("%s: %s", shorten(o.Error), shorten(o.Value))
		case o.Type != "stream" || o.Name != "stderr":
			continue
		}
		if said == "" {
			said = shorten(string(c.stream("stderr")))
		}
		why := failures.FindString(string(o.Text))
		switch {
		case why == "":
		case strings.HasPrefix(said, why) || strings.Contains(said, strings.TrimSpace(why)):
			return said
		default:
			return fmt.Sprintf("%s, after it said: %s", why, said)
		}
	}
	return ""
}

// stream joins what a cell wrote to one of its streams.
func (c cell) stream(name string) text {
	var all strings.Builder
	for _, o := range c.Outputs {
		if o.Type == "stream" && o.Name == name {
			all.WriteString(string(o.Text))
		}
	}
	return text(all.String())
}

// lacks says what a cell does not show that it must, or "".
func (c cell) lacks() string {
	shown := map[string]bool{Text: strings.TrimSpace(string(c.stream("stdout"))) != ""}
	for _, o := range c.Outputs {
		for kind, content := range o.Data {
			shown[Picture] = shown[Picture] || strings.HasPrefix(kind, "image/")
			shown[Table] = shown[Table] || kind == "text/html" && strings.Contains(string(content), "<table")
			shown[Page] = shown[Page] || kind == "text/html" && strings.Contains(string(content), "<iframe")
		}
	}
	for _, kind := range c.Metadata.Shows {
		switch kind {
		case Picture, Table, Page, Text:
		default:
			return fmt.Sprintf("its metadata %q have %q, which is none of %s, %s, %s, %s", Shows, shorten(kind), Picture, Table, Page, Text)
		}
		if !shown[kind] {
			return fmt.Sprintf("it shows no %s, and ended before it should", kind)
		}
	}
	return ""
}

// shorten returns the first line that says something, cut so that a message stays one line.
func shorten(s string) string {
	const most = 200
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	s = strings.ToValidUTF8(strings.TrimSpace(s), "?")
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + " ..."
	}
	return s
}
