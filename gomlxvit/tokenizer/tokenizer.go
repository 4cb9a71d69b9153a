// Package tokenizer turns texts into the token ids of CLIP's text tower: byte-level byte pair encoding (Sennrich et al.
// 2016, arXiv 1508.07909; over bytes as in GPT-2) with the vocabulary of a tokenizer.json and the clean-up of open_clip.
//
//	t, err := tokenizer.Parse(file)           // the bytes of tokenizer.json
//	ids, cut := t.Tokens("A photo of a cat", 77) // start, a, photo, of, a, cat, end, 0, 0, ...
//
// Like open_clip, and unlike the tokenizers library, it takes from the file only vocabulary and merges: clean-up and the
// division into words are CLIP's, and "<|endoftext|>" in a text is text. (The tokenizer of go-huggingface 0.4.0 agrees on
// nearly all texts once they are clean, but takes half a minute for a word of 20 kB and reads a damaged vocabulary as an
// empty one.)
package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// wordEnd marks the last symbol of a word in the vocabulary.
const wordEnd = "</w>"

// The special tokens by the names of the tokenizers library, and as open_clip writes them in texts.
const (
	startToken, endToken = "<|startoftext|>", "<|endoftext|>"
	startText, endText   = "<start_of_text>", "<end_of_text>"
)

// largestVocabulary is beyond that of any CLIP; it bounds what a file can make the program allocate.
const largestVocabulary = 1 << 20

// Tokenizer encodes texts. It is safe for concurrent use.
type Tokenizer struct {
	pieces *pieces // SentencePiece's, nil for CLIP's

	bytes      [256]int32 // id of a byte within a word
	lastBytes  [256]int32 // id of a byte at the end of a word
	merges     map[pair]merged
	size       int
	start, end int32
}

// pair are the ids of two neighbouring symbols.
type pair [2]int32

// merged says what a pair becomes. Pairs are merged in the order of their ranks.
type merged struct{ rank, id int32 }

// tokenizerFile is what matters of the tokenizers library's tokenizer.json.
type tokenizerFile struct {
	AddedTokens []struct {
		ID      int32  `json:"id"`
		Content string `json:"content"`
	} `json:"added_tokens"`
	Normalizer    *part `json:"normalizer"`
	PreTokenizer  *part `json:"pre_tokenizer"`
	PostProcessor *part `json:"post_processor"`
	Decoder       *part `json:"decoder"`
	Model         struct {
		Type            string           `json:"type"`
		EndOfWordSuffix string           `json:"end_of_word_suffix"`
		Vocab           map[string]int32 `json:"vocab"`
		Merges          []mergeRule      `json:"merges"`
	} `json:"model"`
}

// part is a step of a tokenizer: a kind, or several in turn.
type part struct {
	Type          string `json:"type"`
	Normalizers   []part `json:"normalizers"`
	PreTokenizers []part `json:"pretokenizers"`
	Processors    []part `json:"processors"`
	Decoders      []part `json:"decoders"`
}

// The kinds of steps that the tokenizers library knows. It refuses a file with another one, and so does [Parse]: a file that
// nobody else can read is damaged.
var (
	normalizers = []string{"BertNormalizer", "Strip", "StripAccents", "NFC", "NFD", "NFKC", "NFKD", "Sequence", "Lowercase", "Nmt",
		"Precompiled", "Replace", "Prepend", "ByteLevel"}
	preTokenizers = []string{"BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Metaspace", "Whitespace", "Sequence", "Split",
		"Punctuation", "WhitespaceSplit", "Digits", "UnicodeScripts", "FixedLength"}
	postProcessors = []string{"RobertaProcessing", "BertProcessing", "ByteLevel", "TemplateProcessing", "Sequence"}
	decoders       = []string{"BPEDecoder", "ByteLevel", "WordPiece", "Metaspace", "CTC", "Sequence", "Replace", "Fuse", "Strip", "ByteFallback"}
)

// check refuses a kind that is not known, of the step itself or of one within.
func (p *part) check(where string, known []string) error {
	if p == nil {
		return nil
	}
	if !slices.Contains(known, p.Type) {
		return fmt.Errorf("%s %.40q is not known; get the file again from where the model comes from", where, p.Type)
	}
	for _, inner := range slices.Concat(p.Normalizers, p.PreTokenizers, p.Processors, p.Decoders) {
		if err := inner.check(where, known); err != nil {
			return err
		}
	}
	return nil
}

// mergeRule is a merge as the library writes it: ["a", "b"], formerly "a b".
type mergeRule [2]string

// UnmarshalJSON implements json.Unmarshaler.
func (m *mergeRule) UnmarshalJSON(text []byte) error {
	var parts []string
	var line string
	if json.Unmarshal(text, &line) == nil {
		parts = strings.Split(line, " ")
	} else if err := json.Unmarshal(text, &parts); err != nil {
		return fmt.Errorf("merge %.40q is neither a pair of symbols nor a text", text)
	}
	if len(parts) != 2 || parts[0] == "" || parts[1] == "" {
		return fmt.Errorf("merge %.40q is not of two symbols", text)
	}
	*m = mergeRule(parts)
	return nil
}

