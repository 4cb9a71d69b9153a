// Package atomicfile writes files that are either there in full or not there at all.
//
// What is written goes to a temporary file beside the target. When all of it is on the disk (fsync) the temporary file
// takes the target's name in one step (rename), and the directory is synced so that the name survives a crash as well.
// Whoever reads the target sees the old content or the new one, never half of it:
//
//	err := atomicfile.Write("results/result.json", func(w io.Writer) error {
//		return json.NewEncoder(w).Encode(result)
//	})
//
// Create gives a [File] for writing in pieces and out of order.
package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
)

// Write makes path hold what write writes, or leaves it as it was: when write fails, or the disk is full, the error is
// returned and the temporary file removed. The writer is buffered.
func Write(path string, write func(w io.Writer) error) error {
	f, err := Create(path)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(f, 1<<16)
	if err := write(buffered); err != nil {
		return errors.Join(err, f.Abort())
	}
	if err := buffered.Flush(); err != nil {
		return errors.Join(err, f.Abort())
	}
	return f.Commit()
}

// File is a file being written under a temporary name. End it with [File.Commit] or [File.Abort]; Abort after Commit
// does nothing, so that it can be deferred.
type File struct {
	temp   *os.File // nil once committed or aborted
	target string
}

// Create begins a file that will replace path on Commit. The directory must exist. What path names now must be a
// regular file or nothing; a symbolic link stays and the file it points to is replaced.
func Create(path string) (*File, error) {
	target := path
	mode := fs.FileMode(0o666)
	switch info, err := os.Stat(path); {
	case err == nil && !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: cannot be replaced: it is a %s; name a file", path, kind(info.Mode()))
	case err == nil:
		mode = info.Mode().Perm()
		if target, err = filepath.EvalSymlinks(path); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	dir, base := filepath.Split(target)
	for range 100 {
		name := filepath.Join(dir, "."+base+"."+strconv.FormatUint(rand.Uint64(), 36)+".tmp")
		temp, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: the directory does not exist; make it first: %w", path, err)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return &File{temp: temp, target: target}, nil
	}
	return nil, fmt.Errorf("%s: there is no free name for a temporary file in its directory", path)
}

// kind names what a mode that is not a regular file's stands for.
func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "directory"
	case mode&fs.ModeNamedPipe != 0:
		return "pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}

// Write writes at the file's position, which it moves on.
func (f *File) Write(p []byte) (int, error) {
	if f.temp == nil {
		return 0, f.ended()
	}
	n, err := f.temp.Write(p)
	return n, f.named(err)
}

// WriteAt writes at an offset, in bytes, and leaves the position alone. It may be called from several goroutines.
func (f *File) WriteAt(p []byte, offset int64) (int, error) {
	if f.temp == nil {
		return 0, f.ended()
	}
	n, err := f.temp.WriteAt(p, offset)
	return n, f.named(err)
}

// Truncate sets the size in bytes; bytes never written are 0.
func (f *File) Truncate(size int64) error {
	if f.temp == nil {
		return f.ended()
	}
	return f.named(f.temp.Truncate(size))
}

// named says which file could not be written, in place of the temporary one, whose name tells nobody anything.
func (f *File) named(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("%s: %w", f.target, path.Err)
	}
	return err
}

func (f *File) ended() error {
	return fmt.Errorf("%s: write after the file was committed or aborted: %w", f.target, fs.ErrClosed)
}

// Commit puts the content on the disk and gives it the target's name. When it fails the target is as it was.
func (f *File) Commit() error {
	if f.temp == nil {
		return f.ended()
	}
	if err := f.temp.Sync(); err != nil {
		return errors.Join(f.named(err), f.Abort())
	}
	temp := f.temp
	f.temp = nil
	err := temp.Close()
	if err == nil {
		err = os.Rename(temp.Name(), f.target)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", f.target, err), os.Remove(temp.Name()))
	}
	return syncDir(filepath.Dir(f.target))
}

// Abort gives up: the temporary file is removed and the target left as it was.
func (f *File) Abort() error {
	if f.temp == nil {
		return nil
	}
	temp := f.temp
	f.temp = nil
	return errors.Join(temp.Close(), os.Remove(temp.Name()))
}

// syncDir puts a directory's entries on the disk. Windows has no such thing.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := dir.Sync(); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", path, err), dir.Close())
	}
	return dir.Close()
}
