package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"vitdecompose/data"
	"vitdecompose/data/progress"
	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/zoo"
)

// Options say what a session is about. The zero value is about deit-mini and 1000 drawn scenes.
type Options struct {
	// Model is a shipped model, a checkpoint directory or hf:owner/repo. Blocks are those taken apart, such as 7..11 or
	// (2,14)..; "" for the paper's.
	Model, Blocks string
	// Data names the pictures, KIND:PATH or a directory, and Labels a CSV file with the columns file,label for a
	// directory. Pictures takes only the first so many, Shuffled in an order drawn by the seed Seed first.
	Data, Labels string
	Pictures     int
	Shuffled     bool
	// Orient turns photos upright by their EXIF orientation, MaxBad leaves out that many that cannot be read, and Batch
	// pictures are computed at a time; 0 for 8.
	Orient        bool
	MaxBad, Batch int
	// Precision is that of matrix products, float32 or bfloat16 ([gomlxvit.Model.InBFloat16]); "" for float32. Devices is how
	// many of the backend's share the work; 0 for all of an accelerator.
	Precision string
	Devices   int

	// ClassNames is a file with the names of the classes, Templates one with the prompts of a zero-shot head.
	ClassNames, Templates string
	// HeadData are pictures to train a linear head on, for a model without one; HeadLabels as Labels.
	HeadData, HeadLabels string

	// Reference is the CLIP through whose space components meet texts, AlignData the pictures to align with it on,
	// AlignPictures how many of them; 0 for all. Aligner is a file with an alignment, instead of training one.
	Reference, AlignData string
	AlignPictures        int
	Aligner              string
	// Lambda weighs the orthogonality of the maps, as in new(0.1); nil for 1.
	Lambda *float64

	// Correlated and Uncorrelated are the pictures of Waterbirds.
	Correlated, Uncorrelated string

	// Seed is of whatever is drawn at random.
	Seed uint64
	// CacheDir is where contributions, heads and alignments are kept; "" for the user's cache directory.
	CacheDir string
	// Keep is how contributions are kept there: "float32", the default, or in half the room and rounded "float16" or
	// "bfloat16".
	Keep string
	// Progress hears how far long work has come, Warn of pictures left out and of cached files that were not good; nil
	// for silence.
	Progress progress.Reporter
	Warn     func(error)
}

// setDefaults fills in what the command line has by default.
func (o *Options) setDefaults() {
	o.Model = cmp.Or(o.Model, DefaultModel)
	o.Data = cmp.Or(o.Data, DefaultPictures)
	o.Reference = cmp.Or(o.Reference, zoo.Reference)
	if Drawn(o.Data) {
		o.HeadData, o.AlignData = cmp.Or(o.HeadData, TrainingScenes), cmp.Or(o.AlignData, TrainingScenes)
	}
	o.Correlated, o.Uncorrelated = cmp.Or(o.Correlated, CorrelatedBirds), cmp.Or(o.Uncorrelated, UncorrelatedBirds)
	if o.Lambda == nil {
		o.Lambda = new(1.0)
	}
}

// check says what cannot be.
func (o *Options) check() error {
	if o.Pictures < 0 || o.MaxBad < 0 || o.Batch < 0 || o.AlignPictures < 0 || o.Devices < 0 {
		return errors.New("Pictures, MaxBad, Batch, AlignPictures and Devices must not be negative")
	}
	if !(*o.Lambda >= 0) || math.IsInf(*o.Lambda, 0) {
		return fmt.Errorf("option Lambda %g is not a number from 0 on", *o.Lambda)
	}
	if _, err := ParseKeep(o.Keep); err != nil {
		return fmt.Errorf("option Keep: %w", err)
	}
	return nil
}

// Session is a model and pictures, and what experiments on them need. Errors begin with the option that they
// are about.
type Session struct {
	// Name is what figures call the model.
	Name string
	// Model is the model as it was opened: a CLIP has its text tower and no head.
	Model *gomlxvit.Model
	// Data are the pictures, with the labels that they have on disk.
	Data data.Dataset

	options    Options
	classNames []string
	training   data.Dataset       // to align on; nil if none are named
	reference  *gomlxvit.Model    // nil until needed
	headed     *gomlxvit.Model    // the model with a head; nil until needed
	study      *experiments.Study // nil until needed
	warm       *experiments.Study // the same for Realign; nil until needed
	reading    *experiments.Reading
}

