// Package study reads components by text: a model's contributions to pictures, mapped into the space of a CLIP, where texts are.
package study

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/gomlx/compute"

	"vitdecompose/data"
	"vitdecompose/decompose"
	"vitdecompose/experiments/cache"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/statistics"
	"vitdecompose/gomlxvit"
)

// Study is what the experiments that read components by text have in common: a model, pictures, and the CLIP through whose
// space contributions meet texts. A model that is a CLIP with a text tower is its own reference, and needs no alignment.
type Study struct {
	// Extraction is the model and the pictures it is read on. Its Options choose the blocks and the split.
	extraction.Extraction
	// Head is the model with a head, for what needs one, where Model has none; it does not change contributions.
	Head *gomlxvit.Model
	// Reference is a CLIP with its text tower.
	Reference *gomlxvit.Model
	// Training are the pictures that the alignment is trained on, TrainingPictures how many of them; 0 means all.
	Training         data.Dataset
	TrainingPictures int
	Align            decompose.AlignConfig
	// AlignerFile holds the alignment, as [decompose.Aligner.WriteFile] wrote it; "" to train one, or find one in the cache.
	AlignerFile string
	// Templates are the wordings of phrases; nil for [gomlxvit.DefaultTemplates].
	Templates gomlxvit.Templates

	pairs *pairs
}

