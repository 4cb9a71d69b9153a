package plots

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"html"
	"io"
	"maps"
	"math/bits"
	"regexp"
	"slices"

	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"golang.org/x/image/font/sfnt"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

func renderSVG(d Drawer, w, h vg.Length, out io.Writer) error {
	canvas := vgsvg.New(w, h)
	d.Draw(draw.New(lettered{canvas}))
	var drawn bytes.Buffer
	if _, err := canvas.WriteTo(&drawn); err != nil {
		return err
	}
	// The stand-ins are for programs that do not read embedded fonts. They have the same widths.
	svg := bytes.ReplaceAll(drawn.Bytes(),
		[]byte("font-family:Liberation Sans;"),
		[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
	// vgsvg embeds pictures as PNG, and says that they are JPEG.
	svg = bytes.ReplaceAll(svg, []byte("data:image/jpg;base64,"), []byte("data:image/png;base64,"))
	svg, err := embedFont(svg)
	if err != nil {
		return err
	}
	_, err = out.Write(svg)
	return err
}

var (
	svgText  = regexp.MustCompile(`(?s)<text[^>]*>(.*?)</text>`)
	svgStart = regexp.MustCompile(`(?s)<svg[^>]*>\n?`)
)

// embedFont puts what the texts of a drawing need of the typeface into it, some ten kilobytes.
func embedFont(svg []byte) ([]byte, error) {
	letters := make(map[rune]bool)
	for _, text := range svgText.FindAllSubmatch(svg, -1) {
		for _, letter := range html.UnescapeString(string(text[1])) {
			letters[letter] = true
		}
	}
	start := svgStart.FindIndex(svg)
	if len(letters) == 0 || start == nil {
		return svg, nil
	}
	face, err := FontFace(slices.Collect(maps.Keys(letters)))
	if err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(slices.Clone(svg[:start[1]]))
	fmt.Fprintf(out, "<style>%s</style>\n", face)
	out.Write(svg[start[1]:])
	return out.Bytes(), nil
}

// FontFace is the rule of CSS that brings what some letters need of the typeface of figures, so that drawings made elsewhere
// look the same and need no font installed.
func FontFace(letters []rune) (string, error) {
	letters = slices.Clone(letters)
	slices.Sort(letters)
	font, err := subsetFont(liberationsansregular.TTF, slices.Compact(letters))
	if err != nil {
		return "", err
	}
	return "@font-face{font-family:Liberation Sans;src:url(data:font/ttf;base64," + base64.StdEncoding.EncodeToString(font) + ")}", nil
}

// fontTables are those of a TrueType font file by their names.
type fontTables map[string][]byte

// readTables reads the directory of a font file (OpenType 1.9, chapter "OpenType font file").
func readTables(ttf []byte) (fontTables, error) {
	if len(ttf) < 12 {
		return nil, errors.New("font: too short")
	}
	count := int(binary.BigEndian.Uint16(ttf[4:]))
	if len(ttf) < 12+16*count {
		return nil, errors.New("font: too short for its tables")
	}
	tables := make(fontTables)
	for i := range count {
		record := ttf[12+16*i:]
		offset, length := int64(binary.BigEndian.Uint32(record[8:])), int64(binary.BigEndian.Uint32(record[12:]))
		if offset+length > int64(len(ttf)) {
			return nil, fmt.Errorf("font: table %q ends after the end of the file", record[:4])
		}
		tables[string(record[:4])] = ttf[offset : offset+length]
	}
	for name, least := range map[string]int{"head": 54, "hhea": 36, "maxp": 32, "hmtx": 4, "loca": 4, "glyf": 0, "OS/2": 78, "post": 32} {
		if table, ok := tables[name]; !ok || len(table) < least {
			return nil, fmt.Errorf("font: table %s is missing or too short", name)
		}
	}
	return tables, nil
}

// glyph returns the outline of a glyph, without the instructions that fit it to a grid of pixels; empty for a space.
func (t fontTables) glyph(index int) ([]byte, error) {
	at := func(i int) int64 {
		if binary.BigEndian.Uint16(t["head"][50:]) == 0 {
			if 2*i+2 > len(t["loca"]) {
				return -1
			}
			return 2 * int64(binary.BigEndian.Uint16(t["loca"][2*i:]))
		}
		if 4*i+4 > len(t["loca"]) {
			return -1
		}
		return int64(binary.BigEndian.Uint32(t["loca"][4*i:]))
	}
	from, to := at(index), at(index+1)
	if from < 0 || to < from || to > int64(len(t["glyf"])) {
		return nil, fmt.Errorf("font: no glyph %d", index)
	}
	outline := slices.Clone(t["glyf"][from:to])
	if len(outline) == 0 {
		return outline, nil
	}
	if len(outline) < 10 {
		return nil, fmt.Errorf("font: glyph %d is too short", index)
	}
	if contours := int(int16(binary.BigEndian.Uint16(outline))); contours >= 0 {
		length := 10 + 2*contours // where the number of instructions stands
		if len(outline) < length+2 {
			return nil, fmt.Errorf("font: glyph %d is too short", index)
		}
		rest := length + 2 + int(binary.BigEndian.Uint16(outline[length:]))
		if len(outline) < rest {
			return nil, fmt.Errorf("font: glyph %d is too short", index)
		}
		return append(append(outline[:length:length], 0, 0), outline[rest:]...), nil
	}
	end := 0
	for part := range compositeParts(outline) {
		binary.BigEndian.PutUint16(outline[part:], binary.BigEndian.Uint16(outline[part:])&^glyphInstructions)
		end = part + partLength(outline[part:])
	}
	if end == 0 || end > len(outline) {
		return nil, fmt.Errorf("font: glyph %d is too short", index)
	}
	return outline[:end], nil
}

// Flags of the parts of a composite glyph.
const (
	glyphWords        = 0x0001
	glyphScale        = 0x0008
	glyphMore         = 0x0020
	glyphScales       = 0x0040
	glyphMatrix       = 0x0080
	glyphInstructions = 0x0100
)

// partLength is the length of a part of a composite glyph, which begins with its flags.
func partLength(part []byte) int {
	flags, length := binary.BigEndian.Uint16(part), 6
	if flags&glyphWords != 0 {
		length += 2
	}
	switch {
	case flags&glyphScale != 0:
		length += 2
	case flags&glyphScales != 0:
		length += 4
	case flags&glyphMatrix != 0:
		length += 8
	}
	return length
}

// compositeParts are the places of the parts in the outline of a composite glyph; of others there are none.
func compositeParts(outline []byte) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		if len(outline) < 10 || int16(binary.BigEndian.Uint16(outline)) >= 0 {
			return
		}
		for at := 10; at+4 <= len(outline); {
			more := binary.BigEndian.Uint16(outline[at:])&glyphMore != 0
			length := partLength(outline[at:])
			if !yield(at) || !more {
				return
			}
			at += length
		}
	}
}

