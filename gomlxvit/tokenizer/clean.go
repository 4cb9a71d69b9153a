package tokenizer

import (
	"html"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

// Clean brings a text into the form that CLIP was trained on, as open_clip does: the repairs of the Python library ftfy,
// HTML entities resolved twice, runs of white space as one space, lower case. Of ftfy's repairs one is left out: the
// guess that a text was decoded with the wrong encoding ("cafÃ©").
func Clean(text string) string { return lower(basicClean(text)) }

// Canonical is what open_clip makes of texts for SigLIPs: underscores are spaces, the punctuation of ASCII is left out, and the rest
// is as in [Clean].
func Canonical(text string) string {
	text = strings.ReplaceAll(basicClean(text), "_", " ")
	return strings.Join(strings.FieldsFunc(lower(withoutPunctuation(text)), isSpace), " ")
}

// Plain is what the transformers library makes of texts for SigLIPs: lower case, without the punctuation of ASCII, and runs of white
// space as one space.
func Plain(text string) string {
	text = lower(strings.ToValidUTF8(text, "\ufffd"))
	return strings.Join(strings.FieldsFunc(withoutPunctuation(text), isSpace), " ")
}

// punctuation is that of ASCII.
const punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

func withoutPunctuation(text string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(punctuation, r) {
			return -1
		}
		return r
	}, text)
}

// lower writes a text in lower case by the whole of Unicode's rules, with the final sigma; a Caser keeps state, so each text has its
// own.
func lower(text string) string { return cases.Lower(language.Und).String(text) }

// basicClean is [Clean] without the lower case.
func basicClean(text string) string {
	text = html.UnescapeString(html.UnescapeString(repair(text)))
	text = mapRunes(text, dropControl) // such as "&#7;"
	return strings.Join(strings.FieldsFunc(text, isSpace), " ")
}

// isSpace is Python's idea of white space, which has the four separators of ASCII beside Unicode's.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// repair applies ftfy's fix_text with its default settings but for fix_encoding: line by line, each until nothing
// changes. Entities are resolved up to the first line that looks like HTML.
func repair(text string) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	var out strings.Builder
	entities := true
	for line := range strings.Lines(text) {
		entities = entities && !strings.Contains(line, "<")
		for {
			repaired := line
			if entities {
				repaired = entity.ReplaceAllStringFunc(repaired, resolve)
			}
			repaired = terminalEscape.ReplaceAllString(lineBreaks.Replace(mapRunes(repaired, replaceRune)), "")
			repaired = norm.NFC.String(mapRunes(repaired, dropControl))
			if repaired == line {
				break
			}
			line = repaired
		}
		out.WriteString(line)
	}
	return out.String()
}

var (
	entity         = regexp.MustCompile(`&#?[0-9A-Za-z]{1,24};`)
	terminalEscape = regexp.MustCompile("\x1b\\[[0-9;]*[a-zA-Z]")
	lineBreaks     = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n", "\u0085", "\n")
)

// resolve gives the character of an HTML entity, which may be written in capitals ("&EACUTE;").
func resolve(name string) string {
	whole := func(s string) bool { return !strings.HasSuffix(s, ";") || s == ";" }
	if s := html.UnescapeString(name); s != name {
		if whole(s) {
			return s
		}
		return name // "&notit;" holds the entity "&not", but is none
	}
	if lower := strings.ToLower(name); name == strings.ToUpper(name) {
		if s := html.UnescapeString(lower); s != lower && whole(s) {
			return strings.ToUpper(s)
		}
	}
	return name
}

// mapRunes replaces every character by what replace returns for it, where that says ok.
func mapRunes(s string, replace func(r rune) (string, bool)) string {
	var out strings.Builder
	kept := 0
	for i, r := range s {
		if to, ok := replace(r); ok {
			out.WriteString(s[kept:i])
			out.WriteString(to)
			kept = i + len(string(r))
		}
	}
	if kept == 0 {
		return s
	}
	out.WriteString(s[kept:])
	return out.String()
}

// replaceRune takes Windows-1252 for C1 controls, and replaces Latin ligatures, half-width and full-width forms and curly
// quotation marks by the plain characters.
func replaceRune(r rune) (string, bool) {
	switch {
	case r < 0x80:
		return "", false
	case r <= 0x9f:
		to := charmap.Windows1252.DecodeByte(byte(r))
		return string(to), to != r
	case r >= 0x2018 && r <= 0x201b || r == 0x2bc:
		return "'", true
	case r >= 0x201c && r <= 0x201f:
		return `"`, true
	case r == 0xfb05:
		return "\u017ft", true
	case r == 0x132 || r == 0x133 || r == 0x149 || r >= 0x1c4 && r <= 0x1cc || r >= 0x1f1 && r <= 0x1f3,
		r >= 0xfb00 && r <= 0xfb06, r == 0x3000, r >= 0xff01 && r < 0xfff0:
		to := norm.NFKC.String(string(r))
		return to, to != string(r)
	}
	return "", false
}

// dropControl removes control characters that are neither white space nor change how text is drawn.
func dropControl(r rune) (string, bool) {
	return "", r < 0x09 || r == 0x0b || r >= 0x0e && r < 0x20 || r == 0x7f ||
		r >= 0x206a && r < 0x2070 || r == 0xfeff || r >= 0xfff9 && r < 0xfffd
}
