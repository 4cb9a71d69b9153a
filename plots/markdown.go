package plots

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"vitdecompose/experiments"
)

var (
	// escaped are the characters that would end a cell or be taken for markup.
	escaped = strings.NewReplacer(`\`, `\\`, "|", `\|`, "*", `\*`, "`", "\\`", "<", "&lt;", "\r\n", "<br>", "\n", "<br>", "\r", "<br>")
	numeric = regexp.MustCompile(`^[-+±]?\.?\d.*$`)
)

// Markdown writes a table as GitHub Markdown, its columns aligned in the source too, those of numbers to the right. Rows
// that are too short get empty cells. A table without columns is no text.
func Markdown(table experiments.Table) string {
	columns := len(table.Header)
	for _, row := range table.Rows {
		columns = max(columns, len(row))
	}
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
	right := make([]bool, columns)
	for i := range columns {
		numbers, others := 0, 0
		for k, line := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(line[i]), 3)
			switch {
			case k == 0 || line[i] == "" || line[i] == "-":
			case numeric.MatchString(line[i]):
				numbers++
			default:
				others++
			}
		}
		right[i] = numbers > 0 && others == 0
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