// subsetFont is a TrueType font with the glyphs of some letters alone, in ascending order; those that the font does not have
// are left out. It has no instructions for grids of pixels and no kerning, which vgsvg does not use.
func subsetFont(ttf []byte, letters []rune) ([]byte, error) {
	tables, err := readTables(ttf)
	if err != nil {
		return nil, err
	}
	parsed, err := sfnt.Parse(ttf)
	if err != nil {
		return nil, err
	}
	glyphs := []int{0} // by their new index: the sign for missing letters, letters, and parts of composite ones
	var known []rune
	for _, letter := range letters {
		index, err := parsed.GlyphIndex(nil, letter)
		if err != nil {
			return nil, err
		}
		if index != 0 && letter <= 0xffff {
			known, glyphs = append(known, letter), append(glyphs, int(index))
		}
	}

	var outlines, places, metrics []byte
	longMetrics := int(binary.BigEndian.Uint16(tables["hhea"][34:]))
	for i := 0; i < len(glyphs); i++ {
		outline, err := tables.glyph(glyphs[i])
		if err != nil {
			return nil, err
		}
		for part := range compositeParts(outline) {
			old := int(binary.BigEndian.Uint16(outline[part+2:]))
			at := slices.Index(glyphs, old)
			if at < 0 {
				at, glyphs = len(glyphs), append(glyphs, old)
			}
			binary.BigEndian.PutUint16(outline[part+2:], uint16(at))
		}
		places = binary.BigEndian.AppendUint32(places, uint32(len(outlines)))
		outlines = padded(append(outlines, outline...))

		// Glyphs after the long metrics have the width of the last of them, and their left bearing alone.
		hmtx, last := tables["hmtx"], min(glyphs[i], longMetrics-1)
		bearing := 4*last + 2
		if glyphs[i] > last {
			bearing = 4*longMetrics + 2*(glyphs[i]-longMetrics)
		}
		if last < 0 || max(4*last+4, bearing+2) > len(hmtx) {
			return nil, fmt.Errorf("font: glyph %d has no width", glyphs[i])
		}
		metrics = append(append(metrics, hmtx[4*last:][:2]...), hmtx[bearing:][:2]...)
	}
	places = binary.BigEndian.AppendUint32(places, uint32(len(outlines)))

	head, hhea, maxp, post := slices.Clone(tables["head"]), slices.Clone(tables["hhea"]), slices.Clone(tables["maxp"]), slices.Clone(tables["post"][:32])
	binary.BigEndian.PutUint16(head[50:], 1) // places are of four bytes
	binary.BigEndian.PutUint16(hhea[34:], uint16(len(glyphs)))
	binary.BigEndian.PutUint16(maxp[4:], uint16(len(glyphs)))
	clear(maxp[16:28])                        // what instructions need
	binary.BigEndian.PutUint32(post, 0x30000) // glyphs have no names
	binary.BigEndian.PutUint32(head[8:], 0)   // counts as 0 in the sum
	names := []byte{0, 0, 0, 0, 0, 6}         // none: the drawing names the font
	subset := fontTables{
		"OS/2": tables["OS/2"], "cmap": characterMap(known), "glyf": outlines, "head": head, "hhea": hhea, "hmtx": metrics,
		"loca": places, "maxp": maxp, "name": names, "post": post,
	}
	return subset.file(), nil
}

