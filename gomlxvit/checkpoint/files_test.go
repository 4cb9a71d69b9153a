package checkpoint

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vitdecompose/gomlxvit/safetensors"
	"vitdecompose/gomlxvit/torchfile"
)

// entry is a key of a dictionary and its value.
type entry struct {
	key   string
	value any
}

// number stands for a tensor of one number; namespace for an argparse.Namespace.
type (
	number    float32
	namespace []entry
)

// pickled writes values as Python's protocol 2 does: texts, whole numbers, floats, nil, []any, []entry, namespace, number.
func pickled(b *bytes.Buffer, storages map[string]string, value any) {
	text := func(s string) {
		b.WriteByte('X')
		b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(s))))
		b.WriteString(s)
	}
	switch value := value.(type) {
	case nil:
		b.WriteByte('N')
	case string:
		text(value)
	case int:
		b.WriteByte('J')
		b.Write(binary.LittleEndian.AppendUint32(nil, uint32(value)))
	case float64:
		b.WriteByte('G')
		b.Write(binary.BigEndian.AppendUint64(nil, math.Float64bits(value)))
	case []any:
		b.WriteString("](")
		for _, item := range value {
			pickled(b, storages, item)
		}
		b.WriteByte('e')
	case []entry:
		b.WriteString("}(")
		for _, e := range value {
			text(e.key)
			pickled(b, storages, e.value)
		}
		b.WriteByte('u')
	case namespace:
		b.WriteString("cargparse\nNamespace\n)\x81")
		pickled(b, storages, []entry(value))
		b.WriteByte('b')
	case number:
		key := fmt.Sprint(len(storages))
		storages[key] = string(binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(value))))
		b.WriteString("ctorch._utils\n_rebuild_tensor_v2\n((")
		text("storage")
		b.WriteString("ctorch\nFloatStorage\n")
		text(key)
		text("cpu")
		b.WriteString("K\x01tQK\x00K\x01\x85K\x01\x85\x89}tR")
	default:
		panic(fmt.Sprintf("%T", value))
	}
}

// saved is a file of torch.save.
func saved(t testing.TB, value any) []byte {
	var pickle bytes.Buffer
	pickle.WriteString("\x80\x02")
	storages := make(map[string]string)
	pickled(&pickle, storages, value)
	pickle.WriteByte('.')
	files := map[string]string{"a/data.pkl": pickle.String()}
	for key, content := range storages {
		files["a/data/"+key] = content
	}
	return zipped(t, files)
}

