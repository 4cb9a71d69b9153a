package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/compute"

	"vitdecompose/data"
	"vitdecompose/decompose"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/heads"
	"vitdecompose/experiments/option"
	"vitdecompose/experiments/statistics"
	"vitdecompose/experiments/study"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/zoo"
)

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
	shared     *shared
	classNames []string
	headed     *gomlxvit.Model // the model with a head; nil until needed
	study      *study.Study    // nil until needed
	reading    *study.Reading  // nil until needed
	trainedOn  data.Dataset    // what a linear head of headed was trained on

	// What was used and assumed since the last Release, and what has been noted ever.
	used        map[string]data.Dataset
	referenced  bool
	align       *decompose.AlignConfig
	assumptions []string
	lists       map[string]string
	noted       []string
	headAssumed string
}

// shared is what sessions that differ in the model alone have in common: each is opened once.
type shared struct {
	backend       compute.Backend
	reference     *gomlxvit.Model
	referenceName string
	assumed       bool                       // nobody named the reference
	sets          map[[2]string]data.Dataset // by name and labels
	pictures      data.Dataset
	ownBackend    bool // it is given, rather than the process's
	// ownPictures reports whether pictures were named or given; drawn scenes are the default.
	ownPictures bool
}

// Given is what a session is to take instead of opening it by its name: a model of one's own, pictures in memory. What is nil
// is opened as the options say.
type Given struct {
	Backend   compute.Backend
	Model     *gomlxvit.Model
	Data      data.Dataset
	Reference *gomlxvit.Model // a CLIP with its text tower
	AlignData data.Dataset
	HeadData  data.Dataset
}

// Open opens the model and the pictures. Everything else is opened when an experiment first needs it.
func Open(ctx context.Context, options Options) (*Session, error) { return With(ctx, options, Given{}) }

// With is [Open] with things that are open already.
func With(ctx context.Context, options Options, given Given) (*Session, error) {
	common, err := openShared(ctx, &options, given)
	if err != nil {
		return nil, err
	}
	return open(ctx, options, common, given.Model)
}

// openShared checks the options, fills in those left open, and opens what does not depend on the model.
func openShared(ctx context.Context, options *Options, given Given) (*shared, error) {
	if err := option.Check(options); err != nil {
		return nil, err
	}
	ownPictures := options.Data != "" || given.Data != nil
	if given.Model != nil && options.Model == "" {
		options.Model = given.Model.Name
	}
	if err := options.setDefaults(given.Data != nil); err != nil {
		return nil, err
	}
	common := &shared{ownPictures: ownPictures, backend: given.Backend, ownBackend: given.Backend != nil, reference: given.Reference, referenceName: "the reference given", sets: make(map[[2]string]data.Dataset), pictures: given.Data}
	if given.AlignData != nil {
		options.AlignData = "pictures given"
		common.sets[[2]string{options.AlignData, ""}] = given.AlignData
	}
	if given.HeadData != nil {
		options.HeadData = "pictures given for the head"
		common.sets[[2]string{options.HeadData, options.HeadLabels}] = given.HeadData
	}
	if common.pictures == nil {
		var err error
		if common.pictures, err = common.open(ctx, "Data", options.Data, options.Labels); err != nil {
			return nil, err
		}
	}
	if options.Shuffle != nil {
		common.pictures = data.Shuffled(common.pictures, *options.Shuffle)
	}
	if n := options.Pictures; n > 0 && n < common.pictures.Len() {
		common.pictures = data.First(common.pictures, n) // whose hash reads no others
	}
	return common, nil
}

// open opens a data set by its name, once. field is the option that names it.
func (s *shared) open(ctx context.Context, field, name, labels string) (data.Dataset, error) {
	key := [2]string{name, labels}
	if ds, ok := s.sets[key]; ok {
		return ds, nil
	}
	ds, err := data.OpenContext(ctx, Dataset(name), data.Options{Labels: labels})
	if err != nil {
		return nil, wrong(field, err)
	}
	s.sets[key] = ds
	return ds, nil
}

