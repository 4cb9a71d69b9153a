// Package page writes the index page of results: one HTML file with the figures and tables of all experiments in it.
//
// The file needs nothing beside it, neither scripts nor fonts nor the network. It can be printed, is light or dark as the
// reader's system is, and links to the files of the figures and tables.
//
//	figure, err := page.ReadFigure("results", "ablation/ablation", "accuracy of six models as layers are ablated", "")
//	if err != nil {
//		return err
//	}
//	about, err := experiments.Find("ablation")
//	section := page.Section{Name: "ablation", Title: about.Title, Claim: about.Claim, Figures: []page.Figure{figure}}
//	err = page.Write("results/index.html", page.Page{Title: "Results", Sections: []page.Section{section}})
package page

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"image/png"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"vitdecompose/data/atomicfile"
	"vitdecompose/experiments"
	"vitdecompose/experiments/results"
	"vitdecompose/plots"
)

// Page is the content of a page.
type Page struct {
	Title    string
	Text     []string // paragraphs under the title
	Sections []Section
	Settings []Setting // of all sections: versions, checkpoints, data
}

// Section is one experiment. What it lacks is left out.
type Section struct {
	Name       string // lower-case letters, digits and hyphens: the section's address on the page
	Title      string
	Claim      string   // what the paper claims
	Text       []string // paragraphs of what came out
	Figures    []Figure
	Comparison *experiments.Comparison // with the paper's numbers
	Tables     []Table
	Settings   []Setting
}

// Figure is a picture as SVG, PNG or both; the page embeds the smaller one.
type Figure struct {
	SVG, PNG []byte
	Alt      string // describes the figure to those who cannot see it
	Caption  string
	Links    []Link // to its files
}

// Table is a table of text. Long ones are folded, and of very long ones the page has the first rows.
type Table struct {
	Caption string
	Table   results.Table
	Links   []Link // to its files
}

// Link leads to a file in the page's directory or below it, by its path from there, with slashes.
type Link struct{ Text, Path string }

// Setting is how something was run.
type Setting struct{ Name, Value string }

// A table with more rows is folded, one with even more is cut.
const (
	foldedRows = 12
	mostRows   = 500
)

// ReadFigure reads the files base.svg, base.png and, for its caption, base.txt of a figure, as plots.Save leaves them, and links
// to them, to base.pdf and to base.tex. Base is a path from dir, the page's directory, with slashes. A figure without base.txt
// has no caption.
func ReadFigure(dir, base, alt string) (Figure, error) {
	f := Figure{Alt: alt}
	for _, format := range []struct {
		extension string
		content   *[]byte
	}{{".pdf", nil}, {".svg", &f.SVG}, {".png", &f.PNG}} {
		path := filepath.Join(dir, filepath.FromSlash(base+format.extension))
		var err error
		if format.content == nil {
			_, err = os.Stat(path)
		} else {
			*format.content, err = os.ReadFile(path)
		}
		if err != nil {
			return Figure{}, fmt.Errorf("page: the figure %s is incomplete: %w", base, err)
		}
		f.Links = append(f.Links, Link{strings.ToUpper(format.extension[1:]), base + format.extension})
	}
	caption, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(base+".txt")))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f, nil
	case err != nil:
		return Figure{}, fmt.Errorf("page: the figure %s has no caption: %w", base, err)
	}
	f.Caption = strings.TrimSpace(string(caption))
	f.Links = append(f.Links, Link{"LaTeX caption", base + ".tex"})
	return f, nil
}

// Write writes the page. The directory must exist. The file is there in full or, when an error is returned, as it was.
func Write(path string, p Page) error {
	var out bytes.Buffer
	if err := render(&out, p); err != nil {
		return fmt.Errorf("page %s: %w", path, err)
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(out.Bytes())
		return err
	})
}

func render(out io.Writer, p Page) error {
	if p.Title == "" {
		return errors.New("no title")
	}
	if len(p.Sections) == 0 {
		return errors.New("no sections")
	}
	seen := map[string]bool{"settings": true, "contents": true}
	v := view{Page: p}
	for i, s := range p.Sections {
		if !sectionName.MatchString(s.Name) || seen[s.Name] {
			return fmt.Errorf("section %d has the name %q: a name must consist of lower-case letters, digits and hyphens, and be unique",
				i+1, s.Name)
		}
		seen[s.Name] = true
		section, err := viewSection(s)
		if err != nil {
			return fmt.Errorf("section %s: %w", s.Name, err)
		}
		v.Sections = append(v.Sections, section)
	}
	return layout.Execute(out, v)
}

var sectionName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// The view types are what the template shows.
type (
	view struct {
		Page
		Sections []sectionView
	}
	sectionView struct {
		Section
		Figures    []figureView
		Comparison *comparisonView
		Tables     []tableView
	}
	figureView struct {
		Figure
		Image         template.URL // data
		Width, Height int          // in CSS pixels; 0 if unknown
		Links         []linkView
	}
	tableView struct {
		Caption string
		Rows    int // in all
		Folded  bool
		Left    int // rows that are not shown
		Header  []cell
		Body    [][]cell
		Links   []linkView
	}
	cell struct {
		Text   string
		Number bool
	}
	linkView       struct{ Text, To string }
	comparisonView struct {
		experiments.Comparison
		ByMethod bool
		Rows     []comparedView
		// Why is why nothing is compared, if the reason is the same for all rows.
		Why string
	}
	comparedView struct {
		experiments.ComparedRow
		Cells []comparedCell // published and ours in turn
	}
	comparedCell struct {
		Text string
		Ours bool
	}
)

