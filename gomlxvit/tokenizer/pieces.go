package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// pieces is a tokenizer of SentencePiece (Kudo and Richardson 2018, arXiv 1808.06226) as the tokenizers library writes it: a
// unigram model, whose best division of a text has the greatest sum of scores, or byte pairs over characters.
type pieces struct {
	clean    func(text string) string
	added    []addedToken
	steps    []normalizer
	words    []splitter
	ids      map[string]int32
	size     int
	end, pad int32

	// Of a unigram model.
	scores  []float64 // by id; nil for byte pairs
	longest int       // bytes of a piece
	unknown int32     // -1 without one
	least   float64   // of all scores

	// Of byte pairs.
	merges    map[pair]merged
	byteIDs   *[256]int32 // for what is no piece, nil without
	fuse      bool        // unknown characters side by side are one token
	wholeWord bool        // a word that is a piece is not divided
}

// addedToken is a text that is a token before anything else is done.
type addedToken struct {
	content        string
	id             int32
	left, right    bool // white space at this side belongs to it
	afterNormalize bool
}

// normalizer changes a text.
type normalizer func(text string) string

// splitter divides a word of a text further; first tells that it is the first.
type splitter func(word string, first bool) []string

// piecesFile is what matters of a tokenizer.json.
type piecesFile struct {
	AddedTokens []struct {
		ID         int32  `json:"id"`
		Content    string `json:"content"`
		LStrip     bool   `json:"lstrip"`
		RStrip     bool   `json:"rstrip"`
		Normalized bool   `json:"normalized"`
	} `json:"added_tokens"`
	Padding *struct {
		ID *int32 `json:"pad_id"`
	} `json:"padding"`
	Normalizer   *step `json:"normalizer"`
	PreTokenizer *step `json:"pre_tokenizer"`
	Model        struct {
		Type         string          `json:"type"`
		Vocab        json.RawMessage `json:"vocab"`
		UnknownID    *int32          `json:"unk_id"`
		Unknown      *string         `json:"unk_token"`
		Merges       []mergeRule     `json:"merges"`
		ByteFallback bool            `json:"byte_fallback"`
		FuseUnknown  bool            `json:"fuse_unk"`
		IgnoreMerges bool            `json:"ignore_merges"`
		Dropout      *float64        `json:"dropout"`
		Prefix       *string         `json:"continuing_subword_prefix"`
		Suffix       *string         `json:"end_of_word_suffix"`
	} `json:"model"`
}

// step is a normalizer or a pre-tokenizer with its settings.
type step struct {
	Type          string  `json:"type"`
	Normalizers   []step  `json:"normalizers"`
	PreTokenizers []step  `json:"pretokenizers"`
	Charsmap      []byte  `json:"precompiled_charsmap"`
	Pattern       pattern `json:"pattern"`
	Content       string  `json:"content"`
	Prepend       string  `json:"prepend"`
	StripLeft     bool    `json:"strip_left"`
	StripRight    bool    `json:"strip_right"`
	Replacement   string  `json:"replacement"`
	Scheme        string  `json:"prepend_scheme"`
	PrefixSpace   *bool   `json:"add_prefix_space"`
	Split         *bool   `json:"split"`
	Behavior      string  `json:"behavior"`
	Invert        bool    `json:"invert"`
}

// pattern is a text or a regular expression.
type pattern struct {
	String *string
	Regex  *string
}

func (p pattern) compile() (*regexp.Regexp, error) {
	switch {
	case p.String != nil:
		return regexp.Compile(regexp.QuoteMeta(*p.String))
	case p.Regex != nil:
		return regexp.Compile(*p.Regex)
	}
	return nil, errors.New("a pattern is missing")
}

