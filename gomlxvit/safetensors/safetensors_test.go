package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// raw is a file made of a header and data, with nothing checked.
func raw(header string, data ...byte) []byte {
	return slices.Concat(little.AppendUint64(nil, uint64(len(header))), []byte(header), data)
}

// tensor is a header's field.
func tensor(name, dtype, shape, offsets string) string {
	return fmt.Sprintf(`"%s":{"dtype":"%s","shape":%s,"data_offsets":%s}`, name, dtype, shape, offsets)
}

var malformed = []struct {
	name    string
	file    []byte
	want    error
	message string // part of it
}{
	{"empty", nil, ErrTruncated, "0 bytes"},
	{"half a length", []byte{1, 0, 0}, ErrTruncated, "3 bytes"},
	{"header beyond the file", raw("{}")[:9], ErrTruncated, "the header has 2 bytes"},
	{"header above the cap", slices.Concat(little.AppendUint64(nil, 100_000_001), []byte("{}")), ErrHeaderTooLong, "100000001"},
	{"header of 2^64-1", slices.Concat(little.AppendUint64(nil, math.MaxUint64), []byte("{}")), ErrHeaderTooLong, ""},
	{"no header", raw(""), ErrHeaderJSON, "begin with {"},
	{"a space first", raw(" {}"), ErrHeaderJSON, "begin with {"},
	{"a list", raw("[]"), ErrHeaderJSON, ""},
	{"broken JSON", raw(`{"a":`), ErrHeaderJSON, ""},
	{"two objects", raw(`{}{}`), ErrHeaderJSON, ""},
	{"a missing comma", raw(`{"a":{"dtype":"U8" "shape":[]}}`), ErrHeaderJSON, ""},
	{"not UTF-8", raw("{\"\xff\":{}}"), ErrHeaderJSON, "UTF-8"},
	{"entry is no object", raw(`{"a":[1,2]}`), ErrHeaderJSON, `"a"`},
	{"nothing in the entry", raw(`{"a":{}}`), ErrHeaderJSON, "all needed"},
	{"no offsets", raw(`{"a":{"dtype":"U8","shape":[1]}}`, 0), ErrHeaderJSON, "all needed"},
	{"metadata of numbers", raw(`{"__metadata__":{"epoch":3}}`), ErrHeaderJSON, "epoch"},
	{"metadata twice", raw(`{"__metadata__":{"a":"1","a":"2"}}`), ErrDuplicate, `"a"`},
	{"tensor twice", raw("{" + tensor("a", "U8", "[0]", "[0,0]") + "," + tensor("a", "U8", "[0]", "[0,0]") + "}"), ErrDuplicate, `"a"`},
	{"tensor twice, one escaped", raw("{" + tensor("a", "U8", "[0]", "[0,0]") + "," + tensor(`\u0061`, "U8", "[0]", "[0,0]") + "}"), ErrDuplicate, `"a"`},
	{"dtype twice", raw(`{"a":{"dtype":"U8","dtype":"I8","shape":[0],"data_offsets":[0,0]}}`), ErrDuplicate, `"dtype"`},
	{"unknown dtype", raw("{" + tensor("a", "F31", "[1]", "[0,1]") + "}"), ErrDType, "F31"},
	{"dtype is a number", raw(`{"a":{"dtype":8,"shape":[0],"data_offsets":[0,0]}}`), ErrDType, "8"},
	{"negative dimension", raw("{" + tensor("a", "U8", "[-1]", "[0,1]") + "}"), ErrShape, "negative"},
	{"negative after zero", raw("{" + tensor("a", "U8", "[0,-1]", "[0,0]") + "}"), ErrShape, "negative"},
	{"fractional dimension", raw("{" + tensor("a", "U8", "[1.5]", "[0,1]") + "}"), ErrShape, "1.5"},
	{"dimension with exponent", raw("{" + tensor("a", "U8", "[1e3]", "[0,1]") + "}"), ErrShape, "1e3"},
	{"dimension beyond 64 bits", raw("{" + tensor("a", "U8", "[99999999999999999999]", "[0,1]") + "}"), ErrShape, "99999999999999999999"},
	{"dimension is a string", raw("{" + tensor("a", "U8", `["1"]`, "[0,1]") + "}"), ErrShape, ""},
	{"shape is a number", raw("{" + tensor("a", "U8", `1`, "[0,1]") + "}"), ErrShape, "list"},
	{"overflow", raw("{" + tensor("a", "U8", "[4294967296,4294967296]", "[0,0]") + "}"), ErrShape, "overflow"},
	{"overflow before a zero", raw("{" + tensor("a", "F64", "[4294967296,4294967296,0]", "[0,0]") + "}"), ErrShape, "overflow"},
	{"overflow by the dtype", raw("{" + tensor("a", "F64", "[2305843009213693952]", "[0,0]") + "}"), ErrShape, "overflow"},
	{"65 dimensions", raw("{"+tensor("a", "U8", "[1"+strings.Repeat(",1", 64)+"]", "[0,1]")+"}", 0), ErrShape, "64"},
	{"one offset", raw("{"+tensor("a", "U8", "[1]", "[0]")+"}", 0), ErrOffsets, "two"},
	{"three offsets", raw("{"+tensor("a", "U8", "[1]", "[0,1,2]")+"}", 0), ErrOffsets, "2"},
	{"negative offset", raw("{"+tensor("a", "U8", "[1]", "[-1,0]")+"}", 0), ErrOffsets, "[-1 0]"},
	{"offsets the wrong way", raw("{"+tensor("a", "U8", "[1]", "[1,0]")+"}", 0), ErrOffsets, "[1 0]"},
	{"offsets at the end of the numbers", raw("{"+tensor("a", "U8", "[9223372036854775807]", "[0,9223372036854775807]")+"}", 0), ErrOffsets, "overflow"},
	{"too few bytes for the shape", raw("{"+tensor("a", "F32", "[2]", "[0,4]")+"}", 0, 0, 0, 0), ErrTensorSize, "has 8"},
	{"too many bytes for the shape", raw("{"+tensor("a", "F32", "[]", "[0,8]")+"}", 0, 0, 0, 0, 0, 0, 0, 0), ErrTensorSize, "has 4"},
	{"overlap", raw("{"+tensor("a", "U8", "[2]", "[0,2]")+","+tensor("b", "U8", "[2]", "[1,3]")+"}", 0, 0, 0), ErrOverlap, `"b"`},
	{"same bytes", raw("{"+tensor("a", "U8", "[2]", "[0,2]")+","+tensor("b", "U8", "[2]", "[0,2]")+"}", 0, 0), ErrOverlap, `"b"`},
	{"gap at the start", raw("{"+tensor("a", "U8", "[1]", "[1,2]")+"}", 0, 0), ErrGap, "1 of them"},
	{"gap between", raw("{"+tensor("a", "U8", "[1]", "[0,1]")+","+tensor("b", "U8", "[1]", "[3,4]")+"}", 0, 0, 0, 0), ErrGap, `"b"`},
	{"data cut short", raw("{"+tensor("a", "F32", "[1]", "[0,4]")+"}", 0, 0), ErrTruncated, `"a"`},
	{"2^40 elements", raw("{"+tensor("a", "F32", "[1099511627776]", "[0,4398046511104]")+"}", 0, 0, 0, 0), ErrTruncated, `"a"`},
	{"data too long", raw("{"+tensor("a", "U8", "[1]", "[0,1]")+"}", 0, 0, 0), ErrFileSize, "2 more bytes"},
	{"Git LFS pointer", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"), ErrLFSPointer, "git lfs pull"},
}

func TestMalformed(t *testing.T) {
	for _, test := range malformed {
		t.Run(test.name, func(t *testing.T) {
			_, err := New(bytes.NewReader(test.file), int64(len(test.file)), "m.safetensors")
			if !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			if format := (*FormatError)(nil); !errors.As(err, &format) || format.File != "m.safetensors" {
				t.Errorf("error %v is no FormatError that names the file", err)
			}
			if text := err.Error(); !strings.Contains(text, test.message) || !strings.HasPrefix(text, "m.safetensors: ") || strings.Contains(text, "\n") {
				t.Errorf("error %q, want one line with the file's name and %q", text, test.message)
			}
		})
	}
}

// A header that promises more than there is must not make the reader ask for memory.
func TestHostileHeaderAllocatesLittle(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, test := range malformed {
		if _, err := New(bytes.NewReader(test.file), int64(len(test.file)), "m"); err == nil {
			t.Errorf("%s: no error", test.name)
		}
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
		t.Errorf("%d bytes allocated for %d small files", used, len(malformed))
	}
}

// What the reference implementation accepts although no writer of note makes it.
func TestUnusualButValid(t *testing.T) {
	for name, file := range map[string][]byte{
		"no tensors":                raw("{}"),
		"spaces behind the header":  raw("{}   \n"),
		"empty tensors at one byte": raw("{" + tensor("b", "F32", "[0,3]", "[0,0]") + "," + tensor("a", "U8", "[0]", "[0,0]") + "}"),
		"unknown field":             raw(`{"a":{"dtype":"U8","note":{"x":[1]},"shape":[],"data_offsets":[0,1]}}`, 7),
		"order of the bytes":        raw("{"+tensor("b", "U8", "[1]", "[1,2]")+","+tensor("a", "U8", "[1]", "[0,1]")+"}", 1, 2),
	} {
		f, err := New(bytes.NewReader(file), int64(len(file)), name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.IsSorted(f.Names()) {
			t.Errorf("%s: names %q, want them sorted by offset", name, f.Names())
		}
	}
}

func TestNumbers(t *testing.T) {
	tests := []struct {
		dtype DType
		bytes []byte
		float []float64 // nil: not to be had
		int   []int64   // nil: not to be had
	}{
		{F32, []byte{0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc1}, []float64{1, -10}, nil},
		{F64, []byte{0, 0, 0, 0, 0, 0, 0xf8, 0x3f}, []float64{1.5}, nil},
		{F16, []byte{0x00, 0x3c, 0xff, 0x7b, 0x01, 0x80}, []float64{1, 65504, -0x1p-24}, nil},
		{BF16, []byte{0x80, 0x3f, 0x49, 0xc0}, []float64{1, -3.140625}, nil},
		{I64, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, []float64{-1}, []int64{-1}},
		{U64, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, []float64{0x1p64}, nil},
		{U64, []byte{5, 0, 0, 0, 0, 0, 0, 0}, []float64{5}, []int64{5}},
		{I32, []byte{0xfe, 0xff, 0xff, 0xff}, []float64{-2}, []int64{-2}},
		{U32, []byte{0xfe, 0xff, 0xff, 0xff}, []float64{4294967294}, []int64{4294967294}},
		{I16, []byte{0x00, 0x80}, []float64{-32768}, []int64{-32768}},
		{U16, []byte{0x00, 0x80}, []float64{32768}, []int64{32768}},
		{I8, []byte{0x80}, []float64{-128}, []int64{-128}},
		{U8, []byte{0x80}, []float64{128}, []int64{128}},
		{Bool, []byte{1, 0}, []float64{1, 0}, []int64{1, 0}},
		{F8E4M3, []byte{1}, nil, nil},
	}
	for _, test := range tests {
		n := len(test.bytes) / test.dtype.Size()
		file := raw("{"+tensor("x", string(test.dtype), fmt.Sprintf("[%d]", n), fmt.Sprintf("[0,%d]", len(test.bytes)))+"}", test.bytes...)
		f, err := New(bytes.NewReader(file), int64(len(file)), "x")
		if err != nil {
			t.Errorf("%s: %v", test.dtype, err)
			continue
		}
		float64s, err := f.Float64("x")
		if (err != nil) != (test.float == nil) || err == nil && !slices.Equal(float64s, test.float) {
			t.Errorf("%s: Float64 is %v (%v), want %v", test.dtype, float64s, err, test.float)
		}
		float32s, err := f.Float32("x")
		if (err != nil) != (test.float == nil) {
			t.Errorf("%s: Float32: %v", test.dtype, err)
		}
		for i, want := range test.float {
			if float32s[i] != float32(want) {
				t.Errorf("%s: Float32 is %v, want %v", test.dtype, float32s, test.float)
			}
		}
		ints, err := f.Int64("x")
		if (err != nil) != (test.int == nil) || err == nil && !slices.Equal(ints, test.int) {
			t.Errorf("%s: Int64 is %v (%v), want %v", test.dtype, ints, err, test.int)
		}
	}
}

// Every binary16 number widens to the value that IEEE 754 defines and comes back; halfway cases go to the even one.
func TestHalf(t *testing.T) {
	for bits := range 1 << 16 {
		h := uint16(bits)
		exponent, fraction := int(h>>10&31), float64(h&1023)
		want := math.Ldexp(fraction, -24)
		switch {
		case exponent == 31 && fraction > 0:
			if f := halfToFloat(h); f == f || floatToHalf(f)&0x7fff <= 0x7c00 {
				t.Fatalf("%#04x: %v, want not a number", h, f)
			}
			continue
		case exponent == 31:
			want = math.Inf(1)
		case exponent > 0:
			want = math.Ldexp(1024+fraction, exponent-25)
		}
		if h&0x8000 != 0 {
			want = -want
		}
		got := halfToFloat(h)
		if float64(got) != want || math.Signbit(float64(got)) != math.Signbit(want) {
			t.Fatalf("%#04x: %v, want %v", h, got, want)
		}
		if back := floatToHalf(got); back != h {
			t.Fatalf("%#04x: comes back as %#04x", h, back)
		}
		if next := h + 1; exponent < 31 && next&0x7c00 != 0x7c00 {
			half := float32((want + float64(halfToFloat(next))) / 2)
			if tie := floatToHalf(half); tie != h+h&1 {
				t.Fatalf("%#04x: halfway to the next rounds to %#04x", h, tie)
			}
		}
	}
	for f, want := range map[float32]uint16{65519.99: 0x7bff, 65520: 0x7c00, 1e30: 0x7c00, -1e30: 0xfc00, 1e-30: 0, -1e-30: 0x8000} {
		if h := floatToHalf(f); h != want {
			t.Errorf("%v: %#04x, want %#04x", f, h, want)
		}
	}
}

func TestBFloat16(t *testing.T) {
	for f, want := range map[float32]uint16{1: 0x3f80, 1.00390625: 0x3f80, 1.01171875: 0x3f82, -3.1415927: 0xc049,
		float32(math.Inf(1)): 0x7f80, math.MaxFloat32: 0x7f80, math.Float32frombits(0x7f800001): 0x7fc0} {
		if b := bfloat16(f); b != want {
			t.Errorf("%v: %#04x, want %#04x", f, b, want)
		}
	}
}

// What numpy 2.4.6 (astype(float16)) and ml_dtypes 0.6.0 (astype(bfloat16)) round float32 numbers to: borders, halves, and
// drawn ones. All are given as their bits.
func TestHalfPrecisionAsNumPy(t *testing.T) {
	for _, c := range []struct {
		bits        uint32
		half, brain uint16
	}{
		{0x00000000, 0x0000, 0x0000}, {0x80000000, 0x8000, 0x8000}, {0x00000001, 0x0000, 0x0000},
		{0x007fffff, 0x0000, 0x0080}, {0x00800000, 0x0000, 0x0080}, {0x3f800000, 0x3c00, 0x3f80},
		{0x3f801000, 0x3c00, 0x3f80}, {0x3f802000, 0x3c01, 0x3f80}, {0x3f803000, 0x3c02, 0x3f80},
		{0x3f801001, 0x3c01, 0x3f80}, {0x3f800fff, 0x3c00, 0x3f80}, {0x3f808000, 0x3c04, 0x3f80},
		{0x3f818000, 0x3c0c, 0x3f82}, {0x3f807fff, 0x3c04, 0x3f80}, {0x3f808001, 0x3c04, 0x3f81},
		{0x477fe000, 0x7bff, 0x4780}, {0x477fefff, 0x7bff, 0x4780}, {0x477ff000, 0x7c00, 0x4780},
		{0x33000000, 0x0000, 0x3300}, {0x33000001, 0x0001, 0x3300}, {0x33800000, 0x0001, 0x3380},
		{0x33c00000, 0x0002, 0x33c0}, {0x387fc000, 0x03ff, 0x3880}, {0x387fe000, 0x0400, 0x3880},
		{0x387fffff, 0x0400, 0x3880}, {0x38800000, 0x0400, 0x3880}, {0x7f7f0000, 0x7c00, 0x7f7f},
		{0x7f7f7fff, 0x7c00, 0x7f7f}, {0x7f7f8000, 0x7c00, 0x7f80}, {0x7f7fffff, 0x7c00, 0x7f80},
		{0x7f800000, 0x7c00, 0x7f80}, {0xff800000, 0xfc00, 0xff80}, {0x7fc00000, 0x7e00, 0x7fc0},
		{0xb83463f4, 0x82d2, 0xb834}, {0x53b47482, 0x7c00, 0x53b4}, {0x3c089379, 0x2045, 0x3c09},
		{0xfcbe2cda, 0xfc00, 0xfcbe}, {0x2d107be5, 0x0000, 0x2d10}, {0x51970894, 0x7c00, 0x5197},
		{0xa4833f46, 0x8000, 0xa483}, {0xc9de57d2, 0xfc00, 0xc9de}, {0xc0140156, 0xc0a0, 0xc014},
		{0xbe416e44, 0xb20b, 0xbe41}, {0xbf750cfa, 0xbba8, 0xbf75}, {0x3f64c2fb, 0x3b26, 0x3f65},
		{0x3f74f3f1, 0x3ba8, 0x3f75}, {0x3fb23585, 0x3d92, 0x3fb2}, {0x3f4478ec, 0x3a24, 0x3f44},
		{0xbd5935c1, 0xaaca, 0xbd59}, {0x3f5c1b75, 0x3ae1, 0x3f5c}, {0x3fc0b39b, 0x3e06, 0x3fc1},
		{0xbf2751f9, 0xb93b, 0xbf27}, {0x3f1c3ff9, 0x38e2, 0x3f1c}, {0xb52ecac0, 0x800b, 0xb52f},
		{0x37b85278, 0x0171, 0x37b8}, {0xb7563ec1, 0x80d6, 0xb756}, {0xb69a6451, 0x804d, 0xb69a},
		{0x36b98472, 0x005d, 0x36ba}, {0x36842707, 0x0042, 0x3684},
	} {
		f := math.Float32frombits(c.bits)
		if h := floatToHalf(f); h != c.half {
			t.Errorf("%#08x, %v: binary16 %#04x, want %#04x", c.bits, f, h, c.half)
		}
		if b := bfloat16(f); b != c.brain {
			t.Errorf("%#08x, %v: bfloat16 %#04x, want %#04x", c.bits, f, b, c.brain)
		}
	}
}

var sample = []Tensor{
	{Name: "labels", Shape: []int{3}, Data: []uint8{1, 2, 255}},
	{Name: "weight", Shape: []int{2, 3}, Data: []float32{1, -2, 3.5, 0, float32(math.Inf(1)), 1e-40}},
	{Name: "half", Shape: []int{2}, Data: Half{0.5, 1.0 / 3}},
	{Name: "brain", Shape: []int{2}, Data: BFloat16{0.5, 1.0 / 3}},
	{Name: "ids", Shape: []int{2}, Data: []int64{math.MaxInt64, -7}},
	{Name: "exact", Shape: nil, Data: []float64{math.Pi}},
	{Name: "mask", Shape: []int{1, 2}, Data: []bool{true, false}},
	{Name: "steps", Shape: []int{1}, Data: []int32{-5}},
	{Name: "nothing", Shape: []int{0, 4}, Data: []float32{}},
	{Name: `odd "name" <é>`, Shape: []int{1}, Data: []float32{2}},
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	metadata := map[string]string{"format": "pt", "components": `["init","layer:00, mlp"]`, "": "é"}
	if err := Write(path, metadata, sample); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if diff := cmp.Diff(metadata, f.Metadata()); diff != "" {
		t.Errorf("metadata: %s", diff)
	}
	wantNames := []string{"ids", "exact", "weight", "steps", "nothing", `odd "name" <é>`, "half", "brain", "labels", "mask"}
	if diff := cmp.Diff(wantNames, f.Names()); diff != "" {
		t.Errorf("names: %s", diff)
	}
	for _, want := range sample {
		info, ok := f.Info(want.Name)
		dtype, n := describe(want.Data)
		if !ok || info.DType != dtype || !slices.Equal(info.Shape, want.Shape) || info.Len() != n || info.offset%int64(dtype.Size()) != 0 {
			t.Errorf("%s: info %v (%v) at byte %d", want.Name, info, ok, info.offset)
		}
		var got any
		switch data := want.Data.(type) {
		case []float32:
			got, err = f.Float32(want.Name)
		case Half:
			got, err = f.Float32(want.Name)
			want.Data = []float32{data[0], 1365.0 / 4096} // the binary16 number nearest to a third
		case BFloat16:
			got, err = f.Float32(want.Name)
			want.Data = []float32{data[0], 171.0 / 512} // the bfloat16 number nearest to a third
		case []float64:
			got, err = f.Float64(want.Name)
		case []int64:
			got, err = f.Int64(want.Name)
		case []int32:
			got, err = f.Int64(want.Name)
			want.Data = []int64{int64(data[0])}
		case []uint8:
			got, err = f.Int64(want.Name)
			want.Data = []int64{1, 2, 255}
		case []bool:
			got, err = f.Int64(want.Name)
			want.Data = []int64{1, 0}
		}
		if err != nil {
			t.Errorf("%s: %v", want.Name, err)
		}
		if diff := cmp.Diff(want.Data, got); diff != "" {
			t.Errorf("%s: %s", want.Name, diff)
		}
	}
	if _, err := f.Float32("absent"); err == nil || !strings.Contains(err.Error(), `"absent"`) {
		t.Errorf("an absent tensor: error %v", err)
	}
	if _, ok := f.Info("absent"); ok {
		t.Error("Info finds an absent tensor")
	}
	if _, err := f.Int64("weight"); err == nil {
		t.Error("Int64 of a float tensor: no error")
	}
}

func TestDeterministic(t *testing.T) {
	dir := t.TempDir()
	var first []byte
	for i := range 8 {
		path := filepath.Join(dir, fmt.Sprint(i))
		metadata := map[string]string{}
		for k := range 20 { // maps are ranged over in random order
			metadata[fmt.Sprint(k)] = "value"
		}
		if err := Write(path, metadata, sample); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = content
		}
		if !bytes.Equal(first, content) {
			t.Fatal("the same tensors gave different bytes")
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	one := []float32{1}
	for _, test := range []struct {
		name, message string
		metadata      map[string]string
		tensors       []Tensor
	}{
		{"unknown type", "[]string", nil, []Tensor{{"a", []int{1}, []string{"x"}}}},
		{"shape", "does not fit 1 elements", nil, []Tensor{{"a", []int{2}, one}}},
		{"negative", "negative", nil, []Tensor{{"a", []int{-1}, one}}},
		{"twice", "twice", nil, []Tensor{{"a", []int{1}, one}, {"a", []int{1}, one}}},
		{"reserved", "twice", nil, []Tensor{{"__metadata__", []int{1}, one}}},
		{"name", "UTF-8", nil, []Tensor{{"\xff", []int{1}, one}}},
		{"metadata", "UTF-8", map[string]string{"k": "\xff"}, nil},
		{"half", "too large for F16", nil, []Tensor{{"a", []int{1}, Half{1e6}}}},
		{"brain", "too large for BF16", nil, []Tensor{{"a", []int{1}, BFloat16{math.MaxFloat32}}}},
	} {
		path := filepath.Join(dir, "a.safetensors")
		err := Write(path, test.metadata, test.tensors)
		if err == nil || !strings.Contains(err.Error(), test.message) || !strings.HasPrefix(err.Error(), path) {
			t.Errorf("%s: error %v, want one that names the file and says %q", test.name, err, test.message)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("refused files left %v (%v)", entries, err)
	}
}

func TestWriterInPieces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	const components, pictures, dim = 5, 64, 3
	w, err := Create(path, nil, []Info{
		{Name: "contributions", DType: F32, Shape: []int{components, pictures, dim}},
		{Name: "small", DType: BF16, Shape: []int{2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	value := func(c, p, d int) float32 { return float32(c*10000 + p*10 + d) }
	var wg sync.WaitGroup
	for first := pictures - 16; first >= 0; first -= 16 { // batches, last one first, several at a time
		wg.Go(func() {
			for c := range components {
				var batch []float32
				for p := first; p < first+16; p++ {
					for d := range dim {
						batch = append(batch, value(c, p, d))
					}
				}
				if err := w.WriteFloat32At("contributions", (c*pictures+first)*dim, batch); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := w.WriteFloat32At("small", 1, []float32{2}); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteFloat32At("small", 0, []float32{1}); err != nil {
		t.Fatal(err)
	}
	whole, err := Create(path, nil, []Info{{Name: "labels", DType: U8, Shape: []int{1}}})
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Abort()
	for message, err := range map[string]error{
		"there is no tensor": w.WriteFloat32At("absent", 0, nil),
		"cannot write 2":     w.WriteFloat32At("small", 1, []float32{1, 2}),
		"from -1 on":         w.WriteFloat32At("small", -1, nil),
		"stored as U8":       whole.WriteFloat32At("labels", 0, []float32{1}),
	} {
		if err == nil || !strings.Contains(err.Error(), message) || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v, want one that names the file and says %q", err, message)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]float32, dim)
	for c := range components {
		for p := range pictures {
			if err := f.ReadFloat32At("contributions", (c*pictures+p)*dim, got); err != nil {
				t.Fatal(err)
			}
			if want := []float32{value(c, p, 0), value(c, p, 1), value(c, p, 2)}; !slices.Equal(got, want) {
				t.Fatalf("component %d of picture %d: %v, want %v", c, p, got, want)
			}
		}
	}
	if err := f.ReadFloat32At("contributions", components*pictures*dim-1, got); err == nil {
		t.Error("reading beyond the end: no error")
	}
}

func TestUnfinishedFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	w, err := Create(path, nil, []Info{{Name: "x", DType: F32, Shape: []int{10}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, first := range []int{0, 4, 6} {
		if err := w.WriteFloat32At("x", first, []float32{1, 2}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(); err == nil || !strings.Contains(err.Error(), "element 2 of 10") {
		t.Errorf("error %v, want one that says element 2 is missing", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the unfinished file is there (%v)", err)
	}
}

func TestSpans(t *testing.T) {
	var s spans
	for _, step := range []struct {
		begin, end int
		want       spans
	}{
		{4, 6, spans{{4, 6}}}, {0, 1, spans{{0, 1}, {4, 6}}}, {8, 9, spans{{0, 1}, {4, 6}, {8, 9}}}, {3, 3, spans{{0, 1}, {4, 6}, {8, 9}}},
		{6, 7, spans{{0, 1}, {4, 7}, {8, 9}}}, {5, 6, spans{{0, 1}, {4, 7}, {8, 9}}}, {1, 8, spans{{0, 9}}},
	} {
		s.add(step.begin, step.end)
		if diff := cmp.Diff(step.want, s); diff != "" {
			t.Fatalf("after %d..%d: %s", step.begin, step.end, diff)
		}
	}
}

// Headers as other writers make them: null for no metadata, escapes, white space, fields that are not known.
func TestUnusualHeaders(t *testing.T) {
	header := " \n" // what begins with { only is a header
	header = `{ "__metadata__" : null , "a\u0062\"" :{"extra": {"x":[1,{"y":"]}"}]}, "dtype":"F32" ,"shape": [ 1 , 2 ],"data_offsets":[0,8]}}` + header
	file := slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), []byte(header), make([]byte, 8))
	f, err := New(bytes.NewReader(file), int64(len(file)), "a")
	if err != nil {
		t.Fatal(err)
	}
	if info, ok := f.Info(`ab"`); !ok || !slices.Equal(info.Shape, []int{1, 2}) || len(f.Metadata()) != 0 {
		t.Errorf("tensors %v, metadata %v", f.Names(), f.Metadata())
	}
}

// A header with a million names takes a moment, and is refused.
func TestHeaderOfManyNames(t *testing.T) {
	var header strings.Builder
	for i := range 1 << 20 {
		fmt.Fprintf(&header, `,"%d":""`, i)
	}
	text := `{"__metadata__":{` + header.String()[1:] + `}}`
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	if _, err := New(bytes.NewReader(file), int64(len(file)), "a"); !errors.Is(err, ErrHeaderTooLong) || len(err.Error()) > 200 {
		t.Errorf("error %v, want ErrHeaderTooLong", err)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(pipe); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a pipe: error %v", err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory: error %v", err)
	}
	if _, err := Open(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent file: error %v", err)
	}
}

func TestReadFailureIsNotAFormatError(t *testing.T) {
	failure := errors.New("the disk is gone")
	_, err := New(brokenReader{failure}, 100, "a")
	if format := (*FormatError)(nil); !errors.Is(err, failure) || errors.As(err, &format) {
		t.Errorf("error %v, want the reader's own", err)
	}
}

type brokenReader struct{ err error }

func (b brokenReader) ReadAt([]byte, int64) (int, error) { return 0, b.err }

// Numbers that PyTorch computed (testdata of package golden): the components of a decomposition have to sum to the features.
func TestGolden(t *testing.T) {
	paths, err := filepath.Glob("../golden/testdata/golden/*/*.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatal("there are no reference tensors")
	}
	for _, path := range paths {
		f, err := Open(path)
		if err != nil {
			t.Error(err)
			continue
		}
		defer f.Close()
		for _, name := range f.Names() {
			if _, err := f.Float32(name); err != nil {
				t.Error(err)
			}
		}
		if filepath.Base(path) != "decomposition.safetensors" {
			continue
		}
		io, err := Open(filepath.Join(filepath.Dir(path), "io.safetensors"))
		if err != nil {
			t.Error(err)
			continue
		}
		defer io.Close()
		features, err := io.Float32("features")
		if err != nil {
			t.Error(err)
		}
		sum := make([]float64, len(features))
		info, _ := io.Info("features")
		batch, dim := info.Shape[0], info.Shape[1]
		for _, name := range f.Names() {
			base, _, _ := strings.Cut(name, ".")
			if !slices.Contains([]string{"attn_heads", "mlp", "conv", "init", "const"}, base) {
				continue
			}
			data, err := f.Float32(name)
			if err != nil {
				t.Error(err)
			}
			info, _ := f.Info(name)
			shape := append([]int{1, 1}, info.Shape...)
			inner := 1 // between picture and dim: the heads
			if base == "attn_heads" {
				inner = info.Shape[len(info.Shape)-2]
				shape = shape[:len(shape)-1]
			}
			if n := shape[len(shape)-2]; n != batch {
				t.Fatalf("%s: %v: %d pictures, want %d", path, info, n, batch)
			}
			for i, v := range data {
				sum[i/dim/inner%batch*dim+i%dim] += float64(v)
			}
		}
		largest, off := 0.0, 0.0
		for i, v := range features {
			largest = max(largest, math.Abs(float64(v)))
			off = max(off, math.Abs(float64(v)-sum[i]))
		}
		if off > 2e-6*largest { // README.md of the data: at most 7e-7
			t.Errorf("%s: the components miss the features by %g of %g", path, off, largest)
		}
	}
}

func FuzzNew(f *testing.F) {
	for _, test := range malformed {
		f.Add(test.file)
	}
	path := filepath.Join(f.TempDir(), "a.safetensors")
	if err := Write(path, map[string]string{"a": "b"}, sample); err != nil {
		f.Fatal(err)
	}
	valid, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	f.Fuzz(func(t *testing.T, content []byte) {
		file, err := New(bytes.NewReader(content), int64(len(content)), "fuzzed")
		if err != nil {
			if format := (*FormatError)(nil); !errors.As(err, &format) {
				t.Errorf("%v is no FormatError", err)
			}
			return
		}
		total := int64(0)
		for _, name := range file.Names() {
			info, _ := file.Info(name)
			data, err := file.Float64(name)
			if err != nil && info.DType != F8E4M3 && info.DType != F8E5M2 {
				t.Errorf("%v: %v", info, err)
			}
			if err == nil && len(data) != info.Len() {
				t.Errorf("%v: %d elements", info, len(data))
			}
			total += info.size
		}
		if total > int64(len(content)) {
			t.Errorf("tensors of %d bytes in a file of %d", total, len(content))
		}
	})
}

func BenchmarkFloat32(b *testing.B) {
	data := make([]float32, 1<<22)
	for i := range data {
		data[i] = float32(i%1000) / 7
	}
	for dtype, data := range map[DType]any{F32: data, F16: Half(data)} {
		b.Run(string(dtype), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "a.safetensors")
			if err := Write(path, nil, []Tensor{{"x", []int{1 << 22}, data}}); err != nil {
				b.Fatal(err)
			}
			f, err := Open(path)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			b.SetBytes(int64(dtype.Size()) << 22)
			for b.Loop() {
				if _, err := f.Float32("x"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func Example() {
	dir, err := os.MkdirTemp("", "safetensors")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "tiny.safetensors")
	err = Write(path, map[string]string{"format": "pt"}, []Tensor{
		{Name: "head.weight", Shape: []int{2, 2}, Data: []float32{1, 2, 3, 4}},
		{Name: "head.bias", Shape: []int{2}, Data: Half{0.5, -0.5}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		data, err := f.Float32(name)
		fmt.Println(info, data, err)
	}
	fmt.Println(slices.Sorted(maps.Keys(f.Metadata())))
	// Output:
	// head.weight F32 [2 2] [1 2 3 4] <nil>
	// head.bias F16 [2] [0.5 -0.5] <nil>
	// [format]
}

// A file larger than memory is written a piece at a time.
func ExampleCreate() {
	dir, err := os.MkdirTemp("", "safetensors")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	w, err := Create(filepath.Join(dir, "pieces.safetensors"), nil, []Info{{Name: "representation", DType: F32, Shape: []int{4, 2}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Abort()
	for picture := range 4 {
		if err := w.WriteFloat32At("representation", picture*2, []float32{float32(picture), 1}); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(w.Commit())
	// Output: <nil>
}
