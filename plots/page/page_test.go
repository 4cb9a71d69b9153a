package page_test

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"html"
	"io"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gonum.org/v1/plot/cmpimg"

	"vitdecompose/experiments"
	"vitdecompose/experiments/results"
	"vitdecompose/plots/page"
)

// dot is a PNG picture of one pixel.
var dot = decoded("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")

func decoded(text string) []byte {
	content, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return content
}

const circle = `<svg xmlns="http://www.w3.org/2000/svg"><circle r="1"/></svg>`

// sample is a page with one of everything.
func sample() page.Page {
	long := results.Table{Header: []string{"model", "accuracy"}}
	for i := range 20 {
		long.Rows = append(long.Rows, []string{"deit-mini", strconv.Itoa(90 - i)})
	}
	birds, _ := experiments.Published("waterbirds")
	ours := experiments.Comparison{PublishedTable: birds}
	for i, row := range birds.Rows {
		compared := experiments.ComparedRow{PublishedRow: row, Why: "not among the models of this run"}
		if i == 0 {
			compared.Why, compared.Ours = "", []float64{0.7, 0.8, 0.85, 0.9}
		}
		ours.Compared = append(ours.Compared, compared)
	}
	none := experiments.CompareSegmentation(experiments.SegmentationResult{}, nil, "")
	section := func(name string, s page.Section) page.Section {
		e, err := experiments.Find(name)
		if err != nil {
			panic(err)
		}
		s.Name, s.Title, s.Claim = name, e.Title, e.Claim
		return s
	}
	return page.Page{
		Title: "Results", Text: []string{"What the experiments say of one model."},
		Sections: []page.Section{
			section("ablation", page.Section{
				Figures: []page.Figure{{PNG: dot, Alt: "accuracy falls", Caption: "Accuracy, layer by layer.",
					Links: []page.Link{{Text: "PDF", Path: "ablation/ablation.pdf"}, {Text: "PNG", Path: "ablation/a b#c.png"}}}},
				Tables: []page.Table{{Caption: "Every accuracy", Table: long, Links: []page.Link{{Text: "CSV", Path: "ablation/table.csv"}}}},
			}),
			section("waterbirds", page.Section{
				Text: []string{"The worst group gains."}, Comparison: &ours,
				Figures:  []page.Figure{{SVG: []byte(circle), Alt: "a circle"}},
				Tables:   []page.Table{{Table: results.Table{Header: []string{"group", "pictures"}, Rows: [][]string{{"landbird on land", "12"}, {"waterbird on land", "-"}}}}},
				Settings: []page.Setting{{Name: "ablated", Value: "10"}},
			}),
			section("segmentation", page.Section{Comparison: &none}),
			section("causal", page.Section{Text: []string{"The paper has no such test."}}),
		},
		Settings: []page.Setting{{Name: "vitdecompose", Value: "v1"}, {Name: "data", Value: strings.Repeat("0123456789abcdef", 4)}},
	}
}

// written writes a page and reads it.
func written(t *testing.T, p page.Page) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "index.html")
	if err := page.Write(path, p); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// After a wanted change: go test ./plots/page -regen, and look at testdata/page_golden.html in a browser.
func TestPage(t *testing.T) {
	const golden = "testdata/page_golden.html"
	got := written(t, sample())
	if *cmpimg.GenerateTestData {
		if err := os.WriteFile(golden, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
		for i, line := range gotLines {
			if i >= len(wantLines) || line != wantLines[i] {
				t.Fatalf("line %d is %q, not as in %s", i+1, line, golden)
			}
		}
		t.Fatalf("%d lines, %s has %d", len(gotLines), golden, len(wantLines))
	}
}

// element is one of a page.
type element struct {
	name       string
	attributes map[string]string
}

// elements parses a page strictly: every element must be closed.
func elements(t *testing.T, text string) (all []element) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(text, "<!DOCTYPE html>")))
	decoder.Entity = xml.HTMLEntity
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("the page is not well formed: %v", err)
		}
		if start, ok := token.(xml.StartElement); ok {
			e := element{start.Name.Local, make(map[string]string)}
			for _, a := range start.Attr {
				e.attributes[a.Name.Local] = a.Value
			}
			all = append(all, e)
		}
	}
}

