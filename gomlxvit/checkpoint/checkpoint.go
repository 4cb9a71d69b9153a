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
// library would take. Weights may also be what torch.save writes (.pth, .pt, .bin, .pth.tar), of which nothing is run (see
// package torchfile), or a .npz of Flax, and a single file of weights can be opened with a configuration from elsewhere
// ([OpenGiven]). The weights are not read before they are asked for, but their header is checked and their hash
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
	"vitdecompose/gomlxvit/torchfile"
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
	Weights Tensors
	// Counted tells that the configuration is a name of an architecture, or what a training left, and not a file written to
	// describe the model: where it does not say how many classes there are, the weights do.
	Counted bool
	// Assumptions are what was taken for granted while reading the configuration, a line each.
	Assumptions []string
	// Hash is the SHA-256 (hex) of the configuration's bytes followed by those of the weights.
	Hash string

	fsys      fs.FS
	name      string // for messages: what fsys is
	config    string // the configuration's file, for messages
	tokenizer string // "" without one
	merges    string // beside a vocabulary as tokenizer, else ""
	files     []fs.File
}

// Given is what is said of a checkpoint by who opens it.
type Given struct {
	// Config, if not nil, is read in place of the checkpoint's own configuration.
	Config []byte
	// ConfigFile is where it comes from, for messages: a path, or what else it is.
	ConfigFile string
	// NameOnly tells that it is made of the name of an architecture, and Basis what is concluded from it, a line; "" for nothing.
	NameOnly bool
	Basis    string
}

// ReadConfig reads a configuration file for [Given].
func ReadConfig(path string) ([]byte, error) {
	dir := filepath.Dir(path)
	return readFile(os.DirFS(dir), filepath.Base(path), dir)
}

// Open opens a checkpoint directory, a file of weights with its configuration beside it or in it, or a checkpoint of the Hub
// ("hf:owner/repo", "hf:owner/repo@revision"), which is downloaded into the cache of huggingface_hub when it is not there
// yet; see [Hub] for the environment variables. Errors name the file and say what to do.
func Open(ref string) (*Checkpoint, error) { return OpenGiven(ref, Given{}) }

// OpenGiven is [Open] with what the checkpoint does not say itself.
func OpenGiven(ref string, given Given) (*Checkpoint, error) {
	if name, ok := strings.CutPrefix(ref, "hf:"); ok {
		return EnvHub().OpenGiven(context.Background(), name, given)
	}
	info, err := os.Stat(ref)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: there is no such checkpoint directory or file; name a directory with config.json and %s, a file of weights, or hf:owner/repo", ref, safeWeights)
	case err != nil:
		return nil, err
	}
	dir, file := ref, ""
	if !info.IsDir() {
		dir, file = filepath.Dir(ref), filepath.Base(ref)
	}
	c, err := open(os.DirFS(dir), dir, file, given, nil)
	if err != nil {
		return nil, err
	}
	c.Ref, c.Dir = ref, dir
	return c, nil
}

// OpenFS opens the checkpoint at the root of a file system, such as one embedded in the program. The name stands for it
// in messages and as Ref.
func OpenFS(fsys fs.FS, name string) (*Checkpoint, error) {
	c, err := open(fsys, name, "", Given{}, nil)
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
func (c *Checkpoint) ConfigFile() string { return c.config }

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
	torchWeights    = "pytorch_model.bin"
	openCLIPTorch   = "open_clip_pytorch_model.bin"
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
		shards = append(shards, fmt.Sprintf(shardNames(name), part+1, max(l.count, 1)))
	}
	return shards
}

// shardNames are the names, with two numbers open, that the transformers library gives the parts of the weights.
func shardNames(weights string) string {
	extension := filepath.Ext(weights)
	return strings.TrimSuffix(weights, extension) + "-%05d-of-%05d" + extension
}

// shardOf reads the numbers of a part.
func shardOf(weights, name string) (part, of int, ok bool) {
	if _, err := fmt.Sscanf(name, shardNames(weights), &part, &of); err != nil || of < 1 || of > 1<<10 {
		return 0, 0, false
	}
	return part, of, true
}

// names lists them.
func (l layout) names() []string {
	return slices.DeleteFunc(append(l.shards(), l.config, l.tokenizer, l.merges, l.processor), func(name string) bool { return name == "" })
}

