package data

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// opened is a folder of the pictures a.jpg and b.jpg with a file of labels.
func opened(t testing.TB, labels string) (Dataset, error) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "a.jpg", "1") // only read, not decoded
	write(t, dir, "b.jpg", "2")
	write(t, dir, "labels.csv", labels)
	return Open("folder:"+dir, Options{Labels: filepath.Join(dir, "labels.csv")})
}

func TestFolderAttributes(t *testing.T) {
	type attributes = map[string]string
	for _, test := range []struct {
		name, labels string
		b, a         attributes // of the rows
	}{
		{"none", "file,label\nb.jpg,3\na.jpg,-1\n", nil, nil},
		{"two", "color,file,label,the place\nred,b.jpg,3,beach\nblue,a.jpg,-1,city\n",
			attributes{"color": "red", "the place": "beach"}, attributes{"color": "blue", "the place": "city"}},
		{"empty values", "file,label,color,place\nb.jpg,3,,beach\na.jpg,-1, ,\n", attributes{"place": "beach"}, nil},
		{"short rows, and empty values behind the columns", "file,label,color,place\nb.jpg,3,red\na.jpg,-1,blue,city, ,\n",
			attributes{"color": "red"}, attributes{"color": "blue", "place": "city"}},
		{"spaces", "file,label, color \nb.jpg,3, polka dot \na.jpg,-1,\"a, b\"\n", attributes{"color": "polka dot"}, attributes{"color": "a, b"}},
		{"columns without a name", ",file,label, ,color\n0,b.jpg,3,x,red\n1,a.jpg,-1,y,blue\n", attributes{"color": "red"}, attributes{"color": "blue"}},
		{"byte order mark", "\ufeffcolor,file,label\nred,b.jpg,3\nblue,a.jpg,-1\n", attributes{"color": "red"}, attributes{"color": "blue"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			ds, err := opened(t, test.labels)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []attributes{test.b, test.a} {
				got := Attributes(ds, i)
				if !maps.Equal(got, want) || (got == nil) != (want == nil) {
					t.Errorf("%s has %v, want %v", ds.Item(i).Name, got, want)
				}
			}
			if got := ds.Item(0); got != (Item{"b.jpg", 3}) {
				t.Errorf("item %v", got)
			}
		})
	}
}

