package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments"
	"vitdecompose/experiments/option"
	"vitdecompose/experiments/results"
	"vitdecompose/plots/page"
)

// Whatever lies where an experiment's results should, the page of all results is made of it or the error says what is wrong.
func FuzzSection(f *testing.F) {
	dir := f.TempDir()
	for _, name := range []string{"segmentation", "waterbirds"} {
		require.NoError(f, os.Mkdir(filepath.Join(dir, name), 0o777))
	}
	f.Add("a,b\n1,2\n")
	f.Add("\"a\n")
	f.Fuzz(func(t *testing.T, table string) {
		for _, name := range []string{"segmentation", "waterbirds"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name, "table.csv"), []byte(table), 0o666))
			e, err := experiments.Find(name)
			require.NoError(t, err)
			section, err := section{experiment: e, meta: results.Meta{Config: option.Settings{}}}.page(dir, nil, "scenes:3")
			if err != nil {
				continue
			}
			require.Len(t, section.Tables, 1)
			// The page may refuse it, but not fall over it.
			_ = page.Write(filepath.Join(dir, indexFile), page.Page{Title: "x", Sections: []page.Section{section}})
		}
	})
}
