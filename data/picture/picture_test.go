package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// reference is what Pillow 13.0.0 says of the files in testdata, see testdata/make.py.
type reference struct {
	name, mode                 string
	width, height, orientation int
}

func references(t testing.TB) (refs []reference) {
	t.Helper()
	text, err := os.ReadFile("testdata/pillow.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var r reference
		if _, err := fmt.Sscan(line, &r.name, &r.mode, &r.width, &r.height, &r.orientation); err != nil {
			t.Fatalf("pillow.txt: %q: %v", line, err)
		}
		refs = append(refs, r)
	}
	if len(refs) == 0 {
		t.Fatal("pillow.txt is empty")
	}
	return refs
}

func TestPillow(t *testing.T) {
	for _, want := range references(t) {
		t.Run(want.name, func(t *testing.T) {
			path := filepath.Join("testdata", want.name)
			p, err := DecodeFile(path, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			got := reference{want.name, p.Mode.String(), p.Width, p.Height, p.Orientation}
			if got != want {
				t.Fatalf("got %v, Pillow says %v", got, want)
			}
			if p.Name != path {
				t.Errorf("Name is %q", p.Name)
			}
			if err := p.Check(); err != nil {
				t.Error(err)
			}
			reference, err := DecodeFile(path+".png", Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if worst := difference(p.RGB().Pix, reference.Pix); worst > 0 {
				t.Errorf("pixels differ from Pillow's by up to %d", worst)
			}
		})
	}
}

// difference returns the largest difference of two slices, 256 for slices of different lengths.
func difference(a, b []byte) (worst int) {
	if len(a) != len(b) {
		return 256
	}
	for i := range a {
		d := int(a[i]) - int(b[i])
		worst = max(worst, d, -d)
	}
	return worst
}

func TestRGB(t *testing.T) {
	for _, c := range []struct {
		mode      Mode
		pix, want []byte
	}{
		{Bilevel, []byte{0, 255}, []byte{0, 0, 0, 255, 255, 255}},
		{Grey, []byte{7}, []byte{7, 7, 7}},
		{Grey16, []byte{200, 0, 3, 1}, []byte{200, 200, 200, 255, 255, 255}},
		{GreyAlpha, []byte{9, 0}, []byte{9, 9, 9}},
		{Palette, []byte{1, 9}, []byte{4, 5, 6, 0, 0, 0}},
		{RGB, []byte{1, 2, 3}, []byte{1, 2, 3}},
		{RGBA, []byte{1, 2, 3, 0}, []byte{1, 2, 3}},
		{CMYK, []byte{0, 255, 128, 0, 0, 0, 0, 255, 100, 0, 0, 55}, []byte{255, 0, 127, 0, 0, 0, 122, 200, 200}},
	} {
		n := len(c.want) / 3
		p := &Picture{Mode: c.mode, Width: n, Height: 1, Pix: c.pix, Palette: []byte{1, 2, 3, 4, 5, 6}, Orientation: 3, Name: "x"}
		q := p.RGB()
		if !bytes.Equal(q.Pix, c.want) || q.Mode != RGB || q.Orientation != 3 || q.Name != "x" {
			t.Errorf("%s %v: got %+v, want %v", c.mode, c.pix, q, c.want)
		}
	}
}

func TestOrient(t *testing.T) {
	// As EXIF shows its eight orientations: what the stored rows look like for an upright picture
	//	1 2
	//	3 4
	//	5 6
	stored := map[int][]string{
		1: {"12", "34", "56"}, 2: {"21", "43", "65"}, 3: {"65", "43", "21"}, 4: {"56", "34", "12"},
		5: {"135", "246"}, 6: {"246", "135"}, 7: {"642", "531"}, 8: {"531", "642"},
	}
	for orientation, rows := range stored {
		p := &Picture{Mode: Grey, Width: len(rows[0]), Height: len(rows), Pix: []byte(strings.Join(rows, "")), Orientation: orientation}
		q := p.Orient()
		if string(q.Pix) != "123456" || q.Width != 2 || q.Height != 3 || q.Orientation != 1 {
			t.Errorf("orientation %d: got %dx%d %s", orientation, q.Width, q.Height, q.Pix)
		}
	}
	p := New(RGB, 2, 1)
	copy(p.Pix, "abcdef")
	p.Orientation = 2
	if got := string(p.Orient().Pix); got != "defabc" {
		t.Errorf("pixels of three bytes are torn apart: %s", got)
	}
}

func TestAlpha(t *testing.T) {
	p := &Picture{Mode: RGBA, Width: 3, Height: 1, Pix: []byte{200, 100, 50, 128, 1, 2, 3, 255, 9, 9, 9, 0}}
	Premultiply(p)
	if want := []byte{100, 50, 25, 128, 1, 2, 3, 255, 0, 0, 0, 0}; !bytes.Equal(p.Pix, want) {
		t.Errorf("premultiplied: %v, want %v", p.Pix, want)
	}
	Unpremultiply(p)
	if want := []byte{199, 99, 49, 128, 1, 2, 3, 255, 0, 0, 0, 0}; !bytes.Equal(p.Pix, want) {
		t.Errorf("and back: %v, want %v", p.Pix, want)
	}
}

func TestFromImage(t *testing.T) {
	r := image.Rect(-1, 2, 1, 3)
	nrgba, grey, rgba := image.NewNRGBA(r), image.NewGray(r), image.NewRGBA(r)
	nrgba.SetNRGBA(0, 2, color.NRGBA{1, 2, 3, 4})
	grey.SetGray(0, 2, color.Gray{5})
	rgba.SetRGBA(0, 2, color.RGBA{6, 7, 8, 255})
	for _, c := range []struct {
		m    image.Image
		want []byte
	}{
		{nrgba, []byte{0, 0, 0, 1, 2, 3}}, {grey, []byte{0, 0, 0, 5, 5, 5}}, {rgba, []byte{0, 0, 0, 6, 7, 8}},
	} {
		p := FromImage(c.m)
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		if p.Mode != RGB || p.Width != 2 || p.Height != 1 || !bytes.Equal(p.Pix, c.want) {
			t.Errorf("%T: got %+v, want %v", c.m, p, c.want)
		}
		if back := FromImage(p.Image()); !bytes.Equal(back.Pix, p.Pix) {
			t.Errorf("%T: Image does not give the pixels back", c.m)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, p := range []*Picture{nil, {}, {Mode: RGB}, {Mode: RGB, Width: 1, Height: 1, Pix: []byte{1}}, {Mode: 99, Width: 1, Height: 1}} {
		if p.Check() == nil {
			t.Errorf("%+v passes", p)
		}
	}
	if got := Mode(99).String(); got != "Mode(99)" {
		t.Errorf("unknown mode is called %s", got)
	}
}

// header returns testdata's file of the name with its header saying w x h.
func header(t testing.TB, name string, w, h int) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	switch filepath.Ext(name) {
	case ".jpg":
		at := bytes.Index(data, []byte{0xff, 0xc0}) + 5
		binary.BigEndian.PutUint16(data[at:], uint16(h))
		binary.BigEndian.PutUint16(data[at+2:], uint16(w))
	case ".png":
		binary.BigEndian.PutUint32(data[16:], uint32(w))
		binary.BigEndian.PutUint32(data[20:], uint32(h))
	case ".bmp":
		binary.LittleEndian.PutUint32(data[18:], uint32(w))
		binary.LittleEndian.PutUint32(data[22:], uint32(h))
	case ".tif":
		at := binary.LittleEndian.Uint32(data[4:])
		for range binary.LittleEndian.Uint16(data[at:]) {
			value := map[uint16]int{0x100: w, 0x101: h}[binary.LittleEndian.Uint16(data[at+2:])]
			if value != 0 {
				binary.LittleEndian.PutUint16(data[at+4:], 4) // LONG
				binary.LittleEndian.PutUint32(data[at+10:], uint32(value))
			}
			at += 12
		}
	case ".webp": // lossless: 14 bits each of width-1 and height-1 after the signature byte
		at := bytes.Index(data, []byte("VP8L")) + 9
		flags := binary.LittleEndian.Uint32(data[at:]) &^ (1<<28 - 1)
		binary.LittleEndian.PutUint32(data[at:], flags|uint32(w-1)|uint32(h-1)<<14)
	default:
		t.Fatalf("%s: no header known", name)
	}
	return data
}

// allocated returns the bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestHugeHeaderIsRefused(t *testing.T) {
	for _, name := range []string{"jpeg420.jpg", "png_rgb.png", "bmp_rgb.bmp", "tiff_rgb.tif", "webp_lossless.webp"} {
		size := 60000
		if strings.HasSuffix(name, ".webp") {
			size = 1 << 14 // the format has no more
		}
		data := header(t, name, size, size)
		var err error
		n := allocated(func() { _, err = Decode(bytes.NewReader(data), Limits{}) })
		var limit *LimitError
		if !errors.As(err, &limit) || limit.Width != size || limit.Height != size || limit.MaxPixels != DefaultMaxPixels {
			t.Errorf("%s of %dx%d: error is %v", name, size, size, err)
			continue
		}
		for _, want := range []string{fmt.Sprintf("%dx%d", size, size), fmt.Sprint(DefaultMaxPixels)} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not name %s", name, err, want)
			}
		}
		if n > 4<<20 {
			t.Errorf("%s: %d bytes were allocated before the header was refused", name, n)
		}
	}
}