// Open opens the model and the pictures. Everything else is opened when an experiment first needs it.
func Open(ctx context.Context, options Options) (*Session, error) {
	options.setDefaults()
	if err := options.check(); err != nil {
		return nil, err
	}
	s := &Session{options: options, Name: ShortNames([]string{options.Model})[0]}
	var err error
	if s.Data, err = openData(options.Data, options.Labels); err != nil {
		return nil, fmt.Errorf("option Data: %w", err)
	}
	if options.Shuffled {
		s.Data = data.Shuffled(s.Data, options.Seed)
	}
	if options.Pictures > 0 && options.Pictures < s.Data.Len() {
		s.Data = data.First(s.Data, options.Pictures)
	}
	if s.Model, err = openModel(ctx, options.Model); err != nil {
		return nil, fmt.Errorf("option Model: %w", err)
	}
	if s.Model, err = s.Model.WithPrecision(options.Precision); err != nil {
		return nil, fmt.Errorf("option Precision: %w", err)
	}
	s.classNames = s.Data.Classes()
	if options.ClassNames != "" {
		if s.classNames, err = data.ReadClassNames(options.ClassNames); err != nil {
			return nil, fmt.Errorf("option ClassNames: %w", err)
		}
		if n := s.Model.Arch.NumClasses(); s.Model.Text == nil && n > 0 {
			if n != len(s.classNames) {
				return nil, fmt.Errorf("option ClassNames: %s names %d classes, %s has %d", options.ClassNames, len(s.classNames), options.Model, n)
			}
			s.Model.ClassNames = s.classNames
		}
	}
	if options.Blocks != "" {
		if _, _, err := ParseBlocks(options.Blocks, s.Model.Arch.Blocks()); err != nil {
			return nil, fmt.Errorf("option Blocks: %w", err)
		}
	}
	return s, nil
}

func openData(name, labels string) (data.Dataset, error) {
	return data.Open(Dataset(name), data.Options{Labels: labels})
}

// openModel opens a model, a CLIP with its text tower.
func openModel(ctx context.Context, name string) (*gomlxvit.Model, error) {
	ckpt, err := Checkpoint(ctx, name)
	if err != nil {
		return nil, err
	}
	defer ckpt.Close()
	return gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{Text: ckpt.Library == checkpoint.OpenCLIP})
}

// Close frees what the session holds beside its files.
func (s *Session) Close() {
	if s.reading != nil {
		s.reading.Close()
		s.reading = nil
	}
}

// Pictures shows the pictures as they are.
func (s *Session) Pictures() Album { return Album{s.Data, s.options.Orient} }

// View shows the pictures, and their masks, where the model sees them.
func (s *Session) View() View {
	return View{experiments.Extraction{Model: s.Model, Data: s.Data, Orient: s.options.Orient}}
}

// Extraction takes the pictures apart by the model, all of its blocks.
func (s *Session) Extraction() (experiments.Extraction, error) {
	backend, err := Backend()
	return experiments.Extraction{
		Backend: backend, Model: s.Model, Data: s.Data, Pictures: s.options.Pictures, Batch: s.options.Batch, Orient: s.options.Orient,
		MaxBad: s.options.MaxBad, Keep: s.options.Keep, Devices: s.options.Devices, CacheDir: s.options.CacheDir, Progress: s.options.Progress, Warn: s.options.Warn,
	}, err
}

// Classifier is the model with a head: its own, for a CLIP one made of the names of the classes, and for a model that has
// none a linear one, trained on HeadData unless the cache has it.
func (s *Session) Classifier(ctx context.Context) (*gomlxvit.Model, error) {
	var err error
	switch {
	case s.headed != nil:
	case s.Model.Text != nil:
		if len(s.classNames) == 0 {
			return nil, fmt.Errorf("option ClassNames: %s gets its head from the names of the classes, and the pictures have none; name a file with them", s.Name)
		}
		s.headed, err = ZeroShot(ctx, s.Model, s.classNames, s.options.Templates)
	case s.Model.Arch.NumClasses() == 0:
		s.headed, err = s.linear(ctx)
	default:
		s.headed = s.Model
	}
	return s.headed, err
}

// linear is the model with a linear head trained on HeadData.
func (s *Session) linear(ctx context.Context) (*gomlxvit.Model, error) {
	if s.options.HeadData == "" {
		return nil, fmt.Errorf("option HeadData: %s has no classifier head; name pictures to train one on, such as %s or a folder", s.Name, TrainingScenes)
	}
	e, err := s.Extraction()
	if err != nil {
		return nil, err
	}
	if e.Data, err = openData(s.options.HeadData, s.options.HeadLabels); err != nil {
		return nil, fmt.Errorf("option HeadData: %w", err)
	}
	head, err := TrainHead(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("option HeadData: %w", err)
	}
	return head.ApplyTo(s.Model)
}

// classified is the extraction of the model with its head, on pictures whose labels mean its classes.
func (s *Session) classified(ctx context.Context) (experiments.Extraction, error) {
	model, err := s.Classifier(ctx)
	if err != nil {
		return experiments.Extraction{}, err
	}
	e, err := s.Extraction()
	if err != nil {
		return e, err
	}
	e.Model = model
	if e.Data, err = experiments.MatchLabels(s.Data, model.Name, model.ClassNames, model.Arch.NumClasses()); err != nil {
		return e, fmt.Errorf("option Data: %w", err)
	}
	return e, nil
}

// blocks sets the blocks that an extraction takes apart, to usual ones where none are named.
func (s *Session) blocks(o *decompose.Options, first, last int) (err error) {
	if s.options.Blocks != "" {
		if first, last, err = ParseBlocks(s.options.Blocks, s.Model.Arch.Blocks()); err != nil {
			return fmt.Errorf("option Blocks: %w", err)
		}
	}
	o.First, o.End = first, last+1
	return nil
}

