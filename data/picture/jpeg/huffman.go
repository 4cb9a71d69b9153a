package jpeg

import "encoding/binary"

// lookBits is how many bits of the stream the fast tables look at. With ten, most codes of AC coefficients come with their
// magnitude in one step.
const lookBits = 10

// huffman is a table as the file defines it and, once a scan needs it, prepared for decoding.
type huffman struct {
	counts [17]byte
	vals   [256]byte

	prepared bool
	// codes gives for the next lookBits bits symbol<<8 | length of the code; 0 if it is longer.
	codes [1 << lookBits]uint16
	// values gives for codes of AC coefficients value<<16 | run<<8 | length of code and magnitude, if both fit; otherwise
	// what codes has.
	values [1 << lookBits]uint32
	// limit[n] is one more than the largest code of n bits, shifted left to 16 bits; offset turns a code into an index of
	// vals.
	limit  [17]uint32
	offset [17]int32
}

func (d *Decoder) readHuffman(body []byte) error {
	for len(body) > 0 {
		if len(body) < 17 {
			return FormatError("its Huffman table is damaged")
		}
		class, id := body[0]>>4, body[0]&15
		h := new(huffman)
		n := 0
		for i := 1; i <= 16; i++ {
			h.counts[i] = body[i]
			n += int(body[i])
		}
		if class > 1 || id > 3 || n > 256 || len(body) < 17+n {
			return FormatError("its Huffman table is damaged")
		}
		copy(h.vals[:], body[17:17+n])
		if class == 0 {
			d.dc[id] = h
		} else {
			d.ac[id] = h
		}
		body = body[17+n:]
	}
	return nil
}

// prepare fills the tables for decoding.
func (h *huffman) prepare(dc bool) error {
	if h.prepared {
		return nil
	}
	code, k := uint32(0), 0
	for n := 1; n <= 16; n++ {
		h.offset[n] = int32(k) - int32(code)
		for range h.counts[n] {
			if code >= 1<<n {
				return FormatError("its Huffman table is damaged")
			}
			sym := h.vals[k]
			if dc && sym > 15 {
				return FormatError("its Huffman table is damaged")
			}
			if n <= lookBits {
				for low := range uint32(1) << (lookBits - n) {
					h.fill(code<<(lookBits-n)|low, n, sym)
				}
			}
			code, k = code+1, k+1
		}
		h.limit[n] = code << (16 - n)
		code <<= 1
	}
	h.prepared = true
	return nil
}

// fill enters the code of n bits for sym that the lookBits bits at index begin with.
func (h *huffman) fill(index uint32, n int, sym byte) {
	h.codes[index] = uint16(sym)<<8 | uint16(n)
	h.values[index] = uint32(h.codes[index])
	if size := int(sym & 15); size > 0 && n+size <= lookBits {
		v := int32(index>>(lookBits-n-size)) & (1<<size - 1)
		h.values[index] = uint32(uint16(extend(v, size)))<<16 | uint32(sym>>4)<<8 | uint32(n+size)
	}
}

// extend gives the signed value of a magnitude of size bits: those with a leading 0 are negative.
func extend(v int32, size int) int32 {
	if v < 1<<(size-1) {
		return v - 1<<size + 1
	}
	return v
}

// bits reads one interval between restart markers bit by bit. Past its end there are zeros, as in libjpeg; overrun says so.
type bits struct {
	data []byte // without the zero bytes that follow every 0xff
	at   int    // of the next byte; may go beyond the end
	acc  uint64 // the next n bits, from the top; zeros below
	n    uint
	bad  bool // a code that the table lacks was met
}

func (b *bits) overrun() bool { return 8*b.at-int(b.n) > 8*len(b.data) }

// fill makes at least 32 bits available.
func (b *bits) fill() {
	if b.n < 32 {
		b.acc |= next32(b.data, b.at) << ((32 - b.n) & 63)
		b.at, b.n = b.at+4, b.n+32
	}
}

