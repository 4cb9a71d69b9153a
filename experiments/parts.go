package experiments

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"vitdecompose/decompose"
)

// Parts are an extraction in memory: what its components contributed to each picture that could be read.
type Parts struct {
	decompose.Contributions
	Index          []int     // position of each picture in the data, ascending
	Representation []float32 // [picture, dim]
	// Exactness is the largest |sum of components - representation| over the largest |representation|.
	Exactness float64
}

// Parts extracts, and reads all of it into memory.
func (e Extraction) Parts(ctx context.Context) (*Parts, error) {
	store, err := e.Extract(ctx)
	if err != nil {
		return nil, err
	}
	e.setDefaults()
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
		p.Exactness = max(p.Exactness, Exactness(chunk))
		if p.Values == nil {
			p.Components, p.Dim = chunk.Components, chunk.Dim()
			if err := fitsMemory(len(p.Components)*p.Dim*4, e.Pictures); err != nil {
				return nil, fmt.Errorf("%s: %w", e.Model.Name, err)
			}
			p.Values = make([]float32, len(p.Components)*e.Pictures*p.Dim)
		}
		for i := range p.Components {
			copy(p.Values[(i*e.Pictures+len(p.Index))*p.Dim:], chunk.Contributions[i*n*p.Dim:][:n*p.Dim])
		}
		p.Index = append(p.Index, chunk.Index...)
		p.Representation = append(p.Representation, chunk.Representation...)
	}
	if err := e.checkLeftOut(len(p.Index)); err != nil {
		return nil, err
	}
	if len(p.Index) == 0 {
		return nil, errors.New("none of the pictures could be read")
	}
	p.Pictures = e.Pictures
	p.choose(upTo(len(p.Index)))
	return p, CheckExact(e.Model.Name, p.Exactness)
}

// fitsMemory tells, before the kernel does by killing the process, whether contributions of so many bytes a picture fit.
func fitsMemory(perPicture, pictures int) error {
	free := memoryFree()
	if need := uint64(perPicture) * uint64(pictures); free > 0 && need > free {
		return fmt.Errorf("the contributions of %d pictures take %.1f GB, and %.1f GB of memory are free; take at most %d pictures, or fewer blocks",
			pictures, float64(need)/1e9, float64(free)/1e9, free/uint64(perPicture))
	}
	return nil
}

// memoryFree is the memory that can be had without swapping, in bytes; 0 if the system does not tell. Tests replace it.
var memoryFree = func() uint64 { return kilobytes("/proc/meminfo", "MemAvailable:") * 1024 }

// upTo lists 0 to n-1.
func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// choose keeps the pictures at these positions, which ascend. Index and Representation may be shorter than Pictures: then
// what lies behind them is never chosen.
func (p *Parts) choose(positions []int) {
	n := len(positions)
	if n == p.Pictures {
		return
	}
	for component := range p.Components {
		for to, from := range positions { // to <= from, and components move forward: nothing is overwritten unread
			copy(p.Values[(component*n+to)*p.Dim:][:p.Dim], p.Row(component, from))
		}
	}
	for to, from := range positions {
		p.Index[to] = p.Index[from]
		copy(p.Representation[to*p.Dim:][:p.Dim], p.Representation[from*p.Dim:])
	}
	p.Values, p.Index, p.Representation = p.Values[:len(p.Components)*n*p.Dim], p.Index[:n], p.Representation[:n*p.Dim]
	p.Pictures = n
}

// share keeps, in two extractions from the same data, the pictures that both could read.
func share(a, b *Parts) {
	for _, pair := range [][2]*Parts{{a, b}, {b, a}} {
		var both []int
		for position, index := range pair[0].Index {
			if _, found := slices.BinarySearch(pair[1].Index, index); found {
				both = append(both, position)
			}
		}
		pair[0].choose(both)
	}
}
