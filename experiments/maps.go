package experiments

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/decompose"
	"vitdecompose/experiments/cache"
	"vitdecompose/experiments/extraction"
	"vitdecompose/gomlxvit/preprocess"
	"vitdecompose/gomlxvit/saliency"
)

// mapsVersion is the version of the code that makes maps of pictures. Another one is another key in the cache.
const mapsVersion = 1

// pictureMaps are one method's maps of the true classes of the pictures of an extraction.
type pictureMaps struct {
	side   int         // of the grid
	values [][]float32 // [picture][side*side], those of Index of the same position
	index  []int       // position of each picture in the data
}

// mapper makes the maps of a batch for a class each, [batch, side*side].
type mapper interface {
	Map(pixels *tensors.Tensor, classes []int) (values []float32, side int, err error)
	Close()
}

// mapPictures makes the maps of a method for the true classes, or reads them from the cache. A picture without a label gets one of
// class 0, which is meaningless.
func mapPictures(ctx context.Context, e extraction.Extraction, method string) (*pictureMaps, error) {
	e.SetDefaults()
	e.Devices = 1
	e.Keep = "" // maps are small, and read as they were computed
	m, err := newMapper(&e, method)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	key, err := e.Key(e.Options)
	if err != nil {
		return nil, err
	}
	key.Split, key.Bias, key.Code = "maps of "+method, "none", fmt.Sprintf("%s, maps %d", key.Code, mapsVersion)
	if method != ByDecomposition {
		key.Blocks = "none"
	}
	store, err := e.Fill(ctx, key, "mapping by "+method, func(_ int, pixels *tensors.Tensor, batch preprocess.Batch, chunk *cache.Chunk) error {
		classes := make([]int, e.Batch)
		for i, index := range chunk.Index {
			classes[i] = max(0, e.Data.Item(index).Label)
		}
		values, side, err := m.Map(pixels, classes)
		if err != nil {
			return err
		}
		// A map is kept as the only component of itself.
		chunk.Components = []string{method}
		chunk.Representation = values[:batch.N*side*side]
		chunk.Contributions = chunk.Representation
		return nil
	})
	if err != nil {
		return nil, err
	}
	defer store.Close()
	all := &pictureMaps{}
	for chunk, err := range store.Chunks() {
		if err != nil {
			return nil, err
		}
		if len(chunk.Index) == 0 {
			continue
		}
		size := chunk.Dim()
		all.side = int(math.Round(math.Sqrt(float64(size))))
		for i := range chunk.Index {
			all.values = append(all.values, chunk.Representation[i*size:][:size])
		}
		all.index = append(all.index, chunk.Index...)
	}
	return all, e.CheckLeftOut(len(all.index))
}

// newMapper prepares a method.
func newMapper(e *extraction.Extraction, method string) (mapper, error) {
	switch method {
	case ByDecomposition:
		scorer, err := decompose.NewScorer(e.Backend, e.Model, e.Options)
		return &scoreMapper{scorer, e.Model.Arch.PrefixTokens()}, err
	case ByGradCAM:
		s, err := saliency.NewGradCAM(e.Backend, e.Model)
		return saliencyMapper{s}, err
	case ByChefer:
		s, err := saliency.NewChefer(e.Backend, e.Model)
		return saliencyMapper{s}, err
	}
	return nil, fmt.Errorf("unknown segmentation method %q", method)
}

// saliencyMapper makes the maps of the methods of package saliency.
type saliencyMapper struct{ *saliency.Saliency }

// Map implements mapper.
func (s saliencyMapper) Map(pixels *tensors.Tensor, classes []int) ([]float32, int, error) {
	maps, err := s.Run(pixels, classes)
	if err != nil {
		return nil, 0, err
	}
	return maps.Values, maps.Rows, nil
}

// scoreMapper maps what the tokens at each position add to a logit.
type scoreMapper struct {
	*decompose.Scorer
	prefix int // tokens before those of the positions
}

// Map implements mapper.
func (s *scoreMapper) Map(pixels *tensors.Tensor, classes []int) ([]float32, int, error) {
	scored, _, err := s.Run(pixels, classes)
	if err != nil {
		return nil, 0, err
	}
	values, side := sumOnGrid(scored, s.prefix, len(classes))
	return values, side, nil
}

// sumOnGrid adds up what components score at each position, on the finest of their grids: [batch, side*side]. A token of a
// coarser grid is spread evenly over the positions that it covers, so that the sum stays. Class and register tokens, the
// first of each picture, have no position.
func sumOnGrid(scored []decompose.ScoredComponent, prefix, batch int) (values []float32, side int) {
	for _, c := range scored {
		side = max(side, gridSide(c.Component, prefix))
	}
	values = make([]float32, batch*side*side)
	for _, c := range scored {
		for picture := range batch {
			addToGrid(values[picture*side*side:][:side*side], side, c.Values[picture*c.Tokens+prefix:(picture+1)*c.Tokens], gridSide(c.Component, prefix))
		}
	}
	return values, side
}

// gridSide is the side of the grid that a component's tokens are on.
func gridSide(c decompose.Component, prefix int) int {
	return int(math.Round(math.Sqrt(float64(c.Tokens - prefix))))
}

// addToGrid adds the values of a coarse grid to a fine one, whose side is a multiple.
func addToGrid(fine []float32, fineSide int, coarse []float32, side int) {
	factor := fineSide / side
	part := 1 / float32(factor*factor)
	for i := range fine {
		fine[i] += coarse[i/fineSide/factor*side+i%fineSide/factor] * part
	}
}
