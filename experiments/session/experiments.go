package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"vitdecompose/data"
	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments"
)

// The experiments. What a configuration leaves open, its features and texts among it, is as `vitdecompose run` has it.
// Their results call the model by Session.Name.

// Ablation is experiment 1. exactness is the largest difference between the sum of the components and the representation,
// relative to the representation.
func (s *Session) Ablation(ctx context.Context) (curve experiments.AblationCurve, exactness float64, err error) {
	e, err := s.classified(ctx)
	if err != nil {
		return curve, 0, err
	}
	curve, exactness, err = experiments.Ablation(ctx, e)
	curve.Model = s.Name
	return curve, exactness, err
}

// TextRetrieval is experiment 2.
func (s *Session) TextRetrieval(ctx context.Context, config experiments.TextRetrievalConfig) (sheet experiments.RetrievalSheet, err error) {
	if config.Features, err = s.features(config.Features, "retrieval"); err != nil {
		return sheet, err
	}
	reading, err := s.Reading(ctx)
	if err != nil {
		return sheet, err
	}
	sheet, err = experiments.TextRetrieval(ctx, reading, config)
	sheet.Model = s.Name
	return sheet, err
}

// Ranking is experiment 3.
func (s *Session) Ranking(ctx context.Context, config experiments.RankingConfig) (result experiments.RankingModel, err error) {
	if config.Features, err = s.features(config.Features, "ranking"); err != nil {
		return result, err
	}
	reading, err := s.Reading(ctx)
	if err != nil {
		return result, err
	}
	result, err = experiments.Ranking(ctx, reading, config)
	result.Model = s.Name
	return result, err
}

// ImageRetrieval is experiment 4.
func (s *Session) ImageRetrieval(ctx context.Context, config experiments.ImageRetrievalConfig) (sheet experiments.ImageRetrievalSheet, err error) {
	if config.Features, err = s.features(config.Features, "retrieval"); err != nil {
		return sheet, err
	}
	if config.Components == nil {
		config.Components = experiments.PaperComponents(s.Model.ArchName)
	}
	reading, err := s.Reading(ctx)
	if err != nil {
		return sheet, err
	}
	sheet, err = experiments.ImageRetrieval(ctx, reading, config)
	sheet.Model = s.Name
	return sheet, err
}

// Heatmaps is experiment 5, over some of the pictures.
func (s *Session) Heatmaps(ctx context.Context, pictures []int, config experiments.HeatmapConfig) (sheet experiments.HeatmapSheet, err error) {
	if len(config.Texts) == 0 {
		if config.Features, err = s.features(config.Features, "heatmaps"); err != nil {
			return sheet, err
		}
	}
	reading, err := s.Reading(ctx)
	if err != nil {
		return sheet, err
	}
	sheet, err = experiments.Heatmaps(ctx, s.study, reading, s.Data, pictures, config)
	sheet.Model = s.Name
	return sheet, err
}

// ClassHeatmaps draws, over some of the pictures, what tokens add to the logit of the best class: all components together
// and, with each, every component by itself.
func (s *Session) ClassHeatmaps(ctx context.Context, pictures []int, each bool) (experiments.HeatmapSheet, error) {
	e, err := s.segmented(ctx)
	if err != nil {
		return experiments.HeatmapSheet{}, err
	}
	sheet, err := experiments.ClassHeatmaps(ctx, e, pictures, each, nil)
	sheet.Model = s.Name
	return sheet, err
}

// segmented is the extraction of the model with its head, by the blocks of the paper's segmentation.
func (s *Session) segmented(ctx context.Context) (experiments.Extraction, error) {
	e, err := s.classified(ctx)
	if err != nil {
		return e, err
	}
	first, last := experiments.SegmentationBlocks(e.Model.Arch.Blocks())
	return e, s.blocks(&e.Options, first, last)
}

// Segmentation is experiment 6.
func (s *Session) Segmentation(ctx context.Context, config experiments.SegmentationConfig) (experiments.SegmentationModel, error) {
	e, err := s.segmented(ctx)
	if err != nil {
		return experiments.SegmentationModel{}, err
	}
	result, err := experiments.Segmentation(ctx, e, config)
	result.Model = s.Name
	return result, err
}