// open opens the model of a session, unless it is given.
func open(ctx context.Context, options Options, common *shared, model *gomlxvit.Model) (*Session, error) {
	s := &Session{options: options, shared: common, Data: common.pictures, Name: ShortNames([]string{options.Model})[0], used: make(map[string]data.Dataset), lists: make(map[string]string)}
	var err error
	given := model != nil
	if !given {
		model, err = openModel(ctx, &options, (*checkpoint.Checkpoint).HasText, common.ownBackend)
	} else {
		s.Name = model.Name
		model, err = model.WithPrecision(options.Precision)
	}
	if err != nil {
		return nil, err
	}
	if !common.ownPictures && !options.OtherPictures && !given && !zoo.Has(options.Model) {
		return nil, wrong("Data", fmt.Errorf("name the pictures: the drawn scenes that are the default are for the shipped models, and %s is not one of them", options.Model))
	}
	if s.Model, s.classNames, err = named(model, &options); err != nil {
		return nil, err
	}
	if s.classNames == nil {
		s.classNames = s.Data.Classes()
	}
	s.assumeOfModel()
	if options.Blocks != "" {
		if _, _, err := ParseBlocks(options.Blocks, s.Model.Arch.Blocks()); err != nil {
			return nil, wrong("Blocks", err)
		}
	}
	return s, nil
}

// OpenModel opens the model of the options without pictures. A CLIP is opened without its text tower, unless ClassNames names
// classes: then it gets its zero-shot head.
func OpenModel(ctx context.Context, options Options) (*gomlxvit.Model, error) {
	if err := errors.Join(option.Check(&options), option.SetDefaults(&options)); err != nil {
		return nil, err
	}
	model, err := openModel(ctx, &options, func(ckpt *checkpoint.Checkpoint) bool {
		return ckpt.HasText() && options.ClassNames != ""
	}, false)
	if err != nil {
		return nil, err
	}
	model, names, err := named(model, &options)
	if err != nil {
		return nil, err
	}
	options.note(model)
	switch {
	case model.Text == nil && options.Templates != "":
		return nil, wrong("Templates", errors.New("the wordings are for a CLIP's classes: name these with option ClassNames"))
	case model.Text == nil:
		return model, nil
	}
	backend, err := Backend()
	if err != nil {
		return nil, err
	}
	return zeroShot(ctx, backend, model, names, &options)
}

// note notes what was assumed of a model's checkpoint, where somebody wants to know.
func (o *Options) note(model *gomlxvit.Model) {
	if o.Note == nil {
		return
	}
	for _, line := range model.Assumptions {
		o.Note(model.Name + ": " + line)
	}
}

// CheckModel opens the model of the options as [OpenModel] does, without computing anything, and says of a CLIP whether texts are
// available; texts is "" for other models. Errors do not name option Model.
func CheckModel(ctx context.Context, options Options) (model *gomlxvit.Model, texts string, err error) {
	if err := errors.Join(option.Check(&options), option.SetDefaults(&options)); err != nil {
		return nil, "", err
	}
	var hasText bool
	model, err = openModel(ctx, &options, func(ckpt *checkpoint.Checkpoint) bool {
		hasText = ckpt.HasText()
		return false
	}, false)
	if err != nil {
		if named := "option Model: "; strings.HasPrefix(err.Error(), named) {
			err = errors.Unwrap(err)
		}
		return nil, "", err
	}
	options.note(model)
	if hasText {
		texts = "available"
		if _, err := openModel(ctx, &options, (*checkpoint.Checkpoint).HasText, false); err != nil {
			why := strings.ReplaceAll(strings.TrimPrefix(err.Error(), "option Model: "), model.Name+": ", "")
			texts = "not available: " + strings.TrimPrefix(why, "texts are not available: ")
		}
	}
	return model, texts, nil
}

