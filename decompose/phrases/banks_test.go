package phrases

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vitdecompose/data/scenes"
)

func TestParseBank(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string
		err        string
	}{
		{"lines", "a red car\na cat", []string{"a red car", "a cat"}, ""},
		{"comments and empty lines", "# x\n\n a cat \r\n\t\n#", []string{"a cat"}, ""},
		{"duplicates", "b\na\nB\na\nc", []string{"b", "a", "c"}, ""},
		{"byte order mark", "\ufeffa", []string{"a"}, ""},
		{"colons and commas", "a: b, c, ", []string{"a: b, c,"}, ""},
		{"longest text", strings.Repeat("x", maxTextLine) + "\r\ny", []string{strings.Repeat("x", maxTextLine), "y"}, ""},

		{"nothing", "", nil, "there are no texts"},
		{"only comments", "# a\n\n", nil, "there are no texts"},
		{"no UTF-8", "a\nb\n\xc3(\n", nil, "line 3 is not UTF-8"},
		{"long text", "a\n" + strings.Repeat("x", maxTextLine+1) + "\n", nil, "line 2 is longer than 1000 bytes"},
		{"very long text", strings.Repeat("x", 1<<20), nil, "line 1 is longer than 1000 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseBank(strings.NewReader(test.text))
			checkError(t, err, test.err)
			if !slices.Equal(got, test.want) {
				t.Errorf("texts %.200q, want %.200q", got, test.want)
			}
		})
	}
}

func TestParseBankTooMany(t *testing.T) {
	if testing.Short() {
		t.Skip("a million texts")
	}
	digits := []byte("0000000\n")
	text := make([]byte, 0, (maxTexts+1)*len(digits))
	for i := range maxTexts + 1 {
		for k, n := len(digits)-2, i; k >= 0; k, n = k-1, n/10 {
			digits[k] = '0' + byte(n%10)
		}
		text = append(text, digits...)
	}
	_, err := ParseBank(strings.NewReader(string(text)))
	checkError(t, err, "line 1000001: there are more than 1000000 texts")
	if got, err := ParseBank(strings.NewReader(string(text[:maxTexts*len(digits)]))); err != nil || len(got) != maxTexts {
		t.Errorf("%d texts, error %v", len(got), err)
	}
}

