package waterbirds

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"vitdecompose/data"
	"vitdecompose/data/datatest"
)

type file struct {
	name    string
	content []byte
}

func write(t testing.TB, dir string, files ...file) {
	t.Helper()
	for _, f := range files {
		datatest.WriteFile(t, dir, f.name, f.content)
	}
}

// photo is a JPEG of one grey.
func photo(t testing.TB, grey uint8) []byte { return datatest.Photo(t, grey, 4, 2) }

const header = "img_id,img_filename,y,split,place,place_filename\n"

// original is five birds in the form of waterbird_complete95_forest2water2.
func original(t testing.TB) []file {
	return []file{
		{metadata, []byte(header +
			"1,001.Black_footed_Albatross/a_1.jpg,1,2,0,/b/bamboo_forest/00002344.jpg\n" +
			"2,001.Black_footed_Albatross/b_2.jpg,1,0,1,/o/ocean/00000009.jpg\n" +
			"3,010.Red_winged_Blackbird/c_3.jpg,0,1,1,/l/lake/natural/00000010.jpg\n" +
			"4,010.Red_winged_Blackbird/d_4.jpg,0,2,1,\"/l/lake/natural/1, 2.jpg\"\n" +
			"5,010.Red_winged_Blackbird/e_5.jpg,0,0,0,/f/forest/broadleaf/00000010.jpg\n")},
		{"001.Black_footed_Albatross/a_1.jpg", photo(t, 1)},
		{"001.Black_footed_Albatross/b_2.jpg", photo(t, 2)},
		{"010.Red_winged_Blackbird/c_3.jpg", photo(t, 3)},
		{"010.Red_winged_Blackbird/d_4.jpg", photo(t, 4)},
		{"010.Red_winged_Blackbird/e_5.jpg", photo(t, 5)},
	}
}

// cleaned is a folder of the cleaned set.
func cleaned(t testing.TB) []file {
	return []file{
		{"landbird/00010_land.jpg", photo(t, 1)},
		{"landbird/00002_x_water.jpg", photo(t, 2)},
		{"waterbird/00003_Water.JPG", photo(t, 3)},
		{"waterbird/00004_0.png", photo(t, 4)},
		{"waterbird/notes.txt", nil},
		{".cache/x", nil},
		{"README.md", nil},
	}
}

