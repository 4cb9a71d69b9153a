package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Learn makes a tokenizer.json whose merges fit the texts: again and again the most frequent pair of neighbouring symbols
// becomes one, at most merges times, and no more once no pair occurs twice. Ties go to the pair first in the alphabet, so
// the same texts give the same bytes. For corpora of some thousand different words; the file is read by [Parse] and by
// the tokenizers library.
func Learn(texts []string, merges int) ([]byte, error) {
	letters := byteLetters()
	counts := make(map[string]int)
	for _, text := range texts {
		for _, word := range words.FindAllString(Clean(text), -1) {
			counts[word]++
		}
	}
	type spelled struct {
		symbols []string
		count   int
	}
	var corpus []spelled
	for word, count := range counts {
		s := spelled{count: count}
		for _, b := range []byte(word) {
			s.symbols = append(s.symbols, letters[b])
		}
		s.symbols[len(s.symbols)-1] += wordEnd
		corpus = append(corpus, s)
	}

	made := make(map[string]bool)
	var rules []mergeRule
	for len(rules) < merges {
		frequency := make(map[mergeRule]int)
		for _, word := range corpus {
			for i := range len(word.symbols) - 1 {
				frequency[mergeRule{word.symbols[i], word.symbols[i+1]}] += word.count
			}
		}
		best, most := mergeRule{}, 1
		for rule, n := range frequency {
			if made[rule[0]+rule[1]] { // of other parts; Parse wants one rule for each symbol
				continue
			}
			if n > most || n == most && most > 1 && slices.Compare(rule[:], best[:]) < 0 {
				best, most = rule, n
			}
		}
		if most == 1 {
			break
		}
		rules, made[best[0]+best[1]] = append(rules, best), true
		for k, word := range corpus {
			corpus[k].symbols = mergeAll(word.symbols, best)
		}
	}
	return marshal(letters, rules)
}

// mergeAll merges every occurrence of a rule, from left to right.
func mergeAll(symbols []string, rule mergeRule) []string {
	out := symbols[:0]
	for i := 0; i < len(symbols); i++ {
		if i+1 < len(symbols) && symbols[i] == rule[0] && symbols[i+1] == rule[1] {
			out = append(out, rule[0]+rule[1])
			i++
			continue
		}
		out = append(out, symbols[i])
	}
	return out
}

// marshal writes a tokenizer.json: bytes, bytes at the end of a word, merges, start and end.
func marshal(letters [256]string, rules []mergeRule) ([]byte, error) {
	vocab := make(map[string]int)
	add := func(token string) int {
		vocab[token] = len(vocab)
		return vocab[token]
	}
	for _, suffix := range []string{"", wordEnd} {
		for _, letter := range letters {
			add(letter + suffix)
		}
	}
	for _, rule := range rules {
		add(rule[0] + rule[1])
	}
	start, end := add(startToken), add(endToken)

	type object = map[string]any
	special := func(content string, id int) object {
		return object{"id": id, "content": content, "special": true, "normalized": false, "single_word": false, "lstrip": false, "rstrip": false}
	}
	pattern := strings.TrimPrefix(strings.Replace(words.String(), "(?i:'s|'t|'re|'ve|'m|'ll|'d)", "'s|'t|'re|'ve|'m|'ll|'d", 1), startText+"|"+endText+"|")
	file, err := json.MarshalIndent(object{
		"version": "1.0", "truncation": nil, "padding": nil,
		"added_tokens": []object{special(startToken, start), special(endToken, end)},
		"normalizer": object{"type": "Sequence", "normalizers": []object{
			{"type": "NFC"}, {"type": "Replace", "pattern": object{"Regex": `\s+`}, "content": " "}, {"type": "Lowercase"},
		}},
		"pre_tokenizer": object{"type": "Sequence", "pretokenizers": []object{
			{"type": "Split", "pattern": object{"Regex": pattern}, "behavior": "Removed", "invert": true},
			{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
		}},
		"post_processor": object{
			"type": "RobertaProcessing", "trim_offsets": false, "add_prefix_space": false,
			"cls": []any{startToken, start}, "sep": []any{endToken, end},
		},
		"decoder": object{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
		"model": object{
			"type": "BPE", "unk_token": endToken, "continuing_subword_prefix": "", "end_of_word_suffix": wordEnd,
			"fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": rules,
		},
	}, "", " ")
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return append(file, '\n'), nil
}
