package hf

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/bits"
	"sort"
	"sync"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"vitdecompose/data/regularfile"
)

const (
	maxFooter     = 16 << 20 // bytes
	maxPageHeader = 16 << 20 // bytes; it may have a largest and a smallest value
	maxRows       = 1 << 28  // of a file
	maxPages      = 1 << 21  // of a column in a row group, and of which it is kept where they are
)

// plainDictionary is what older files call format.RLEDictionary.
const plainDictionary format.Encoding = 2

// table is an open parquet file.
type table struct {
	path   string
	reader io.ReaderAt // open as long as the program runs
	size   int64
	*parquet.File
	starts []int64 // the first row of each row group, and one past the last of all

	mu     sync.Mutex
	chunks map[chunkID][]page // those that were looked at last
	kept   int                // pages in chunks
}

// chunkID is the values of a column in a row group.
type chunkID struct{ group, column int }

// openTable opens a file and reads what it says of itself.
func openTable(path string) (*table, error) {
	file, size, err := regularfile.Open(path)
	if err != nil {
		return nil, err
	}
	t, err := readTable(file, size)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	t.path = path
	return t, nil
}

// readTable reads the footer. The caller knows the file's name.
func readTable(r io.ReaderAt, size int64) (*table, error) {
	const frame = 12 // the mark at the beginning, the footer's length and the mark at the end
	tail := make([]byte, 8)
	if size < frame {
		return nil, fmt.Errorf("has %d bytes, which is too short for a parquet file", size)
	}
	if _, err := r.ReadAt(tail, size-8); err != nil {
		return nil, err
	}
	if string(tail[4:]) != "PAR1" {
		return nil, errors.New("does not end like a parquet file: it is not one, or is cut short")
	}
	length := int64(binary.LittleEndian.Uint32(tail))
	if length > size-frame || length > maxFooter {
		return nil, fmt.Errorf("claims a footer of %d bytes, which is impossible", length)
	}
	footer := make([]byte, length)
	if _, err := r.ReadAt(footer, size-8-length); err != nil {
		return nil, err
	}
	if _, err := thriftLength(footer); err != nil {
		return nil, fmt.Errorf("has a footer that cannot be read: %w", err)
	}
	t := &table{reader: r, size: size, chunks: map[chunkID][]page{}}
	err := guarded(func() (err error) {
		t.File, err = parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("is not a parquet file that can be read: %w", err)
	}
	t.starts = []int64{0}
	rows := int64(0)
	for _, group := range t.Metadata().RowGroups {
		if group.NumRows < 0 || group.NumRows > maxRows-rows {
			return nil, fmt.Errorf("claims a row group of %d rows, which is impossible", group.NumRows)
		}
		rows += group.NumRows
		t.starts = append(t.starts, rows)
	}
	if rows != t.NumRows() {
		return nil, fmt.Errorf("says that it has %d rows, and its row groups have %d", t.NumRows(), rows)
	}
	return t, nil
}

// guarded turns a panic of parquet-go, which is not hardened against every damage, into an error.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it is damaged: %v", r)
		}
	}()
	return f()
}

// page is where a page of a column is, and how it is written.
type page struct {
	offset               int64 // of its bytes, after the header
	first                int64 // row of the row group
	rows                 int
	compressed, size     int32 // bytes in the file, and unpacked
	crc                  uint32
	encoding             format.Encoding
	dictionary, v2       bool
	packed               bool  // of the second kind: its values are compressed
	repetitions, defined int32 // of the second kind: bytes of the levels
}

// pages finds the pages of a column in a row group: the dictionary first, if there is one. It reads their headers alone.
func (t *table) pages(id chunkID) ([]page, error) {
	t.mu.Lock()
	pages, ok := t.chunks[id]
	t.mu.Unlock()
	if ok {
		return pages, nil
	}
	pages, err := t.findPages(id)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept += len(pages); t.kept > maxPages {
		clear(t.chunks)
		t.kept = len(pages)
	}
	t.chunks[id] = pages
	return pages, nil
}

