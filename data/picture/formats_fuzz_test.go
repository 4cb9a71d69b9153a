package picture

import (
	"bytes"
	"image"
	"image/gif"
	"os"
	"path/filepath"
	"testing"
)

// seed adds the files of testdata that the pattern names.
func seed(f *testing.F, pattern string) {
	f.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || paths == nil {
		f.Fatalf("%s: no such files (%v)", pattern, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// A GIF file that image/gif reads, too, shows the same indices of the same palette.
func FuzzGIF(f *testing.F) {
	seed(f, "*.gif")
	limits := Limits{MaxPixels: 1 << 16, MaxBytes: 1 << 20}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 6 {
			return
		}
		p, err := decodeGIF(data, limits)
		if err != nil {
			return
		}
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		m, err := gif.Decode(bytes.NewReader(data))
		if err != nil {
			return // it is stricter
		}
		q := m.(*image.Paletted)
		for y := q.Rect.Min.Y; y < q.Rect.Max.Y; y++ {
			for x := q.Rect.Min.X; x < q.Rect.Max.X; x++ {
				if got, want := p.Pix[y*p.Width+x], q.ColorIndexAt(x, y); got != want {
					t.Fatalf("index %d at %d, %d; image/gif has %d", got, x, y, want)
				}
			}
		}
	})
}

func FuzzWebPAnimation(f *testing.F) {
	seed(f, "webp_animated*.webp")
	limits := Limits{MaxPixels: 1 << 16, MaxBytes: 1 << 20}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 12 || !webpAnimated(data) {
			return
		}
		p, err := decodeBytes(data, limits)
		if err != nil {
			return
		}
		if err := p.Check(); err != nil || int64(p.Width)*int64(p.Height) > limits.MaxPixels {
			t.Fatalf("%dx%d: %v", p.Width, p.Height, err)
		}
	})
}

// FuzzPNGEnd looks for files whose pixels change when what follows them does.
func FuzzPNGEnd(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00IEND\xae\x42\x60\x82"))
	f.Add([]byte("\x00\x00\x00\x05tEXthello"))
	f.Add([]byte("\x00\x00\x00\x05IDATx\x9c"))
	whole, err := os.ReadFile(filepath.Join("testdata", "png_rgb.png"))
	if err != nil {
		f.Fatal(err)
	}
	want, err := decodeBytes(whole, Limits{})
	if err != nil {
		f.Fatal(err)
	}
	pixels := whole[:bytes.Index(whole, []byte("IEND"))-4]
	f.Fuzz(func(t *testing.T, end []byte) {
		p, err := decodeBytes(append(bytes.Clone(pixels), end...), Limits{})
		if err == nil && !bytes.Equal(p.Pix, want.Pix) {
			t.Error("other pixels")
		}
	})
}
