package gomlxvit_test

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/golden"
	"vitdecompose/gomlxvit/safetensors"
)

// goBackend computes tiny models without the seconds that XLA takes to compile them.
var goBackend = sync.OnceValue(func() compute.Backend {
	b, err := backend.Open("go")
	if err != nil {
		panic(err)
	}
	return b
})

// forward computes representation and logits, nil for a model without a head, of pixels.
func forward(t *testing.T, model *gomlxvit.Model, pixels []float32, shape []int) (representation, logits []float32) {
	t.Helper()
	program, err := model.Compile(goBackend(), func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		z := model.Arch.Representation(w, in[0])
		if head := model.Arch.Head(w, z); head != nil {
			return []*graph.Node{z, head}
		}
		return []*graph.Node{z}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	outputs, err := program.Run(tensors.FromFlatDataAndDimensions(pixels, shape...))
	if err != nil {
		t.Fatal(err)
	}
	if len(outputs) > 1 {
		logits = tensors.MustCopyFlatData[float32](outputs[1])
	}
	return tensors.MustCopyFlatData[float32](outputs[0]), logits
}

// reproduced are checkpoints that timm reads and what is assumed of each; golden/testdata/repro/README.md says where they are
// from.
var reproduced = map[string]string{
	"base": "", "swin_old": "at the end of a stage", "dinov2_fb": "added to it", "meta_null": "", "modulepfx": `"module."`,
	"args_qknorm_false": "", "args_fcnorm_null": "", "labels_dict": "", "masktoken": "mask_token",
}

func TestCheckpointsThatTimmReads(t *testing.T) {
	for name, assumed := range reproduced {
		t.Run(name, func(t *testing.T) { compareWithTimm(t, golden.Shared(t, "repro", name), name, assumed) })
	}
}

func compareWithTimm(t *testing.T, dir, name, assumed string) {
	t.Helper()
	model, err := load(t, dir, gomlxvit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	io := golden.Open(t, golden.Shared(t, "repro", "expected"), "models.safetensors")
	z, logits := forward(t, model, io.Tensor(t, name+".input"), io.Shape(t, name+".input"))
	golden.Close(t, "representation", z, io.Tensor(t, name+".representation"), 2e-5)
	if logits != nil {
		golden.Close(t, "logits", logits, io.Tensor(t, name+".logits"), 2e-5)
	}
	if text := strings.Join(model.Assumptions, "; "); assumed == "" && text != "" || !strings.Contains(text, assumed) {
		t.Errorf("assumptions %q, want %q", text, assumed)
	}
}

// changed writes a copy of the base checkpoint with another configuration and other tensors.
func changed(t *testing.T, config func(c map[string]any), change func(s safetensors.Tensor) []safetensors.Tensor) string {
	t.Helper()
	base := golden.Open(t, golden.Shared(t, "repro", "base"), "model.safetensors")
	text, err := os.ReadFile(golden.Shared(t, "repro", "base", "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	if config != nil {
		config(c)
	}
	if text, err = json.Marshal(c); err != nil {
		t.Fatal(err)
	}
	var stored []safetensors.Tensor
	for _, name := range base.Names() {
		s := safetensors.Tensor{Name: name, Shape: base.Shape(t, name), Data: base.Tensor(t, name)}
		if change == nil {
			stored = append(stored, s)
		} else {
			stored = append(stored, change(s)...)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), text, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := safetensors.Write(filepath.Join(dir, "model.safetensors"), nil, stored); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestChangesThatTimmUndoes(t *testing.T) {
	prefixed := func(prefix string) func(s safetensors.Tensor) []safetensors.Tensor {
		return func(s safetensors.Tensor) []safetensors.Tensor {
			s.Name = prefix + s.Name
			return []safetensors.Tensor{s}
		}
	}
	argument := func(key string, value any) func(c map[string]any) {
		return func(c map[string]any) { c["model_args"].(map[string]any)[key] = value }
	}
	for name, test := range map[string]struct {
		config  func(c map[string]any)
		change  func(s safetensors.Tensor) []safetensors.Tensor
		assumed string
	}{
		"module.":      {nil, prefixed("module."), `"module."`},
		"timm_model.":  {func(c map[string]any) { c["model_type"] = "timm_wrapper" }, prefixed("timm_model."), `"timm_model."`},
		"two prefixes": {nil, prefixed("_orig_mod.model.backbone."), `"_orig_mod.model.backbone."`},
		"mask token": {nil, func(s safetensors.Tensor) []safetensors.Tensor {
			if s.Name == "cls_token" {
				return []safetensors.Tensor{s, {Name: "mask_token", Shape: []int{1, 24}, Data: make([]float32, 24)}}
			}
			return []safetensors.Tensor{s}
		}, "mask_token"},
		"qk_norm false": {argument("qk_norm", false), nil, ""},
		"fc_norm null":  {argument("fc_norm", nil), nil, ""},
		"double": {nil, func(s safetensors.Tensor) []safetensors.Tensor {
			wide := make([]float64, 0, len(s.Data.([]float32)))
			for _, v := range s.Data.([]float32) {
				wide = append(wide, float64(v))
			}
			s.Data = wide
			return []safetensors.Tensor{s}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			compareWithTimm(t, changed(t, test.config, test.change), "base", test.assumed)
		})
	}
	t.Run("metadata null", func(t *testing.T) {
		dir := changed(t, nil, nil)
		path := filepath.Join(dir, "model.safetensors")
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		length := binary.LittleEndian.Uint64(file)
		header := `{"__metadata__":null,` + string(file[9:8+length])
		file = slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), []byte(header), file[8+length:])
		if err := os.WriteFile(path, file, 0o666); err != nil {
			t.Fatal(err)
		}
		compareWithTimm(t, dir, "base", "")
	})
}

// What is left over at the right and at the bottom of a picture is not seen (timm's patch embedding rounds down).
func TestPicturesOfPartialPatches(t *testing.T) {
	dir := changed(t, func(c map[string]any) { c["model_args"].(map[string]any)["img_size"] = []int{70, 70} }, nil)
	model, err := load(t, dir, gomlxvit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(model.Assumptions, "; "); !strings.Contains(text, "6 pixels") || model.Preprocess.Size != [2]int{70, 70} {
		t.Errorf("assumptions %q, pictures of %v", text, model.Preprocess.Size)
	}
	io := golden.Open(t, golden.Shared(t, "repro", "expected"), "models.safetensors")
	small := io.Tensor(t, "base.input") // [2, 3, 64, 64]
	var pixels []float32
	for row := range 2 * 3 * 70 {
		if y := row % 70; y < 64 {
			pixels = append(pixels, small[(row/70*64+y)*64:][:64]...)
		} else {
			pixels = append(pixels, make([]float32, 64)...)
		}
		pixels = append(pixels, 9, 9, 9, 9, 9, 9)
	}
	z, _ := forward(t, model, pixels, []int{2, 3, 70, 70})
	golden.Close(t, "representation", z, io.Tensor(t, "base.representation"), 2e-5)
}

func TestWeightsThatAreNone(t *testing.T) {
	only := func(name string, data any) func(s safetensors.Tensor) []safetensors.Tensor {
		return func(s safetensors.Tensor) []safetensors.Tensor {
			if s.Name == name {
				s.Data = data
			}
			return []safetensors.Tensor{s}
		}
	}
	bias := func(v float32) []float32 { return []float32{0, 0, 0, v, 0, 0, 0, 0, 0, 0} }
	zero := float32(0)
	for want, data := range map[string]any{
		"I64": make([]int64, 10), "U8": make([]uint8, 10), "BOOL": make([]bool, 10), "NaN": bias(zero / zero), "+Inf": bias(1 / zero),
	} {
		_, err := load(t, changed(t, nil, only("head.bias", data)), gomlxvit.Options{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "head.bias") || !strings.Contains(err.Error(), "model.safetensors") {
			t.Errorf("%s: error %v, want one that names file and tensor", want, err)
		}
	}
	_, err := load(t, changed(t, nil, func(s safetensors.Tensor) []safetensors.Tensor {
		whole := s
		whole.Name = "net." + s.Name
		if s.Name == "cls_token" {
			return []safetensors.Tensor{whole, {Name: "loss.weight", Shape: []int{1}, Data: []float32{1}}}
		}
		return []safetensors.Tensor{whole}
	}), gomlxvit.Options{})
	if err == nil || !strings.Contains(err.Error(), `prefix "net."`) || len(err.Error()) > 600 {
		t.Errorf("error %v, want a short one that names the prefix", err)
	}
}

// A configuration that fixes the size of pictures decides how many positions there are (timm's fixed_input_size).
func TestFixedInputSize(t *testing.T) {
	dir := changed(t, func(c map[string]any) { delete(c["model_args"].(map[string]any), "img_size") }, nil)
	compareWithTimm(t, dir, "base", "")
}

// Position embeddings of another grid than the configuration's are resampled, as timm does, and that is said.
func TestStoredGrid(t *testing.T) {
	dir := changed(t, func(c map[string]any) { c["model_args"].(map[string]any)["img_size"] = []int{96, 96} }, nil)
	fromFile, err := load(t, dir, gomlxvit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	onDemand, err := load(t, golden.Shared(t, "repro", "base"), gomlxvit.Options{ImageSize: 96})
	if err != nil {
		t.Fatal(err)
	}
	want := tensors.MustCopyFlatData[float32](onDemand.Weight("pos_embed"))
	if got := tensors.MustCopyFlatData[float32](fromFile.Weight("pos_embed")); !slices.Equal(got, want) {
		t.Error("the two ways to another image size give other positions")
	}
	if !slices.Equal(fromFile.Assumptions, onDemand.Assumptions) || !strings.Contains(strings.Join(fromFile.Assumptions, ""), "resampled from [1 17 24] to [1 37 24]") {
		t.Errorf("assumptions %q and %q", fromFile.Assumptions, onDemand.Assumptions)
	}
}

// Weights in several files, as the transformers library writes large ones, are those of one.
func TestShards(t *testing.T) {
	base := golden.Open(t, golden.Shared(t, "repro", "base"), "model.safetensors")
	dir := changed(t, nil, nil)
	if err := os.Remove(filepath.Join(dir, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	write := func(file string, names []string) {
		var part []safetensors.Tensor
		for _, name := range names {
			part = append(part, safetensors.Tensor{Name: name, Shape: base.Shape(t, name), Data: base.Tensor(t, name)})
		}
		if err := safetensors.Write(filepath.Join(dir, file), nil, part); err != nil {
			t.Fatal(err)
		}
	}
	names := base.Names()
	write("model-00001-of-00002.safetensors", names[:9])
	write("model-00002-of-00002.safetensors", names[9:])
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors.index.json"), []byte("{}"), 0o666); err != nil {
		t.Fatal(err)
	}
	compareWithTimm(t, dir, "base", "")

	write("model-00002-of-00002.safetensors", names[8:])
	if _, err := checkpoint.Open(dir); err == nil || !strings.Contains(err.Error(), names[8]) || !strings.Contains(err.Error(), "00001-of-00002") {
		t.Errorf("a tensor in two files: error %v", err)
	}
}
