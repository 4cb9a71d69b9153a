package onnx

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit/discover"
	"vitdecompose/gomlxvit/golden"
)

// picture is a file with these nodes between pixels "x" [batch, 3, 4, 4] and the output "y".
func picture(nodes []*node, initializers ...*tensor) *file {
	shape := []dimension{{param: "batch"}, {value: 3, known: true}, {value: 4, known: true}, {value: 4, known: true}}
	return &file{
		irVersion: 8, opsets: map[string]int64{"": 18, "com.microsoft": 1},
		graph: &graphProto{
			name: "test", nodes: nodes, initializers: initializers,
			inputs:  []*valueInfo{{name: "x", elemType: typeFloat, hasShape: true, tensor: true, dims: shape}},
			outputs: []*valueInfo{{name: "y", elemType: typeFloat, tensor: true}},
		},
	}
}

func op(name string, inputs []string, output string, attributes ...*attribute) *node {
	return &node{name: "layer/" + name, op: name, inputs: inputs, outputs: []string{output}, attributes: attributes}
}

// named gives a tensor a name.
func named(name string, t *tensor) *tensor {
	t.name = name
	return t
}

// Files that cannot be, or ask for more than there is, are refused in one line that names the place.
func TestHostile(t *testing.T) {
	var chain []*node
	for i := range maxNodes + 1 {
		chain = append(chain, op("Relu", []string{"x"}, strings.Repeat("y", 1+i%7)+string(rune('a'+i%26))))
	}
	huge := int64Tensor([]int64{1 << 20, 1 << 20}, 2)
	cases := map[string]struct {
		file *file
		want string
	}{
		"cycle":          {picture([]*node{op("Add", []string{"x", "b"}, "a"), op("Relu", []string{"a"}, "b"), op("Relu", []string{"b"}, "y")}), "cycle"},
		"own result":     {picture([]*node{op("Add", []string{"x", "y"}, "y")}), "cycle"},
		"nothing":        {picture([]*node{op("Add", []string{"x", "z"}, "y")}), `reads "z", which nothing computes`},
		"made twice":     {picture([]*node{op("Relu", []string{"x"}, "y"), op("Abs", []string{"x"}, "y")}), "made twice"},
		"no output":      {picture([]*node{op("Relu", []string{"x"}, "z")}), `"y" is not computed`},
		"unknown":        {picture([]*node{op("FancyNet", []string{"x"}, "y")}), `node "layer/FancyNet" (FancyNet): this operator is not supported`},
		"attribute":      {picture([]*node{op("Softmax", []string{"x"}, "y", integer("axis", 1), integer("twist", 3))}), `its attribute "twist", 3, is not supported`},
		"many":           {picture(chain), "nodes, more than"},
		"huge constant":  {picture([]*node{op("ConstantOfShape", []string{"s"}, "c"), op("Add", []string{"x", "c"}, "y")}, named("s", huge)), "more than"},
		"huge expand":    {picture([]*node{op("Expand", []string{"x", "s"}, "y")}, named("s", huge)), "more than"},
		"negative":       {picture([]*node{op("Add", []string{"x", "w"}, "y")}, &tensor{name: "w", dims: []int64{-4}, dataType: typeFloat}), "cannot be"},
		"overflow":       {picture([]*node{op("Add", []string{"x", "w"}, "y")}, &tensor{name: "w", dims: []int64{1 << 40, 1 << 40}, dataType: typeFloat}), "cannot be"},
		"too short":      {picture([]*node{op("Add", []string{"x", "w"}, "y")}, &tensor{name: "w", dims: []int64{4}, dataType: typeFloat, raw: make([]byte, 8)}), "has 8 bytes instead of 16"},
		"wide pad":       {picture([]*node{op("Pad", []string{"x", "p"}, "y")}, named("p", int64Tensor([]int64{0, 0, 1 << 30, 1 << 30, 0, 0, 0, 0}, 8))), "more than"},
		"axis":           {picture([]*node{op("Pad", []string{"x", "p", "", "a"}, "y")}, named("p", int64Tensor([]int64{1, 1}, 2)), named("a", int64Tensor([]int64{9}, 1))), "no axis 9"},
		"dilated":        {picture([]*node{op("MaxPool", []string{"x"}, "y", ints("kernel_shape", 2, 2), ints("strides", 3, 3), integer("ceil_mode", 1))}), "ceil_mode"},
		"wide kernel":    {picture([]*node{op("MaxPool", []string{"x"}, "y", ints("kernel_shape", 9, 9))}), "larger than the map"},
		"shape mismatch": {picture([]*node{op("MatMul", []string{"x", "w"}, "y")}, named("w", float32Tensor(make([]float32, 9), 3, 3))), "do not match"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			data := c.file.encode()
			g, err := Parse(data, "", 0)
			if err == nil { // it fails where the graph is built, if at all
				_, err = discover.NewModel("test", g.function(""), weightTensors(g), discover.Options{Size: 4})
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want a line with %q", err, c.want)
			}
		})
	}
}

