package regularfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	file, link, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.WriteFile(file, []byte("text"), 0o644), os.Symlink(file, link), syscall.Mkfifo(pipe, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link} {
		if content, err := Read(path, 4); err != nil || string(content) != "text" {
			t.Errorf("%q, %v", content, err)
		}
		if _, err := Read(path, 3); err == nil || !strings.Contains(err.Error(), path+": is larger than the limit of 3 bytes") {
			t.Errorf("error %v", err)
		}
	}
	// To open a pipe would wait for somebody who writes.
	for path, want := range map[string]string{pipe: "a pipe", dir: "a directory", "/dev/zero": "a device"} {
		if _, err := Read(path, 3); !errors.Is(err, ErrOther) || err.Error() != path+": not a regular file but "+want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	if _, _, err := Open(filepath.Join(dir, "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}
