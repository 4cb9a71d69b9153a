// Package checkpoint opens trained models as timm and open_clip publish them: a configuration file and the weights, in
// a directory laid out as on the Hugging Face Hub.
//
//	c, err := checkpoint.Open("models/vit_tiny_patch16_224") // or "hf:timm/deit_base_patch16_224.fb_in1k"
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	fmt.Println(c.Architecture, c.Preprocess.Size)
//	weights, err := c.Weights.Float32("head.weight")
//
// A timm checkpoint is config.json and model.safetensors, an open_clip one open_clip_config.json,
// open_clip_model.safetensors (or model.safetensors) and tokenizer.json. What the configuration leaves open is what the
// library would take. The weights are not read before they are asked for, but their header is checked and their hash
// taken, so that what comes later works on the file that was named.
package checkpoint

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vitdecompose/data/hub"
	"vitdecompose/gomlxvit/preprocess"
	"vitdecompose/gomlxvit/safetensors"
)

// The libraries whose checkpoints are read: [Checkpoint].Library.
const (
	Timm         = "timm"
	OpenCLIP     = "open_clip"
	Transformers = "transformers"
)

// Checkpoint is an open checkpoint.
type Checkpoint struct {
	// Ref is what the user named, Dir the directory where it is ("" for one that is part of the program).
	Ref, Dir string
	// Library is [Timm], [OpenCLIP] or [Transformers].
	Library string
	// Architecture is timm's name of the architecture, "" for open_clip, which describes it in OpenCLIP instead.
	Architecture string
	// NumClasses is the number of the head's classes, 0 without a head, -1 when the architecture's default applies.
	NumClasses int
	// ModelArgs are the keyword arguments that override the architecture's (timm's model_args), as encoding/json
	// decodes them; never nil.
	ModelArgs map[string]any
	// OpenCLIP describes the towers of an open_clip checkpoint; nil for timm.
	OpenCLIP *OpenCLIPConfig
	// Transformers is the configuration of the transformers library; nil for the others.
	Transformers *TransformersConfig
	// GlobalPool is the pooling named beside the architecture ("token", "avg"), "" when none is. ModelArgs may override
	// it.
	GlobalPool string
	// FixedSize is the height and width for which pretrained_cfg says that the model is built, 0 where it does not.
	// ModelArgs may override it.
	FixedSize [2]int
	// Preprocess is the transform of the model's evaluation.
	Preprocess preprocess.Config
	// LabelNames are the classes in words when the checkpoint gives them, in the order of the head's outputs; else nil.
	LabelNames []string
	// Weights are the tensors by the names that the library gives them.
	Weights *safetensors.File
	// Assumptions are what was taken for granted while reading the configuration, a line each.
	Assumptions []string
	// Hash is the SHA-256 (hex) of the configuration's bytes followed by those of the weights.
	Hash string

	fsys      fs.FS
	name      string // for messages: what fsys is
	config    string // the configuration's file
	tokenizer string // "" without one
	merges    string // beside a vocabulary as tokenizer, else ""
	files     []fs.File
}

// Open opens a checkpoint directory, or one of the Hub ("hf:owner/repo", "hf:owner/repo@revision"), which is downloaded
// into the cache of huggingface_hub when it is not there yet; see [Hub] for the environment variables. Errors name the
// file and say what to do.
func Open(ref string) (*Checkpoint, error) {
	if name, ok := strings.CutPrefix(ref, "hf:"); ok {
		return EnvHub().Open(context.Background(), name)
	}
	info, err := os.Stat(ref)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: there is no such checkpoint directory; name a directory with config.json and %s, or hf:owner/repo", ref, safeWeights)
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%s: a checkpoint is a directory with config.json and %s, not a file; name the directory", ref, safeWeights)
	}
	c, err := open(os.DirFS(ref), ref, nil)
	if err != nil {
		return nil, err
	}
	c.Ref, c.Dir = ref, ref
	return c, nil
}

// OpenFS opens the checkpoint at the root of a file system, such as one embedded in the program. The name stands for it
// in messages and as Ref.
func OpenFS(fsys fs.FS, name string) (*Checkpoint, error) {
	c, err := open(fsys, name, nil)
	if err != nil {
		return nil, err
	}
	c.Ref = name
	return c, nil
}

// HasText says whether the checkpoint has a text tower.
func (c *Checkpoint) HasText() bool {
	return c.OpenCLIP != nil || c.Transformers != nil && c.Transformers.Text != nil
}

// ConfigFile is the path of the configuration, for messages.
func (c *Checkpoint) ConfigFile() string { return filepath.Join(c.name, c.config) }

