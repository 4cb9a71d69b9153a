package session

import (
	"context"
	"fmt"

	"vitdecompose/data"
)

// Sessions opens sessions that differ in the model alone, each of them once. What they share, the pictures and the reference,
// is opened once for all.
type Sessions struct {
	options Options
	shared  *shared
	open    map[string]*Session
}

// Several opens the pictures for several models. The options' Model does not count.
func Several(ctx context.Context, options Options) (*Sessions, error) {
	common, err := openShared(ctx, &options, Given{})
	if err != nil {
		return nil, err
	}
	return &Sessions{options: options, shared: common, open: make(map[string]*Session)}, nil
}

// Open is the session of a model.
func (s *Sessions) Open(ctx context.Context, model string) (*Session, error) {
	if opened, ok := s.open[model]; ok {
		return opened, nil
	}
	options := s.options
	options.Model = model
	opened, err := open(ctx, options, s.shared, nil)
	if err != nil {
		return nil, err
	}
	s.open[model] = opened
	return opened, nil
}

// All are the sessions of several models, in their order. Figures call them by the shortest names that tell them apart.
func (s *Sessions) All(ctx context.Context, models []string) ([]*Session, error) {
	var all []*Session
	for i, short := range ShortNames(models) {
		opened, err := s.Open(ctx, models[i])
		if err != nil {
			return nil, err
		}
		opened.Name = short
		all = append(all, opened)
	}
	return all, nil
}

// Close closes the sessions.
func (s *Sessions) Close() {
	for _, opened := range s.open {
		opened.Close()
	}
}

// Provenance is what results since the last Release are made of: SHA-256 hashes of checkpoints and data, in hexadecimal, by the names the user gave.
func Provenance(sessions ...*Session) (checkpoints, sets map[string]string, err error) {
	checkpoints, sets = make(map[string]string), make(map[string]string)
	for _, s := range sessions {
		checkpoints[s.options.Model] = s.Model.Hash
		if s.referenced {
			checkpoints[s.shared.referenceName] = s.shared.reference.Hash
		}
		for name, ds := range s.used {
			if sets[name], err = ds.Hash(); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return checkpoints, sets, nil
}

// OpenPictures opens the pictures of the options without a model.
func OpenPictures(ctx context.Context, options Options) (data.Dataset, error) {
	common, err := openShared(ctx, &options, Given{})
	if err != nil {
		return nil, err
	}
	return common.pictures, nil
}