// openModel opens a model as the options say; text reports whether a checkpoint's text tower is wanted.
func openModel(ctx context.Context, options *Options, text func(*checkpoint.Checkpoint) bool, own bool) (model *gomlxvit.Model, err error) {
	file := onnxFile(options.Model)
	if file == "" || options.RandomWeights {
		for _, o := range []struct {
			field string
			given bool
		}{{"Output", options.Output != ""}, {"Mean", options.Mean != nil}, {"Std", options.Std != nil}} {
			if o.given {
				return nil, &option.Error{Field: o.field, Err: errors.New("it is for models in ONNX files; other checkpoints say it themselves")}
			}
		}
	}
	if options.RandomWeights {
		if options.ImageSize != 0 {
			return nil, &option.Error{Field: "ImageSize", Err: errors.New("it cannot be used with option RandomWeights")}
		}
		if options.Config != "" || options.Arch != "" {
			return nil, &option.Error{Field: "RandomWeights", Err: errors.New("option Model names the architecture then: option Config and option Arch do not go with it")}
		}
		model, err = gomlxvit.Random(options.Model, 1)
	} else if file != "" {
		model, err = openONNX(file, options)
	} else {
		var given checkpoint.Given
		if given, err = options.given(); err != nil {
			return nil, err
		}
		model, err = openCheckpoint(ctx, options.Model, given, gomlxvit.Options{ImageSize: options.ImageSize}, text, own)
	}
	if err != nil {
		return nil, wrong("Model", err)
	}
	model, err = model.WithPrecision(options.Precision)
	return model, wrong("Precision", err)
}

// shippedModels are the models of the program that were opened, by name and by whether they have their text tower. They are
// small and never change, and what was compiled for one, its text tower above all, serves every session of the process.
var shippedModels sync.Map

// shippedModel is a model of [shippedModels]. Its weights are on the devices of one backend, the process's.
type shippedModel struct {
	name, backend string
	text          bool
}

// openCheckpoint opens a checkpoint's model by its name. own is for a backend that is not the process's.
func openCheckpoint(ctx context.Context, name string, given checkpoint.Given, options gomlxvit.Options, text func(*checkpoint.Checkpoint) bool, own bool) (*gomlxvit.Model, error) {
	ckpt, err := Checkpoint(ctx, name, given)
	if err != nil {
		return nil, err
	}
	defer ckpt.Close()
	options.Text = text(ckpt)
	if options.ImageSize != 0 || !zoo.Has(name) || own {
		return gomlxvit.FromCheckpoint(ckpt, options)
	}
	key := shippedModel{name, os.Getenv("GOMLX_BACKEND"), options.Text}
	if opened, ok := shippedModels.Load(key); ok {
		return opened.(*gomlxvit.Model), nil
	}
	model, err := gomlxvit.FromCheckpoint(ckpt, options)
	if err != nil {
		return nil, err
	}
	opened, _ := shippedModels.LoadOrStore(key, model)
	return opened.(*gomlxvit.Model), nil
}

// named gives the model the class names of the options, if they name any: a CLIP with its text tower gets its head of them
// later.
func named(model *gomlxvit.Model, options *Options) (*gomlxvit.Model, []string, error) {
	if options.ClassNames == "" {
		return model, nil, nil
	}
	names, err := data.ReadClassNames(options.ClassNames)
	if err != nil {
		return nil, nil, wrong("ClassNames", err)
	}
	switch n := model.Arch.NumClasses(); {
	case model.Text != nil:
		return model, names, nil
	case n == 0:
		return nil, nil, wrong("ClassNames", fmt.Errorf("%s has no head whose classes could have names", model.Name))
	case n != len(names):
		return nil, nil, wrong("ClassNames", fmt.Errorf("%s names %d classes, %s has %d", options.ClassNames, len(names), model.Name, n))
	}
	return model.WithClassNames(names), names, nil
}

