package data

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// write creates a file below dir; a .png is a small picture of one grey.
func write(t testing.TB, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if strings.EqualFold(filepath.Ext(name), ".png") {
		var grey uint8
		if content != "" {
			grey = content[0]
		}
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		picture := image.NewGray(image.Rect(0, 0, 3, 2))
		for i := range picture.Pix {
			picture.Pix[i] = color.Gray{Y: grey}.Y
		}
		if err := png.Encode(f, picture); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func items(ds Dataset) []Item {
	var all []Item
	for i := range ds.Len() {
		all = append(all, ds.Item(i))
	}
	return all
}

func TestClassFolders(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"swan/b.png", "swan/a.PNG", "finch/deep/er/c.png", "finch/notes.txt", "finch/.hidden.png", ".cache/x.png", "README.md"} {
		write(t, dir, name, "x")
	}
	ds, err := Open("folder:"+dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"finch", "swan"}; !slices.Equal(ds.Classes(), want) {
		t.Errorf("classes %v, want %v", ds.Classes(), want)
	}
	want := []Item{{"finch/deep/er/c.png", 0}, {"swan/a.PNG", 1}, {"swan/b.png", 1}}
	if got := items(ds); !slices.Equal(got, want) {
		t.Errorf("items %v, want %v", got, want)
	}
	p, err := ds.Picture(2)
	if err != nil {
		t.Fatal(err)
	}
	if p.Width != 3 || p.Height != 2 || p.Pix[0] != 'x' {
		t.Errorf("picture of %d x %d beginning with %d", p.Width, p.Height, p.Pix[0])
	}
}

func TestLinkedClassFolder(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	write(t, elsewhere, "a.png", "")
	if err := os.Symlink(elsewhere, filepath.Join(dir, "linked")); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	ds, err := Open("folder:"+dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := items(ds); !slices.Equal(got, []Item{{"linked/a.png", 0}}) {
		t.Errorf("items %v", got)
	}
	if _, err := ds.Picture(0); err != nil {
		t.Error(err)
	}
}

func TestFlatFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "b.png", "")
	write(t, dir, "a.png", "")
	ds, err := Open("folder:"+dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := items(ds); !slices.Equal(got, []Item{{"a.png", -1}, {"b.png", -1}}) || ds.Classes() != nil {
		t.Errorf("items %v, classes %v", got, ds.Classes())
	}
}

func TestLabels(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.png", "")
	write(t, dir, "sub/b, c.png", "")
	write(t, dir, "labels.csv", "\ufefffile,label,name\n\"sub/b, c.png\",7,something\na.png,2,other\n")
	ds, err := Open("folder:"+dir, Options{Labels: filepath.Join(dir, "labels.csv")})
	if err != nil {
		t.Fatal(err)
	}
	if got := items(ds); !slices.Equal(got, []Item{{"sub/b, c.png", 7}, {"a.png", 2}}) {
		t.Errorf("items %v", got)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "good/a.png", "")
	write(t, dir, "mixed/a.png", "")
	write(t, dir, "mixed/class/a.png", "")
	write(t, dir, "hollow/full/a.png", "")
	write(t, dir, "hollow/void/notes.txt", "")
	write(t, dir, "none/notes.txt", "")
	for _, test := range []struct{ name, spec, csv, want string }{
		{"no kind", "photos", "", "data photos: there is no folder \"photos\": want folder:DIR, or KIND:ARGUMENT with one of the kinds folder, "},
		{"unknown kind", "tape:x", "", `data tape:x: there is no folder of that name, and no kind of data set "tape": want folder:DIR, or KIND:ARGUMENT with one of the kinds folder, `},
		{"no directory", "folder:", "", "names no directory"},
		{"missing directory", "folder:DIR/nowhere", "", "no such file"},
		{"file for a directory", "folder:DIR/good/a.png", "", "not a directory"},
		{"no pictures", "folder:DIR/none", "", "no pictures found"},
		{"class without pictures", "folder:DIR/hollow", "", "no pictures found in sub-folder void"},
		{"pictures beside classes", "folder:DIR/mixed", "", "beside sub-folders"},
		{"missing file", "folder:DIR/good", "file,label\nb.png,1\n", "names b.png, which is not in"},
		{"directory", "folder:DIR", "file,label\ngood,1\n", "good is a directory"},
		{"label no integer", "folder:DIR/good", "file,label\na.png,cat\n", `line 2: label "cat" of a.png is not an integer`},
		{"negative label", "folder:DIR/good", "file,label\na.png,-2\n", "not a class index"},
		{"huge label", "folder:DIR/good", "file,label\na.png,99999999999\n", "not a class index"},
		{"empty", "folder:DIR/good", " ", "want file and label"},
		{"header only", "folder:DIR/good", "file,label\n", "names no pictures"},
		{"no label column", "folder:DIR/good", "file,class\na.png,1\n", "has no column label: its columns are \"file,class\", want file and label"},
		{"short row", "folder:DIR/good", "file,label\na.png\n", "line 2: has 1 columns"},
		{"outside", "folder:DIR/good", "file,label\n../mixed/a.png,1\n", "not a path below the folder"},
		{"twice", "folder:DIR/good", "file,label\na.png,1\na.png,2\n", "line 3: file a.png is on line 2 already"},
		{"twice in other words", "folder:DIR/good", "file,label\n./a.png,1\na.png,2\n", "line 3: file a.png is on line 2 already"},
		{"remove a comma", "folder:DIR/good", "file,label\na,b.png,1\n", "line 2: has 3 columns, the header 2"},
		{"open quote", "folder:DIR/good", "file,label\n\"a.png,1\n", "quote"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var opts Options
			if test.csv != "" {
				opts.Labels = filepath.Join(t.TempDir(), "labels.csv")
				if err := os.WriteFile(opts.Labels, []byte(test.csv), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Open(strings.ReplaceAll(test.spec, "DIR", dir), opts)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want one about %q", err, test.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			if opts.Labels != "" && !strings.Contains(err.Error(), opts.Labels) {
				t.Errorf("error %q does not name the CSV file", err)
			}
		})
	}
	if _, err := Open("folder:"+dir+"/good", Options{Labels: dir + "/nowhere.csv"}); err == nil || !strings.Contains(err.Error(), "nowhere.csv") {
		t.Errorf("missing labels: error %v", err)
	}
}

// TestHash: the hash changes with whatever changes the data set.
func TestHash(t *testing.T) {
	hash := func(change func(dir string)) string {
		dir := t.TempDir()
		write(t, dir, "x/a.png", "1")
		write(t, dir, "y/b.png", "2")
		change(dir)
		ds, err := Open("folder:"+dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		h, err := ds.Hash()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	base := hash(func(string) {})
	if len(base) != 64 {
		t.Errorf("hash %q is not a SHA-256 in hex", base)
	}
	if again := hash(func(string) {}); again != base {
		t.Error("the same pictures elsewhere have another hash")
	}
	for name, change := range map[string]func(dir string){
		"pixels": func(dir string) { write(t, dir, "x/a.png", "3") },
		"more":   func(dir string) { write(t, dir, "x/c.png", "3") },
		"name": func(dir string) {
			if err := os.Rename(dir+"/x/a.png", dir+"/x/c.png"); err != nil {
				t.Fatal(err)
			}
		},
		"label": func(dir string) { write(t, dir, "a/c.png", "3") },
	} {
		if hash(change) == base {
			t.Errorf("another %s, the same hash", name)
		}
	}
	dir := t.TempDir()
	write(t, dir, "x/a.png", "1")
	ds, err := Open("folder:"+dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir + "/x/a.png"); err != nil {
		t.Fatal(err)
	}
	if _, err := ds.Hash(); err == nil || !strings.Contains(err.Error(), "a.png") {
		t.Errorf("hash of a lost picture: error %v", err)
	}
}

func TestClassNames(t *testing.T) {
	for _, test := range []struct {
		name, content string
		want          []string
		err           string
	}{
		{"lines", "tench\ngoldfish\n\n", []string{"tench", "goldfish"}, ""},
		{"lines with commas", "crane, bird\ncrane, machine\n", []string{"crane, bird", "crane, machine"}, ""},
		{"csv", "label,wnid,name\n1,n2,goldfish\n0,n1,\"tench, fish\"\n", []string{"tench, fish", "goldfish"}, ""},
		{"csv repeated", "file,label,name\na.png,0,tench\nb.png,0,tench\n", []string{"tench"}, ""},
		{"empty", "", nil, "no names"},
		{"gap", "a\n\nb\n", nil, "line 2 is empty"},
		{"csv gap", "label,name\n0,a\n2,b\n", nil, "class 1 has no name"},
		{"csv label", "label,name\nx,a\n", nil, `"x" is not a class index`},
		{"csv huge", "label,name\n999999999,a\n", nil, "is not a class index"},
		{"csv twice", "label,name\n0,a\n0,b\n", nil, `called "b" here, and "a" earlier`},
		{"csv short", "label,name\n0\n", nil, "line 2: has 1 columns"},
		{"csv header only", "label,name\n", nil, "no names"},
		{"JSON list", `["tench", "gold\u0066ish"]`, []string{"tench", "goldfish"}, ""},
		{"JSON dictionary", `{"1": "goldfish", "0": "tench"}`, []string{"tench", "goldfish"}, ""},
		{"Keras' index", `{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}`, []string{"tench", "goldfish"}, ""},
		{"names to indices", `{"goldfish": 1, "tench": 0}`, []string{"tench", "goldfish"}, ""},
		{"Python dictionary", "{0: 'tench, Tinca tinca',\n 1: \"jack-o'-lantern\",\n 2: 'd\\'or',\n}\n", []string{"tench, Tinca tinca", "jack-o'-lantern", "d'or"}, ""},
		{"Python list", "['tench', 'goldfish',]", []string{"tench", "goldfish"}, ""},
		{"UTF-16", "\xff\xfet\x00\xe9\x00\n\x00b\x00", []string{"té", "b"}, ""},
		{"UTF-16, high bytes first", "\xfe\xff\x00t\x00\n\x00b\x00\n", []string{"t", "b"}, ""},
		{"UTF-8 with its mark, and carriage returns", "\ufefft\u00e9\r\nb\r\n", []string{"té", "b"}, ""},
		{"UTF-16 without its mark", "t\x00\n\x00b\x00", nil, "line 1 is not UTF-8 text"},
		{"Latin-1", "a\nt\xe9\n", nil, "line 2 is not UTF-8 text"},
		{"a control character", "a\x1b[2Jb\n", nil, "line 1 is not UTF-8 text"},
		{"JSON lines", `{"label": 0, "name": "tench"}` + "\n" + `{"label": 1, "name": "goldfish"}`, nil, "begins like a list or a dictionary, but cannot be read as one of names"},
		{"lines of a dictionary", "0: 'tench',\n1: 'goldfish',\n", nil, `line 1, "0: 'tench',", is not part of a list`},
		{"one line of a dictionary", "animal\nbnimal\n3: 'dnimal',\n", nil, `line 3, "3: 'dnimal',", is not part of a list`},
		{"lines of a list", "\"tench\",\n\"goldfish\",\n", nil, "line 1,"},
		{"numbered lines", "0 tench\n1 goldfish\n", nil, `its lines begin with their numbers ("0 tench")`},
		{"CSV without a header", "0,tench\n1,goldfish\n", nil, "its lines begin with their numbers"},
		{"synsets", "n01440764 tench, Tinca tinca\nn01443537 goldfish\n", nil, "its lines begin with WordNet ids"},
		{"only WNIDs", "n01440764\nn01443537\n", []string{"n01440764", "n01443537"}, ""},
		{"names that are numbers", "7\n8\n", []string{"7", "8"}, ""},
		{"key twice", `{"0": "a", "0": "b"}`, nil, `class 0 is called "b" here, and "a" earlier`},
		{"no index", `{"a": "b"}`, nil, `label "a" is not a class index`},
		{"half an index", `{"a": 0.5}`, nil, `label "0.5" is not a class index`},
		{"gap in a dictionary", `{"0": "a", "2": "b"}`, nil, "class 1 has no name"},
		{"numbers", `[1, 2]`, nil, "want a list of texts"},
		{"three values", `{"0": ["a", "b", "c"]}`, nil, `the value of "0" is a list`},
		{"no values", `{"0": []}`, nil, `the value of "0" is a list`},
		{"an object", `{"id2label": {"0": "a"}}`, nil, `the value of "id2label" is neither`},
		{"an open quote", "{0: 'tench}", nil, "a quote is not closed"},
		{"an open list", "['tench'", nil, "is missing"},
		{"a null", `["a", null]`, nil, "class 1 has no name"},
		{"a set", "{'a', 'b'}", nil, "is missing"},
		{"a name without end", strings.Repeat("x", 3000), nil, "longer than 2000 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "names")
			if err := os.WriteFile(path, []byte(test.content), 0o644); err != nil {
				t.Fatal(err)
			}
			names, err := ReadClassNames(path)
			if test.err == "" {
				if err != nil || !slices.Equal(names, test.want) {
					t.Errorf("names %q, error %v, want %q", names, err, test.want)
				}
			} else if err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want one about %q that names the file", err, test.err)
			}
		})
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadClassNames(pipe); err == nil || !strings.Contains(err.Error(), "not a regular file but a pipe") {
		t.Errorf("a pipe: error %v", err)
	}
	if _, err := ReadLabels(pipe); err == nil || !strings.Contains(err.Error(), "not a regular file but a pipe") {
		t.Errorf("a pipe: error %v", err)
	}
	if _, err := ReadClassNames("nowhere"); err == nil {
		t.Error("missing file: no error")
	}
}

func FuzzLabels(f *testing.F) {
	f.Add("file,label\na.png,1\n")
	f.Add("\ufefflabel,x,FILE\n 3 ,,\"b,\"\"c\"\"\"\n")
	f.Add("file,label\n../a,1\n")
	f.Fuzz(func(t *testing.T, content string) {
		items, err := parseLabels(strings.NewReader(content))
		if err != nil {
			return
		}
		if len(items) == 0 {
			t.Error("no pictures and no error")
		}
		for _, item := range items {
			if item.Label < -1 || !filepath.IsLocal(item.Name) {
				t.Errorf("accepted %+v", item)
			}
		}
	})
}

func FuzzClassNames(f *testing.F) {
	f.Add("label,name\n0,tench\n")
	f.Add("tench\ngoldfish\n")
	f.Add("{0: 'a',\n 1: \"b'\\\\\"}")
	f.Add(`{"0": ["n01440764", "tench"]}`)
	f.Add("\xff\xfea\x00")
	f.Fuzz(func(t *testing.T, content string) {
		names, err := parseClassNames([]byte(content))
		if (err == nil) != (len(names) > 0) {
			t.Errorf("%d names, error %v", len(names), err)
		}
	})
}

// TestForms: names that look the same are not different ones.
func TestForms(t *testing.T) {
	const composed, decomposed = "\u00e9", "e\u0301"
	dir := t.TempDir()
	write(t, dir, composed+"/a.png", "x")
	write(t, dir, decomposed+"/a.png", "x")
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), `the sub-folders "e\u0301" and "\u00e9" look the same`) {
		t.Errorf("error %v", err)
	}
	dir = t.TempDir()
	write(t, dir, decomposed+".png", "x")
	for content, want := range map[string]string{
		"file,label\n" + composed + ".png,1\n":                           "names \"\\u00e9.png\", and the file is called \"e\\u0301.png\", which looks the same",
		"file,label\n" + decomposed + ".png,1\n" + composed + ".png,2\n": "is on line 2 already",
	} {
		write(t, dir, "l.csv", content)
		if _, err := Open(dir, Options{Labels: filepath.Join(dir, "l.csv")}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// TestReproClassNames reads the files of a public bug report where they are there.
func TestReproClassNames(t *testing.T) {
	dir := filepath.Join("..", "..", "shared", "repro")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("there is no ", dir)
	}
	var want []string
	for letter := 'a'; letter <= 'l'; letter++ {
		want = append(want, string(letter)+"nimal")
	}
	for _, name := range []string{"class_index.json", "clsidx.txt", "utf16.txt"} {
		names, err := ReadClassNames(filepath.Join(dir, name))
		if err != nil || !slices.Equal(names[:min(12, len(names))], want[:len(names)]) {
			t.Errorf("%s: %q, %v", name, names, err)
		}
	}
}
