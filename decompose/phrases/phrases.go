// Package phrases holds what components are named by: features with their
// instances, and banks of texts.
//
// A [Feature] is a property of pictures, such as color, and its instances are
// phrases for what it can be, such as "blue color". Lists of features ship with
// the program ([FeatureLists]) or are files of one feature a line:
//
//	# my features
//	color: blue color, green color, red color
//	location: beach, forest, city
//
// A bank is many texts, among which those that fit a component best are looked
// for. Two ship with the program ([Banks]): scenes, in the words that captions of
// the drawn scenes have, and general, of common English words. Others are files
// of one text a line.
//
//	features, err := phrases.OpenFeatures("ranking") // or a path
//	bank, err := phrases.OpenBank("texts.txt")       // or a name
//
// The attributes of a picture, if it has any, say whether it shows an instance:
//
//	shown := data.Attributes(ds, i)["color"] == phrases.Value("color", "blue color")
//
// Wherever texts are compared, case does not count, for it does not to CLIP.
package phrases

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode/utf8"

	"vitdecompose/data/regularfile"
)

// lines hands on what the lines of a text hold, trimmed, with their number. Empty lines and those that begin with # are
// left out. A line may be that many bytes long.
func lines(r io.Reader, longest int, each func(number int, line string) error) error {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, longest+2) // with its end
	number := 0
	for scanner.Scan() {
		number++
		line := scanner.Text()
		if number == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if len(line) > longest {
			return tooLong(number, longest)
		}
		if !utf8.ValidString(line) {
			return fmt.Errorf("line %d is not UTF-8", number)
		}
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := each(number, line); err != nil {
			return err
		}
	}
	if errors.Is(scanner.Err(), bufio.ErrTooLong) {
		return tooLong(number+1, longest)
	}
	return scanner.Err()
}

func tooLong(number, longest int) error {
	return fmt.Errorf("line %d is longer than %d bytes", number, longest)
}

// read parses a file. Errors name it.
func read[T any](path string, parse func(io.Reader) (T, error)) (parsed T, err error) {
	f, _, err := regularfile.Open(path)
	if err != nil {
		return parsed, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if parsed, err = parse(f); err != nil {
		return parsed, fmt.Errorf("%s: %w", path, err)
	}
	return parsed, nil
}

// open reads what ships under a name, or else a file.
func open[T any](nameOrPath, kind string, shipped []string, ship, readFile func(string) (T, error)) (T, error) {
	for _, name := range shipped {
		if name == nameOrPath {
			return ship(name)
		}
	}
	opened, err := readFile(nameOrPath)
	if errors.Is(err, fs.ErrNotExist) {
		return opened, fmt.Errorf("%s %q: no such file, and none of that name ships with the program (there are %s)", kind, nameOrPath, strings.Join(shipped, ", "))
	}
	return opened, err
}
