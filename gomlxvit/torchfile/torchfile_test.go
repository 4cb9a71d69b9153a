package torchfile

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vitdecompose/gomlxvit/golden"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(golden.Shared(t, "golden2", "files", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func parse(content []byte) (*File, error) {
	return New(bytes.NewReader(content), int64(len(content)), "tiny.pth")
}

// Tensors of all kinds, in both formats, have the values that safetensors wrote of them.
func TestViews(t *testing.T) {
	want := golden.Open(t, filepath.Dir(golden.Shared(t, "golden2", "files", "views_expected.safetensors")), "views_expected.safetensors")
	for _, name := range []string{"views.pth", "views_legacy.pth", "views_nested.pth"} {
		f, err := parse(read(t, name))
		if err != nil {
			t.Fatal(err)
		}
		state := f.Root.(*Dict)
		if nested, ok := state.Get("state_dict"); ok {
			state = nested.(*Dict)
		}
		if len(state.Keys) != len(want.Names()) {
			t.Errorf("%s: %d tensors, want %d", name, len(state.Keys), len(want.Names()))
		}
		for _, key := range want.Names() {
			value, _ := state.Get(key)
			tensor, ok := value.(*Tensor)
			if !ok {
				t.Errorf("%s: %s is %T", name, key, value)
				continue
			}
			got, err := tensor.Float32()
			if err != nil {
				t.Errorf("%s: %s: %v", name, key, err)
			}
			info, _ := want.Info(key)
			if tensor.DType != info.DType || !slices.Equal(tensor.Shape, info.Shape) || !slices.Equal(got, want.Tensor(t, key)) {
				t.Errorf("%s: %s is %s %v %v, want %s %v %v", name, key, tensor.DType, tensor.Shape, got, info.DType, info.Shape, want.Tensor(t, key))
			}
		}
	}
}

// What else a checkpoint holds is there as it was saved.
func TestValues(t *testing.T) {
	f, err := parse(read(t, "views_nested.pth"))
	if err != nil {
		t.Fatal(err)
	}
	root := f.Root.(*Dict)
	get := func(d *Dict, key string) any {
		value, ok := d.Get(key)
		if !ok {
			t.Errorf("there is no %s", key)
		}
		return value
	}
	if epoch, note := get(root, "epoch"), get(root, "note"); epoch != any(int64(3)) || note != any("text") {
		t.Errorf("epoch %v, note %v", epoch, note)
	}
	nested := get(root, "nested").(*List).Items // [1, 2.5, None, True, {"k": (1, 2)}]
	if len(nested) != 5 || nested[0] != any(int64(1)) || nested[1] != any(2.5) || nested[2] != nil || nested[3] != any(true) {
		t.Errorf("nested is %v", nested)
	}
	if pair, ok := get(nested[4].(*Dict), "k").(Tuple); !ok || !slices.Equal(pair, Tuple{int64(1), int64(2)}) {
		t.Errorf("the tuple is %v", pair)
	}
}

// A file that asks for anything else is refused by the name of what it asks for, and leaves nothing behind.
func TestHostile(t *testing.T) {
	for name, asked := range map[string]string{"hostile.pth": "io.open", "hostile_legacy.pth": "posix.system", "hostile_plain.pkl.pth": "posix.system"} {
		content := read(t, name)
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			_, err := parse(content)
			var refused *RefusedError
			if !errors.As(err, &refused) || refused.Name != asked || !strings.Contains(err.Error(), "tiny.pth") {
				t.Errorf("error %v, want one about %s", err, asked)
			}
			if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
				t.Errorf("%v is left behind (%v)", left, err)
			}
		})
	}
}