func (t *table) findPages(id chunkID) ([]page, error) {
	group := &t.Metadata().RowGroups[id.group]
	chunk := &group.Columns[id.column]
	meta := &chunk.MetaData
	at := meta.DataPageOffset
	if d := meta.DictionaryPageOffset; d > 0 && d < at {
		at = d
	}
	end := t.size
	if chunk.FilePath != "" || at < 4 || meta.TotalCompressedSize < 0 || meta.TotalCompressedSize > end-at {
		return nil, errors.New("it is damaged: the values are not where they should be")
	}
	end = at + meta.TotalCompressedSize
	var pages []page
	for row := int64(0); row < group.NumRows; {
		p, next, err := t.page(at, end)
		if err != nil {
			return nil, err
		}
		if at = next; p == nil { // a page without values
			continue
		}
		if p.dictionary && len(pages) > 0 || !p.dictionary && int64(p.rows) > group.NumRows-row {
			return nil, errPage
		}
		if !p.dictionary {
			p.first = row
			row += int64(p.rows)
		}
		if len(pages) == maxPages {
			return nil, fmt.Errorf("has more than %d pages in a row group", maxPages)
		}
		pages = append(pages, *p)
	}
	return pages, nil
}

// page reads the header of a page, which must end before a byte of the file. It is nil for a page that has no values.
func (t *table) page(at, end int64) (*page, int64, error) {
	var header format.PageHeader
	for window := int64(1 << 9); ; window *= 8 {
		b := make([]byte, min(window, end-at))
		if _, err := t.reader.ReadAt(b, at); err != nil && err != io.EOF {
			return nil, 0, err
		}
		n, err := thriftLength(b)
		if err == errThriftShort && int64(len(b)) < end-at && window < maxPageHeader {
			continue
		}
		if err == nil {
			err = guarded(func() error { return thrift.Unmarshal(&thrift.CompactProtocol{}, b[:n], &header) })
		}
		if err != nil {
			return nil, 0, fmt.Errorf("the header of a page at byte %d cannot be read: %w", at, err)
		}
		at += int64(n)
		break
	}
	p := &page{offset: at, compressed: header.CompressedPageSize, size: header.UncompressedPageSize, crc: uint32(header.CRC)}
	if p.compressed < 0 || int64(p.compressed) > end-at || p.size < 0 || p.size > maxPage || p.compressed > maxPage {
		return nil, 0, fmt.Errorf("the page at byte %d cannot have %d bytes, unpacked %d", at, p.compressed, p.size)
	}
	switch {
	case header.Type == format.DictionaryPage && header.DictionaryPageHeader.Valid:
		h := &header.DictionaryPageHeader.V
		p.dictionary, p.rows, p.encoding = true, int(h.NumValues), format.Plain
	case header.Type == format.DataPage && header.DataPageHeader.Valid:
		h := &header.DataPageHeader.V
		p.rows, p.encoding = int(h.NumValues), h.Encoding
	case header.Type == format.DataPageV2 && header.DataPageHeaderV2.Valid:
		h := &header.DataPageHeaderV2.V
		p.v2, p.rows, p.encoding = true, int(h.NumValues), h.Encoding
		p.packed = !h.IsCompressed.Valid || h.IsCompressed.V
		p.repetitions, p.defined = h.RepetitionLevelsByteLength, h.DefinitionLevelsByteLength
	default:
		return nil, at + int64(p.compressed), nil
	}
	if p.rows < 0 || p.rows > maxValues {
		return nil, 0, fmt.Errorf("the page at byte %d cannot have %d values", at, p.rows)
	}
	return p, at + int64(p.compressed), nil
}

// pageValues are the values of a page: bytes or ints, of which some may be null.
type pageValues struct {
	bytes [][]byte
	ints  []int64
	// at are the positions of the page's values in bytes or ints, which are those of a dictionary maybe; absent where a value
	// is null. It is nil where the values are all that there is.
	at []uint32
}

// absent is the position of a null.
const absent = ^uint32(0)

// len is the number of values, nulls with them.
func (v *pageValues) len() int {
	if v.at != nil {
		return len(v.at)
	}
	return v.stored()
}

// stored is the number of values that are in memory.
func (v *pageValues) stored() int { return max(len(v.bytes), len(v.ints)) }

// position is where value i is stored; -1 where it is null.
func (v *pageValues) position(i int) int {
	switch {
	case v.at == nil:
		return i
	case v.at[i] == absent:
		return -1
	}
	return int(v.at[i])
}

// used are the positions of the values that the page has, each once.
func (v *pageValues) used() []int {
	seen := make([]bool, v.stored())
	var positions []int
	before := -1
	for i := range v.len() {
		at := v.position(i)
		if at != before && at >= 0 && !seen[at] { // many are like those before them
			seen[at] = true
			positions = append(positions, at)
		}
		before = at
	}
	return positions
}