// Nothing is loaded from elsewhere, and what is linked lies below the page or is the paper.
func TestPageNeedsNothingElse(t *testing.T) {
	text := written(t, sample())
	ids := make(map[string]bool)
	var links []string
	images := 0
	for _, e := range elements(t, text) {
		if slices.Contains([]string{"script", "link", "iframe", "object", "embed", "base", "form", "audio", "video"}, e.name) {
			t.Errorf("the page has an element %s", e.name)
		}
		for name, value := range e.attributes {
			switch {
			case name == "id":
				if ids[value] {
					t.Errorf("two elements have the id %q", value)
				}
				ids[value] = true
			case name == "href":
				links = append(links, value)
			case name == "src":
				images++
				if !strings.HasPrefix(value, "data:image/png;base64,") && !strings.HasPrefix(value, "data:image/svg+xml;base64,") {
					t.Errorf("%s has the source %.60q", e.name, value)
				}
				if e.attributes["alt"] == "" {
					t.Errorf("%s has no alt text", e.name)
				}
			case strings.HasPrefix(name, "on"), name == "style", name == "srcset":
				t.Errorf("%s has the attribute %s", e.name, name)
			}
		}
	}
	if images != 2 {
		t.Errorf("%d images, want 2", images)
	}
	for _, link := range links {
		to, err := url.Parse(link)
		switch {
		case err != nil:
			t.Errorf("link %q: %v", link, err)
		case to.Scheme == "https" && to.Host == "arxiv.org":
		case to.Scheme != "" || to.Host != "" || strings.HasPrefix(to.Path, "/"):
			t.Errorf("link to %q", link)
		case to.Path == "" && !ids[to.Fragment]:
			t.Errorf("link to %q, which is not there", link)
		}
	}
	style := text[strings.Index(text, "<style>"):strings.Index(text, "</style>")]
	for _, loads := range []string{"url(", "@import", "@font-face", "http"} {
		if strings.Contains(style, loads) {
			t.Errorf("the style has %q", loads)
		}
	}
	if !slices.Contains(links, "ablation/a%20b%23c.png") {
		t.Errorf("no link to a file with a space and # in its name: %q", links)
	}
}

// Whatever names are, they are text on the page.
func TestPageWithHostileNames(t *testing.T) {
	p := sample()
	const hostile = `</title></style><script>alert("1")</script><img src=x onerror='alert(2)'>" onload="x' {{.}} & javascript:`
	p.Title = hostile
	p.Text[0] = hostile
	p.Settings[0] = page.Setting{Name: hostile, Value: hostile}
	for i := range p.Sections {
		s := &p.Sections[i]
		s.Title, s.Claim = hostile, hostile
		for k := range s.Text {
			s.Text[k] = hostile
		}
		for k := range s.Figures {
			s.Figures[k].Alt, s.Figures[k].Caption = hostile, hostile
		}
		for k := range s.Tables {
			s.Tables[k].Caption = hostile
			s.Tables[k].Table.Header[0], s.Tables[k].Table.Rows[0][0] = hostile, hostile
		}
	}
	p.Sections[0].Figures[0].Links[0] = page.Link{Text: hostile, Path: `javascript:alert("3")/x`}
	c := p.Sections[1].Comparison
	c.Source, c.Data = hostile, hostile
	c.Compared[1].Model, c.Compared[1].Checkpoint, c.Compared[1].Why = hostile, hostile, hostile
	text := written(t, p)
	if strings.Contains(text, "<script") || strings.Contains(text, "<img src=x") {
		t.Error("a name is part of the page's markup")
	}
	names := func(all []element) (list []string) {
		for _, e := range all {
			list = append(list, e.name)
		}
		return list
	}
	got := elements(t, text)
	for _, e := range got {
		if href := e.attributes["href"]; strings.HasPrefix(strings.ToLower(href), "javascript") {
			t.Errorf("link to %q", href)
		}
	}
	for i := range p.Sections { // captions that were not there are elements too
		for k := range p.Sections[i].Figures {
			p.Sections[i].Figures[k].Caption = "plain"
		}
	}
	if want := names(elements(t, written(t, p))); !slices.Equal(names(got), want) {
		t.Errorf("the page has elements %v, with plain captions %v", names(got), want)
	}
}