// Waterbirds is experiment 7, on all pictures of Correlated and Uncorrelated, which must be of one world.
func (s *Session) Waterbirds(ctx context.Context, config experiments.WaterbirdsConfig) (result experiments.WaterbirdsModel, err error) {
	if Drawn(s.options.Correlated) != Drawn(s.options.Uncorrelated) {
		return result, fmt.Errorf("option Correlated %s and Uncorrelated %s are not of one world; name both", s.options.Correlated, s.options.Uncorrelated)
	}
	birds, err := OpenBirds(s.options.Correlated, s.options.Uncorrelated, s.options.Seed)
	if err != nil {
		return result, err
	}
	if config.Spurious.Name == "" {
		list := "waterbirds"
		if Drawn(s.options.Uncorrelated) {
			list = "scenes-birds"
		}
		features, err := phrases.OpenFeatures(list)
		if err != nil {
			return result, err
		}
		if config.Spurious, config.Core, err = BirdFeatures(features); err != nil {
			return result, err
		}
	}
	if config.Bank == nil {
		if config.Bank, err = phrases.OpenBank(Bank(s.options.Uncorrelated, s.options.Reference)); err != nil {
			return result, err
		}
	}
	study, err := s.studyOf(ctx, birds.Test)
	if err != nil {
		return result, err
	}
	study.Pictures = 0
	if s.Model.Text != nil {
		study.Head, err = ZeroShot(ctx, s.Model, BirdNames(s.options.Uncorrelated, birds.Test.Classes()), s.options.Templates)
	} else {
		e := study.Extraction
		e.Data = birds.Train
		var head *experiments.LinearHead
		if head, err = TrainHead(ctx, e); err == nil {
			study.Head, err = head.ApplyTo(s.Model)
		}
	}
	if err != nil {
		return result, err
	}
	result, err = experiments.Waterbirds(ctx, study, config)
	result.Model = s.Name
	return result, err
}

// OpenBirds opens the pictures of Waterbirds and splits them for training and test.
func OpenBirds(correlated, uncorrelated string, seed uint64) (experiments.BirdData, error) {
	var sets [2]data.Dataset
	for i, option := range []struct{ name, set string }{{"Correlated", correlated}, {"Uncorrelated", uncorrelated}} {
		var err error
		if sets[i], err = openData(option.set, ""); err != nil {
			return experiments.BirdData{}, fmt.Errorf("%s: %w", option.name, err)
		}
	}
	birds, err := experiments.SplitBirds(sets[0], sets[1], seed)
	if err != nil {
		return birds, fmt.Errorf("%s and %s: %w", correlated, uncorrelated, err)
	}
	return birds, nil
}

// BirdFeatures finds the two features of Waterbirds in a list.
func BirdFeatures(features []phrases.Feature) (spurious, core phrases.Feature, err error) {
	for _, f := range features {
		switch strings.ToLower(f.Name) {
		case "spurious":
			spurious = f
		case "core":
			core = f
		}
	}
	if spurious.Name == "" || core.Name == "" {
		return spurious, core, errors.New("waterbirds wants two features, spurious and core")
	}
	return spurious, core, nil
}

// CompareAlignments is experiment 8.
func (s *Session) CompareAlignments(ctx context.Context, config experiments.AlignmentConfig) (result experiments.AlignmentModel, err error) {
	if config.Bank, err = s.bank(config.Bank); err != nil {
		return result, err
	}
	study, err := s.Study(ctx)
	if err != nil {
		return result, err
	}
	if study.Head, err = s.Classifier(ctx); err != nil {
		return result, err
	}
	result, err = experiments.CompareAlignments(ctx, study, config)
	result.Model = s.Name
	return result, err
}

// Sweep trains an alignment for each of several lambdas, and measures it on the pictures.
func (s *Session) Sweep(ctx context.Context, lambdas []float64) (experiments.SweepCurve, error) {
	study, err := s.Study(ctx)
	if err != nil {
		return experiments.SweepCurve{}, err
	}
	curve, err := experiments.Sweep(ctx, study, lambdas)
	curve.Model = s.Name
	return curve, err
}

// warmSteps is about how many steps [Session.Realign] takes.
const warmSteps = 300

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
		return 0, 0, fmt.Errorf("option AlignData: %s has no pictures to align on again", s.Name)
	}
	own := *s.study
	if s.warm == nil {
		s.warm = &own
		if err := s.warm.Prepare(ctx); err != nil {
			return 0, 0, err
		}
	}
	from := s.warm // holds the training pictures in memory, once they are read
	from.AlignerFile, from.From, from.Align = "", nil, own.Align
	from.Align.Lambda = nearest(lambda, anchors)
	aligner, err := from.Alignment(ctx)
	if err != nil {
		return 0, 0, err
	}
	if lambda != from.Align.Lambda {
		n := from.Training.Len()
		if from.TrainingPictures > 0 {
			n = min(n, from.TrainingPictures)
		}
		from.From, from.Align.Lambda = aligner, lambda
		from.Align.Epochs = min(from.Align.Epochs, max(1, warmSteps*from.Align.Batch/n))
		if aligner, err = from.Alignment(ctx); err != nil {
			return 0, 0, err
		}
	}
	if err := reading.Through(ctx, aligner); err != nil {
		return 0, 0, err
	}
	return mean(reading.Quality()), mean(aligner.Orthogonality), nil
}

