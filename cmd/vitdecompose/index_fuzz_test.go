package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments"
	"vitdecompose/plots/page"
)

// Whatever lies where an experiment's results should, the page of all results is made of it or the error says what is wrong.
func FuzzSection(f *testing.F) {
	dir := f.TempDir()
	for _, name := range []string{"segmentation", "waterbirds"} {
		require.NoError(f, os.Mkdir(filepath.Join(dir, name), 0o777))
	}
	f.Add(`{"config": {"models": ["deit-mini"]}, "seconds": 3, "result": {"models": [{"model": "deit-mini", "scores": [{"method": "ours"}]}]}}`, "a,b\n1,2\n")
	f.Add(`{"config": {"lambda": 1}, "checkpoints": {"m": "0a"}, "result": {"models": [{"model": "vit"}]}}`, "\"a\n")
	f.Fuzz(func(t *testing.T, result, table string) {
		for _, name := range []string{"segmentation", "waterbirds"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name, experiments.ResultFile), []byte(result), 0o666))
			require.NoError(t, os.WriteFile(filepath.Join(dir, name, "table.csv"), []byte(table), 0o666))
			r := &runner{names: []string{"vit_base_patch16_224"}}
			section, _, err := r.section(dir, name)
			if err != nil {
				continue
			}
			require.Len(t, section.Tables, 1)
			// The page may refuse it, but not fall over it.
			_ = page.Write(filepath.Join(dir, indexFile), page.Page{Title: "x", Sections: []page.Section{section}})
		}
	})
}
