package tokenizer

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// cleanings by the names of testdata/pieces.json.
var cleanings = map[string]func(string) string{"canonical": Canonical, "plain": Plain, "none": nil}

func readPieces(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// The ids are those of the tokenizers library 0.23.3, texts cleaned as open_clip 3.3.0 and transformers 5.24.0 do
// (testdata/pieces.py).
func TestPieces(t *testing.T) {
	var cases []struct {
		Tokenizer, Clean, Text string
		IDs                    []int32
	}
	content, err := os.ReadFile(filepath.Join("testdata", "pieces.json"))
	if err == nil {
		err = json.Unmarshal(content, &cases)
	}
	if err != nil || len(cases) < 200 {
		t.Fatal(err, len(cases))
	}
	made := map[[2]string]*Tokenizer{}
	for _, c := range cases {
		key := [2]string{c.Tokenizer, c.Clean}
		if made[key] == nil {
			if made[key], err = ParsePieces(readPieces(t, c.Tokenizer), cleanings[c.Clean]); err != nil {
				t.Fatal(err)
			}
		}
		tokens := made[key]
		length := len(c.IDs) + 3
		got, cut := tokens.Tokens(c.Text, length)
		pad := got[len(got)-1]
		if want := slices.Concat(c.IDs, []int32{pad, pad, pad}); cut || !slices.Equal(got, want) {
			t.Errorf("%s, %s, %q: %v, %v; want %v", c.Tokenizer, c.Clean, c.Text, got, cut, want)
		}
		if want := map[string]int32{"unigram": 1, "pairs": 0}[c.Tokenizer]; pad != want {
			t.Errorf("%s is filled up with %d, not %d", c.Tokenizer, pad, want)
		}
		if len(c.IDs) > 3 {
			short, cut := tokens.Tokens(c.Text, 3)
			if want := []int32{c.IDs[0], c.IDs[1], 1}; !cut || !slices.Equal(short, want) {
				t.Errorf("%s, %q in 3 tokens: %v, %v; want %v", c.Tokenizer, c.Text, short, cut, want)
			}
		}
	}
}

func TestPiecesMistakes(t *testing.T) {
	for text, want := range map[string]string{
		``:                                 "not a tokenizer.json",
		`{"model": {"type": "WordPiece"}}`: "WordPiece",
		`{"model": {"type": "Unigram", "vocab": {}}}`:                                                                                                    "pieces with their scores",
		`{"model": {"type": "Unigram", "unk_id": 5, "vocab": [["a", 0]]}}`:                                                                               "unk_id",
		`{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["a", 0], ["a", 1]]}}`:                                                                     "there twice",
		`{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["a", 0]]}}`:                                                                               "no end token",
		`{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["</s>", 0]]}, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////w=="}}`: "shorter than it says",
		`{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["</s>", 0]]}, "normalizer": {"type": "Frob"}}`:                                            "Frob",
		`{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["</s>", 0]]}, "pre_tokenizer": {"type": "Frob"}}`:                                         "Frob",
		`{"model": {"type": "BPE", "vocab": {"<eos>": 0, "<pad>": 1}, "merges": [["a", "b"]]}}`:                                                          "merge 0",
		`{"model": {"type": "BPE", "vocab": {"<eos>": 0, "<pad>": 7}}}`:                                                                                  "7",
	} {
		if _, err := ParsePieces([]byte(text), nil); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one of one line with %q", text, err, want)
		}
	}
}

// Whatever a tokenizer.json holds, it is refused or texts become tokens of it.
func FuzzPieces(f *testing.F) {
	for _, name := range []string{"unigram", "pairs"} {
		f.Add(readPieces(f, name), "a Photo of\u0301 </s> ½ \n\n 👩‍👧")
	}
	f.Add([]byte(`{"added_tokens": [{"id": 3, "content": "x", "lstrip": true, "rstrip": true, "normalized": true}], "normalizer": {"type": "Prepend", "prepend": "x"},
		"pre_tokenizer": {"type": "Split", "pattern": {"Regex": ""}, "behavior": "MergedWithPrevious"}, "model": {"type": "Unigram", "unk_id": 0, "vocab": [["</s>", 0]]}}`), " x y ")
	f.Fuzz(func(t *testing.T, file []byte, text string) {
		tokens, err := ParsePieces(file, Canonical)
		if err != nil {
			return
		}
		if len(text) > 1<<10 || bytes.Count(file, []byte("Prepend"))+bytes.Count(file, []byte("Replace")) > 3 {
			return // what steps of their own make longer and longer
		}
		ids, _ := tokens.Tokens(text, 16)
		for _, id := range ids {
			if len(ids) != 16 || id < 0 || int(id) >= tokens.VocabSize() {
				t.Fatalf("%q: %v of %d", text, ids, tokens.VocabSize())
			}
		}
	})
}