// archive is a zip of torch.save around a pickle, with a storage of four bytes called 0.
func archive(t testing.TB, pickle string) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := zip.NewWriter(&buffer)
	for name, content := range map[string]string{"a/data.pkl": pickle, "a/data/0": "\x00\x00\x80\x3f", "a/byteorder": "little"} {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// tensorOf is the pickle of a float32 tensor of the storage 0: offset, then shape and strides, opcodes that make tuples.
func tensorOf(offset, shape, strides string) string {
	return "\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ" +
		offset + shape + strides + "\x89}tR."
}

func TestTensorsOutOfRange(t *testing.T) {
	one := "K\x01\x85"
	big := "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f" // 2^63-1
	for _, test := range []struct{ pickle, want string }{
		{tensorOf("K\x00", one, one), ""},
		{tensorOf("K\x01", one, one), "number 1 of 1"},
		{tensorOf("K\x00", "K\x02\x85", one), "number 1 of 1"},
		{tensorOf("K\x00", big+"\x85", "K\x00\x85"), "more numbers"},
		{tensorOf("K\x00", big+big+"\x86", "K\x00K\x00\x86"), "more numbers"},
		{tensorOf("K\x00", "K\x02\x85", big+"\x85"), "number"},
		{tensorOf(big, "K\x02\x85", big+"\x85"), "more numbers"},
		{tensorOf("J\xff\xff\xff\xff", one, one), "not a sound pickle"},
		{tensorOf("K\x00", "J\xff\xff\xff\xff\x85", one), "negative"},
		{tensorOf("K\x00", one, "J\xff\xff\xff\xff\x85"), "negative"},
		{tensorOf("K\x00", one, "K\x01K\x01\x86"), "axes"},
		{tensorOf("N", one, one), "other arguments"},
		{strings.Replace(tensorOf("K\x00", one, one), "FloatStorage", "ComplexFloatStorage", 1), "torch.ComplexFloatStorage"},
		{strings.Replace(tensorOf("K\x00", one, one), "\x000X", "\x007X", 1), "data/7"},
		{"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", "other arguments"},
		{"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\x7f", "cut short"},
		{"\x80\x02}", "cut short"},
		{"\x80\x09", "protocol 9"},
		{"\x80\x02(", "cut short"},
		{"\x80\x02(.", "a mark"},
		{"\x80\x02.", "nothing is left"},
		{"\x80\x02h\x07.", "nothing is remembered"},
		{"\x80\x02}}N s.", "opcode"},
		{"\x80\x02}}Ns.", "key that is *torchfile.Dict"},
		{"\x80\x02}(Nu.", "a key without"},
		{"\x80\x02cargparse\nNamespace\n)\x81Nb.", "state of a Namespace"},
		{"\x80\x02cbuiltins\neval\n.", "builtins.eval"},
		{"\x80\x02c__torch__.net\nNet\n.", "__torch__.net.Net"},
	} {
		f, err := parse(archive(t, test.pickle))
		switch {
		case test.want == "" && err == nil:
			if data, err := f.Root.(*Tensor).Float32(); err != nil || !slices.Equal(data, []float32{1}) {
				t.Errorf("%q: %v (%v)", test.pickle, data, err)
			}
		case err == nil || test.want == "" || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "tiny.pth"):
			t.Errorf("%q: error %v, want one with %q", test.pickle, err, test.want)
		}
	}
}

// A state dict is an ordered dictionary with attributes, which are left out; other containers are what they contain.
func TestContainers(t *testing.T) {
	const ordered = "ccollections\nOrderedDict\n"
	for pickle, keys := range map[string]int{
		ordered + ")R(X\x01\x00\x00\x00aK\x01u}X\x09\x00\x00\x00_metadata" + ordered + ")Rsb.": 1,
		ordered + "](K\x01K\x02\x86](K\x02K\x03ee\x85R.":                                       2,
		"ccollections\nCounter\n}K\x05K\x01s\x85R.":                                            1,
		"(K\x01K\x02d.": 1,
	} {
		f, err := parse(archive(t, "\x80\x02"+pickle))
		if err != nil {
			t.Errorf("%q: %v", pickle, err)
		} else if d, ok := f.Root.(*Dict); !ok || len(d.Keys) != keys {
			t.Errorf("%q: %v", pickle, f.Root)
		}
	}
	for pickle, items := range map[string]int{
		"c__builtin__\nset\n](K\x01K\x02e\x85R.": 2, "\x8f(K\x01\x90.": 1, "(K\x01\x91.": 1, "(K\x01K\x02l.": 2, "cbuiltins\nset\n)R.": 0,
	} {
		f, err := parse(archive(t, "\x80\x04"+pickle))
		if err != nil {
			t.Errorf("%q: %v", pickle, err)
		} else if list, ok := f.Root.(*List); !ok || len(list.Items) != items {
			t.Errorf("%q: %v", pickle, f.Root)
		}
	}
}