// Options are the session's, with what was left open filled in.
func (s *Session) Options() Options { return s.options }

// Assume notes an assumption that changes numbers, once.
func (s *Session) Assume(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if slices.Contains(s.assumptions, line) {
		return
	}
	s.assumptions = append(s.assumptions, line)
	if s.options.Note != nil && !slices.Contains(s.noted, line) {
		s.noted = append(s.noted, line)
		s.options.Note(line)
	}
}

// assumeOfModel notes what was assumed of the checkpoint.
func (s *Session) assumeOfModel() {
	for _, line := range s.Model.Assumptions {
		s.Assume("%s: %s", s.Model.Name, line)
	}
}

// Assumptions are what was assumed since the last Release, in order.
func (s *Session) Assumptions() []string { return slices.Clone(s.assumptions) }

// Release ends an experiment: it frees what was read into memory, and forgets what was used and assumed. The next experiment
// reads what it needs again, from the cache.
func (s *Session) Release() {
	s.used, s.referenced, s.align, s.assumptions = make(map[string]data.Dataset), false, nil, nil
	s.lists = make(map[string]string)
	s.assumeOfModel()
	s.reading, s.study = nil, nil
}

// Close frees what the session holds beside its files.
func (s *Session) Close() { s.Release() }

// Backend is what computes.
func (s *Session) Backend() (compute.Backend, error) {
	if s.shared.backend == nil {
		var err error
		if s.shared.backend, err = Backend(); err != nil {
			return nil, err
		}
	}
	return s.shared.backend, nil
}

// Pictures shows the pictures as they are.
func (s *Session) Pictures() Album { return Album{s.Data, s.options.Orient} }

// View shows the pictures, and their masks, where the model sees them.
func (s *Session) View() View {
	return View{extraction.Extraction{Model: s.Model, Data: s.Data, Orient: s.options.Orient}}
}

// Extraction takes the pictures apart by the model, all of its blocks.
func (s *Session) Extraction() (extraction.Extraction, error) {
	backend, err := s.Backend()
	return extraction.Extraction{
		Backend: backend, Model: s.Model, Data: s.Data, Pictures: s.options.Pictures, Batch: s.options.Batch, Orient: s.options.Orient,
		MaxBad: s.options.MaxBad, Keep: s.options.Keep, Devices: s.options.Devices, CacheDir: s.options.CacheDir, Progress: s.options.Progress, Warn: s.options.Warn,
	}, err
}

// OpenData opens other pictures by their name, as an option names them: field is its name.
func (s *Session) OpenData(ctx context.Context, field, name string) (data.Dataset, error) {
	return s.shared.open(ctx, field, name, "")
}

// Use records that pictures are part of what the session's results are made of.
func (s *Session) Use(name string, ds data.Dataset) { s.used[name] = ds }

// Classifier is the model with a head: its own, for a CLIP one made of the names of the classes, and for a model that has
// none a linear one, trained on HeadData unless the cache has it.
func (s *Session) Classifier(ctx context.Context) (*gomlxvit.Model, error) {
	var err error
	switch {
	case s.headed != nil:
	case s.Model.Text != nil && len(s.classNames) > 0:
		s.headed, err = s.ZeroShot(ctx, s.classNames)
	case s.Model.Text != nil || s.Model.Arch.NumClasses() == 0:
		s.headed, err = s.linear(ctx)
	default:
		s.headed = s.Model
	}
	if s.trainedOn != nil {
		s.Use(s.options.HeadData, s.trainedOn)
		s.Assume("%s", s.headAssumed)
	}
	return s.headed, err
}

// CanClassify says what is missing for [Session.Classified], before anything is computed.
func (s *Session) CanClassify(ctx context.Context) error {
	if s.Model.Text == nil && s.Model.Arch.NumClasses() > 0 {
		_, err := s.match(s.Model)
		return err
	}
	return s.HasHead(ctx)
}