func TestFolderAttributeErrors(t *testing.T) {
	var columns strings.Builder
	for i := range maxAttributes + 1 {
		fmt.Fprintf(&columns, ",c%d", i)
	}
	long := strings.Repeat("x", maxAttribute+1)
	for _, test := range []struct{ name, labels, want string }{
		{"twice", "file,label,color,x,Color\nb.jpg,3,red,1,blue\n", `labels.csv: has the column "color" twice`},
		{"label twice", "file,label,Label\nb.jpg,3,4\n", `has the column "label" twice`},
		{"too many", "file,label" + columns.String() + "\nb.jpg,3\n", "has more than 1000 columns beside file and label"},
		{"long name", "file,label," + long + "\nb.jpg,3\n", "a column whose name is longer than 10000 bytes"},
		{"long value", "file,label,color\na.jpg,1,red\nb.jpg,3," + long + "\n", `line 3: "color" of b.jpg is longer than 10000 bytes`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := opened(t, test.labels)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// TestFolderAttributesHash: the hash has the attributes, and without any is what it was before there were attributes.
func TestFolderAttributesHash(t *testing.T) {
	hash := func(labels string) string {
		t.Helper()
		ds, err := opened(t, labels)
		if err != nil {
			t.Fatal(err)
		}
		h, err := ds.Hash()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	const plain = "e9816d00c0e07be0465dbe504a8f33304f78848b4a1f47704090b4eac1613c84"
	for name, labels := range map[string]string{
		"no columns":             "file,label\nb.jpg,3\na.jpg,-1\n",
		"empty columns":          "file,label,color\nb.jpg,3,\na.jpg,-1, \n",
		"columns without a name": ",file,label\n0,b.jpg,3\n1,a.jpg,-1\n",
	} {
		if got := hash(labels); got != plain {
			t.Errorf("%s: hash %s, want %s", name, got, plain)
		}
	}
	base := hash("file,label,color,place\nb.jpg,3,red,beach\na.jpg,-1,,city\n")
	if again := hash("place,file,label,color\nbeach,b.jpg,3,red\ncity,a.jpg,-1,\n"); again != base {
		t.Error("the order of the columns changes the hash")
	}
	seen := map[string]string{plain: "none", base: "base"}
	for name, labels := range map[string]string{
		"value":  "file,label,color,place\nb.jpg,3,blue,beach\na.jpg,-1,,city\n",
		"name":   "file,label,colour,place\nb.jpg,3,red,beach\na.jpg,-1,,city\n",
		"fewer":  "file,label,color,place\nb.jpg,3,red,beach\na.jpg,-1,,\n",
		"column": "file,label,color,place\nb.jpg,3,red,beach\na.jpg,-1,city,\n",
	} {
		h := hash(labels)
		if other, ok := seen[h]; ok {
			t.Errorf("another %s has the hash of %s", name, other)
		}
		seen[h] = name
	}
}

func TestAttributesWithoutLabels(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "x/a.png", "1")
	ds, err := Open("folder:"+dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := Attributes(ds, 0); got != nil {
		t.Errorf("attributes %v of a folder without labels", got)
	}
}

// wrapped is a data set inside another, like those that change labels.
type wrapped struct{ Dataset }

func (w wrapped) Unwrap() Dataset { return w.Dataset }

// opaque hides what the data set knows.
type opaque struct{ Dataset }

func TestAttributesBehindWrappers(t *testing.T) {
	ds, err := opened(t, "file,label,color\nb.jpg,3,red\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, ds := range map[string]Dataset{"itself": ds, "one wrapper": wrapped{ds}, "two wrappers": wrapped{wrapped{ds}}} {
		got := Attributes(ds, 0)
		if got["color"] != "red" {
			t.Errorf("%s: attributes %v", name, got)
		}
		got["color"] = "changed"
		if Attributes(ds, 0)["color"] != "red" {
			t.Errorf("%s: the attributes can be changed", name)
		}
	}
	for name, ds := range map[string]Dataset{"opaque": opaque{ds}, "opaque inside": wrapped{opaque{ds}}, "nothing inside": wrapped{}, "nothing": nil} {
		if got := Attributes(ds, 0); got != nil {
			t.Errorf("%s: attributes %v", name, got)
		}
	}
}

func FuzzLabelAttributes(f *testing.F) {
	f.Add("file,label,color\na.png,1,red\n")
	f.Add("\ufeffplace,FILE,label,,Color\nbeach,a.png,1,x\n,b.png, 2 ,y, red \n")
	f.Add("file,label,\xff,\xfe\na,1,\xfd\n")
	f.Fuzz(func(t *testing.T, content string) {
		items, err := parseLabels(strings.NewReader(content))
		if err != nil {
			return
		}
		for _, item := range items {
			for k, a := range item.attributes {
				if a.name == "" || a.value == "" || len(a.name) > maxAttribute || len(a.value) > maxAttribute {
					t.Errorf("attribute %.60q", a)
				}
				if k > 0 && item.attributes[k-1].name >= a.name {
					t.Errorf("attribute %.60q behind %.60q", a, item.attributes[k-1])
				}
			}
		}
	})
}

func ExampleAttributes() {
	dir, err := os.MkdirTemp("", "photos")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	labels := filepath.Join(dir, "labels.csv")
	for path, content := range map[string]string{
		filepath.Join(dir, "shirt.jpg"): "...",
		labels:                          "file,label,color,location\nshirt.jpg,610,blue,beach\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			fmt.Println(err)
			return
		}
	}
	ds, err := Open("folder:"+dir, Options{Labels: labels})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(Attributes(ds, 0))
	// Output: map[color:blue location:beach]
}
