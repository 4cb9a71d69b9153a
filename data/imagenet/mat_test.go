package imagenet

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// matWriter writes a MAT-file element by element, as "MAT-File Format" has it.
type matWriter struct{ order binary.AppendByteOrder }

func (w matWriter) file(elements ...[]byte) []byte {
	b := []byte(fmt.Sprintf("%-116s", "MATLAB 5.0 MAT-file, Platform: GLNXA64"))
	b = append(b, make([]byte, 8)...)
	b = w.order.AppendUint16(b, 0x0100)
	b = w.order.AppendUint16(b, 'M'<<8|'I') // read as IM where bytes are swapped
	for _, e := range elements {
		b = append(b, e...)
	}
	return b
}

// element writes small data in the short form, as MATLAB does.
func (w matWriter) element(kind uint32, data []byte) []byte {
	if len(data) > 0 && len(data) <= 4 {
		b := w.order.AppendUint32(nil, uint32(len(data))<<16|kind)
		return append(append(b, data...), make([]byte, 4-len(data))...)
	}
	b := w.order.AppendUint32(nil, kind)
	b = w.order.AppendUint32(b, uint32(len(data)))
	b = append(b, data...)
	return append(b, make([]byte, -uint32(len(data))%8)...)
}

func (w matWriter) ints(values ...int) (b []byte) {
	for _, v := range values {
		b = w.order.AppendUint32(b, uint32(v))
	}
	return b
}

func (w matWriter) matrix(class int, name string, dims []int, content ...[]byte) []byte {
	b := w.element(matUint32, w.ints(class, 0))
	b = append(b, w.element(matInt32, w.ints(dims...))...)
	b = append(b, w.element(matInt8, []byte(name))...)
	for _, c := range content {
		b = append(b, c...)
	}
	return w.element(matMatrix, b)
}

// number is a double stored as a byte where that is enough.
func (w matWriter) number(v float64) []byte {
	data := w.element(matUint8, []byte{byte(v)})
	if v < 0 || v > 255 || v != math.Trunc(v) {
		data = w.element(matDouble, w.order.AppendUint64(nil, math.Float64bits(v)))
	}
	return w.matrix(classDouble, "", []int{1, 1}, data)
}

func (w matWriter) text(s string) []byte {
	var b []byte
	units := utf16.Encode([]rune(s))
	for _, u := range units {
		b = w.order.AppendUint16(b, u)
	}
	return w.matrix(classChar, "", []int{1, len(units)}, w.element(matUint16, b))
}

// structs writes an n x 1 struct array.
func (w matWriter) structs(name string, fields []string, values ...[]byte) []byte {
	const length = 32
	var names []byte
	for _, f := range fields {
		names = append(names, make([]byte, length)...)
		copy(names[len(names)-length:], f)
	}
	content := slices.Concat(values...)
	return w.matrix(classStruct, name, []int{len(values) / len(fields), 1}, w.element(matInt32, w.ints(length)), w.element(matInt8, names), content)
}

func (w matWriter) compressed(element []byte) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, err := z.Write(element)
	if err = cmpErr(err, z.Close()); err != nil {
		panic(err)
	}
	head := w.order.AppendUint32(nil, matCompressed)
	return append(w.order.AppendUint32(head, uint32(b.Len())), b.Bytes()...)
}

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// synset is a row of meta.mat.
type synset struct {
	id          int
	wnid, words string
}

// meta writes meta.mat, compressed as the development kit has it, with the fields of the genuine one.
func meta(w matWriter, synsets []synset) []byte {
	fields := []string{"ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height", "num_train_images"}
	var values [][]byte
	for _, s := range synsets {
		empty := w.matrix(classDouble, "", []int{0, 0}, w.element(matDouble, nil))
		values = append(values, w.number(float64(s.id)), w.text(s.wnid), w.text(s.words), w.text("what it is"), w.number(0), empty, w.number(0), w.number(1300))
	}
	return w.file(w.compressed(w.structs("synsets", fields, values...)))
}