// ParsePieces reads a tokenizer.json of a SigLIP or SigLIP 2: a unigram model or byte pairs of SentencePiece. clean is done to texts
// first: [Canonical], [Plain], [Lowercase], or nil for nothing.
func ParsePieces(file []byte, clean func(text string) string) (*Tokenizer, error) {
	var f piecesFile
	if err := json.Unmarshal(file, &f); err != nil {
		return nil, fmt.Errorf("not a tokenizer.json: %w", err)
	}
	p := &pieces{clean: clean, unknown: -1, fuse: f.Model.FuseUnknown, wholeWord: f.Model.IgnoreMerges}
	var err error
	switch f.Model.Type {
	case "Unigram":
		err = p.parseUnigram(&f)
	case "BPE":
		err = p.parsePairs(&f)
	default:
		err = fmt.Errorf("model.type %q is not SentencePiece's: Unigram or BPE", f.Model.Type)
	}
	if err == nil {
		err = p.addNormalizer(f.Normalizer, 0)
	}
	if err == nil {
		err = p.addSplitter(f.PreTokenizer, 0)
	}
	if err != nil {
		return nil, err
	}
	if err := p.addTokens(&f); err != nil {
		return nil, err
	}
	return &Tokenizer{pieces: p, size: p.size, end: p.end}, nil
}

// Lowercase is the tokenizers library's: letter by letter, so that there is no final sigma. One capital is two letters then.
func Lowercase(text string) string { return strings.ToLower(strings.ReplaceAll(text, "İ", "i\u0307")) }

// IsUnigram tells a tokenizer.json with a unigram model from others.
func IsUnigram(file []byte) bool {
	var f piecesFile
	return json.Unmarshal(file, &f) == nil && f.Model.Type == "Unigram"
}

// parseUnigram reads pieces with their scores.
func (p *pieces) parseUnigram(f *piecesFile) error {
	var vocab []scored
	if err := json.Unmarshal(f.Model.Vocab, &vocab); err != nil || len(vocab) == 0 {
		return fmt.Errorf("model.vocab is no list of pieces with their scores (%v)", err)
	}
	if f.Model.ByteFallback {
		return errors.New("model.byte_fallback is not supported of a unigram model")
	}
	if len(vocab) > largestVocabulary {
		return fmt.Errorf("model.vocab has %d pieces, more than any CLIP", len(vocab))
	}
	p.ids, p.size, p.least = make(map[string]int32, len(vocab)), len(vocab), math.Inf(1)
	for id, piece := range vocab {
		if _, twice := p.ids[piece.text]; twice || piece.text == "" || math.IsNaN(piece.score) || math.IsInf(piece.score, 0) {
			return fmt.Errorf("piece %d, %.40q of score %g, is empty, there twice or without a score", id, piece.text, piece.score)
		}
		p.ids[piece.text] = int32(id)
		p.scores, p.longest, p.least = append(p.scores, piece.score), max(p.longest, len(piece.text)), min(p.least, piece.score)
	}
	if f.Model.UnknownID == nil || *f.Model.UnknownID < 0 || int(*f.Model.UnknownID) >= len(vocab) {
		return errors.New("model.unk_id is not one of the pieces")
	}
	p.unknown = *f.Model.UnknownID
	p.fuse = true
	return nil
}

// scored is a piece as a unigram model writes it: ["piece", score].
type scored struct {
	text  string
	score float64
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *scored) UnmarshalJSON(text []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil || len(parts) != 2 {
		return fmt.Errorf("%.40q is no piece with its score", text)
	}
	return errors.Join(json.Unmarshal(parts[0], &s.text), json.Unmarshal(parts[1], &s.score))
}

