package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/plots/page"
)

// indexFile is the page with all that run all made.
const indexFile = "index.html"

// index writes the page of the experiments in sub-folders of dir. leftOut says why others are not there.
func (r *runner) index(dir string, names, leftOut []string) error {
	p := page.Page{
		Title: "vitdecompose: what each part of a vision transformer does",
		Text:  append([]string{"Results of " + strings.Join(session.ShortNames(r.names), ", ") + " on " + r.pictures.spec + "."}, leftOut...),
	}
	for i, name := range names {
		section, meta, err := r.section(dir, name)
		if err != nil {
			return fmt.Errorf("the page of results: %w", err)
		}
		p.Sections = append(p.Sections, section)
		if i == 0 {
			if p.Settings, err = page.Settings(meta.Versions); err != nil {
				return fmt.Errorf("the page of results: %w", err)
			}
		}
	}
	path := filepath.Join(dir, indexFile)
	if err := page.Write(path, p); err != nil {
		return err
	}
	fmt.Fprintf(r.c.OutOrStdout(), "wrote %s, one page with all figures and tables\n", path)
	return nil
}

// writtenResult is result.json as a file has it.
type writtenResult struct {
	experiments.Meta
	Result json.RawMessage `json:"result"`
}

// section reads what an experiment wrote.
func (r *runner) section(dir, name string) (page.Section, experiments.Meta, error) {
	about := page.About(name)
	section := page.Section{Name: name, Title: about.Title, Claim: about.Claim}
	var written writtenResult
	content, err := os.ReadFile(filepath.Join(dir, name, experiments.ResultFile))
	if err == nil {
		err = json.Unmarshal(content, &written)
	}
	if err != nil {
		return section, written.Meta, err
	}
	if section.Settings, err = page.Settings(written.Config); err != nil {
		return section, written.Meta, err
	}
	section.Settings = append(section.Settings, page.Setting{Name: "seconds", Value: fmt.Sprintf("%.0f", written.Seconds)})
	for _, hashed := range []struct {
		what string
		by   map[string]string
	}{{"checkpoint", written.Checkpoints}, {"data", written.Data}} {
		for _, name := range slices.Sorted(maps.Keys(hashed.by)) {
			section.Settings = append(section.Settings, page.Setting{Name: "SHA-256 of the " + hashed.what + " " + name, Value: hashed.by[name]})
		}
	}
	figures, err := filepath.Glob(filepath.Join(dir, name, "*.svg"))
	if err != nil {
		return section, written.Meta, err
	}
	for _, file := range figures {
		base := strings.TrimSuffix(filepath.Base(file), ".svg")
		alt := about.Title
		if model, ok := strings.CutPrefix(base, name+"-"); ok {
			alt += ": " + model
		}
		figure, err := page.ReadFigure(dir, name+"/"+base, alt, "")
		if err != nil {
			return section, written.Meta, err
		}
		section.Figures = append(section.Figures, figure)
	}
	tables, err := filepath.Glob(filepath.Join(dir, name, "*.csv"))
	if err != nil {
		return section, written.Meta, err
	}
	for _, file := range tables {
		table, err := readTable(file)
		if err != nil {
			return section, written.Meta, err
		}
		base := filepath.Base(file)
		section.Tables = append(section.Tables, page.Table{
			Caption: strings.TrimSuffix(base, ".csv"), Table: table, Links: []page.Link{{Text: "CSV", Path: name + "/" + base}},
		})
	}
	section.Comparison, err = r.compared(name, written.Result)
	return section, written.Meta, err
}

// compared puts a result beside the paper's numbers; nil for an experiment without any.
func (r *runner) compared(name string, result json.RawMessage) (*experiments.Comparison, error) {
	checkpoints := make(map[string]string)
	for i, short := range session.ShortNames(r.names) {
		checkpoints[short] = r.names[i]
	}
	var comparison experiments.Comparison
	switch name {
	case "segmentation":
		var s experiments.SegmentationResult
		if err := json.Unmarshal(result, &s); err != nil {
			return nil, err
		}
		comparison = experiments.CompareSegmentation(s, checkpoints, otherPictures(r.pictures.spec, "pixelimagenet", "imagenet-s"))
	case "waterbirds":
		var w experiments.WaterbirdsResult
		if err := json.Unmarshal(result, &w); err != nil {
			return nil, err
		}
		comparison = experiments.CompareWaterbirds(w, checkpoints, otherPictures(r.birds.uncorrelated, "waterbirds"))
	default:
		return nil, nil
	}
	return &comparison, nil
}

// otherPictures says that pictures are not of the kinds that the paper's are, "" where they are.
func otherPictures(spec string, kinds ...string) string {
	switch kind := session.Kind(spec); {
	case slices.Contains(kinds, kind):
		return ""
	case session.Drawn(spec):
		return "the pictures are drawn scenes"
	}
	return "the pictures are not the paper's: " + spec
}

// readTable reads a table that an experiment wrote.
func readTable(path string) (experiments.Table, error) {
	file, err := os.Open(path)
	if err != nil {
		return experiments.Table{}, err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err == nil && len(rows) == 0 {
		err = errors.New("the table is empty")
	}
	if err != nil {
		return experiments.Table{}, fmt.Errorf("%s: %w", path, err)
	}
	return experiments.Table{Header: rows[0], Rows: rows[1:]}, nil
}
