package golden

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vitdecompose/gomlxvit/safetensors"
)

var update = flag.String("update", "", "make testdata from this folder with whole sets of reference data, and test what came out")

// limit is how large a set may be, in bytes.
const limit = 10_000_000

// A rule says what is kept of the files that it names. A file that no rule names is left out.
type rule struct {
	files   string   // pattern of the path below testdata
	tensors []string // patterns of the names of the tensors that tests read; none: the file is kept as it is
	packed  bool
	own     bool // drawn and computed here, not part of the whole sets
}

// The first rule that names a file holds.
var rules = []rule{
	{files: "*/README.md", own: true},
	{files: "golden/preprocess/io.safetensors", packed: true, own: true},
	{files: "golden/preprocess/preprocess.json", own: true},
	{files: "golden/preprocess/make.py", own: true},
	{files: "golden/preprocess/*.png", own: true},
	{files: "golden/preprocess/*.jpg", own: true},
	{files: "golden/clip_*/model.safetensors", tensors: []string{"*"}, packed: true},
	{files: "golden/*/model.safetensors"},
	{files: "golden/*/config.json"},
	{files: "golden/clip_*/open_clip_config.json"},
	{files: "golden/clip_*/facts.json"}, // the captions
	{files: "golden/clip_tokenizer/tokenizer.json", packed: true},
	{files: "golden/clip_*/tokenizer.json"},
	{files: "golden/*/io.safetensors", tensors: []string{
		"input", "features", "logits", "feature_map_*", "stem_output", "text_tokens", "text_features", "logits_per_image", "logit_scale_exp",
	}},
	{files: "golden/*/decomposition.safetensors", tensors: []string{"init", "const", "attn_heads*", "attn_head_tokens*", "mlp", "conv"}},
	{files: "golden/*/authors_decomposition.safetensors", tensors: []string{"authors_convention_true_sigma_*"}},
	{files: "golden/*/maps.safetensors", tensors: []string{
		"target_classes", "gradcam_*", "chefer", "chefer_final_norm_eps1e6", "chefer_saliency", "chefer_binary", "chefer_start0",
		"chefer_cam_per_block", "chefer_attn_grad", "chefer_attn_relevance", "chefer_block_output_relevance",
	}},
	{files: "golden/*/chefer_trace_picture0.safetensors", tensors: []string{
		"blocks.*.add[12].out[01]", "blocks.*.clone[12].out", "blocks.*.norm[12].out", "blocks.*.attn.matmul[12].out[01]",
		"blocks.*.attn.softmax.out", "blocks.*.attn.proj.out", "blocks.*.attn.qkv.out", "blocks.*.mlp.fc[12].out", "blocks.*.mlp.act.out",
		"norm.out",
	}},
	{files: "golden/numerics.json"},
	{files: "golden/numerics.safetensors", tensors: []string{
		"compalign.contributions", "compalign.weights", "compalign.bias", "compalign.clip_targets", "compalign.aligned_normalised",
		"compalign.adam_*", "compalign.grad_cos_*", "compalign.grad_orth_*", "corr.*", "scores.*", "seg.*",
		"textspan.data", "textspan.text_bank", "textspan.selected_std", "textspan.rank6_selected_std",
	}},
	{files: "golden2/hf_*/config.json"},
	{files: "golden2/hf_*/preprocessor_config.json"},
	{files: "golden2/hf_*/model.safetensors"},
	{files: "golden2/hf_*/io.safetensors", tensors: []string{
		"pixel_values", "features", "logits", "other_size.pixel_values", "other_size.last_hidden_state", "input_ids", "text_features",
		"logits_per_image",
	}},
	{files: "golden2/hf_*/decomposition.safetensors", tensors: []string{"init", "const", "attn_heads*", "mlp", "pool_mlp"}},
	{files: "golden2/openclip_*/open_clip_config.json"},
	{files: "golden2/openclip_*/open_clip_model.safetensors"},
	{files: "golden2/hiera/config.json"},
	{files: "golden2/hiera/model.safetensors"},
	{files: "golden2/hiera/io.safetensors", tensors: []string{"input", "features", "logits"}},
	{files: "golden2/hiera/decomposition.safetensors", tensors: []string{"init", "const", "attn_heads*", "mlp"}},
	{files: "golden2/coatnet/config.json"},
	{files: "golden2/coatnet/model.safetensors"},
	{files: "golden2/coatnet/io.safetensors", tensors: []string{"input", "features", "feature_map_nhwc", "logits"}},
	{files: "golden2/coatnet/decomposition.safetensors", tensors: []string{"init", "const", "attn_heads*", "mlp", "conv"}},
	{files: "golden2/*_*/config.json"},
	{files: "golden2/*_*/model.safetensors"},
	{files: "golden2/*_*/io.safetensors", tensors: []string{"input", "features", "features_both", "logits", "text_tokens", "text_features", "logits_per_image"}},
	{files: "golden2/*_*/decomposition.safetensors", tensors: []string{
		"init", "const", "attn_heads*", "mlp", "pool_mlp", "both.init", "both.const", "both.attn_heads", "both.mlp",
	}},
	{files: "golden2/files/*.safetensors"},
	{files: "golden2/files/hostile*.pth"},
	{files: "golden2/files/views*.pth"},
	{files: "golden2/files/vit_deit_bf16.pth"},
	{files: "golden2/files/vit_deit_augreg.npz"},
	{files: "golden2/files/checkpoint_module.pth.tar"},
	{files: "golden2/files/bin/*"},
	{files: "repro/*/config.json"},
	{files: "repro/*/model.safetensors"},
	{files: "repro/expected/models.safetensors"},
}