// parsePairs reads byte pairs over characters.
func (p *pieces) parsePairs(f *piecesFile) error {
	if err := json.Unmarshal(f.Model.Vocab, &p.ids); err != nil || len(p.ids) == 0 {
		return fmt.Errorf("model.vocab is no object of pieces with their ids (%v)", err)
	}
	m := &f.Model
	if m.Dropout != nil && *m.Dropout != 0 || m.Prefix != nil && *m.Prefix != "" || m.Suffix != nil && *m.Suffix != "" {
		return errors.New("model: dropout, continuing_subword_prefix and end_of_word_suffix are not supported of SentencePiece's pairs")
	}
	if err := checkIDs(p.ids); err != nil {
		return err
	}
	p.size = len(p.ids)
	p.merges = make(map[pair]merged, len(m.Merges))
	for rank, rule := range m.Merges {
		left, okLeft := p.ids[rule[0]]
		right, okRight := p.ids[rule[1]]
		id, ok := p.ids[rule[0]+rule[1]]
		if !okLeft || !okRight || !ok {
			return fmt.Errorf("merge %d (%.40q, %.40q) is of pieces that are not in model.vocab", rank, rule[0], rule[1])
		}
		if _, again := p.merges[pair{left, right}]; again {
			return fmt.Errorf("merge %d (%.40q, %.40q) is there twice", rank, rule[0], rule[1])
		}
		p.merges[pair{left, right}] = merged{int32(rank), id}
	}
	if m.Unknown != nil {
		id, ok := p.ids[*m.Unknown]
		if !ok {
			return fmt.Errorf("model.unk_token %.40q is not in model.vocab", *m.Unknown)
		}
		p.unknown = id
	}
	if m.ByteFallback {
		p.byteIDs = new([256]int32)
		for b := range p.byteIDs {
			id, ok := p.ids[fmt.Sprintf("<0x%02X>", b)]
			if !ok {
				id = gone
			}
			p.byteIDs[b] = id
		}
	}
	return nil
}

// addTokens notes the tokens that are found before anything is done, and those at the end and behind it.
func (p *pieces) addTokens(f *piecesFile) error {
	special := make(map[string]int32)
	for _, a := range f.AddedTokens {
		if a.Content == "" || a.ID < 0 || int(a.ID) >= largestVocabulary {
			return fmt.Errorf("added_tokens: %.40q with the id %d cannot be a token", a.Content, a.ID)
		}
		if id, ok := p.ids[a.Content]; ok && id != a.ID {
			return fmt.Errorf("token %.40q has the id %d in model.vocab and %d in added_tokens", a.Content, id, a.ID)
		}
		special[a.Content] = a.ID
		p.size = max(p.size, int(a.ID)+1)
		p.added = append(p.added, addedToken{a.Content, a.ID, a.LStrip, a.RStrip, a.Normalized})
	}
	for i, added := range p.added {
		if added.afterNormalize {
			p.added[i].content = p.normalize(added.content)
		}
	}
	p.added = slices.DeleteFunc(p.added, func(a addedToken) bool { return a.content == "" })
	slices.SortStableFunc(p.added, func(a, b addedToken) int { return len(b.content) - len(a.content) })
	find := func(names ...string) (int32, bool) {
		for _, name := range names {
			if id, ok := special[name]; ok {
				return id, true
			}
			if id, ok := p.ids[name]; ok {
				return id, true
			}
		}
		return 0, false
	}
	var ok bool
	ends := []string{"<eos>", "</s>"} // Gemma has the other as a tag of HTML
	if p.scores != nil {
		slices.Reverse(ends)
	}
	if p.end, ok = find(ends...); !ok {
		return errors.New("model.vocab has no end token </s> or <eos>")
	}
	switch {
	case p.scores != nil: // SigLIP's texts end with </s> again and again
		p.pad = p.end
	case f.Padding != nil && f.Padding.ID != nil && *f.Padding.ID >= 0 && int(*f.Padding.ID) < p.size:
		p.pad = *f.Padding.ID
	default:
		if p.pad, ok = find("<pad>"); !ok {
			return errors.New("model.vocab has no token <pad>")
		}
	}
	return nil
}

// deepest bounds how far steps are within each other.
const deepest = 8

// addNormalizer adds what a step does to texts.
func (p *pieces) addNormalizer(s *step, depth int) error {
	if s == nil {
		return nil
	}
	if depth > deepest {
		return errors.New("normalizer: its steps are too deep within each other")
	}
	var do normalizer
	switch s.Type {
	case "Sequence":
		for i := range s.Normalizers {
			if err := p.addNormalizer(&s.Normalizers[i], depth+1); err != nil {
				return err
			}
		}
		return nil
	case "Precompiled":
		m, err := newCharsmap(s.Charsmap)
		if err != nil {
			return fmt.Errorf("normalizer Precompiled: %w", err)
		}
		do = m.apply
	case "Replace":
		expression, err := s.Pattern.compile()
		if err != nil {
			return fmt.Errorf("normalizer Replace: %w", err)
		}
		do = func(text string) string { return expression.ReplaceAllLiteralString(text, s.Content) }
	case "Lowercase":
		do = Lowercase
	case "NFC":
		do = norm.NFC.String
	case "NFD":
		do = norm.NFD.String
	case "NFKC":
		do = norm.NFKC.String
	case "NFKD":
		do = norm.NFKD.String
	case "Prepend":
		do = func(text string) string {
			if text == "" {
				return ""
			}
			return s.Prepend + text
		}
	case "Strip":
		do = func(text string) string {
			if s.StripLeft {
				text = strings.TrimLeftFunc(text, unicode.IsSpace)
			}
			if s.StripRight {
				text = strings.TrimRightFunc(text, unicode.IsSpace)
			}
			return text
		}
	default:
		return fmt.Errorf("normalizer %.40q is not supported", s.Type)
	}
	p.steps = append(p.steps, do)
	return nil
}

