//go:build !cell

package cache

import (
	"bufio"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/parquet-go/parquet-go"

	"vitdecompose/data/atomicfile"
)

// ContributionRow is a row of [ContributionsTable].
type ContributionRow struct {
	Index        int64     `parquet:"index"`
	Component    string    `parquet:"component,dict"`
	Contribution []float32 `parquet:"contribution,list"`
}

// PictureRow is a row of [PicturesTable] where the model has no head.
type PictureRow struct {
	Index          int64     `parquet:"index"`
	Representation []float32 `parquet:"representation,list"`
}

// ScoredPictureRow is a row of [PicturesTable] where the model has a head.
type ScoredPictureRow struct {
	Index          int64     `parquet:"index"`
	Representation []float32 `parquet:"representation,list"`
	Logits         []float32 `parquet:"logits,list"`
}

// How much of a table, in bytes before encoding, goes into a row group, which the writer holds in memory and a reader takes at
// a time, and into a file.
const (
	rowGroupBytes = 32 << 20
	partBytes     = 1 << 30
)

// ExportParquet writes a complete store as two tables of Parquet files into dir, making dir, with a chunk and a row group in
// memory at a time. [ComponentsJSON] is written last: where it is, all is there.
//
// The contributions are a long table, not a wide one with a column for each component: the component is then a value, by
// which pandas, polars and DuckDB group, filter and join; the schema is the same for all models and splits; and the thousands
// of components of a token split are rows, not columns, each of which costs every reader memory. What is said once of a
// picture would be repeated for each of its components there, so it is a separate table, to be joined by index. Rows come
// chunk by chunk in the order of the pictures, and within a chunk by component.
func (s *Store) ExportParquet(dir string) error {
	return s.exportParquet(dir, rowGroupBytes, partBytes)
}

func (s *Store) exportParquet(dir string, group, part int) (err error) {
	if err := s.beginExport(dir); err != nil {
		return err
	}
	var tables []table
	defer func() {
		for _, t := range tables {
			err = errors.Join(err, t.abort())
		}
	}()
	var components []string
	for chunk, err := range s.Chunks() {
		if err != nil {
			return err
		}
		if len(chunk.Index) == 0 {
			continue
		}
		if tables == nil {
			components = chunk.Components
			if tables, err = createTables(dir, chunk.Classes() > 0, group, part); err != nil {
				return err
			}
		}
		for _, t := range tables {
			if err := t.add(chunk); err != nil {
				return err
			}
		}
	}
	if tables == nil {
		return s.noPicture()
	}
	for _, t := range tables {
		if err := t.commit(); err != nil {
			return err
		}
	}
	return endExport(dir, components)
}

// table is a table that is being written.
type table interface {
	add(Chunk) error
	commit() error // ends the last file
	abort() error  // removes the file that is being written, if one is
}

// createTables begins both tables in dir.
func createTables(dir string, head bool, group, part int) ([]table, error) {
	contributions := &parts[ContributionRow]{dir: filepath.Join(dir, ContributionsTable), rows: contributionRows, group: group, part: part}
	var pictures table = &parts[PictureRow]{dir: filepath.Join(dir, PicturesTable), rows: pictureRows, group: group, part: part}
	if head {
		pictures = &parts[ScoredPictureRow]{dir: filepath.Join(dir, PicturesTable), rows: scoredPictureRows, group: group, part: part}
	}
	for _, name := range []string{ContributionsTable, PicturesTable} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o777); err != nil {
			return nil, err
		}
	}
	return []table{contributions, pictures}, nil
}

// parts are the files of a table with rows of type R.
type parts[R any] struct {
	dir string
	// rows are those of a chunk, with the bytes of numbers in each. They share the chunk's memory.
	rows        func(Chunk) (rows iter.Seq[R], bytes int)
	group, part int // bytes

	count            int // files begun
	file             *atomicfile.File
	buffered         *bufio.Writer
	writer           *parquet.GenericWriter[R]
	grouped, written int // bytes of rows in the row group, and in the file
}

// add writes the rows of a chunk.
func (p *parts[R]) add(chunk Chunk) error {
	rows, size := p.rows(chunk)
	for row := range rows {
		if p.written > 0 && p.written+size > p.part {
			if err := p.commit(); err != nil {
				return err
			}
		}
		if p.file == nil {
			if err := p.begin(); err != nil {
				return err
			}
		}
		if p.grouped > 0 && p.grouped+size > p.group {
			if err := p.writer.Flush(); err != nil {
				return err
			}
			p.grouped = 0
		}
		if _, err := p.writer.Write([]R{row}); err != nil {
			return err
		}
		p.grouped += size
		p.written += size
	}
	return nil
}

func (p *parts[R]) begin() (err error) {
	if p.file, err = atomicfile.Create(filepath.Join(p.dir, fmt.Sprintf("part-%05d.parquet", p.count))); err != nil {
		return err
	}
	p.count++
	p.buffered = bufio.NewWriterSize(p.file, 1<<20)
	p.writer = parquet.NewGenericWriter[R](p.buffered)
	p.grouped, p.written = 0, 0
	return nil
}

func (p *parts[R]) commit() error {
	if p.file == nil {
		return nil
	}
	if err := errors.Join(p.writer.Close(), p.buffered.Flush()); err != nil {
		return err
	}
	file := p.file
	p.file, p.written = nil, 0
	return file.Commit()
}

func (p *parts[R]) abort() error {
	if p.file == nil {
		return nil
	}
	return p.file.Abort()
}

func contributionRows(chunk Chunk) (iter.Seq[ContributionRow], int) {
	n, dim := len(chunk.Index), chunk.Dim()
	return func(yield func(ContributionRow) bool) {
		for component, name := range chunk.Components {
			for i, position := range chunk.Index {
				if !yield(ContributionRow{int64(position), name, chunk.Contributions[(component*n+i)*dim:][:dim]}) {
					return
				}
			}
		}
	}, bytesOf(dim)
}

func pictureRows(chunk Chunk) (iter.Seq[PictureRow], int) {
	dim := chunk.Dim()
	return func(yield func(PictureRow) bool) {
		for i, position := range chunk.Index {
			if !yield(PictureRow{int64(position), chunk.Representation[i*dim:][:dim]}) {
				return
			}
		}
	}, bytesOf(dim)
}

func scoredPictureRows(chunk Chunk) (iter.Seq[ScoredPictureRow], int) {
	pictures, _ := pictureRows(chunk)
	classes := chunk.Classes()
	return func(yield func(ScoredPictureRow) bool) {
		i := 0
		for row := range pictures {
			if !yield(ScoredPictureRow{row.Index, row.Representation, chunk.Logits[i*classes:][:classes]}) {
				return
			}
			i++
		}
	}, bytesOf(chunk.Dim() + classes)
}

// bytesOf is the size of a row with the given number of numbers.
func bytesOf(numbers int) int { return 8 + 4*numbers }