// next32 returns the four bytes at i, zeros beyond the end.
func next32(data []byte, i int) (v uint64) {
	if i+4 <= len(data) {
		return uint64(binary.BigEndian.Uint32(data[i:]))
	}
	for k := range 4 {
		v <<= 8
		if i+k < len(data) {
			v |= uint64(data[i+k])
		}
	}
	return v
}

// skip drops n of the bits that are there.
func (b *bits) skip(n uint) {
	b.acc <<= n & 63
	b.n -= n
}

// take returns the next n bits, 1 to 16.
func (b *bits) take(n uint) int32 {
	b.fill()
	v := int32(b.acc >> ((64 - n) & 63))
	b.skip(n)
	return v
}

// one returns the next bit.
func (b *bits) one() bool {
	b.fill()
	v := int64(b.acc) < 0
	b.skip(1)
	return v
}

// symbol returns the symbol of the next code.
func (b *bits) symbol(h *huffman) byte {
	b.fill()
	e := uint(h.codes[b.acc>>(64-lookBits)])
	if e == 0 {
		if e = h.long(b.acc); e == 0 {
			b.bad, e = true, 17 // as many as libjpeg looks at before it takes the symbol for 0
		}
	}
	b.skip(e & 0xff)
	return byte(e >> 8)
}

// long finds a code of more than lookBits bits at the top of acc and returns it as codes has them, 0 for one that the table
// lacks.
func (h *huffman) long(acc uint64) uint {
	v := uint32(acc >> 48)
	for n := lookBits + 1; n <= 16; n++ {
		if v < h.limit[n] {
			return uint(h.vals[byte(int32(v>>(16-n))+h.offset[n])])<<8 | uint(n)
		}
	}
	return 0
}

// block reads a whole block of a baseline picture into b, which is zeros, dequantised, in a block's own order. It returns
// the index, in the file's order, of the last coefficient.
func (s *bits) block(b *[64]int16, c *component) (last int) {
	h, quant := c.dc, c.quant
	e := uint(0)
	s.fill()
	if e = uint(h.codes[s.acc>>(64-lookBits)]); e == 0 {
		if e = h.long(s.acc); e == 0 {
			s.bad = true
			return 0
		}
	}
	s.skip(e & 0xff)
	if size := e >> 8 & 15; size > 0 {
		c.pred += int(extend(int32(s.acc>>((64-size)&63)), int(size)))
		s.skip(size)
	}
	b[0] = int16(int32(int16(c.pred)) * quant[0])

	h = c.ac
	data, at, acc, n := s.data, s.at, s.acc, s.n
	for k := 1; k < 64; k++ {
		if n < 32 {
			if at+4 <= len(data) {
				acc |= uint64(binary.BigEndian.Uint32(data[at:])) << ((32 - n) & 63)
			} else {
				acc |= next32(data, at) << ((32 - n) & 63)
			}
			at, n = at+4, n+32
		}
		e := h.values[acc>>(64-lookBits)]
		v := int32(e) >> 16
		if v != 0 {
			k += int(e >> 8 & 15)
			acc <<= e & 63
			n -= uint(e & 63)
		} else {
			e := uint(e)
			if e == 0 {
				if e = h.long(acc); e == 0 {
					s.bad = true
					break
				}
			}
			acc <<= e & 63
			n -= e & 63
			run, size := int(e>>12), e>>8&15
			if size == 0 {
				if run != 15 {
					break
				}
				k += 15
				continue
			}
			k += run
			v = int32(acc >> ((64 - size) & 63))
			if v < 1<<(size-1) {
				v += 1 - 1<<size
			}
			acc <<= size & 63
			n -= size
		}
		z := unzig[k] & 63
		b[z] = int16(v * quant[z])
		last = k
	}
	s.at, s.acc, s.n = at, acc, n
	return last
}