// Close closes the weights.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// Tokenizer reads tokenizer.json. Where a symbolic link to another tokenizer.json was stored as a text, as git does on
// file systems without links, the file that the text names is read.
func (c *Checkpoint) Tokenizer() ([]byte, error) {
	if c.tokenizer == "" {
		return nil, fmt.Errorf("%s: there is no %s beside the weights; get it from where they come from", c.name, tokenizerFile)
	}
	content, err := readFile(c.fsys, c.tokenizer, c.name)
	if err != nil || c.Dir == "" && c.merges == "" {
		return content, err
	}
	if c.merges != "" {
		merges, err := readFile(c.fsys, c.merges, c.name)
		if err != nil {
			return nil, err
		}
		if content, err = tokenizerOf(content, merges); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(c.name, c.tokenizer), err)
		}
		return content, nil
	}
	target := filepath.FromSlash(strings.TrimSpace(string(content[:min(len(content), maxLink)])))
	if filepath.Base(target) != tokenizerFile || filepath.IsAbs(target) {
		return content, nil
	}
	dir := filepath.Dir(filepath.Join(c.Dir, target))
	return readFile(os.DirFS(dir), tokenizerFile, dir)
}

const (
	timmConfig      = "config.json"
	openCLIPConfig  = "open_clip_config.json"
	safeWeights     = "model.safetensors"
	openCLIPWeights = "open_clip_model.safetensors"
	tokenizerFile   = "tokenizer.json"
	// What older checkpoints have instead.
	vocabularyFile = "vocab.json"
	mergesFile     = "merges.txt"
	// The transformers library's configuration of pictures, alone or within that of all that the model takes.
	imageProcessor = "preprocessor_config.json"
	anyProcessor   = "processor_config.json"
	shardIndex     = ".index.json" // behind the name of the weights

	maxText = 64 << 20 // bytes of a configuration or a tokenizer
	maxLink = 1 << 10  // bytes of the text that stands for a link
)

// layout says which files of a checkpoint matter.
type layout struct {
	library, config, weights, tokenizer, merges, processor string
	count                                                  int // files that the weights are split over, with weights as their index; 0 for one
}

// shards lists the files of the weights.
func (l layout) shards() []string {
	name, ok := strings.CutSuffix(l.weights, shardIndex)
	if !ok {
		return []string{l.weights}
	}
	var shards []string
	for part := range max(l.count, 1) {
		shards = append(shards, fmt.Sprintf("%s-%05d-of-%05d.safetensors", strings.TrimSuffix(name, ".safetensors"), part+1, max(l.count, 1)))
	}
	return shards
}

// shardOf reads the names that the transformers library gives the parts of the weights.
func shardOf(weights, name string) (part, of int, ok bool) {
	if _, err := fmt.Sscanf(name, strings.TrimSuffix(weights, ".safetensors")+"-%05d-of-%05d.safetensors", &part, &of); err != nil || of < 1 || of > 1<<10 {
		return 0, 0, false
	}
	return part, of, true
}

// names lists them.
func (l layout) names() []string {
	return slices.DeleteFunc(append(l.shards(), l.config, l.tokenizer, l.merges, l.processor), func(name string) bool { return name == "" })
}

// choose finds the layout from the names of the files that are there. Where both libraries' configurations are, as the
// Hub has it for CLIP models of timm, open_clip goes first if the weights are there under its own name.
func choose(names []string) (layout, error) {
	has := func(name string) bool { return slices.Contains(names, name) }
	var l layout
	candidates := []string{safeWeights}
	switch {
	case has(openCLIPConfig) && (has(openCLIPWeights) || !has(timmConfig)):
		l = layout{library: OpenCLIP, config: openCLIPConfig}
		candidates = []string{openCLIPWeights, safeWeights}
	case has(timmConfig):
		l = layout{library: Timm, config: timmConfig}
	default:
		return l, fmt.Errorf("there is neither %s (timm) nor %s (open_clip); is it a checkpoint directory?", timmConfig, openCLIPConfig)
	}
	switch {
	case has(tokenizerFile):
		l.tokenizer = tokenizerFile
	case has(vocabularyFile) && has(mergesFile):
		l.tokenizer, l.merges = vocabularyFile, mergesFile
	}
	for _, name := range []string{anyProcessor, imageProcessor} {
		if has(name) && l.library == Timm {
			l.processor = name
		}
	}
	for _, name := range candidates {
		if has(name) {
			l.weights = name
			return l, nil
		}
	}
	for _, name := range candidates {
		if !has(name + shardIndex) {
			continue
		}
		l.weights = name + shardIndex
		for _, other := range names {
			if part, of, ok := shardOf(name, other); ok && part == 1 {
				l.count = of
			}
		}
		for _, shard := range l.shards() {
			if !has(shard) {
				return l, fmt.Errorf("%s says that the weights are in several files, and %s is missing; get it from where %s comes from", l.weights, shard, l.config)
			}
		}
		return l, nil
	}
	missing := fmt.Sprintf("the weights %s are missing", strings.Join(candidates, " or "))
	for _, other := range others {
		for _, name := range names {
			if slices.ContainsFunc(other.endings, func(ending string) bool { return strings.HasSuffix(strings.ToLower(name), ending) }) {
				return l, fmt.Errorf("%s; %s is there instead: %s", missing, name, strings.ReplaceAll(other.cure, "FILE", candidates[0]))
			}
		}
	}
	return l, fmt.Errorf("%s; get them from where %s comes from", missing, l.config)
}

