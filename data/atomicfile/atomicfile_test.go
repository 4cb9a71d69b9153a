package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func ExampleWrite() {
	dir, err := os.MkdirTemp("", "atomicfile")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "table.csv")
	err = Write(path, func(w io.Writer) error {
		_, err := io.WriteString(w, "model,accuracy\ndeit-mini,0.93\n")
		return err
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	content, err := os.ReadFile(path)
	fmt.Printf("%s%v\n", content, err)
	// Output:
	// model,accuracy
	// deit-mini,0.93
	// <nil>
}

// onlyFile fails unless dir holds exactly the named file with the content: nothing temporary may be left.
func onlyFile(t *testing.T, dir, name, content string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if len(names) != 1 || names[0] != name {
		t.Errorf("directory holds %q, want only %q", names, name)
	}
	got, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || string(got) != content {
		t.Errorf("%s holds %q (%v), want %q", name, got, err, content)
	}
}

func writeString(path, content string) error {
	return Write(path, func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	})
}

func TestWriteReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.txt")
	for _, content := range []string{"first, longer", "second"} {
		if err := writeString(path, content); err != nil {
			t.Fatal(err)
		}
		onlyFile(t, dir, "a.txt", content)
	}
}

func TestFailedWriteLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.txt")
	if err := writeString(path, "old"); err != nil {
		t.Fatal(err)
	}
	failure := errors.New("the model broke")
	err := Write(path, func(w io.Writer) error {
		if _, err := io.WriteString(w, strings.Repeat("new", 1<<16)); err != nil {
			return err
		}
		return failure
	})
	if !errors.Is(err, failure) {
		t.Errorf("error %v, want %v", err, failure)
	}
	onlyFile(t, dir, "a.txt", "old")
}

// An error of the disk names the file that was to be written, not the temporary one.
func TestErrorsNameTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.txt")
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	name := f.temp.Name()
	if err := f.temp.Close(); err != nil {
		t.Fatal(err)
	}
	_, first := f.Write([]byte("x"))
	_, second := f.WriteAt([]byte("x"), 0)
	for _, err := range []error{first, second, f.Truncate(1)} {
		if err == nil || !strings.HasPrefix(err.Error(), path+": ") || strings.Contains(err.Error(), name) || !errors.Is(err, fs.ErrClosed) {
			t.Errorf("error %v, want one that begins with %s", err, path)
		}
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func TestFilePieces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.bin")
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the target is there before Commit (%v)", err)
	}
	if err := f.Truncate(6); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("ef"), 4); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("abcd")); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := f.Abort(); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	onlyFile(t, dir, "a.bin", "abcdef")
	_, errWrite := f.Write(nil)
	_, errWriteAt := f.WriteAt(nil, 0)
	for name, err := range map[string]error{"Write": errWrite, "WriteAt": errWriteAt, "Truncate": f.Truncate(0), "Commit": f.Commit()} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s after Commit: error %v, want %v", name, err, fs.ErrClosed)
		}
	}
}

func TestAbort(t *testing.T) {
	dir := t.TempDir()
	f, err := Create(filepath.Join(dir, "a.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("abcd")); err != nil {
		t.Fatal(err)
	}
	if err := f.Abort(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("after Abort the directory holds %v (%v), want nothing", entries, err)
	}
}

func TestPermissionsAndLinks(t *testing.T) {
	dir, links := t.TempDir(), t.TempDir()
	path, link := filepath.Join(dir, "a.txt"), filepath.Join(links, "link")
	if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Skipf("symbolic links are not to be had here: %v", err)
	}
	if err := writeString(link, "new"); err != nil {
		t.Fatal(err)
	}
	onlyFile(t, dir, "a.txt", "new")
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v (%v)", info, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("permissions %v (%v), want 0640 as before", info.Mode(), err)
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct{ path, want string }{
		{dir, "directory"},
		{os.DevNull, "device"},
		{filepath.Join(dir, "missing", "a.txt"), "the directory does not exist"},
	} {
		err := writeString(test.path, "x")
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.path) {
			t.Errorf("Write(%q): error %v, want one that names the path and says %q", test.path, err, test.want)
		}
	}
}
