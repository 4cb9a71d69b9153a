package plots_test

import (
	"testing"

	"vitdecompose/experiments/results"
	"vitdecompose/plots"
)

func TestMarkdown(t *testing.T) {
	for name, test := range map[string]struct {
		table results.Table
		want  string
	}{
		"nothing":     {results.Table{}, ""},
		"header only": {results.Table{Header: []string{"a", "feature"}}, "| a   | feature |\n| --- | ------- |\n"},
		"escapes": {
			results.Table{Header: []string{"a|b"}, Rows: [][]string{{"one\ntwo"}, {`c:\|`}, {"2*3*`x`<i>"}}},
			"| a\\|b              |\n| ----------------- |\n| one<br>two        |\n| c:\\\\\\|            |\n| 2\\*3\\*\\`x\\`&lt;i> |\n",
		},
		"numbers to the right": {
			results.Table{Header: []string{"x", "y", "z", "n"},
				Rows: [][]string{{"1", "a", "12.5 %", "7"}, {"-", "2", "±3", "layer 7"}, {"-10", "3", "1e-05", "8"}}},
			"|   x | y   |      z | n       |\n| --: | --- | -----: | ------- |\n|   1 | a   | 12.5 % | 7       |\n" +
				"|   - | 2   |     ±3 | layer 7 |\n| -10 | 3   |  1e-05 | 8       |\n",
		},
		"width in letters": {results.Table{Header: []string{"größe"}, Rows: [][]string{{"abcdef"}}},
			"| größe  |\n| ------ |\n| abcdef |\n"},
		"ragged": {results.Table{Header: []string{"a"}, Rows: [][]string{{}, {"bb", "cc"}}},
			"| a   |     |\n| --- | --- |\n|     |     |\n| bb  | cc  |\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := plots.Markdown(test.table); got != test.want {
				t.Errorf("got\n%swant\n%s", got, test.want)
			}
		})
	}
}