// read reads a page. The dictionary is that of its column in its row group; it is not used by a dictionary itself.
func (t *table) read(id chunkID, column *parquet.Column, p page, dictionary *pageValues) (*pageValues, error) {
	raw := make([]byte, p.compressed)
	if _, err := t.reader.ReadAt(raw, p.offset); err != nil {
		return nil, fmt.Errorf("%w: %w", errPage, err)
	}
	if p.crc != 0 && crc32.ChecksumIEEE(raw) != p.crc {
		return nil, fmt.Errorf("%w: its checksum does not match", errPage)
	}
	codec := t.Metadata().RowGroups[id.group].Columns[id.column].MetaData.Codec
	var levels []byte
	size := int(p.size)
	if p.v2 { // the levels come first and are not compressed
		if p.repetitions < 0 || p.defined < 0 || int64(p.repetitions)+int64(p.defined) > int64(min(len(raw), size)) {
			return nil, errPage
		}
		levels = raw[p.repetitions:][:p.defined]
		raw, size = raw[p.repetitions+p.defined:], size-int(p.repetitions+p.defined)
		if !p.packed {
			codec = format.Uncompressed
		}
	}
	raw, err := decompress(codec, raw, size)
	if err != nil {
		return nil, err
	}
	deepest := column.MaxDefinitionLevel()
	if p.dictionary || deepest == 0 {
		return decode(raw, column.Type().Kind(), p.encoding, p.rows, dictionary)
	}
	if !p.v2 {
		if len(raw) < 4 {
			return nil, errPage
		}
		n := uint64(binary.LittleEndian.Uint32(raw))
		if raw = raw[4:]; n > uint64(len(raw)) {
			return nil, errPage
		}
		levels, raw = raw[:n], raw[n:]
	}
	defined, err := unpackHybrid(levels, bits.Len(uint(deepest)), p.rows)
	if err != nil {
		return nil, err
	}
	present := 0
	for _, level := range defined {
		if level == uint32(deepest) {
			present++
		}
	}
	v, err := decode(raw, column.Type().Kind(), p.encoding, present, dictionary)
	if err != nil || present == p.rows {
		return v, err
	}
	return v.spread(defined, uint32(deepest)), nil
}

// spread puts the values where they are defined.
func (v *pageValues) spread(defined []uint32, deepest uint32) *pageValues {
	next := 0
	for i, level := range defined {
		if defined[i] = absent; level == deepest {
			defined[i] = uint32(v.position(next))
			next++
		}
	}
	return &pageValues{bytes: v.bytes, ints: v.ints, at: defined}
}

// decode reads n values, none of them null.
func decode(b []byte, kind parquet.Kind, encoding format.Encoding, n int, dictionary *pageValues) (v *pageValues, err error) {
	v = &pageValues{}
	switch {
	case n == 0 && kind == parquet.ByteArray: // there need not be a dictionary then
		v.bytes = [][]byte{}
	case n == 0:
		v.ints = []int64{}
	case encoding == plainDictionary || encoding == format.RLEDictionary:
		if dictionary == nil {
			return nil, errPage
		}
		return dictionary.pick(b, n)
	case kind == parquet.ByteArray && encoding == format.Plain:
		v.bytes, err = plainBytes(b, n)
	case kind == parquet.ByteArray && encoding == format.DeltaLengthByteArray:
		v.bytes, err = deltaBytes(b, n)
	case kind == parquet.ByteArray && encoding == format.DeltaByteArray:
		v.bytes, err = prefixedBytes(b, n)
	case kind == parquet.Int32 && encoding == format.Plain:
		v.ints, err = plainInts(b, 4, n)
	case kind == parquet.Int64 && encoding == format.Plain:
		v.ints, err = plainInts(b, 8, n)
	case (kind == parquet.Int32 || kind == parquet.Int64) && encoding == format.DeltaBinaryPacked:
		v.ints, _, err = deltaInts(b, n)
	default:
		return nil, fmt.Errorf("its values are encoded with %s, which is not supported for %s: write it with the plain encoding or with dictionaries",
			encoding, kind)
	}
	return v, err
}