// nearest is the value of a list whose ratio to lambda is nearest to 1; 0 is as far from everything as a thousandth.
func nearest(lambda float64, list []float64) float64 {
	log := func(x float64) float64 { return math.Log(max(x, 1e-3)) }
	return slices.MinFunc(list, func(a, b float64) int {
		return cmp.Compare(math.Abs(log(a)-log(lambda)), math.Abs(log(b)-log(lambda)))
	})
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// Describe puts the components into words.
func (s *Session) Describe(ctx context.Context, config experiments.DescribeConfig) (words []experiments.ComponentInWords, err error) {
	if config.Features, err = s.features(config.Features, "retrieval"); err != nil {
		return nil, err
	}
	if config.Bank, err = s.bank(config.Bank); err != nil {
		return nil, err
	}
	reading, err := s.Reading(ctx)
	if err != nil {
		return nil, err
	}
	return experiments.Describe(ctx, reading, config)
}

// Causal is the causal test, which the paper does not have.
func (s *Session) Causal(ctx context.Context, config experiments.CausalConfig) (result experiments.CausalModel, err error) {
	if config.Features, err = s.features(config.Features, "scenes"); err != nil {
		return result, err
	}
	study, err := s.Study(ctx)
	if err != nil {
		return result, err
	}
	result, err = experiments.Causal(ctx, study, config)
	result.Model = s.Name
	return result, err
}

// ComponentShare is how much of a picture's representation a component makes up.
type ComponentShare struct {
	Component string
	// Share is the product of contribution and representation over the square of the representation: the shares of a
	// picture sum to 1. One below 0 points the other way.
	Share float64
}

// ClassScore is a class and its logit.
type ClassScore struct {
	Class string
	Logit float64
}

// Dissection is one picture taken apart.
type Dissection struct {
	Picture int
	Name    string
	// Classes are the classes, best first.
	Classes []ClassScore
	// Shares are the components, largest first.
	Shares []ComponentShare
	// Exactness is the largest |sum of components - representation| over the largest |representation|.
	Exactness float64
}

// Dissect takes one picture apart, all blocks of the model, by heads.
func (s *Session) Dissect(ctx context.Context, picture int) (Dissection, error) {
	d := Dissection{Picture: picture}
	if picture < 0 || picture >= s.Data.Len() {
		return d, fmt.Errorf("there is no picture %d: the data has %d, counted from 0", picture, s.Data.Len())
	}
	e, err := s.classified(ctx)
	if err != nil {
		return d, err
	}
	d.Name = e.Data.Item(picture).Name
	e.Data, e.Pictures, e.MaxBad = data.Subset(e.Data, []int{picture}), 1, 0
	e.Options = decompose.Options{Split: decompose.Heads, Biases: decompose.BiasesShared}
	if err := s.blocks(&e.Options, 0, len(e.Model.Arch.Blocks())-1); err != nil {
		return d, err
	}
	store, err := e.Extract(ctx)
	if err != nil {
		return d, err
	}
	for chunk, err := range store.Chunks() {
		if err != nil {
			return d, err
		}
		d.Exactness = experiments.Exactness(chunk)
		square := dot(chunk.Representation, chunk.Representation)
		dim := chunk.Dim()
		for i, component := range chunk.Components {
			d.Shares = append(d.Shares, ComponentShare{component, dot(chunk.Contributions[i*dim:][:dim], chunk.Representation) / square})
		}
		for _, class := range experiments.Top(chunk.Logits, len(chunk.Logits)) {
			name := fmt.Sprint("class ", class)
			if class < len(e.Model.ClassNames) {
				name = e.Model.ClassNames[class]
			}
			d.Classes = append(d.Classes, ClassScore{name, float64(chunk.Logits[class])})
		}
	}
	slices.SortStableFunc(d.Shares, func(a, b ComponentShare) int { return cmp.Compare(b.Share, a.Share) })
	return d, experiments.CheckExact(s.Model, d.Exactness)
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}
