package experiments

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gomlx/compute"

	"vitdecompose/data"
	"vitdecompose/decompose"
	"vitdecompose/gomlxvit"
)

// Study is what the experiments that read components by text have in common: a model, pictures, and the CLIP through whose
// space contributions meet texts. A model that is a CLIP with a text tower is its own reference, and needs no alignment.
type Study struct {
	// Extraction is the model and the pictures it is read on. Its Options choose the blocks and the split.
	Extraction
	// Head is the model with a head, for what needs one, where Model has none; it does not change contributions.
	Head *gomlxvit.Model
	// Reference is a CLIP with its text tower.
	Reference *gomlxvit.Model
	// Training are the pictures that the alignment is trained on, TrainingPictures how many of them; 0 means all.
	Training         data.Dataset
	TrainingPictures int
	Align            decompose.AlignConfig
	// From is where the alignment begins, nil for at random: see [decompose.AlignOptions].
	From *decompose.Aligner
	// AlignerFile holds the alignment, as [decompose.Aligner.WriteFile] wrote it; "" to train one, or find one in the cache.
	AlignerFile string
	// Templates are the wordings of phrases; nil for [gomlxvit.DefaultTemplates].
	Templates gomlxvit.Templates

	pairs *pairs
}

// PaperOptions take a model apart as arXiv 2406.01583 does for all that is read by text: the blocks of [RetrievalBlocks],
// attention by heads, each bias shared over the contributions it is added to.
func PaperOptions(model *gomlxvit.Model) decompose.Options {
	first, last := RetrievalBlocks(model.Arch.Blocks())
	return decompose.Options{First: first, End: last + 1, Split: decompose.Heads, Biases: decompose.BiasesShared}
}

// Reading is a study with its numbers: contributions of components to pictures, in the model's space and in that of the
// texts. Close it when done.
type Reading struct {
	Model string
	Data  data.Dataset
	*Parts
	// Aligned are the contributions in CLIP's space [component, picture, clip dim].
	Aligned *decompose.Contributions
	// Embeddings are CLIP's of the pictures [picture, clip dim].
	Embeddings []float32
	// Aligner is nil where the model is a CLIP.
	Aligner *decompose.Aligner

	backend   compute.Backend
	texts     *gomlxvit.TextEncoder
	templates gomlxvit.Templates
}

// identity tells whether the model is a CLIP, whose contributions need no mapping.
func (s *Study) identity() bool { return s.Model.Text != nil }

// headed is the model with a head.
func (s *Study) headed() *gomlxvit.Model {
	if s.Head != nil {
		return s.Head
	}
	return s.Model
}

// reference is the CLIP whose space contributions are read in.
func (s *Study) reference() (*gomlxvit.Model, error) {
	switch {
	case s.identity():
		return s.Model, nil
	case s.Reference == nil:
		return nil, fmt.Errorf("%s is not a CLIP with a text tower; give one as the reference", s.Model.Name)
	case s.Reference.Text == nil:
		return nil, fmt.Errorf("the reference %s has no text tower; it must be a CLIP of open_clip", s.Reference.Name)
	}
	return s.Reference, nil
}

// Open computes, or reads from the cache, all that a reading holds.
func (s *Study) Open(ctx context.Context) (*Reading, error) {
	r, err := s.Read(ctx)
	if err != nil {
		return nil, err
	}
	if !s.identity() {
		aligner, err := s.Alignment(ctx)
		if err == nil {
			err = r.Through(ctx, aligner)
		}
		if err != nil {
			r.Close()
			return nil, err
		}
	}
	return r, nil
}

// Read is Open without the alignment. A CLIP's contributions are Aligned as they are; of other models they are to be mapped
// by [Reading.Through], as often as there are aligners to look through:
//
//	r, err := study.Read(ctx)
//	for _, lambda := range lambdas {
//		study.Align.Lambda = lambda
//		aligner, err := study.Alignment(ctx)
//		err = r.Through(ctx, aligner)
//		// ... r.Aligned ...
//	}
func (s *Study) Read(ctx context.Context) (*Reading, error) {
	s.setDefaults()
	reference, err := s.reference()
	if err != nil {
		return nil, err
	}
	parts, err := s.Parts(ctx)
	if err != nil {
		return nil, err
	}
	if err := parts.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Model.Name, err)
	}
	r := &Reading{Model: s.Model.Name, Data: s.Data, Parts: parts, backend: s.Backend, templates: s.Templates}
	if r.templates == nil {
		r.templates = gomlxvit.DefaultTemplates()
	}
	if s.identity() {
		r.Aligned, r.Embeddings = &parts.Contributions, parts.Representation
	} else {
		embedded, err := s.embedded(ctx, s.Extraction, reference)
		if err != nil {
			return nil, err
		}
		share(parts, embedded)
		if parts.Pictures == 0 {
			return nil, errors.New("no picture could be read by both the model and the reference")
		}
		r.Embeddings = embedded.Representation
	}
	r.texts, err = reference.NewTextEncoder(s.Backend)
	return r, err
}