// pick reads n positions in a dictionary.
func (v *pageValues) pick(b []byte, n int) (*pageValues, error) {
	if len(b) == 0 {
		return nil, errPage
	}
	at, err := unpackHybrid(b[1:], int(b[0]), n)
	if err != nil {
		return nil, err
	}
	for _, position := range at {
		if uint64(position) >= uint64(v.stored()) {
			return nil, errPage
		}
	}
	return &pageValues{bytes: v.bytes, ints: v.ints, at: at}, nil
}

// each hands on all values of a column, page by page. Row is that of the file which the page begins with.
func (t *table) each(ctx context.Context, column *parquet.Column, do func(row int64, v *pageValues) error) error {
	for group := range t.Metadata().RowGroups {
		id := chunkID{group, column.Index()}
		pages, err := t.findPages(id)
		if err != nil {
			return t.failed(column, t.starts[group], err)
		}
		var dictionary *pageValues
		for _, p := range pages {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			row := t.starts[group] + p.first
			v, err := t.read(id, column, p, dictionary)
			switch {
			case err != nil:
				return t.failed(column, row, err)
			case p.dictionary:
				dictionary = v
				continue
			}
			if err := do(row, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// failed says where a column cannot be read.
func (t *table) failed(column *parquet.Column, row int64, err error) error {
	return fmt.Errorf("%s: column %s from row %d on: %w", t.path, column.Path()[0], row, err)
}

// group is the row group of a row.
func (t *table) group(row int64) int {
	return sort.Search(len(t.starts), func(i int) bool { return t.starts[i] > row }) - 1
}

// pageCache keeps the pages that were read last, as many as fit into a number of bytes. Those who want a page that is being
// read wait for it.
type pageCache struct {
	budget int64

	mu    sync.Mutex
	used  int64 // a clock: the time of the last use
	bytes int64
	pages map[pageID]*cached
}

type pageID struct {
	table *table
	chunk chunkID
	page  int
}

type cached struct {
	get  func() (*pageValues, error)
	cost int64
	last int64
}

func newPageCache(budget int64) *pageCache {
	return &pageCache{budget: budget, pages: map[pageID]*cached{}}
}

// get is the page, which read reads unless it is there.
func (c *pageCache) get(id pageID, cost int64, read func() (*pageValues, error)) (*pageValues, error) {
	c.mu.Lock()
	c.used++
	entry, ok := c.pages[id]
	if !ok {
		entry = &cached{get: sync.OnceValues(read), cost: cost}
		c.pages[id] = entry
		c.bytes += cost
	}
	entry.last = c.used
	for c.bytes > c.budget && len(c.pages) > 1 {
		oldest, at := pageID{}, int64(math.MaxInt64)
		for id, e := range c.pages {
			if e.last < at {
				oldest, at = id, e.last
			}
		}
		c.bytes -= c.pages[oldest].cost
		delete(c.pages, oldest)
	}
	c.mu.Unlock()
	return entry.get()
}

// value finds the value of a column in a row: its page, and its position there; -1 when it is null. The page is not to be
// changed.
func (t *table) value(cache *pageCache, column *parquet.Column, row int64) (v *pageValues, position int, err error) {
	group := t.group(row)
	id := chunkID{group, column.Index()}
	pages, err := t.pages(id)
	if err != nil {
		return nil, 0, err
	}
	row -= t.starts[group]
	at := sort.Search(len(pages), func(i int) bool { return !pages[i].dictionary && pages[i].first > row }) - 1
	if at < 0 || pages[at].dictionary {
		return nil, 0, errPage
	}
	read := func(i int, dictionary *pageValues) (*pageValues, error) {
		return cache.get(pageID{t, id, i}, pages[i].cost(), func() (*pageValues, error) {
			return t.read(id, column, pages[i], dictionary)
		})
	}
	var dictionary *pageValues
	if pages[0].dictionary {
		if dictionary, err = read(0, nil); err != nil {
			return nil, 0, err
		}
	}
	if v, err = read(at, dictionary); err != nil {
		return nil, 0, err
	}
	return v, v.position(int(row - pages[at].first)), nil
}

// cost is how much memory the values of a page take, in bytes.
func (p *page) cost() int64 {
	if p.encoding == plainDictionary || p.encoding == format.RLEDictionary {
		return 4 * int64(p.rows)
	}
	return int64(p.size) + 24*int64(p.rows) // the bytes, and a slice for each value
}
