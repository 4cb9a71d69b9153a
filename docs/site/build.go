package main

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"

	"vitdecompose/data/atomicfile"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what the template shows.
type page struct {
	Title string
	Menu  []entry
	Body  template.HTML
}

// entry is a line of the menu.
type entry struct {
	Title, Page string
	Here        bool
}

// builder makes the pages of one site.
type builder struct {
	root, out string
	sources   []source
	markdown  goldmark.Markdown
}

// build writes the site of the project in root and returns how many pages it has.
func build(root, out string) (int, error) {
	for _, dir := range []*string{&root, &out} {
		var err error
		if *dir, err = filepath.Abs(*dir); err != nil {
			return 0, err
		}
	}
	all, err := sources(root)
	if err != nil {
		return 0, err
	}
	b := &builder{root: root, out: out, sources: all, markdown: goldmark.New(
		goldmark.WithExtensions(extension.GFM),
		goldmark.WithParserOptions(parser.WithAutoHeadingID()),
		goldmark.WithRendererOptions(html.WithUnsafe()), // the project's own documents have anchors
	)}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return 0, err
	}
	bodies := make([]template.HTML, len(all))
	for i := range b.sources {
		s := &b.sources[i]
		content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(s.path)))
		if err != nil {
			return 0, err
		}
		if bodies[i], s.title, err = b.body(*s, content); err != nil {
			return 0, fmt.Errorf("%s: %w", s.path, err)
		}
	}
	for i, s := range b.sources {
		p := page{Title: s.title, Body: bodies[i]}
		for _, other := range b.sources {
			p.Menu = append(p.Menu, entry{other.title, other.page, other.page == s.page})
		}
		err := atomicfile.Write(filepath.Join(out, s.page), func(w io.Writer) error { return pageTemplate.Execute(w, p) })
		if err != nil {
			return 0, err
		}
	}
	return len(all), nil
}

// body renders a document; its title is its first heading.
func (b *builder) body(s source, content []byte) (template.HTML, string, error) {
	if strings.HasSuffix(s.path, ".ipynb") {
		return b.notebook(s, content)
	}
	return b.render(s, content)
}

// render makes HTML of Markdown.
func (b *builder) render(s source, content []byte) (template.HTML, string, error) {
	document := b.markdown.Parser().Parse(text.NewReader(content))
	title := ""
	err := ast.Walk(document, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			if title == "" && n.Level == 1 {
				title = plain(n, content)
			}
		case *ast.Link:
			to, err := b.link(s, string(n.Destination))
			if err != nil {
				return ast.WalkStop, err
			}
			n.Destination = []byte(to)
		case *ast.Image:
			inline, err := b.image(s, string(n.Destination))
			if err != nil {
				return ast.WalkStop, err
			}
			n.Destination = []byte(inline)
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return "", "", err
	}
	var out bytes.Buffer
	if err := b.markdown.Renderer().Render(&out, content, document); err != nil {
		return "", "", err
	}
	return template.HTML(out.String()), title, nil
}

// plain is the text of a node without its marks.
func plain(n ast.Node, content []byte) string {
	var out strings.Builder
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		if t, ok := child.(*ast.Text); ok {
			out.Write(t.Segment.Value(content))
			continue
		}
		out.WriteString(plain(child, content))
	}
	return out.String()
}

// link is where a link of a document leads from its page. It must lead to something.
func (b *builder) link(s source, to string) (string, error) {
	target, err := url.Parse(to)
	if err != nil {
		return "", fmt.Errorf("link %s: %w", to, err)
	}
	if target.IsAbs() || target.Path == "" {
		return to, nil
	}
	file := path.Join(path.Dir(s.path), target.Path)
	for _, other := range b.sources {
		if other.path == file {
			target.Path = other.page
			return target.String(), nil
		}
	}
	full := filepath.Join(b.root, filepath.FromSlash(file))
	if _, err := os.Stat(full); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = errors.New("there is no such file")
		}
		return "", fmt.Errorf("link %s: %w", to, err)
	}
	rel, err := filepath.Rel(b.out, full)
	if err != nil {
		return "", fmt.Errorf("link %s: %w", to, err)
	}
	target.Path = filepath.ToSlash(rel)
	return target.String(), nil
}

// image is a picture of a document as a URL that holds it.
func (b *builder) image(s source, from string) (string, error) {
	if strings.HasPrefix(from, "data:") {
		return from, nil
	}
	target, err := url.Parse(from)
	if err != nil || target.IsAbs() {
		return "", fmt.Errorf("image %s: want a file of the project", from)
	}
	content, err := os.ReadFile(filepath.Join(b.root, filepath.FromSlash(path.Join(path.Dir(s.path), target.Path))))
	if err != nil {
		return "", fmt.Errorf("image: %w", err)
	}
	kind := http.DetectContentType(content)
	if strings.HasSuffix(target.Path, ".svg") {
		kind = "image/svg+xml"
	}
	return "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(content), nil
}
