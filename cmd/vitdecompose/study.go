package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"vitdecompose/data"
	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/zoo"
)

// studyFlags say how components are read by text: through which CLIP, aligned how, for which features.
type studyFlags struct {
	reference    string
	training     string
	trainingSize int
	features     string
	blocks       string
	aligner      string
	config       decompose.AlignConfig // fields below 0 are left to [decompose.DefaultAlignConfig]
}

func (f *studyFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.reference, "reference", zoo.Reference, "the CLIP into whose space contributions are mapped: a shipped one, a checkpoint directory or hf:owner/repo (a model that is a CLIP needs none)")
	c.Flags().StringVar(&f.training, "align-data", "", "pictures to align on, named as for --data (default for scenes: "+session.TrainingScenes+")")
	c.Flags().IntVar(&f.trainingSize, "align-pictures", 0, "align on only the first N pictures of --align-data")
	c.Flags().StringVar(&f.blocks, "blocks", "", "blocks to take apart, such as 7..11, 7.. or, in a staged model, (2,14).. (default: those of the paper's retrieval)")
	c.Flags().Float64Var(&f.config.Lambda, "lambda", 1, "weight of the orthogonality of the maps into CLIP's space; 0 leaves them free")
	c.Flags().IntVar(&f.config.Epochs, "align-epochs", -1, "how often at most the alignment goes through its pictures (default: 2, or for at least 2000 steps)")
	c.Flags().Float64Var(&f.config.LearningRate, "align-rate", -1, "learning rate of the alignment (default: 3e-4, or 1e-3 with fewer than 640000 pictures)")
	c.Flags().IntVar(&f.config.Batch, "align-batch", -1, "pictures in a batch of the alignment (default: 32)")
	c.Flags().IntVar(&f.config.Patience, "align-patience", -1, "batches without a new least loss that end the alignment, 0 for none (default: 50, or none with fewer than 640000 pictures)")
	c.Flags().Uint64Var(&f.config.Seed, "seed", 0, "of whatever is drawn at random")
}

// addReading adds the flags for what is read, rather than aligned.
func (f *studyFlags) addReading(c *cobra.Command) {
	c.Flags().StringVar(&f.features, "features", "", "the features: a shipped list ("+strings.Join(phrases.FeatureLists(), ", ")+") or a file with a line FEATURE: INSTANCE, INSTANCE, ... for each")
	c.Flags().StringVar(&f.aligner, "aligner", "", "an alignment written by align, instead of training one")
}

// check says what cannot be, before anything is opened.
func (f *studyFlags) check(models []string) error {
	switch {
	case f.trainingSize < 0:
		return usagef("--align-pictures must not be negative")
	case len(models) > 1 && (f.blocks != "" || f.aligner != ""):
		return usagef("--blocks and --aligner belong to one model; name one with --model")
	}
	if err := f.alignConfig(1).Check(); err != nil {
		return usagef("%w", err)
	}
	return nil
}

// alignConfig is the configuration for so many pictures to align on.
func (f *studyFlags) alignConfig(pictures int) decompose.AlignConfig {
	config := decompose.DefaultAlignConfig(pictures)
	config.Lambda, config.Seed = f.config.Lambda, f.config.Seed
	if f.config.Epochs != -1 {
		config.Epochs = f.config.Epochs
	}
	if f.config.LearningRate != -1 {
		config.LearningRate = f.config.LearningRate
	}
	if f.config.Batch != -1 {
		config.Batch = f.config.Batch
	}
	if f.config.Patience != -1 {
		config.Patience = f.config.Patience
	}
	return config
}

// studies opens models one after the other for experiments that read them by text.
type studies struct {
	c         *cobra.Command
	models    *modelFlags
	pictures  *dataFlags
	flags     *studyFlags
	cacheDir  string
	backend   compute.Backend
	data      data.Dataset
	training  data.Dataset
	reference *gomlxvit.Model // opened when the first model needs it
}

// newStudies opens what all models share.
func newStudies(c *cobra.Command, models *modelFlags, pictures *dataFlags, flags *studyFlags, cacheDir string) (*studies, error) {
	s := &studies{c: c, models: models, pictures: pictures, flags: flags, cacheDir: cacheDir}
	models.text = true
	var err error
	if s.data, err = pictures.open(); err != nil {
		return nil, err
	}
	spec := flags.training
	if spec == "" && pictures.drawn() {
		spec = session.TrainingScenes
	}
	if spec != "" {
		training := dataFlags{spec: spec}
		if s.training, err = data.Open(training.dataset(), data.Options{}); err != nil {
			return nil, fmt.Errorf("--align-data: %w", err)
		}
		flags.training = spec
	}
	s.backend, err = session.Backend()
	return s, err
}

// open prepares the study of a model. names are those that its zero-shot head would have, if it is a CLIP.
func (s *studies) open(name string) (study *experiments.Study, names []string, err error) {
	ctx := s.c.Context()
	model, names, err := s.models.load(ctx, name, s.data.Classes())
	if err != nil {
		return nil, nil, err
	}
	if model.Text == nil {
		if err := s.needReference(ctx, model); err != nil {
			return nil, nil, err
		}
	}
	study = &experiments.Study{
		Extraction: s.pictures.extraction(s.c, s.backend, model, s.data, s.cacheDir),
		Reference:  s.reference, Training: s.training, TrainingPictures: s.flags.trainingSize, AlignerFile: s.flags.aligner,
	}
	study.Options = experiments.PaperOptions(model)
	if s.flags.blocks != "" {
		first, last, err := parseBlocks(s.flags.blocks, model.Arch.Blocks())
		if err != nil {
			return nil, nil, err
		}
		study.Options.First, study.Options.End = first, last+1
	}
	if s.training != nil {
		pictures := s.training.Len()
		if n := s.flags.trainingSize; n > 0 {
			pictures = min(n, pictures)
		}
		study.Align = s.flags.alignConfig(pictures)
	}
	if s.models.templates != "" {
		if study.Templates, err = gomlxvit.ReadTemplates(s.models.templates); err != nil {
			return nil, nil, err
		}
	}
	return study, names, nil
}

// needReference opens the reference and makes sure that there is something to align on.
func (s *studies) needReference(ctx context.Context, model *gomlxvit.Model) error {
	if s.training == nil && s.flags.aligner == "" {
		return fmt.Errorf("%s is not a CLIP, and is to be aligned with one: give pictures for that with --align-data, or an alignment with --aligner", model.Name)
	}
	if s.reference != nil {
		return nil
	}
	reference, _, err := (&modelFlags{text: true}).load(ctx, s.flags.reference, nil)
	if err != nil {
		return fmt.Errorf("--reference: %w", err)
	}
	if reference.Text == nil {
		return fmt.Errorf("--reference %s has no text tower; it must be a CLIP of open_clip", s.flags.reference)
	}
	s.reference = reference
	return nil
}

// featureList opens --features. usual is the shipped list for photographs, drawn that for scenes, for which their truth is
// known.
func (s *studies) featureList(usual, drawn string) ([]phrases.Feature, error) {
	name := s.flags.features
	if name == "" {
		if name = usual; s.pictures.drawn() {
			name = drawn
		}
		s.flags.features = name
	}
	features, err := phrases.OpenFeatures(name)
	if err != nil {
		return nil, fmt.Errorf("--features: %w", err)
	}
	return features, nil
}

// bankName is the usual text bank.
func (s *studies) bankName() string { return session.Bank(s.pictures.spec, s.flags.reference) }