// Reading is a study with its numbers: contributions of components to pictures, in the model's space and in that of the
// texts.
type Reading struct {
	Model string
	Data  data.Dataset
	*extraction.Parts
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

// IsCLIP reports whether the model is a CLIP, whose contributions need no mapping.
func (s *Study) IsCLIP() bool { return s.Model.Text != nil }

// Headed is the model with a head.
func (s *Study) Headed() *gomlxvit.Model {
	if s.Head != nil {
		return s.Head
	}
	return s.Model
}

// Referenced is the CLIP whose space contributions are read in.
func (s *Study) Referenced() (*gomlxvit.Model, error) {
	switch {
	case s.IsCLIP():
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
	if s.IsCLIP() {
		return s.Read(ctx)
	}
	s.SetDefaults()
	// A file that does not fit, nothing to train on, or no way to train, is said before pictures are taken apart.
	var aligner *decompose.Aligner
	var err error
	if s.AlignerFile != "" {
		aligner, err = s.Alignment(ctx)
	} else if _, err = s.training(); err == nil {
		if err = s.Align.Check(); err != nil {
			err = fmt.Errorf("%s: %w", s.Model.Name, err)
		}
	}
	if err != nil {
		return nil, err
	}
	r, err := s.Read(ctx)
	if err != nil {
		return nil, err
	}
	if aligner == nil {
		if aligner, err = s.Alignment(ctx); err != nil {
			return nil, err
		}
	}
	if err := r.Through(ctx, aligner); err != nil {
		return nil, err
	}
	return r, nil
}

// Read is Open without the alignment. A CLIP's contributions are Aligned as they are; of other models they are to be mapped
// by [Reading.Through], as often as there are aligners to look through:
//
//	r, err := study.Read(ctx)
//	for _, lambda := range lambdas {
//		config.Lambda = lambda
//		aligner, err := study.AlignmentWith(ctx, config, nil)
//		err = r.Through(ctx, aligner)
//		// ... r.Aligned ...
//	}
func (s *Study) Read(ctx context.Context) (*Reading, error) {
	s.SetDefaults()
	reference, err := s.Referenced()
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
	if s.IsCLIP() {
		r.Aligned, r.Embeddings = &parts.Contributions, parts.Representation
	} else {
		embedded, err := s.Embedded(ctx, s.Extraction, reference)
		if err != nil {
			return nil, err
		}
		extraction.KeepCommon(parts, embedded)
		if parts.Pictures == 0 {
			return nil, errors.New("no picture could be read by both the model and the reference")
		}
		r.Embeddings = embedded.Representation
	}
	r.texts, err = reference.TextEncoder(s.Backend)
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
	return decompose.Cosines(r.Aligned.Total(), r.Embeddings, r.Aligned.Dim)
}

// Embedded extracts a reference's embeddings of the pictures of e: parts without contributions.
func (s *Study) Embedded(ctx context.Context, e extraction.Extraction, reference *gomlxvit.Model) (*extraction.Parts, error) {
	e.Model = reference
	e = e.OnlyRepresentation()
	e.SetDefaults()
	store, err := e.Extract(ctx)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	return e.Read(ctx, store, false)
}

// training is the extraction of the pictures that the alignment is trained on.
func (s *Study) training() (extraction.Extraction, error) {
	e := s.Extraction
	if s.Training == nil {
		return e, fmt.Errorf("%s: there are no pictures to train the alignment on", s.Model.Name)
	}
	e.Data, e.Pictures = s.Training, s.TrainingPictures
	e.SetDefaults()
	return e, nil
}

// pairs are what an alignment is trained on: contributions, and CLIP's embeddings of the same pictures.
type pairs struct {
	parts   *extraction.Parts // without contributions where these do not fit into memory
	targets []float32         // [picture, clip dim]
	// disk reads the contributions from the cache; nil where they are in memory. large says why.
	disk  *diskContributions
	large *extraction.MemoryError
}

// contributions are those of the parts, wherever they are.
func (p *pairs) contributions() decompose.AlignSource {
	if p.disk != nil {
		return p.disk
	}
	return &p.parts.Contributions
}

// TrainingRepresentations are the training pictures' representations: parts that may lack the contributions.
func (s *Study) TrainingRepresentations(ctx context.Context) (*extraction.Parts, error) {
	if !s.IsCLIP() { // they are in memory for the alignment already, or will be
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
	return e.Read(ctx, store, false)
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
	reference, err := s.Referenced()
	if err != nil {
		return nil, err
	}
	store, err := e.Extract(ctx)
	if err != nil {
		return nil, err
	}
	p := &pairs{}
	window := 0
	p.parts, err = e.Read(ctx, store, true)
	if errors.As(err, &p.large) {
		if window = windowChunks(uint64(p.large.PerPicture) * uint64(e.Batch)); window == 0 {
			return nil, err
		}
		p.parts, err = e.Read(ctx, store, false)
	}
	if err != nil {
		return nil, err
	}
	embedded, err := s.Embedded(ctx, e, reference)
	if err != nil {
		return nil, err
	}
	extraction.KeepCommon(p.parts, embedded)
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
	s.SetDefaults()
	if s.IsCLIP() {
		return nil
	}
	_, err := s.trainingPairs(ctx)
	return err
}

// Origin is what an alignment of this study belongs to.
func (s *Study) Origin() (decompose.Origin, error) {
	s.SetDefaults()
	reference, err := s.Referenced()
	if err != nil {
		return decompose.Origin{}, err
	}
	decomposer, err := decompose.New(s.Backend, s.Model, s.Options)
	if err != nil {
		return decompose.Origin{}, err
	}
	defer decomposer.Close()
	key, err := s.Key(decomposer.Options())
	if err != nil {
		return decompose.Origin{}, err
	}
	input, err := json.Marshal([]any{key.Preprocess, reference.Preprocess})
	if err != nil {
		return decompose.Origin{}, err
	}
	return decompose.Origin{
		Checkpoint: key.Checkpoint, Reference: reference.Hash, Blocks: key.Blocks, Split: key.Split, Biases: key.Bias,
		Input: cache.Sum(input),
	}, nil
}

// alignVersion is the version of the code that trains and writes alignments. Another one is another key.
const alignVersion = 1

// oneMap is the split of an alignment that maps the representation whole.
const oneMap = "none"

// alignmentKey is the hash of all that determines an alignment. window is that of training from disk, in pictures; 0 where
// all are in memory.
func (s *Study) alignmentKey(a alignment, window int) (key string, trainedOn string, err error) {
	e, err := s.training()
	if err != nil {
		return "", "", err
	}
	pictures, err := e.PictureKey()
	if err != nil {
		return "", "", err
	}
	from := ""
	if a.from != nil {
		if from, err = a.from.Hash(); err != nil {
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
	}{alignVersion, a.origin, pictures, a.config, from, e.Keep, window})
	if err != nil {
		return "", "", fmt.Errorf("alignment: key: %w", err)
	}
	return cache.Sum(text), pictures.Data, nil
}

// alignment is one that is trained, or was: what it belongs to, how it is trained, and where it begins.
type alignment struct {
	origin decompose.Origin
	config decompose.AlignConfig
	from   *decompose.Aligner // nil for at random
}

// Alignment trains the aligner of the study or finds it: in AlignerFile, or in the directory alignments of the cache.
func (s *Study) Alignment(ctx context.Context) (*decompose.Aligner, error) {
	return s.AlignmentWith(ctx, s.Align, nil)
}

// AlignmentWith is [Study.Alignment] with another configuration, and beginning at an aligner; nil for at random.
func (s *Study) AlignmentWith(ctx context.Context, config decompose.AlignConfig, from *decompose.Aligner) (*decompose.Aligner, error) {
	origin, err := s.Origin()
	if err != nil {
		return nil, err
	}
	if s.AlignerFile != "" {
		a, _, err := decompose.ReadAligner(s.AlignerFile, origin)
		return a, err
	}
	return s.align(ctx, alignment{origin, config, from}, (*pairs).contributions)
}

// OneMap trains, or finds in the cache, one map for the representation as a whole, free of the orthogonality term: the
// baseline of Table 1.
func (s *Study) OneMap(ctx context.Context) (*decompose.Aligner, error) {
	origin, err := s.Origin()
	if err != nil {
		return nil, err
	}
	origin.Split, origin.Blocks, origin.Biases = oneMap, "", ""
	config := s.Align
	config.Lambda = 0
	return s.align(ctx, alignment{origin, config, nil}, func(p *pairs) decompose.AlignSource { return whole(p.parts) })
}

// whole are the representations as contributions of one component.
func whole(p *extraction.Parts) *decompose.Contributions {
	return &decompose.Contributions{Components: []string{"representation"}, Pictures: p.Pictures, Dim: p.Dim, Values: p.Representation}
}

// aligned finds an alignment in the cache, nil if it is not there, and says in which file it belongs and the hash of the
// pictures that it is trained on. What is damaged is not used.
func (s *Study) aligned(wanted alignment, window int) (a *decompose.Aligner, file, trainedOn string, err error) {
	key, trainedOn, err := s.alignmentKey(wanted, window)
	if err != nil {
		return nil, "", "", err
	}
	dir, err := s.Directory()
	if err != nil {
		return nil, "", "", err
	}
	file = filepath.Join(dir, "alignments", key+".safetensors")
	a, of, err := decompose.ReadAligner(file, wanted.origin)
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
func (s *Study) align(ctx context.Context, wanted alignment, form func(*pairs) decompose.AlignSource) (*decompose.Aligner, error) {
	if s.IsCLIP() {
		return nil, fmt.Errorf("%s is a CLIP with a text tower: its contributions are already in the space of its texts and need no alignment", s.Model.Name)
	}
	a, file, trainedOn, err := s.aligned(wanted, 0)
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
		if a, file, trainedOn, err = s.aligned(wanted, window); a != nil || err != nil {
			return a, err
		}
		s.Warn(fmt.Errorf("%s: %s; the alignment reads them from the cache, and is trained on %d of them at a time", s.Model.Name, pairs.large.What(), min(window, pairs.parts.Pictures)))
	}
	a, err = decompose.Align(ctx, s.Backend, source, pairs.targets, wanted.config, decompose.AlignOptions{From: wanted.from, Progress: s.Progress})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Model.Name, err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return nil, fmt.Errorf("alignment: %w", err)
	}
	return a, a.WriteFile(file, wanted.origin, trainedOn)
}

// TrainCosine is the mean cosine similarity on the pictures that an aligner was trained on.
func (s *Study) TrainCosine(ctx context.Context, a *decompose.Aligner) (float64, error) {
	pairs, err := s.trainingPairs(ctx)
	if err != nil {
		return 0, err
	}
	if pairs.disk != nil {
		cosines, err := pairs.disk.cosines(ctx, s.Backend, a, pairs.targets)
		return statistics.Mean(cosines), err
	}
	mapped, err := a.Map(ctx, s.Backend, &pairs.parts.Contributions)
	if err != nil {
		return 0, err
	}
	return statistics.Mean(decompose.Cosines(mapped.Total(), pairs.targets, mapped.Dim)), nil
}

// Near is the alignment for a lambda that begins at the one with the nearest of some anchors, which are trained in full when
// first needed, and takes few steps from there ([decompose.AlignConfig.Warm]). The training pictures stay in memory for the
// next one.
func (s *Study) Near(ctx context.Context, lambda float64, anchors []float64) (*decompose.Aligner, error) {
	if err := s.Prepare(ctx); err != nil {
		return nil, err
	}
	config := s.Align
	config.Lambda = nearest(lambda, anchors)
	trained := *s
	trained.AlignerFile = "" // which is for one lambda
	aligner, err := trained.AlignmentWith(ctx, config, nil)
	if err != nil || lambda == config.Lambda {
		return aligner, err
	}
	config.Lambda = lambda
	return trained.AlignmentWith(ctx, config.Warm(s.TrainedOn()), aligner)
}

// TrainedOn is how many pictures an alignment is trained on.
func (s *Study) TrainedOn() int {
	n := s.Training.Len()
	if s.TrainingPictures > 0 {
		n = min(n, s.TrainingPictures)
	}
	return n
}

// nearest is the value of a list whose ratio to lambda is nearest to 1; 0 is as far from everything as a thousandth.
func nearest(lambda float64, list []float64) float64 {
	log := func(x float64) float64 { return math.Log(max(x, 1e-3)) }
	return slices.MinFunc(list, func(a, b float64) int {
		return cmp.Compare(math.Abs(log(a)-log(lambda)), math.Abs(log(b)-log(lambda)))
	})
}
