package notebook

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"vitdecompose/decompose"
	"vitdecompose/experiments/results"
	"vitdecompose/plots/inline"
)

// Rows is a table that a cell makes.
type Rows results.Table

// Table is a table with these headers.
func Table(header ...string) *Rows { return &Rows{Header: header} }

// Add adds a row. Numbers are written with two significant digits, and components as in figures.
func (r *Rows) Add(cells ...any) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = fmt.Sprint(cell)
	}
	r.Rows = append(r.Rows, row)
}

// Show shows the table.
func (r *Rows) Show() { inline.Table(readable(results.Table(*r))) }

// readable is a table for people: headers in words, numbers with two significant digits, components named as in figures. What
// is measured on all rows alike, a model's name where there is one model, stays: a table may be copied.
func readable(table results.Table) results.Table {
	out := results.Table{Header: make([]string, len(table.Header))}
	for i, name := range table.Header {
		out.Header[i] = strings.ReplaceAll(name, "_", " ")
	}
	for _, row := range table.Rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			parts := strings.Split(cell, "; ")
			for k, part := range parts {
				parts[k] = readableCell(part)
			}
			cells[i] = strings.Join(parts, "; ")
		}
		out.Rows = append(out.Rows, cells)
	}
	return out
}

// readableCell is one cell, or one entry of a list in it.
func readableCell(cell string) string {
	if component, err := decompose.ParseComponent(cell); err == nil {
		return component.Short()
	}
	if strings.ContainsAny(cell, ".eE") {
		if x, err := strconv.ParseFloat(cell, 64); err == nil {
			return significant(x)
		}
	}
	return cell
}

// significant is a number with two significant digits.
func significant(x float64) string {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	// The exponent after rounding: 0.999 is 1.0.
	_, exponent, _ := strings.Cut(strconv.FormatFloat(x, 'e', 1, 64), "e")
	e, _ := strconv.Atoi(exponent) // FormatFloat wrote it
	if e < -4 {
		return strconv.FormatFloat(x, 'e', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', max(0, 1-e), 64)
}

// percent is a share in percent.
func percent(share float64) string { return significant(100*share) + " %" }