// Data beside the model is read from there only.
func TestExternalData(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	model := filepath.Join(dir, "model")
	if err := os.Mkdir(model, 0o755); err != nil {
		t.Fatal(err)
	}
	data := float32Tensor([]float32{1, 2, 3, 4}).raw
	for _, path := range []string{secret, filepath.Join(model, "weights")} {
		if err := os.WriteFile(path, append(make([]byte, 8), data...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(secret, filepath.Join(model, "link")); err != nil {
		t.Fatal(err)
	}
	parse := func(location, offset, length string) (*Graph, error) {
		f := picture([]*node{op("Add", []string{"x", "w"}, "y")}, &tensor{name: "w", dims: []int64{4}, dataType: typeFloat})
		// encode writes no external data: it is added as bytes.
		raw := f.encodeExternal(map[string]string{"location": location, "offset": offset, "length": length})
		return Parse(raw, model, 0)
	}
	g, err := parse("weights", "8", "16")
	if err != nil {
		t.Fatal(err)
	}
	golden.Close(t, "external data", g.Weights[0].Data, []float32{1, 2, 3, 4}, 0)
	for name, c := range map[string][4]string{
		"above":   {"../secret", "8", "16", "not beside the model"},
		"rooted":  {secret, "8", "16", "not beside the model"},
		"link":    {"link", "8", "16", "cannot be read"},
		"missing": {"none", "8", "16", "put it beside the model"},
		"beyond":  {"weights", "12", "16", "has only 24"},
		"offset":  {"weights", "-8", "16", "not a number"},
		"length":  {"weights", "8", "12", "12 bytes instead of 16"},
	} {
		if _, err := parse(c[0], c[1], c[2]); err == nil || !strings.Contains(err.Error(), c[3]) {
			t.Errorf("%s: got %v, want %q", name, err, c[3])
		}
	}
}

// encodeExternal encodes a file with one initializer, whose data lies elsewhere.
func (f *file) encodeExternal(where map[string]string) []byte {
	weight := f.graph.initializers[0]
	f.graph.initializers = nil
	graph := f.graph.encode()
	f.graph.initializers = []*tensor{weight}
	var t []byte
	for _, d := range weight.dims {
		t = appendVarint(t, 1, uint64(d))
	}
	t = appendString(appendVarint(t, 2, uint64(weight.dataType)), 8, weight.name)
	for key, value := range where {
		t = appendBytes(t, 13, appendString(appendString(nil, 1, key), 2, value))
	}
	graph = appendBytes(graph, 5, appendVarint(t, 14, 1))
	b := appendBytes(appendVarint(nil, 1, f.irVersion), 7, graph)
	return appendBytes(b, 8, appendVarint(appendString(nil, 1, ""), 2, 18))
}

// Reference: the example "resize_upsample_scales_cubic" of ONNX's operator documentation.
func TestResizeCubic(t *testing.T) {
	matrix, err := resizeMatrix(4, 8, 2, "cubic", "half_pixel", "", -0.75, false)
	if err != nil {
		t.Fatal(err)
	}
	// Rows and columns of 1..16: the first row of the result.
	var got []float32
	for i := range 8 {
		var sum float32
		for k := range 4 {
			sum += matrix[k*8+i]*float32(k+1) + matrix[k*8]*float32(4*k)
		}
		got = append(got, sum)
	}
	want := []float32{0.47265625, 0.76953125, 1.24609375, 1.875, 2.28125, 2.91015625, 3.38671875, 3.68359375}
	golden.Close(t, "first row", got, want, 1e-6)
}

// Reference: the example of InstanceNormalization in ONNX's operator documentation.
func TestInstanceNormalization(t *testing.T) {
	f := picture([]*node{op("InstanceNormalization", []string{"x", "s", "b"}, "y")},
		named("s", float32Tensor([]float32{1, 1.5, 2}, 3)), named("b", float32Tensor([]float32{0, 1, 0}, 3)))
	f.graph.inputs[0].dims[2] = dimension{value: 1, known: true}
	f.graph.inputs[0].dims[3] = dimension{value: 3, known: true}
	g, err := Parse(f.encode(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	x := tensors.FromFlatDataAndDimensions([]float32{-1, 0, 1, 2, 3, 4, 0, 0, 0}, 1, 3, 1, 3)
	r := float32(1 / math.Sqrt(2.0/3+1e-5))
	golden.Close(t, "norm", tensors.MustCopyFlatData[float32](runGraph(t, g, x, "y")[0]),
		[]float32{-r, 0, r, 1 - 1.5*r, 1, 1 + 1.5*r, 0, 0, 0}, 1e-6)
}

// Whatever the bytes are, reading them ends in a graph or an error.
func FuzzParse(f *testing.F) {
	for _, path := range []string{"testdata/hf_vit/fused.onnx", "testdata/nest/nest_dynamo18.onnx"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(picture([]*node{op("Relu", []string{"x"}, "y")}).encode())
	f.Add(picture([]*node{op("Pad", []string{"x", "p"}, "y")}, named("p", int64Tensor([]int64{0, 0, 1, 1, 0, 0, 1, 1}, 8))).encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		if g, err := Parse(data, "", 8); err == nil && (len(g.Outputs) == 0 || g.Input == "") {
			t.Error("a graph without output or input")
		}
	})
}

// Configurations are read or refused.
func FuzzConfiguration(f *testing.F) {
	f.Add([]byte(`{"image_mean":[0.5,0.5,0.5],"image_std":[0.5,0.5,0.5],"size":{"shortest_edge":256},"crop_size":224,"do_center_crop":true,"resample":3}`),
		[]byte(`{"id2label":{"0":"cat","1":"dog"},"image_size":224}`))
	f.Add([]byte(`{"size":224}`), []byte(`{"pretrained_cfg":{"mean":[0,0,0],"std":[1,1,1],"input_size":[3,224,224],"crop_pct":0.9}}`))
	f.Fuzz(func(t *testing.T, processor, config []byte) {
		dir := t.TempDir()
		for name, content := range map[string][]byte{processorFile: processor, configFile: config} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if c, err := readConfiguration(filepath.Join(dir, "model.onnx")); err == nil && c == nil {
			t.Error("neither a configuration nor an error")
		}
	})
}

func TestConfiguration(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(processorFile, `{"image_mean":[0.1,0.2,0.3],"image_std":[0.4,0.5,0.6],"size":{"shortest_edge":256},"crop_size":{"height":224,"width":224},"do_center_crop":true,"resample":2}`)
	write(configFile, `{"id2label":{"1":"dog","0":"cat"},"image_size":224}`)
	c, err := readConfiguration(filepath.Join(dir, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	p := c.preprocess
	if c.size != 224 || p.CropPct != 0.875 || p.Interpolation != "bilinear" || p.Mean != [3]float32{0.1, 0.2, 0.3} || p.Std != [3]float32{0.4, 0.5, 0.6} {
		t.Errorf("got %+v for pictures of %d", p, c.size)
	}
	if len(c.classes) != 2 || c.classes[0] != "cat" || c.classes[1] != "dog" {
		t.Errorf("classes %q", c.classes)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "onnx"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(dir); err == nil || !strings.Contains(err.Error(), "0 ONNX files") {
		t.Errorf("got %v", err)
	}
	// Each goes before those before it.
	for _, name := range []string{"tiny.onnx", "model.onnx", filepath.Join("onnx", "model.onnx")} {
		want := filepath.Join(dir, name)
		if err := os.WriteFile(want, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{dir, want} {
			if got, err := Find(path); err != nil || got != want {
				t.Errorf("%s: got %q, %v, want %q", path, got, err, want)
			}
		}
	}
	if err := os.Remove(filepath.Join(dir, "onnx", "model.onnx")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "model.onnx"), filepath.Join(dir, "other.onnx")); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(dir); err == nil || !strings.Contains(err.Error(), "2 ONNX files") {
		t.Errorf("got %v", err)
	}
}

// What a model is called, how its pictures are prepared and what its classes are is read beside it; options go first.
func TestOpen(t *testing.T) {
	content, err := os.ReadFile("testdata/hf_vit/hf_vit_legacy17.onnx")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	labels := `{"id2label":{"0":"a","1":"b","2":"c","3":"d","4":"e","5":"f","6":"g","7":"h","8":"i","9":"j"}}`
	for name, content := range map[string][]byte{
		"model.onnx": content, configFile: []byte(labels),
		processorFile: []byte(`{"image_mean":[0.1,0.2,0.3],"image_std":[0.4,0.5,0.6],"size":{"height":48,"width":48},"resample":2}`),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, err := Open(dir, Options{Std: &[3]float32{1, 1, 1}})
	if err != nil {
		t.Fatal(err)
	}
	if m.Preprocess.Mean != [3]float32{0.1, 0.2, 0.3} || m.Preprocess.Std != [3]float32{1, 1, 1} || m.Preprocess.Size != [2]int{48, 48} || m.Preprocess.CropMode != "squash" {
		t.Errorf("pictures are prepared as %+v", m.Preprocess)
	}
	if len(m.ClassNames) != 10 || m.ClassNames[9] != "j" {
		t.Errorf("classes %q", m.ClassNames)
	}
	if m.Arch.InputSize() != 48 || m.Arch.PrefixTokens() != 1 || m.Arch.NumClasses() != 10 || len(m.Arch.Blocks()) != 3 {
		t.Errorf("pictures of %d, %d tokens before theirs, %d classes, %d blocks", m.Arch.InputSize(), m.Arch.PrefixTokens(), m.Arch.NumClasses(), len(m.Arch.Blocks()))
	}
	for want, opts := range map[string]Options{
		`there is no output "none"`: {Output: "none"},
		"takes pictures of 48":      {Size: 64},
	} {
		if _, err := Open(dir, opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
