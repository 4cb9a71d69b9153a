package phrases

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds on a bank of texts. A text that is longer than a line may be does not fit into a CLIP.
const (
	maxTexts    = 1_000_000
	maxTextLine = 1000 // bytes
)

// Banks are the names of the banks that ship with the program.
func Banks() []string { return []string{"scenes", "general"} }

// Bank is the bank of that name among [Banks].
func Bank(name string) ([]string, error) {
	switch name {
	case "scenes":
		return scenesBank(), nil
	case "general":
		return generalBank()
	}
	return nil, fmt.Errorf("unknown bank of texts %q (known: %s)", name, strings.Join(Banks(), ", "))
}

// OpenBank is the shipped bank of that name or else, when there is none, reads a file. A file that is called like a bank
// is opened as ./NAME.
func OpenBank(nameOrPath string) ([]string, error) {
	return open(nameOrPath, "texts", Banks(), Bank, ReadBank)
}

// ReadBank reads a file of texts, see [ParseBank].
func ReadBank(path string) ([]string, error) { return read(path, ParseBank) }

// ParseBank reads texts, one a line. Empty lines and those that begin with # are left out, and so is, silently, a text
// that was there before.
func ParseBank(r io.Reader) ([]string, error) {
	var texts bank
	err := lines(r, maxTextLine, func(number int, line string) error {
		if texts.add(line); len(texts.list) > maxTexts {
			return fmt.Errorf("line %d: there are more than %d texts", number, maxTexts)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(texts.list) == 0 {
		return nil, errors.New("there are no texts; write one a line")
	}
	return texts.list, nil
}

// bank collects texts, each once.
type bank struct {
	list []string
	seen map[string]bool
}

// add adds what is not there yet.
func (b *bank) add(texts ...string) {
	if b.seen == nil {
		b.seen = make(map[string]bool)
	}
	for _, text := range texts {
		if key := strings.ToLower(text); !b.seen[key] {
			b.seen[key] = true
			b.list = append(b.list, text)
		}
	}
}
