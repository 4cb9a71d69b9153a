// Package csvtable reads CSV files whose first row names the columns.
//
// Names of columns are found without regard to case, spaces around them and a byte order mark. What would be read wrong in
// silence is an error: a column that is needed and is there twice, and a row with more values than there are columns, as an
// unquoted comma makes it.
package csvtable

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Table is a file whose header was read.
type Table struct {
	Header []string // without spaces around the names
	rows   *csv.Reader
	last   int // the last column that is needed
}

// New reads the header, which must have the needed columns.
func New(r io.Reader, needed ...string) (*Table, error) {
	rows := csv.NewReader(r)
	rows.FieldsPerRecord = -1
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err == io.EOF {
		return nil, fmt.Errorf("is empty: want a header with the columns %s", listed(needed))
	}
	if err != nil {
		return nil, err
	}
	t := &Table{Header: slices.Clone(header), rows: rows}
	t.Header[0] = strings.TrimPrefix(t.Header[0], "\ufeff")
	for i, name := range t.Header {
		t.Header[i] = strings.TrimSpace(name)
	}
	for _, name := range needed {
		at := t.Column(name)
		switch {
		case at < 0:
			return nil, fmt.Errorf("has no column %s: its columns are %.200q, want %s", name, strings.Join(t.Header, ","), listed(needed))
		case t.Twice(at):
			return nil, fmt.Errorf("has the column %q twice", name)
		}
		t.last = max(t.last, at)
	}
	return t, nil
}

// listed is names with commas and an "and".
func listed(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// Column is the first column of a name; -1 when there is none.
func (t *Table) Column(name string) int {
	return slices.IndexFunc(t.Header, func(h string) bool { return strings.EqualFold(h, name) })
}

// Twice reports whether another column has the name of this one.
func (t *Table) Twice(column int) bool {
	for i, name := range t.Header {
		if i != column && strings.EqualFold(name, t.Header[column]) {
			return true
		}
	}
	return false
}

// Each hands on the rows and the line that each is on. A row may lack the last columns, but none that is needed. It belongs
// to the caller until the next one is read; its values may be kept.
func (t *Table) Each(do func(line int, row []string) error) error {
	for {
		row, err := t.rows.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return short(err)
		}
		line, _ := t.rows.FieldPos(0)
		extra := slices.ContainsFunc(row[min(len(row), len(t.Header)):], func(value string) bool { return strings.TrimSpace(value) != "" })
		if t.last >= len(row) || extra {
			return fmt.Errorf("line %d: has %d columns, the header %d", line, len(row), len(t.Header))
		}
		if err := do(line, row); err != nil {
			return err
		}
	}
}

// short leaves out of an error where a quoted value begins, which may be lines before.
func short(err error) error {
	if parse := (*csv.ParseError)(nil); errors.As(err, &parse) {
		return fmt.Errorf("line %d: %w", parse.Line, parse.Err)
	}
	return err
}