// others are the forms in which weights lie beside a configuration instead, and what to do.
var others = []struct {
	endings []string
	cure    string
}{
	{[]string{".safetensors"}, "if these are the weights, rename the file to FILE"},
	{[]string{".pth", ".pt", ".bin", ".ckpt", ".pth.tar", ".pkl"},
		"a pickle of PyTorch, which can hold code and is not read: convert it to FILE with safetensors.torch.save_file"},
	{[]string{".npz", ".npy", ".h5", ".msgpack", ".onnx", ".gguf"}, "that format is not read; convert it to FILE with safetensors"},
}

// open opens the checkpoint at the root of fsys. What the Hub knows of its files, if it is from there, is compared.
func open(fsys fs.FS, name string, known *hub.Snapshot) (*Checkpoint, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	files, err := choose(names)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	config, err := readFile(fsys, files.config, name)
	if err != nil {
		return nil, err
	}
	if err := known.VerifyBytes(files.config, config); err != nil {
		return nil, err
	}
	parse := parseTimm
	switch {
	case files.library == OpenCLIP:
		parse = parseOpenCLIP
	case isTransformers(config):
		files.library, parse = Transformers, parseTransformers
	}
	c, err := parse(config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(name, files.config), err)
	}
	if files.library == Transformers {
		var processor []byte
		if files.processor != "" {
			if processor, err = readFile(fsys, files.processor, name); err != nil {
				return nil, err
			}
			if err := known.VerifyBytes(files.processor, processor); err != nil {
				return nil, err
			}
		}
		if err := c.readProcessor(processor); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(name, cmp.Or(files.processor, files.config)), err)
		}
	}
	c.fsys, c.name, c.config, c.Library = fsys, name, files.config, files.library
	c.tokenizer, c.merges = files.tokenizer, files.merges
	if err := c.Preprocess.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", c.ConfigFile(), err)
	}
	for _, file := range []string{files.tokenizer, files.merges} {
		if file == "" || known == nil {
			continue
		}
		content, err := readFile(fsys, file, name)
		if err != nil {
			return nil, err
		}
		if err := known.VerifyBytes(file, content); err != nil {
			return nil, err
		}
	}
	if err := c.openWeights(files, config, known); err != nil {
		return nil, err
	}
	return c, nil
}

// openWeights checks the headers of the weights, takes the hash, and leaves the files open.
func (c *Checkpoint) openWeights(files layout, config []byte, known *hub.Snapshot) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	sum := sha256.New()
	sum.Write(config)
	var parts []*safetensors.File
	for _, name := range files.shards() {
		part, err := c.openPart(name, sum, known)
		if err != nil {
			return err
		}
		parts = append(parts, part)
	}
	c.Hash = hex.EncodeToString(sum.Sum(nil))
	if c.Weights = parts[0]; len(parts) > 1 {
		c.Weights, err = safetensors.Join(filepath.Join(c.name, files.weights), parts...)
	}
	return err
}

// openPart opens one file of the weights and writes its bytes into the hash.
func (c *Checkpoint) openPart(file string, sum io.Writer, known *hub.Snapshot) (*safetensors.File, error) {
	path := filepath.Join(c.name, file)
	f, err := openFile(c.fsys, file, c.name)
	if err != nil {
		return nil, err
	}
	c.files = append(c.files, f)
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	reader, size := io.ReaderAt(nil), info.Size()
	if at, ok := f.(io.ReaderAt); ok {
		reader = at
	} else { // such as a file of a zip archive
		content, err := io.ReadAll(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, cause(err))
		}
		reader, size = bytes.NewReader(content), int64(len(content))
	}
	// What the Hub says of the file goes first: it tells a broken download from a broken file.
	hashes := []io.Writer{sum}
	check := known.Start(file, size)
	if check != nil {
		hashes = append(hashes, check)
	}
	if _, err := io.Copy(io.MultiWriter(hashes...), io.NewSectionReader(reader, 0, size)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	if err := known.Verify(file, size, check); err != nil {
		return nil, err
	}
	weights, err := safetensors.New(reader, size, path)
	var format *safetensors.FormatError
	if errors.As(err, &format) && !errors.Is(err, safetensors.ErrLFSPointer) {
		return nil, fmt.Errorf("%w; the file is damaged, get it again", err)
	}
	return weights, err
}

// openFile opens a regular file. A pipe would keep the program waiting for a writer.
func openFile(fsys fs.FS, file, name string) (fs.File, error) {
	path := filepath.Join(name, file)
	info, err := fs.Stat(fsys, file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := fsys.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	return f, nil
}

// readFile reads a small file whole.
func readFile(fsys fs.FS, file, name string) (content []byte, err error) {
	path := filepath.Join(name, file)
	f, err := openFile(fsys, file, name)
	if err != nil {
		return nil, err
	}
	content, err = io.ReadAll(io.LimitReader(f, maxText+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	if len(content) > maxText {
		return nil, fmt.Errorf("%s: larger than %d MB, that is no such file", path, maxText>>20)
	}
	return content, nil
}

// cause leaves out the path of an error of the file system, which inside an fs.FS is not the user's.
func cause(err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}
