package main

import (
	"fmt"

	"vitdecompose/data"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/plots"
)

// birdFlags choose the pictures of Waterbirds.
type birdFlags struct {
	correlated, uncorrelated string
}

// open opens them and splits them for training and test.
func (f birdFlags) open(seed uint64) (experiments.BirdData, error) {
	var sets [2]data.Dataset
	for i, flag := range []struct{ name, spec string }{{"--correlated", f.correlated}, {"--uncorrelated", f.uncorrelated}} {
		pictures := dataFlags{spec: flag.spec}
		var err error
		if sets[i], err = data.Open(pictures.dataset(), data.Options{}); err != nil {
			return experiments.BirdData{}, fmt.Errorf("%s: %w", flag.name, err)
		}
	}
	birds, err := experiments.SplitBirds(sets[0], sets[1], seed)
	if err != nil {
		return birds, fmt.Errorf("--correlated %s, --uncorrelated %s: %w", f.correlated, f.uncorrelated, err)
	}
	return birds, nil
}

func (r *runner) waterbirds() error {
	if session.Drawn(r.birds.correlated) != session.Drawn(r.birds.uncorrelated) {
		return usagef("--correlated %s and --uncorrelated %s are not of one world; name both", r.birds.correlated, r.birds.uncorrelated)
	}
	birds, err := r.birds.open(r.study.config.Seed)
	if err != nil {
		return err
	}
	own := *r // the birds, all of them, take the place of --data
	own.pictures.spec, own.pictures.labels, own.pictures.pictures, own.pictures.shuffle = r.birds.uncorrelated, "", 0, -1
	run, err := own.text("waterbirds")
	if err != nil {
		return err
	}
	run.studies.data = birds.Test
	features, err := run.studies.featureList("waterbirds", "scenes-birds")
	if err != nil {
		return err
	}
	config := experiments.WaterbirdsConfig{Ablated: r.ablated}
	if config.Spurious, config.Core, err = session.BirdFeatures(features); err != nil {
		return fmt.Errorf("--features %s: %w", run.study.features, err)
	}
	if run.bank == "" {
		run.bank = run.studies.bankName()
	}
	if config.Bank, err = phrases.OpenBank(run.bank); err != nil {
		return fmt.Errorf("--bank: %w", err)
	}
	run.meta.Data[r.birds.correlated], err = birds.Train.Hash()
	if err != nil {
		return err
	}
	var result experiments.WaterbirdsResult
	err = run.each(func(study *experiments.Study, names []string, short string) error {
		if err := r.giveBirdHead(study, birds, names); err != nil {
			return err
		}
		model, err := experiments.Waterbirds(r.c.Context(), study, config)
		if err != nil {
			return err
		}
		model.Model = short
		result.Models = append(result.Models, model)
		run.say("%s: worst group %.3f -> %.3f, mean of groups %.3f -> %.3f with %d components ablated", short,
			model.Worst(0), model.Worst(model.Ablated), model.Mean(0), model.Mean(model.Ablated), model.Ablated)
		return nil
	})
	if err != nil {
		return err
	}
	figure, err := plots.Waterbirds(result)
	if err != nil {
		return err
	}
	if err := run.save("waterbirds", figure); err != nil {
		return err
	}
	if err := experiments.WriteTableAs(r.out, "components.csv", result.Components()); err != nil {
		return err
	}
	return run.finish(result, result.Table(), config)
}

// giveBirdHead gives the study a head that tells the two classes: a CLIP's made of words, and others a linear one, whatever
// head they have.
func (r *runner) giveBirdHead(study *experiments.Study, birds experiments.BirdData, names []string) (err error) {
	ctx := r.c.Context()
	if study.Model.Text != nil {
		if r.models.classNames == "" {
			names = session.BirdNames(r.birds.uncorrelated, names)
		}
		study.Head, err = r.models.zeroShot(ctx, study.Model, names)
		return err
	}
	e := study.Extraction
	e.Data = birds.Train
	head, err := session.TrainHead(ctx, e)
	if err != nil {
		return err
	}
	study.Head, err = head.ApplyTo(study.Model)
	return err
}