// Through maps the contributions by an aligner.
func (r *Reading) Through(ctx context.Context, aligner *decompose.Aligner) error {
	aligned, err := aligner.Map(ctx, r.backend, &r.Contributions)
	if err != nil {
		return fmt.Errorf("%s: %w", r.Model, err)
	}
	r.Aligner, r.Aligned = aligner, aligned
	return nil
}

// Close frees the text tower.
func (r *Reading) Close() { r.texts.Close() }

// Phrases embeds phrases through the templates: unit rows [phrase, clip dim].
func (r *Reading) Phrases(ctx context.Context, phrases []string) ([]float32, error) {
	return r.texts.Phrases(ctx, phrases, r.templates)
}

// Texts embeds texts as they are: unit rows [text, clip dim].
func (r *Reading) Texts(ctx context.Context, texts []string) ([]float32, error) {
	return r.texts.Phrases(ctx, texts, gomlxvit.Templates{"{}"})
}

// Quality is the cosine similarity of the mapped representation of each picture with CLIP's embedding of it.
func (r *Reading) Quality() []float64 {
	return decompose.Cosines(r.Aligned.Sum(upTo(len(r.Components))), r.Embeddings, r.Aligned.Dim)
}

// embedded extracts a reference's embeddings of the pictures of e: parts without contributions.
func (s *Study) embedded(ctx context.Context, e Extraction, reference *gomlxvit.Model) (*Parts, error) {
	// Only the representation is needed, so as little as possible is taken apart.
	e.Model, e.Options = reference, decompose.Options{Split: decompose.Attns, First: len(reference.Arch.Blocks()) - 1}
	e.setDefaults()
	store, err := e.Extract(ctx)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	return e.readParts(ctx, store, false)
}

// training is the extraction of the pictures that the alignment is trained on.
func (s *Study) training() (Extraction, error) {
	e := s.Extraction
	if s.Training == nil {
		return e, fmt.Errorf("%s: there are no pictures to train the alignment on", s.Model.Name)
	}
	e.Data, e.Pictures = s.Training, s.TrainingPictures
	e.setDefaults()
	return e, nil
}

// pairs are what an alignment is trained on: contributions, and CLIP's embeddings of the same pictures.
type pairs struct {
	parts   *Parts    // without contributions where these do not fit into memory
	targets []float32 // [picture, clip dim]
	// disk reads the contributions from the cache; nil where they are in memory. large says why.
	disk  *diskContributions
	large *memoryError
}

// contributions are those of the parts, wherever they are.
func (p *pairs) contributions() decompose.AlignSource {
	if p.disk != nil {
		return p.disk
	}
	return &p.parts.Contributions
}

// trainingRepresentations are the training pictures' representations: parts that may lack the contributions.
func (s *Study) trainingRepresentations(ctx context.Context) (*Parts, error) {
	if !s.identity() { // they are in memory for the alignment already, or will be
		pairs, err := s.trainingPairs(ctx)
		if err != nil {
			return nil, err
		}
		return pairs.parts, nil
	}
	e, err := s.training()
	if err != nil {
		return nil, err
	}
	store, err := e.Extract(ctx)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	return e.readParts(ctx, store, false)
}

// trainingPairs reads them, once. Contributions that do not fit into memory stay in the cache.
func (s *Study) trainingPairs(ctx context.Context) (*pairs, error) {
	if s.pairs != nil {
		return s.pairs, nil
	}
	e, err := s.training()
	if err != nil {
		return nil, err
	}
	reference, err := s.reference()
	if err != nil {
		return nil, err
	}
	store, err := e.Extract(ctx)
	if err != nil {
		return nil, err
	}
	p := &pairs{}
	window := 0
	p.parts, err = e.readParts(ctx, store, true)
	if errors.As(err, &p.large) {
		if window = windowChunks(uint64(p.large.perPicture) * uint64(e.Batch)); window == 0 {
			return nil, err
		}
		p.parts, err = e.readParts(ctx, store, false)
	}
	if err != nil {
		return nil, err
	}
	embedded, err := s.embedded(ctx, e, reference)
	if err != nil {
		return nil, err
	}
	share(p.parts, embedded)
	if p.parts.Pictures == 0 {
		return nil, errors.New("no picture to align on could be read by both the model and the reference")
	}
	p.targets = embedded.Representation
	if p.large != nil {
		p.disk = newDiskContributions(store, p.parts, e.Batch, window)
	}
	s.pairs = p
	return s.pairs, nil
}

// Prepare reads what alignments are trained on into memory, once, so that the next one begins at once.
func (s *Study) Prepare(ctx context.Context) error {
	s.setDefaults()
	if s.identity() {
		return nil
	}
	_, err := s.trainingPairs(ctx)
	return err
}

// Origin is what an alignment of this study belongs to.
func (s *Study) Origin() (decompose.Origin, error) {
	s.setDefaults()
	reference, err := s.reference()
	if err != nil {
		return decompose.Origin{}, err
	}
	decomposer, err := decompose.New(s.Backend, s.Model, s.Options)
	if err != nil {
		return decompose.Origin{}, err
	}
	defer decomposer.Close()
	key, err := s.key(decomposer.Options())
	if err != nil {
		return decompose.Origin{}, err
	}
	input, err := json.Marshal([]any{key.Preprocess, reference.Preprocess})
	if err != nil {
		return decompose.Origin{}, err
	}
	return decompose.Origin{
		Checkpoint: key.Checkpoint, Reference: reference.Hash, Blocks: key.Blocks, Split: key.Split, Biases: key.Bias,
		Input: hexSum(input),
	}, nil
}

