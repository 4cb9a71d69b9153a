package picture

import (
	"bytes"
	"compress/lzw"
	"encoding/binary"
	"fmt"
	"io"
)

// gifFrame is the first picture of a GIF file, as its headers describe it.
type gifFrame struct {
	width, height int // of the screen
	x, y, w, h    int // of the picture on it
	palette       []byte
	interlaced    bool
	transparent   int // the index of the transparent colour, -1 without one
	codeBits      int
	data          []byte // from the first block of codes on
}

// readGIF reads up to the first picture. Go's image/gif is not used: it forgets the colour that a file calls transparent,
// which is the one that Pillow shows.
func readGIF(data []byte) (f gifFrame, err error) {
	rest := data[6:]
	cut := func(n int) (b []byte) {
		if n > len(rest) {
			err, rest = truncated("GIF"), nil
			return make([]byte, n)
		}
		b, rest = rest[:n], rest[n:]
		return b
	}
	colours := func(flags byte) []byte {
		if flags&0x80 == 0 {
			return nil
		}
		return cut(3 << (flags&7 + 1))
	}
	screen := cut(7)
	f.width, f.height = int(binary.LittleEndian.Uint16(screen)), int(binary.LittleEndian.Uint16(screen[2:]))
	f.palette, f.transparent = colours(screen[4]), -1
	for err == nil {
		const (
			extension, descriptor, end = '!', ',', ';'
			control                    = 0xf9
		)
		switch kind := cut(1)[0]; {
		case err != nil:
		case kind == extension:
			label := cut(1)[0]
			for n := 0; err == nil; n++ {
				block := cut(int(cut(1)[0]))
				if len(block) == 0 {
					break
				}
				if n == 0 && label == control && len(block) >= 4 && block[0]&1 != 0 {
					f.transparent = int(block[3])
				}
			}
		case kind == descriptor:
			d := cut(9)
			f.x, f.y = int(binary.LittleEndian.Uint16(d)), int(binary.LittleEndian.Uint16(d[2:]))
			f.w, f.h = int(binary.LittleEndian.Uint16(d[4:])), int(binary.LittleEndian.Uint16(d[6:]))
			f.interlaced = d[8]&0x40 != 0
			if local := colours(d[8]); local != nil {
				f.palette = local
			}
			f.codeBits = int(cut(1)[0])
			f.data = rest
			// The picture may be larger than the screen, which then grows.
			f.width, f.height = max(f.width, f.x+f.w), max(f.height, f.y+f.h)
			if err == nil && (f.w == 0 || f.h == 0 || f.codeBits < 2 || f.codeBits > 8) {
				err = &FormatError{"GIF", fmt.Sprintf("its first picture is %dx%d with codes of %d bits", f.w, f.h, f.codeBits)}
			}
			return f, err
		case kind == end:
			err = &FormatError{"GIF", "it ends without a picture"}
			// Anything else is skipped, as Pillow skips it.
		}
	}
	return f, err
}

// decodeGIF decodes the first picture of a GIF file.
func decodeGIF(data []byte, l Limits) (*Picture, error) {
	f, err := readGIF(data)
	if err != nil {
		return nil, err
	}
	mode := Palette
	if isGreyRamp(f.palette) { // also without a palette
		mode = Grey
	}
	leave, err := l.admit("GIF", data, f.width, f.height, mode, int64(f.width)*int64(f.height))
	if err != nil {
		return nil, err
	}
	defer leave()
	// A code stands for at most 4096 pixels: a large picture in a small file is no picture.
	if int64(f.w)*int64(f.h) > 4096*8*int64(len(f.data)) {
		return nil, truncated("GIF")
	}
	p := New(mode, f.width, f.height)
	if mode == Palette {
		p.Palette = f.palette
	}
	if f.transparent > 0 && (f.w < f.width || f.h < f.height) {
		for i := range p.Pix {
			p.Pix[i] = byte(f.transparent)
		}
	}
	codes := lzw.NewReader(&gifBlocks{rest: f.data}, lzw.LSB, f.codeBits)
	defer codes.Close()
	row := func(y int) error {
		_, err := io.ReadFull(codes, p.Pix[(f.y+y)*f.width+f.x:][:f.w])
		return err
	}
	passes := [][2]int{{0, 1}}
	if f.interlaced {
		passes = [][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}}
	}
	for _, pass := range passes {
		for y := pass[0]; y < f.h; y += pass[1] {
			if err := row(y); err != nil {
				return nil, cause("GIF", err, false)
			}
		}
	}
	return p, nil
}

// isGreyRamp says whether every colour of the palette is the grey of its index.
func isGreyRamp(palette []byte) bool {
	for i := range len(palette) / 3 {
		if g := byte(i); !bytes.Equal(palette[3*i:3*i+3], []byte{g, g, g}) {
			return false
		}
	}
	return true
}

// gifBlocks reads the codes from the blocks that they are cut into.
type gifBlocks struct {
	block, rest []byte
}

func (b *gifBlocks) next() error {
	for len(b.block) == 0 {
		if len(b.rest) == 0 || b.rest[0] == 0 || int(b.rest[0]) >= len(b.rest) {
			return io.ErrUnexpectedEOF
		}
		n := 1 + int(b.rest[0])
		b.block, b.rest = b.rest[1:n], b.rest[n:]
	}
	return nil
}

// ReadByte makes lzw read no more than it needs.
func (b *gifBlocks) ReadByte() (byte, error) {
	if err := b.next(); err != nil {
		return 0, err
	}
	v := b.block[0]
	b.block = b.block[1:]
	return v, nil
}

func (b *gifBlocks) Read(p []byte) (int, error) {
	if err := b.next(); err != nil {
		return 0, err
	}
	n := copy(p, b.block)
	b.block = b.block[n:]
	return n, nil
}
