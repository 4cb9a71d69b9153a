package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"vitdecompose/data/csvtable"
	"vitdecompose/data/printable"
	"vitdecompose/data/regularfile"
	"vitdecompose/data/wnid"
)

// Bounds on a file of class names: larger ones do not exist, mistaken files do.
const (
	maxClasses    = 1 << 20
	maxNamesBytes = 64 << 20
	maxNameBytes  = 2000
)

// ReadClassNames reads the names of classes, by index, from a file in UTF-8, or UTF-16 with a byte order mark. It is one of
//
//   - a CSV file with a header that has the columns label (class index) and name;
//   - a list of names in JSON, ["tench", "goldfish"], or as Python prints it;
//   - a dictionary of them in JSON or as Python prints it: {"0": "tench"}, {"0": ["n01440764", "tench"]} as Keras'
//     imagenet_class_index.json, or {"tench": 0};
//   - one name a line.
//
// Every index from 0 on must have a name.
func ReadClassNames(path string) ([]string, error) {
	content, err := regularfile.Read(path, maxNamesBytes)
	if err != nil {
		return nil, printable.Error(fmt.Errorf("class names: %w", err))
	}
	names, err := parseClassNames(content)
	if err != nil {
		return nil, printable.Error(fmt.Errorf("class names %s: %w", path, err))
	}
	return names, nil
}

func parseClassNames(content []byte) ([]string, error) {
	text, err := decodeText(content)
	if err != nil {
		return nil, err
	}
	names, err := readNames(text)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("has no names")
	}
	for i, name := range names {
		switch {
		case name == "":
			return nil, fmt.Errorf("class %d has no name", i)
		case len(name) > maxNameBytes:
			return nil, fmt.Errorf("the name of class %d is longer than %d bytes", i, maxNameBytes)
		}
	}
	return names, nil
}

// decodeText is a text in UTF-8.
func decodeText(content []byte) (string, error) {
	order := map[string]func(b []byte) uint16{
		"\xff\xfe": func(b []byte) uint16 { return uint16(b[0]) | uint16(b[1])<<8 },
		"\xfe\xff": func(b []byte) uint16 { return uint16(b[1]) | uint16(b[0])<<8 },
	}[string(content[:min(2, len(content))])]
	if order != nil {
		var units []uint16
		for content = content[2:]; len(content) > 1; content = content[2:] {
			units = append(units, order(content))
		}
		content = []byte(string(utf16.Decode(units)))
	}
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	for i, line := range bytes.Split(content, []byte("\n")) {
		if !utf8.Valid(line) || bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' && r != '\r' || r == 0x7f || r == utf8.RuneError }) {
			return "", fmt.Errorf("line %d is not UTF-8 text: save the file in that encoding", i+1)
		}
	}
	return string(content), nil
}

func readNames(text string) ([]string, error) {
	if table, err := csvtable.New(strings.NewReader(text), "label", "name"); err == nil {
		return csvNames(table)
	}
	if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "[") {
		names, err := structuredNames(trimmed)
		if err != nil {
			return nil, fmt.Errorf("begins like a list or a dictionary, but cannot be read as one of names: %w", err)
		}
		return names, nil
	}
	return lineNames(text)
}

