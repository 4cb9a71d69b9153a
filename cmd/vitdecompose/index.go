package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vitdecompose/experiments"
	"vitdecompose/experiments/results"
	"vitdecompose/experiments/session"
	"vitdecompose/plots/page"
)

// indexFile is the page with all that run all made.
const indexFile = "index.html"

// section is an experiment that was run.
type section struct {
	experiment experiments.Experiment
	outcome    experiments.Outcome
	meta       results.Meta
}

// index writes the page of the experiments in sub-folders of dir. leftOut says why others are not there.
func (r *runner) index(dir string, done []section, leftOut []string) error {
	p := page.Page{
		Title: "vitdecompose: what each part of a vision transformer does",
		Text:  append([]string{"Results of " + strings.Join(session.ShortNames(r.models), ", ") + "."}, leftOut...),
	}
	checkpoints := make(map[string]string)
	for i, short := range session.ShortNames(r.models) {
		checkpoints[short] = r.models[i]
	}
	for i, s := range done {
		shown, err := s.page(dir, checkpoints, r.options.Data)
		if err == nil && i == 0 {
			p.Settings, err = page.Settings(s.meta.Versions)
		}
		if err != nil {
			return fmt.Errorf("the page of results: %w", err)
		}
		p.Sections = append(p.Sections, shown)
	}
	path := filepath.Join(dir, indexFile)
	if err := page.Write(path, p); err != nil {
		return err
	}
	fmt.Fprintf(r.c.OutOrStdout(), "wrote %s, one page with all figures and tables\n", path)
	return nil
}

// page reads the figures and tables that an experiment wrote. checkpoints are the names that the user gave, by what the
// result calls the models, and data is the name of the pictures.
func (s section) page(dir string, checkpoints map[string]string, data string) (page.Section, error) {
	name := s.experiment.Name
	section := page.Section{Name: name, Title: s.experiment.Title, Claim: s.experiment.Claim, Text: s.meta.Assumptions}
	var err error
	if section.Settings, err = page.Settings(s.meta.Config); err != nil {
		return section, err
	}
	section.Settings = append(section.Settings, page.Setting{Name: "seconds", Value: fmt.Sprintf("%.0f", s.meta.Seconds)})
	for _, hashed := range []struct {
		what string
		by   map[string]string
	}{{"checkpoint", s.meta.Checkpoints}, {"data", s.meta.Data}} {
		for _, of := range slices.Sorted(maps.Keys(hashed.by)) {
			section.Settings = append(section.Settings, page.Setting{Name: "SHA-256 of the " + hashed.what + " " + of, Value: hashed.by[of]})
		}
	}
	figures, err := filepath.Glob(filepath.Join(dir, name, "*.svg"))
	if err != nil {
		return section, err
	}
	for _, file := range figures {
		base := strings.TrimSuffix(filepath.Base(file), ".svg")
		alt := s.experiment.Title
		if model, ok := strings.CutPrefix(base, name+"-"); ok {
			alt += ": " + model
		}
		figure, err := page.ReadFigure(dir, name+"/"+base, alt)
		if err != nil {
			return section, err
		}
		section.Figures = append(section.Figures, figure)
	}
	tables, err := filepath.Glob(filepath.Join(dir, name, "*.csv"))
	if err != nil {
		return section, err
	}
	for _, file := range tables {
		table, err := readTable(file)
		if err != nil {
			return section, err
		}
		base := filepath.Base(file)
		section.Tables = append(section.Tables, page.Table{
			Caption: strings.TrimSuffix(base, ".csv"), Table: table, Links: []page.Link{{Text: "CSV", Path: name + "/" + base}},
		})
	}
	if s.experiment.Compare != nil && s.outcome.Result != nil {
		comparison := s.experiment.Compare(s.outcome.Result, checkpoints, data, s.outcome.Config)
		section.Comparison = &comparison
	}
	return section, nil
}

// readTable reads a table that an experiment wrote.
func readTable(path string) (results.Table, error) {
	file, err := os.Open(path)
	if err != nil {
		return results.Table{}, err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err == nil && len(rows) == 0 {
		err = errors.New("the table is empty")
	}
	if err != nil {
		return results.Table{}, fmt.Errorf("%s: %w", path, err)
	}
	return results.Table{Header: rows[0], Rows: rows[1:]}, nil
}
