package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"vitdecompose/data"
	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit"
)

// headFlags choose the pictures on which models without a classifier head get one.
type headFlags struct {
	spec, labels string
}

func (f *headFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.spec, "head-data", "", "pictures to train a linear head on, for models without a head; named as for --data (default for scenes: "+session.TrainingScenes+")")
	c.Flags().StringVar(&f.labels, "head-labels", "", "CSV file with the columns file,label for the pictures of --head-data")
}

// setDefault chooses the pictures where none are named and those to be classified are scenes.
func (f *headFlags) setDefault(pictures dataFlags) {
	if pictures.drawn() && f.spec == "" {
		f.spec = session.TrainingScenes
	}
}

// open opens the pictures to train the model's head on.
func (f *headFlags) open(model *gomlxvit.Model) (data.Dataset, error) {
	if f.spec == "" {
		return nil, fmt.Errorf("%s has no classifier head; give pictures to train one on with --head-data, such as --head-data "+session.TrainingScenes+" or a folder, or for a CLIP of open_clip the names of the classes with --class-names", model.Name)
	}
	pictures := dataFlags{spec: f.spec}
	ds, err := data.Open(pictures.dataset(), data.Options{Labels: f.labels})
	if err != nil {
		return nil, fmt.Errorf("--head-data: %w", err)
	}
	return ds, nil
}

// check says what is missing for a model to get a head that it has not; a CLIP gets its head from words.
func (f *headFlags) check(model *gomlxvit.Model) error {
	if model.Text != nil || model.Arch.NumClasses() > 0 {
		return nil
	}
	_, err := f.open(model)
	return err
}

// train gives the model a linear head and returns the hash of the data it was trained on. The other fields of e say how
// the pictures are read and where they are kept.
func (f *headFlags) train(c *cobra.Command, e experiments.Extraction) (model *gomlxvit.Model, trainedOn string, err error) {
	if e.Data, err = f.open(e.Model); err != nil {
		return nil, "", err
	}
	if trainedOn, err = e.Data.Hash(); err != nil {
		return nil, "", fmt.Errorf("--head-data: %w", err)
	}
	head, err := session.TrainHead(c.Context(), e)
	if err != nil {
		return nil, "", fmt.Errorf("--head-data: %w", err)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s: linear head of %d classes, trained on %d pictures of %s\n", e.Model.Name, len(head.Bias), head.Labelled, f.spec)
	model, err = head.ApplyTo(e.Model)
	return model, trainedOn, err
}
