package session

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"vitdecompose/decompose/phrases"
	"vitdecompose/gomlxvit/zoo"
)

// Features are those that components are asked about: given ones, those of option Features, or the experiment's usual list:
// usual for photographs, drawn for scenes, whose truth is known.
func (s *Session) Features(given []phrases.Feature, usual, drawn string) ([]phrases.Feature, error) {
	switch {
	case len(given) > 0:
		return given, nil
	case given != nil:
		return nil, errors.New("there are no features")
	}
	name := s.options.Features
	if name == "" {
		if name = usual; Drawn(s.options.Data) {
			name = drawn
		}
		s.choose("Features", name)
	}
	features, err := phrases.OpenFeatures(name)
	return features, wrong("Features", err)
}

// Bank are the texts that components of the pictures of a data set are described by: given ones, those of option Bank, or the
// usual ones: the small vocabulary of scenes where the pictures are drawn or the reference knows no other words, as none of
// the shipped ones does.
func (s *Session) Bank(given []string, dataset string) ([]string, error) {
	if given != nil {
		return given, nil
	}
	name := s.options.Bank
	if name == "" {
		if name = "general"; Drawn(dataset) || slices.Contains(zoo.Names(), s.reference()) {
			name = "scenes"
		}
		s.choose("Bank", name)
	}
	bank, err := phrases.OpenBank(name)
	return bank, wrong("Bank", err)
}

// reference is the name of the CLIP through which the model meets texts.
func (s *Session) reference() string {
	if s.Model.Text != nil {
		return s.options.Model
	}
	return cmp.Or(s.options.Reference, zoo.Reference)
}

// choose records which list of words an option stands for.
func (s *Session) choose(field, name string) {
	s.lists[strings.ToLower(field)] = name
	s.Assume("option %s is %s", field, name)
}

// Lists are the lists of words that were chosen since the last Release where none was named, as config names them: "features",
// "bank".
func (s *Session) Lists() map[string]string { return maps.Clone(s.lists) }

// FeatureNames are the names of the features that pictures are searched by.
func (s *Session) FeatureNames() ([]string, error) {
	features, err := s.Features(nil, "retrieval", "scenes")
	var names []string
	for _, f := range features {
		names = append(names, f.Name)
	}
	return names, err
}

// Feature is one of [Session.FeatureNames].
func (s *Session) Feature(name string) (phrases.Feature, error) {
	features, err := s.Features(nil, "retrieval", "scenes")
	if err != nil {
		return phrases.Feature{}, err
	}
	for _, f := range features {
		if f.Name == name {
			return f, nil
		}
	}
	names, err := s.FeatureNames()
	return phrases.Feature{}, errors.Join(fmt.Errorf("feature %s is not one of %s", name, strings.Join(names, ", ")), err)
}
