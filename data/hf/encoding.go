package hf

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

// What the values of a page are encoded and compressed with: "Parquet encoding definitions" and "Parquet compression
// definitions" of Apache Parquet's format.
//
// parquet-go decodes pages too, but trusts the numbers inside them. No guard before it could look at these without decoding
// the page itself, inside the compression. Measured with its version 0.32 (TestWhyNotParquetGo): six bytes of a
// run of 2^24 equal positions make it take 64 MB, and it accepts runs of 2^31, which are 8 GB; the 8 bytes at the head of
// DELTA_BINARY_PACKED make it take 8 bytes for each value that they claim; a page of snappy or zstd is unpacked to what its
// own head says, up to 4 GB, whatever the header of the page says. Here a page takes at most maxPage bytes and memory for
// maxValues values, and runs end where the page's values do.

const (
	maxPage   = 256 << 20 // bytes of a page
	maxValues = 1 << 23   // of a page
)

var errPage = errors.New("the page is damaged")

var unzstd = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxPage))
})

// decompress unpacks what must have size bytes, at most maxPage.
func decompress(codec format.CompressionCodec, packed []byte, size int) (content []byte, err error) {
	switch codec {
	case format.Uncompressed:
		content = packed
	case format.Snappy:
		if n, err := snappy.DecodedLen(packed); err != nil || n != size {
			return nil, errPage
		}
		content, err = snappy.Decode(nil, packed)
	case format.Gzip:
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(packed)); err == nil {
			content, err = io.ReadAll(io.LimitReader(r, int64(size)+1))
		}
	case format.Zstd:
		var d *zstd.Decoder
		if d, err = unzstd(); err == nil {
			content, err = d.DecodeAll(packed, nil)
		}
	default:
		return nil, fmt.Errorf("its columns are compressed with %s, which is not supported: write it with snappy, gzip or zstd", codec)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPage, err)
	}
	if len(content) != size {
		return nil, errPage
	}
	return content, nil
}

// unpackHybrid reads n numbers of a width in bits: runs of one number, and groups of eight that are packed.
func unpackHybrid(b []byte, width, n int) ([]uint32, error) {
	if width < 0 || width > 32 {
		return nil, errPage
	}
	numbers := make([]uint32, 0, n)
	for len(numbers) < n {
		head, size := binary.Uvarint(b)
		if size <= 0 {
			return nil, errPage
		}
		b = b[size:]
		if head&1 == 0 { // a run
			size := (width + 7) / 8
			if size > len(b) || head < 2 {
				return nil, errPage
			}
			var v uint32
			for i := range size {
				v |= uint32(b[i]) << (8 * i)
			}
			b = b[size:]
			for range min(head>>1, uint64(n-len(numbers))) {
				numbers = append(numbers, v)
			}
			continue
		}
		groups := head >> 1
		if groups == 0 || groups > uint64(len(b)) && width > 0 || groups*uint64(width) > uint64(len(b)) {
			return nil, errPage
		}
		count := n - len(numbers)
		if groups < uint64(count)/8+1 {
			count = min(count, int(groups)*8)
		}
		for i := range count {
			numbers = append(numbers, uint32(packed(b, i*width, width)))
		}
		b = b[int(groups)*width:]
	}
	return numbers, nil
}

// packed is the number of width bits at a bit of b, the lowest first.
func packed(b []byte, bit, width int) (v uint64) {
	for got := 0; got < width; {
		have := min(8-bit%8, width-got)
		v |= (uint64(b[bit/8]) >> (bit % 8) & (1<<have - 1)) << got
		got, bit = got+have, bit+have
	}
	return v
}

// plainInts reads n integers of a size in bytes, 4 or 8.
func plainInts(b []byte, size, n int) ([]int64, error) {
	if n > len(b)/size {
		return nil, errPage
	}
	numbers := make([]int64, n)
	for i := range numbers {
		if size == 4 {
			numbers[i] = int64(int32(binary.LittleEndian.Uint32(b[4*i:])))
		} else {
			numbers[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
		}
	}
	return numbers, nil
}

// plainBytes reads n values, each preceded by its length. They are parts of b.
func plainBytes(b []byte, n int) ([][]byte, error) {
	if n > len(b)/4 {
		return nil, errPage
	}
	values := make([][]byte, n)
	for i := range values {
		if len(b) < 4 {
			return nil, errPage
		}
		size := uint64(binary.LittleEndian.Uint32(b))
		if b = b[4:]; size > uint64(len(b)) {
			return nil, errPage
		}
		values[i], b = b[:size:size], b[size:]
	}
	return values, nil
}

// deltaInts reads n integers of DELTA_BINARY_PACKED, and gives what follows them.
func deltaInts(b []byte, n int) (numbers []int64, rest []byte, err error) {
	next := func() uint64 {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			err = errPage
			return 0
		}
		b = b[size:]
		return v
	}
	zigzag := func() int64 {
		v := next()
		return int64(v>>1) ^ -int64(v&1)
	}
	block, minis, total, value := next(), next(), next(), zigzag()
	if err != nil || minis == 0 || block == 0 || block > 1<<20 || block%minis != 0 || block/minis%8 != 0 ||
		total < uint64(n) || total > maxValues {
		return nil, nil, errPage
	}
	per := int(block / minis)
	count := int(total)
	numbers = make([]int64, 0, min(count, 8*len(b)+1))
	if count > 0 {
		numbers = append(numbers, value)
	}
	for len(numbers) < count {
		least := zigzag()
		if err != nil || minis > uint64(len(b)) {
			return nil, nil, errPage
		}
		widths := b[:minis]
		b = b[minis:]
		for _, width := range widths {
			if len(numbers) == count {
				break // the last block lacks what it does not need
			}
			size := per / 8 * int(width)
			if width > 64 || size > len(b) {
				return nil, nil, errPage
			}
			for i := range min(per, count-len(numbers)) {
				value += least + int64(packed(b, i*int(width), int(width)))
				numbers = append(numbers, value)
			}
			b = b[size:]
		}
	}
	return numbers[:n], b, nil
}

// deltaBytes reads n values of DELTA_LENGTH_BYTE_ARRAY: all lengths, then all values.
func deltaBytes(b []byte, n int) ([][]byte, error) {
	lengths, b, err := deltaInts(b, n)
	if err != nil {
		return nil, err
	}
	values := make([][]byte, n)
	for i, size := range lengths {
		if size < 0 || size > int64(len(b)) {
			return nil, errPage
		}
		values[i], b = b[:size:size], b[size:]
	}
	return values, nil
}

// prefixedBytes reads n values of DELTA_BYTE_ARRAY: how much of the one before each begins with, and what follows.
func prefixedBytes(b []byte, n int) ([][]byte, error) {
	prefixes, b, err := deltaInts(b, n)
	if err != nil {
		return nil, err
	}
	values, err := deltaBytes(b, n)
	if err != nil {
		return nil, err
	}
	total := int64(0)
	for i, size := range prefixes {
		if size == 0 {
			continue
		}
		if total += size; i == 0 || size < 0 || size > int64(len(values[i-1])) || total > maxPage {
			return nil, errPage
		}
		values[i] = append(values[i-1][:size:size], values[i]...)
	}
	return values, nil
}