// addSplitter adds how a step divides texts into words.
func (p *pieces) addSplitter(s *step, depth int) error {
	if s == nil {
		return nil
	}
	if depth > deepest {
		return errors.New("pre_tokenizer: its steps are too deep within each other")
	}
	var split splitter
	switch s.Type {
	case "Sequence":
		for i := range s.PreTokenizers {
			if err := p.addSplitter(&s.PreTokenizers[i], depth+1); err != nil {
				return err
			}
		}
		return nil
	case "WhitespaceSplit":
		split = func(word string, _ bool) []string { return strings.FieldsFunc(word, unicode.IsSpace) }
	case "Metaspace":
		always := s.Scheme == "always" || s.Scheme == "" && (s.PrefixSpace == nil || *s.PrefixSpace)
		first := s.Scheme == "first"
		if s.Replacement == "" || s.Scheme != "" && !always && !first && s.Scheme != "never" {
			return fmt.Errorf("pre_tokenizer Metaspace: replacement %q and prepend_scheme %q are not known", s.Replacement, s.Scheme)
		}
		split = func(word string, isFirst bool) []string {
			word = strings.ReplaceAll(word, " ", s.Replacement)
			if (always || first && isFirst) && !strings.HasPrefix(word, s.Replacement) {
				word = s.Replacement + word
			}
			if s.Split != nil && !*s.Split {
				return []string{word}
			}
			return withNext(word, s.Replacement)
		}
	case "Split":
		expression, err := s.Pattern.compile()
		if err != nil {
			return fmt.Errorf("pre_tokenizer Split: %w", err)
		}
		if s.Behavior != "MergedWithPrevious" || s.Invert {
			return fmt.Errorf("pre_tokenizer Split: behavior %.40q is not supported, only MergedWithPrevious", s.Behavior)
		}
		split = func(word string, _ bool) []string {
			var parts []string
			from := 0
			for _, match := range expression.FindAllStringIndex(word, -1) {
				parts = append(parts, word[from:match[1]])
				from = match[1]
			}
			return append(parts, word[from:])
		}
	default:
		return fmt.Errorf("pre_tokenizer %.40q is not supported", s.Type)
	}
	p.words = append(p.words, split)
	return nil
}

// withNext divides a text in front of each mark.
func withNext(text, mark string) []string {
	var parts []string
	for text != "" {
		at := strings.Index(text[min(len(mark), len(text)):], mark)
		if !strings.HasPrefix(text, mark) {
			at = strings.Index(text, mark)
		} else if at >= 0 {
			at += len(mark)
		}
		if at < 0 {
			return append(parts, text)
		}
		parts, text = append(parts, text[:at]), text[at:]
	}
	return parts
}

func (p *pieces) normalize(text string) string {
	for _, do := range p.steps {
		text = do(text)
	}
	return text
}

// encode gives the ids of a text, without an end token.
func (p *pieces) encode(text string) []int32 {
	if p.clean != nil {
		text = p.clean(text)
	}
	var ids []int32
	first := true
	p.apart(strings.ToValidUTF8(text, "\ufffd"), false, func(part string, id int32) {
		if id >= 0 {
			ids, first = append(ids, id), false
			return
		}
		p.apart(p.normalize(part), true, func(part string, id int32) {
			if id >= 0 {
				ids, first = append(ids, id), false
				return
			}
			words := []string{part}
			for _, split := range p.words {
				var next []string
				for i, word := range words {
					next = append(next, split(word, first && i == 0)...)
				}
				words = next
			}
			for _, word := range words {
				if word != "" {
					ids, first = append(ids, p.word(word)...), false
				}
			}
		})
	})
	return ids
}