// HasHead says what is missing for [Session.Classifier], before anything is computed.
func (s *Session) HasHead(ctx context.Context) error {
	switch {
	case s.Model.Text != nil && len(s.classNames) > 0 || s.Model.Text == nil && s.Model.Arch.NumClasses() > 0:
		return nil
	case s.options.HeadData != "":
		_, err := s.shared.open(ctx, "HeadData", s.options.HeadData, s.options.HeadLabels)
		return err
	case s.Model.Text != nil:
		return wrong("ClassNames", fmt.Errorf("%s gets its head from the names of the classes, and the pictures have none; name a file with them, or, as option HeadData, pictures to train a linear head on", s.Name))
	}
	return wrong("HeadData", fmt.Errorf("%s has no classifier head; name pictures to train one on, such as %s or a folder, or for a CLIP the names of the classes with option ClassNames", s.Name, TrainingScenes))
}

// ZeroShot gives a CLIP the head that compares with texts about the classes.
func (s *Session) ZeroShot(ctx context.Context, classes []string) (*gomlxvit.Model, error) {
	backend, err := s.Backend()
	if err != nil {
		return nil, err
	}
	return zeroShot(ctx, backend, s.Model, classes, &s.options)
}

func zeroShot(ctx context.Context, backend compute.Backend, model *gomlxvit.Model, classes []string, options *Options) (*gomlxvit.Model, error) {
	prompts := gomlxvit.DefaultTemplates()
	if options.Templates != "" {
		var err error
		if prompts, err = gomlxvit.ReadTemplates(options.Templates); err != nil {
			return nil, wrong("Templates", err)
		}
	}
	return model.WithZeroShotHead(ctx, backend, classes, prompts)
}

// linear is the model with a linear head trained on HeadData.
func (s *Session) linear(ctx context.Context) (*gomlxvit.Model, error) {
	if err := s.HasHead(ctx); err != nil {
		return nil, err
	}
	ds, err := s.shared.open(ctx, "HeadData", s.options.HeadData, s.options.HeadLabels)
	if err != nil {
		return nil, err
	}
	headed, head, err := s.Headed(ctx, ds)
	if err != nil {
		return nil, wrong("HeadData", err)
	}
	s.trainedOn = ds
	s.headAssumed = fmt.Sprintf("%s: linear head of %d classes, trained on %d pictures of %s", s.Model.Name, len(head.Bias), head.Labelled, s.options.HeadData)
	return headed, nil
}

// Headed is the model with a linear head trained on pictures, all of them, whatever head it has.
func (s *Session) Headed(ctx context.Context, on data.Dataset) (*gomlxvit.Model, *heads.Linear, error) {
	e, err := s.Extraction()
	if err != nil {
		return nil, nil, err
	}
	e.Data, e.Pictures = on, 0
	head, err := heads.Train(ctx, e.OnlyRepresentation(), heads.Config{})
	if err != nil {
		return nil, nil, err
	}
	model, err := head.ApplyTo(s.Model)
	return model, head, err
}

// Classified is the extraction of the model with its head, on pictures whose labels mean its classes.
func (s *Session) Classified(ctx context.Context) (extraction.Extraction, error) {
	model, err := s.Classifier(ctx)
	if err != nil {
		return extraction.Extraction{}, err
	}
	e, err := s.Extraction()
	if err != nil {
		return e, err
	}
	e.Model = model
	s.Use(s.options.Data, s.Data)
	e.Data, err = s.match(model)
	return e, err
}

// match makes the labels of the pictures mean the classes of a model, and notes what that assumes.
func (s *Session) match(model *gomlxvit.Model) (data.Dataset, error) {
	matched, assumptions, err := data.MatchLabels(s.Data, model.Name, model.ClassNames, model.Arch.NumClasses())
	if err != nil && model.NamesAssumed() { // the classes may be others than ImageNet's
		if unnamed, lines, failed := data.MatchLabels(s.Data, model.Name, nil, model.Arch.NumClasses()); failed == nil {
			matched, assumptions, err = unnamed, lines, nil
		}
	}
	if err != nil {
		return nil, wrong("Data", fmt.Errorf("%w (option Labels, option ClassNames)", err))
	}
	for _, line := range assumptions {
		s.Assume("%s", line)
	}
	return matched, nil
}

