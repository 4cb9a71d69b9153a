package plots

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"vitdecompose/experiments/results"
)

var (
	// escaped are the characters that would end a cell or be taken for markup.
	escaped = strings.NewReplacer(`\`, `\\`, "|", `\|`, "*", `\*`, "`", "\\`", "<", "&lt;", "\r\n", "<br>", "\n", "<br>", "\r", "<br>")
	numeric = regexp.MustCompile(`^[-+±]?\.?\d.*$`)
)

// Markdown writes a table as GitHub Markdown, its columns aligned in the source too, those of numbers to the right. Rows
// that are too short get empty cells. A table without columns is no text.
func Markdown(table results.Table) string {
	right := NumberColumns(table)
	columns := len(right)
	if columns == 0 {
		return ""
	}
	cells := make([][]string, 0, 1+len(table.Rows))
	for _, row := range append([][]string{table.Header}, table.Rows...) {
		line := make([]string, columns)
		for i, cell := range row {
			line[i] = escaped.Replace(strings.TrimSpace(cell))
		}
		cells = append(cells, line)
	}
	widths := make([]int, columns)
	for i := range columns {
		for _, line := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(line[i]), 3)
		}
	}
	var text strings.Builder
	for k, line := range cells {
		for i, cell := range line {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if right[i] {
				cell = space + cell
			} else {
				cell += space
			}
			text.WriteString("| " + cell + " ")
		}
		text.WriteString("|\n")
		if k == 0 {
			for i := range line {
				if right[i] {
					text.WriteString("| " + strings.Repeat("-", widths[i]-1) + ": ")
				} else {
					text.WriteString("| " + strings.Repeat("-", widths[i]) + " ")
				}
			}
			text.WriteString("|\n")
		}
	}
	return text.String()
}

// NumberColumns tells for each column of a table whether numbers stand in it and nothing else, but for cells that are empty
// or a dash. The table may have rows that are longer than its header, and shorter ones.
func NumberColumns(table results.Table) []bool {
	columns := len(table.Header)
	for _, row := range table.Rows {
		columns = max(columns, len(row))
	}
	numbers, others := make([]bool, columns), make([]bool, columns)
	for _, row := range table.Rows {
		for i, cell := range row {
			switch cell = strings.TrimSpace(cell); {
			case cell == "" || cell == "-":
			case numeric.MatchString(cell):
				numbers[i] = true
			default:
				others[i] = true
			}
		}
	}
	for i := range numbers {
		numbers[i] = numbers[i] && !others[i]
	}
	return numbers
}