// Study is what the experiments that read components by text have in common. It is the session's own: a change of it
// changes what the session computes from then on.
func (s *Session) Study(ctx context.Context) (*experiments.Study, error) {
	if s.study != nil {
		return s.study, nil
	}
	study, err := s.studyOf(ctx, s.Data)
	if err == nil {
		s.study = study
	}
	return study, err
}

// studyOf makes a study of the model on some pictures.
func (s *Session) studyOf(ctx context.Context, ds data.Dataset) (*experiments.Study, error) {
	e, err := s.Extraction()
	if err != nil {
		return nil, err
	}
	e.Data = ds
	e.Options = experiments.PaperOptions(s.Model)
	if err := s.blocks(&e.Options, e.Options.First, e.Options.End-1); err != nil {
		return nil, err
	}
	study := &experiments.Study{Extraction: e, TrainingPictures: s.options.AlignPictures, AlignerFile: s.options.Aligner}
	if s.options.Templates != "" {
		if study.Templates, err = gomlxvit.ReadTemplates(s.options.Templates); err != nil {
			return nil, fmt.Errorf("option Templates: %w", err)
		}
	}
	if s.training == nil && s.options.AlignData != "" {
		if s.training, err = openData(s.options.AlignData, ""); err != nil {
			return nil, fmt.Errorf("option AlignData: %w", err)
		}
	}
	if s.training != nil {
		study.Training = s.training
		pictures := s.training.Len()
		if n := s.options.AlignPictures; n > 0 {
			pictures = min(n, pictures)
		}
		study.Align = decompose.DefaultAlignConfig(pictures)
		study.Align.Lambda, study.Align.Seed = *s.options.Lambda, s.options.Seed
	}
	if s.Model.Text == nil {
		if study.Training == nil && s.options.Aligner == "" {
			return nil, fmt.Errorf("option AlignData: %s is not a CLIP, and is to be aligned with one: name pictures for that, or an alignment as Aligner", s.Name)
		}
		if study.Reference, err = s.referenceModel(ctx); err != nil {
			return nil, err
		}
	}
	return study, nil
}

// referenceModel opens the reference, once.
func (s *Session) referenceModel(ctx context.Context) (*gomlxvit.Model, error) {
	if s.reference != nil {
		return s.reference, nil
	}
	reference, err := openModel(ctx, s.options.Reference)
	if err != nil {
		return nil, fmt.Errorf("option Reference: %w", err)
	}
	if reference.Text == nil {
		return nil, fmt.Errorf("option Reference: %s has no text tower; it must be a CLIP of open_clip", s.options.Reference)
	}
	s.reference = reference
	return reference, nil
}

// Reading is the components' contributions to the pictures, in the model's space and in that of texts. It is the
// session's own: [Session.Realign] changes it, and Close closes it.
func (s *Session) Reading(ctx context.Context) (*experiments.Reading, error) {
	if s.reading != nil {
		return s.reading, nil
	}
	study, err := s.Study(ctx)
	if err != nil {
		return nil, err
	}
	if s.reading, err = study.Open(ctx); err != nil {
		return nil, err
	}
	return s.reading, nil
}

// features are an experiment's usual ones for the pictures: usual is the shipped list for photographs, drawn that for
// scenes, for which their truth is known.
func (s *Session) features(given []phrases.Feature, usual string) ([]phrases.Feature, error) {
	switch {
	case given != nil:
		return given, nil
	case Drawn(s.options.Data):
		usual = "scenes"
	}
	return phrases.OpenFeatures(usual)
}

// bank is the usual text bank.
func (s *Session) bank(given []string) ([]string, error) {
	if given != nil {
		return given, nil
	}
	return phrases.OpenBank(Bank(s.options.Data, s.options.Reference))
}

// FeatureNames are the names of the features that pictures are searched by.
func (s *Session) FeatureNames() ([]string, error) {
	features, err := s.features(nil, "retrieval")
	var names []string
	for _, f := range features {
		names = append(names, f.Name)
	}
	return names, err
}

// Feature is one of [Session.FeatureNames].
func (s *Session) Feature(name string) (phrases.Feature, error) {
	features, err := s.features(nil, "retrieval")
	if err != nil {
		return phrases.Feature{}, err
	}
	var names []string
	for _, f := range features {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return phrases.Feature{}, fmt.Errorf("feature %s is not one of %s", name, strings.Join(names, ", "))
}

// Models opens sessions that differ in the model alone, each of them once.
type Models struct {
	Options Options
	open    map[string]*Session
}

// Open is the session of a model.
func (m *Models) Open(ctx context.Context, model string) (*Session, error) {
	if s, ok := m.open[model]; ok {
		return s, nil
	}
	options := m.Options
	options.Model = model
	s, err := Open(ctx, options)
	if err != nil {
		return nil, err
	}
	if m.open == nil {
		m.open = make(map[string]*Session)
	}
	m.open[model] = s
	return s, nil
}

// Close closes the sessions.
func (m *Models) Close() {
	for _, s := range m.open {
		s.Close()
	}
}