// Segmented is [Session.Classified] by the blocks of the paper's segmentation.
func (s *Session) Segmented(ctx context.Context) (extraction.Extraction, error) {
	e, err := s.Classified(ctx)
	if err != nil {
		return e, err
	}
	first, last := extraction.SegmentationBlocks(e.Model.Arch.Blocks())
	return e, s.SetBlocks(&e.Options, first, last)
}

// SetBlocks sets the blocks that an extraction takes apart, to usual ones where none are named.
func (s *Session) SetBlocks(o *decompose.Options, first, last int) (err error) {
	if s.options.Blocks != "" {
		if first, last, err = ParseBlocks(s.options.Blocks, s.Model.Arch.Blocks()); err != nil {
			return wrong("Blocks", err)
		}
	}
	o.First, o.End = first, last+1
	return nil
}

// Study is what the experiments that read components by text have in common.
func (s *Session) Study(ctx context.Context) (*study.Study, error) {
	if s.study != nil {
		return s.study, nil
	}
	s.Use(s.options.Data, s.Data)
	made, err := s.StudyOf(ctx, s.options.Data, s.Data)
	if err == nil {
		made.Pictures = s.options.Pictures
		s.study = made
	}
	return made, err
}

// StudyOf makes a study of the model on some pictures, all of them, that a data set of a name holds.
func (s *Session) StudyOf(ctx context.Context, name string, ds data.Dataset) (*study.Study, error) {
	if err := s.CanReadOf(ctx, name); err != nil {
		return nil, err
	}
	e, err := s.Extraction()
	if err != nil {
		return nil, err
	}
	e.Data, e.Pictures = ds, 0
	e.Options = extraction.PaperOptions(s.Model)
	if err := s.SetBlocks(&e.Options, e.Options.First, e.Options.End-1); err != nil {
		return nil, err
	}
	made := &study.Study{Extraction: e, TrainingPictures: s.options.AlignPictures, AlignerFile: s.options.Aligner}
	if s.options.Templates != "" {
		if made.Templates, err = gomlxvit.ReadTemplates(s.options.Templates); err != nil {
			return nil, wrong("Templates", err)
		}
	}
	if s.options.AlignData != "" {
		if made.Training, err = s.shared.open(ctx, "AlignData", s.options.AlignData, ""); err != nil {
			return nil, err
		}
		pictures := made.Training.Len()
		if n := s.options.AlignPictures; n > 0 {
			pictures = min(n, pictures)
		}
		made.Align = s.options.align(pictures)
	}
	if made.IsCLIP() {
		return made, nil
	}
	made.Reference, s.referenced, s.align = s.shared.reference, true, &made.Align
	if made.Training != nil {
		s.Use(s.options.AlignData, made.Training)
	}
	if s.shared.referenceName == zoo.Reference {
		s.Assume("the reference is the shipped %s, which knows only the words of drawn scenes", zoo.Reference)
	}
	return made, nil
}

// CanRead says what is missing for [Session.Study], before anything is computed; it opens the reference, once.
func (s *Session) CanRead(ctx context.Context) error { return s.CanReadOf(ctx, s.options.Data) }

