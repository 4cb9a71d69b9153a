package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"regexp"
	"strings"
)

// notebook is the part of a Jupyter notebook (nbformat 4) that a page shows.
type notebook struct {
	Cells []struct {
		Type    string   `json:"cell_type"`
		Source  lines    `json:"source"`
		Outputs []output `json:"outputs"`
	} `json:"cells"`
}

// output is what a cell left: a stream, or data in several forms.
type output struct {
	Type string           `json:"output_type"`
	Name string           `json:"name"` // of a stream
	Text lines            `json:"text"`
	Data map[string]lines `json:"data"`
}

// lines is a text that the format also writes as a list of lines, or as an object, which is left out.
type lines string

// UnmarshalJSON implements json.Unmarshaler.
func (l *lines) UnmarshalJSON(content []byte) error {
	var list []string
	var one string
	switch {
	case json.Unmarshal(content, &list) == nil:
		*l = lines(strings.Join(list, ""))
	case json.Unmarshal(content, &one) == nil:
		*l = lines(one)
	}
	return nil
}

// scripted is HTML that a page without scripts cannot show.
var scripted = regexp.MustCompile(`(?i)<script|<iframe|https?://[^"' ]*\.(js|css)`)

// notebook makes HTML of a notebook: its texts, its code, and of each output the best self-contained form.
func (b *builder) notebook(s source, content []byte) (template.HTML, string, error) {
	var n notebook
	if err := json.Unmarshal(content, &n); err != nil {
		return "", "", err
	}
	if len(n.Cells) == 0 {
		return "", "", errors.New("has no cells")
	}
	var out bytes.Buffer
	title := ""
	for i, cell := range n.Cells {
		switch cell.Type {
		case "markdown":
			body, heading, err := b.render(s, []byte(cell.Source))
			if err != nil {
				return "", "", fmt.Errorf("cell %d: %w", i+1, err)
			}
			if title == "" {
				title = heading
			}
			out.WriteString(string(body))
		case "code":
			if strings.TrimSpace(string(cell.Source)) == "" {
				continue
			}
			fmt.Fprintf(&out, "<pre class=\"code\"><code>%s</code></pre>\n", template.HTMLEscapeString(string(cell.Source)))
			for _, o := range cell.Outputs {
				out.WriteString(shown(o))
			}
		}
	}
	return template.HTML(out.String()), title, nil
}

// shown is an output as HTML.
func shown(o output) string {
	if o.Type == "stream" {
		if o.Name != "stdout" || strings.TrimSpace(string(o.Text)) == "" { // progress and warnings are not results
			return ""
		}
		return fmt.Sprintf("<pre class=\"output\">%s</pre>\n", template.HTMLEscapeString(string(o.Text)))
	}
	for _, kind := range []string{"image/svg+xml", "image/png", "image/jpeg", "text/html", "text/plain"} {
		data, ok := o.Data[kind]
		if !ok || strings.TrimSpace(string(data)) == "" {
			continue
		}
		switch kind {
		case "image/svg+xml":
			return fmt.Sprintf("<figure><img alt=\"figure\" src=\"data:image/svg+xml;base64,%s\"/></figure>\n", base64.StdEncoding.EncodeToString([]byte(data)))
		case "image/png", "image/jpeg":
			return fmt.Sprintf("<figure><img alt=\"figure\" src=\"data:%s;base64,%s\"/></figure>\n", kind, strings.Join(strings.Fields(string(data)), ""))
		case "text/html":
			if scripted.MatchString(string(data)) {
				continue
			}
			return "<div class=\"scroll\">" + string(data) + "</div>\n"
		}
		return fmt.Sprintf("<pre class=\"output\">%s</pre>\n", template.HTMLEscapeString(string(data)))
	}
	return ""
}
