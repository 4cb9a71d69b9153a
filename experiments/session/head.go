package session

import (
	"context"

	"vitdecompose/decompose"
	"vitdecompose/experiments"
	"vitdecompose/gomlxvit"
)

// TrainHead trains a linear head on all pictures of e.
func TrainHead(ctx context.Context, e experiments.Extraction) (*experiments.LinearHead, error) {
	// Only the representation is needed, so as little as possible is taken apart.
	e.Options, e.Pictures = decompose.Options{Split: decompose.Attns, First: len(e.Model.Arch.Blocks()) - 1}, 0
	return experiments.TrainLinearHead(ctx, e, experiments.LinearHeadConfig{})
}

// ZeroShot gives a CLIP the head that compares with texts about the classes. templates names a file with prompts; "" for
// the program's own.
func ZeroShot(ctx context.Context, model *gomlxvit.Model, classes []string, templates string) (*gomlxvit.Model, error) {
	prompts := gomlxvit.DefaultTemplates()
	if templates != "" {
		var err error
		if prompts, err = gomlxvit.ReadTemplates(templates); err != nil {
			return nil, err
		}
	}
	backend, err := Backend()
	if err != nil {
		return nil, err
	}
	return model.WithZeroShotHead(ctx, backend, classes, prompts)
}