// apart finds the added tokens in a text, those of normalised texts or the others, and hands over what is between them with an id
// of -1.
func (p *pieces) apart(text string, normalized bool, hand func(part string, id int32)) {
	from := 0
	for at := 0; at < len(text); {
		i := slices.IndexFunc(p.added, func(a addedToken) bool {
			return a.afterNormalize == normalized && strings.HasPrefix(text[at:], a.content)
		})
		if i < 0 {
			at++
			continue
		}
		before := text[from:at]
		if p.added[i].left {
			before = strings.TrimRightFunc(before, unicode.IsSpace)
		}
		if before != "" {
			hand(before, -1)
		}
		hand("", p.added[i].id)
		at += len(p.added[i].content)
		if p.added[i].right {
			at = len(text) - len(strings.TrimLeftFunc(text[at:], unicode.IsSpace))
		}
		from = at
	}
	if from < len(text) {
		hand(text[from:], -1)
	}
}

// word gives the ids of a word.
func (p *pieces) word(word string) []int32 {
	if p.scores != nil {
		return p.best(word)
	}
	if id, ok := p.ids[word]; ok && p.wholeWord {
		return []int32{id}
	}
	var ids []int32
	unknown := false // the last id stands for unknown characters
	for _, r := range word {
		letter := string(r)
		id, ok := p.ids[letter]
		switch {
		case ok:
			ids, unknown = append(ids, id), false
		case p.fromBytes(letter) != nil:
			ids, unknown = append(ids, p.fromBytes(letter)...), false
		case p.unknown >= 0 && !(p.fuse && unknown):
			ids, unknown = append(ids, p.unknown), true
		}
	}
	return mergePairs(ids, p.merges)
}

// fromBytes are the ids of the bytes of a character, nil if there are none.
func (p *pieces) fromBytes(letter string) []int32 {
	if p.byteIDs == nil {
		return nil
	}
	var ids []int32
	for i := range len(letter) {
		id := p.byteIDs[letter[i]]
		if id == gone {
			return nil
		}
		ids = append(ids, id)
	}
	return ids
}

// unknownPenalty is how much less an unknown character scores than the worst piece.
const unknownPenalty = 10

// best divides a word into the pieces with the greatest sum of scores.
func (p *pieces) best(word string) []int32 {
	type node struct {
		id    int32
		from  int // -1: not reached
		score float64
	}
	nodes := make([]node, len(word)+1)
	for i := range nodes {
		nodes[i].from = -1
	}
	reach := func(to, from int, id int32, score float64) {
		if nodes[to].from < 0 || score > nodes[to].score {
			nodes[to] = node{id, from, score}
		}
	}
	for at := 0; at < len(word); {
		_, size := utf8.DecodeRuneInString(word[at:])
		single := false
		for end := at + 1; end <= min(len(word), at+p.longest); end++ {
			if id, ok := p.ids[word[at:end]]; ok {
				reach(end, at, id, nodes[at].score+p.scores[id])
				single = single || end == at+size
			}
		}
		if !single {
			reach(at+size, at, p.unknown, nodes[at].score+p.least-unknownPenalty)
		}
		at += size
	}
	var ids []int32
	for at := len(word); at > 0; at = nodes[at].from {
		if n := nodes[at]; n.id != p.unknown || len(ids) == 0 || ids[len(ids)-1] != p.unknown {
			ids = append(ids, n.id)
		}
	}
	slices.Reverse(ids)
	return ids
}

// fit cuts ids to a length, with the end token last, or fills up with padding.
func (p *pieces) fit(encoded []int32, length int) (ids []int32, cut bool) {
	length = max(length, 1)
	ids = make([]int32, length)
	n := copy(ids[:length-1], encoded)
	ids[n] = p.end
	for i := n + 1; i < length; i++ {
		ids[i] = p.pad
	}
	return ids, n < len(encoded)
}
