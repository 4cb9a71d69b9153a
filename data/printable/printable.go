// Package printable makes text from outside (names of files, tables, answers of servers) fit for a terminal and a line of a
// log: nothing in it moves the cursor, hides or goes on for ever.
package printable

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Most is the number of bytes that [Error] leaves of a message: several long paths fit into it.
const Most = 2000

// Text is s where all of it can be printed. Control characters, formatting characters (such as those that turn the direction
// of writing) and what is no UTF-8 are written as Go escapes them. Of a text longer than most bytes the middle is left out.
func Text(s string, most int) string {
	if len(s) > most {
		head, tail := most*2/3, len(s)-most/3
		for head > 0 && !utf8.RuneStart(s[head]) {
			head--
		}
		for tail < len(s) && !utf8.RuneStart(s[tail]) {
			tail++
		}
		s = fmt.Sprintf("%s … %d bytes … %s", s[:head], tail-head, s[tail:])
	}
	if utf8.ValidString(s) && !strings.ContainsFunc(s, hidden) {
		return s
	}
	var out strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\x%02x`, s[0])
		case hidden(r):
			quoted := strconv.QuoteRune(r)
			out.WriteString(quoted[1 : len(quoted)-1])
		default:
			out.WriteRune(r)
		}
		s = s[size:]
	}
	return out.String()
}

// hidden tells what is not seen as itself.
func hidden(r rune) bool { return !unicode.IsPrint(r) && r != '\u00a0' && r != '\u3000' }

// Error is err with a message that [Text] made printable; nil for nil. What err wraps is still found in it.
func Error(err error) error {
	if err == nil {
		return nil
	}
	message := err.Error()
	plain := Text(message, Most)
	if plain == message {
		return err
	}
	return &printed{plain, err}
}

type printed struct {
	message string
	err     error
}

func (p *printed) Error() string { return p.message }
func (p *printed) Unwrap() error { return p.err }