// unread are folders and files that no test reads, or, of families of which the repository has other models, only beside it.
var unread = []string{
	"golden2/dinov3_qkvb", "golden2/eva02_base", "golden2/openclip_eva02", "golden2/pe_spatial", "golden2/swinv2_resized", "golden2/vit_clip",
	"golden2/vit_little", "golden2/vit_map_prefix", "golden2/vit_qknorm", "golden2/vit_quickgelu", "golden2/vit_rope", "golden2/vit_rpn",
	"repro/c12", "repro/othername", "repro/pthtar", "repro/timmwrapper",
}

func ruleOf(file string) (rule, bool) {
	if slices.Contains(unread, file) || slices.Contains(unread, path.Dir(file)) {
		return rule{}, false
	}
	for _, r := range rules {
		if match(r.files, file) {
			return r, true
		}
	}
	return rule{}, false
}

func (r rule) keeps(tensor string) bool {
	return slices.ContainsFunc(r.tensors, func(pattern string) bool { return match(pattern, tensor) })
}

func match(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// TestSets checks that the sets are what the rules leave of the whole ones, and not too large. With -update they are made
// first.
func TestSets(t *testing.T) {
	const dir = "testdata"
	if *update != "" {
		if err := makeSets(t, *update, dir); err != nil {
			t.Fatal(err)
		}
	}
	sizes := make(map[string]int64)
	found := make(map[string]bool)
	for _, file := range filesIn(t, dir) {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		set, rest, _ := strings.Cut(filepath.ToSlash(file), "/")
		sizes[set] += info.Size()
		rest, packed := strings.CutSuffix(rest, ".gz")
		r, ok := ruleOf(set + "/" + rest)
		if !ok || packed != r.packed {
			t.Errorf("%s is not what the rules make of the reference data", file)
		}
		found[r.files] = true
		if len(r.tensors) == 0 {
			continue
		}
		f, err := safetensors.Open(Shared(t, set, strings.Split(rest, "/")...))
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range f.Names() {
			if !r.keeps(tensor) {
				t.Errorf("%s holds %s, which no test reads", file, tensor)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, r := range rules {
		if !found[r.files] {
			t.Errorf("there is no file %s", r.files)
		}
	}
	for set, size := range sizes {
		if size > limit {
			t.Errorf("%s has %d bytes, allowed are %d", set, size, limit)
		}
	}
}

// filesIn lists the files below a folder, relative to it.
func filesIn(t *testing.T, dir string) (files []string) {
	t.Helper()
	if err := fs.WalkDir(os.DirFS(dir), ".", func(file string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, file)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return files
}

// makeSets makes the sets in to from the whole ones in from. What is the repository's own stays.
func makeSets(t *testing.T, from, to string) error {
	for _, file := range filesIn(t, to) {
		if r, ok := ruleOf(strings.TrimSuffix(filepath.ToSlash(file), ".gz")); ok && r.own {
			continue
		}
		if err := os.Remove(filepath.Join(to, file)); err != nil {
			return err
		}
	}
	for _, file := range filesIn(t, from) {
		r, ok := ruleOf(filepath.ToSlash(file))
		if !ok || r.own {
			continue
		}
		content, err := os.ReadFile(filepath.Join(from, file))
		if err != nil {
			return err
		}
		if len(r.tensors) > 0 {
			if content, err = reduce(filepath.Join(from, file), t.TempDir(), r); err != nil {
				return err
			}
		}
		if r.packed {
			if content, err = pack(content); err != nil {
				return err
			}
			file += ".gz"
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, file)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, file), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// reduce returns the safetensors file with those tensors alone that its rule keeps.
func reduce(file, scratch string, r rule) ([]byte, error) {
	f, err := safetensors.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var kept []safetensors.Tensor
	for _, name := range f.Names() {
		if !r.keeps(name) {
			continue
		}
		tensor, err := read(f, name)
		if err != nil {
			return nil, err
		}
		if name == "token_embedding.weight" {
			if err := forgetWords(tensor, filepath.Dir(file)); err != nil {
				return nil, err
			}
		}
		kept = append(kept, tensor)
	}
	out := filepath.Join(scratch, "reduced.safetensors")
	if err := safetensors.Write(out, f.Metadata(), kept); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}

// read reads a tensor in the type that it is stored as.
func read(f *safetensors.File, name string) (safetensors.Tensor, error) {
	info, _ := f.Info(name)
	tensor := safetensors.Tensor{Name: name, Shape: info.Shape}
	var err error
	switch info.DType {
	case safetensors.F32:
		tensor.Data, err = f.Float32(name)
	case safetensors.F64:
		tensor.Data, err = f.Float64(name)
	case safetensors.I64:
		tensor.Data, err = f.Int64(name)
	case safetensors.U8:
		var wide []int64
		wide, err = f.Int64(name)
		bytes := make([]uint8, len(wide))
		for i, v := range wide {
			bytes[i] = uint8(v)
		}
		tensor.Data = bytes
	default:
		err = fmt.Errorf("%s: %v is of a type that the rules do not know", f.Name(), info)
	}
	return tensor, err
}

// forgetWords replaces the embeddings of tokens that the captions do not have by those of tokens that they do have, in turn,
// so that the tensor packs well. Nothing was computed with the others.
func forgetWords(embeddings safetensors.Tensor, dir string) error {
	io, err := safetensors.Open(filepath.Join(dir, "io.safetensors"))
	if err != nil {
		return err
	}
	defer io.Close()
	ids, err := io.Int64("text_tokens")
	if err != nil {
		return err
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	values, width := embeddings.Data.([]float32), embeddings.Shape[1]
	for row := range embeddings.Shape[0] {
		if _, read := slices.BinarySearch(ids, int64(row)); !read {
			copy(values[row*width:][:width], values[int(ids[row%len(ids)])*width:][:width])
		}
	}
	return nil
}

// pack compresses; the same content gives the same bytes.
func pack(content []byte) ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(content); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// TestReduce makes a set of a small one: of the embeddings only those of the captions' tokens stay, and what no rule names
// goes.
func TestReduce(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	dir := filepath.Join(from, "golden", "clip_small")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name string, tensors ...safetensors.Tensor) {
		if err := safetensors.Write(filepath.Join(dir, name), map[string]string{"format": "pt"}, tensors); err != nil {
			t.Fatal(err)
		}
	}
	write("model.safetensors", safetensors.Tensor{Name: "token_embedding.weight", Shape: []int{4, 1}, Data: []float32{10, 11, 12, 13}})
	write("io.safetensors",
		safetensors.Tensor{Name: "text_tokens", Shape: []int{1, 3}, Data: []int64{3, 1, 3}},
		safetensors.Tensor{Name: "image_features", Shape: []int{1}, Data: []float32{1}},
	)
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("notes"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := makeSets(t, from, to); err != nil {
		t.Fatal(err)
	}
	if got, want := filesIn(t, to), []string{"golden/clip_small/io.safetensors", "golden/clip_small/model.safetensors.gz"}; !slices.Equal(got, want) {
		t.Fatalf("files %v, want %v", got, want)
	}
	path := unpacked(t, filepath.Join(to, "golden", "clip_small"))
	io, model := Open(t, path, "io.safetensors"), Open(t, path, "model.safetensors")
	if names := io.Names(); !slices.Equal(names, []string{"text_tokens"}) {
		t.Errorf("tensors %v", names)
	}
	if got := model.Tensor(t, "token_embedding.weight"); !slices.Equal(got, []float32{11, 11, 11, 13}) {
		t.Errorf("embeddings %v", got)
	}
	if got := model.Metadata()["format"]; got != "pt" {
		t.Errorf("metadata %q", got)
	}
}