// csvNames are the names of a table with the columns label and name.
func csvNames(table *csvtable.Table) ([]string, error) {
	byLabel := map[int]string{}
	label, name := table.Column("label"), table.Column("name")
	err := table.Each(func(line int, row []string) error {
		if err := addName(byLabel, row[label], row[name]); err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return inSequence(byLabel)
}

// addName notes the name of a class whose index is written as text.
func addName(byLabel map[int]string, label, name string) error {
	class, err := strconv.Atoi(strings.TrimSpace(label))
	if err != nil || class < 0 || class >= maxClasses {
		return fmt.Errorf("label %.60q is not a class index", label)
	}
	if old, ok := byLabel[class]; ok && old != name {
		return fmt.Errorf("class %d is called %.200q here, and %.200q earlier", class, name, old)
	}
	byLabel[class] = name
	return nil
}

// inSequence puts the names in the order of their classes.
func inSequence(byLabel map[int]string) ([]string, error) {
	names := make([]string, len(byLabel))
	for i := range names {
		name, ok := byLabel[i]
		if !ok {
			return nil, fmt.Errorf("class %d has no name", i)
		}
		names[i] = name
	}
	return names, nil
}

// structuredNames reads a list or a dictionary.
func structuredNames(text string) ([]string, error) {
	if !json.Valid([]byte(text)) {
		var err error
		if text, err = jsonOfPython(text); err != nil {
			return nil, err
		}
	}
	if strings.HasPrefix(text, "[") {
		var names []string
		if err := json.Unmarshal([]byte(text), &names); err != nil {
			return nil, errors.New("want a list of texts")
		}
		return names, nil
	}
	// A map would hide a key that is there twice.
	decoder := json.NewDecoder(strings.NewReader(text))
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	byLabel := map[int]string{}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		var value any
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		label, name := key.(string), "" // keys of an object are texts
		switch value := value.(type) {
		case string:
			name = value
		case float64: // {"tench": 0}
			label, name = strconv.FormatFloat(value, 'f', -1, 64), label
		case []any: // ["n01440764", "tench"]
			ok := len(value) == 2
			if ok {
				name, ok = value[1].(string)
			}
			if !ok {
				return nil, fmt.Errorf("the value of %.60q is a list: want a name, or a WordNet id and a name", label)
			}
		default:
			return nil, fmt.Errorf("the value of %.60q is neither a name nor a class index", label)
		}
		if err := addName(byLabel, label, name); err != nil {
			return nil, err
		}
	}
	return inSequence(byLabel)
}

var bareKey = regexp.MustCompile(`^-?\d+`)

// jsonOfPython writes a list or dictionary of texts, as Python prints it, in JSON.
func jsonOfPython(text string) (string, error) {
	var out strings.Builder
	for rest := text; rest != ""; {
		switch c := rest[0]; {
		case c == '\'' || c == '"':
			end := 1
			for ; end < len(rest) && rest[end] != c; end++ {
				if rest[end] == '\\' {
					end++
				}
			}
			if end >= len(rest) {
				return "", errors.New("a quote is not closed")
			}
			var content strings.Builder
			for inner := rest[1:end]; inner != ""; {
				r, _, tail, err := strconv.UnquoteChar(inner, c)
				if err != nil {
					return "", fmt.Errorf("%.60q is not a text", rest[:end+1])
				}
				content.WriteRune(r)
				inner = tail
			}
			quoted, err := json.Marshal(content.String())
			if err != nil {
				return "", err
			}
			out.Write(quoted)
			rest = rest[end+1:]
		case bareKey.MatchString(rest):
			number := bareKey.FindString(rest)
			rest = rest[len(number):]
			if key := strings.HasPrefix(strings.TrimLeft(rest, " \t\r\n"), ":"); key {
				number = strconv.Quote(number)
			}
			out.WriteString(number)
		case c == ',' && strings.ContainsAny(firstByte(rest[1:]), "]})"): // the last one
			rest = rest[1:]
		case c == '(':
			out.WriteByte('[')
			rest = rest[1:]
		case c == ')':
			out.WriteByte(']')
			rest = rest[1:]
		case strings.IndexByte("{}[]:, \t\r\n", c) >= 0:
			out.WriteByte(c)
			rest = rest[1:]
		default:
			return "", fmt.Errorf("%.60q is not expected there", rest)
		}
	}
	if !json.Valid([]byte(out.String())) {
		return "", errors.New("a bracket, a comma or a colon is missing, or something follows the end")
	}
	return out.String(), nil
}

// firstByte is the first byte of a text that is no space; "" when there is none.
func firstByte(text string) string {
	text = strings.TrimLeft(text, " \t\r\n")
	return text[:min(1, len(text))]
}

var (
	quotedEntry = regexp.MustCompile(`^['"]?\w+['"]?\s*:\s*['"].*['"],?$|^['"].*['"],$`)
	itsNumber   = regexp.MustCompile(`^(\d+)\s*[:,;\t. ]`)
)

// lineNames reads a name from each line. Lines of other files are refused: as names they would go unnoticed.
func lineNames(text string) ([]string, error) {
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n")), "\n")
	if len(lines) > maxClasses {
		return nil, fmt.Errorf("has more than %d names", maxClasses)
	}
	const want = "want one name a line, a list, a dictionary, or a CSV file with the columns label and name"
	numbered, synsets := len(lines) > 1, 0
	for i, line := range lines {
		line = strings.TrimSpace(line)
		lines[i] = line
		switch first := firstByte(line); {
		case line == "" && i < len(lines)-1:
			return nil, fmt.Errorf("line %d is empty: %s", i+1, want)
		case first == "{" || first == "}" || first == "[" || first == "]" || quotedEntry.MatchString(line):
			return nil, fmt.Errorf("line %d, %.60q, is not part of a list of names: %s", i+1, line, want)
		}
		match := itsNumber.FindStringSubmatch(line)
		numbered = numbered && match != nil && (match[1] == strconv.Itoa(i) || match[1] == strconv.Itoa(i+1))
		if id, words, ok := strings.Cut(line, " "); ok && words != "" && wnid.Valid(id) {
			synsets++
		}
	}
	switch {
	case numbered:
		return nil, fmt.Errorf("its lines begin with their numbers (%.60q): %s", lines[0], want)
	case synsets == len(lines):
		return nil, fmt.Errorf("its lines begin with WordNet ids (%.60q): %s", lines[0], want)
	case len(lines) == 1 && lines[0] == "":
		return nil, nil
	}
	return lines, nil
}
