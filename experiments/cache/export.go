package cache

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"vitdecompose/data/atomicfile"
)

// The directories that [Store.ExportParquet] writes, each a table in files named part-00000.parquet and so on. They are
// beside [ComponentsJSON].
const (
	// ContributionsTable has a row for each picture and component: index, component, contribution.
	ContributionsTable = "contributions"
	// PicturesTable has a row for each picture: index, representation and, where the model has a head, logits.
	PicturesTable = "pictures"
)

// The files that [Store.ExportNumPy] writes.
const (
	ContributionsNPY  = "contributions.npy"  // float32 [picture, component, dim]
	RepresentationNPY = "representation.npy" // float32 [picture, dim]
	LogitsNPY         = "logits.npy"         // float32 [picture, class], where the model has a head
	IndexNPY          = "index.npy"          // int64 [picture], the position of each picture in the data
	ComponentsJSON    = "components.json"    // the names of the components; ExportParquet writes it too
)

// ExportNumPy writes a complete store as NumPy arrays into dir, making dir, one chunk in memory at a time. np.load(...,
// mmap_mode="r") reads them without copying. Components.json is written last: where it is, all is there.
func (s *Store) ExportNumPy(dir string) (err error) {
	if err := s.beginExport(dir); err != nil {
		return err
	}
	total := shape{}
	for chunk, err := range s.Chunks() { // the header of an array says how many rows follow
		if err != nil {
			return err
		}
		if c := chunk.shape(); c.n > 0 {
			c.n += total.n
			total = c
		}
	}
	if total.n == 0 {
		return s.noPicture()
	}
	files := &arrays{dir: dir}
	defer func() { err = errors.Join(err, files.close(err == nil)) }()
	contributions := files.create(ContributionsNPY, "<f4", total.n, len(total.components), total.dim)
	representation := files.create(RepresentationNPY, "<f4", total.n, total.dim)
	index := files.create(IndexNPY, "<i8", total.n)
	var logits io.Writer
	if total.classes > 0 {
		logits = files.create(LogitsNPY, "<f4", total.n, total.classes)
	}
	if files.err != nil {
		return files.err
	}
	for chunk, err := range s.Chunks() {
		if err != nil {
			return err
		}
		n, dim := len(chunk.Index), chunk.Dim()
		positions := make([]int64, n)
		for i, position := range chunk.Index {
			positions[i] = int64(position)
		}
		byPicture := make([]float32, 0, len(chunk.Contributions))
		for i := range n {
			for component := range chunk.Components {
				byPicture = append(byPicture, chunk.Contributions[(component*n+i)*dim:][:dim]...)
			}
		}
		for _, part := range []struct {
			to      io.Writer
			numbers any
		}{{contributions, byPicture}, {representation, chunk.Representation}, {index, positions}, {logits, chunk.Logits}} {
			if part.to == nil {
				continue
			}
			if err := binary.Write(part.to, binary.LittleEndian, part.numbers); err != nil {
				return err
			}
		}
	}
	if err := files.close(true); err != nil {
		return err
	}
	return endExport(dir, total.components)
}

// beginExport makes dir, without what an earlier export left there. A store that is not complete is an error.
func (s *Store) beginExport(dir string) error {
	if missing := s.Missing(); len(missing) > 0 {
		return fmt.Errorf("cache: %s is not complete: %d chunks are missing; run the command that made it again first", s.dir, len(missing))
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, name := range []string{ComponentsJSON, ContributionsNPY, RepresentationNPY, LogitsNPY, IndexNPY} {
		if err := removeIfThere(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return errors.Join(removeParts(filepath.Join(dir, ContributionsTable)), removeParts(filepath.Join(dir, PicturesTable)))
}

var partPattern = regexp.MustCompile(`^part-[0-9]{5,}\.parquet$`)

// removeParts removes the files of a table, if it is there: readers take all that are in the directory.
func removeParts(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range entries {
		if partPattern.MatchString(entry.Name()) {
			if err := removeIfThere(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// endExport marks the export as complete.
func endExport(dir string, components []string) error {
	return atomicfile.Write(filepath.Join(dir, ComponentsJSON), func(w io.Writer) error { return json.NewEncoder(w).Encode(components) })
}

func (s *Store) noPicture() error { return fmt.Errorf("cache: %s holds no picture", s.dir) }

// arrays are NumPy files that are being written.
type arrays struct {
	dir  string
	open []*atomicfile.File
	err  error
}

// create begins an array of a type and a shape. The first error is kept, and nil returned.
func (a *arrays) create(name, dtype string, dims ...int) io.Writer {
	if a.err != nil {
		return nil
	}
	file, err := atomicfile.Create(filepath.Join(a.dir, name))
	if err != nil {
		a.err = err
		return nil
	}
	a.open = append(a.open, file)
	if _, err := file.Write(npyHeader(dtype, dims)); err != nil {
		a.err = err
		return nil
	}
	return file
}

// close ends all files: they get their names, or are gone.
func (a *arrays) close(keep bool) error {
	var errs []error
	for _, file := range a.open {
		if keep {
			errs = append(errs, file.Commit())
		} else {
			errs = append(errs, file.Abort())
		}
	}
	a.open = nil
	return errors.Join(errs...)
}

// npyHeader is what stands before the numbers in version 1.0 of NumPy's format: a magic word, and a Python dictionary padded
// with spaces so that the numbers begin at a multiple of 64 bytes.
func npyHeader(dtype string, dims []int) []byte {
	var shape strings.Builder
	for _, d := range dims {
		fmt.Fprintf(&shape, "%d, ", d)
	}
	dictionary := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", dtype, shape.String())
	const before = 10 // bytes: magic, version, length
	padded := (before + len(dictionary) + 1 + 63) / 64 * 64
	var out bytes.Buffer
	out.WriteString("\x93NUMPY\x01\x00")
	out.Write(binary.LittleEndian.AppendUint16(nil, uint16(padded-before)))
	out.WriteString(dictionary)
	out.WriteString(strings.Repeat(" ", padded-before-len(dictionary)-1))
	out.WriteByte('\n')
	return out.Bytes()
}
