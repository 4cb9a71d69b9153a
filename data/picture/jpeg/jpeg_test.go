package jpeg

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// The pixels of whole files are compared with Pillow's in package picture, whose testdata these are.
const testdata = "../testdata"

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testdata, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decode(data []byte) ([]byte, error) {
	d, err := ReadHeader(data)
	if err != nil {
		return nil, err
	}
	pix := make([]byte, d.Width*d.Height*d.Components)
	return pix, d.Decode(pix)
}

// bothWays runs a test with the functions in assembly, where the processor can, and with those in Go.
func bothWays(t *testing.T, test func(t *testing.T)) {
	before := hasAVX2
	defer func() { hasAVX2 = before }()
	if hasAVX2 {
		t.Run("assembly", test)
	}
	hasAVX2 = false
	t.Run("Go", test)
}

// The transform is the inverse cosine transform of the standard (T.81, A.3.3), rounded; and knowing that the last coefficients
// are zero changes nothing.
func TestInverse(t *testing.T) { bothWays(t, testInverse) }

func testInverse(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	cosine := func(x, u int) float64 {
		c := math.Cos(float64(2*x+1) * float64(u) * math.Pi / 16)
		if u == 0 {
			c *= math.Sqrt2 / 2
		}
		return c
	}
	for round := range 200 {
		last := []int{0, 1, 4, 9, 10, 30, 63}[round%7]
		var b [64]int16
		for k := range last + 1 {
			b[unzig[k]] = int16(rng.NormFloat64() * 200 / float64(1+k))
		}
		var got, full [64]byte
		c := b
		inverse(&c, 63, full[:], 8)
		c = b
		inverse(&c, last, got[:], 8)
		if got != full {
			t.Fatalf("%d coefficients: %v, as if all counted %v", last+1, got, full)
		}
		if c != [64]int16{} {
			t.Fatal("the block is not cleared")
		}
		for y := range 8 {
			for x := range 8 {
				sum := 0.0
				for v := range 8 {
					for u := range 8 {
						sum += cosine(x, u) * cosine(y, v) * float64(b[8*v+u]) / 4
					}
				}
				if want := min(max(sum+128, 0), 255); math.Abs(float64(got[8*y+x])-want) > 0.6 {
					t.Fatalf("sample %d, %d is %d, want %.2f", x, y, got[8*y+x], want)
				}
			}
		}
	}
}

// The conversion is that of JFIF 1.02, rounded.
func TestConvert(t *testing.T) { bothWays(t, testConvert) }

func testConvert(t *testing.T) {
	const n = 256 + 5
	ys, us, vs := make([]byte, n), make([]byte, n), make([]byte, n)
	three, four := make([]byte, 3*n), make([]byte, 4*n)
	for u := range 256 {
		for v := range 256 {
			for y := range n {
				ys[y], us[y], vs[y] = byte(y), byte(u+y*7), byte(v+y*11)
			}
			convert3(three, ys, us, vs)
			convert4(four, ys, us, vs)
			for i := range n {
				if !bytes.Equal(three[3*i:3*i+3], four[4*i:4*i+3]) {
					t.Fatalf("%d %d %d is %v, and with four bytes a pixel %v", ys[i], us[i], vs[i], three[3*i:3*i+3], four[4*i:4*i+3])
				}
				y, cb, cr := float64(ys[i]), float64(us[i])-128, float64(vs[i])-128
				for c, want := range []float64{y + 1.402*cr, y - 0.344136*cb - 0.714136*cr, y + 1.772*cb} {
					if want = min(max(want, 0), 255); math.Abs(want-float64(three[3*i+c])) > 0.51 {
						t.Fatalf("%d %d %d: colour %d is %d, want %.2f", ys[i], us[i], vs[i], c, three[3*i+c], want)
					}
				}
			}
		}
	}
}

// Assembly and Go agree on coefficients that no picture has, too.
func TestAssembly(t *testing.T) {
	if !hasAVX2 {
		t.Skip("this processor has no AVX2")
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 20000 {
		var b [64]int16
		for k := range b {
			if rng.IntN(4) > 0 {
				b[k] = int16(rng.IntN(1<<16)) >> (round % 16)
			}
		}
		c := b
		var got, want [8 * 11]byte
		inverseAVX2(&b, &got[0], 11)
		inverseColumns(&c, 63, want[:], 11)
		if got != want || b != c {
			t.Fatalf("round %d: %v, in Go %v", round, got, want)
		}
	}
}

// A file without Huffman tables is decoded with the standard's, which Pillow writes unless told otherwise.
func TestStandardTables(t *testing.T) {
	data := read(t, "jpeg420.jpg")
	want, err := decode(data)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		at := bytes.Index(data, []byte{0xff, markerDHT})
		if at < 0 {
			if n == 0 {
				t.Fatal("there were no tables")
			}
			break
		}
		data = append(bytes.Clone(data[:at]), data[at+2+int(data[at+2])<<8+int(data[at+3]):]...)
	}
	got, err := decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("other pixels without the tables")
	}
}

