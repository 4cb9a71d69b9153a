package npz

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vitdecompose/gomlxvit/golden"
)

// npy is a file of NumPy's with that header and numbers.
func npy(header string, numbers ...float32) string {
	var b bytes.Buffer
	b.WriteString("\x93NUMPY\x01\x00")
	b.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(header))))
	b.WriteString(header)
	for _, v := range numbers {
		_ = binary.Write(&b, binary.LittleEndian, v) // a buffer takes all
	}
	return b.String()
}

func header(descr, order, shape string) string {
	return fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': (%s), }\n", descr, order, shape)
}

func archive(t testing.TB, method uint16, files ...[2]string) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := zip.NewWriter(&buffer)
	for _, file := range files {
		f, err := w.CreateHeader(&zip.FileHeader{Name: file[0], Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, file[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func parse(content []byte) ([]Array, error) {
	return New(bytes.NewReader(content), int64(len(content)), "tiny.npz")
}

// A file that NumPy wrote: the head's kernel there is the transpose of the matrix that timm reads from it.
func TestNumPy(t *testing.T) {
	path := golden.Shared(t, "golden2", "files", "vit_deit_augreg.npz")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	arrays, err := parse(content)
	if err != nil {
		t.Fatal(err)
	}
	want := golden.Open(t, filepath.Join(golden.Dir(t, "vit_deit")), "model.safetensors")
	for _, array := range arrays {
		if array.Name != "head/kernel" {
			continue
		}
		got, err := array.Permuted(1, 0).Float32()
		if err != nil || !slices.Equal(got, want.Tensor(t, "head.weight")) {
			t.Errorf("%v (%v)", got, err)
		}
		return
	}
	t.Error("there is no head/kernel")
}

func TestArrays(t *testing.T) {
	for _, method := range []uint16{zip.Store, zip.Deflate} {
		arrays, err := parse(archive(t, method,
			[2]string{"a/b.npy", npy(header("<f4", "False", "2, 3"), 1, 2, 3, 4, 5, 6)},
			[2]string{"c.npy", npy(header("<f4", "True", "2, 3"), 1, 2, 3, 4, 5, 6)},
			[2]string{"d.npy", npy(header("|V2", "False", "2,"), 1)}, // 0, then the upper half of 1.0: bfloat16
			[2]string{"e.npy", npy(header("<f4", "False", ""), 7)},
			[2]string{"f.npy", npy(header("<f4", "False", "0,"))}))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []struct {
			name   string
			shape  []int
			values []float32
		}{{"a/b", []int{2, 3}, []float32{1, 2, 3, 4, 5, 6}}, {"c", []int{2, 3}, []float32{1, 3, 5, 2, 4, 6}}, {"d", []int{2}, []float32{0, 1}}, {"e", nil, []float32{7}}, {"f", []int{0}, nil}} {
			got, err := arrays[i].Float32()
			if err != nil || arrays[i].Name != want.name || !slices.Equal(arrays[i].Shape, want.shape) || !slices.Equal(got, want.values) {
				t.Errorf("%s: %v %v (%v), want %v %v", arrays[i].Name, arrays[i].Shape, got, err, want.shape, want.values)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	good := npy(header("<f4", "False", "1,"), 1)
	for _, test := range []struct{ name, content, want string }{
		{"a.npy", npy(header("|O", "False", "1,"), 1), `"|O" are not read`},
		{"a.npy", npy(header(">f4", "False", "1,"), 1), `">f4" are not read`},
		{"a.npy", npy(header("<f4", "False", "2,"), 1), "number 1 of 1"},
		{"a.npy", npy(header("<f4", "False", "99999999999999999999,"), 1), "shape"},
		{"a.npy", npy(header("<f4", "False", "4294967296, 4294967296"), 1), "more numbers"},
		{"a.npy", npy("{}", 1), "header"},
		{"a.npy", "NUMPY", "does not begin"},
		{"a.npy", "\x93NUMPY\x09\x00aaaa", "version 9"},
		{"a.npy", "\x93NUMPY\x02\x00\xff\xff\xff\xff", "a header of"},
		{"a.npy", good[:20], "EOF"},
		{"a.pkl", good, ".npy"},
	} {
		_, err := parse(archive(t, zip.Store, [2]string{test.name, test.content}))
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "tiny.npz") {
			t.Errorf("%q: error %v, want one with %q", test.content, err, test.want)
		}
	}
	if _, err := parse(archive(t, zip.Store, [2]string{"a.npy", good}, [2]string{"a.npy", good})); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("an array that is there twice: error %v", err)
	}
	if _, err := parse([]byte("PK\x03\x04")); err == nil || !strings.Contains(err.Error(), "get the file again") {
		t.Errorf("no archive: error %v", err)
	}
}

func FuzzNew(f *testing.F) {
	for _, method := range []uint16{zip.Store, zip.Deflate} {
		f.Add(archive(f, method, [2]string{"a.npy", npy(header("<f4", "True", "2, 1"), 1, 2)}))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		arrays, err := parse(content)
		if err != nil {
			return
		}
		for _, a := range arrays {
			if numbers, err := a.Float32(); err == nil && (len(numbers) != a.Len() || len(numbers) > max(len(content)*maxRatio, 1)) {
				t.Fatalf("%d numbers of %v", len(numbers), a.Shape)
			}
		}
	})
}

// FuzzHeader goes straight to the header of an array.
func FuzzHeader(f *testing.F) {
	f.Add(header("<f4", "True", "2, 3"))
	f.Fuzz(func(t *testing.T, text string) {
		arrays, err := parse(archive(t, zip.Store, [2]string{"a.npy", npy(text[:min(len(text), 1<<15)], 1, 2, 3, 4, 5, 6)}))
		if err != nil {
			return
		}
		if numbers, err := arrays[0].Float32(); err != nil || len(numbers) != arrays[0].Len() {
			t.Fatalf("%v: %v", arrays[0].Shape, err)
		}
	})
}