// What a short pickle could make long by naming one value again and again is refused.
func TestRepetitionIsBounded(t *testing.T) {
	pairs := "](" + strings.Repeat("K\x01K\x02\x86", 1<<12) + "eq\x010"
	text := "X\x00\x10\x00\x00" + strings.Repeat("a", 1<<12) + "q\x010"
	for _, pickle := range []string{
		pairs + strings.Repeat("ccollections\nOrderedDict\nh\x01\x85R0", 1<<10+1) + "N.",
		text + strings.Repeat("c_codecs\nencode\nh\x01X\x06\x00\x00\x00latin1\x86R0", 1<<10+1) + "N.",
	} {
		if _, err := parse(archive(t, "\x80\x02"+pickle)); err == nil || !strings.Contains(err.Error(), "copy more than") {
			t.Errorf("%.40q: error %v", pickle, err)
		}
	}
}

// Numbers of NumPy, which training scripts put beside the weights, sets, and integers of any length.
func TestNumbers(t *testing.T) {
	float := "cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\x00\x00\x00f8K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
	for _, test := range []struct {
		pickle string
		want   any
	}{
		{float + "B\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf8\x3f\x86R.", 1.5},
		{float + "c_codecs\nencode\nX\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\xc3\xb8\x3fX\x06\x00\x00\x00latin1\x86R\x86R.", 1.5},
		{"\x8a\x01\xfe.", int64(-2)}, {"\x8a\x00.", int64(0)}, {"I01\n.", true}, {"I12\n.", int64(12)}, {"L12L\n.", int64(12)}, {"F1.5\n.", 1.5},
		{"J\xfe\xff\xff\xff.", int64(-2)}, {"M\x01\x02.", int64(0x201)}, {"G\x3f\xf8\x00\x00\x00\x00\x00\x00.", 1.5},
		{"ctorch\ndevice\nX\x03\x00\x00\x00cpu\x85R.", "cpu"},
		{"K\x01K\x020.", int64(1)}, {"K\x01(K\x021.", int64(1)}, {"p5\nK\x07g5\n.", nil},
	} {
		f, err := parse(archive(t, "\x80\x02"+test.pickle))
		if test.want == nil {
			if err == nil {
				t.Errorf("%q: no error", test.pickle)
			}
			continue
		}
		if err != nil || f.Root != test.want {
			t.Errorf("%q: %v (%v), want %v", test.pickle, f, err, test.want)
		}
	}
}

// Every file that ends early is an error.
func TestCutFiles(t *testing.T) {
	for _, name := range []string{"views.pth", "views_legacy.pth"} {
		content := read(t, name)
		for end := range content {
			if _, err := parse(content[:end]); err == nil || !strings.Contains(err.Error(), "tiny.pth") {
				t.Fatalf("%s cut to %d bytes: error %v", name, end, err)
			}
		}
	}
}

func FuzzNew(f *testing.F) {
	for _, name := range []string{"views.pth", "views_legacy.pth", "views_nested.pth", "hostile.pth", "hostile_legacy.pth", "hostile_plain.pkl.pth"} {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, content []byte) { check(t, content) })
}

// FuzzPickle goes straight to the opcodes.
func FuzzPickle(f *testing.F) {
	f.Add([]byte(tensorOf("K\x00", "K\x01\x85", "K\x01\x85")))
	f.Add([]byte("\x80\x02}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00b](K\x01Neucargparse\nNamespace\n)\x81}b\x86."))
	f.Fuzz(func(t *testing.T, pickle []byte) { check(t, archive(t, string(pickle))) })
}

// check reads all tensors of a file that opens.
func check(t *testing.T, content []byte) {
	l := &loader{reader: bytes.NewReader(content), size: int64(len(content)), storages: make(map[string]*storage)}
	if _, err := l.load(); err != nil {
		return
	}
	for _, tensor := range l.tensors {
		numbers, err := tensor.Float32()
		if err == nil && len(numbers) != tensor.Len() || len(numbers) > max(len(content), 1) {
			t.Fatalf("%d numbers of %v", len(numbers), tensor.Shape)
		}
	}
}
