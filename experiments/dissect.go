package experiments

import (
	"cmp"
	"context"
	"slices"

	"vitdecompose/data"
	"vitdecompose/decompose"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/statistics"
)

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
func Dissect(ctx context.Context, s *session.Session, picture int) (Dissection, error) {
	d := Dissection{Picture: picture}
	if picture < 0 || picture >= s.Data.Len() {
		return d, noPicture(picture, s.Data)
	}
	e, err := s.Classified(ctx)
	if err != nil {
		return d, err
	}
	d.Name = e.Data.Item(picture).Name
	e.Data, e.Pictures, e.MaxBad = data.Subset(e.Data, []int{picture}), 1, 0
	e.Options = decompose.Options{Split: decompose.Heads, Biases: decompose.BiasesShared}
	if err := s.SetBlocks(&e.Options, 0, len(e.Model.Arch.Blocks())-1); err != nil {
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
		d.Exactness = extraction.Exactness(chunk)
		square := dot(chunk.Representation, chunk.Representation)
		dim := chunk.Dim()
		for i, component := range chunk.Components {
			d.Shares = append(d.Shares, ComponentShare{component, dot(chunk.Contributions[i*dim:][:dim], chunk.Representation) / square})
		}
		for _, class := range statistics.Top(chunk.Logits, len(chunk.Logits)) {
			d.Classes = append(d.Classes, ClassScore{className(e.Model.ClassNames, class), float64(chunk.Logits[class])})
		}
	}
	slices.SortStableFunc(d.Shares, func(a, b ComponentShare) int { return cmp.Compare(b.Share, a.Share) })
	return d, extraction.CheckExact(s.Model, d.Exactness)
}
