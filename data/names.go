package data

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"vitdecompose/data/csvtable"
)

// maxClasses bounds the class index of a names file: larger data sets than
// these do not exist, mistaken columns do.
const maxClasses = 1 << 20

// ReadClassNames reads the names of classes, by index, from a file: a CSV file
// with a header that has the columns label (class index) and name, or else one
// name a line. Every index from 0 on must have a name.
func ReadClassNames(path string) ([]string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("class names: %w", err)
	}
	names, err := parseClassNames(content)
	if err != nil {
		return nil, fmt.Errorf("class names %s: %w", path, err)
	}
	return names, nil
}

func parseClassNames(content []byte) ([]string, error) {
	if table, err := csvtable.New(bytes.NewReader(content), "label", "name"); err == nil {
		byLabel := map[int]string{}
		labelColumn, nameColumn := table.Column("label"), table.Column("name")
		err := table.Each(func(line int, row []string) error {
			label, err := strconv.Atoi(strings.TrimSpace(row[labelColumn]))
			if err != nil || label < 0 || label >= maxClasses {
				return fmt.Errorf("line %d: label %q is not a class index", line, row[labelColumn])
			}
			if old, ok := byLabel[label]; ok && old != row[nameColumn] {
				return fmt.Errorf("line %d: class %d is called %q, and %q before", line, label, row[nameColumn], old)
			}
			byLabel[label] = row[nameColumn]
			return nil
		})
		if err != nil {
			return nil, err
		}
		names := make([]string, len(byLabel))
		for i := range names {
			name, ok := byLabel[i]
			if !ok {
				return nil, fmt.Errorf("class %d has no name", i)
			}
			names[i] = name
		}
		if len(names) == 0 {
			return nil, errors.New("has no names")
		}
		return names, nil
	}
	var names []string
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(content, []byte("\ufeff"))))
	for lines.Scan() {
		names = append(names, strings.TrimSpace(lines.Text()))
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	for len(names) > 0 && names[len(names)-1] == "" {
		names = names[:len(names)-1]
	}
	if len(names) == 0 {
		return nil, errors.New("has no names")
	}
	for i, name := range names {
		if name == "" {
			return nil, fmt.Errorf("line %d is empty: want one name a line", i+1)
		}
	}
	return names, nil
}
