package printable

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for s, want := range map[string]string{
		"":                      "",
		"größer, 日本 😀":          "größer, 日本 😀",
		"a\x1b[31mred":          `a\x1b[31mred`,
		"two\nlines\tand\x00":   `two\nlines\tand\x00`,
		"\u202egnp.a":           `\u202egnp.a`,
		"\xff\xfe1":             `\xff\xfe1`,
		"\u200bx\u009b":         `\u200bx\u009b`,
		"no\u00a0break \ufffd!": "no\u00a0break \ufffd!",
	} {
		if got := Text(s, 100); got != want {
			t.Errorf("%q is printed as %q, want %q", s, got, want)
		}
	}
	if got := Text(strings.Repeat("ä", 50_000)+"end", 90); !strings.HasPrefix(got, strings.Repeat("ä", 30)+" … ") || !strings.HasSuffix(got, "end") || len(got) > 150 {
		t.Errorf("a long text is printed as %q", got)
	}
}

func TestError(t *testing.T) {
	err := Error(fmt.Errorf("a\nb: %w", fs.ErrNotExist))
	if err.Error() != `a\nb: file does not exist` || !errors.Is(err, fs.ErrNotExist) || Error(nil) != nil {
		t.Errorf("error %v", err)
	}
	if plain := errors.New("plain"); Error(plain) != plain {
		t.Error("a plain error is another")
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\x1b[31m\xff", 5)
	f.Add("\u202e", 0)
	f.Fuzz(func(t *testing.T, s string, most int) {
		if most < 0 || most > 1000 {
			return
		}
		got := Text(s, most)
		if !utf8.ValidString(got) || len(got) > 10*most+200 {
			t.Errorf("%q", got)
		}
		for _, r := range got {
			if unicode.IsControl(r) {
				t.Errorf("%q has %q", got, r)
			}
		}
	})
}
