package tokenizer

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/rivo/uniseg"
)

// charsmap is what SentencePiece normalises texts by (precompiled_charsmap): a double-array trie of what is replaced, and the
// replacements, each ended by a zero.
type charsmap struct {
	units        []uint32
	replacements []byte
}

// newCharsmap reads the number of bytes of the trie, the trie, and the replacements. An empty map changes nothing.
func newCharsmap(content []byte) (*charsmap, error) {
	if len(content) == 0 {
		return &charsmap{}, nil
	}
	if len(content) < 4 {
		return nil, errors.New("precompiled_charsmap is cut off")
	}
	size := binary.LittleEndian.Uint32(content)
	content = content[4:]
	if size%4 != 0 || uint64(size) > uint64(len(content)) {
		return nil, errors.New("precompiled_charsmap is shorter than it says")
	}
	m := &charsmap{replacements: content[size:]}
	for at := 0; at < int(size); at += 4 {
		m.units = append(m.units, binary.LittleEndian.Uint32(content[at:]))
	}
	return m, nil
}

// A unit of the trie: its label, where its children are, and whether one of them is a value.
func label(unit uint32) uint32  { return unit & (1<<31 | 0xff) }
func offset(unit uint32) uint32 { return unit >> 10 << (unit & (1 << 9) >> 6) }
func hasLeaf(unit uint32) bool  { return unit>>8&1 == 1 }
func leaf(unit uint32) uint32   { return unit & (1<<31 - 1) }

// replacement is what stands for the shortest beginning of a text that the trie has; the tokenizers library takes it for the whole.
func (m *charsmap) replacement(text string) (string, bool) {
	if len(m.units) == 0 {
		return "", false
	}
	at := offset(m.units[0])
	for i := range len(text) {
		b := uint32(text[i])
		if b == 0 {
			return "", false
		}
		at ^= b
		if uint64(at) >= uint64(len(m.units)) || label(m.units[at]) != b {
			return "", false
		}
		unit := m.units[at]
		at ^= offset(unit)
		if !hasLeaf(unit) {
			continue
		}
		if uint64(at) >= uint64(len(m.units)) {
			return "", false
		}
		from := leaf(m.units[at])
		if uint64(from) > uint64(len(m.replacements)) {
			return "", false
		}
		text, _, _ := strings.Cut(string(m.replacements[from:min(len(m.replacements), int(from)+longestReplacement)]), "\x00")
		return text, true
	}
	return "", false
}

// longestReplacement bounds what one character becomes; Unicode's longest has 33 bytes.
const longestReplacement = 1 << 10

// apply normalises a text: short graphemes as a whole where the map has them, else character by character.
func (m *charsmap) apply(text string) string {
	if len(m.units) == 0 {
		return text
	}
	var out strings.Builder
	graphemes := uniseg.NewGraphemes(text)
	for graphemes.Next() {
		grapheme := graphemes.Str()
		if len(grapheme) < 6 {
			if to, ok := m.replacement(grapheme); ok {
				out.WriteString(to)
				continue
			}
		}
		for _, r := range grapheme {
			letter := string(r)
			if to, ok := m.replacement(letter); ok {
				out.WriteString(to)
			} else {
				out.WriteString(letter)
			}
		}
	}
	return out.String()
}