func zipped(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := zip.NewWriter(&buffer)
	for name, content := range files {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err == nil {
			_, err = io.WriteString(f, content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// The weights are found where timm finds them, and where self-supervised training puts them.
func TestStateOf(t *testing.T) {
	state := func(value float32) []entry { return []entry{{"head.bias", number(value)}} }
	for _, test := range []struct {
		name    string
		root    any
		want    map[string]float32
		assumed []string
		fails   string
	}{
		{"bare", state(1), map[string]float32{"head.bias": 1}, nil, ""},
		{"EMA first", []entry{{"state_dict", state(1)}, {"state_dict_ema", state(2)}}, map[string]float32{"head.bias": 2}, []string{"calls state_dict_ema (their moving average"}, ""},
		{"no EMA", []entry{{"state_dict", state(1)}, {"state_dict_ema", nil}}, map[string]float32{"head.bias": 1}, []string{"calls state_dict"}, ""},
		{"model_ema", []entry{{"model", state(1)}, {"model_ema", state(2)}}, map[string]float32{"head.bias": 2}, []string{"calls model_ema"}, ""},
		{"nested", []entry{{"model", []entry{{"state_dict", state(3)}}}, {"epoch", 3}}, map[string]float32{"head.bias": 3}, []string{"calls model.state_dict"}, ""},
		{"teacher", []entry{{"student", state(1)}, {"teacher", []entry{{"module.backbone.norm.bias", number(2)}, {"module.head.mlp.0.bias", number(3)}}}},
			map[string]float32{"module.backbone.norm.bias": 2}, []string{"calls teacher", "1 tensors beside those of the backbone"}, ""},
		{"others", []entry{{"head.bias", number(1)}, {"best", 0.5}}, map[string]float32{"head.bias": 1}, []string{"1 entries beside the weights"}, ""},
		{"nothing", []entry{{"epoch", 3}}, nil, nil, "there are no tensors"},
		{"a list", []any{3}, nil, nil, "holds a list"},
		{"a tensor", number(3), nil, nil, "holds one tensor"},
		{"a text", "x", nil, nil, "holds a value"},
	} {
		content := saved(t, test.root)
		tensors, assumed, err := openTensors(bytes.NewReader(content), int64(len(content)), "tiny.pth")
		if test.fails != "" {
			checkMessage(t, test.name, err, "tiny.pth", test.fails)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		got := make(map[string]float32)
		for _, name := range tensors.Names() {
			numbers, err := tensors.Float32(name)
			if err != nil || len(numbers) != 1 {
				t.Errorf("%s: %v (%v)", test.name, numbers, err)
				continue
			}
			got[name] = numbers[0]
		}
		if !cmp.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
		if len(assumed) != len(test.assumed) {
			t.Errorf("%s: assumed %q, want %q", test.name, assumed, test.assumed)
		}
		for i := range min(len(assumed), len(test.assumed)) {
			if !strings.Contains(assumed[i], test.assumed[i]) {
				t.Errorf("%s: assumed %q, want %q", test.name, assumed[i], test.assumed[i])
			}
		}
	}
}

// What a training of timm or of DeiT has written says the architecture and more.
func TestConfigurationInside(t *testing.T) {
	weights := entry{"state_dict", []entry{{"head.bias", number(1)}}}
	for _, test := range []struct {
		name  string
		root  []entry
		check func(c *Checkpoint) bool
		fails string
	}{
		{"arch", []entry{weights, {"arch", "vit_tiny_patch16_224"}}, func(c *Checkpoint) bool {
			return c.Architecture == "vit_tiny_patch16_224" && c.NumClasses == -1 && c.Counted && len(c.Assumptions) == 3
		}, ""},
		{"args", []entry{weights, {"arch", "vit_tiny_patch16_224"}, {"args", namespace{
			{"num_classes", 7}, {"gp", "avg"}, {"mean", []any{0.5, 0.5, 0.25}}, {"std", []any{0.5}}, {"crop_pct", 0.95}, {"interpolation", "bilinear"},
			{"img_size", 192}, {"model_kwargs", []entry{{"depth", 3}, {"qkv_bias", nil}}}, {"lr", 0.1}}}}, func(c *Checkpoint) bool {
			p := c.Preprocess
			return c.NumClasses == 7 && c.GlobalPool == "avg" && p.Mean == [3]float32{0.5, 0.5, 0.25} && p.Std == [3]float32{0.5, 0.5, 0.5} && p.CropPct == 0.95 &&
				p.Interpolation == "bilinear" && p.Size == [2]int{192, 192} && c.ModelArgs["depth"] == 3.0 && len(c.Assumptions) == 2
		}, ""},
		{"DeiT", []entry{weights, {"args", namespace{{"model", "deit_tiny_patch16_224"}, {"input_size", 224}, {"nb_classes", 5}}}}, func(c *Checkpoint) bool {
			return c.Architecture == "deit_tiny_patch16_224" && c.NumClasses == 5 && c.Preprocess.Size == [2]int{224, 224}
		}, ""},
		{"none", []entry{weights}, nil, "does not say what architecture"},
		{"wrong", []entry{weights, {"arch", "vit_tiny_patch16_224"}, {"args", namespace{{"num_classes", 0.5}}}}, nil, "num_classes"},
	} {
		files := checkpointFS(t, map[string]string{"last.pth.tar": string(saved(t, test.root))})
		c, err := OpenFS(files, "tiny")
		switch {
		case test.fails != "":
			checkMessage(t, test.name, err, test.fails, "tiny", "last.pth.tar")
		case err != nil:
			t.Errorf("%s: %v", test.name, err)
		case !test.check(c):
			t.Errorf("%s: read as %+v", test.name, c)
		}
	}
}

// A value may hold itself, or be in so many places that it could not be written out.
func TestPlainIsBounded(t *testing.T) {
	endless := &torchfile.List{}
	endless.Items = []any{endless, endless}
	budget := maxValues
	if plain(endless, &budget); budget >= 0 {
		t.Errorf("%d values are left", budget)
	}
}

// Both parts of split weights are read; a tensor in both is an error.
func TestTorchShards(t *testing.T) {
	first := string(saved(t, []entry{{"a", number(1)}}))
	files := map[string]string{
		timmConfig: tinyTimm, "pytorch_model.bin.index.json": "{}", "pytorch_model-00001-of-00002.bin": first,
		"pytorch_model-00002-of-00002.bin": string(saved(t, []entry{{"b", number(2)}})),
	}
	c, err := OpenFS(checkpointFS(t, files), "tiny")
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.Weights.Float32("b")
	if names := c.Weights.Names(); err != nil || !slices.Equal(names, []string{"a", "b"}) || !slices.Equal(b, []float32{2}) {
		t.Errorf("%v, b is %v (%v)", names, b, err)
	}
	if info, ok := c.Weights.Info("a"); !ok || info.DType != safetensors.F32 || !slices.Equal(info.Shape, []int{1}) {
		t.Errorf("a is %v", info)
	}
	if _, err := c.Weights.Float32("c"); err == nil {
		t.Error("there is a tensor c")
	}
	files["pytorch_model-00002-of-00002.bin"] = first
	_, err = OpenFS(checkpointFS(t, files), "tiny")
	checkMessage(t, "twice", err, "pytorch_model-00002-of-00002.bin", `"a"`, "pytorch_model-00001-of-00002.bin")
	delete(files, "pytorch_model-00002-of-00002.bin")
	_, err = OpenFS(checkpointFS(t, files), "tiny")
	checkMessage(t, "missing", err, "pytorch_model-00002-of-00002.bin is missing")
}

// npy is an array of float32 numbers 0, 1, 2, ... in NumPy's format.
func npy(shape ...int) string {
	count, sides := 1, ""
	for _, side := range shape {
		count *= side
		sides += fmt.Sprintf("%d, ", side)
	}
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }\n", sides)
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), 0)
	b = append(b, header...)
	for i := range count {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(i)))
	}
	return string(b)
}