// CanReadOf is [Session.CanRead] for [Session.StudyOf] of pictures by their name, which stand for those of option Data.
func (s *Session) CanReadOf(ctx context.Context, pictures string) error {
	if s.Model.Text != nil {
		return nil
	}
	if Drawn(pictures) {
		s.options.AlignData = cmp.Or(s.options.AlignData, TrainingScenes)
	}
	toy := s.shared.assumed || s.shared.reference == nil && s.options.Reference == ""
	switch {
	case toy && !Drawn(pictures):
		also := ""
		if s.options.AlignData == "" && s.options.Aligner == "" {
			also = ", and pictures to align on as option AlignData"
		}
		return wrong("Reference", fmt.Errorf("the shipped %s knows only the words of drawn scenes: name a CLIP that knows your pictures, such as hf:laion/CLIP-ViT-B-32-laion2B-s34B-b79K or a directory with its open_clip_config.json, open_clip_model.safetensors and tokenizer.json (or name %s, if they are like scenes)%s", zoo.Reference, zoo.Reference, also))
	case s.options.AlignData == "" && s.options.Aligner == "":
		return wrong("AlignData", fmt.Errorf("%s is not a CLIP and must be aligned with one: name pictures for that, or an alignment as option Aligner", s.Name))
	case s.shared.reference != nil:
		if toy {
			s.options.Reference = zoo.Reference
		}
		return nil
	}
	name := cmp.Or(s.options.Reference, zoo.Reference)
	reference, err := openCheckpoint(ctx, name, checkpoint.Given{}, gomlxvit.Options{}, (*checkpoint.Checkpoint).HasText, s.shared.ownBackend)
	if err != nil {
		return wrong("Reference", err)
	}
	if reference.Text == nil {
		return wrong("Reference", fmt.Errorf("%s has no text tower; it must be a CLIP of open_clip or transformers", name))
	}
	s.options.Reference = name
	s.shared.reference, s.shared.referenceName, s.shared.assumed = reference, name, toy
	return nil
}

// Unneeded says why the options of a group are of no use to the session's model, "" where they are.
func (s *Session) Unneeded(group string) string {
	switch {
	case s.Model.Text != nil && (group == "alignment" || group == "aligner" || group == "training"):
		return s.Name + " is a CLIP, whose contributions need no alignment"
	case s.Model.Text == nil && s.Model.Arch.NumClasses() > 0 && group == "head":
		return s.Name + " has a head"
	}
	return ""
}

// ClassNames are the names of the classes: those of option ClassNames, or the data's.
func (s *Session) ClassNames() []string { return s.classNames }

// Aligned is how the alignment of the last study is trained; nil where there is none.
func (s *Session) Aligned() *decompose.AlignConfig { return s.align }

// Reading is the components' contributions to the pictures, in the model's space and in that of texts. It is the
// session's own: [Session.Realign] changes it.
func (s *Session) Reading(ctx context.Context) (*study.Reading, error) {
	if s.reading != nil {
		return s.reading, nil
	}
	made, err := s.Study(ctx)
	if err != nil {
		return nil, err
	}
	if s.reading, err = made.Open(ctx); err != nil {
		return nil, err
	}
	return s.reading, nil
}

// Realign reads the components through an alignment with another lambda from now on. It begins at the alignment with the
// nearest of some anchors, which are trained in full when first needed, and takes few steps from there: a second for a model
// of the zoo. Without anchors it begins at the session's own lambda. The cache keeps what it finds. It returns the mean
// cosine similarity of the mapped representation with the reference's embedding of the pictures, and the mean orthogonality
// of the maps, 0 for isometries.
func (s *Session) Realign(ctx context.Context, lambda float64, anchors ...float64) (cosine, orthogonality float64, err error) {
	if len(anchors) == 0 {
		anchors = []float64{*s.options.Lambda}
	}
	reading, err := s.Reading(ctx)
	if err != nil {
		return 0, 0, err
	}
	if s.study.Training == nil {
		return 0, 0, wrong("AlignData", fmt.Errorf("%s has no pictures to repeat the alignment on", s.Name))
	}
	aligner, err := s.study.Near(ctx, lambda, anchors)
	if err != nil {
		return 0, 0, err
	}
	if err := reading.Through(ctx, aligner); err != nil {
		return 0, 0, err
	}
	return statistics.Mean(reading.Quality()), statistics.Mean(aligner.Orthogonality), nil
}