// A header within the limit over a file too small to hold such a picture must not be believed either.
func TestHollowFileAllocatesLittle(t *testing.T) {
	for _, name := range []string{"jpeg420.jpg", "jpeg420_progressive.jpg", "png_rgb.png", "bmp_rgb.bmp"} {
		var data []byte
		if strings.Contains(name, "progressive") {
			data = header(t, "jpeg420.jpg", 9000, 9000)
			data[bytes.Index(data, []byte{0xff, 0xc0})+1] = 0xc2
		} else {
			data = header(t, name, 9000, 9000)
		}
		var err error
		n := allocated(func() { _, err = Decode(bytes.NewReader(data), Limits{}) })
		if want := (*FormatError)(nil); !errors.As(err, &want) {
			t.Errorf("%s: error is %v", name, err)
		}
		if n > 4<<20 {
			t.Errorf("%s: %d bytes were allocated for a file of %d", name, n, len(data))
		}
	}
}

func TestLimits(t *testing.T) {
	data, err := os.ReadFile("testdata/png_rgb.png")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		limits Limits
		ok     bool
	}{
		{Limits{MaxPixels: 23 * 17}, true}, {Limits{MaxPixels: 23*17 - 1}, false},
		{Limits{MaxBytes: int64(len(data))}, true}, {Limits{MaxBytes: int64(len(data)) - 1}, false},
	} {
		_, err := Decode(bytes.NewReader(data), c.limits)
		_, fileErr := DecodeFile("testdata/png_rgb.png", c.limits)
		if (err == nil) != c.ok || (fileErr == nil) != c.ok {
			t.Errorf("%+v: got %v and %v", c.limits, err, fileErr)
		}
	}
}

// Every file cut at some places is either refused with an error of this package or, where only what comes after the picture is
// missing, decoded to the same pixels.
func TestTruncated(t *testing.T) {
	for _, r := range references(t) {
		data, err := os.ReadFile(filepath.Join("testdata", r.name))
		if err != nil {
			t.Fatal(err)
		}
		whole, err := Decode(bytes.NewReader(data), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(data); n += 1 + len(data)/300 {
			p, err := Decode(bytes.NewReader(data[:n]), Limits{})
			var format *FormatError
			var unsupported *UnsupportedError
			switch {
			case err == nil && !bytes.Equal(p.Pix, whole.Pix):
				t.Errorf("%s cut to %d of %d bytes: no error and other pixels", r.name, n, len(data))
			case err != nil && !errors.As(err, &format) && !errors.As(err, &unsupported):
				t.Errorf("%s cut to %d of %d bytes: %T %v", r.name, n, len(data), err, err)
			}
		}
		if r.name == "gif_animated.gif" {
			continue // its first half has the first picture
		}
		half := filepath.Join(t.TempDir(), r.name)
		if err := os.WriteFile(half, data[:len(data)/2], 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeFile(half, Limits{}); err == nil || !strings.HasPrefix(err.Error(), half+": ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("half of %s: error %v is not a line that begins with the file", r.name, err)
		}
	}
}

func TestFileErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ path, want string }{
		{filepath.Join(dir, "missing.jpg"), "no such file"},
		{dir, "not a regular file"},
		{write("empty.jpg", ""), "empty"},
		{write("text.jpg", "hello, this is no picture"), "does not begin like"},
		{write("gif.gif", "GIF89a"), "truncated"},
		{write("a.avif", "\x00\x00\x00\x20ftypavif\x00\x00\x00\x00avifmif1"), "this is an AVIF: convert it"},
		{write("a.heic", "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"), "this is a HEIC: convert it"},
		{write("a.jxl", "\xff\x0a\x00\x00"), "this is a JPEG XL: convert it"},
		{write("short.jpg", "\xff\xd8\xff\xe0"), "truncated"},
	} {
		_, err := DecodeFile(c.path, Limits{})
		if err == nil || !strings.HasPrefix(err.Error(), c.path+": ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want the file and %q", c.path, err, c.want)
		}
	}
}

func TestUnsupported(t *testing.T) {
	jpeg12 := header(t, "jpeg420.jpg", 23, 17)
	jpeg12[bytes.Index(jpeg12, []byte{0xff, 0xc0})+4] = 12 // bits a sample
	arithmetic := header(t, "jpeg420.jpg", 23, 17)
	arithmetic[bytes.Index(arithmetic, []byte{0xff, 0xc0})+1] = 0xc9
	for name, data := range map[string][]byte{"12-bit JPEG": jpeg12, "arithmetic JPEG": arithmetic} {
		_, err := Decode(bytes.NewReader(data), Limits{})
		if want := (*UnsupportedError)(nil); !errors.As(err, &want) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

// A JPEG that lacks only its end marker decodes, as with libjpeg.
func TestJPEGWithoutEnd(t *testing.T) {
	data, err := os.ReadFile("testdata/jpeg420.jpg")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Decode(bytes.NewReader(data), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Decode(bytes.NewReader(data[:len(data)-2]), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.Pix, whole.Pix) {
		t.Error("other pixels without the end marker")
	}
}

func TestEXIF(t *testing.T) {
	entry := func(tag, kind uint16, count uint32, value uint16) []byte {
		b := binary.BigEndian.AppendUint16(nil, tag)
		b = binary.BigEndian.AppendUint16(b, kind)
		b = binary.BigEndian.AppendUint32(b, count)
		return append(binary.BigEndian.AppendUint16(b, value), 0, 0)
	}
	block := func(entries ...[]byte) []byte {
		b := append([]byte("MM\x00*\x00\x00\x00\x08\x00"), byte(len(entries)))
		return append(b, slices.Concat(entries...)...)
	}
	for _, c := range []struct {
		exif []byte
		want int
	}{
		{block(entry(0x0112, 3, 1, 6)), 6},
		{block(entry(0x0100, 3, 1, 6), entry(0x0112, 3, 1, 8)), 8},
		{block(entry(0x0112, 3, 1, 9)), 1},
		{block(entry(0x0112, 3, 1, 0)), 1},
		{block(entry(0x0112, 4, 1, 6)), 1},
		{block(entry(0x0112, 3, 0, 6)), 1},
		{block(entry(0x0112, 3, 5, 0xffff)), 1},
		{block(), 1},
		{block(entry(0x0112, 3, 1, 6))[:15], 1},
		{[]byte("MM\x00*\xff\xff\xff\xff"), 1},
		{[]byte("hello, world"), 1},
		{nil, 1},
	} {
		if got := exifOrientation(c.exif); got != c.want {
			t.Errorf("% x: orientation %d, want %d", c.exif, got, c.want)
		}
	}
}

// FuzzDecode looks for bytes that crash, hang or get past the limits.
func FuzzDecode(f *testing.F) {
	for _, r := range references(f) {
		data, err := os.ReadFile(filepath.Join("testdata", r.name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	limits := Limits{MaxPixels: 1 << 16, MaxBytes: 1 << 20}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Decode(bytes.NewReader(data), limits)
		if err != nil {
			if p != nil {
				t.Error("both a picture and an error")
			}
			return
		}
		if err := p.Check(); err != nil {
			t.Error(err)
		}
		if int64(p.Width)*int64(p.Height) > limits.MaxPixels {
			t.Errorf("%dx%d is beyond the limit", p.Width, p.Height)
		}
		if err := p.RGB().Check(); err != nil {
			t.Error(err)
		}
		if err := p.Orient().Check(); err != nil {
			t.Error(err)
		}
	})
}

func photo(tb testing.TB, w, h int) []byte {
	tb.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetNRGBA(x, y, color.NRGBA{byte(x * y >> 6), byte(x + y), byte(x ^ y), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 90}); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func BenchmarkDecodeJPEG(b *testing.B) {
	data := photo(b, 500, 375)
	b.Run("Decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Decode(bytes.NewReader(data), Limits{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("image/jpeg", func(b *testing.B) { // the part that is not this package's
		for b.Loop() {
			if _, err := jpeg.Decode(bytes.NewReader(data)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func ExampleDecodeFile() {
	p, err := DecodeFile("testdata/jpeg_oriented.jpg", Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Mode, p.Width, p.Height)
	up := p.Orient() // for a user's own photos; models were trained without
	fmt.Println(up.Mode, up.Width, up.Height)

	_, err = DecodeFile("testdata/jpeg_oriented.jpg", Limits{MaxPixels: 100})
	fmt.Println(err)
	// Output:
	// RGB 23 17
	// RGB 17 23
	// testdata/jpeg_oriented.jpg: picture of 23x17 = 391 pixels is larger than the limit of 100 pixels: scale it down first
}

func ExampleFromImage() {
	m := image.NewGray(image.Rect(0, 0, 2, 1))
	m.SetGray(1, 0, color.Gray{Y: 200})
	p := FromImage(m)
	fmt.Println(p.Mode, p.Pix)

	var b bytes.Buffer
	if err := png.Encode(&b, p.Image()); err != nil {
		fmt.Println(err)
		return
	}
	q, err := Decode(&b, Limits{})
	fmt.Println(q.Mode, q.Pix, err)
	// Output:
	// RGB [0 0 0 200 200 200]
	// RGB [0 0 0 200 200 200] <nil>
}

// x/image takes a pixel to have as many samples as BitsPerSample has values; a file that has more, whose alpha would be taken
// for grey, is refused.
func TestTIFFSamples(t *testing.T) {
	data, err := os.ReadFile("testdata/tiff_grey_packbits.tif")
	if err != nil {
		t.Fatal(err)
	}
	// The file has one strip, so it can do without saying how many rows a strip has, and say how many samples there are.
	order, entry := tiffEntry(data, tiffRowsPerStrip)
	order.PutUint16(entry, tiffSamples)
	order.PutUint16(entry[2:], 3) // SHORT
	for samples, want := range map[uint16]string{1: "", 2: "grey or palette with alpha", 5: "5 samples a pixel with 1 BitsPerSample"} {
		order.PutUint16(entry[8:], samples)
		_, err := Decode(bytes.NewReader(data), Limits{})
		var unsupported *UnsupportedError
		if want == "" && err != nil || want != "" && (!errors.As(err, &unsupported) || unsupported.Feature != want) {
			t.Errorf("%d samples: error is %v", samples, err)
		}
	}
	planes, err := os.ReadFile("testdata/tiff_rgb.tif")
	if err != nil {
		t.Fatal(err)
	}
	order, entry = tiffEntry(planes, tiffPlanar)
	order.PutUint16(entry[8:], 2)
	if _, err := Decode(bytes.NewReader(planes), Limits{}); err == nil || !strings.Contains(err.Error(), "planes that are stored separately") {
		t.Errorf("separate planes: error is %v", err)
	}
}
