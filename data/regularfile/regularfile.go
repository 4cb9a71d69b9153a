// Package regularfile opens files that are files: what blocks or never ends when it is read, such as a pipe or a device, is
// refused before it is opened.
package regularfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrOther says that a path names something else than a regular file.
var ErrOther = errors.New("not a regular file")

// Open opens a regular file, or a link to one, and gives its size in bytes.
func Open(path string) (file *os.File, size int64, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s: %w but %s", path, ErrOther, kindOf(info.Mode()))
	}
	if file, err = os.Open(path); err != nil {
		return nil, 0, err
	}
	return file, info.Size(), nil
}

// Read reads all of a regular file of at most that many bytes.
func Read(path string, most int64) ([]byte, error) {
	file, size, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// A file may grow while it is read.
	content, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil {
		return nil, err
	}
	if max(size, int64(len(content))) > most {
		return nil, fmt.Errorf("%s: is larger than the limit of %d bytes", path, most)
	}
	return content, nil
}

// kindOf names a kind of file.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "something else"
}