func TestErrors(t *testing.T) {
	baseline, progressive := read(t, "jpeg420.jpg"), read(t, "jpeg420_progressive.jpg")
	edit := func(data []byte, marker byte, at int, v ...byte) []byte {
		data = bytes.Clone(data)
		copy(data[bytes.Index(data, []byte{0xff, marker})+at:], v)
		return data
	}
	drop := func(data []byte, marker byte) []byte {
		for {
			at := bytes.Index(data, []byte{0xff, marker})
			if at < 0 {
				return data
			}
			data = append(bytes.Clone(data[:at]), data[at+2+int(data[at+2])<<8+int(data[at+3]):]...)
		}
	}
	// The scans of a progressive file after the first, which gives the DC coefficients only.
	second := bytes.Index(progressive[bytes.Index(progressive, []byte{0xff, markerSOS})+2:], []byte{0xff, markerDHT})
	firstScan := append(bytes.Clone(progressive[:bytes.Index(progressive, []byte{0xff, markerSOS})+2+second]), 0xff, markerEOI)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"no JPEG":               {[]byte("hello"), "does not begin"},
		"twelve bits":           {edit(baseline, markerSOF0, 4, 12), "samples of 12 bits"},
		"lossless":              {edit(baseline, markerSOF0, 1, 0xc3), "lossless"},
		"arithmetic":            {edit(baseline, markerSOF0, 1, 0xc9), "arithmetic"},
		"five components":       {edit(baseline, markerSOF0, 9, 2), "2 colour components"},
		"sampling 0":            {edit(baseline, markerSOF0, 11, 0x20), "bad sampling"},
		"sampling 3 and 2":      {edit(baseline, markerSOF0, 11, 0x31, 0, 2, 0x21), "sampling factors"},
		"component unknown":     {edit(baseline, markerSOS, 5, 77), "component that the frame lacks"},
		"too many blocks":       {edit(baseline, markerSOF0, 11, 0x44), "too many blocks"},
		"no quantisation":       {drop(baseline, markerDQT), "quantisation table is missing"},
		"no Huffman table":      {drop(progressive, markerDHT), "Huffman table is missing"},
		"Huffman overflow":      {edit(baseline, markerDHT, 5, 3), "Huffman table is damaged"},
		"spectral selection":    {edit(progressive, markerSOS, 11, 1), "invalid range of coefficients"},
		"a scan alone":          {firstScan, "without its last scans"},
		"end in the data":       {append(bytes.Clone(baseline[:len(baseline)-40]), 0xff, markerEOI), "end before the picture"},
		"no scan":               {append(bytes.Clone(baseline[:bytes.Index(baseline, []byte{0xff, markerSOS})]), 0xff, markerEOI), "ends without a picture"},
		"restart marker inside": {append(bytes.Clone(baseline[:len(baseline)-40]), 0xff, markerRST0, 0xff, markerEOI), "end before the picture"},
	} {
		_, err := decode(c.data)
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(c.want)) {
			t.Errorf("%s: error is %v, want %q", name, err, c.want)
		}
	}
	if d, err := ReadHeader(baseline); err != nil || d.Decode(make([]byte, 5)) == nil {
		t.Errorf("room for 5 bytes is enough (%v)", err)
	}
}

// Scans cost time however short they are, so their number is bounded.
func TestManyScans(t *testing.T) {
	data := read(t, "jpeg420_progressive.jpg")
	at := bytes.Index(data, []byte{0xff, markerSOS})
	end := at + 2 + bytes.Index(data[at+2:], []byte{0xff, markerDHT})
	many := append(bytes.Clone(data[:end]), bytes.Repeat(data[at:end], 600)...)
	var unsupported UnsupportedError
	if _, err := decode(append(many, 0xff, markerEOI)); !errors.As(err, &unsupported) {
		t.Errorf("error is %v", err)
	}
}

func TestMemory(t *testing.T) {
	for name, want := range map[string]int64{
		"jpeg420.jpg":             0,
		"jpeg420_progressive.jpg": 128 * (4*4 + 2*2*2), // 23x17 pixels are 2x2 MCUs of four blocks of luma and two of chroma
		"jpeg420_scans_one.jpg":   128 * 6 * 3 * 3,     // 43x35
	} {
		d, err := ReadHeader(read(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Memory() - int64(len(d.data)-d.at); got != want {
			t.Errorf("%s: %d bytes for coefficients, want %d", name, got, want)
		}
	}
}

// FuzzDecode looks for bytes that crash or hang the decoder. What it decodes, it decodes again to the same pixels with
// bytes after the end.
func FuzzDecode(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join(testdata, "*.jpg"))
	if err != nil || paths == nil {
		f.Fatalf("no pictures (%v)", err)
	}
	for _, path := range paths {
		f.Add(read(f, filepath.Base(path)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ReadHeader(data)
		if err != nil || d.Width*d.Height > 1<<16 {
			return
		}
		pix := make([]byte, d.Width*d.Height*d.Components)
		if d.Decode(pix) != nil || !bytes.HasSuffix(data, []byte{0xff, markerEOI}) {
			return
		}
		again, err := decode(append(bytes.Clone(data), "after the end"...))
		if err != nil || !bytes.Equal(again, pix) {
			t.Errorf("other pixels with bytes after the end (%v)", err)
		}
	})
}
