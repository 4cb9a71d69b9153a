// Package archive reads tar archives of pictures where they are: it notes where each entry begins and how long it is, and
// unpacks nothing.
//
//	file, err := os.Open("ILSVRC2012_img_val.tar")
//	...
//	entries, err := archive.IndexTar(file, size, archive.Limits{})
//	for _, entry := range entries {
//		r := entry.Section(file) // the entry's bytes
//		...
//	}
//
// An archive is refused if it has anything but regular files with plain names and directories, if it is cut short, and if
// it has more or larger entries than the [Limits] allow.
package archive

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// The limits that stand for 0 in [Limits].
const (
	DefaultMaxEntries = 1 << 24 // ImageNet has 1.3 million
	DefaultMaxBytes   = 1 << 40 // of an entry: an archive within the archive may be large
)

const (
	maxName     = 1 << 10 // bytes of an entry's name
	maxUnpacked = 1 << 31 // bytes that ReadTarGz unpacks, whatever they are
)

// Limits bounds the resources that an archive may take.
type Limits struct {
	MaxEntries int   // 0 means DefaultMaxEntries
	MaxBytes   int64 // of an entry; 0 means DefaultMaxBytes
}

func (l Limits) maxEntries() int {
	if l.MaxEntries > 0 {
		return l.MaxEntries
	}
	return DefaultMaxEntries
}

func (l Limits) maxBytes() int64 {
	if l.MaxBytes > 0 {
		return l.MaxBytes
	}
	return DefaultMaxBytes
}

// Entry is a regular file of an archive.
type Entry struct {
	Name   string // a path below the archive's root, with slashes; not unique if the archive is odd
	Offset int64  // of its first byte
	Size   int64  // in bytes
}

// Section is the entry's bytes in the archive it was indexed in.
func (e Entry) Section(archive io.ReaderAt) *io.SectionReader {
	return io.NewSectionReader(archive, e.Offset, e.Size)
}

// IndexTar finds the files of a tar archive of size bytes, in its order. It reads the headers alone: 512 bytes an entry.
// Errors say at which byte of the archive something is wrong; the caller knows its name.
func IndexTar(archive io.ReaderAt, size int64, limits Limits) ([]Entry, error) {
	section := io.NewSectionReader(archive, 0, size)
	position := func() int64 {
		at, err := section.Seek(0, io.SeekCurrent)
		if err != nil { // a section knows where it is
			panic(err)
		}
		return at
	}
	var entries []Entry
	next := int64(0) // where the next header is
	err := eachEntry(tar.NewReader(section), limits, func(header *tar.Header, name string) error {
		// The reader of headers reads no further than they go.
		entry := Entry{name, position(), header.Size}
		if entry.Size > size-entry.Offset {
			return fmt.Errorf("%s has %d bytes from byte %d on, and the archive ends at byte %d: it is cut short", name, entry.Size, entry.Offset, size)
		}
		next = entry.Offset + (entry.Size+511)/512*512
		entries = append(entries, entry)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w (after byte %d)", err, next)
	}
	// An archive ends with blocks of zeros. One that was cut between two entries has none.
	if position() <= next {
		return nil, fmt.Errorf("ends at byte %d without an end-of-archive mark: it is cut short", size)
	}
	return entries, nil
}

// ReadTarGz reads those files of a small compressed tar archive that are wanted, by name.
func ReadTarGz(r io.Reader, limits Limits, wanted func(name string) bool) (map[string][]byte, error) {
	unpacked, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("is not compressed by gzip: %w", err)
	}
	files := map[string][]byte{}
	reader := tar.NewReader(io.LimitReader(unpacked, maxUnpacked))
	err = eachEntry(reader, limits, func(header *tar.Header, name string) error {
		if !wanted(name) {
			return nil
		}
		content, err := io.ReadAll(reader) // of at most limits.MaxBytes, which was compared before
		if err != nil {
			return fmt.Errorf("%s: %w", name, unexpected(err))
		}
		files[name] = content
		return nil
	})
	return files, err
}

// eachEntry hands on the regular files of an archive.
func eachEntry(reader *tar.Reader, limits Limits, each func(header *tar.Header, name string) error) error {
	for count := 0; ; {
		header, err := reader.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("is not a whole tar archive: %w", unexpected(err))
		}
		switch header.Typeflag {
		case tar.TypeDir, tar.TypeXGlobalHeader:
			continue
		}
		name, err := plain(header)
		switch {
		case err != nil:
			return err
		case count == limits.maxEntries():
			return fmt.Errorf("has more than %d files", limits.maxEntries())
		case header.Size > limits.maxBytes():
			return fmt.Errorf("%s has %d bytes, more than the limit of %d", name, header.Size, limits.maxBytes())
		}
		count++
		if err := each(header, name); err != nil {
			return err
		}
	}
}

// plain is the name of a regular file that leads nowhere else.
func plain(header *tar.Header) (string, error) {
	if header.Typeflag != tar.TypeReg {
		return "", fmt.Errorf("%.200q is %s, not a regular file", header.Name, kind(header.Typeflag))
	}
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return "", fmt.Errorf("%.200q is %s, not a regular file", header.Name, kind(tar.TypeGNUSparse))
		}
	}
	name := strings.TrimPrefix(header.Name, "./")
	if len(name) > maxName || !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\:\x00") {
		return "", fmt.Errorf("%.200q is not the name of a file below the archive's root", header.Name)
	}
	return name, nil
}

// kind says what an entry is that is no regular file.
func kind(flag byte) string {
	switch flag {
	case tar.TypeSymlink, tar.TypeLink:
		return "a link"
	case tar.TypeGNUSparse:
		return "a sparse file"
	case tar.TypeChar, tar.TypeBlock:
		return "a device"
	case tar.TypeFifo:
		return "a pipe"
	}
	return fmt.Sprintf("of the kind %q", flag)
}

// unexpected is the error itself, in the words of this package where the archive ends too early.
func unexpected(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it is cut short")
	}
	return err
}