// Parse reads a tokenizer.json. It must hold CLIP's kind of tokenizer: byte pairs over all 256 bytes with "</w>" at the
// end of words, each merge making a new symbol of older ones, and an end token with the largest id, since that is how the
// text tower finds it.
func Parse(file []byte) (*Tokenizer, error) {
	var f tokenizerFile
	if err := json.Unmarshal(file, &f); err != nil {
		return nil, fmt.Errorf("not a tokenizer.json: %w", err)
	}
	m := &f.Model
	if m.Type != "BPE" || m.EndOfWordSuffix != wordEnd {
		return nil, fmt.Errorf("model.type %q with end_of_word_suffix %q is not CLIP's tokenizer (BPE with %q)", m.Type, m.EndOfWordSuffix, wordEnd)
	}
	vocab := m.Vocab
	switch {
	case vocab == nil:
		return nil, errors.New("model.vocab is missing")
	case m.Merges == nil:
		return nil, errors.New("model.merges is missing, without which words fall into letters")
	}
	for _, step := range []struct {
		where string
		part  *part
		known []string
	}{
		{"normalizer", f.Normalizer, normalizers}, {"pre_tokenizer", f.PreTokenizer, preTokenizers},
		{"post_processor", f.PostProcessor, postProcessors}, {"decoder", f.Decoder, decoders},
	} {
		if err := step.part.check(step.where, step.known); err != nil {
			return nil, err
		}
	}
	for _, added := range f.AddedTokens {
		if id, ok := vocab[added.Content]; ok && id != added.ID {
			return nil, fmt.Errorf("token %.40q has the id %d in model.vocab and %d in added_tokens", added.Content, id, added.ID)
		}
		vocab[added.Content] = added.ID
	}
	if err := checkIDs(vocab); err != nil {
		return nil, err
	}
	t := &Tokenizer{size: len(vocab), merges: make(map[pair]merged, len(m.Merges))}
	symbols := make(map[string]int32, len(vocab)) // that bytes and merges make, so far
	for b, letter := range byteLetters() {
		for suffix, to := range map[string]*int32{"": &t.bytes[b], wordEnd: &t.lastBytes[b]} {
			id, ok := vocab[letter+suffix]
			if !ok {
				return nil, fmt.Errorf("model.vocab has no token %q for the byte %d", letter+suffix, b)
			}
			*to, symbols[letter+suffix] = id, id
		}
	}
	for rank, rule := range m.Merges {
		left, okLeft := symbols[rule[0]]
		right, okRight := symbols[rule[1]]
		whole := rule[0] + rule[1]
		id, ok := vocab[whole]
		switch {
		case !okLeft || !okRight:
			return nil, fmt.Errorf("merge %d (%.40q, %.40q) is of a symbol that no earlier merge makes", rank, rule[0], rule[1])
		case !ok:
			return nil, fmt.Errorf("merge %d makes %.40q, which is not in model.vocab", rank, whole)
		}
		if _, again := symbols[whole]; again {
			return nil, fmt.Errorf("merge %d makes %.40q, which is there already", rank, whole)
		}
		symbols[whole] = id
		t.merges[pair{left, right}] = merged{int32(rank), id}
	}
	var err error
	if t.start, err = special(vocab, startToken, startText); err != nil {
		return nil, err
	}
	if t.end, err = special(vocab, endToken, endText); err != nil {
		return nil, err
	}
	if int(t.end) != t.size-1 {
		return nil, fmt.Errorf("the end token has the id %d; it must be the largest (%d), by which the text tower finds it", t.end, t.size-1)
	}
	return t, nil
}

// checkIDs checks that the ids are 0, 1, ... without gaps or repetitions.
func checkIDs(vocab map[string]int32) error {
	if len(vocab) > largestVocabulary {
		return fmt.Errorf("model.vocab has %d tokens, more than any CLIP", len(vocab))
	}
	taken := make([]bool, len(vocab))
	for token, id := range vocab {
		if id < 0 || int(id) >= len(vocab) || taken[id] {
			return fmt.Errorf("token %.40q: the id %d is taken or not in 0..%d", token, id, len(vocab)-1)
		}
		taken[id] = true
	}
	return nil
}

// special finds a special token by one of its names.
func special(vocab map[string]int32, names ...string) (int32, error) {
	for _, name := range names {
		if id, ok := vocab[name]; ok {
			return id, nil
		}
	}
	return 0, fmt.Errorf("model.vocab has no special token %s", strings.Join(names, " or "))
}

// byteLetters gives each byte the letter that stands for it in the vocabulary: itself where that is visible in Latin-1,
// the others in order from U+0100 on.
func byteLetters() [256]string {
	var letters [256]string
	next := rune(256)
	for b := range rune(256) {
		letter := b
		if b <= ' ' || b >= 0x7f && b <= 0xa0 || b == 0xad {
			letter = next
			next++
		}
		letters[b] = string(letter)
	}
	return letters
}

// VocabSize is the number of token ids.
func (t *Tokenizer) VocabSize() int { return t.size }

// words finds what is encoded on its own in a clean text: English contractions, runs of letters, single digits and runs
// of anything else but spaces.
var words = regexp.MustCompile(startText + `|` + endText + `|(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+`)

// Encode returns the token ids of a text after [Clean], or as [ParsePieces] says, without start and end token.
func (t *Tokenizer) Encode(text string) []int32 {
	if t.pieces != nil {
		return t.pieces.encode(text)
	}
	var ids []int32
	for _, word := range words.FindAllString(Clean(text), -1) {
		switch word {
		case startText:
			ids = append(ids, t.start)
		case endText:
			ids = append(ids, t.end)
		default:
			ids = append(ids, t.encodeWord(word)...)
		}
	}
	return ids
}

// Tokens returns the ids as the text tower takes them: start token, text, end token and then 0 up to length; or, of
// SentencePiece, text, end token and then padding. A text that
// is too long is cut so that the end token stays last, and cut says so.
func (t *Tokenizer) Tokens(text string, length int) (ids []int32, cut bool) {
	encoded := t.Encode(text)
	if t.pieces != nil {
		return t.pieces.fit(encoded, length)
	}
	ids = make([]int32, max(length, 2))
	ids[0] = t.start
	n := 1 + copy(ids[1:len(ids)-1], encoded)
	ids[n] = t.end
	return ids, n < 1+len(encoded)
}
