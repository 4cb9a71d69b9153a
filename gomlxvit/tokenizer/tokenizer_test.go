package tokenizer_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"vitdecompose/gomlxvit/golden"
	"vitdecompose/gomlxvit/tokenizer"
)

func Example() {
	file, err := tokenizer.Learn([]string{"a photo of a cat", "a photo of a dog", "a drawing of a cat"}, 20)
	if err != nil {
		fmt.Println(err)
		return
	}
	t, err := tokenizer.Parse(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	ids, cut := t.Tokens("A  photo of&nbsp;a CAT", 10)
	fmt.Println(t.VocabSize(), ids, cut)
	// Output: 521 [519 353 518 512 353 514 520 0 0 0] false
}

func ExampleClean() {
	fmt.Println(tokenizer.Clean("  A “striped”\tSHIRT &amp;amp; a ﬂag "))
	// Output: a "striped" shirt & a flag
}

// clip parses the tokenizer.json of the golden data.
func clip(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	file, err := os.ReadFile(golden.Shared(t, "golden", "clip_tokenizer", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := tokenizer.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// small learns a tokenizer that needs no reference data.
func small(t testing.TB) (*tokenizer.Tokenizer, []byte) {
	t.Helper()
	file, err := tokenizer.Learn([]string{"the cat and the hat", "that is the one, isn't it?", "aaaa aaaaa"}, 40)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := tokenizer.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	return parsed, file
}

func TestGoldenCaptions(t *testing.T) {
	tok := clip(t)
	for _, name := range []string{"clip_vitb", "clip_quickgelu"} {
		dir := golden.Dir(t, name)
		captions := golden.Captions(t, dir)
		io := golden.Open(t, dir, "io.safetensors")
		want, err := io.Int64("text_tokens")
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for i, caption := range captions {
			ids, cut := tok.Tokens(caption, 77)
			if cut != (i == 3) {
				t.Errorf("%s: %.30q: cut is %v", name, caption, cut)
			}
			for _, id := range ids {
				got = append(got, int64(id))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: token ids\n%v, want\n%v", name, got, want)
		}
	}
}

// TestOpenCLIP compares with the ids that open_clip 3.3.0 (with ftfy 6.3.1) gives texts of all kinds: entities, scripts,
// emoji, ligatures, controls, and characters drawn at random.
func TestOpenCLIP(t *testing.T) {
	tok := clip(t)
	file, err := os.ReadFile("testdata/open_clip.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Text string
		IDs  []int32
	}
	if err := json.Unmarshal(file, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 200 {
		t.Fatalf("only %d texts", len(cases))
	}
	for _, c := range cases {
		got, _ := tok.Tokens(c.Text, 77)
		want := append(slices.Clone(c.IDs), make([]int32, 77-len(c.IDs))...)
		if !slices.Equal(got, want) {
			t.Errorf("%q (%q):\n%v, want\n%v", c.Text, tokenizer.Clean(c.Text), got, want)
		}
	}
}

func TestTokensLength(t *testing.T) {
	tok, _ := small(t)
	start, end := int32(tok.VocabSize()-2), int32(tok.VocabSize()-1)
	for _, c := range []struct {
		text   string
		length int
		want   []int32
		cut    bool
	}{
		{"", 4, []int32{start, end, 0, 0}, false},
		{" \n", 2, []int32{start, end}, false},
		{"!?", 4, []int32{start, '!', '?' + 256, end}, false},
		{"!?!", 4, []int32{start, '!', '?', end}, true},
	} {
		got, cut := tok.Tokens(c.text, c.length)
		if !slices.Equal(got, c.want) || cut != c.cut {
			t.Errorf("%q in %d: %v, %v, want %v, %v", c.text, c.length, got, cut, c.want, c.cut)
		}
	}
}

// TestLongWord: the time grows little faster than the text, whatever the text is.
func TestLongWord(t *testing.T) {
	tok, _ := small(t)
	began := time.Now()
	for _, part := range []string{"a", "the", "that cat ", "\u00e9", "&amp;"} {
		if got := tok.Encode(strings.Repeat(part, 100_000)); len(got) == 0 {
			t.Errorf("%q: no ids", part)
		}
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("100000 repetitions took %v", took)
	}
}

func TestParseErrors(t *testing.T) {
	_, file := small(t)
	change := func(edit func(f, model map[string]any)) []byte {
		var f map[string]any
		if err := json.Unmarshal(file, &f); err != nil {
			t.Fatal(err)
		}
		edit(f, f["model"].(map[string]any))
		changed, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	vocab := func(model map[string]any) map[string]any { return model["vocab"].(map[string]any) }
	for _, c := range []struct {
		name, want string
		file       []byte
	}{
		{"empty", "not a tokenizer.json", nil},
		{"text", "not a tokenizer.json", []byte("../elsewhere/tokenizer.json")},
		{"cut off", "not a tokenizer.json", file[:len(file)/2]},
		{"no model", "not CLIP's", []byte(`{}`)},
		{"another kind", "model.type \"Unigram\"", change(func(_, m map[string]any) { m["type"], m["vocab"] = "Unigram", map[string]any{} })},
		{"no vocabulary", "model.vocab is missing", change(func(_, m map[string]any) { delete(m, "vocab") })},
		{"id twice", "is taken", change(func(_, m map[string]any) { vocab(m)["!"] = 2 })},
		{"negative id", "is taken or not in", change(func(_, m map[string]any) { vocab(m)["!"] = -1 })},
		{"fraction", "not a tokenizer.json", change(func(_, m map[string]any) { vocab(m)["!"] = 0.5 })},
		{"byte missing", "for the byte", change(func(_, m map[string]any) { v := vocab(m); v["!!!!"] = v["!"]; delete(v, "!") })},
		{"no merges", "merges is missing", change(func(_, m map[string]any) { delete(m, "merges") })},
		{"unknown normalizer", "normalizer \"Lowercased\"", change(func(f, _ map[string]any) { f["normalizer"] = map[string]any{"type": "Lowercased"} })},
		{"unknown normalizer in a sequence", "normalizer \"\"", change(func(f, _ map[string]any) {
			f["normalizer"] = map[string]any{"type": "Sequence", "normalizers": []any{map[string]any{"type": "NFC"}, map[string]any{}}}
		})},
		{"unknown pre-tokenizer", "pre_tokenizer \"Words\"", change(func(f, _ map[string]any) { f["pre_tokenizer"] = map[string]any{"type": "Words"} })},
		{"merge of one", "not of two symbols", change(func(_, m map[string]any) { m["merges"] = []any{"ab"} })},
		{"merge of nothing", "not of two symbols", change(func(_, m map[string]any) { m["merges"] = []any{[]string{"", "a"}} })},
		{"merge of numbers", "neither a pair", change(func(_, m map[string]any) { m["merges"] = []any{7} })},
		{"merge of unknown", "no earlier merge", change(func(_, m map[string]any) { m["merges"] = []any{"th e"} })},
		{"merge to unknown", "not in model.vocab", change(func(_, m map[string]any) { m["merges"] = []any{"q q"} })},
		{"merge twice", "there already", change(func(_, m map[string]any) { r := m["merges"].([]any); m["merges"] = append(r, r[0]) })},
		{"no end", "no special token", change(func(f, m map[string]any) {
			f["added_tokens"] = nil
			v := vocab(m)
			v["end"] = v["<|endoftext|>"]
			delete(v, "<|endoftext|>")
		})},
		{"end is not last", "must be the largest", change(func(f, m map[string]any) {
			f["added_tokens"] = nil
			v := vocab(m)
			v["<|endoftext|>"], v["<|startoftext|>"] = v["<|startoftext|>"], v["<|endoftext|>"]
		})},
		{"added token disagrees", "in added_tokens", change(func(f, _ map[string]any) {
			f["added_tokens"] = []any{map[string]any{"id": 1, "content": "<|endoftext|>"}}
		})},
	} {
		if _, err := tokenizer.Parse(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	// The form that older files have is read too.
	old := change(func(_, m map[string]any) {
		for i, rule := range m["merges"].([]any) {
			m["merges"].([]any)[i] = fmt.Sprint(rule.([]any)[0], " ", rule.([]any)[1])
		}
	})
	if _, err := tokenizer.Parse(old); err != nil {
		t.Errorf("merges as texts: %v", err)
	}
}

// spell writes ids as the texts of their tokens, by the vocabulary of the file.
func spell(t testing.TB, file []byte, ids []int32) string {
	t.Helper()
	var f struct {
		Model struct{ Vocab map[string]int32 }
	}
	if err := json.Unmarshal(file, &f); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, id := range ids {
		for token, of := range f.Model.Vocab {
			if of == id {
				out = append(out, token)
			}
		}
	}
	return strings.Join(out, " ")
}

func TestLearn(t *testing.T) {
	_, file := small(t)
	if _, again := small(t); string(again) != string(file) {
		t.Error("the same texts give another tokenizer")
	}
	tok, _ := small(t)
	for text, want := range map[string]string{
		"The THE": "the</w> the</w>",
		"hat":     "h at</w>",
		"aaaaa":   "aa aa a</w>",
		"zoo!":    "z o o</w> !</w>",
	} {
		if got := spell(t, file, tok.Encode(text)); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func FuzzEncode(f *testing.F) {
	for _, text := range []string{"", "a photo of a cat", "it's 3.14 &amp; <b>é</b>", "\xff\xfe", "\x1b[31m&#0;&EACUTE;", "<end_of_text>", "ΣΑΣ \u0301"} {
		f.Add(text)
	}
	tok, _ := small(f)
	f.Fuzz(func(t *testing.T, text string) {
		clean := tokenizer.Clean(text)
		if strings.Contains(clean, "  ") || strings.TrimSpace(clean) != clean {
			t.Errorf("%q is not clean: %q", text, clean)
		}
		ids, _ := tok.Tokens(text, 16)
		end := slices.Index(ids, int32(tok.VocabSize()-1))
		if len(ids) != 16 || end < 1 {
			t.Fatalf("%q: %v has no end", text, ids)
		}
		for _, id := range ids {
			if id < 0 || int(id) >= tok.VocabSize() {
				t.Errorf("%q: %v is beyond the vocabulary", text, ids)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	_, file := small(f)
	f.Add(file)
	f.Add([]byte(`{"model":{"type":"BPE","end_of_word_suffix":"</w>","vocab":{"!":0},"merges":["a b"]}}`))
	f.Add([]byte(`{"model":{"type":"BPE","end_of_word_suffix":"</w>","vocab":{},"merges":[["a","b"],null]}}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		tok, err := tokenizer.Parse(file)
		if err != nil {
			return
		}
		for _, id := range tok.Encode("the cat's \u00e9") {
			if id < 0 || int(id) >= tok.VocabSize() {
				t.Errorf("id %d of %d", id, tok.VocabSize())
			}
		}
	})
}

func BenchmarkTokens(b *testing.B) {
	tok, _ := small(b)
	for b.Loop() {
		tok.Tokens("a photo of a cat, the one that isn't in the hat", 77)
	}
}