// characterMap maps letters, ascending, to the glyphs 1, 2, ... in segments of letters without a gap (format 4).
func characterMap(letters []rune) []byte {
	type segment struct{ first, last, delta uint16 }
	var segments []segment
	for i, letter := range letters {
		if n := len(segments); n > 0 && segments[n-1].last+1 == uint16(letter) {
			segments[n-1].last++
		} else {
			segments = append(segments, segment{uint16(letter), uint16(letter), uint16(i + 1 - int(letter))})
		}
	}
	segments = append(segments, segment{0xffff, 0xffff, 1})
	n := uint16(len(segments))
	power := uint16(bits.Len16(n) - 1)
	sub := []uint16{4, 16 + 8*n, 0, 2 * n, 2 << power, power, 2*n - 2<<power}
	for _, s := range segments {
		sub = append(sub, s.last)
	}
	sub = append(sub, 0)
	for _, s := range segments {
		sub = append(sub, s.first)
	}
	for _, s := range segments {
		sub = append(sub, s.delta)
	}
	sub = append(sub, make([]uint16, n)...) // no lists of glyphs
	var out []byte
	for _, v := range append([]uint16{0, 1, 3, 1, 0, 12}, sub...) { // one map, Unicode as Windows has it, 12 bytes from here
		out = binary.BigEndian.AppendUint16(out, v)
	}
	return out
}

// file writes the tables as a font file.
func (t fontTables) file() []byte {
	var names []string
	for name := range t {
		names = append(names, name)
	}
	slices.Sort(names)
	n := uint16(len(names))
	power := uint16(bits.Len16(n) - 1)
	out := []byte{0, 1, 0, 0}
	for _, v := range []uint16{n, 16 << power, power, 16*n - 16<<power} {
		out = binary.BigEndian.AppendUint16(out, v)
	}
	offset, head := len(out)+16*len(names), 0
	var body []byte
	for _, name := range names {
		if name == "head" {
			head = offset
		}
		out = append(out, name...)
		for _, v := range []uint32{checksum(t[name]), uint32(offset), uint32(len(t[name]))} {
			out = binary.BigEndian.AppendUint32(out, v)
		}
		table := padded(slices.Clone(t[name]))
		body, offset = append(body, table...), offset+len(table)
	}
	out = append(out, body...)
	binary.BigEndian.PutUint32(out[head+8:], 0xb1b0afba-checksum(out))
	return out
}

// checksum is the sum of big-endian words, with zeros after the end.
func checksum(b []byte) (sum uint32) {
	for word := range slices.Chunk(padded(slices.Clone(b)), 4) {
		sum += binary.BigEndian.Uint32(word)
	}
	return sum
}

// padded fills up to whole words with zeros.
func padded(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }
