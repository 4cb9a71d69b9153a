package picture

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pngFile is a PNG file, put together by hand from the rows that it stores: bytes of samples, without filter.
func pngFile(t testing.TB, width, height int, depth, colour byte, palette []byte, rows ...[]byte) []byte {
	t.Helper()
	file := []byte(pngSignature)
	chunk := func(kind string, content []byte) {
		file = binary.BigEndian.AppendUint32(file, uint32(len(content)))
		start := len(file)
		file = append(append(file, kind...), content...)
		file = binary.BigEndian.AppendUint32(file, crc32.ChecksumIEEE(file[start:]))
	}
	header := binary.BigEndian.AppendUint32(nil, uint32(width))
	header = binary.BigEndian.AppendUint32(header, uint32(height))
	chunk("IHDR", append(header, depth, colour, 0, 0, 0))
	if palette != nil {
		chunk("PLTE", palette)
	}
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	for _, row := range rows {
		if _, err := w.Write(append([]byte{0}, row...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	chunk("IDAT", packed.Bytes())
	chunk("IEND", nil)
	return file
}

// TestDecodeValues: what a file of each kind stores by the PNG specification (third edition, sections 7.2 and 11.2).
func TestDecodeValues(t *testing.T) {
	colours := bytes.Repeat([]byte{200, 100, 50}, 256) // all the same: only the index tells
	for _, test := range []struct {
		name          string
		depth, colour byte
		palette       []byte
		rows          [][]byte
		mode          Mode
		want          []uint32
	}{
		{"palette of 1 bit", 1, 3, colours[:6], [][]byte{{0b01000000}, {0b11000000}}, Palette, []uint32{0, 1, 1, 1}},
		{"palette of 2 bits", 2, 3, colours[:12], [][]byte{{0b00_11_0000}, {0b10_01_0000}}, Palette, []uint32{0, 3, 2, 1}},
		{"palette of 4 bits", 4, 3, colours[:48], [][]byte{{0x0f}, {0x5a}}, Palette, []uint32{0, 15, 5, 10}},
		{"palette", 8, 3, colours, [][]byte{{0, 20}, {255, 7}}, Palette, []uint32{0, 20, 255, 7}},
		{"short palette", 8, 3, colours[:9], [][]byte{{0, 2}, {255, 1}}, Palette, []uint32{0, 2, 255, 1}},
		{"grey of 1 bit", 1, 0, nil, [][]byte{{0b01000000}, {0b11000000}}, Bilevel, []uint32{0, 1, 1, 1}},
		{"grey of 2 bits", 2, 0, nil, [][]byte{{0b00_11_0000}, {0b10_01_0000}}, Grey, []uint32{0, 3, 2, 1}},
		{"grey of 4 bits", 4, 0, nil, [][]byte{{0x0f}, {0x12}}, Grey, []uint32{0, 15, 1, 2}},
		{"grey", 8, 0, nil, [][]byte{{0, 20}, {255, 7}}, Grey, []uint32{0, 20, 255, 7}},
		{"grey of 16 bits", 16, 0, nil, [][]byte{{0, 0, 3, 232}, {255, 255, 1, 0}}, Grey16, []uint32{0, 1000, 65535, 256}},
		{"grey with alpha", 8, 4, nil, [][]byte{{3, 0, 20, 255}, {255, 9, 7, 255}}, GreyAlpha, []uint32{3, 20, 255, 7}},
		{"colour", 8, 2, nil, [][]byte{{0, 0, 0, 232, 3, 0}, {0, 0, 1, 151, 3, 0}}, RGB, []uint32{0, 1000, 65536, 919}},
		{"colour with alpha", 8, 6, nil, [][]byte{{1, 2, 3, 0, 232, 3, 0, 255}, {0, 0, 1, 9, 151, 3, 0, 9}}, RGBA, []uint32{1 + 2*256 + 3*65536, 1000, 65536, 919}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "mask.png")
			if err := os.WriteFile(path, pngFile(t, 2, 2, test.depth, test.colour, test.palette, test.rows...), 0o644); err != nil {
				t.Fatal(err)
			}
			v, err := DecodeValues(path, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if v.Mode != test.mode || v.Width != 2 || v.Height != 2 || !slices.Equal(v.Pix, test.want) {
				t.Errorf("%s of %d x %d: %v, want %s: %v", v.Mode, v.Width, v.Height, v.Pix, test.mode, test.want)
			}
		})
	}
}

func TestDecodeValuesErrors(t *testing.T) {
	grey := pngFile(t, 2, 2, 8, 0, nil, []byte{0, 20}, []byte{255, 7})
	jpeg, err := os.ReadFile("testdata/jpeg_grey.jpg")
	if err != nil {
		t.Fatal(err)
	}
	damaged := slices.Clone(grey)
	damaged[len(damaged)-20] ^= 1
	for _, test := range []struct {
		name    string
		content []byte
		limits  Limits
		want    string
	}{
		{"JPEG", jpeg, Limits{}, "does not begin like a PNG file"},
		{"empty", nil, Limits{}, "does not begin like a PNG file"},
		{"cut short", grey[:len(grey)-20], Limits{}, "damaged PNG file"},
		{"header only", grey[:20], Limits{}, "damaged PNG file"},
		{"damaged", damaged, Limits{}, "damaged PNG file"},
		{"16 bits of colour", pngFile(t, 1, 1, 16, 2, nil, []byte{0, 1, 0, 2, 0, 3}), Limits{}, "unsupported PNG feature: numbers in colours of 16 bits"},
		{"large", grey, Limits{MaxPixels: 3}, "larger than the limit of 3 pixels"},
		{"large file", grey, Limits{MaxBytes: 10}, "larger than the limit of 10 bytes"},
		{"missing", nil, Limits{}, "no such file"},
		{"directory", nil, Limits{}, "not a regular file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "mask.png")
			var err error
			switch test.name {
			case "missing":
			case "directory":
				err = os.Mkdir(path, 0o755)
			default:
				err = os.WriteFile(path, test.content, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := DecodeValues(path, test.limits); err == nil || !strings.HasPrefix(err.Error(), path+": ") ||
				!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// TestSizeFile: the size is that of the decoded picture, for every format.
func TestSizeFile(t *testing.T) {
	for _, r := range references(t) {
		path := filepath.Join("testdata", r.name)
		if w, h, err := SizeFile(path, Limits{}); err != nil || w != r.width || h != r.height {
			t.Errorf("%s: %d x %d, %v; want %d x %d", r.name, w, h, err, r.width, r.height)
		}
		if _, _, err := SizeFile(path, Limits{MaxPixels: 1}); err == nil && r.width*r.height > 1 || err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v beyond the limit", r.name, err)
		}
	}
	for _, content := range []string{"", "\xff\xd8\xff", pngSignature, "hello"} {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := SizeFile(path, Limits{}); err == nil || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%q: error %v", content, err)
		}
	}
}

func TestHashFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	if err := os.WriteFile(path, []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	if sum, err := HashFile(path); err != nil || sum != sha256.Sum256([]byte("abc")) {
		t.Errorf("%x, %v", sum, err)
	}
	for _, path := range []string{dir, path + "y"} {
		if _, err := HashFile(path); err == nil || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("error %v", err)
		}
	}
}

// FuzzValues looks for bytes that crash or get past the limits.
func FuzzValues(f *testing.F) {
	f.Add(pngFile(f, 2, 2, 8, 0, nil, []byte{0, 20}, []byte{255, 7}))
	f.Add(pngFile(f, 2, 1, 8, 3, []byte{1, 2, 3}, []byte{0, 20}))
	f.Add(pngFile(f, 1, 1, 8, 6, nil, []byte{1, 2, 3, 4}))
	f.Add([]byte("\xff\xd8\xff\xc0"))
	limits := Limits{MaxPixels: 1 << 16, MaxBytes: 1 << 20}
	f.Fuzz(func(t *testing.T, content []byte) {
		w, h, sizeErr := size(content, limits)
		v, err := decodeValues(content, limits)
		if err != nil {
			return
		}
		if sizeErr != nil || v.Width != w || v.Height != h || len(v.Pix) != w*h || int64(w)*int64(h) > limits.MaxPixels {
			t.Errorf("%d values of %d x %d, size %d x %d, %v", len(v.Pix), v.Width, v.Height, w, h, sizeErr)
		}
	})
}