// choose finds the layout from the names of the files that are there. The weights may be named, "" leaves them open; given
// tells that the configuration comes from elsewhere. Where both libraries' configurations are, as the Hub has it for CLIP
// models of timm, open_clip goes first if the weights are there under its own name.
func choose(names []string, weights string, given bool) (layout, error) {
	has := func(name string) bool { return slices.Contains(names, name) }
	if weights != "" && !hasWeightsEnding(strings.TrimSuffix(weights, shardIndex)) {
		return layout{}, fmt.Errorf("not a file of weights, whose name ends in .safetensors, .npz or %s; name one, or a checkpoint directory", strings.Join(torchEndings, ", "))
	}
	own := has(openCLIPWeights) || has(openCLIPTorch)
	if weights != "" {
		own = strings.HasPrefix(weights, "open_clip")
	}
	l := layout{library: Timm, weights: weights}
	candidates := []string{safeWeights, torchWeights}
	switch {
	case has(openCLIPConfig) && (own || !has(timmConfig)):
		l.library, l.config = OpenCLIP, openCLIPConfig
		candidates = []string{openCLIPWeights, safeWeights, openCLIPTorch, torchWeights}
	case has(timmConfig):
		l.config = timmConfig
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
	if l.weights == "" {
		var err error
		if l.weights, err = chooseWeights(names, candidates); err != nil && (l.config != "" || given || slices.ContainsFunc(names, func(name string) bool { return isTorch(name) && isWeights(name) })) {
			return l, fmt.Errorf("%w; get them from where %s comes from", err, cmp.Or(l.config, "the configuration"))
		}
	}
	switch {
	case l.config != "" || given || isTorch(l.weights):
	case l.weights == "" || weights == "":
		return l, fmt.Errorf("there is neither %s (timm) nor %s (open_clip); is it a checkpoint directory?", timmConfig, openCLIPConfig)
	default:
		return l, fmt.Errorf("there is neither %s (timm) nor %s (open_clip) beside it; %s", timmConfig, openCLIPConfig, giveConfig)
	}
	base, sharded := strings.CutSuffix(l.weights, shardIndex)
	if !sharded {
		return l, nil
	}
	for _, other := range names {
		if part, of, ok := shardOf(base, other); ok && part == 1 {
			l.count = of
		}
	}
	for _, shard := range l.shards() {
		if !has(shard) {
			return l, fmt.Errorf("%s says that the weights are in several files, and %s is missing; get it from where %s comes from", l.weights, shard, cmp.Or(l.config, l.weights))
		}
	}
	return l, nil
}

// giveConfig says what to do without a configuration.
const giveConfig = "put the configuration beside it, or name one with option Config, or the architecture with option Arch"

// usual are the names of weights that go before other names.
var usual = []string{"model.pth", "model.pt", "pytorch_model.pt", "model_best.pth.tar", "checkpoint.pth", "best.pth"}

// chooseWeights finds the weights: one of the candidates, whole or in parts, or the only file that may be some.
func chooseWeights(names, candidates []string) (string, error) {
	for _, candidate := range slices.Concat(candidates, usual) {
		for _, name := range []string{candidate, candidate + shardIndex} {
			if slices.Contains(names, name) {
				return name, nil
			}
		}
	}
	var found []string
	for _, name := range names {
		if isWeights(name) {
			found = append(found, name)
		}
	}
	candidates = slices.DeleteFunc(slices.Clone(candidates), isTorch)
	missing := fmt.Errorf("the weights %s are missing", strings.Join(candidates, " or "))
	switch len(found) {
	case 0:
		for _, name := range names {
			if slices.ContainsFunc([]string{".npy", ".h5", ".msgpack", ".onnx", ".gguf"}, func(ending string) bool { return strings.HasSuffix(strings.ToLower(name), ending) }) {
				return "", fmt.Errorf("%w; %s is there instead, whose format is not read: convert it to %s with safetensors", missing, name, candidates[0])
			}
		}
		return "", missing
	case 1:
		return found[0], nil
	}
	slices.Sort(found)
	return "", fmt.Errorf("%w, and several files could be them (%s): name one of them in place of the directory", missing, strings.Join(found[:min(len(found), 3)], ", "))
}

// The endings of weights, and the beginnings of what else training leaves with such an ending.
var (
	torchEndings = []string{".pth", ".pt", ".bin", ".ckpt", ".pth.tar", ".pkl"}
	notWeights   = []string{"optimizer", "scheduler", "scaler", "rng_state", "training_args"}
)

// isTorch tells by its name whether a file may be written by torch.save.
func isTorch(name string) bool {
	return slices.ContainsFunc(torchEndings, func(ending string) bool { return strings.HasSuffix(strings.ToLower(name), ending) })
}

// hasWeightsEnding tells whether a name ends as those of weights do.
func hasWeightsEnding(name string) bool {
	return isTorch(name) || strings.HasSuffix(name, ".npz") || strings.HasSuffix(name, ".safetensors")
}

// isWeights tells by its name whether a file may hold weights.
func isWeights(name string) bool {
	return hasWeightsEnding(name) && !slices.ContainsFunc(notWeights, func(beginning string) bool { return strings.HasPrefix(name, beginning) })
}

// open opens the checkpoint at the root of fsys; file names its weights, "" leaves them open. What the Hub knows of its
// files, if it is from there, is compared.
func open(fsys fs.FS, name, file string, given Given, known *hub.Snapshot) (*Checkpoint, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	files, err := choose(names, file, given.Config != nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(name, file), err)
	}
	config, path := given.Config, given.ConfigFile
	switch {
	case config != nil:
		files.library = Timm
		if isOpenCLIP(config) {
			files.library = OpenCLIP
		}
	case files.config != "":
		path = filepath.Join(name, files.config)
		if config, err = readFile(fsys, files.config, name); err != nil {
			return nil, err
		}
		if err := known.VerifyBytes(files.config, config); err != nil {
			return nil, err
		}
	default:
		path = filepath.Join(name, files.weights)
		if config, err = configInside(fsys, files.weights, name); err != nil {
			return nil, err
		}
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
		return nil, fmt.Errorf("%s: %w", path, err)
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
		where := path
		if files.processor != "" {
			where = filepath.Join(name, files.processor)
		}
		if err := c.readProcessor(processor); err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
	}
	c.fsys, c.name, c.config, c.Library = fsys, name, path, files.library
	c.tokenizer, c.merges = files.tokenizer, files.merges
	inside := given.Config == nil && files.config == ""
	c.Counted = given.NameOnly || inside
	if err := c.Preprocess.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", c.ConfigFile(), err)
	}
	if inside {
		c.assume("the configuration is what the training has written into %s: %s", files.weights, config)
	}
	if given.Basis != "" {
		p := c.Preprocess
		c.assume("%s: %s, mean %v and deviation %v", given.Basis, p.Interpolation, p.Mean, p.Std)
	}
	if inside && !bytes.Contains(config, []byte(`"mean"`)) {
		p := c.Preprocess
		c.assume("nothing says how pictures are prepared: taken are the usual %s, mean %v and deviation %v, which for many models is wrong; a configuration file tells", p.Interpolation, p.Mean, p.Std)
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

// assume notes what was taken for granted, a line.
func (c *Checkpoint) assume(format string, args ...any) {
	c.Assumptions = append(c.Assumptions, fmt.Sprintf(format, args...))
}

// configInside makes the configuration of what the training has written beside the weights.
func configInside(fsys fs.FS, file, name string) (config []byte, err error) {
	path := filepath.Join(name, file)
	reader, size, f, err := openReader(fsys, file, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	format, err := formatOf(reader, size, path)
	if err != nil {
		return nil, err
	}
	if format == torch {
		saved, err := torchfile.New(reader, size, path)
		if err != nil {
			return nil, err
		}
		if config, err = trainingConfig(saved.Root); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if config == nil {
		return nil, fmt.Errorf("%s: it does not say what architecture it is of, and there is neither %s (timm) nor %s (open_clip) beside it; %s", path, timmConfig, openCLIPConfig, giveConfig)
	}
	return config, nil
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
	var parts []Tensors
	for _, name := range files.shards() {
		part, assumed, err := c.openPart(name, sum, known)
		if err != nil {
			return err
		}
		parts = append(parts, part)
		for _, line := range assumed {
			if !slices.Contains(c.Assumptions, line) {
				c.Assumptions = append(c.Assumptions, line)
			}
		}
	}
	c.Hash = hex.EncodeToString(sum.Sum(nil))
	if c.Weights = parts[0]; len(parts) > 1 {
		c.Weights, err = join(filepath.Join(c.name, files.weights), parts)
	}
	return err
}

// openReader opens a file for reading at any place.
func openReader(fsys fs.FS, file, name string) (io.ReaderAt, int64, fs.File, error) {
	path := filepath.Join(name, file)
	f, err := openFile(fsys, file, name)
	if err != nil {
		return nil, 0, nil, err
	}
	info, err := f.Stat()
	if err == nil {
		if at, ok := f.(io.ReaderAt); ok {
			return at, info.Size(), f, nil
		}
		var content []byte // such as a file of a zip archive
		if content, err = io.ReadAll(f); err == nil {
			return bytes.NewReader(content), int64(len(content)), f, nil
		}
	}
	return nil, 0, nil, errors.Join(fmt.Errorf("%s: %w", path, cause(err)), f.Close())
}

// openPart opens one file of the weights, says what it assumed, and writes the file's bytes into the hash.
func (c *Checkpoint) openPart(file string, sum io.Writer, known *hub.Snapshot) (Tensors, []string, error) {
	path := filepath.Join(c.name, file)
	reader, size, f, err := openReader(c.fsys, file, c.name)
	if err != nil {
		return nil, nil, err
	}
	c.files = append(c.files, f)
	// What the Hub says of the file goes first: it tells a broken download from a broken file.
	hashes := []io.Writer{sum}
	check := known.Start(file, size)
	if check != nil {
		hashes = append(hashes, check)
	}
	if _, err := io.Copy(io.MultiWriter(hashes...), io.NewSectionReader(reader, 0, size)); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	if err := known.Verify(file, size, check); err != nil {
		return nil, nil, err
	}
	return openTensors(reader, size, path)
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