func TestReadBank(t *testing.T) {
	path := filepath.Join(t.TempDir(), "texts.txt")
	if err := os.WriteFile(path, []byte("a cat\na dog\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func(string) ([]string, error){"ReadBank": ReadBank, "OpenBank": OpenBank} {
		if got, err := read(path); err != nil || !slices.Equal(got, []string{"a cat", "a dog"}) {
			t.Errorf("%s: texts %q, error %v", name, got, err)
		}
		_, err := read(path + ".none")
		checkError(t, err, path+".none")
	}
	_, err := OpenBank("generals")
	checkError(t, err, `texts "generals": no such file, and none of that name ships with the program (there are scenes, general)`)
	if err := os.WriteFile(path, []byte("a\n\xff"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = OpenBank(path)
	checkError(t, err, path+": line 2 is not UTF-8")
	_, err = Bank("everything")
	checkError(t, err, `unknown bank of texts "everything" (known: scenes, general)`)
}

func shippedBank(t testing.TB, name string) []string {
	t.Helper()
	texts, err := Bank(name)
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// wrongArticle finds a before a vowel and an before anything else.
var wrongArticle = regexp.MustCompile(`\ba [aeioX]|\ba u[^n]|\ban [^aeiouX]|\ban uni`)

func TestBanks(t *testing.T) {
	for name, count := range map[string][2]int{"scenes": {300, 700}, "general": {3300, 3700}} {
		texts := shippedBank(t, name)
		if len(texts) < count[0] || len(texts) > count[1] {
			t.Errorf("%s has %d texts, want %d to %d", name, len(texts), count[0], count[1])
		}
		if !slices.Equal(texts, shippedBank(t, name)) {
			t.Errorf("%s is not the same every time", name)
		}
		// They are as a file would have them.
		parsed, err := ParseBank(strings.NewReader(strings.Join(texts, "\n")))
		if err != nil || !slices.Equal(parsed, texts) {
			t.Errorf("%s, read from a file, has %d texts, error %v", name, len(parsed), err)
		}
		for _, text := range texts {
			if len(text) > 60 || strings.ContainsAny(text, "{}:,") || strings.Contains(text, "  ") {
				t.Errorf("%s: text %q", name, text)
			}
			if wrongArticle.MatchString(text) {
				t.Errorf("%s: %q has the wrong article", name, text)
			}
		}
	}
}

// captionWords are the words of captions of scenes.
func captionWords() map[string]bool {
	words := make(map[string]bool)
	for i := range uint64(20_000) {
		for word := range strings.FieldsSeq(scenes.Caption(1, i)) {
			words[word] = true
		}
	}
	return words
}

// checkWords checks that captions of scenes have every word of the texts.
func checkWords(t *testing.T, texts []string) {
	t.Helper()
	words := captionWords()
	for _, text := range texts {
		for word := range strings.FieldsSeq(text) {
			if !words[word] {
				t.Errorf("%q: no caption has the word %q", text, word)
			}
		}
	}
}

func TestScenesBank(t *testing.T) {
	texts := shippedBank(t, "scenes")
	checkWords(t, texts)
	for _, want := range []string{"finch", "bird", "a red car", "a striped cat", "a finch in a forest", "red color", "striped pattern",
		"in the snow", "octagonal shape", "a photo of an elephant"} {
		if !slices.Contains(texts, want) {
			t.Errorf("the bank has no %q", want)
		}
	}
	// Instances of the features are in the bank, so that the texts found can be the truth.
	for _, f := range shipped(t, "scenes") {
		for _, instance := range f.Instances {
			if !slices.Contains(texts, instance) {
				t.Errorf("the bank has no %q", instance)
			}
		}
	}
}

// TestGeneralBank: every group of words is used, every word said.
func TestGeneralBank(t *testing.T) {
	groups, err := ParseFeatures(strings.NewReader(generalWords))
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(shippedBank(t, "general"), "\n")
	for _, g := range groups {
		if !slices.ContainsFunc(generalTemplates, func(template struct {
			text string
			most int
		}) bool {
			return strings.Contains(template.text, "{"+g.Name+"}")
		}) {
			t.Errorf("no template has the group %q", g.Name)
		}
		for _, word := range g.Instances {
			if !strings.Contains(all, word) {
				t.Errorf("no text has the %s %q", g.Name, word)
			}
		}
	}
}

func TestCompose(t *testing.T) {
	groups := map[string][]string{"one": {"x"}, "noun": {"ant", "bee", "cat"}, "how": {"old", "young"}}
	for _, test := range []struct {
		template string
		most     int
		want     []string
	}{
		{"an idea", all, []string{"an idea"}},
		{"a {noun}", all, []string{"an ant", "a bee", "a cat"}},
		{"the {noun} of a {one}", 2, []string{"the ant of a x", "the bee of a x"}},
		{"a {how} {noun}", all, []string{"an old ant", "a young cat", "an old cat", "a young bee", "an old bee", "a young ant"}},
		{"{noun} and {noun}", all, []string{"cat and bee", "bee and ant", "ant and cat", "cat and ant", "bee and cat", "ant and bee"}},
	} {
		got, err := compose(test.template, test.most, groups)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%q: texts %q, error %v, want %q", test.template, got, err, test.want)
		}
	}
	_, err := compose("a {verb}", all, groups)
	checkError(t, err, `there are no words of the group "verb"`)
}

func FuzzParseBank(f *testing.F) {
	for _, name := range Banks() {
		f.Add(strings.Join(shippedBank(f, name), "\n"))
	}
	addFeatureFiles(f)
	f.Add("\ufeffa\r\n#\n\xff")
	f.Fuzz(func(t *testing.T, text string) {
		texts, err := ParseBank(strings.NewReader(text))
		if (err == nil) != (len(texts) > 0) {
			t.Fatalf("%d texts, error %v", len(texts), err)
		}
		if err != nil {
			checkError(t, err, err.Error()) // in one line
			return
		}
		// Written again, they read the same.
		again, err := ParseBank(strings.NewReader("# again\n" + strings.Join(texts, "\n")))
		if err != nil || !slices.Equal(again, texts) {
			t.Errorf("texts %q, read again %q, error %v", texts, again, err)
		}
	})
}