func hexSum(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// alignVersion is the version of the code that trains and writes alignments. Another one is another key.
const alignVersion = 1

// oneMap is the split of an alignment that maps the representation whole.
const oneMap = "none"

// alignmentKey is the hash of all that determines an alignment. window is that of training from disk, in pictures; 0 where
// all are in memory.
func (s *Study) alignmentKey(origin decompose.Origin, window int) (key string, trainedOn string, err error) {
	e, err := s.training()
	if err != nil {
		return "", "", err
	}
	extraction, err := e.pictureKey()
	if err != nil {
		return "", "", err
	}
	from := ""
	if s.From != nil {
		if from, err = s.From.Hash(); err != nil {
			return "", "", err
		}
	}
	text, err := json.Marshal(struct {
		Version    int                   `json:"version"`
		Origin     decompose.Origin      `json:"origin"`
		Extraction any                   `json:"extraction"`
		Config     decompose.AlignConfig `json:"config"`
		From       string                `json:"from"`
		Keep       string                `json:"keep,omitempty"`
		Window     int                   `json:"window,omitempty"`
	}{alignVersion, origin, extraction, s.Align, from, e.Keep, window})
	if err != nil {
		return "", "", fmt.Errorf("alignment: key: %w", err)
	}
	return hexSum(text), extraction.Data, nil
}

// Alignment trains the aligner of the study or finds it: in AlignerFile, or in the directory alignments of the cache.
func (s *Study) Alignment(ctx context.Context) (*decompose.Aligner, error) {
	origin, err := s.Origin()
	if err != nil {
		return nil, err
	}
	if s.AlignerFile != "" {
		a, _, err := decompose.ReadAligner(s.AlignerFile, origin)
		return a, err
	}
	return s.align(ctx, origin, (*pairs).contributions)
}

// OneMap trains, or finds in the cache, one map for the representation as a whole: the baseline of Table 1.
func (s *Study) OneMap(ctx context.Context) (*decompose.Aligner, error) {
	origin, err := s.Origin()
	if err != nil {
		return nil, err
	}
	origin.Split, origin.Blocks, origin.Biases = oneMap, "", ""
	return s.align(ctx, origin, func(p *pairs) decompose.AlignSource { return p.parts.whole() })
}

// whole are the representations as contributions of one component.
func (p *Parts) whole() *decompose.Contributions {
	return &decompose.Contributions{Components: []string{"representation"}, Pictures: p.Pictures, Dim: p.Dim, Values: p.Representation}
}

// aligned finds an alignment in the cache, nil if it is not there, and says in which file it belongs and the hash of the
// pictures that it is trained on. What is damaged is not used.
func (s *Study) aligned(origin decompose.Origin, window int) (a *decompose.Aligner, file, trainedOn string, err error) {
	key, trainedOn, err := s.alignmentKey(origin, window)
	if err != nil {
		return nil, "", "", err
	}
	dir, err := s.cacheDir()
	if err != nil {
		return nil, "", "", err
	}
	file = filepath.Join(dir, "alignments", key+".safetensors")
	a, of, err := decompose.ReadAligner(file, origin)
	switch {
	case err == nil && of == trainedOn:
		return a, file, trainedOn, nil
	case err == nil:
		err = fmt.Errorf("%s was trained on other pictures", file)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		s.Warn(fmt.Errorf("%w; it is trained again", err))
	}
	return nil, file, trainedOn, nil
}

// align trains an aligner on some form of the training pairs, unless the cache has it.
func (s *Study) align(ctx context.Context, origin decompose.Origin, form func(*pairs) decompose.AlignSource) (*decompose.Aligner, error) {
	if s.identity() {
		return nil, fmt.Errorf("%s is a CLIP with a text tower: its contributions are in the space of its texts already, and nothing is to be aligned", s.Model.Name)
	}
	a, file, trainedOn, err := s.aligned(origin, 0)
	if a != nil || err != nil {
		return a, err
	}
	pairs, err := s.trainingPairs(ctx)
	if err != nil {
		return nil, err
	}
	source := form(pairs)
	if disk, ok := source.(*diskContributions); ok {
		window := disk.window * s.Batch
		if a, file, trainedOn, err = s.aligned(origin, window); a != nil || err != nil {
			return a, err
		}
		s.Warn(fmt.Errorf("%s: %s; the alignment reads them from the cache, and is trained on %d of them at a time", s.Model.Name, pairs.large.what(), min(window, pairs.parts.Pictures)))
	}
	a, err = decompose.Align(ctx, s.Backend, source, pairs.targets, s.Align, decompose.AlignOptions{From: s.From, Progress: s.Progress})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Model.Name, err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return nil, fmt.Errorf("alignment: %w", err)
	}
	return a, a.WriteFile(file, origin, trainedOn)
}
