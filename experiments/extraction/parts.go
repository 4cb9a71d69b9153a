package extraction

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"vitdecompose/decompose"
	"vitdecompose/experiments/cache"
	"vitdecompose/experiments/memory"
	"vitdecompose/experiments/statistics"
)

// Parts are an extraction in memory: what its components contributed to each picture that could be read.
type Parts struct {
	decompose.Contributions
	Index          []int     // position of each picture in the data, ascending
	Representation []float32 // [picture, dim]
	// Exactness is the largest |sum of components - representation| over the largest |representation|, Rounding the part of
	// it that how the contributions are kept may make: see [Rounding].
	Exactness, Rounding float64
}

// Parts extracts, and reads all of it into memory.
func (e Extraction) Parts(ctx context.Context) (*Parts, error) {
	e.SetDefaults()
	store, err := e.Extract(ctx)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	return e.Read(ctx, store, true)
}

// Read reads a store into memory, if need be without the contributions themselves: then Values is nil.
func (e *Extraction) Read(ctx context.Context, store *cache.Store, values bool) (*Parts, error) {
	p := &Parts{}
	for chunk, err := range store.Chunks() {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := len(chunk.Index)
		if n == 0 {
			continue
		}
		p.Exactness, p.Rounding = max(p.Exactness, Exactness(chunk)), max(p.Rounding, Rounding(chunk, e.Keep))
		if p.Components == nil {
			p.Components, p.Dim = chunk.Components, chunk.Dim()
			if values {
				if err := fitsMemory(len(p.Components)*p.Dim*4, e.Pictures); err != nil {
					return nil, fmt.Errorf("%s: %w", e.Model.Name, err)
				}
				p.Values = make([]float32, len(p.Components)*e.Pictures*p.Dim)
			}
		}
		for i := 0; values && i < len(p.Components); i++ {
			copy(p.Values[(i*e.Pictures+len(p.Index))*p.Dim:], chunk.Contributions[i*n*p.Dim:][:n*p.Dim])
		}
		p.Index = append(p.Index, chunk.Index...)
		p.Representation = append(p.Representation, chunk.Representation...)
	}
	if err := e.CheckLeftOut(len(p.Index)); err != nil {
		return nil, err
	}
	if len(p.Index) == 0 {
		return nil, errors.New("none of the pictures could be read")
	}
	p.Pictures = e.Pictures
	p.Choose(statistics.Indices(len(p.Index)))
	return p, e.CheckExact(p.Exactness, p.Rounding)
}

// MemoryError says that contributions do not fit into memory.
type MemoryError struct {
	PerPicture, pictures int // bytes, number
	free                 uint64
}

func (e *MemoryError) Error() string {
	return fmt.Sprintf("%s; take at most %d pictures, or fewer blocks", e.What(), e.free/uint64(e.PerPicture))
}

func (e *MemoryError) What() string {
	return fmt.Sprintf("the contributions of %d pictures take %.1f GB, and %.1f GB of memory are free",
		e.pictures, float64(e.PerPicture)*float64(e.pictures)/1e9, float64(e.free)/1e9)
}

// fitsMemory reports whether contributions of the given number of bytes per picture fit into memory, before the kernel kills
// the process because they do not.
func fitsMemory(PerPicture, pictures int) error {
	free := memory.Free()
	if need := uint64(PerPicture) * uint64(pictures); free > 0 && need > free {
		return &MemoryError{PerPicture, pictures, free}
	}
	return nil
}

// Choose keeps the pictures at these positions, which ascend. Index and Representation may be shorter than Pictures: then
// what comes after them is never chosen.
func (p *Parts) Choose(positions []int) {
	n := len(positions)
	if n == p.Pictures {
		return
	}
	if p.Values != nil {
		for component := range p.Components {
			for to, from := range positions { // to <= from, and components move forward: nothing is overwritten unread
				copy(p.Values[(component*n+to)*p.Dim:][:p.Dim], p.Row(component, from))
			}
		}
		p.Values = p.Values[:len(p.Components)*n*p.Dim]
	}
	for to, from := range positions {
		p.Index[to] = p.Index[from]
		copy(p.Representation[to*p.Dim:][:p.Dim], p.Representation[from*p.Dim:])
	}
	p.Index, p.Representation = p.Index[:n], p.Representation[:n*p.Dim]
	p.Pictures = n
}

// KeepCommon keeps, in two extractions from the same data, the pictures that both could read.
func KeepCommon(a, b *Parts) {
	for _, pair := range [][2]*Parts{{a, b}, {b, a}} {
		var both []int
		for position, index := range pair[0].Index {
			if _, found := slices.BinarySearch(pair[1].Index, index); found {
				both = append(both, position)
			}
		}
		pair[0].Choose(both)
	}
}