func mustOpen(t testing.TB, spec string) data.Dataset {
	t.Helper()
	ds, err := data.Open(spec, data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// described is each bird in a line.
func described(ds data.Dataset) (lines []string) {
	for i := range ds.Len() {
		item := ds.Item(i)
		lines = append(lines, fmt.Sprintf("%s: %s on %s", item.Name, ds.Classes()[item.Label], data.Attributes(ds, i)["place"]))
	}
	return lines
}

func TestWaterbirds(t *testing.T) {
	const albatross, blackbird = "001.Black_footed_Albatross/", "010.Red_winged_Blackbird/"
	all := []string{
		albatross + "a_1.jpg: waterbird on land", albatross + "b_2.jpg: waterbird on water", blackbird + "c_3.jpg: landbird on water",
		blackbird + "d_4.jpg: landbird on water", blackbird + "e_5.jpg: landbird on land",
	}
	dir := t.TempDir()
	write(t, dir, original(t)...)
	clean := t.TempDir()
	write(t, clean, cleaned(t)...)
	folders := []string{"landbird/00002_x_water.jpg: landbird on water", "landbird/00010_land.jpg: landbird on land",
		"waterbird/00003_Water.JPG: waterbird on water", "waterbird/00004_0.png: waterbird on land"}
	for _, test := range []struct {
		argument string
		want     []string
		greys    string
	}{
		{dir, []string{all[0], all[3]}, "\x01\x04"},
		{dir + ":test", []string{all[0], all[3]}, "\x01\x04"},
		{dir + ":train", []string{all[1], all[4]}, "\x02\x05"},
		{dir + ":val", []string{all[2]}, "\x03"},
		{dir + ":all", all, "\x01\x02\x03\x04\x05"},
		{clean, folders, "\x02\x01\x03\x04"},
		{clean + ":all", folders, "\x02\x01\x03\x04"},
	} {
		ds := mustOpen(t, "waterbirds:"+test.argument)
		if got := described(ds); !slices.Equal(got, test.want) || !slices.Equal(ds.Classes(), []string{"landbird", "waterbird"}) {
			t.Errorf("%s: %q of %v, want %q", test.argument, got, ds.Classes(), test.want)
		}
		var running sync.WaitGroup
		for range 4 {
			running.Go(func() {
				for i := range ds.Len() {
					if p, err := ds.Picture(i); err != nil || p.Pix[0] != test.greys[i] || p.Width != 4 {
						t.Errorf("%s: picture %d: %v, %v", test.argument, i, p, err)
					}
				}
			})
		}
		running.Wait()
		a := data.Attributes(ds, 0)
		if place := a["place"]; !maps.Equal(a, map[string]string{"place": place}) {
			t.Errorf("%s: attributes %v", test.argument, a)
		}
		a["place"] = "changed"
		if got := described(ds); !slices.Equal(got, test.want) {
			t.Errorf("%s: who changes attributes changes the data set", test.argument)
		}
	}
}

// TestMetadata: what may differ in metadata.csv.
func TestMetadata(t *testing.T) {
	for name, content := range map[string]string{
		"few columns":     "img_filename,y,split,place\na.jpg,1,2,0\n",
		"another order":   "place,split,more,y,img_filename\n0,2,,1,a.jpg\n",
		"byte order mark": "\ufeffimg_filename,y,split,place\r\na.jpg,1,2,0\r\n",
		"spaces":          "img_filename, y ,split,place\na.jpg, 1,2 ,0\n\n",
	} {
		dir := t.TempDir()
		write(t, dir, file{"a.jpg", photo(t, 1)}, file{metadata, []byte(content)})
		if got := described(mustOpen(t, "waterbirds:"+dir)); !slices.Equal(got, []string{"a.jpg: waterbird on land"}) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestErrors(t *testing.T) {
	rows := func(content string) []file { return append(original(t)[1:], file{metadata, []byte(content)}) }
	const a, b = "1,001.Black_footed_Albatross/a_1.jpg,", "2,001.Black_footed_Albatross/b_2.jpg,"
	for _, test := range []struct {
		name, argument string
		files          []file
		want           string
	}{
		{"no directory", "", nil, "names no directory"},
		{"nowhere", "DIR/nowhere", nil, "DIR/nowhere: no such file"},
		{"no directory at all", "DIR/metadata.csv", original(t), "not a directory"},
		{"empty directory", "DIR", nil, "DIR: has neither metadata.csv nor two folders of landbirds and waterbirds"},
		{"splits without metadata", "DIR:train", cleaned(t), "DIR/metadata.csv: no such file or directory: without it the splits are not known"},
		{"empty", "DIR", rows(""), "DIR/metadata.csv: is empty: want a header with the columns img_filename, y, split and place"},
		{"y twice", "DIR", rows("img_filename,y,split,place,y\n001.Black_footed_Albatross/a_1.jpg,1,2,0,0\n"), `DIR/metadata.csv: has the column "y" twice`},
		{"header only", "DIR", rows(header), "DIR/metadata.csv: names no pictures"},
		{"no place", "DIR", rows("img_id,img_filename,y,split\n" + a + "1,2\n"), `DIR/metadata.csv: has no column place: its columns are "img_id,img_filename,y,split"`},
		{"no y", "DIR", rows("img_id,img_filename,label,split,place\n"), "has no column y"},
		{"y", "DIR", rows(header + a + "1,2,0,x\n" + b + "2,2,0,x\n"), `DIR/metadata.csv: line 3: y of "001.Black_footed_Albatross/b_2.jpg" is "2": want 0 to 1`},
		{"empty y", "DIR", rows(header + a + ",2,0,x\n"), `line 2: y of "001.Black_footed_Albatross/a_1.jpg" is "": want 0 to 1`},
		{"negative place", "DIR", rows(header + a + "1,2,-1,x\n"), `line 2: place of "001.Black_footed_Albatross/a_1.jpg" is "-1": want 0 to 1`},
		{"place in words", "DIR", rows(header + a + "1,2,water,x\n"), `is "water": want 0 to 1`},
		{"split", "DIR", rows(header + a + "1,3,0,x\n"), `line 2: split of "001.Black_footed_Albatross/a_1.jpg" is "3": want 0 to 2`},
		{"wrong in another split", "DIR:train", rows(header + a + "1,0,0,x\n" + b + "1,2,7,x\n"), "line 3: place of"},
		{"empty split", "DIR:val", rows(header + a + "1,2,0,x\n"), "DIR/metadata.csv: has no pictures of the split val (1)"},
		{"missing file", "DIR", rows(header + a + "1,2,0,x\n2,b.jpg,1,2,0,x\n"), "DIR/metadata.csv: line 3: stat DIR/b.jpg: no such file"},
		{"above", "DIR", rows(header + a + "1,2,0,x\n2,../b.jpg,1,2,0,x\n"), `DIR/metadata.csv: line 3: img_filename "../b.jpg" is not a path below the directory`},
		{"above, later", "DIR", rows(header + "1,x/../../b.jpg,1,2,0,x\n"), `line 2: img_filename "x/../../b.jpg" is not`},
		{"absolute", "DIR", rows(header + "1,/etc/passwd,1,2,0,x\n"), `line 2: img_filename "/etc/passwd" is not`},
		{"no name", "DIR", rows(header + "1,,1,2,0,x\n"), `line 2: img_filename "" is not`},
		{"twice", "DIR", rows(header + a + "1,2,0,x\n" + b + "1,2,0,x\n" + a + "1,0,0,x\n"), `line 4: "001.Black_footed_Albatross/a_1.jpg" is on line 2 already`},
		{"twice, otherwise written", "DIR", rows(header + a + "1,2,0,x\n1,./001.Black_footed_Albatross/a_1.jpg,1,2,0,x\n"), "line 3: img_filename"},
		{"short row", "DIR", rows(header + a + "1,2,0,x\n2,b.jpg\n"), "DIR/metadata.csv: line 3: has 2 columns, the header 6"},
		{"open quote", "DIR", rows(header + a + "1,2,0,\"x\n"), "DIR/metadata.csv: line 2: extraneous"},
		{"one folder", "DIR", cleaned(t)[:2], "DIR: has neither metadata.csv nor two folders"},
		{"other folders", "DIR", []file{{"cat/1_land.jpg", nil}, {"dog/1_water.jpg", nil}}, "DIR: has neither metadata.csv nor two folders"},
		{"folders the other way round", "DIR", []file{{"a_waterbird/1_land.jpg", nil}, {"b_landbird/1_water.jpg", nil}}, "DIR: has neither metadata.csv nor two folders"},
		{"no place in a name", "DIR", append(cleaned(t), file{"landbird/00011.jpg", nil}), "DIR/landbird/00011.jpg: the name does not end in _land or _water"},
		{"folder without pictures", "DIR", []file{{"landbird/1_land.jpg", nil}, {"waterbird/x.txt", nil}}, "DIR/waterbird: has no pictures"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, test.files...)
			_, err := data.Open("waterbirds:"+strings.ReplaceAll(test.argument, "DIR", dir), data.Options{})
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range []string{test.want, "data waterbirds:" + test.argument + ": "} {
				if want = strings.ReplaceAll(want, "DIR", dir); test.argument != "" && !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
		})
	}
	if _, err := data.Open("waterbirds:x", data.Options{Labels: "l.csv"}); err == nil || !strings.Contains(err.Error(), "data waterbirds:x: its pictures have their own labels, so l.csv cannot be used") {
		t.Errorf("error %v", err)
	}
}

// TestDamagedPicture: one that cannot be decoded is an error by itself.
func TestDamagedPicture(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, original(t)...)
	write(t, dir, file{"010.Red_winged_Blackbird/d_4.jpg", []byte("no picture")})
	ds := mustOpen(t, "waterbirds:"+dir)
	if _, err := ds.Picture(0); err != nil {
		t.Error(err)
	}
	if _, err := ds.Picture(1); err == nil || !strings.Contains(err.Error(), "d_4.jpg: not a picture") {
		t.Errorf("error %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "010.Red_winged_Blackbird", "d_4.jpg")); err != nil {
		t.Fatal(err)
	}
	if _, err := ds.Hash(); err == nil || !strings.Contains(err.Error(), "d_4.jpg: no such file") {
		t.Errorf("hash of a lost picture: error %v", err)
	}
}

// TestHash: the hash changes with pictures, names, labels and places, and that of a subset with its own alone.
func TestHash(t *testing.T) {
	hash := func(of []int, change ...file) string {
		dir := t.TempDir()
		write(t, dir, original(t)...)
		write(t, dir, change...)
		ds := mustOpen(t, "waterbirds:"+dir+":all")
		if of != nil {
			ds = data.Subset(ds, of)
		}
		h, err := ds.Hash()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	table := string(original(t)[0].content)
	replaced := func(old, new string) file { return file{metadata, []byte(strings.Replace(table, old, new, 1))} }
	base, part := hash(nil), hash([]int{0})
	if len(base) != 64 || hash(nil) != base || part == base {
		t.Errorf("hashes %s, %s", base, part)
	}
	for name, test := range map[string]struct {
		change file
		subset bool // whether it is of the first picture
	}{
		"picture":       {file{"001.Black_footed_Albatross/a_1.jpg", photo(t, 99)}, true},
		"label":         {replaced("a_1.jpg,1,2,0", "a_1.jpg,0,2,0"), true},
		"place":         {replaced("a_1.jpg,1,2,0", "a_1.jpg,1,2,1"), true},
		"name":          {replaced("1,001.Black_footed_Albatross/a_1.jpg", "1,metadata.csv"), true},
		"other picture": {file{"010.Red_winged_Blackbird/d_4.jpg", photo(t, 99)}, false},
		"other place":   {replaced("d_4.jpg,0,2,1", "d_4.jpg,0,2,0"), false},
	} {
		if hash(nil, test.change) == base {
			t.Errorf("another %s, the same hash", name)
		}
		if (hash([]int{0}, test.change) != part) != test.subset {
			t.Errorf("%s: the hash of the first picture is %s, and was %s", name, hash([]int{0}, test.change), part)
		}
	}
}

// FuzzMetadata: what is accepted is birds below the directory, each once.
func FuzzMetadata(f *testing.F) {
	f.Add(header+"1,x/a.jpg,1,2,0,/b/bamboo_forest/1.jpg\n2,b.jpg,0,0,1,\"a, b\"\n", "test")
	f.Add("\ufeffplace,split,y,img_filename\r\n0,1, 1,../a.jpg\r\n", "all")
	f.Add("img_filename,y,split,place\na,0,0,\"0", "train")
	f.Fuzz(func(t *testing.T, content, split string) {
		birds, lines, err := parseMetadata(strings.NewReader(content), split)
		if (err == nil) != (len(birds) > 0) || len(birds) != len(lines) && err == nil {
			t.Errorf("%d birds on %d lines, error %v", len(birds), len(lines), err)
		}
		seen := map[string]bool{}
		for _, b := range birds {
			if seen[b.name] || !filepath.IsLocal(b.name) || b.class < 0 || b.class > 1 || b.place < 0 || b.place > 1 {
				t.Errorf("accepted %+v", b)
			}
			seen[b.name] = true
		}
	})
}

func Example() {
	// waterbirds:DIR:train, where DIR is waterbird_complete95_forest2water2.
	_, err := data.Open("waterbirds:/nowhere:train", data.Options{})
	fmt.Println(err)
	// Output: data waterbirds:/nowhere:train: stat /nowhere/metadata.csv: no such file or directory: without it the splits are not known
}