func TestPageFoldsAndCuts(t *testing.T) {
	p := page.Page{Title: "t", Sections: []page.Section{{Name: "a", Title: "a", Tables: []page.Table{{}}}}}
	for rows, want := range map[int][]bool{1: {false, false}, 12: {false, false}, 13: {true, false}, 500: {true, false}, 501: {true, true}} {
		table := results.Table{Header: []string{"n"}}
		for range rows {
			table.Rows = append(table.Rows, []string{"1"})
		}
		p.Sections[0].Tables[0].Table = table
		text := written(t, p)
		if got := strings.Contains(text, "<details>"); got != want[0] {
			t.Errorf("a table of %d rows is folded: %v", rows, got)
		}
		if got := strings.Contains(text, "more rows are in the file"); got != want[1] {
			t.Errorf("a table of %d rows is cut: %v", rows, got)
		}
		if got, want := strings.Count(text, "<td "), min(rows, 500); got != want {
			t.Errorf("%d of %d rows are shown", got, rows)
		}
	}
}

// Text is readable on what is behind it, in light, in dark and on paper: WCAG 2 wants a contrast of 4.5.
func TestPageContrast(t *testing.T) {
	text := written(t, sample())
	blocks := regexp.MustCompile(`:root \{([^}]*)\}`).FindAllStringSubmatch(text, -1)
	if len(blocks) != 3 {
		t.Fatalf("%d sets of colours, want 3", len(blocks))
	}
	for _, block := range blocks {
		light := make(map[string]float64)
		for _, c := range regexp.MustCompile(`--(\w+): #(\w{6});`).FindAllStringSubmatch(block[1], -1) {
			rgb, err := strconv.ParseUint(c[2], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			for i, weight := range []float64{0.0722, 0.7152, 0.2126} {
				x := float64(rgb>>(8*i)&0xff) / 255
				if x <= 0.04045 {
					light[c[1]] += weight * x / 12.92
				} else {
					light[c[1]] += weight * math.Pow((x+0.055)/1.055, 2.4)
				}
			}
		}
		for _, front := range []string{"ink", "soft", "link"} {
			for _, back := range []string{"paper", "shade"} {
				ratio := (light[front] + 0.05) / (light[back] + 0.05)
				if ratio = max(ratio, 1/ratio); ratio < 4.5 {
					t.Errorf("%s on %s has contrast %.1f in %s", front, back, ratio, block[1])
				}
			}
		}
	}
}

// The page embeds the smaller of two pictures.
func TestPageChoosesPicture(t *testing.T) {
	large := circle + strings.Repeat(" ", 1000)
	for _, test := range []struct {
		figure page.Figure
		want   string
	}{
		{page.Figure{PNG: dot}, "image/png"},
		{page.Figure{SVG: []byte(large)}, "image/svg+xml"},
		{page.Figure{PNG: dot, SVG: []byte(large)}, "image/png"},
		{page.Figure{PNG: dot, SVG: []byte(circle)}, "image/svg+xml"},
	} {
		test.figure.Alt = "a picture"
		text := written(t, page.Page{Title: "t", Sections: []page.Section{{Name: "a", Title: "a", Figures: []page.Figure{test.figure}}}})
		text = html.UnescapeString(text)
		if !strings.Contains(text, `src="data:`+test.want+`;base64,`) {
			t.Errorf("PNG of %d bytes and SVG of %d: not %s", len(test.figure.PNG), len(test.figure.SVG), test.want)
		}
	}
}

func TestPageRefuses(t *testing.T) {
	for want, spoil := range map[string]func(p *page.Page){
		"no title":                          func(p *page.Page) { p.Title = "" },
		"no sections":                       func(p *page.Page) { p.Sections = nil },
		`section 2 has the name "ablation"`: func(p *page.Page) { p.Sections[1].Name = "ablation" },
		`section 2 has the name ""`:         func(p *page.Page) { p.Sections[1].Name = "" },
		`section 2 has the name "a b"`:      func(p *page.Page) { p.Sections[1].Name = "a b" },
		`section 1 has the name "settings"`: func(p *page.Page) { p.Sections[0].Name = "settings" },
		"section ablation: no title":        func(p *page.Page) { p.Sections[0].Title = "" },
		"section ablation: figure 1: there is no text that says what":    func(p *page.Page) { p.Sections[0].Figures[0].Alt = "" },
		"section ablation: figure 1: it is empty":                        func(p *page.Page) { p.Sections[0].Figures[0].PNG = nil },
		"section ablation: figure 1: it is not a PNG picture":            func(p *page.Page) { p.Sections[0].Figures[0].PNG = []byte(circle) },
		"section waterbirds: figure 1: it is not an SVG picture":         func(p *page.Page) { p.Sections[1].Figures[0].SVG = dot },
		`section ablation: figure 1: "../a.pdf" is not a path`:           func(p *page.Page) { p.Sections[0].Figures[0].Links[0].Path = "../a.pdf" },
		`section ablation: table 1: "https://a.b/c" is not a path`:       func(p *page.Page) { p.Sections[0].Tables[0].Links[0].Path = "https://a.b/c" },
		"section ablation: table 1: no columns":                          func(p *page.Page) { p.Sections[0].Tables[0].Table = results.Table{} },
		"section ablation: table 1: row 2 has 1 cells, the header 2":     func(p *page.Page) { p.Sections[0].Tables[0].Table.Rows[1] = []string{"1"} },
		"section waterbirds: comparison: no rows":                        func(p *page.Page) { p.Sections[1].Comparison.Compared = nil },
		`section waterbirds: comparison: the source "http://arxiv.org/"`: func(p *page.Page) { p.Sections[1].Comparison.URL = "http://arxiv.org/" },
		"section waterbirds: comparison: DeiT: 4 published values and 1 of ours for 4 measures": func(p *page.Page) {
			p.Sections[1].Comparison.Compared[0].Ours = []float64{1}
		},
	} {
		p := sample()
		spoil(&p)
		path := filepath.Join(t.TempDir(), "index.html")
		err := page.Write(path, p)
		if err == nil || !strings.Contains(err.Error(), "page "+path+": "+want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: there is a file: %v", want, err)
		}
	}
}

func TestReadFigure(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o777); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"f.svg": circle, "f.png": string(dot), "f.pdf": "%PDF-"} {
		_, err := page.ReadFigure(dir, "sub/f", "alt")
		if err == nil || !strings.Contains(err.Error(), "sub/f is incomplete") {
			t.Errorf("without %s: error %v", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "sub", name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	f, err := page.ReadFigure(dir, "sub/f", "alt")
	if err != nil {
		t.Fatal(err)
	}
	want := []page.Link{{Text: "PDF", Path: "sub/f.pdf"}, {Text: "SVG", Path: "sub/f.svg"}, {Text: "PNG", Path: "sub/f.png"}}
	if string(f.SVG) != circle || string(f.PNG) != string(dot) || f.Alt != "alt" || f.Caption != "" || !slices.Equal(f.Links, want) {
		t.Errorf("figure %+v", f)
	}
	if err := os.WriteFile(filepath.Join(dir, "sub", "f.txt"), []byte("A title. A < b.\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	f, err = page.ReadFigure(dir, "sub/f", "alt")
	if err != nil || f.Caption != "A title. A < b." || !slices.Equal(f.Links, append(want, page.Link{Text: "LaTeX caption", Path: "sub/f.tex"})) {
		t.Errorf("with a caption: figure %+v, error %v", f, err)
	}
}

func TestSettings(t *testing.T) {
	got, err := page.Settings(struct {
		Models []string       `json:"models"`
		Batch  int            `json:"batch"`
		Data   string         `json:"data"`
		Left   string         `json:"left,omitempty"`
		Orient bool           `json:"orient"`
		Nested map[string]int `json:"nested"`
		None   []string       `json:"none"`
		Groups [][]float64    `json:"groups"`
	}{Models: []string{"a <b>", "c"}, Batch: 8, Data: `x "y"`, Nested: map[string]int{"k": 1}, Groups: [][]float64{{1, 2.5}, {3}}})
	want := []page.Setting{{"models", "a <b>, c"}, {"batch", "8"}, {"data", `x "y"`}, {"orient", "false"}, {"nested", `{"k":1}`},
		{"none", ""}, {"groups", "1, 2.5, 3"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("settings %v, %v, want %v", got, err, want)
	}
	for _, wrong := range []any{3, nil, []int{1}, math.NaN(), func() {}} {
		if _, err := page.Settings(wrong); err == nil || !strings.HasPrefix(err.Error(), "settings: ") {
			t.Errorf("settings of %T: error %v", wrong, err)
		}
	}
}
