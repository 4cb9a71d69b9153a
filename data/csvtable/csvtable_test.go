package csvtable

import (
	"slices"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	table, err := New(strings.NewReader("\ufeff File ,label,color\r\n\"a, b\",1,red\n\nc,2\nd,3,,\n"), "file", "label")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(table.Header, []string{"File", "label", "color"}) || table.Column("COLOR") != 2 || table.Column("x") != -1 {
		t.Errorf("columns %q", table.Header)
	}
	var rows []string
	var lines []int
	err = table.Each(func(line int, row []string) error {
		rows, lines = append(rows, strings.Join(row, "|")), append(lines, line)
		return nil
	})
	if err != nil || !slices.Equal(rows, []string{"a, b|1|red", "c|2", "d|3||"}) || !slices.Equal(lines, []int{2, 4, 5}) {
		t.Errorf("rows %q on lines %d, %v", rows, lines, err)
	}
}

func TestErrors(t *testing.T) {
	for content, want := range map[string]string{
		"":                            "is empty: want a header with the columns file, label and y",
		"a,file\n":                    `has no column label: its columns are "a,file", want file, label and y`,
		"file,label,y,Y\n":            `has the column "y" twice`,
		"file,label,y\na,b\n":         "line 2: has 2 columns, the header 3",
		"file,label,y\na,b,1,0\n":     "line 2: has 4 columns, the header 3",
		"file,label,y\na,b,1\n\"a,b,": "line 3: extraneous or missing",
	} {
		table, err := New(strings.NewReader(content), "file", "label", "y")
		if err == nil {
			err = table.Each(func(int, []string) error { return nil })
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", content, err, want)
		}
	}
}

func FuzzTable(f *testing.F) {
	f.Add("file,label\na,1\n")
	f.Add("\ufefflabel,x,FILE\n 3 ,,\"b,\"\"c\"\"\"\n")
	f.Fuzz(func(t *testing.T, content string) {
		table, err := New(strings.NewReader(content), "file", "label")
		if err != nil {
			return
		}
		needed := max(table.Column("file"), table.Column("label"))
		before := 1
		_ = table.Each(func(line int, row []string) error {
			if needed >= len(row) || line <= before {
				t.Errorf("line %d behind line %d has %q", line, before, row)
			}
			before = line
			return nil
		})
	})
}