func viewSection(s Section) (sectionView, error) {
	v := sectionView{Section: s}
	if s.Title == "" {
		return v, errors.New("no title")
	}
	for i, f := range s.Figures {
		figure, err := viewFigure(f)
		if err != nil {
			return v, fmt.Errorf("figure %d: %w", i+1, err)
		}
		v.Figures = append(v.Figures, figure)
	}
	for i, t := range s.Tables {
		table, err := viewTable(t)
		if err != nil {
			return v, fmt.Errorf("table %d: %w", i+1, err)
		}
		v.Tables = append(v.Tables, table)
	}
	if s.Comparison != nil {
		comparison, err := viewComparison(*s.Comparison)
		if err != nil {
			return v, fmt.Errorf("comparison: %w", err)
		}
		v.Comparison = &comparison
	}
	return v, nil
}

// enlarged is how much larger than on paper a figure is on the screen, at 96 pixels to an inch, if there is space.
const enlarged = 1.35

func viewFigure(f Figure) (figureView, error) {
	v := figureView{Figure: f}
	if f.Alt == "" {
		return v, errors.New("there is no text that says what is shown (Alt)")
	}
	if len(f.PNG) > 0 {
		config, err := png.DecodeConfig(bytes.NewReader(f.PNG))
		if err != nil {
			return v, fmt.Errorf("it is not a PNG picture: %w", err)
		}
		onScreen := func(pixels int) int { return int(enlarged * 96 / plots.PNGResolution * float64(pixels)) }
		v.Width, v.Height = onScreen(config.Width), onScreen(config.Height)
	}
	if len(f.SVG) > 0 && !bytes.HasPrefix(f.SVG, []byte("<?xml")) && !bytes.HasPrefix(f.SVG, []byte("<svg")) {
		return v, errors.New("it is not an SVG picture")
	}
	// As the source of an img element, an SVG picture runs no scripts and loads nothing.
	kind, content := "image/png", f.PNG
	if len(f.SVG) > 0 && (len(f.PNG) == 0 || len(f.SVG) <= len(f.PNG)) {
		kind, content = "image/svg+xml", f.SVG
	}
	if len(content) == 0 {
		return v, errors.New("it is empty")
	}
	v.Image = template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(content))
	var err error
	v.Links, err = viewLinks(f.Links)
	return v, err
}

func viewLinks(links []Link) ([]linkView, error) {
	var views []linkView
	for _, l := range links {
		if !fs.ValidPath(l.Path) {
			return nil, fmt.Errorf("%q is not a path below the page's directory", l.Path)
		}
		views = append(views, linkView{l.Text, (&url.URL{Path: l.Path}).String()})
	}
	return views, nil
}

func viewTable(t Table) (tableView, error) {
	v := tableView{Caption: t.Caption, Rows: len(t.Table.Rows), Folded: len(t.Table.Rows) > foldedRows}
	if len(t.Table.Header) == 0 {
		return v, errors.New("no columns")
	}
	numbers := plots.NumberColumns(t.Table)
	cells := func(row []string) []cell {
		line := make([]cell, len(row))
		for i, text := range row {
			line[i] = cell{text, numbers[i]}
		}
		return line
	}
	v.Header = cells(t.Table.Header)
	for i, row := range t.Table.Rows {
		if len(row) != len(v.Header) {
			return v, fmt.Errorf("row %d has %d cells, the header %d", i+1, len(row), len(v.Header))
		}
		if i >= mostRows {
			v.Left = len(t.Table.Rows) - mostRows
			break
		}
		v.Body = append(v.Body, cells(row))
	}
	var err error
	v.Links, err = viewLinks(t.Links)
	return v, err
}

func viewComparison(c experiments.Comparison) (comparisonView, error) {
	v := comparisonView{Comparison: c}
	if len(c.Compared) == 0 {
		return v, errors.New("no rows")
	}
	v.Why = c.Compared[0].Why
	for _, row := range c.Compared {
		if len(row.Values) != len(c.Measures) || row.Ours != nil && len(row.Ours) != len(c.Measures) {
			return v, fmt.Errorf("%s: %d published values and %d of ours for %d measures",
				row.Model, len(row.Values), len(row.Ours), len(c.Measures))
		}
		v.ByMethod = v.ByMethod || row.Method != ""
		if row.Ours != nil || row.Why != v.Why {
			v.Why = ""
		}
		compared := comparedView{ComparedRow: row}
		for i := range row.Values {
			ours := comparedCell{Text: "–"}
			if row.Ours != nil {
				ours = comparedCell{fmt.Sprintf("%.*f", c.Decimals, row.Ours[i]), true}
			}
			compared.Cells = append(compared.Cells, comparedCell{Text: fmt.Sprintf("%.*f", c.Decimals, row.Values[i])}, ours)
		}
		v.Rows = append(v.Rows, compared)
	}
	if !strings.HasPrefix(c.URL, "https://arxiv.org/") {
		return v, fmt.Errorf("the source %q is not on arxiv.org", c.URL)
	}
	return v, nil
}
