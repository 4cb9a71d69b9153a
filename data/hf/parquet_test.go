package hf

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
)

// TestEncodings: the examples of "Parquet encoding definitions".
func TestEncodings(t *testing.T) {
	// 0 to 7, each in three bits.
	if got, err := unpackHybrid([]byte{1<<1 | 1, 0x88, 0xc6, 0xfa}, 3, 8); err != nil || !slices.Equal(got, []uint32{0, 1, 2, 3, 4, 5, 6, 7}) {
		t.Errorf("packed: %v, %v", got, err)
	}
	if got, err := unpackHybrid([]byte{3 << 1, 5, 1<<1 | 1, 0x88, 0xc6, 0xfa}, 3, 7); err != nil || !slices.Equal(got, []uint32{5, 5, 5, 0, 1, 2, 3}) {
		t.Errorf("a run and packed: %v, %v", got, err)
	}
	if got, err := unpackHybrid([]byte{2 << 1, 0x34, 0x12}, 13, 2); err != nil || !slices.Equal(got, []uint32{0x1234, 0x1234}) {
		t.Errorf("a run of two bytes: %v, %v", got, err)
	}
	if got, err := unpackHybrid([]byte{4 << 1}, 0, 4); err != nil || !slices.Equal(got, []uint32{0, 0, 0, 0}) {
		t.Errorf("no bits: %v, %v", got, err)
	}

	// 1 to 5: a block of 8 values in 1 miniblock, 5 values, the first is 1; the least difference is 1, of 0 bits.
	if got, rest, err := deltaInts([]byte{8, 1, 5, 2, 2, 0, 'x'}, 5); err != nil || !slices.Equal(got, []int64{1, 2, 3, 4, 5}) || string(rest) != "x" {
		t.Errorf("%v, %q, %v", got, rest, err)
	}
	// 7, 5, 3, 1, 2, 3, 4, 5: the least difference is -2, and 0, 0, 0, 3, 3, 3, 3 more, in two bits.
	if got, rest, err := deltaInts([]byte{8, 1, 8, 14, 3, 2, 0xc0, 0x3f}, 8); err != nil || !slices.Equal(got, []int64{7, 5, 3, 1, 2, 3, 4, 5}) || len(rest) > 0 {
		t.Errorf("%v, %q, %v", got, rest, err)
	}
	// Hello, World, Foobar, ABCDEF: lengths 5, 5, 6, 6.
	lengths := []byte{8, 1, 4, 10, 0, 1, 0b010, 'H', 'e', 'l', 'l', 'o'}
	if got, err := deltaBytes(append(lengths, "WorldFoobarABCDEF"...), 4); err != nil || string(bytes.Join(got, []byte(","))) != "Hello,World,Foobar,ABCDEF" {
		t.Errorf("%q, %v", got, err)
	}
	// axis, axle, babble, babyhood: prefixes 0, 2, 0, 3 and what follows.
	prefixes := []byte{8, 1, 4, 0, 3, 3, 0x44, 0x01, 0}                              // -2 and 4, 0, 5
	suffixes := append([]byte{8, 1, 4, 8, 3, 3, 0x70, 0, 0}, "axislebabbleyhood"...) // -2 and 0, 6, 1
	if got, err := prefixedBytes(append(prefixes, suffixes...), 4); err != nil || string(bytes.Join(got, []byte(","))) != "axis,axle,babble,babyhood" {
		t.Errorf("%q, %v", got, err)
	}

	if got, err := plainBytes([]byte{2, 0, 0, 0, 'a', 'b', 0, 0, 0, 0}, 2); err != nil || string(got[0]) != "ab" || got[1] == nil {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := plainInts([]byte{0xfe, 0xff, 0xff, 0xff, 1, 0, 0, 0}, 4, 2); err != nil || !slices.Equal(got, []int64{-2, 1}) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestWhyNotParquetGo measures what the comment above maxPage says. Where it fails parquet-go has become careful, and could
// decode pages here.
func TestWhyNotParquetGo(t *testing.T) {
	allocated := func(f func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	run := append(binary.AppendUvarint(nil, 1<<24<<1), 0)
	if n := allocated(func() { _, _ = (&rle.Encoding{BitWidth: 1}).DecodeInt32(nil, run) }); n < 1<<24*4 {
		t.Errorf("parquet-go takes %d bytes for a run of %d bytes", n, len(run))
	}
	if _, err := unpackHybrid(run, 1, 5); err != nil { // of which the page has five values
		t.Error(err)
	}
	head := binary.AppendUvarint([]byte{0x80, 1, 4}, 1<<23) // a block of 128 values in 4 miniblocks
	head = append(head, 0, 0)
	if n := allocated(func() { _, _ = (&delta.BinaryPackedEncoding{}).DecodeInt64(nil, head) }); n < 1<<23*8 {
		t.Errorf("parquet-go takes %d bytes for a head of %d bytes", n, len(head))
	}
	if n := allocated(func() { _, _, _ = deltaInts(head, 5) }); n > 1<<20 {
		t.Errorf("deltaInts takes %d bytes for a head of %d bytes", n, len(head))
	}
}

// TestPacked: numbers of every width.
func TestPacked(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for width := 1; width <= 64; width++ {
		var bits []byte
		numbers := make([]uint64, 8)
		for i := range numbers {
			numbers[i] = r.Uint64() >> (64 - width)
			for k := range width {
				bits = append(bits, byte(numbers[i]>>k&1))
			}
		}
		b := make([]byte, width)
		for i, bit := range bits {
			b[i/8] |= bit << (i % 8)
		}
		for i, want := range numbers {
			if got := packed(b, i*width, width); got != want {
				t.Errorf("%d bits: %#x, want %#x", width, got, want)
			}
		}
	}
}

// TestFooterOfLists: a list that says it has more than the file could hold is refused before it costs memory.
func TestFooterOfLists(t *testing.T) {
	// Field 2, a list of 2^31-1 structs: the schema.
	footer := append([]byte{1<<4 | thriftInt32, 2, 1<<4 | thriftList, 0xf0 | thriftStruct}, binary.AppendUvarint(nil, 1<<31-1)...)
	content := append([]byte("PAR1"), footer...)
	content = binary.LittleEndian.AppendUint32(content, uint32(len(footer)))
	content = append(content, "PAR1"...)
	if _, err := readTable(bytes.NewReader(content), int64(len(content))); err == nil || !strings.Contains(err.Error(), "footer that cannot be read") {
		t.Errorf("error %v", err)
	}
	deep := bytes.Repeat([]byte{1<<4 | thriftStruct}, 100)
	if _, err := thriftLength(deep); err == nil {
		t.Error("a hundred structs in one another: no error")
	}
}

func FuzzThrift(f *testing.F) {
	f.Add([]byte{1<<4 | thriftInt32, 2, 1<<4 | thriftList, 2<<4 | thriftStruct, 0, 0, 1<<4 | thriftBinary, 3, 'a', 'b', 'c', 1<<4 | thriftMap, 1, thriftByte<<4 | thriftDouble, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := thriftLength(b); err == nil && (n < 1 || n > len(b)) {
			t.Errorf("%d of %d bytes", n, len(b))
		}
	})
}

func FuzzEncodings(f *testing.F) {
	f.Add([]byte{1<<1 | 1, 0x88, 0xc6, 0xfa}, 3, 8)
	f.Add([]byte{8, 1, 8, 14, 3, 2, 0xc0, 0x3f}, 1, 8)
	f.Add([]byte{2, 0, 0, 0, 'a', 'b', 0, 0, 0, 0}, 64, 2)
	f.Fuzz(func(t *testing.T, b []byte, width, n int) {
		if n < 0 || n > 1000 {
			return
		}
		if got, err := unpackHybrid(b, width, n); err == nil && len(got) != n {
			t.Errorf("%d numbers, want %d", len(got), n)
		}
		if got, _, err := deltaInts(b, n); err == nil && len(got) != n {
			t.Errorf("%d numbers, want %d", len(got), n)
		}
		for _, read := range []func([]byte, int) ([][]byte, error){plainBytes, deltaBytes, prefixedBytes} {
			if got, err := read(b, n); err == nil && len(got) != n {
				t.Errorf("%d values, want %d", len(got), n)
			}
		}
	})
}

// readAll reads whatever a file has: damage is an error.
func readAll(t *testing.T, content []byte) {
	table, err := readTable(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return
	}
	columns, err := table.columns(choice{})
	if err != nil {
		return
	}
	used := []*parquet.Column{columns.image}
	if columns.label != nil {
		used = append(used, columns.label)
	}
	for _, further := range columns.further {
		used = append(used, further.column)
	}
	for _, column := range used {
		total := int64(0)
		err := table.each(context.Background(), column, func(row int64, v *pageValues) error {
			if row != total {
				t.Errorf("row %d behind row %d", row, total)
			}
			total += int64(v.len())
			return nil
		})
		if err == nil && total != table.NumRows() {
			t.Errorf("%d values in %d rows", total, table.NumRows())
		}
	}
	cache := newPageCache(1 << 20)
	for row := range min(table.NumRows(), 20) {
		if v, at, err := table.value(cache, columns.image, row); err == nil && at >= v.stored() {
			t.Errorf("row %d is at %d of %d values", row, at, v.stored())
		}
	}
}

// TestMutated reads files of which a few bytes were changed.
func TestMutated(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"pyarrow-v1.parquet", "pyarrow-v2.parquet"} {
		content, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for range 2000 {
			mutated := slices.Clone(content)
			for range 1 + r.IntN(3) {
				mutated[r.IntN(len(mutated))] = byte(r.Uint32())
			}
			readAll(t, mutated)
		}
	}
}

func FuzzTable(f *testing.F) {
	for _, name := range []string{"pyarrow-v1.parquet", "pyarrow-v2.parquet"} {
		content, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Add(parquetOf(f, metadata, 2, &parquet.Gzip, rows(f, 1, 3)))
	f.Fuzz(readAll)
}

// Whatever the library datasets wrote of the columns.
func FuzzFeatures(f *testing.F) {
	f.Add(metadata)
	f.Add(`{"info": {"features": {"image": [{"_type": "Image"}], "label": {"_type": "ClassLabel", "names": ["a"]}}}}`)
	f.Add(`{"info": {"features": {"label": {"_type": "Image"}, "season": {"_type": "ClassLabel", "names": []}}}}`)
	two := rows(f, 1, 2)
	f.Fuzz(func(t *testing.T, text string) {
		readAll(t, parquetOf(t, text, 4, &parquet.Uncompressed, two))
	})
}