// TestReadMAT: both byte orders, compressed or not, and all kinds of arrays.
func TestReadMAT(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		w := matWriter{order}
		s := w.structs("s", []string{"id", "name"}, w.number(7), w.text("tench"), w.number(-1.5), w.text("größer 😀"))
		cells := w.matrix(classCell, "cells", []int{1, 3}, w.number(300), w.text(""), w.element(matMatrix, nil))
		single := w.matrix(classDouble+1, "single", []int{2, 1}, w.element(matSingle, w.ints(int(math.Float32bits(0.5)), int(math.Float32bits(-2)))))
		latin := w.matrix(classChar, "latin", []int{1, 2}, w.element(matUint8, []byte{'a', 0xe4}))
		utf8 := w.matrix(classChar, "utf8", []int{1, 2}, w.element(matUTF8, []byte("aä")))
		other := w.matrix(5, "sparse", []int{1, 1}, w.element(matInt32, w.ints(0)))
		for name, content := range map[string][]byte{
			"plain":      w.file(s, cells, single, latin, utf8, other),
			"compressed": w.file(w.compressed(s), w.compressed(cells), single, w.compressed(latin), utf8, w.compressed(other)),
		} {
			arrays, err := readMAT(content)
			if err != nil || len(arrays) != 6 {
				t.Fatalf("%v %s: %d arrays, %v", order, name, len(arrays), err)
			}
			got := arrays[0]
			if got.name != "s" || got.structs() != 2 || !slices.Equal(got.fields, []string{"id", "name"}) {
				t.Errorf("%v %s: %+v", order, name, got)
			}
			if got.field(0, "id").numbers[0] != 7 || got.field(1, "id").numbers[0] != -1.5 || got.field(0, "name").text != "tench" || got.field(1, "name").text != "größer 😀" {
				t.Errorf("%v %s: %+v", order, name, got)
			}
			if missing := got.field(2, "id"); missing.numbers != nil || got.field(0, "age").text != "" {
				t.Errorf("%v %s: what is not there is %+v", order, name, missing)
			}
			if c := arrays[1]; len(c.arrays) != 3 || c.arrays[0].numbers[0] != 300 || c.arrays[1].text != "" || c.arrays[2].numbers != nil {
				t.Errorf("%v %s: cells %+v", order, name, c)
			}
			if !slices.Equal(arrays[2].numbers, []float64{0.5, -2}) || arrays[3].text != "aä" || arrays[4].text != "aä" {
				t.Errorf("%v %s: %+v %+v %+v", order, name, arrays[2], arrays[3], arrays[4])
			}
		}
	}
}

func TestReadMATDamaged(t *testing.T) {
	w := matWriter{binary.LittleEndian}
	whole := w.file(w.structs("s", []string{"id", "name"}, w.number(7), w.text("tench"), w.number(300), w.text("goldfish")))
	for n := range len(whole) {
		if n == matHeader { // a file without arrays
			continue
		}
		if _, err := readMAT(whole[:n]); err == nil {
			t.Errorf("cut at byte %d of %d: no error", n, len(whole))
		}
	}
	huge := w.matrix(classCell, "c", []int{1 << 20, 1 << 20}, w.number(1))
	many := w.matrix(classCell, "c", []int{1 << 20, 1}, w.number(1))
	deep := w.number(1)
	for range matDepth + 1 {
		deep = w.matrix(classCell, "", []int{1, 1}, deep)
	}
	for name, test := range map[string]struct {
		content []byte
		want    string
	}{
		"empty":          {nil, "too short"},
		"text":           {bytes.Repeat([]byte("x"), 200), "not a MAT-file of version 5"},
		"version 7.3":    {append(slices.Clone(whole[:124]), "\x00\x02IM"...), "version 0x200"},
		"huge":           {w.file(huge), "damaged"},
		"many":           {w.file(many), "damaged"},
		"deep":           {w.file(deep), "nested deeper"},
		"no compression": {w.file([]byte{matCompressed, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4}), "damaged"},
	} {
		if _, err := readMAT(test.content); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
	}
}

func FuzzReadMAT(f *testing.F) {
	w := matWriter{binary.LittleEndian}
	f.Add(w.file(w.structs("s", []string{"id", "name"}, w.number(7), w.text("tench"))))
	f.Add(meta(w, []synset{{1, "n01440764", "tench, Tinca tinca"}, {1001, "n00001740", "entity"}}))
	f.Add(matWriter{binary.BigEndian}.file(w.matrix(classCell, "c", []int{1, 1}, w.number(1000))))
	f.Fuzz(func(t *testing.T, content []byte) {
		arrays, err := readMAT(content)
		if err != nil {
			return
		}
		for _, a := range arrays {
			for i := range a.structs() {
				a.field(i, "WNID")
			}
		}
		// What the development kit's reader makes of it.
		if wnids, words, err := parseMeta(content); err == nil && (len(wnids) != numClasses || len(words) != numClasses) {
			t.Errorf("%d classes, %d words", len(wnids), len(words))
		}
	})
}