// big_vision stacks all blocks in one array; what belongs to no picture is left out.
func TestStackedBlocks(t *testing.T) {
	const attention = "params/img/Transformer/encoderblock/MultiHeadDotProductAttention_0/"
	files := map[string]string{
		"params/img/embedding/kernel.npy": npy(1, 1, 3, 4), "params/img/pos_embedding.npy": npy(1, 1, 4), "params/txt/embedding.npy": npy(2),
		attention + "query/kernel.npy": npy(2, 4, 2, 2), attention + "key/kernel.npy": npy(2, 4, 2, 2), attention + "value/kernel.npy": npy(2, 4, 2, 2),
		attention + "query/bias.npy": npy(2, 2, 2), attention + "key/bias.npy": npy(2, 2, 2), attention + "value/bias.npy": npy(2, 2, 2),
		attention + "out/kernel.npy": npy(2, 2, 2, 4), "params/img/Transformer/encoderblock/LayerNorm_1/scale.npy": npy(2, 4),
		"params/img/Transformer/encoderblock/MlpBlock_0/Dense_1/kernel.npy": npy(2, 3, 4),
	}
	content := zipped(t, files)
	tensors, assumed, err := openTensors(bytes.NewReader(content), int64(len(content)), "tiny.npz")
	if err != nil {
		t.Fatal(err)
	}
	if len(assumed) != 2 || !strings.Contains(assumed[1], "1 arrays beside those of") {
		t.Errorf("assumed %q", assumed)
	}
	for name, want := range map[string]struct {
		shape []int
		first []float32 // numbers
	}{
		"patch_embed.proj.weight":   {[]int{4, 3, 1, 1}, []float32{0, 4, 8, 1}},
		"pos_embed":                 {[]int{1, 1, 4}, []float32{0, 1, 2, 3}},
		"blocks.0.attn.qkv.weight":  {[]int{12, 4}, []float32{0, 4, 8, 12, 1}},
		"blocks.1.attn.qkv.weight":  {[]int{12, 4}, []float32{16, 20, 24, 28, 17}},
		"blocks.1.attn.qkv.bias":    {[]int{12}, []float32{4, 5, 6, 7, 4}},
		"blocks.1.attn.proj.weight": {[]int{4, 4}, []float32{16, 20, 24, 28, 17}},
		"blocks.1.norm2.weight":     {[]int{4}, []float32{4, 5, 6, 7}},
		"blocks.1.mlp.fc2.weight":   {[]int{4, 3}, []float32{12, 16, 20, 13}},
	} {
		info, _ := tensors.Info(name)
		got, err := tensors.Float32(name)
		if err != nil || !slices.Equal(info.Shape, want.shape) || len(got) < len(want.first) || !slices.Equal(got[:len(want.first)], want.first) {
			t.Errorf("%s: %v %v (%v), want %v %v ...", name, info.Shape, got, err, want.shape, want.first)
		}
	}
	for remove, message := range map[string]string{
		attention + "key/kernel.npy":      "key missing beside it",
		"params/img/embedding/kernel.npy": "there is no array embedding/kernel",
	} {
		other := make(map[string]string)
		for name, content := range files {
			if name != remove {
				other[name] = content
			}
		}
		content := zipped(t, other)
		_, _, err := openTensors(bytes.NewReader(content), int64(len(content)), "tiny.npz")
		checkMessage(t, remove, err, "tiny.npz", message)
	}
	files[attention+"key/kernel.npy"] = npy(2, 4, 2, 3)
	content = zipped(t, files)
	tensors, _, err = openTensors(bytes.NewReader(content), int64(len(content)), "tiny.npz")
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := tensors.Info("blocks.0.attn.qkv.weight"); !slices.Equal(info.Shape, []int{14, 4}) {
		t.Errorf("queries, keys and values have the shape %v", info.Shape)
	}
}

