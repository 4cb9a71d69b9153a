package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

type file struct{ name, content string }

func write(t testing.TB, files ...file) []byte {
	t.Helper()
	var headers []tar.Header
	for _, f := range files {
		headers = append(headers, tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.content)), Mode: 0o644})
	}
	return writeHeaders(t, headers, files)
}

func writeHeaders(t testing.TB, headers []tar.Header, files []file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range headers {
		if err := w.WriteHeader(&headers[i]); err != nil {
			t.Fatal(err)
		}
		if headers[i].Size > 0 {
			if _, err := io.WriteString(w, files[i].content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func index(content []byte, limits Limits) ([]Entry, error) {
	return IndexTar(bytes.NewReader(content), int64(len(content)), limits)
}

func contents(t testing.TB, archive []byte, entries []Entry) (files []file) {
	t.Helper()
	for _, e := range entries {
		content, err := io.ReadAll(e.Section(bytes.NewReader(archive)))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{e.Name, string(content)})
	}
	return files
}

func TestIndexTar(t *testing.T) {
	long := strings.Repeat("long/", 60) + "ä.txt" // needs a PAX record
	files := []file{{"a.txt", "first"}, {"./sub/b.txt", strings.Repeat("x", 1000)}, {"empty", ""}, {long, "behind a PAX record"}, {"full", strings.Repeat("y", 512)}}
	archive := write(t, files...)
	entries, err := index(archive, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	files[1].name = "sub/b.txt"
	if got := contents(t, archive, entries); !slices.Equal(got, files) {
		t.Errorf("read %v", got)
	}

	// Within another archive.
	outer := write(t, file{"inner.tar", string(archive)})
	entries, err = index(outer, Limits{})
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	section := entries[0].Section(bytes.NewReader(outer))
	inner, err := IndexTar(section, section.Size(), Limits{})
	if err != nil || len(inner) != len(files) {
		t.Fatal(inner, err)
	}

	if entries, err := index(write(t), Limits{}); err != nil || len(entries) != 0 {
		t.Errorf("an empty archive: %v, %v", entries, err)
	}
	directories := writeHeaders(t, []tar.Header{{Typeflag: tar.TypeDir, Name: "sub/", Mode: 0o755}}, make([]file, 1))
	if entries, err := index(directories, Limits{}); err != nil || len(entries) != 0 {
		t.Errorf("a directory alone: %v, %v", entries, err)
	}
}

func TestIndexTarRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		header tar.Header
		limits Limits
		want   string
	}{
		{"outside", tar.Header{Typeflag: tar.TypeReg, Name: "../../etc/passwd"}, Limits{}, `"../../etc/passwd" is not the name of a file below`},
		{"outside within", tar.Header{Typeflag: tar.TypeReg, Name: "a/../../b"}, Limits{}, "is not the name of a file below"},
		{"absolute", tar.Header{Typeflag: tar.TypeReg, Name: "/etc/passwd"}, Limits{}, "is not the name of a file below"},
		{"backslash", tar.Header{Typeflag: tar.TypeReg, Name: `..\x`}, Limits{}, "is not the name of a file below"},
		{"drive", tar.Header{Typeflag: tar.TypeReg, Name: "c:/x"}, Limits{}, "is not the name of a file below"},
		{"long name", tar.Header{Typeflag: tar.TypeReg, Name: strings.Repeat("x", maxName+1)}, Limits{}, "is not the name of a file below"},
		{"symbolic link", tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "/etc/passwd"}, Limits{}, `"a" is a link, not a regular file`},
		{"hard link", tar.Header{Typeflag: tar.TypeLink, Name: "a", Linkname: "b"}, Limits{}, "is a link"},
		{"device", tar.Header{Typeflag: tar.TypeBlock, Name: "a"}, Limits{}, "is a device"},
		{"pipe", tar.Header{Typeflag: tar.TypeFifo, Name: "a"}, Limits{}, "is a pipe"},
		{"large", tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 5}, Limits{MaxBytes: 4}, "a has 5 bytes, more than the limit of 4"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := index(writeHeaders(t, []tar.Header{test.header}, []file{{"a", "12345"}}), test.limits)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
	if _, err := index(write(t, file{"a", ""}, file{"b", ""}), Limits{MaxEntries: 1}); err == nil || !strings.Contains(err.Error(), "more than 1 files") {
		t.Errorf("too many files: error %v", err)
	}
}

// TestSparse: archives with sparse files are written by hand, because package tar does not write them. The one is GNU's old
// kind, the other has PAX records.
func TestSparse(t *testing.T) {
	old := write(t, file{"a", "12345"})
	old[156] = tar.TypeGNUSparse
	copy(old[257:], "ustar  \x00")
	sum := 0
	copy(old[148:156], "        ")
	for _, b := range old[:512] {
		sum += int(b)
	}
	copy(old[148:156], fmt.Sprintf("%06o\x00 ", sum))
	if _, err := index(old, Limits{}); err == nil || !strings.Contains(err.Error(), "sparse") {
		t.Errorf("error %v", err)
	}

	records := "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n25 GNU.sparse.name=b.txt\n25 GNU.sparse.realsize=5\n"
	pax := write(t, file{"PaxHeaders.0/b.txt", records}, file{"GNUSparseFile.0/b.txt", "0\n" + strings.Repeat("\x00", 510)})
	pax[156] = tar.TypeXHeader
	sum = 0
	copy(pax[148:156], "        ")
	for _, b := range pax[:512] {
		sum += int(b)
	}
	copy(pax[148:156], fmt.Sprintf("%06o\x00 ", sum))
	if _, err := index(pax, Limits{}); err == nil || !strings.Contains(err.Error(), "sparse") {
		t.Errorf("error %v", err)
	}
}

// TestCut: an archive that was cut anywhere is refused, but for the second block of zeros and what fills it up.
func TestCut(t *testing.T) {
	archive := write(t, file{"a.txt", "first"}, file{"b.txt", strings.Repeat("x", 1000)})
	end := len(archive) - 1024
	for n := 0; n < end+512; n += 37 {
		_, err := index(archive[:n], Limits{})
		if err == nil || !strings.Contains(err.Error(), "cut short") || !strings.Contains(err.Error(), "byte") {
			t.Errorf("cut at byte %d of %d: error %v", n, len(archive), err)
		}
	}
	if _, err := index(archive[:end], Limits{}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("ends at byte %d without an end-of-archive mark", end)) {
		t.Errorf("cut behind the last entry: error %v", err)
	}
}

func zipped(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadTarGz(t *testing.T) {
	b := zipped(t, write(t, file{"kit/a", "1"}, file{"kit/b", "22"}, file{"kit/c", strings.Repeat("x", 1000)}))
	wanted := func(name string) bool { return !strings.HasSuffix(name, "a") }
	files, err := ReadTarGz(bytes.NewReader(b), Limits{}, wanted)
	if err != nil || len(files) != 2 || string(files["kit/b"]) != "22" || len(files["kit/c"]) != 1000 {
		t.Errorf("%v, %v", files, err)
	}
	for name, test := range map[string]struct {
		content []byte
		limits  Limits
		want    string
	}{
		"no gzip": {[]byte("no archive at all"), Limits{}, "not compressed by gzip"},
		"cut":     {b[:len(b)/2], Limits{}, "cut short"},
		"large":   {b, Limits{MaxBytes: 999}, "kit/c has 1000 bytes"},
	} {
		if _, err := ReadTarGz(bytes.NewReader(test.content), test.limits, wanted); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
	}
}

func FuzzIndexTar(f *testing.F) {
	f.Add(write(f, file{"a.txt", "first"}, file{strings.Repeat("long/", 60) + "b", "x"}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		entries, err := index(content, Limits{MaxEntries: 100})
		if err != nil {
			return
		}
		for _, e := range entries {
			if e.Offset < 512 || e.Size < 0 || e.Offset+e.Size > int64(len(content)) || strings.Contains("/"+e.Name+"/", "/../") {
				t.Errorf("entry %+v of %d bytes", e, len(content))
			}
		}
	})
}

// FuzzReadTarGz: what is read is what is wanted, within the limits. The archive is compressed here too, so that a damaged one
// gets past gzip's checksum.
func FuzzReadTarGz(f *testing.F) {
	whole := write(f, file{"a.txt", "first"}, file{strings.Repeat("long/", 60) + "b", "x"})
	f.Add(whole, true)
	f.Add(zipped(f, whole), false)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, content []byte, zip bool) {
		if zip {
			content = zipped(t, content)
		}
		const most = 1000
		files, err := ReadTarGz(bytes.NewReader(content), Limits{MaxEntries: 10, MaxBytes: most}, func(name string) bool { return !strings.HasSuffix(name, "t") })
		if err != nil {
			return
		}
		if len(files) > 10 {
			t.Errorf("%d files", len(files))
		}
		for name, content := range files {
			if strings.HasSuffix(name, "t") || strings.Contains("/"+name+"/", "/../") || strings.HasPrefix(name, "/") || len(content) > most {
				t.Errorf("%q of %d bytes", name, len(content))
			}
		}
	})
}

func ExampleIndexTar() {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, name := range []string{"one.txt", "two.txt"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(name)), Mode: 0o644}); err != nil {
			fmt.Println(err)
			return
		}
		if _, err := io.WriteString(w, name); err != nil {
			fmt.Println(err)
			return
		}
	}
	if err := w.Close(); err != nil {
		fmt.Println(err)
		return
	}
	r := bytes.NewReader(archive.Bytes())
	entries, err := IndexTar(r, r.Size(), Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range entries {
		content, err := io.ReadAll(e.Section(r))
		fmt.Printf("%s at byte %d: %s %v\n", e.Name, e.Offset, content, err)
	}
	// Output:
	// one.txt at byte 512: one.txt <nil>
	// two.txt at byte 1536: two.txt <nil>
}