// FuzzOpenTensors opens weights of any format and reads what they hold.
func FuzzOpenTensors(f *testing.F) {
	f.Add(saved(f, []entry{{"state_dict", []entry{{"module.backbone.a", number(1)}, {"b", number(2)}}}, {"arch", "x"}, {"args", namespace{{"mean", []any{0.5}}}}}), false)
	f.Add(zipped(f, map[string]string{"embedding/kernel.npy": npy(1, 1, 3, 4), "Transformer/encoderblock/MlpBlock_0/Dense_1/kernel.npy": npy(2, 3, 4)}), true)
	f.Fuzz(func(t *testing.T, content []byte, numpy bool) {
		path := map[bool]string{true: "a.npz", false: "a.pth"}[numpy]
		if saved, err := torchfile.New(bytes.NewReader(content), int64(len(content)), path); err == nil {
			if text, err := trainingConfig(saved.Root); err == nil && text != nil && !json.Valid(text) {
				t.Fatalf("configuration %q", text)
			}
		}
		tensors, _, err := openTensors(bytes.NewReader(content), int64(len(content)), path)
		if err != nil {
			return
		}
		for _, name := range tensors.Names() {
			info, ok := tensors.Info(name)
			numbers, err := tensors.Float32(name)
			if !ok || err == nil && len(numbers) != info.Len() {
				t.Fatalf("%s: %d numbers of %v", name, len(numbers), info.Shape)
			}
		}
	})
}
